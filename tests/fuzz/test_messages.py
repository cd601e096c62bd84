"""Promises 2 and 3 on messages that nobody wrote by hand.

Invariants, for whole messages and for damaged ones:
- surveying, laying out and rendering never fail;
- all bytes around the bodies stay, and all bodies but HTML and its text alternative stay byte for byte;
- with the one notice taken out and every tracked URL opened again, decoded by the standard library's decoders, each
  body reads as before; the text alternative is the old text and after it the notice;
- a tracked link leads where the survey said, and as many were tracked as were counted;
- what was text in its charset still is, and the notice can be read in it;
- no line grows beyond 998 octets that did not before, and no kind of line end comes in that was not there;
- what was rewritten is known again: it holds our token, and no link of it would be tracked twice;
- another parser reads the same header and the same parts.
"""

from __future__ import annotations

import re
from email import message_from_bytes, policy

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.fuzz.rewriting import (
    BASE,
    DELIVERY,
    NOTICE,
    PLAN_ID,
    POLICY,
    SIGNER,
    STOP,
    TRACKED,
    Rewritten,
    between,
    bodies,
    leaves,
    rewritten,
    shape,
)
from tests.fuzz.strategies import damaged, messages
from tracker.core.survey import HtmlBody, Survey, survey
from tracker.model import MAIL_PURPOSES, Left, Purpose

slow = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
PURPOSES = st.sampled_from([MAIL_PURPOSES, MAIL_PURPOSES, frozenset({Purpose.OPEN}), frozenset({Purpose.CLICK})])


@slow
@given(messages(), PURPOSES)
def test_only_links_and_the_notice_differ(message: bytes, purposes: frozenset[Purpose]) -> None:
    """R23, R24: mail of any encoding and charset, read alike by another parser."""
    one = rewritten(message, purposes)
    event("tracked" if one else "untouched")
    if one is not None:
        assert_harmless(one)
        # What is whole is read alike by another parser. (It guesses about damaged headers, each time anew.)
        assert shape(message_from_bytes(one.before, policy=policy.compat32)) == shape(
            message_from_bytes(one.after, policy=policy.compat32)
        )


@slow
@given(damaged(), PURPOSES)
def test_only_links_and_the_notice_differ_in_damaged_mail_too(message: bytes, purposes: frozenset[Purpose]) -> None:
    one = rewritten(message, purposes)
    event("tracked" if one else "untouched")
    if one is not None:
        assert_harmless(one)


@slow
@given(st.one_of(messages(), damaged()))
def test_what_was_rewritten_is_known_again(message: bytes) -> None:
    """R27: nothing is tracked twice."""
    one = rewritten(message)
    if one is None:
        return
    again = survey(one.after, POLICY)
    assert isinstance(again, Survey)
    assert DELIVERY.decode() in again.tracker_tokens
    assert again.identity == one.seen.identity
    assert len(again.links) == one.plan.left.get(Left.TOO_LONG, 0)
    assert again.left.get(Left.TRACKER_LINK, 0) >= one.plan.links_tracked


@slow
@given(messages())
def test_every_copy_differs_in_its_tokens_alone(message: bytes) -> None:
    one, other = rewritten(message), rewritten(message)
    if one is None or other is None:
        assert one is other is None
        return
    assert one.after == other.after
    assert rewritten(message, frozenset()) is None
    assert one.before == message


def assert_harmless(one: Rewritten) -> None:
    """The law, looked at from outside."""
    assert between(one.after) == between(one.before)
    before, after = bodies(one.before), bodies(one.after)
    starts = {body.start: body for body in one.seen.bodies}
    opened, notices, texts = 0, 0, 0
    for leaf, (kind, old), (_, new) in zip(leaves(one.before), before, after, strict=True):
        if old == new:
            continue
        assert_still_text(old, new, leaf.type.charset)
        if kind == "text/plain":
            texts += 1
            assert new.startswith(old.rstrip(b"\r\n"))
            added = new[len(old) :]
            assert added.isascii()
            assert added.count(BASE.encode() + b"/privacy/" + STOP) == 1
            continue
        assert kind == "text/html"
        notices += len(NOTICE.findall(new))
        opened += assert_same_but_for_links(starts[leaf.start], old, NOTICE.sub(b"", new))
    assert (notices, texts) == (1, one.seen.text is not None)
    assert opened == one.plan.links_tracked
    assert lines_over(one.after, 998) <= lines_over(one.before, 998)
    assert line_ends(one.after) <= line_ends(one.before) | ({b"\n"} if not line_ends(one.before) else set())


def assert_still_text(old: bytes, new: bytes, charset: str | None) -> None:
    """What was text in its CHARSET is so now, and the link of the notice can be read in it."""
    if re.match("(?i)utf-?(16|32)|cp037", charset or ""):
        charset = "utf-8"  # as `bodies` gives it
    try:
        old.decode(charset or "ascii")
    except (LookupError, UnicodeError):
        return
    assert f"{BASE}/privacy/{STOP.decode()}" in new.decode(charset or "ascii") or new.count(STOP) == 0


def assert_same_but_for_links(body: HtmlBody, old: bytes, new: bytes) -> int:
    """OLD is NEW with each of our URLs as it was written; how many there are."""
    written = {place(body, link.start): (place(body, link.end), link.target) for link in body.links}
    at = last = count = 0
    for found in TRACKED.finditer(new):
        if found["delivery"] != DELIVERY:
            continue  # somebody else's
        kept = new[last : found.start()]
        assert old.startswith(kept, at)
        end, target = written[at + len(kept)]
        assert SIGNER.read(PLAN_ID, found["part"].decode(), found["host"].decode()) == target
        at, last, count = end, found.end(), count + 1
    assert old[at:] == new[last:]
    return count


def place(body: HtmlBody, at: int) -> int:
    """AT, a place in the body, in the body as `bodies` reads it."""
    view = body.view
    return at if view.codec is None else len(view.body[view.mark : at].decode(view.codec).encode())


def lines_over(message: bytes, limit: int) -> int:
    return sum(len(line) > limit for line in re.split(rb"\r?\n", message))


def line_ends(message: bytes) -> set[bytes]:
    return set(re.findall(rb"\r\n|\n|\r", message))
