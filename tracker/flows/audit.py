"""Tells which messages of a folder, Maildir or mbox already track people, by whom and how.

The law: nothing is changed, nothing outside the path is read (links are not followed), one message is in memory at a
time, and what comes out names no recipient.
"""

from __future__ import annotations

import binascii
import email
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from enum import StrEnum
from pathlib import Path
from typing import Final

from tracker.core import charset, foreign, mime
from tracker.core.address import mask_addresses
from tracker.core.foreign import Kind
from tracker.core.mime import Leaf
from tracker.model import Reason

LARGEST: Final = 64 * 1024 * 1024
"""Octets of a message up to which it is read."""
_MAILDIR: Final = frozenset({"cur", "new", "tmp"})
_FIELDS: Final = re.compile(
    rb"(?im)^(?:from|to|date|subject|received|message-id|mime-version|content-type|return-path|delivered-to)[ \t]*:"
)
_HEADER: Final = re.compile(rb"(?:>?From [^\n]*\n|\xef\xbb\xbf)?[!-9;-~]+[ \t]*:")
_LOOKED_AT: Final = 16_384


class Skipped(StrEnum):
    """Why something under the path was not looked into."""

    LINK = "link"
    """A symbolic link, which may lead elsewhere."""
    NO_MESSAGE = "no-message"
    TOO_LARGE = "too-large"
    UNREADABLE = "unreadable"
    """The system does not let us read it, or the message is too broken for every reader."""


@dataclass(frozen=True, slots=True)
class Audited:
    """One message, or one file that is none."""

    where: str
    """Its path below the one that was asked for, with the number of the message in an mbox; addresses masked."""
    trackers: tuple[tuple[Kind, str, int], ...] = ()
    """How, by whom, how many."""
    skipped: Skipped | None = None
    size: int = 0
    """Octets of the file that are done with this: for a progress bar."""


@dataclass(slots=True)
class Totals:
    """What a whole audit found."""

    messages: int = 0
    tracking: int = 0
    """Messages with a tracker in them."""
    found: Counter[Kind] = field(default_factory=Counter)
    by_vendor: dict[str, Counter[str]] = field(default_factory=dict)
    """Service or host → `messages`, `pixel`, `link`."""
    skipped: Counter[Skipped] = field(default_factory=Counter)

    def add(self, one: Audited) -> None:
        """Count ONE in."""
        if one.skipped is not None:
            self.skipped[one.skipped] += 1
            return
        self.messages += 1
        self.tracking += bool(one.trackers)
        for kind, vendor, count in one.trackers:
            self.found[kind] += count
            self.by_vendor.setdefault(vendor, Counter())[kind] += count
        for vendor in {vendor for _, vendor, _ in one.trackers}:
            self.by_vendor[vendor]["messages"] += 1


def audit(path: Path) -> Iterator[Audited]:
    """Everything at and below PATH, in a fixed order. Never raises for what it finds there."""
    for file, relative in _files(path):
        yield from _audit_file(file, mask_addresses(_printable(relative)))


def size_of(path: Path) -> int:
    """Octets of all files at and below PATH, as `Audited.size` adds up to."""
    return sum(_size(file) for file, _ in _files(path))


def trackers_in(message: bytes) -> tuple[tuple[Kind, str, int], ...] | None:
    """The trackers in the HTML bodies of MESSAGE: how, by whom, how many; None when nobody can read it."""
    bodies = _html_bodies(message)
    if bodies is None:
        return None
    found = Counter((one.kind, _named(one.vendor)) for body in bodies for one in foreign.find(body))
    return tuple((kind, vendor, count) for (kind, vendor), count in sorted(found.items(), key=lambda item: item[0]))


def _named(vendor: str) -> str:
    return mask_addresses(_printable(vendor))[:100]


# --- files ---


def _files(path: Path) -> Iterator[tuple[Path, str]]:
    """Every file at and below PATH (links themselves, too) with its relative name; a Maildir's `tmp` is left out."""
    if not path.is_dir():
        yield path.resolve(), path.name
        return
    for folder, folders, names in os.walk(path, followlinks=False):
        if set(folders) >= _MAILDIR:
            folders.remove("tmp")
        folders.sort()
        for name in sorted([*names, *(one for one in folders if os.path.islink(os.path.join(folder, one)))]):
            file = Path(folder, name)
            yield file, str(file.relative_to(path))


def _size(file: Path) -> int:
    try:
        status = file.lstat()
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _audit_file(file: Path, name: str) -> Iterator[Audited]:
    if file.is_symlink():
        yield Audited(name, skipped=Skipped.LINK)
        return
    size = _size(file)
    done = 0
    try:
        # O_NOFOLLOW: it may have become a link since; O_NONBLOCK: opening a pipe would wait for ever.
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                yield Audited(name, skipped=Skipped.NO_MESSAGE)
                return
            start = stream.read(_LOOKED_AT)
            if not _HEADER.match(start) or not _FIELDS.search(start):
                yield Audited(name, skipped=Skipped.NO_MESSAGE, size=size)
                return
            stream.seek(0)
            several = start.startswith(b"From ")
            for number, message in enumerate(_messages(stream) if several else _whole(stream, size), 1):
                octets = message if isinstance(message, int) else len(message)
                done += octets
                where = f"{name}#{number}" if several else name
                yield _audit_message(where, message, octets)
    except OSError:
        yield Audited(name, skipped=Skipped.UNREADABLE, size=max(0, size - done))


def _audit_message(where: str, message: bytes | int, octets: int) -> Audited:
    if isinstance(message, int):
        return Audited(where, skipped=Skipped.TOO_LARGE, size=octets)
    trackers = trackers_in(message)
    if trackers is None:
        return Audited(where, skipped=Skipped.UNREADABLE, size=octets)
    return Audited(where, trackers, size=octets)


def _whole(stream: Iterator[bytes], size: int) -> Iterator[bytes | int]:
    yield size if size > LARGEST else b"".join(stream)


def _messages(stream: Iterator[bytes]) -> Iterator[bytes | int]:
    """The messages of an mbox; of one that is too large only its length."""
    lines: list[bytes] = []
    octets = 0
    after_blank = False
    for line in stream:
        if after_blank and line.startswith(b"From ") and octets:
            yield octets if octets > LARGEST else b"".join(lines)
            lines, octets = [], 0
        octets += len(line)
        if octets <= LARGEST:
            lines.append(line)
        else:
            lines.clear()
        after_blank = line in (b"\n", b"\r\n")
    if octets:
        yield octets if octets > LARGEST else b"".join(lines)


def _printable(name: str) -> str:
    """NAME without what would steer a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in name)


# --- messages ---


def _html_bodies(message: bytes) -> list[bytes] | None:
    """The HTML bodies as the scanners see them; None when MESSAGE cannot be read at all."""
    structure = mime.walk(message)
    if isinstance(structure, Reason):
        return _read_leniently(message)
    bodies = [leaf for leaf in structure.leaves if leaf.is_body and leaf.type.kind == "text/html"]
    return [_seen(_decoded(message[leaf.start : leaf.end], leaf), leaf.type.charset) for leaf in bodies]


def _read_leniently(message: bytes) -> list[bytes] | None:
    """The same for what is signed or ambiguous: rewriting must not touch it, but its reader sees something."""
    try:
        return [
            _seen(_payload(part), str(part.get_content_charset("utf-8")))
            for part in email.message_from_bytes(message).walk()
            if _is_html(part)
        ]
    except Exception:
        return None  # the parser of the standard library gives up on some, each in its own way


def _payload(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _is_html(part: Message) -> bool:
    return part.get_content_type() == "text/html" and part.get_content_disposition() != "attachment"


def _decoded(encoded: bytes, leaf: Leaf) -> bytes:
    if leaf.encoding == "quoted-printable":
        return binascii.a2b_qp(encoded)
    if leaf.encoding == "base64":
        try:
            return binascii.a2b_base64(encoded)
        except binascii.Error:
            return encoded
    return encoded


def _seen(body: bytes, name: str | None) -> bytes:
    view = charset.view(body, name)
    return body if view is None else view.text
