"""Puts a log record into one line: our own words as written, of everybody else's only the place.

The law: a library's message may quote an address, a request line or a statement's parameters, and so may the text of
any exception, ours included. Of those a line holds the logger, the level, the exception's type, and file and line.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

OURS: Final = "tracker"
FIELDS: Final = "fields"
"""`log.info("swept", extra={"fields": {"rows": 3}})` adds rows=3 to the line."""
LONGEST_CHAIN: Final = 5
"""Exceptions of one chain that are named."""

_PLACES: Final = ("site-packages/", "dist-packages/", f"python{sys.version_info[0]}.{sys.version_info[1]}/")


_QUOTES: Final = re.compile(r'["\\]')
_SPECIAL: Final = re.compile(r'[ ="\\]')


class LineFormatter(logging.Formatter):
    """One line of logfmt for each record, whatever it holds."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for RECORD, without a line end."""
        return " ".join(f"{name}={quoted(value)}" for name, value in _fields(record))


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    yield "time", datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    yield "level", record.levelname.lower()
    yield "logger", record.name
    if record.name == OURS or record.name.startswith(f"{OURS}."):
        yield "message", record.getMessage()
        yield from getattr(record, FIELDS, {}).items()
    elif not record.exc_info:
        yield "at", f"{short_path(record.pathname)}:{record.lineno}"
    if record.exc_info and record.exc_info[1] is not None:
        yield from _exception(record.exc_info[1])


def _exception(error: BaseException) -> Iterator[tuple[str, object]]:
    """Types and places of ERROR and of what caused it."""
    yield "error", kind_of(error)
    yield "at", _raised_at(error)
    via = _last_of_ours(error)
    if via:
        yield "via", via
    causes = [f"{kind_of(cause)}@{_raised_at(cause)}" for cause in _causes(error)]
    if causes:
        yield "cause", ",".join(causes)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen = {id(error)}
    current: BaseException | None = error
    for _ in range(LONGEST_CHAIN):
        if isinstance(current, BaseExceptionGroup):
            current = current.exceptions[0]
        elif current is not None:
            current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        if current is None or id(current) in seen:
            return
        seen.add(id(current))
        yield current


def kind_of(error: BaseException) -> str:
    """The dotted name of ERROR's type."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _raised_at(error: BaseException) -> str:
    place = "nowhere"
    for frame, line in traceback.walk_tb(error.__traceback__):
        place = f"{short_path(frame.f_code.co_filename)}:{line}"
    return place


def _last_of_ours(error: BaseException) -> str:
    """The deepest place in our own code, where the exception was raised elsewhere."""
    places = [
        f"{short_path(frame.f_code.co_filename)}:{line}" for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    ours = [place for place in places if place.startswith(f"{OURS}/")]
    return ours[-1] if ours and ours[-1] != places[-1] else ""


def short_path(path: str) -> str:
    """PATH without the part that says how this machine is arranged."""
    path = path.replace("\\", "/")
    for place in _PLACES:
        if place in path:
            return path.rpartition(place)[2]
    package = f"/{OURS}/"
    if package in path:
        return f"{OURS}/{path.rpartition(package)[2]}"
    return path.rpartition("/")[2]


def quoted(value: object) -> str:
    """VALUE as one word, or in quotes; what does not print is escaped, so that a record can never be two lines."""
    text = str(value)
    if text and text.isprintable() and not _SPECIAL.search(text):
        return text
    safe = text if text.isprintable() and not _QUOTES.search(text) else "".join(map(_escaped, text))
    return f'"{safe}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character, f"\\u{ord(character):04x}")
