"""Reads the arguments of MAIL and RCPT, and tells where the data of a message ends (RFC 5321)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

END: Final = b"\r\n.\r\n"
LONGEST_LINE: Final = 65_536
"""Octets of a line of a message. RFC 5321 asks for 1,000; programs write longer ones, and next hops fold them."""

_MAILBOX: Final = r'(?:"(?:[^"\\\x00-\x1f\x7f]|\\[ -~])*"|[^<>"\\\s\x00-\x1f\x7f])'
_ARGUMENT: Final = re.compile(
    rf"[ \t]*(?:<(?:@[^:<>\s]+:)?(?P<angle>{_MAILBOX}*)>|(?P<bare>{_MAILBOX}+))(?P<rest>(?: .*)?)"
)
_PARAMETER: Final = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9-]*)(?:=(?P<value>[^\s=\x00-\x1f\x7f]+(?:=[^\s]*)?))?")


@dataclass(frozen=True, slots=True)
class Path:
    """A sender or recipient as the client named it, with the parameters of the command (names in capitals)."""

    address: str = field(repr=False)
    """Empty: the null sender."""
    parameters: Mapping[str, str | None] = field(default_factory=dict, repr=False)


def read_path(argument: str, keyword: str) -> Path | None:
    """The path in ARGUMENT, what follows `MAIL` or `RCPT`; KEYWORD is `FROM:` or `TO:`. None when it is none.

    A source route is left out, as RFC 5321 (appendix C) has it.
    """
    if argument[: len(keyword)].upper() != keyword:
        return None
    match = _ARGUMENT.fullmatch(argument, len(keyword))
    if match is None:
        return None
    parameters: dict[str, str | None] = {}
    for word in match["rest"].split():
        found = _PARAMETER.fullmatch(word)
        if found is None or found["name"].upper() in parameters:
            return None
        parameters[found["name"].upper()] = found["value"]
    address = match["bare"] if match["angle"] is None else match["angle"]
    return Path(address, parameters) if _is_text(argument) else None


def end_of_data(octets: bytes | bytearray, since: int = 0) -> int:
    """Where in OCTETS, all that came since DATA, the next command begins; -1 while the end has not come.

    Only a dot alone between two CRLF ends data: what a sender and a receiver read differently smuggles mail.
    SINCE: octets that were searched before.
    """
    if octets.startswith(END[2:]):
        return len(END) - 2
    at = octets.find(END, max(0, since - len(END) + 1))
    return -1 if at < 0 else at + len(END)


def unstuffed(octets: bytes | bytearray) -> bytes:
    """The message in OCTETS, which end with the end of data: without that and the dots that hid dots."""
    with memoryview(octets) as whole:
        body = bytes(whole[: -len(b".\r\n")])  # the CRLF before the dot belongs to the message
    if body.startswith(b"."):
        body = body[1:]
    return body.replace(b"\r\n.", b"\r\n") if b"\r\n." in body else body


def has_bare_line_end(message: bytes) -> bool:
    """Whether MESSAGE holds a CR or an LF that is not part of CRLF."""
    rest = message.replace(b"\r\n", b"")  # in half the time that counting takes
    return b"\n" in rest or b"\r" in rest


def has_long_line(message: bytes) -> bool:
    """Whether a line of MESSAGE, in CRLF, is longer than LONGEST_LINE octets with its end."""
    at = 0
    while len(message) - at > LONGEST_LINE:
        end = message.rfind(b"\r\n", at, at + LONGEST_LINE)
        if end < 0:
            return True
        at = end + 2
    return False


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:  # octets that were no UTF-8
        return False
    return True
