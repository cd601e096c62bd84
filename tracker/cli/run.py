"""The commands that run the tracker: serve, sweep, demo."""

from __future__ import annotations

import logging
import resource
from typing import Final

import click

from tracker.cli.common import Context, run
from tracker.config import Settings, effective
from tracker.core.calendar import date_of, day_of
from tracker.demo.story import tell
from tracker.flows import sweep as flow
from tracker.parts import built, utc_now
from tracker.service import serve as run_service
from tracker.supervisor import supervise

log = logging.getLogger(__name__)

MOST_WORKERS: Final = 32
"""Twice as many run while they are exchanged, and each of those has a counter of its own, of 64."""


@click.command()
@click.option(
    "--workers",
    type=click.IntRange(1, MOST_WORKERS),
    help="How many processes share the work; SIGHUP then exchanges them without dropping a connection.",
)
@click.pass_obj
def serve(context: Context, workers: int | None) -> None:
    """Run the listeners, until SIGTERM or Ctrl-C."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold addresses and keys

    def settings() -> Settings:
        found = context.settings()
        for name, value in effective(found).items():
            log.info("setting %s=%s", name, value)
        return found

    def ready(found: Settings) -> None:
        where = {"public": found.public_listen, "private": found.private_listen, "dashboard": found.dashboard_listen}
        click.echo("listening: " + ", ".join(f"{name} {listen}" for name, listen in where.items()))

    if workers is None:
        found = settings()
        run(run_service(found, lambda: ready(found)))
    else:
        raise SystemExit(run(supervise(workers, settings, ready)))


@click.command()
@click.pass_obj
def sweep(context: Context) -> None:
    """Delete what is past its last day, now, and count it.

    The server does the same by itself.
    """
    deleted = run(_sweep(context.settings()))
    click.echo(f"Past its day before {date_of(day_of(utc_now()))}:")
    for table, rows in deleted.items():
        click.echo(f"{rows:8d}  {table}")
    click.echo(f"{sum(deleted.values()):8d}  in all")


@click.command()
@click.option("--once", is_flag=True, help="Tell the story and exit: 0, or 1 if a step did not do what it says.")
def demo(once: bool) -> None:
    """Tell the whole story on loopback, in a temporary folder.

    Consent, tracked mail, figures, a no, and forgetting, with real messages.
    """
    raise SystemExit(run(tell(once=once)))


async def _sweep(settings: Settings) -> dict[str, int]:
    async with built(settings) as parts:
        deleted = await flow.sweep(parts.store, utc_now(), settings.proof_days)
        await flow.vacuum(parts.store, utc_now())
        return dict(deleted)
