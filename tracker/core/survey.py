"""Reads a message once and says what could be tracked in it, whoever it goes to.

Law: a survey never fails. Whatever the bytes, the answer is a `Survey` or a `Refused` with its reason, and a
survey can be pickled, since long messages are surveyed in another process.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tracker.core import charset, foreign, headers, html, links, mime, refusal, removal, target, text_links
from tracker.core.mime import NO_PARENT, Leaf, Structure
from tracker.core.traces import Reading, read
from tracker.core.transfer import base64, quoted_printable
from tracker.core.transfer.identity import Identity
from tracker.core.transfer.pieces import Transfer, line_end_of
from tracker.model import Left, Link, Reason

_IDENTITIES = frozenset({"7bit", "8bit", "binary"})


@dataclass(frozen=True, slots=True)
class SurveyPolicy:
    """What the settings say about every message."""

    public_urls: tuple[str, ...]
    """The tracker's base URLs: the current one first, then former ones."""
    text_links: bool = False
    sender_domains: frozenset[str] = frozenset()
    """Lower-case A-labels; empty: every domain."""
    rewrite_visible_urls: bool = False
    excluded_hosts: tuple[str, ...] = ()
    remove_pixels: bool = False
    """Other people's come out of copies for people who have not agreed to opens."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The message leaves as it came, whoever it goes to."""

    reason: Reason


class FoundLink(NamedTuple):
    """A link that may be tracked."""

    start: int
    """Of the URL, in the decoded body of its part."""
    end: int
    target: str
    """Where a browser would go, in ASCII."""
    report: Link


@dataclass(frozen=True, slots=True)
class HtmlBody:
    """An HTML body: what of it may change, and where the notice may stand (places in the decoded body)."""

    start: int
    """Of the encoded body in the message."""
    end: int
    transfer: Transfer
    view: charset.View
    links: tuple[FoundLink, ...]
    notice_at: int
    body_starts: int | None
    pixels: removal.Spans = ()
    """Other people's, where the policy says that they come out and nothing is doubtful about that."""


@dataclass(frozen=True, slots=True)
class TextBody:
    """The text alternative, or the text of a message without HTML; it gets a notice at its end."""

    start: int
    end: int
    transfer: Transfer
    view: charset.View
    links: tuple[FoundLink, ...] = ()
    """None where links in plain text are not tracked."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What could be tracked in a message."""

    message: bytes
    identity: bytes
    """Message-ID, or Date, From and Subject."""
    message_id: bytes | None
    from_address: str | None
    foreign_sender: bool
    """Whether From is outside the sender domains of the policy."""
    named_recipients: int
    """Distinct addresses in To and Cc."""
    links: tuple[FoundLink, ...]
    """Those that may be tracked, in order."""
    links_found: int
    """All http links."""
    left: Mapping[Left, int]
    """Why the others are left alone."""
    tracker_tokens: tuple[str, ...]
    """Delivery tokens that stand in the message already: its own, or quoted ones."""
    bodies: tuple[HtmlBody, ...]
    text: TextBody | None
    said: Reading
    """All that the targets of `links` say, for whoever looks for a recipient's address in them."""
    foreign: Mapping[str, int] = field(default_factory=dict)
    """Other people's trackers in it: how many of which kind (core/foreign)."""


def survey(message: bytes, policy: SurveyPolicy) -> Survey | Refused:
    """What could be tracked in MESSAGE (RFC 5322 with MIME), or why it must leave as it came."""
    structure = mime.walk(message)
    if isinstance(structure, Reason):
        return Refused(structure)
    reason = refusal.of(structure)
    if reason is not None:
        return Refused(reason)
    fields = structure.fields
    rules = links.LinkRules(
        tracker_urls=policy.public_urls,
        unsubscribe=headers.unsubscribe_urls(fields),
        rewrite_visible_urls=policy.rewrite_visible_urls,
        excluded_hosts=policy.excluded_hosts,
    )
    bases = [url.encode("utf-8") for url in policy.public_urls]
    found: list[str] = []
    bodies: list[HtmlBody] = []
    left: Counter[Left] = Counter()
    trackers: Counter[str] = Counter()
    pixels: list[removal.Spans] = []
    first_html: Leaf | None = None
    texts: dict[int, tuple[Transfer | None, charset.View | None]] = {}
    for leaf in structure.leaves:
        if not leaf.is_body or leaf.type.kind not in ("text/html", "text/plain"):
            continue
        transfer = _transfer(message, leaf)
        view = None if transfer is None else _view(transfer, leaf)
        if leaf.type.kind == "text/plain":
            texts[leaf.start] = transfer, view
        is_html = leaf.type.kind == "text/html"
        if transfer is None or view is None:
            if is_html and first_html is None:
                return Refused(Reason.UNSUPPORTED)  # the notice has no place that everybody reads
            continue
        armoured = refusal.armoured(view.text)
        if armoured is not None:
            return Refused(armoured)
        if any(base in view.text for base in bases):
            found += [token.decode("ascii") for token in _token_pattern(bases).findall(view.text)]
        if not is_html or not view.text.strip():
            continue
        scan = html.scan(view.text)
        if not scan.complete:
            return Refused(Reason.MALFORMED)
        first_html = first_html or leaf
        others = foreign.among(view.text, scan.anchors, scan.images, policy.public_urls)
        trackers.update(one.kind for one in others)
        pixels.append(tuple((one.start, one.end) for one in others if one.kind == "pixel"))
        bodies.append(_html_body(leaf, transfer, view, scan, rules, left))
    if policy.remove_pixels and trackers["pixel"]:
        bodies = _with_pixels(message, structure, bodies, pixels)
    at = _text_body(structure, first_html, texts, policy)
    text = None if at is None else _text(at, *texts[at.start], policy, rules, left)
    all_links = tuple(link for body in (*bodies, text) if body is not None for link in body.links)
    senders = headers.addresses(fields.get(b"from", ()))
    foreign_sender = bool(policy.sender_domains) and (
        not senders or any(headers.host_of(sender) not in policy.sender_domains for sender in senders)
    )
    named = headers.addresses((*fields.get(b"to", ()), *fields.get(b"cc", ())))
    return Survey(
        message=message,
        identity=headers.identity(fields),
        message_id=headers.message_id(fields),
        from_address=senders[0] if senders else None,
        foreign_sender=foreign_sender,
        named_recipients=len({name.casefold() for name in named}),
        links=all_links,
        links_found=len(all_links) + left.total(),
        left=dict(left),
        tracker_tokens=tuple(dict.fromkeys(found)),
        bodies=tuple(bodies),
        text=text,
        said=read(dict.fromkeys(link.target for link in all_links)),
        foreign=dict(trackers),
    )


def _transfer(message: bytes, leaf: Leaf) -> Transfer | None:
    """The body of LEAF in its transfer encoding; None where programs would decode it differently."""
    encoded = message[leaf.start : leaf.end]
    before = message[max(0, leaf.start - 2) : leaf.start]
    eol = line_end_of(encoded, b"\r\n" if before == b"\r\n" else b"\n")
    if leaf.encoding in _IDENTITIES:
        return Identity(encoded, eol)
    if leaf.encoding == "quoted-printable":
        return quoted_printable.read(encoded, eol)
    if leaf.encoding == "base64":
        return base64.read(encoded, eol)
    return None


def _view(transfer: Transfer, leaf: Leaf) -> charset.View | None:
    """The decoded body as the scanners see it; other than ASCII-compatible charsets only in base64."""
    view = charset.view(transfer.body, leaf.type.charset)
    if view is not None and view.codec is not None and leaf.encoding != "base64":
        return None
    return view


def _html_body(
    leaf: Leaf, transfer: Transfer, view: charset.View, scan: html.HtmlScan, rules: links.LinkRules, left: Counter[Left]
) -> HtmlBody:
    judge = links.Judge(view.charset or "utf-8", rules)
    text = view.body if view.codec is None else view.text  # the values themselves, not as the scanner sees them
    judged: list[tuple[int, int, str]] = []
    for anchor in scan.anchors:
        start, end = anchor.start, anchor.end
        verdict = judge(anchor, text[start:end])
        if isinstance(verdict, Left):
            left[verdict] += 1
        elif verdict is not None:
            judged.append((start, end, verdict))
    found = _found(judged, transfer, view, left)
    notice_at = view.places([scan.notice_at])[0]
    body_starts = None if scan.body_starts is None else view.places([scan.body_starts])[0]
    return HtmlBody(leaf.start, leaf.end, transfer, view, found, notice_at, body_starts)


def _found(
    judged: Sequence[tuple[int, int, str]], transfer: Transfer, view: charset.View, left: Counter[Left]
) -> tuple[FoundLink, ...]:
    """The links JUDGED (places in the view, target), less those that programs may decode differently."""
    if view.codec is not None:
        places = iter(view.places([place for start, end, _ in judged for place in (start, end)]))
        judged = [(next(places), next(places), url) for _, _, url in judged]
    found: list[FoundLink] = []
    reports: dict[str, Link] = {}
    for start, end, url in judged:
        if not transfer.is_clear(start, end):
            left[Left.UNREADABLE] += 1
            continue
        if url not in reports:
            reports[url] = target.report(url)
        found.append(FoundLink(start, end, url, reports[url]))
    return tuple(found)


def _with_pixels(
    message: bytes, structure: Structure, bodies: Sequence[HtmlBody], pixels: Sequence[removal.Spans]
) -> list[HtmlBody]:
    """BODIES that know where PIXELS (of each, in its view) can be taken out of them."""
    parts = [
        removal.Part(body.start, body.end, body.transfer, body.view, spans)
        for body, spans in zip(bodies, pixels, strict=True)
    ]
    places = removal.removable(message, structure, parts, _transfer)
    return [replace(body, pixels=spans) for body, spans in zip(bodies, places, strict=True)]


def _text_body(
    structure: Structure,
    first_html: Leaf | None,
    texts: Mapping[int, tuple[Transfer | None, charset.View | None]],
    policy: SurveyPolicy,
) -> Leaf | None:
    """The text that gets a notice, one of TEXTS (by where they start), if it can be changed exactly.

    That is the one beside FIRST_HTML in the nearest multipart/alternative around it; without HTML, the first one.
    """
    at = NO_PARENT
    if first_html is not None:
        at = first_html.parent
        while at != NO_PARENT and structure.multiparts[at].kind != "multipart/alternative":
            at = structure.multiparts[at].parent
        if at == NO_PARENT:
            return None
    elif not policy.text_links:
        return None
    for leaf in structure.leaves:
        if leaf.start not in texts or (first_html is not None and leaf.parent != at):
            continue
        _, view = texts[leaf.start]
        if view is not None and view.text.strip():
            return leaf
        if view is None or first_html is not None:
            return None  # it cannot be changed exactly, or nobody reads it
    return None


def _text(
    leaf: Leaf,
    transfer: Transfer | None,
    view: charset.View | None,
    policy: SurveyPolicy,
    rules: links.LinkRules,
    left: Counter[Left],
) -> TextBody:
    assert transfer is not None
    assert view is not None
    judged: list[tuple[int, int, str]] = []
    if policy.text_links:
        flowed = leaf.type.parameters.get("format", "").lower() == "flowed"
        delsp = leaf.type.parameters.get("delsp", "").lower() == "yes"
        for seen in text_links.scan(view, flowed=flowed, delsp=delsp):
            verdict = seen.found if isinstance(seen.found, Left) else links.destination(seen.found, rules)
            if isinstance(verdict, Left):
                left[verdict] += 1
            elif verdict is not None:
                judged.append((seen.start, seen.end, verdict))
    return TextBody(leaf.start, leaf.end, transfer, view, _found(judged, transfer, view, left))


def _token_pattern(bases: Sequence[bytes]) -> re.Pattern[bytes]:
    return re.compile(rb"(?:" + b"|".join(map(re.escape, bases)) + rb")/[oc]/([A-Za-z0-9_.-]{66})(?![A-Za-z0-9_-])")
