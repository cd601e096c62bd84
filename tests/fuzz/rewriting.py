"""Rewrites a message with the core alone, and undoes it with other people's decoders."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import dataclass, replace
from email.message import Message
from quopri import decodestring
from typing import Final

from tracker.core import mime
from tracker.core.layout import Plan, PlanUrls, lay_out, render
from tracker.core.linkpart import LinkSigner
from tracker.core.mime import Leaf, Structure
from tracker.core.notice import NoticeTexts
from tracker.core.survey import Refused, Survey, SurveyPolicy, survey
from tracker.model import MAIL_PURPOSES, Language, Purpose

BASE: Final = "https://t.example.com"
POLICY: Final = SurveyPolicy((BASE, "https://old.example.com"))
TEXT_LINKS: Final = replace(POLICY, text_links=True)
DELIVERY: Final = b"D" + b"-_az09AZ" * 5 + b"abcd.0123456789_-ABCDEFGH"[:25]
STOP: Final = b"A0de" + b"0123456789" * 8
PLAN_ID: Final = b"12345"
SIGNER: Final = LinkSigner(b"k" * 32)
TRACKED: Final = re.compile(
    re.escape(BASE.encode())
    + rb"/c/(?P<delivery>[A-Za-z0-9._-]{66})/(?P<part>[A-Za-z0-9._-]+)/(?P<host>[A-Za-z0-9._~%:-]+)/"
)
NOTICE: Final = re.compile(rb'<div\s+data-tracker="notice"\s+dir="ltr".*?</div>', re.DOTALL)


@dataclass(frozen=True)
class Rewritten:
    """A message before and after."""

    seen: Survey
    plan: Plan
    before: bytes
    after: bytes


def rewritten(
    message: bytes, purposes: frozenset[Purpose] = MAIL_PURPOSES, policy: SurveyPolicy = POLICY
) -> Rewritten | None:
    """MESSAGE rewritten for PURPOSES; None where it leaves as it came."""
    seen = survey(message, policy)
    if isinstance(seen, Refused):
        return None
    parts = {link.target: SIGNER.sign(PLAN_ID, link.target) for link in seen.links}
    plan = lay_out(seen, purposes, NoticeTexts(Language.FR), PlanUrls(BASE.encode(), parts))
    return None if plan is None else Rewritten(seen, plan, message, render(plan, DELIVERY, STOP))


def leaves(message: bytes) -> tuple[Leaf, ...]:
    structure = mime.walk(message)
    assert isinstance(structure, Structure)
    return structure.leaves


def between(message: bytes) -> list[bytes]:
    """What stands around the leaves: headers, delimiters, preambles and epilogues."""
    at, out = 0, []
    for leaf in leaves(message):
        out.append(message[at : leaf.start])
        at = leaf.end
    return [*out, message[at:]]


def bodies(message: bytes) -> list[tuple[str, bytes]]:
    """Kind and body of each leaf, decoded by the standard library; wide characters as UTF-8."""
    return [(leaf.type.kind, decoded(message[leaf.start : leaf.end], leaf)) for leaf in leaves(message)]


def decoded(body: bytes, leaf: Leaf) -> bytes:
    if leaf.encoding == "quoted-printable":
        body = decodestring(body)
    elif leaf.encoding == "base64":
        letters = re.sub(rb"[^A-Za-z0-9+/]", b"", body)
        letters = letters[: len(letters) - (len(letters) % 4 == 1)]
        body = b64decode(letters + b"=" * (-len(letters) % 4))
    if re.match("(?i)(utf-?(16|32)|cp037)", leaf.type.charset or ""):
        body = body.decode(leaf.type.charset or "", "replace").encode()
    return body


def shape(message: Message) -> list[tuple[str, list[tuple[str, str]]]]:
    """Kind and header of each part, as another parser sees them."""
    return [(part.get_content_type(), part.items()) for part in message.walk()]
