"""The commands for letters and calls: what is held about a person, the same for the person, and its erasure."""

from __future__ import annotations

import json

import click

from tracker.cli.common import CASE, LANGUAGE, Context, address_given, run, spoken
from tracker.config import Settings
from tracker.core.export import document, table
from tracker.core.held import Held
from tracker.doors.about import about
from tracker.doors.languages import Languages
from tracker.doors.pages import templates_folder
from tracker.flows.subject import Export, Request
from tracker.model import OwnActor
from tracker.parts import built, utc_now
from tracker.policies import disclosure


@click.group()
def subject() -> None:
    """Show, export and erase what is held about a person.

    After a letter or a call. The address is read from stdin, never from an argument.
    """


@subject.command()
@CASE
@click.pass_obj
def show(context: Context, case: str | None) -> None:
    """Show everything that is held about a person, as JSON."""
    held = run(_show(context.settings(), address_given(None), _request(case)))
    click.echo(_json(document(held, (), {}, utc_now())))


@subject.command()
@CASE
@click.option(
    "--format", "form", type=click.Choice(["json", "csv"]), default="json", show_default=True, help="How to write it."
)
@LANGUAGE
@click.pass_obj
def export(context: Context, case: str | None, form: str, language: str | None) -> None:
    """Print everything that is held, for the person to have.

    As JSON also what they must be told beside it (GDPR Article 15).
    """
    settings = context.settings()
    found = run(_export(settings, address_given(None), _request(case)))
    if form == "csv":
        click.echo(table(found.held), nl=False)
        return
    beside = about(disclosure(settings), Languages(templates_folder() / "locale"), spoken(language, settings))
    click.echo(_json(document(found.held, found.notices, beside, utc_now())))


@subject.command()
@CASE
@click.pass_obj
def erase(context: Context, case: str | None) -> None:
    """Erase a person, but for the refusal and the proof.

    These the law allows to keep.
    """
    news = run(_erase(context.settings(), address_given(None), _request(case)))
    click.echo("erased" if news else "there was nothing to erase; nothing was written about the person")


def _request(case: str | None) -> Request:
    return Request(OwnActor.CLI, case)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


async def _show(settings: Settings, address: str, request: Request) -> Held:
    async with built(settings) as parts:
        return await parts.subjects.show(address, request, utc_now())


async def _export(settings: Settings, address: str, request: Request) -> Export:
    async with built(settings) as parts:
        return await parts.subjects.export(address, request, utc_now())


async def _erase(settings: Settings, address: str, request: Request) -> bool:
    async with built(settings) as parts:
        return await parts.subjects.erase(address, request, utc_now())
