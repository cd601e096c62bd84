"""Shows a body to the scanners in bytes in which markup is plain ASCII, and maps places back.

Most charsets are shown as they are. Double-byte ones (Shift_JIS, GB18030, Big5, UHC, ISO-2022-JP) are shown with
the high bit set on every byte that only looks like ASCII: same length, same places. UTF-16, UTF-32 and EBCDIC are
shown as UTF-8, and only when decoding and encoding again gives the same bytes. UTF-7 and the other stateful
ones are not shown at all.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass

_HIGH = bytes(byte | 0x80 for byte in range(256))
_GB = re.compile(rb"(?:[\x81-\xfe](?:[\x40-\x7e\x80-\xfe]|[\x30-\x39][\x81-\xfe][\x30-\x39]))+")
_JIS = re.compile(rb"(?:[\x81-\x9f\xe0-\xfc][\x40-\x7e\x80-\xfc])+")
_BIG5 = re.compile(rb"(?:[\x81-\xfe][\x40-\x7e\xa1-\xfe])+")
_UHC = re.compile(rb"(?:[\x81-\xfe][\x41-\x5a\x61-\x7a\x81-\xfe])+")
_DOUBLE_BYTE = {
    **dict.fromkeys(("gb18030", "gbk", "gb2312", "cp936", "xgbk"), _GB),
    **dict.fromkeys(("shiftjis", "sjis", "cp932", "windows31j", "mskanji", "xsjis", "shiftjis2004"), _JIS),
    **dict.fromkeys(("big5", "big5hkscs", "cp950", "xxbig5"), _BIG5),
    **dict.fromkeys(("ksc56011987", "cp949", "uhc", "windows949"), _UHC),
}
# Two-byte text between an escape to it and the next escape or line end (RFC 1468).
_TWO_BYTE_RUN = re.compile(rb"\x1b(?:\$(?:[@B]|\([@BD])|\(I)[^\x1b\r\n]*+")
_UNENDED = re.compile(_TWO_BYTE_RUN.pattern + rb"(?!\x1b)")
_WIDE = re.compile(r"(?:utf|ucs)(?:16|32|2|4)(?:le|be)?\Z|(?:cp|ibm)(?:037|273|500|1026|1140|424|875)\Z|ebcdic\w*")
_STATEFUL = re.compile(r"utf7|unicode11utf7|iso2022(?!jp)|hz|csiso2022kr|scsu|bocu")
_USUAL = frozenset({"utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252"})
_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class View:
    """A body as the scanners see it."""

    text: bytes
    """Markup and URLs in it are plain ASCII; bytes of other characters have the high bit set."""
    charset: str | None
    """How the bytes of a span of the view are to be read."""
    body: bytes
    """The body itself. Where its length is that of `text`, places are the same in both."""
    codec: str | None = None
    """For a body that is not ASCII-compatible: the codec of its characters, without a byte order mark."""
    mark: int = 0
    """Length of the byte order mark."""

    def places(self, offsets: Sequence[int]) -> list[int]:
        """Where ascending OFFSETS of the view stand in the body."""
        if self.codec is None:
            return list(offsets)
        out: list[int] = []
        at, place = 0, self.mark
        for offset in offsets:
            place += len(self.text[at:offset].decode("utf-8").encode(self.codec))
            at = offset
            out.append(place)
        return out

    def written(self, text: bytes) -> bytes:
        """ASCII TEXT as the body writes it."""
        return text if self.codec is None else text.decode("ascii").encode(self.codec)


def view(body: bytes, charset: str | None) -> View | None:
    """BODY for the scanners; None where its markup cannot be found exactly."""
    if (charset or "").lower() in _USUAL and not body.startswith(_BOMS):
        return View(body, charset, body)
    name = re.sub(r"[^a-z0-9]", "", (charset or "").lower())
    if _WIDE.match(name):
        return _wide(body, charset or "")
    if _STATEFUL.match(name) or body.startswith(_BOMS):
        return None
    pattern = _DOUBLE_BYTE.get(name)
    if pattern is not None:
        return View(pattern.sub(lambda run: run[0].translate(_HIGH), body), charset, body)
    if name.startswith("iso2022jp") or name == "csiso2022jp":
        if _UNENDED.search(body):
            return None
        return View(_TWO_BYTE_RUN.sub(_raised, body), charset, body)
    return View(body, charset, body)


def _raised(run: re.Match[bytes]) -> bytes:
    return run[0].translate(_HIGH)


def _wide(body: bytes, charset: str) -> View | None:
    try:
        codec = codecs.lookup(charset).name
        text = body.decode(codec)
        mark = 0
        if codec in ("utf-16", "utf-32"):
            bits = codec[-2:]
            little = "utf-" + bits + "-le"
            mark = 2 if bits == "16" else 4
            order = {codecs.BOM_UTF16_LE: "-le", codecs.BOM_UTF32_LE: "-le"}.get(body[:mark])
            if order is None and body[:mark] not in (codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE):
                return None  # no byte order mark: mail programs guess differently
            codec = little if order else codec + "-be"
        if body[mark:] != text.encode(codec):
            return None
        return View(text.encode("utf-8"), "utf-8", body, codec, mark)
    except (LookupError, UnicodeError):
        return None
