"""Reads what a mail system says in Tracker-* headers: each at most once, UTF-8 or RFC 2047, no control characters."""

from __future__ import annotations

import re
import unicodedata
from email.errors import HeaderParseError
from email.header import decode_header
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

from tracker.model import ApiKey, Envelope, ForeignOwner, InvalidAddress, InvalidField, Language, MissingRecipient

LONGEST_TEXT: Final = 200
"""Characters of a label, a campaign's id or a login."""
LONGEST_ENCODED: Final = 4_000
"""Octets of the same in a header: 200 characters of four octets, in encoded words, with room."""
RECIPIENT: Final = "Tracker-Recipient"
COPY: Final = "Tracker-Copy"
LABEL: Final = "Tracker-Label"
CAMPAIGN: Final = "Tracker-Campaign"
REFERENCE: Final = "Tracker-Reference"
OWNER: Final = "Tracker-Owner"
LANGUAGE: Final = "Tracker-Language"

# What mail programs write; Python's other codecs are no charsets of mail, and some of them are slow on hostile input.
_CHARSET: Final = re.compile(r"us-ascii|utf-?8|iso-8859-[0-9]{1,2}|windows-125[0-8]|koi8-[ru]", re.IGNORECASE)
_REFUSED: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS_TEXT: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of writing: they make a label read otherwise than it is."""

Headers = CIMultiDict[str] | CIMultiDictProxy[str]


def envelope_of(headers: Headers, key: ApiKey) -> Envelope:
    """What HEADERS say about one copy, for whoever holds KEY.

    Raises MissingRecipient, InvalidAddress, InvalidField and ForeignOwner.
    """
    return Envelope(
        recipient=_recipient(headers),
        source=key.name,
        single=_single(headers),
        label=text(headers, LABEL),
        campaign=text(headers, CAMPAIGN),
        reference=text(headers, REFERENCE),
        owner=owner_of_caller(headers, key),
        language=_language(headers),
    )


def owner_of_caller(headers: Headers, key: ApiKey) -> str | None:
    """The rep on whose behalf the holder of KEY calls; None when no rep is named. Raises InvalidField, ForeignOwner."""
    return bound_owner(text(headers, OWNER), key, OWNER)


def bound_owner(named: str | None, key: ApiKey, name: str) -> str | None:
    """The rep who is NAMED in the field NAME, or to whom KEY is bound. Raises ForeignOwner."""
    if key.owner is None:
        return named
    if named is not None and named.casefold() != key.owner.casefold():
        raise ForeignOwner(name)
    return key.owner


def text(headers: Headers, name: str) -> str | None:
    """The text in the header NAME, decoded; None when it is absent or blank. Raises InvalidField."""
    octets = _once(headers, name)
    if not octets:
        return None
    if len(octets) > LONGEST_ENCODED:
        raise _too_long(name)
    try:
        plain = octets.decode()
    except UnicodeDecodeError:
        raise InvalidField(f"{name}: neither UTF-8 nor RFC 2047") from None
    _check_characters(plain, name)
    return checked(_decoded(plain, name) if plain.isascii() and "=?" in plain else plain, name)


def checked(value: str | None, name: str) -> str | None:
    """The text VALUE of the field NAME without blanks around it; None when nothing is left. Raises InvalidField."""
    if value is None:
        return None
    _check_characters(value, name)
    plain = value.strip()
    if len(plain) > LONGEST_TEXT:
        raise _too_long(name)
    return plain or None


def _once(headers: Headers, name: str) -> bytes:
    values = headers.getall(name, [])
    if len(values) > 1:
        raise InvalidField(f"{name}: more than once")
    # aiohttp decodes as UTF-8 and keeps other octets as lone surrogates; this gives back what was sent.
    return values[0].encode("utf-8", "surrogateescape").strip() if values else b""


def _decoded(words: str, name: str) -> str:
    """WORDS with the encoded words of RFC 2047 decoded."""
    decoded = []
    try:
        for part, charset in decode_header(words):
            if isinstance(part, str):
                decoded.append(part)
            elif charset is None:
                decoded.append(part.decode("ascii"))
            elif _CHARSET.fullmatch(charset):
                decoded.append(part.decode(charset))
            else:
                raise InvalidField(f"{name}: a charset that is not known here; use UTF-8")
    except (HeaderParseError, ValueError, LookupError):
        raise InvalidField(f"{name}: a broken encoded word (RFC 2047)") from None
    return "".join(decoded)


def _check_characters(value: str, name: str) -> None:
    if any(unicodedata.category(character) in _REFUSED or character in _TURNS_TEXT for character in value):
        raise InvalidField(f"{name}: control characters")


def _too_long(name: str) -> InvalidField:
    return InvalidField(f"{name}: more than {LONGEST_TEXT} characters")


def _recipient(headers: Headers) -> str:
    octets = _once(headers, RECIPIENT)
    if not octets:
        raise MissingRecipient
    try:
        return octets.decode()  # never RFC 2047: "=?" may stand in an address
    except UnicodeDecodeError:
        raise InvalidAddress(RECIPIENT) from None


def _single(headers: Headers) -> bool:
    value = text(headers, COPY)
    if value is not None and value.lower() != "single":
        raise InvalidField(f"{COPY}: `single`, or leave it out")
    return value is not None


def _language(headers: Headers) -> Language | None:
    value = text(headers, LANGUAGE)
    if value is None:
        return None
    try:
        return Language(value.lower())
    except ValueError:
        raise InvalidField(f"{LANGUAGE}: one of {', '.join(Language)}") from None
