"""The commands that set up and check an installation: init, doctor."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

import click

from tracker.cli.common import LANGUAGES, Context, run
from tracker.doctor import examine
from tracker.doors.asker import ask
from tracker.findings import Finding
from tracker.installation import create
from tracker.keyfile import KeyFile
from tracker.model import BadSetting, Language, SetupError
from tracker.outside import examine_from_outside
from tracker.parts import utc_now

LOOPBACK_URL = "http://127.0.0.1:8080"


@click.command()
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option("--controller", metavar="NAME", help="The company that asks for consent.")
@click.option("--contact", metavar="ADDRESS", help="Where people reach it about their data.")
@click.option("--public-url", metavar="URL", default=LOOPBACK_URL, show_default=True, help="What links begin with.")
@click.option("--language", type=LANGUAGES, default="en", show_default=True, help="What people are spoken to in.")
@click.option("--live", is_flag=True, help="Let the first notice cover that reps watch as it happens.")
def init(
    folder: Path, controller: str | None, contact: str | None, public_url: str, language: str, *, live: bool
) -> None:
    """Write settings, keys, database and first notice to DIR.

    That is tracker.toml, the key file, the database, and notice 2026-1 in each language. Nothing is overwritten.
    """
    config = run(
        create(
            folder,
            controller=_asked("controller", controller, "The company that asks for consent"),
            contact=_asked("contact", contact, "Where people reach it about their data"),
            public_url=public_url,
            language=Language(language),
            now=utc_now(),
            environ=os.environ,
            live=live,
        )
    )
    click.echo(f"wrote {config}, the key file, the database and notice 2026-1")
    click.echo("Keep the key file safe and apart from backups of the database. Next: tracker key create, tracker serve")


@click.command()
@click.option(
    "--from-outside",
    is_flag=True,
    help="Also ask for a pixel and a link through public_url, as a stranger would; nothing is recorded.",
)
@click.pass_obj
def doctor(context: Context, from_outside: bool) -> None:
    """Check settings, keys, files, database and journal.

    Overdue rows, too. Exits 1 when something is wrong.
    """
    findings = run(examine(context.settings, utc_now()))
    if from_outside:
        findings += _outside(context)
    for finding in findings:
        click.echo(str(finding))
    if not all(finding.fine for finding in findings):
        sys.exit(1)


def _outside(context: Context) -> tuple[Finding, ...]:
    try:
        settings = context.settings()
        ring = KeyFile(settings.key_file).load()
        return examine_from_outside(settings.public_url, ring, utc_now(), secrets.token_bytes, ask)
    except SetupError:
        return ()  # what is wrong with settings or keys was said


def _asked(setting: str, value: str | None, question: str) -> str:
    if value is not None:
        return value
    if not sys.stdin.isatty():
        raise BadSetting(f"{setting}: required; give --{setting}")
    answer: str = click.prompt(question)
    return answer
