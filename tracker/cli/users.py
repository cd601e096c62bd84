"""The commands on accounts of the dashboard; passwords come from a prompt or from stdin, never from arguments."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click

from tracker.cli.common import Context, run
from tracker.config import Settings
from tracker.core.calendar import date_of
from tracker.core.password import SHORTEST
from tracker.dashboard import accounts
from tracker.flows.accounts import Accounts
from tracker.model import Account, Role
from tracker.parts import built, utc_now

EMAIL = click.argument("login", metavar="EMAIL")


@click.group()
def user() -> None:
    """Make, list and disable accounts of the dashboard.

    A rep sees their own messages, a manager totals, the privacy officer consents and deletion.
    """


@user.command()
@EMAIL
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True, help="What they may see.")
@click.option(
    "--alias", "aliases", metavar="EMAIL", multiple=True,
    help="Another address of theirs: mail from it is theirs too. May be given several times.",
)  # fmt: skip
@click.pass_obj
def add(context: Context, login: str, role: str, aliases: tuple[str, ...]) -> None:
    """Make an account.

    The password comes from a prompt or from stdin.
    """
    run(_add(context.settings(), login, Role(role), aliases, _password()))
    click.echo(f"made; they sign in at {context.settings().dashboard_url} and can change the password there")


@user.command("list")
@click.pass_obj
def list_users(context: Context) -> None:
    """List all accounts."""
    for one in run(_all(context.settings())):
        known = f" ({', '.join(one.aliases)})" if one.aliases else ""
        factor = "with a second factor" if one.second_factor else "without a second factor"
        state = "" if one.disabled_day is None else f"; disabled {date_of(one.disabled_day)}"
        click.echo(f"{one.login}{known}: {one.role}, {factor}; made {date_of(one.created_day)}{state}")


@user.command()
@EMAIL
@click.pass_obj
def disable(context: Context, login: str) -> None:
    """Let an account sign in no more.

    Its sessions are over at once.
    """
    run(_disable(context.settings(), login))
    click.echo("disabled; the account is forgotten with what the audit trail says of it")


@user.command()
@EMAIL
@click.pass_obj
def enable(context: Context, login: str) -> None:
    """Let a disabled account sign in again."""
    run(_enable(context.settings(), login))
    click.echo("enabled")


@user.command()
@EMAIL
@click.pass_obj
def password(context: Context, login: str) -> None:
    """Set another password.

    It comes from a prompt or from stdin. The account's sessions are over.
    """
    run(_set_password(context.settings(), login, _password()))
    click.echo("set")


@user.command("reset-second-factor")
@EMAIL
@click.pass_obj
def reset_second_factor(context: Context, login: str) -> None:
    """Take a second factor away, after a lost telephone.

    The account sets up a new one when it signs in. Its sessions are over.
    """
    run(_reset(context.settings(), login))
    click.echo("reset")


def _password() -> str:
    """The password: typed twice at a prompt, or a line on stdin."""
    if sys.stdin.isatty():
        typed: str = click.prompt(
            f"Password ({SHORTEST} characters or more)", hide_input=True, confirmation_prompt=True
        )
        return typed
    return sys.stdin.readline().rstrip("\r\n")


@asynccontextmanager
async def _accounts(settings: Settings) -> AsyncIterator[Accounts]:
    async with built(settings) as parts:
        yield accounts(parts)


async def _add(settings: Settings, login: str, role: Role, aliases: tuple[str, ...], password: str) -> None:
    async with _accounts(settings) as all_of_them:
        await all_of_them.add(login, role, aliases, password, utc_now())


async def _all(settings: Settings) -> tuple[Account, ...]:
    async with _accounts(settings) as all_of_them:
        return await all_of_them.all()


async def _disable(settings: Settings, login: str) -> None:
    async with _accounts(settings) as all_of_them:
        await all_of_them.disable(login, utc_now())


async def _enable(settings: Settings, login: str) -> None:
    async with _accounts(settings) as all_of_them:
        await all_of_them.enable(login, utc_now())


async def _set_password(settings: Settings, login: str, password: str) -> None:
    async with _accounts(settings) as all_of_them:
        await all_of_them.set_password(login, password, utc_now())


async def _reset(settings: Settings, login: str) -> None:
    async with _accounts(settings) as all_of_them:
        await all_of_them.reset_second_factor(login, utc_now())
