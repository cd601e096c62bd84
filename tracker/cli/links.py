"""The commands on targets that are being abused: link block, list, unblock."""

from __future__ import annotations

from collections.abc import Callable

import click

from tracker.blockfile import BlockFile
from tracker.cli.common import Context, run
from tracker.config import Settings
from tracker.core.blocked import host_of
from tracker.core.calendar import day_of, later
from tracker.core.periods import AUDIT_DAYS
from tracker.model import OwnActor, TrackerError
from tracker.parts import built, utc_now


@click.group()
def link() -> None:
    """Block targets that are being abused.

    Their links show where they lead and ask, instead of redirecting. They stand in the file that the setting
    `blocked_hosts` names; several machines need the same file, like the keys.
    """


@link.command()
@click.argument("host")
@click.pass_obj
def block(context: Context, host: str) -> None:
    """Let links to a host redirect no more.

    HOST stands for all hosts below it, too. A name in any script, or a URL of which the host counts. Running servers
    know within a second or two. Mail that is sent from now on still gets such links; `excluded_links` keeps them as
    they are.
    """
    _change(context.settings(), "link block", host_of(host), lambda file, name: file.add(name, utc_now()))


@link.command()
@click.argument("host")
@click.pass_obj
def unblock(context: Context, host: str) -> None:
    """Let links to a host redirect again.

    HOST must be one that `link list` names; hosts below it cannot be let go alone.
    """
    _change(context.settings(), "link unblock", host_of(host), lambda file, name: file.remove(name))


@link.command("list")
@click.pass_obj
def list_blocked(context: Context) -> None:
    """List the blocked hosts, and since when."""
    for host, since in BlockFile(context.settings().blocked_hosts).load().items():
        click.echo(f"{host}  {since}".rstrip())


def _change(settings: Settings, action: str, host: str, change: Callable[[BlockFile, str], bool]) -> None:
    if not change(BlockFile(settings.blocked_hosts), host):
        click.echo(f"{host}: nothing to change; nothing was written")
        return
    click.echo(f"{host}: {'blocked' if action == 'link block' else 'redirects again'}, and all hosts below it")
    try:
        run(_audited(settings, action))
    except TrackerError as error:  # it counts all the same
        click.echo(f"The audit trail has no line about it. {error.title}", err=True)


async def _audited(settings: Settings, action: str) -> None:
    async with built(settings) as parts, parts.store.subjects() as book:
        now = utc_now()
        last_day = later(day_of(now), AUDIT_DAYS)
        await book.audit(at=now, actor=OwnActor.CLI, action=action, case=None, last_day=last_day)
