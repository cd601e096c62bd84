"""The command that looks through sent mail for trackers; it needs no set-up and changes nothing."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import IO, Final

import click
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tracker.cli.common import new_file
from tracker.core.cells import harmless
from tracker.core.foreign_trackers import OURSELVES
from tracker.doors.pages import templates_folder
from tracker.flows import audit as flow
from tracker.flows.audit import Audited, Skipped, Totals

LISTED: Final = 10_000
"""Messages that text and page name one by one; CSV names all."""
SKIPPED: Final = {
    Skipped.LINK: "symbolic links, not followed",
    Skipped.NO_MESSAGE: "files that are no messages",
    Skipped.TOO_LARGE: "messages too large to be read",
    Skipped.UNREADABLE: "messages that could not be read",
}
COLUMNS: Final = ("message", "kind", "by", "count")


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["text", "csv", "html"]), default="text", show_default=True,
    help="How to write it.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write there instead of printing; a new file."
)
def audit(path: Path, form: str, output: Path | None) -> None:
    """Tell which messages already track people, and by whom.

    PATH is a folder, a Maildir or an mbox. Nothing else is read: no settings, no network. Nothing is changed, and no
    recipient is named.
    """
    write = {"text": _text, "csv": _csv, "html": _html}[form]
    with (
        nullcontext(sys.stdout) if output is None else new_file(output) as out,
        _watched(path, hidden=out.isatty() and form == "csv") as found,
    ):
        write(found, out)


@contextmanager
def _watched(path: Path, *, hidden: bool) -> Iterator[Iterator[Audited]]:
    """What the audit of PATH finds, while a bar on stderr shows how far it is."""
    if hidden or not sys.stderr.isatty():
        yield flow.audit(path)
        return
    with click.progressbar(length=flow.size_of(path), label="Reading", file=sys.stderr) as bar:
        yield _counted(flow.audit(path), bar.update)


def _counted(found: Iterator[Audited], update: Callable[[int], None]) -> Iterator[Audited]:
    for one in found:
        update(one.size)
        yield one


def _text(found: Iterator[Audited], out: IO[str]) -> None:
    totals, listed = _collected(found)
    lines = [_sentence(totals), ""]
    if totals.by_vendor:
        width = max(map(len, totals.by_vendor))
        lines.append(f"{'by':{width}}  messages  pixels   links")
        for vendor, messages, pixels, links in _vendors(totals):
            lines.append(f"{vendor:{width}}  {messages:8}  {pixels:6}  {links:6}")
        lines.append("")
    lines += [f"{one.where}: {_how(one)}" for one in listed]
    if totals.tracking > len(listed):
        lines.append(f"... and {totals.tracking - len(listed)} more messages; --format csv names all.")
    lines += [f"Not looked into: {SKIPPED[why]} ({count})." for why, count in sorted(totals.skipped.items())]
    lines += _ours(totals)
    out.write("\n".join(lines).rstrip("\n") + "\n")


def _csv(found: Iterator[Audited], out: IO[str]) -> None:
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    for one in found:
        for kind, vendor, count in one.trackers:
            table.writerow((harmless(one.where), kind, harmless(vendor), count))
        if one.skipped is not None:
            table.writerow((harmless(one.where), f"skipped: {one.skipped}", "", ""))


def _html(found: Iterator[Audited], out: IO[str]) -> None:
    totals, listed = _collected(found)
    folder = templates_folder()
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("audit/page.html").render(
        style=Markup((folder / "style.css").read_text(encoding="utf-8")),  # noqa: S704 - a file of this release
        sentence=_sentence(totals),
        totals=totals,
        vendors=_vendors(totals),
        most=max((row[1] for row in _vendors(totals)), default=1),
        listed=[(one.where, _how(one)) for one in listed],
        skipped=[(SKIPPED[why], count) for why, count in sorted(totals.skipped.items())],
        remarks=_ours(totals),
    )
    out.write(page + "\n")


def _collected(found: Iterator[Audited]) -> tuple[Totals, list[Audited]]:
    totals = Totals()

    def tracking() -> Iterator[Audited]:
        for one in found:
            totals.add(one)
            if one.trackers:
                yield one

    some = tracking()
    listed = list(islice(some, LISTED))
    for _ in some:
        pass  # counted, not kept
    return totals, listed


def _sentence(totals: Totals) -> str:
    if not totals.messages:
        return "No messages were found."
    return f"{totals.tracking} of {totals.messages} messages track{'s' * (totals.tracking == 1)} people."


def _vendors(totals: Totals) -> list[tuple[str, int, int, int]]:
    """By whom: messages, pixels and links, the most frequent first."""
    rows = [(by, count["messages"], count["pixel"], count["link"]) for by, count in totals.by_vendor.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def _how(one: Audited) -> str:
    return "; ".join(
        f"{count} {kind}{'s' * (count > 1)} by {vendor}" if count > 1 else f"{kind} by {vendor}"
        for kind, vendor, count in one.trackers
    )


def _ours(totals: Totals) -> list[str]:
    if OURSELVES not in totals.by_vendor:
        return []
    return [f"{OURSELVES} is this program: it tracks those who agreed."]
