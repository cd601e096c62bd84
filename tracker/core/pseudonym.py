"""Turns a recipient's address into the only name that the rest of the tracker knows."""

from __future__ import annotations

import hmac
import ipaddress
import re
import unicodedata
from collections.abc import Iterable
from typing import Final

import idna

from tracker.model import InvalidAddress, Pseudonym

LONGEST_LOCAL_PART: Final = 64
"""Octets (RFC 5321 section 4.5.3.1.1)."""
LONGEST_DOMAIN: Final = 253
LONGEST_ADDRESS: Final = 254
"""Octets: a path of 256 with its angle brackets (RFC 5321 section 4.5.3.1.3)."""

# RFC 5322 atext and RFC 6532 UTF8-non-ascii; in quotes anything may stand.
_ATEXT: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+"
_DOT_ATOM: Final = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)+)"', re.DOTALL)
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_REFUSED: Final = frozenset({"Cc", "Cs", "Cn", "Zl", "Zp", "Zs"})
# Controls, surrogates and odd blanks stand in no address. Code points that this Unicode version does not know might
# fold differently under the next one, and then a refusal would no longer be found.


def normalise(address: str) -> str:
    """ADDRESS, exactly one addr-spec (RFC 5322 section 3.4.1, RFC 6531), in the one form that is looked up.

    Version 1: domain to lower-case A-label, local part to NFC and case-folded, nothing stripped. Quotes that need not
    be there go, for they are only a way of writing (RFC 5321 section 4.1.2). Raises InvalidAddress.
    """
    local, at, domain = address.rpartition("@")
    if not at or len(address) > LONGEST_ADDRESS:
        raise InvalidAddress
    folded = _local_part(local)
    result = f"{folded}@{_domain(domain)}"
    if len(folded.encode()) > LONGEST_LOCAL_PART or len(result.encode()) > LONGEST_ADDRESS:
        raise InvalidAddress
    return result


def pseudonym(keys: tuple[bytes, ...], normalised: str) -> Pseudonym:
    """The pseudonym of a NORMALISED address: HMAC-SHA-256 under the first of KEYS, wrapped by each later one."""
    first, *later = keys
    return rewrap(later, Pseudonym(hmac.digest(first, normalised.encode(), "sha256")))


def rewrap(later_keys: Iterable[bytes], name: Pseudonym) -> Pseudonym:
    """NAME, which an older generation made, as the generations that came with LATER_KEYS know it."""
    for key in later_keys:
        name = Pseudonym(hmac.digest(key, name, "sha256"))
    return name


def _local_part(local: str) -> str:
    if any(unicodedata.category(character) in _REFUSED for character in local.replace(" ", "")):
        raise InvalidAddress
    quoted = _QUOTED.fullmatch(local)
    if quoted is None and not _DOT_ATOM.fullmatch(local):
        raise InvalidAddress
    plain = local if quoted is None else re.sub(r"\\(.)", r"\1", quoted[1])
    # Unicode section 3.13, D145: decomposed before folding, so that equivalent spellings fold alike.
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", plain).casefold())
    if _DOT_ATOM.fullmatch(folded):
        return folded
    return '"' + re.sub(r'(["\\])', r"\\\1", folded) + '"'


def _domain(domain: str) -> str:
    if domain.startswith("[") and domain.endswith("]"):
        return f"[{_address_literal(domain[1:-1])}]"
    try:
        # Plain ASCII is not asked of IDNA, which knows names that mail goes to less well than DNS does.
        ascii_form = domain.lower() if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise InvalidAddress from None
    if len(ascii_form) > LONGEST_DOMAIN or not all(_LABEL.fullmatch(label) for label in ascii_form.split(".")):
        raise InvalidAddress
    return ascii_form


def _address_literal(text: str) -> str:
    # RFC 5321 section 4.1.3.
    try:
        if text[:5].lower() == "ipv6:":
            return f"ipv6:{ipaddress.IPv6Address(text[5:])}"
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise InvalidAddress from None
