"""Reads the few header fields that decide what may happen to a message; never writes any.

Law: what two mail programs could read differently (a field given twice, a comment inside a media type)
reads as `AMBIGUOUS`, and nothing below such a field is touched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import idna

AMBIGUOUS = "?"
"""The value of a field that cannot be read one way only."""

_LONGEST_TYPE = 8_192
"""Characters of a Content-Type that are worth reading."""

Fields = Mapping[bytes, Sequence[bytes]]
"""Lower-case field names and their raw values (folding included), in order."""

_FIELD = re.compile(rb"(?m)^([!-9;-~]++)[ \t]*+:([^\n]*(?:\n[ \t][^\n]*)*)")
_PART_FIELD = re.compile(
    rb"(?mi)^(content-(?:type|transfer-encoding|disposition|md5))[ \t]*+:([^\n]*(?:\n[ \t][^\n]*)*)"
)
_NO_LINE = rb"(?![ \t\r\n]|[!-9;-~]++[ \t]*+:|\Z)"
_JUNK_FIRST = re.compile(rb"[ \t]|" + _NO_LINE)
_JUNK = re.compile(rb"\n" + _NO_LINE)
_TOKEN = re.compile(r"[!#$%&'*+.^_`{|}~0-9a-z-]++\Z")
_PARAMETER = re.compile(
    r""";[ \t\r\n]*+(?:([^=;"\s]++)[ \t\r\n]*+=[ \t\r\n]*+(?:"((?:[^"\\]|\\.)*)"|([^;"]*+)))?[^;"]*+(?:"[^"]*+"?)?""",
    re.DOTALL,
)
_ESCAPED = re.compile(r'\\([\\"])')
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_COMMENT_AT_END = re.compile(r"[ \t\r\n]++\([^()]*+\)[ \t\r\n]*+\Z")
_CONTINUED = re.compile(r"([^*]++)(?:\*([0-9]{1,3}))?(\*)?\Z")
_ADDRESS_PIECES = re.compile(
    rb"""(?P<quoted>"[^"\\]*+(?:\\.[^"\\]*+)*")|(?P<escaped>\\["\\])|(?P<angle><[^<>]*+>)|(?P<mark>[(),:;])"""
    rb"""|(?P<text>[^"<>(),:;\\]++)|(?P<stray>.)""",
    re.DOTALL,
)
_ONE_ADDRESS = re.compile(rb"""[^"<>(),:;\\@]*+<([^"<>(),:;\\@\s]++@[^"<>(),:;\\@\s]++)>\s*+""")
# An escaped quote outside quotes opens none: so only the last quote of a field can be open, and is looked at once.


def has_junk(block: bytes) -> bool:
    """Whether a header BLOCK holds a line that is no field: mail programs then differ on where the body starts."""
    if _JUNK_FIRST.match(block) or _JUNK.search(block):
        return True
    return b"\r" in block and block.count(b"\r") != block.count(b"\r\n")


def read_fields(block: bytes) -> Fields:
    """All fields of a header BLOCK."""
    return _collect(_FIELD, block)


def read_part_fields(block: bytes) -> Fields:
    """The `Content-` fields that say how a part is read."""
    return _collect(_PART_FIELD, block)


def _collect(pattern: re.Pattern[bytes], block: bytes) -> Fields:
    found: dict[bytes, list[bytes]] = {}
    for match in pattern.finditer(block):
        found.setdefault(match[1].lower(), []).append(match[2])
    return found


def unfolded(value: bytes) -> bytes:
    """VALUE on one line, as a relay may fold it anew: every run of blanks and line ends is one blank."""
    return b" ".join(value.split())


@dataclass(frozen=True, slots=True)
class ContentType:
    """A media type, lower-case, with its parameters (RFC 2045, RFC 2231)."""

    kind: str
    parameters: Mapping[str, str]

    @property
    def charset(self) -> str | None:
        """The charset as it is named, if it is."""
        return self.parameters.get("charset")

    @property
    def boundary(self) -> bytes | None:
        """What separates the parts, without trailing blanks (RFC 2046, section 5.1.1)."""
        value = self.parameters.get("boundary", "").rstrip()
        return value.encode("latin-1", "replace") if value else None


def content_type(fields: Fields, default: str = "text/plain") -> ContentType:
    """The media type of a part; DEFAULT without one (RFC 2045, section 5.2)."""
    values = fields.get(b"content-type", ())
    if not values:
        return ContentType(default, {})
    if len(values) > 1 and len({unfolded(value).lower() for value in values}) > 1:
        return ContentType(AMBIGUOUS, {})
    text = values[0].decode("latin-1")
    if len(text) > _LONGEST_TYPE:
        return ContentType(AMBIGUOUS, {})
    kind, semicolon, rest = text.partition(";")
    kind = kind.strip(" \t\r\n").lower()
    main, slash, sub = kind.partition("/")
    if not (slash and _TOKEN.match(main) and _TOKEN.match(sub)):
        return ContentType(AMBIGUOUS, {})
    parameters = _parameters(semicolon + rest) if rest.strip() else {}
    return ContentType(AMBIGUOUS, {}) if parameters is None else ContentType(kind, parameters)


def _parameters(text: str) -> Mapping[str, str] | None:
    """Parameters with RFC 2231 continuations joined; None where one that matters is given twice and differently."""
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    for match in _PARAMETER.finditer(text):
        name, quoted, bare = match[1], match[2], match[3]
        if name is None:
            continue
        if quoted is not None:
            value = _ESCAPED.sub(r"\1", _FOLD.sub("", quoted)) if "\\" in quoted or "\n" in quoted else quoted
        else:
            value = (_COMMENT_AT_END.sub("", bare) if "(" in bare else bare).strip(" \t\r\n")
        base, number, encoded = name.lower(), None, False
        if "*" in name:
            parts = _CONTINUED.match(base)
            if parts is None:
                continue
            base, number, encoded = parts[1], parts[2], parts[3] is not None
        if number is None and not encoded:
            if base in ("boundary", "charset") and plain.get(base, value) != value:
                return None
            plain.setdefault(base, value)
        else:
            pieces.setdefault(base, {}).setdefault(int(number or 0), (value, encoded))
    for base, numbered in pieces.items():
        plain.setdefault(base, _continued(numbered))
    return plain


def _continued(numbered: Mapping[int, tuple[str, bool]]) -> str:
    """The value of `name*0*=charset'language'text; name*1=more` (RFC 2231, section 4.1)."""
    out: list[str] = []
    for index in range(len(numbered)):
        if index not in numbered:
            break
        value, encoded = numbered[index]
        if encoded:
            if index == 0 and value.count("'") >= 2:
                value = value.split("'", 2)[2]
            value = unquote_to_bytes(value.encode("latin-1", "replace")).decode("latin-1")
        out.append(value)
    return "".join(out)


def transfer_encoding(fields: Fields) -> str:
    """The transfer encoding, lower-case; '7bit' without one, AMBIGUOUS where two differ or a comment stands there."""
    values = {unfolded(value).lower() for value in fields.get(b"content-transfer-encoding", ())}
    if len(values) > 1:
        return AMBIGUOUS
    value = values.pop().decode("latin-1") if values else ""
    return value or "7bit"


def is_attachment(fields: Fields) -> bool:
    """Whether a part is to be kept as a file: any disposition but 'inline' (RFC 2183, section 2.8)."""
    values = fields.get(b"content-disposition", ())
    return any(unfolded(value).partition(b";")[0].strip(b' "').lower() not in (b"inline", b"") for value in values)


def addresses(values: Sequence[bytes]) -> tuple[str, ...]:
    """The addr-specs of an address field (RFC 5322, section 3.4), obsolete and sloppy forms too, in order."""
    found: list[str] = []
    for value in values:
        plain = _ONE_ADDRESS.fullmatch(value)
        if plain is not None:  # as in nearly every message
            found.append(plain[1].decode("utf-8", "replace"))
            continue
        word: list[bytes] = []
        angle: bytes | None = None
        depth = 0
        for match in _ADDRESS_PIECES.finditer(value + b","):
            piece = match[0]
            if match.lastgroup == "mark":
                if piece == b"(":
                    depth += 1
                elif piece == b")":
                    depth = max(0, depth - 1)
                elif not depth and piece in b",;:":
                    text = angle if angle is not None else b"".join(word)
                    if piece != b":" and b"@" in text:
                        found.append(_spec(text))
                    word, angle = [], None
            elif not depth:
                if match.lastgroup == "angle":
                    angle = piece[1:-1].rpartition(b":")[2] if piece.startswith(b"<@") else piece[1:-1]
                elif match.lastgroup != "stray":
                    word.append(piece)
    return tuple(found)


def _spec(text: bytes) -> str:
    return text.decode("utf-8", "replace").strip().replace(" ", "")


def host_of(address: str) -> str:
    """The domain of an addr-spec as a lower-case A-label; as it stands where it has none."""
    domain = address.rpartition("@")[2].strip().rstrip(".").lower()
    try:
        return domain if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return domain


def unsubscribe_urls(fields: Fields) -> frozenset[str]:
    """The URLs of List-Unsubscribe (RFC 2369), blanks and folding removed."""
    values = b" ".join(fields.get(b"list-unsubscribe", ()))
    found = (b"".join(url.split()) for url in re.findall(rb"<([^<>]*+)>", values))
    return frozenset(url.decode("utf-8", "replace") for url in found if url[:4].lower() == b"http")


def message_id(fields: Fields) -> bytes | None:
    """The Message-ID, folding removed; None without one."""
    return b"".join(fields.get(b"message-id", (b"",))[0].split()) or None


def identity(fields: Fields) -> bytes:
    """What tells this message from others: its Message-ID, or else Date, From and Subject; folding does not matter."""
    parts = [unfolded(fields.get(name, (b"",))[0]) for name in (b"date", b"from", b"subject")]
    return message_id(fields) or b"\0".join(parts)
