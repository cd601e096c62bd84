"""Reads a customer list line by line: a CSV file whose first line names its columns as the API names its fields.

The law: what stands in the list is never quoted; a line is known by its number.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from tracker.core.address import contains_address
from tracker.doors.api_bodies import parsed
from tracker.doors.api_consents import reported_consent
from tracker.doors.schemas import ConsentBody, EvidenceBody
from tracker.flows.bulk import Line
from tracker.model import BadList, BadRequest, ExistingCustomer, InvalidField, OwnActor

DELIMITERS: Final = ",;\t"
REQUIRED: Final = ("address", "purposes", "method", "given_at", "notice_version", "language")
EVIDENCE: Final = tuple(EvidenceBody.model_fields)
KNOWN: Final = frozenset({*REQUIRED, "reference", *EVIDENCE})
LONGEST_NAME: Final = 40
_YES_OR_NO: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CUSTOMER: Final = re.compile(r"existing[-_ ]?customer|bestandskunde|is[-_ ]?customer")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the list: its number in the file, and the report that it is, or why it is none."""

    number: int
    line: Line


class CustomerList:
    """A list on disk, which can be read as often as one likes."""

    def __init__(self, path: Path, references_of: str | None = None) -> None:
        """REFERENCES_OF: whose ids the references are, when not the command line's own."""
        self._path = path
        self._source = references_of
        self.size = path.stat().st_size
        self.read = 0
        """Octets that were read so far."""

    def chunks(self, size: int) -> Iterator[list[Row]]:
        """The rows, SIZE at a time. Raises BadList."""
        rows = self.rows()
        while chunk := list(islice(rows, size)):
            yield chunk

    def rows(self) -> Iterator[Row]:
        """Every row that holds anything. Raises BadList when the first line does not name the columns."""
        with (
            self._path.open("rb") as file,
            io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="") as text,
        ):
            head = text.readline()
            delimiter = max(DELIMITERS, key=lambda one: len(KNOWN.intersection(_names(head, one))))
            names = _checked(_names(head, delimiter))
            reader = csv.reader(text, delimiter=delimiter)
            while True:
                number = reader.line_num + 2  # the first line of the row, counted from the head
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error:
                    yield Row(number, InvalidField("the line is no CSV"))
                    continue
                self.read = file.tell()
                if any(cell.strip() for cell in cells):
                    yield Row(number, self._line(names, cells))

    def _line(self, names: list[str], cells: list[str]) -> Line:
        if len(cells) > len(names):
            return InvalidField("the line has more cells than the first line has columns")
        try:
            body = parsed(ConsentBody, json.dumps(_body(names, cells), ensure_ascii=False).encode())
        except UnicodeEncodeError:
            return InvalidField("the line is not in UTF-8")
        except BadRequest as error:
            error.detail = error.detail.replace("evidence.", "")  # a column has the name of its field alone
            return error
        return replace(reported_consent(body, OwnActor.CLI, requested=False), source=self._source)


def _names(line: str, delimiter: str) -> list[str]:
    try:
        return [name.strip().lower() for name in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _checked(names: list[str]) -> list[str]:
    """NAMES, if every column is known. Raises BadList, ExistingCustomer."""
    if not KNOWN.intersection(names):
        raise BadList("the first line must name the columns, in UTF-8, with ',', ';' or a tab between them")
    for place, name in enumerate(names, 1):
        if _CUSTOMER.fullmatch(name):
            raise ExistingCustomer(f"column {place}: what a customer agreed to stands in the other columns")
        if name not in KNOWN:
            shown = name.isprintable() and len(name) <= LONGEST_NAME and not contains_address(name)
            what = f"'{name}'" if shown and name else str(place)
            raise BadList(f"column {what} is not known; known are {', '.join((*REQUIRED, 'reference', *EVIDENCE))}")
        if names.count(name) > 1:
            raise BadList(f"column {name} stands there twice")
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise BadList(f"column {', '.join(missing)} is missing")
    return names


def _body(names: list[str], cells: list[str]) -> dict[str, Any]:
    """The API's body that a row amounts to; an empty cell is an absent field."""
    said = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if cell.strip()}
    body: dict[str, Any] = {name: said[name] for name in (*REQUIRED, "reference") if name in said}
    body["purposes"] = [name for name in re.split(r"[\s,;|+]+", said.get("purposes", "").lower()) if name]
    evidence: dict[str, Any] = {name: said[name] for name in EVIDENCE if name in said}
    for name in ("given_at", "confirmed_at", "call_started_at"):
        where = body if name in body else evidence
        if name in where and _DATE.fullmatch(where[name]):
            where[name] += "T00:00:00Z"
    if "call_seconds" in evidence and evidence["call_seconds"].isdecimal() and len(evidence["call_seconds"]) < 10:
        evidence["call_seconds"] = int(evidence["call_seconds"])
    if "call_again" in evidence:
        evidence["call_again"] = _YES_OR_NO.get(evidence["call_again"].lower(), evidence["call_again"])
    return {**body, "evidence": evidence}
