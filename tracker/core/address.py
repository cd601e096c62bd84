"""Finds e-mail addresses in text, in clear and in the encodings that links and identifiers carry them in.

The law: whatever `pseudonym.normalise` takes for an address is found, save names of pictures (`logo@2x.png`) and of
accounts behind a slash (`/@name`); in base64 and hexadecimal from eight octets on. What `mask_addresses` returns
contains none. Time is linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from tracker.core.decoding import HEXADECIMAL, from_base64, from_hexadecimal, layers

MASK: Final = "[address]"

_PICTURE: Final = (  # at the end of a word
    r"\d(?:\.\d)?x\.(?:png|jpe?g|gif|webp|svg|avif)(?:[\s?#&/\"'<>(){}\[\],;:!%|\\=]|\.?\Z|\.\s)"
)
_LETTER: Final = r"[^\s\ufffd\x00-\x2c./\x3a-\x40\x5b-\x5e\x60\x7b-\x7f\u3002]"
"""Of a label: a letter, digit, mark, or one of "_" and "-"."""
_TOP_LETTER: Final = r"[^\s\ufffd\x00-\x40\x5b-\x60\x7b-\x7f\u3002]"
_LOCAL: Final = r"[^\s\ufffd\x00-\x20\x7f\"(),/:;<=>?@\[\\\]&]"
_LITERAL: Final = r"\[(?:IPv6:)?[0-9A-Fa-f:.]+\]"
_NAME: Final = rf"(?:(?<!{_LOCAL}){_LOCAL}++|\"[^\"\r\n]{{1,64}}\")@(?!{_PICTURE})"

_ANY: Final = re.compile(
    r"(?<=[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\"\x80-\U0010ffff-])(?<!\s)"
    rf"@(?=[A-Za-z0-9_\x80-\U0010ffff]|\[[0-9A-Fa-fIi])(?!\s)(?!{_PICTURE})"
)
"""An "@" between two letters of a word."""
_CERTAIN: Final = re.compile(
    rf"{_NAME}(?:{_LETTER}++(?:[.\u3002]{_LETTER}++)*[.\u3002](?:xn--[\w-]+|{_TOP_LETTER}{{2,}})|{_LITERAL})"
)
"""With a top-level domain: what may be read out of noise."""
_WHOLE: Final = re.compile(rf"{_NAME}(?:{_LETTER}++(?:[.\u3002]{_LETTER}++)*|{_LITERAL})")
_HINT: Final = re.compile(r"[@%\\]|&(?:#|amp|commat|percnt)|=40|AEA-|[^\x00-\x7f]")
"""Without one of these an address is in base64 or hexadecimal, or nowhere."""
_DEPTH: Final = 2
"""How many layers of base64 or hexadecimal are taken off."""
_TEXT: Final = re.compile(
    rb"(?:[\x20-\x7e]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}){3,}"
)
_SURELY_TEXT: Final = 12
"""Characters in a row that random octets hardly ever have."""
_PARAMETER: Final = re.compile(r"([?&;][^=&?;#]*)=")
_QUOTED_PRINTABLE: Final = re.compile(r"=([0-9A-Fa-f]{2})")

_WORD: Final = 200
"""Characters before an "@" that tell whether it begins the name of an account."""
_BREAK: Final = re.compile(r"[\s\"'<>(),]")
_ACCOUNT: Final = re.compile(r"-?\d{1,3}\.\d{1,20},|[\w-]{0,80}(?!\.?[\w\[]|[^\x00-\x7f])")
"""No domain, or one without a dot: a name, or a place on a map."""
_ENCODED_DELIMITER: Final = re.compile(r"%(?:[01][0-9A-Fa-f]|2[0289CcFf]|3[ABCEabce]|5[BCDbcd])")

_AUTHORITY: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[/\\]{2}(?:(?P<user>[^/?#\\]*)@)?(?P<host>[^/?#\\@]*)")


def contains_address(text: str) -> bool:
    """Whether TEXT contains an e-mail address: in clear, or percent-encoded (several times, too), as character
    references, in quoted-printable, base64, base64url or hexadecimal, anywhere in it.
    """
    return _contains(text, _DEPTH)


def contains_address_in_url(url: str) -> bool:
    """Whether URL contains an e-mail address. The "@" before the host makes none, but user name and host may each
    hide one (RFC 3986, 3.2.1). A password may hold an "@" of its own: there only a dotted domain makes an address.
    """
    if _is_plain(url):
        return False
    authority = _AUTHORITY.match(url)
    if authority is None:
        return contains_address(url)
    name, _, password = (authority["user"] or "").partition(":")
    if "." not in unquote(password).rpartition("@")[2]:
        password = ""
    host = authority["host"]
    parts = (name, password, host, host.replace(".", ""), url[authority.end() :])
    return any(part and contains_address(part) for part in parts)


def mask_addresses(text: str) -> str:
    """TEXT with "[address]" for each address; a word that hides one in an encoding goes as a whole."""
    if not contains_address(text):
        return text
    masked = _WHOLE.sub(MASK, text)
    if contains_address(masked):
        masked = re.sub(r"\S+", lambda word: MASK if contains_address(word.group()) else word.group(), masked)
    return MASK if contains_address(masked) else masked


def _is_plain(text: str) -> bool:
    """A quick look, enough for most text: whether nothing in TEXT can hide an address, dots taken out or not.

    Base64 of an address has an upper-case letter where its "@" is.
    """
    return text.islower() and not _HINT.search(text) and not HEXADECIMAL.search(text.replace(".", ""))


def _contains(text: str, depth: int) -> bool:
    if _is_plain(text):
        return False
    if _HINT.search(text):
        return any(_reads_as_address(layer, depth) for layer in layers(text))
    return _hides_address(text, depth)


def _reads_as_address(text: str, depth: int) -> bool:
    if "@" in text and any(not _is_account(text, found.start()) for found in _ANY.finditer(text)):
        return True
    return _hides_quoted_printable(text) or _hides_address(text, depth)


def _is_account(text: str, at: int) -> bool:
    """Whether the "@" AT this place of TEXT begins the name of an account, such as twitter.com/@name."""
    short = _ACCOUNT.match(text, at + 1) is not None
    if text[at - 1] != "/":
        encoded = _ENCODED_DELIMITER.fullmatch(text, max(0, at - 3), at)
        if encoded is None:
            return False
        return short or encoded.group().lower() == "%2f"  # which is looked at again as a slash
    word = _BREAK.split(text[max(0, at - 1 - _WORD) : at - 1])[-1]
    _, slashes, authority = word.rpartition("//")
    if not word or (slashes and "/" not in authority):
        return True
    in_url = slashes or word.startswith("/") or len(word) == _WORD or "." in word.partition("/")[0]
    return bool(in_url) and short


def _hides_quoted_printable(text: str) -> bool:
    if "=40" not in text:
        return False
    values = _PARAMETER.sub(r"\1 ", text)  # the "=" that follows a parameter's name encodes nothing
    decoded = _QUOTED_PRINTABLE.sub(lambda found: chr(int(found[1], 16)), values)
    return any(_CERTAIN.search(one) is not None for one in (values.replace("=40", "@"), decoded))


def _hides_address(text: str, depth: int) -> bool:
    """Whether there is an address in the base64 or hexadecimal in TEXT, wherever in a run of it the encoding begins."""
    if depth == 0:
        return False
    for decode in (from_hexadecimal, from_base64):
        for octets, whole in decode(text):
            said = octets.replace(b"\0", b"")  # UTF-16
            if b"@" in said and _CERTAIN.search(said.decode("utf-8", "replace")):
                return True
            if any(_contains(run, depth - 1) for run in _texts(said, whole)):
                return True
    return False


def _texts(octets: bytes, whole: bool) -> Iterator[str]:
    """What OCTETS say where they are text; random ones hardly ever are. WHOLE: nothing else stands before or behind."""
    for found in _TEXT.finditer(octets):
        text = found.group().decode("utf-8", "replace")
        if len(text) >= _SURELY_TEXT or (whole and found.end() - found.start() == len(octets)):
            yield text
