"""The commands on the texts people agree to: add, list, supersede."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from tracker.cli.common import LANGUAGES, Context, run
from tracker.config import Settings
from tracker.core.calendar import date_of
from tracker.core.ledger import notice_hash
from tracker.core.notice_text import LONGEST
from tracker.model import Feature, Language, Notice
from tracker.parts import built, utc_now


@click.group()
def notice() -> None:
    """Keep the texts people agree to.

    Each version in one or more languages, never changed once it is on file.
    """


@notice.command()
@click.argument("version")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--language", type=LANGUAGES, required=True, help="That of the text in FILE.")
@click.option(
    "--feature",
    "features",
    type=click.Choice([one.value for one in Feature]),
    multiple=True,
    help="What the text covers beyond measuring: somebody may watch live, or it is passed on by webhook.",
)
@click.pass_obj
def add(context: Context, version: str, file: Path, language: str, features: tuple[str, ...]) -> None:
    """Put the text in FILE on file as VERSION, in one language.

    FILE is in UTF-8. All languages of a version have the same features.
    """
    with file.open("rb") as stream:
        octets = stream.read(LONGEST + 1)
    news, known = run(_add(context.settings(), version, Language(language), octets, frozenset(map(Feature, features))))
    click.echo("added" if news else "on file already; nothing was written")
    if lacking := [one for one in Language if one not in known]:
        click.echo(f"{version} cannot be agreed to in: {', '.join(lacking)}")


@notice.command("list")
@click.pass_obj
def list_notices(context: Context) -> None:
    """List every text by version and language, superseded ones too."""
    for one in run(_all(context.settings())):
        state = "in force" if one.superseded_day is None else f"superseded {date_of(one.superseded_day)}"
        features = f"; {', '.join(sorted(one.features))}" if one.features else ""
        click.echo(f"{one.version} {one.language}: {state}{features}; sha256 {notice_hash(one.text)}")


@notice.command()
@click.argument("version")
@click.pass_obj
def supersede(context: Context, version: str) -> None:
    """End VERSION in every language, and its grants with it.

    Because its purpose, controller or content changed.
    """
    run(_supersede(context.settings(), version))
    click.echo("superseded; every consent that rested on it has ended")


async def _add(
    settings: Settings, version: str, language: Language, octets: bytes, features: frozenset[Feature]
) -> tuple[bool, frozenset[Language]]:
    async with built(settings) as parts:
        news = await parts.notices.add(version, language, octets, features)
        return news, frozenset(one.language for one in await parts.notices.all() if one.version == version)


async def _all(settings: Settings) -> Sequence[Notice]:
    async with built(settings) as parts:
        return await parts.notices.all()


async def _supersede(settings: Settings, version: str) -> None:
    async with built(settings) as parts:
        await parts.notices.supersede(version, utc_now())
