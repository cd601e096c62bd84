"""Decodes the value of an HTML attribute to text: charset and character references, as browsers do.

WHATWG HTML standard, 13.2.5.72 to 13.2.5.80: in an attribute a legacy name without a semicolon is no reference when
"=", a letter or a digit follows (`?a=1&copy=2`).
"""

from __future__ import annotations

import html.entities
import re
from typing import Final

_REFERENCE: Final = re.compile(
    r"&(?:#(?P<decimal>[0-9]++);?|#[xX](?P<hex>[0-9A-Fa-f]++);?|(?P<name>[A-Za-z][A-Za-z0-9]*+;?))"
)
_NAMES: Final = html.entities.html5
"""With the semicolon, and the legacy ones without it, too."""
_C1: Final = {
    code: bytes([code]).decode("cp1252") for code in range(0x80, 0xA0) if code not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
"""References to C1 controls mean what Windows-1252 has in their place."""
_MORE_THAN_ANY: Final = 0x110000


def attribute_text(raw: bytes, charset: str) -> str | None:
    """The attribute value RAW as text; None when it is not text in CHARSET (a name that Python knows)."""
    if raw.isascii():
        text = raw.decode("ascii")
    else:
        if charset.lower() in ("", "us-ascii", "ascii"):
            charset = "utf-8"  # 8-bit text that calls itself ASCII is UTF-8 nearly always
        try:
            text = raw.decode(charset)
        except (LookupError, UnicodeError):
            return None
    return unescape(text.replace("\0", "\ufffd"))


def unescape(text: str) -> str:
    """TEXT of an attribute with its character references decoded."""
    references = text.count("&")
    if references and references == text.count("&amp;"):  # as in nearly every URL
        return text.replace("&amp;", "&")
    return _REFERENCE.sub(_referenced, text) if references else text


def _referenced(found: re.Match[str]) -> str:
    name = found["name"]
    if name is None:
        return _numbered(_number(found["decimal"], 10) if found["decimal"] else _number(found["hex"], 16))
    if name.endswith(";"):
        return _NAMES.get(name, found.group())
    follows = found.string[found.end() : found.end() + 1]
    return _NAMES.get(name, found.group()) if follows != "=" else found.group()


def _number(digits: str, base: int) -> int:
    return int(digits, base) if len(digits.lstrip("0")) < 8 else _MORE_THAN_ANY


def _numbered(code: int) -> str:
    if code in _C1:
        return _C1[code]
    return "\ufffd" if code == 0 or code >= _MORE_THAN_ANY or 0xD800 <= code <= 0xDFFF else chr(code)
