"""Messages for end-to-end tests, and what the tracker put into them."""

from __future__ import annotations

import email
import email.policy
import re
from importlib.resources import files

from tests.harness import Reply

OFFER = files("tracker.demo").joinpath("mail", "offer.eml").read_bytes()
NEWSLETTER = files("tracker.demo").joinpath("mail", "newsletter.eml").read_bytes()
SIGNED = files("tracker.demo").joinpath("mail", "signed.eml").read_bytes()
NOTE = files("tracker.demo").joinpath("mail", "note.eml").read_bytes()


def html_of(message: bytes) -> str:
    """The decoded HTML body."""
    body = email.message_from_bytes(message, policy=email.policy.default).get_body(("html",))
    return "" if body is None else str(body.get_content())


def paths(reply: Reply, door: str) -> list[str]:
    """The paths of the tracker's URLs below DOOR (o, c or privacy) in a rewritten message, in order."""
    return re.findall(rf'http://127\.0\.0\.1:\d+(/{door}/[^"<>\s]+)', html_of(reply.body))


def pixel(reply: Reply) -> str:
    """The path of the pixel."""
    return paths(reply, "o")[0]


def link(reply: Reply) -> str:
    """The path of the first tracked link."""
    return paths(reply, "c")[0]


def stop(reply: Reply) -> str:
    """The path of the page behind the notice."""
    return paths(reply, "privacy")[0]


def message(html: str, **headers: str) -> bytes:
    """A small HTML message."""
    named = {
        "From": "jonas@werkstatt-nord.example",
        "To": "x@example.org",
        "Subject": "s",
        "Message-ID": "<m@x>",
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"{head}Content-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n".encode()
