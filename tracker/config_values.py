"""Checks the value of one setting at a time, and says what is allowed without quoting what stood there."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

import idna

from tracker.core.disclosure import Wording
from tracker.core.pseudonym import normalise
from tracker.core.webhook import secret_octets
from tracker.model import InvalidAddress, Language

T = TypeVar("T")

_UNITS: Final = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_SIZE: Final = re.compile(r"([0-9]{1,12}) ?([A-Za-z]{0,3})")
_LISTEN: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})")
_BASE_URL: Final = re.compile(r"(https?)://([^/?#@:\s\[\]\\]+)(?::([0-9]{1,5}))?/?", re.IGNORECASE)
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_HEADER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_NEXT_HOP: Final = re.compile(
    r"(?:(?:smtps?)://)?(?:[^\s@/:]+(?::[^\s@/]*)?@)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?/?"
)
_LINK_PATTERN: Final = re.compile(r"(?=.*[A-Za-z0-9])[a-z0-9.*?_-]{1,253}(?:/[!-~]{0,500})?")
_CREDENTIALS: Final = re.compile(r"^((?:[a-z0-9+]+://)?)[^/@]*@")
_POSTGRES: Final = re.compile(r"postgres(?:ql)?(?:\+asyncpg)?://")
_SQLITE: Final = re.compile(r"sqlite(?:\+aiosqlite)?:///([^?]+)")


class Listen(NamedTuple):
    """Where a listener listens."""

    host: str
    """A name or an address, an IPv6 one without brackets."""
    port: int
    """0: any free one."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def text(value: object) -> str:
    """A line of 1 to 200 printable characters."""
    if not isinstance(value, str) or not 1 <= len(value.strip()) <= 200 or not value.isprintable():
        raise ValueError("must be a line of 1 to 200 characters")
    return value.strip()


def wording(value: object) -> Wording:
    """A text of 1 to 1000 printable characters, or a table of such texts by language."""
    texts = {None: value} if isinstance(value, str) else value
    if not isinstance(texts, dict) or not texts or not all(map(_is_sentence, texts.values())):
        raise ValueError('must be a text of 1 to 1000 characters, or one for each language: { de = "…", en = "…" }')
    if not set(texts) <= {None, *Language}:
        raise ValueError(f"must be texts in {', '.join(Language)}")
    return Wording(tuple((language and Language(language), text.strip()) for language, text in texts.items()))


def _is_sentence(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value.strip()) <= 1000 and value.isprintable()


def mailbox(value: object) -> str:
    """One e-mail address, as it is to be shown."""
    try:
        normalise(_string(value))
    except InvalidAddress:
        raise ValueError("must be one e-mail address, such as privacy@example.org") from None
    return _string(value)


def whole(low: int, high: int) -> Callable[[object], int]:
    """A whole number from LOW to HIGH."""

    def check(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value.strip()):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return check


def size(low: int, high: int) -> Callable[[object], int]:
    """A number of octets from LOW to HIGH, as a number or as in `25 MiB`."""

    def check(value: object) -> int:
        match = _SIZE.fullmatch(str(value).strip()) if isinstance(value, str | int) else None
        unit = None if match is None or isinstance(value, bool) else _UNITS.get(match[2].lower())
        octets = 0 if match is None or unit is None else int(match[1]) * unit
        if not low <= octets <= high:
            raise ValueError(f"must be a size from {sized(low)} to {sized(high)}, such as 25 MiB")
        return octets

    return check


def sized(octets: int) -> str:
    """OCTETS as a person would write them."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if octets and octets % factor == 0:
            return f"{octets // factor} {unit}"
    return f"{octets} B"


def flag(value: object) -> bool:
    """True or false, or one of their names."""
    known = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    found = value if isinstance(value, bool) else known.get(str(value).strip().lower())
    if found is None:
        raise ValueError("must be true or false")
    return found


def one_of(choices: Sequence[str]) -> Callable[[object], str]:
    """One of CHOICES."""

    def check(value: object) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return str(value)

    return check


def optional(check: Callable[[object], T]) -> Callable[[object], T | None]:
    """What CHECK allows, or nothing."""
    return lambda value: None if value is None or value == "" else check(value)


def several(check: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    """A list of what CHECK allows; in the environment separated by commas."""

    def check_all(value: object) -> tuple[T, ...]:
        if isinstance(value, str):
            value = [item for item in map(str.strip, value.split(",")) if item]
        if not isinstance(value, list | tuple):
            raise ValueError("must be a list")
        return tuple(map(check, value))

    return check_all


def listen(value: object) -> Listen:
    """A host and a port."""
    match = _LISTEN.fullmatch(_string(value))
    if match is None or int(match[3]) > 65_535:
        raise ValueError("must be host:port, such as 127.0.0.1:8080")
    return Listen(match[1] or match[2], int(match[3]))


def base_url(value: object) -> str:
    """A base URL of the present or of earlier: scheme, host and perhaps a port; returned without a slash at its end."""
    match = _BASE_URL.fullmatch(_string(value))
    if match is None or int(match[3] or 0) > 65_535:
        raise ValueError("must be a URL of scheme, host and perhaps port alone, such as https://t.example.com")
    port = f":{int(match[3])}" if match[3] else ""
    return f"{match[1].lower()}://{domain(match[2])}{port}"


def public_url(value: object) -> str:
    """A base URL that recipients can trust: https, or loopback to try things out."""
    url = base_url(value)
    host = url.split("://")[1].partition(":")[0]
    loopback = host == "localhost" or host.endswith(".localhost") or re.fullmatch(r"127(?:\.[0-9]{1,3}){3}", host)
    if url.startswith("http:") and not loopback:
        raise ValueError("must be https, except on a loopback host")
    return url


def reference_url(value: object) -> str:
    """A URL in which a person's reference stands once, in its path or query."""
    url = _string(value)
    base, found, rest = url.partition("{reference}")
    if not found or not re.fullmatch(r"https?://[^/?#\s{}]+/[!-z|~]*", base) or not re.fullmatch(r"[!-z|~]*", rest):
        raise ValueError("must be a URL with {reference} in it, such as https://crm.example.com/contact/{reference}")
    return url


def issuer(value: object) -> str:
    """The issuer of an OpenID Connect provider, as it calls itself: a URL without query or fragment."""
    url = _string(value)
    parts = urlsplit(url)
    if parts.query or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("must be a URL without query and fragment, such as https://login.example.com")
    public_url(f"{parts.scheme}://{parts.netloc}")
    return url


def webhook_url(value: object) -> str:
    """Where webhooks go: a URL without credentials and fragment; https, or loopback."""
    url = _string(value)
    parts = urlsplit(url)
    if parts.fragment or "@" in parts.netloc or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("must be a URL without credentials and fragment, such as https://crm.example.com/tracker")
    public_url(f"{parts.scheme}://{parts.netloc}")
    return url


def webhook_secret(value: object) -> str:
    """A secret of Standard Webhooks."""
    secret_octets(_string(value))
    return _string(value)


def domain(value: object) -> str:
    """A host or mail domain, in lower-case A-labels."""
    name = _string(value)
    try:
        name = name.lower() if name.isascii() else idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        name = ""
    if len(name) > 253 or not all(map(_LABEL.fullmatch, name.split("."))):
        raise ValueError("must be domain names, such as example.com")
    return name


def link_pattern(value: object) -> str:
    """A host (its subdomains with it), or a pattern of host and path in which `*` stands for anything."""
    host, slash, path = _string(value).partition("/")
    try:
        host = domain(host) if "*" not in host and "?" not in host else host.lower()
    except ValueError:
        host = ""
    if not _LINK_PATTERN.fullmatch(host + slash + path):
        raise ValueError("must be hosts, or patterns of host and path such as accounts.example.org/login*")
    return host + slash + path


def network(value: object) -> IPv4Network | IPv6Network:
    """An address or a network."""
    try:
        return ipaddress.ip_network(_string(value))
    except ValueError:
        raise ValueError("must be addresses or networks, such as 10.0.0.0/8") from None


def header(value: object) -> str:
    """The name of a header field."""
    if not _HEADER.fullmatch(_string(value)):
        raise ValueError("must be the name of a header field, such as X-Campaign")
    return _string(value)


def next_hop(value: object) -> str:
    """A mail server, perhaps with credentials."""
    match = _NEXT_HOP.fullmatch(_string(value))
    if match is None or int(match[1] or 0) > 65_535:
        raise ValueError("must be host:port, smtp://host:port or smtps://user:password@host:port")
    return _string(value)


def database_url(value: object) -> str:
    """One SQLite file, or a database on a PostgreSQL server, as SQLAlchemy names it."""
    url = _string(value)
    if _POSTGRES.match(url):
        return _on_a_server(url)
    match = _SQLITE.fullmatch(url)
    if match is None or match[1] == ":memory:" or match[1].startswith("file:"):
        raise ValueError("must be sqlite:///FILE or postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE")
    return f"sqlite+aiosqlite:///{match[1]}"


def _on_a_server(url: str) -> str:
    try:
        parts = urlsplit(url)
        names_one = bool(parts.path.strip("/")) and parts.port != 0 and not parts.fragment
    except ValueError:
        names_one = False
    if not names_one:
        raise ValueError("must be postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE")
    return f"postgresql+asyncpg:{url.partition(':')[2]}"


def beside(folder: Path, url: str) -> str:
    """The database URL (as `database_url` returns it) with a relative file taken from FOLDER."""
    scheme, _, path = url.partition(":///")
    if not scheme.startswith("sqlite"):
        return url
    located = f"{scheme}:///{folder / path}"
    if "?" in located:
        raise ValueError("the path of the database must not contain a question mark")
    return located


def path(value: object) -> Path:
    """A file or folder."""
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise ValueError("must be a path")
    return Path(value)


def masked(url: str) -> str:
    """A URL or host:port without the credentials in it."""
    return _CREDENTIALS.sub(r"\1***@", url)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")  # not TypeError: pydantic collects ValueErrors
    return value.strip()
