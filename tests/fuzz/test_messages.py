"""Promises 2 and 3 on messages that nobody wrote by hand.

Invariants, for whole messages and for damaged ones:
- surveying, laying out and rendering never fail;
- all bytes around the bodies stay, and all bodies but HTML and its text alternative stay byte for byte;
- with the one notice taken out and every tracked URL opened again, decoded by the standard library's decoders, each
  body reads as before; the text alternative is the old text and after it the notice;
- the same where links in plain text are tracked, in the alternative and in messages without HTML;
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
    TEXT_LINKS,
    TRACKED,
    Rewritten,
    between,
    bodies,
    leaves,
    rewritten,
    shape,
)
from tests.fuzz.strategies import damaged, messages
from tracker.core.survey import HtmlBody, Survey, SurveyPolicy, TextBody, survey
from tracker.model import MAIL_PURPOSES, Left, Purpose

slow = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
POLICIES = st.sampled_from([POLICY, TEXT_LINKS])
PURPOSES = st.sampled_from([MAIL_PURPOSES, MAIL_PURPOSES, frozenset({Purpose.OPEN}), frozenset({Purpose.CLICK})])


@slow
@given(messages(), PURPOSES, POLICIES)
def test_only_links_and_the_notice_differ(message: bytes, purposes: frozenset[Purpose], rules: SurveyPolicy) -> None:
    """R23, R24: mail of any encoding and charset, read alike by another parser."""
    one = rewritten(message, purposes, rules)
    event("tracked" if one else "untouched")
    if one is not None:
        assert_harmless(one)
        # What is whole is read alike by another parser. (It guesses about damaged headers, each time anew.)
        assert shape(message_from_bytes(one.before, policy=policy.compat32)) == shape(
            message_from_bytes(one.after, policy=policy.compat32)
        )


@slow
@given(damaged(), PURPOSES, POLICIES)
def test_only_links_and_the_notice_differ_in_damaged_mail_too(
    message: bytes, purposes: frozenset[Purpose], rules: SurveyPolicy
) -> None:
    one = rewritten(message, purposes, rules)
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
@given(st.one_of(messages(), damaged()))
def test_what_was_rewritten_in_plain_text_is_not_rewritten_again(message: bytes) -> None:
    one = rewritten(message, policy=TEXT_LINKS)
    if one is None:
        return
    again = survey(one.after, TEXT_LINKS)
    assert isinstance(again, Survey)
    assert DELIVERY.decode() in again.tracker_tokens
    assert len(again.links) <= one.plan.left.get(Left.TOO_LONG, 0)


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
    starts: dict[int, HtmlBody | TextBody] = {body.start: body for body in one.seen.bodies}
    opened, notices, texts = 0, 0, 0
    for leaf, (kind, old), (_, new) in zip(leaves(one.before), before, after, strict=True):
        if old == new:
            continue
        assert_still_text(old, new, leaf.type.charset)
        if kind == "text/plain":
            texts += 1
            assert one.seen.text is not None
            text, added = without_notice(old, new)
            assert added.isascii()
            assert added.count(BASE.encode() + b"/privacy/" + STOP) == 1
            opened += assert_same_but_for_links(one.seen.text, old, text)
            continue
        assert kind == "text/html"
        notices += len(NOTICE.findall(new))
        opened += assert_same_but_for_links(starts[leaf.start], old, NOTICE.sub(b"", new))
    assert (notices, texts) == (bool(one.seen.bodies), one.seen.text is not None)
    assert opened == one.plan.links_tracked
    assert lines_over(one.after, 998) <= lines_over(one.before, 998)
    assert line_ends(one.after) <= line_ends(one.before) | ({b"\n"} if not line_ends(one.before) else set())


def without_notice(old: bytes, new: bytes) -> tuple[bytes, bytes]:
    """NEW, a text that was OLD, up to the empty line before its notice; and the notice."""
    at = new.rindex(b"Avec votre accord")
    text = re.sub(rb"\r?\n\Z", b"", new[:at])
    return text if old.endswith(b"\n") else re.sub(rb"\r?\n\Z", b"", text), new[at:]


def assert_still_text(old: bytes, new: bytes, charset: str | None) -> None:
    """What was text in its CHARSET is so now, and the link of the notice can be read in it."""
    if re.match("(?i)utf-?(16|32)|cp037", charset or ""):
        charset = "utf-8"  # as `bodies` gives it
    try:
        old.decode(charset or "ascii")
    except (LookupError, UnicodeError):
        return
    assert f"{BASE}/privacy/{STOP.decode()}" in new.decode(charset or "ascii") or new.count(STOP) == 0


def assert_same_but_for_links(body: HtmlBody | TextBody, old: bytes, new: bytes) -> int:
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


def place(body: HtmlBody | TextBody, at: int) -> int:
    """AT, a place in the body, in the body as `bodies` reads it."""
    view = body.view
    return at if view.codec is None else len(view.body[view.mark : at].decode(view.codec).encode())


def lines_over(message: bytes, limit: int) -> int:
    return sum(len(line) > limit for line in re.split(rb"\r?\n", message))


def line_ends(message: bytes) -> set[bytes]:
    return set(re.findall(rb"\r\n|\n|\r", message))
