"""The command that proves that somebody was forgotten, with a report for the answer to them."""

from __future__ import annotations

from pathlib import Path

import click

from tracker.cli.common import CASE, LANGUAGE, Context, address_given, new_file, run, spoken
from tracker.config import Settings
from tracker.doors.forgotten_report import report
from tracker.doors.languages import Languages
from tracker.doors.pages import templates_folder
from tracker.flows.forgotten import Forgetting, Kind, Place, Proof
from tracker.flows.subject import Request
from tracker.model import OwnActor
from tracker.parts import built, utc_now
from tracker.policies import site
from tracker.store.engine import database_file
from tracker.store.journal_files import put_aside


@click.command("prove-forgotten")
@click.option(
    "--log", "logs", type=click.Path(exists=True, path_type=Path), multiple=True,
    help="A log file or a folder of them, packed ones too; may be given several times.",
)  # fmt: skip
@LANGUAGE
@CASE
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the report there, too; a new file."
)
@click.pass_obj
def prove_forgotten(
    context: Context, logs: tuple[Path, ...], language: str | None, case: str | None, output: Path | None
) -> None:
    """Prove that nothing more is held about an address.

    Searches everything that this tracker writes for the address, which is read from stdin, and reports what is left.
    Exits 1 when that is more than the law allows to keep.
    """
    settings = context.settings()
    database = database_file(settings.database_url)
    places = (
        *(() if database is None else (Place(Kind.DATABASE, database),)),
        Place(Kind.JOURNAL, settings.journal),
        *(Place(Kind.JOURNAL, aside) for aside, _ in put_aside(settings.journal)),
        *(Place(Kind.LOG, path) for path in logs),
    )
    proof = run(_prove(settings, address_given(None), places, Request(OwnActor.CLI, case)))
    languages = Languages(templates_folder() / "locale")
    text = report(proof, site(settings), settings.backup_days, languages, spoken(language, settings))
    if output is not None:
        with new_file(output) as file:
            file.write(text)
    click.echo(text, nl=False)
    if not logs:
        click.echo("No logs were searched: name them with --log.", err=True)
    if not proof.holds:
        raise SystemExit(1)


async def _prove(settings: Settings, address: str, places: tuple[Place, ...], request: Request) -> Proof:
    async with built(settings) as parts:
        forgetting = Forgetting(parts.store, parts.keys)
        return await forgetting.prove(address, places, request, utc_now())
