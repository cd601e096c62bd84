"""The command that takes a customer list, with a report of each line that was refused, by number and without address.

The law: a list is no consent by itself; each line stands on its own evidence, and nobody is mailed because of one.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, TextIO

import click

from tracker.cli.common import Context, run
from tracker.cli.customer_list import CustomerList, Row
from tracker.config import Settings
from tracker.flows.bulk import CHUNK, Bulk, Line, NotAll, Result, said_no
from tracker.model import BadList, ConsentState, StoreUnavailable, TrackerError
from tracker.parts import Parts, built, utc_now

COLUMNS: Final = ("line", "problem", "what happened", "where", "what to do")


@dataclass(frozen=True, slots=True)
class Wish:
    """How a list is to be taken."""

    file: Path
    report: Path
    references_of: str | None
    all_or_nothing: bool
    dry_run: bool


@dataclass(slots=True)
class Counts:
    """What became of the lines."""

    taken: Counter[ConsentState] = field(default_factory=Counter)
    refused: int = 0

    def add(self, results: Iterable[Result]) -> None:
        """Count RESULTS too."""
        for result in results:
            if isinstance(result, TrackerError):
                self.refused += 1
            else:
                self.taken[result.answer[0]] += 1

    def __str__(self) -> str:
        states = [f"{self.taken[state]} {state.value}" for state in ConsentState if self.taken[state]]
        lines = self.taken.total() + self.refused
        return f"{lines} lines: {', '.join((*states, f'{self.refused} refused'))}"


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where refused lines are named; default: FILE with .report.csv in place of its ending.",
)
@click.option("--references-of", metavar="KEY", help="Whose ids the references are: the name of an API key.")
@click.option("--all-or-nothing", is_flag=True, help="Write nothing when a line is refused; others wait meanwhile.")
@click.option("--dry-run", is_flag=True, help="Only say what would become of each line.")
@click.pass_obj
def import_list(
    context: Context, file: Path, report: Path | None, references_of: str | None, all_or_nothing: bool, dry_run: bool
) -> None:
    """Take a customer list, with the evidence for each line.

    FILE is a CSV file in UTF-8 whose first line names its columns: address, purposes (such as "open click"), method,
    given_at, notice_version, language; as evidence source, confirmed_at, confirmed_by, document, call_started_at,
    call_seconds, call_again (yes or no); reference is your own id for the person. The same list again writes nothing.
    Nobody is mailed. A line that is refused is named in the report, by its number and never by the address; the exit
    status is then 1.
    """
    wish = Wish(file, report or file.with_suffix(".report.csv"), references_of, all_or_nothing, dry_run)
    if wish.report.exists() and wish.report.samefile(file):
        raise BadList("--report names the list itself")
    counts = run(_import(context.settings(), wish))
    click.echo(f"{counts}; report: {wish.report}")
    if dry_run:
        click.echo("nothing was written: this was a dry run")
    elif all_or_nothing and counts.refused:
        click.echo("nothing was written: it was to be all or nothing")
    if counts.refused:
        sys.exit(1)


async def _import(settings: Settings, wish: Wish) -> Counts:
    """What became of each line. Raises BadList, ExistingCustomer, StoreUnavailable, SetupError."""
    async with built(settings) as parts:
        await _check_key(parts, wish.references_of)
        customers = CustomerList(wish.file, wish.references_of)
        next(customers.rows(), None)  # what is wrong with the columns is said before a report is begun
        now = utc_now()
        with _opened(wish.report) as report:
            look = wish.dry_run or wish.all_or_nothing
            counts = await _one_by_one(parts.bulk, customers, report, now, rehearsal=look, try_only=not wish.dry_run)
            if wish.all_or_nothing and not wish.dry_run and not counts.refused:
                counts.taken = await _all_at_once(parts.bulk, customers, now)
        return counts


def _opened(report: Path) -> TextIO:
    try:
        return report.open("w", newline="", encoding="utf-8")
    except OSError as error:
        raise BadList(f"--report cannot be written: {error.strerror}") from None


async def _check_key(parts: Parts, name: str | None) -> None:
    if name is not None and name not in {key.name for key in await parts.access.all()}:
        raise BadList("--references-of: there is no API key of that name")


async def _one_by_one(
    bulk: Bulk, customers: CustomerList, report: TextIO, now: datetime, *, rehearsal: bool, try_only: bool
) -> Counts:
    """Take each line for itself, or in a REHEARSAL only see what would become of it.

    TRY_ONLY: in a rehearsal, too, the no of those who said no lasts from now on, since they were to be asked again.
    """
    counts = Counts()
    told = csv.writer(report)
    told.writerow(COLUMNS)
    reached = 0
    with _progress(customers) as show:
        for rows in customers.chunks(CHUNK):
            try:
                results = await bulk.record([row.line for row in rows], now, rehearsal=rehearsal)
                if rehearsal and try_only and any(map(said_no, results)):
                    await bulk.note_attempts(_refusing(rows, results), now)
            except StoreUnavailable:
                raise StoreUnavailable(f"lines up to {reached} were dealt with; import the list again") from None
            counts.add(results)
            told.writerows(_refusals(rows, results))
            reached = rows[-1].number
            show()
    return counts


def _refusals(rows: Sequence[Row], results: Sequence[Result]) -> Iterator[tuple[object, ...]]:
    """A line of the report for each that was refused. All words are ours: no cell can be a formula of somebody's."""
    for row, result in zip(rows, results, strict=True):
        if isinstance(result, TrackerError):
            yield row.number, result.slug, result.title, result.detail, result.remedy


def _refusing(rows: Sequence[Row], results: Sequence[Result]) -> list[Line]:
    """The lines of people who said no."""
    return [row.line for row, result in zip(rows, results, strict=True) if said_no(result)]


async def _all_at_once(bulk: Bulk, customers: CustomerList, now: datetime) -> Counter[ConsentState]:
    chunks = ([row.line for row in rows] for rows in customers.chunks(CHUNK))
    try:
        return await bulk.record_all(chunks, now)
    except NotAll:  # somebody said no since the look
        raise BadList("a line is refused now that was not when it was looked at; import the list again") from None


@contextmanager
def _progress(customers: CustomerList) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, and nothing elsewhere; call what it gives when more was read."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with click.progressbar(length=customers.size, file=sys.stderr, label="Importing") as bar:
        yield lambda: bar.update(customers.read - bar.pos)
        bar.update(customers.size - bar.pos)
