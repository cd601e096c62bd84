"""The commands that run the tracker: serve, sweep, demo."""

from __future__ import annotations

import logging
import resource

import click

from tracker.cli.common import Context, run
from tracker.config import Settings, effective
from tracker.core.calendar import date_of, day_of
from tracker.demo.story import tell
from tracker.flows import sweep as flow
from tracker.parts import built, utc_now
from tracker.service import serve as run_service

log = logging.getLogger(__name__)


@click.command()
@click.pass_obj
def serve(context: Context) -> None:
    """Run the listeners, until SIGTERM or Ctrl-C."""
    settings = context.settings()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold addresses and keys
    for name, value in effective(settings).items():
        log.info("setting %s=%s", name, value)

    def ready() -> None:
        where = {"public": settings.public_listen, "private": settings.private_listen}
        where["dashboard"] = settings.dashboard_listen
        click.echo("listening: " + ", ".join(f"{name} {listen}" for name, listen in where.items()))

    run(run_service(settings, ready))


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
