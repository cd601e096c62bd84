"""Lays a surveyed message out as segments with slots, and renders copies of it.

Law: nothing of a message changes but the URLs of tracked links and the notice. A plan is made once for all copies
with the same purposes; a copy is one join.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any

from tracker.core.linkpart import LinkPart
from tracker.core.notice import HtmlNotice, NoticeTexts, TextNotice
from tracker.core.survey import HtmlBody, Survey, TextBody
from tracker.core.transfer.pieces import Edit, Encoded, Form, Slot, content_size, line_end_of
from tracker.model import MAIL_PURPOSES, Left, Link, Purpose

LONGEST_URL = 2_000
"""Characters of a tracked URL that every mail program and browser takes."""
CLIPPED_AT = 95_000
"""Bytes of HTML beyond which mail programs hide the end of a message, and the notice with it."""


@dataclass(frozen=True, slots=True)
class PlanUrls:
    """What stands in the URLs of one plan."""

    public_url: bytes
    """The tracker's base URL, without a slash at its end."""
    link_parts: Mapping[str, LinkPart]
    """Signed once per plan, for every target in the survey's links."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A message with open slots."""

    constants: tuple[bytes, ...]
    forms: tuple[Form, ...]
    """The distinct ways in which the delivery token is written."""
    stop_forms: tuple[Form, ...]
    """Those of the stop token."""
    pick: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]
    """Takes constants, filled forms and filled stop forms, and puts them in order."""
    size: int
    """Bytes of the message without what stands in the slots."""
    purposes: frozenset[Purpose]
    """What the copies track: as granted, without clicks where no link is tracked."""
    links_tracked: int
    links: tuple[Link, ...]
    """What those are to figures: each once, in order."""
    left: Mapping[Left, int]
    """Why the other links were left alone."""


def lay_out(survey: Survey, purposes: Set[Purpose], texts: NoticeTexts, urls: PlanUrls) -> Plan | None:
    """The plan for copies that track PURPOSES; None where there is nothing to track for them."""
    wanted = frozenset(purposes) & MAIL_PURPOSES
    if not survey.bodies:
        wanted -= {Purpose.OPEN}  # plain text shows no pixel
    if not survey.links:
        wanted -= {Purpose.CLICK}  # and the notice says nothing of it
    if not wanted:
        return None
    left = Counter(survey.left)
    if Purpose.CLICK not in wanted:
        left[Left.NO_GRANT] += len(survey.links)
    changed: list[tuple[int, int, Encoded]] = []
    tracked = 0
    links: dict[Link, None] = {}
    for number, body in enumerate(survey.bodies):
        edits = _link_edits(body, urls, left) if Purpose.CLICK in wanted else []
        notice = None if number else _html_notice(body, edits, wanted, texts, urls)
        kept = body.transfer.fitting(edits, notice)
        if kept is None:
            return None
        tracked += _count(body, edits, kept, left, links)
        if kept:
            changed.append((body.start, body.end, body.transfer.splice(kept)))
    text = survey.text
    kept_in_text: list[Edit] = []
    if text is not None and text.links and Purpose.CLICK in wanted:
        edits = _link_edits(text, urls, left)
        kept_in_text = text.transfer.fitting(edits, None) or []
        tracked += _count(text, edits, kept_in_text, left, links)
    if not tracked and Purpose.OPEN not in wanted:
        return None
    if text is not None:
        edits = [*kept_in_text, _text_notice(text, wanted, texts, urls)]
        changed.append((text.start, text.end, text.transfer.splice(edits)))
    constants, forms, stop_forms, pick = _assemble(survey.message, changed)
    return Plan(
        constants,
        forms,
        stop_forms,
        pick,
        sum(map(len, constants)),
        wanted if tracked else wanted - {Purpose.CLICK},
        tracked,
        tuple(links),
        {reason: count for reason, count in left.items() if count},
    )


def render(plan: Plan, delivery_token: bytes, stop_token: bytes) -> bytes:
    """The copy of PLAN with DELIVERY_TOKEN (66 ASCII characters) and STOP_TOKEN (84)."""
    filled = [form.fill(delivery_token) for form in plan.forms]
    stopping = [form.fill(stop_token) for form in plan.stop_forms]
    return b"".join(plan.pick((*plan.constants, *filled, *stopping)))


def _count(
    body: HtmlBody | TextBody, edits: list[Edit], kept: list[Edit], left: Counter[Left], links: dict[Link, None]
) -> int:
    """How many of EDITS, those of links, are KEPT (maybe with a notice); notes LINKS, and those that are LEFT."""
    written = sum(edit.start < edit.end for edit in kept)
    left[Left.TOO_LONG] += len(edits) - written
    if written:
        reports = {link.start: link.report for link in body.links}
        links.update((reports[edit.start], None) for edit in kept if edit.start < edit.end)
    return written


def _link_edits(body: HtmlBody | TextBody, urls: PlanUrls, left: Counter[Left]) -> list[Edit]:
    edits: list[Edit] = []
    before = urls.public_url + b"/c/"
    contents: dict[str, tuple[bytes | Slot, ...] | None] = {}
    """By target, since links repeat; None where the URL would be too long."""
    for link in body.links:
        if link.target not in contents:
            part = urls.link_parts[link.target]
            after = b"/%b/%b/" % (part.part, part.host)
            fits = len(before) + Slot.DELIVERY.value + len(after) <= LONGEST_URL
            contents[link.target] = (before, Slot.DELIVERY, after) if fits else None
        content = contents[link.target]
        if content is None:
            left[Left.TOO_LONG] += 1
        else:
            edits.append(_edit(body, link.start, link.end, content))
    return edits


def _edit(body: HtmlBody | TextBody, start: int, end: int, content: tuple[bytes | Slot, ...]) -> Edit:
    """CONTENT as the body writes it."""
    view = body.view
    if view.codec is None:
        return Edit(start, end, content)
    return Edit(start, end, tuple(one if isinstance(one, Slot) else view.written(one) for one in content), view.codec)


def _with_line_ends(body: HtmlBody | TextBody, content: tuple[bytes | Slot, ...]) -> tuple[bytes | Slot, ...]:
    """CONTENT, whose lines end with a line feed, with the line ends of the body."""
    eol = line_end_of(body.view.text, body.transfer.eol)
    return tuple(one if isinstance(one, Slot) else one.replace(b"\n", eol) for one in content)


def _html_notice(
    body: HtmlBody, edits: list[Edit], purposes: frozenset[Purpose], texts: NoticeTexts, urls: PlanUrls
) -> Edit:
    """The notice where it belongs: at the end, or at the beginning of HTML that mail programs would clip."""
    notice = _html_text(texts, purposes)
    content: tuple[bytes | Slot, ...] = (
        notice.before_link + urls.public_url + b"/privacy/",
        Slot.STOP,
        notice.between,
    )
    if Purpose.OPEN in purposes:
        content = (
            *content[:2],
            notice.between + urls.public_url + b"/o/",
            Slot.DELIVERY,
            b".gif" + notice.after,
        )
    at = body.notice_at
    added = sum(edit.size - (edit.end - edit.start) for edit in edits) + sum(map(content_size, content))
    if body.body_starts is not None and len(body.transfer.body) + added > CLIPPED_AT:
        at = body.body_starts
    return _edit(body, at, at, _with_line_ends(body, content))


@cache
def _html_text(texts: NoticeTexts, purposes: frozenset[Purpose]) -> HtmlNotice:
    return texts.html(purposes)


@cache
def _plain_text(texts: NoticeTexts, purposes: frozenset[Purpose]) -> TextNotice:
    return texts.text(purposes)


def _text_notice(body: TextBody, purposes: frozenset[Purpose], texts: NoticeTexts, urls: PlanUrls) -> Edit:
    """The notice after an empty line at the end of the text; the text ends with a line end if it did before."""
    notice = _plain_text(texts, purposes)
    at = len(body.transfer.body)
    last = b"\n" if body.view.text.endswith(b"\n") else b""
    before = (last or b"\n\n") if at else b""
    content = (before + notice.before_link + urls.public_url + b"/privacy/", Slot.STOP, notice.after + last)
    return _edit(body, at, at, _with_line_ends(body, content))


def _assemble(
    message: bytes, changed: list[tuple[int, int, Encoded]]
) -> tuple[tuple[bytes, ...], tuple[Form, ...], tuple[Form, ...], Callable[[Any], Any]]:
    """MESSAGE with the spans in CHANGED replaced: constants, distinct forms of each slot, and their order."""
    stream: Encoded = []
    at = 0
    for start, end, pieces in sorted(changed, key=itemgetter(0)):
        stream.append(message[at:start])
        stream += pieces
        at = end
    stream.append(message[at:])
    constants: list[bytes] = []
    order: list[int | Form] = []
    """Places of constants, and forms."""
    run: list[bytes] = []
    for piece in stream:
        if isinstance(piece, bytes):
            run.append(piece)
            continue
        order.append(len(constants))
        constants.append(b"".join(run))
        order.append(piece)
        run = []
    order.append(len(constants))
    constants.append(b"".join(run))
    used = {id(one): one for one in order if not isinstance(one, int)}  # the writers use one object again and again
    forms = tuple(dict.fromkeys(form for form in used.values() if form.slot is Slot.DELIVERY))
    stop_forms = tuple(dict.fromkeys(form for form in used.values() if form.slot is Slot.STOP))
    numbers = {form: number for number, form in enumerate((*forms, *stop_forms), len(constants))}
    places = {key: numbers[form] for key, form in used.items()}
    pick = itemgetter(*[one if isinstance(one, int) else places[id(one)] for one in order])
    return tuple(constants), forms, stop_forms, pick
