"""Sentences of the law that no other test shows by itself, on the real flows."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from dataclasses import fields
from datetime import datetime, timedelta
from email import message_from_bytes
from hashlib import sha256

import pytest

from tests.flows.conftest import NOW, TOKENS, Flows, reported
from tests.flows.test_send import ANNA, BERT, envelope, mail, tokens_in
from tracker.core.campaigns import LabelFigures
from tracker.model import (
    Coverage,
    Engagement,
    InvalidField,
    LinkFigures,
    MessageFigures,
    Method,
    Moment,
    PersonFigures,
    Purpose,
    Reason,
    TeamTotals,
)

LATER = NOW + timedelta(days=1_000)


async def nothing(flows: Flows) -> None:
    """She is unknown."""


async def refused(flows: Flows) -> None:
    await flows.consents.withdraw(ANNA, frozenset(), "cli", NOW)


async def withdrawn(flows: Flows) -> None:
    await flows.grant(ANNA)
    await refused(flows)


async def pending(flows: Flows) -> None:
    await flows.consents.report(reported(ANNA, method=Method.REP), NOW)


async def expired(flows: Flows) -> None:
    await flows.grant(ANNA)


async def superseded(flows: Flows) -> None:
    await flows.grant(ANNA)
    await flows.store.supersede("2026-1", NOW, 1095)


@pytest.mark.parametrize(
    ("before", "when"),
    [
        (nothing, NOW), (refused, NOW), (withdrawn, NOW), (pending, NOW), (superseded, NOW), (expired, LATER),
    ],
)  # fmt: skip
async def test_whoever_has_no_live_grant_gets_the_same_bytes(
    flows: Flows, before: Callable[[Flows], Awaitable[None]], when: datetime
) -> None:
    """R1, R7, R11, R13, R14: unknown, refused, withdrawn, pending, superseded, expired: equal hashes; mail flows."""
    await before(flows)
    answer = await flows.sender.rewrite(envelope(), mail(), when)
    assert sha256(answer.message).digest() == sha256(mail()).digest()
    assert answer.reason is Reason.NO_GRANT


async def test_consent_to_mail_is_none_to_calls(flows: Flows) -> None:
    """R18: no report about mail can name calls, and none leaves a grant for them."""
    with pytest.raises(InvalidField, match="purposes"):
        await flows.consents.report(reported(ANNA, Purpose.PHONE), NOW)
    await flows.grant(ANNA)
    assert Purpose.PHONE not in (await flows.consents.lookup(ANNA, NOW)).standing.grants


async def test_tokens_hold_nothing_about_the_person_and_cannot_be_guessed(flows: Flows) -> None:
    """R28: no address, no name, no sequence; the ids of two copies of one message have nothing in common."""
    for person in (ANNA, BERT):
        await flows.grant(person)
    answers = [await flows.sender.rewrite(envelope(person, single=True), mail(), NOW) for person in (ANNA, BERT)]
    tokens = [tokens_in(answer.message)[0] for answer in answers]
    for token in tokens:
        for begin in range(4):
            aligned = token.replace(".", "")[begin : begin + 60]  # wherever the parts of a token begin
            octets = base64.urlsafe_b64decode(aligned).lower()
            assert not any(part in octets for part in (b"anna", b"bert", b"example"))
    first, second = [TOKENS.read_delivery(token) for token in tokens]
    assert first
    assert second
    assert len(first.delivery) == 16
    differing = int.from_bytes(first.delivery, "big") ^ int.from_bytes(second.delivery, "big")
    assert differing.bit_count() > 30


async def test_a_tracked_mail_gets_no_header_more_and_no_list_unsubscribe(flows: Flows) -> None:
    """R66: stopping the tracking is not advertised as leaving the list."""
    await flows.grant(ANNA)
    answer = await flows.sender.rewrite(envelope(), mail(), NOW)
    assert answer.reason is None
    before, after = message_from_bytes(mail()), message_from_bytes(answer.message)
    assert after.items() == before.items()
    assert not [name for name in after if name.lower().startswith("list-")]


def test_figures_know_no_score_and_no_rank() -> None:
    """R40, R55: what a caller can learn of people, messages and links is on this list; no rep stands in it."""
    kinds = (Engagement, LinkFigures, MessageFigures, PersonFigures, Moment, Coverage, TeamTotals, LabelFigures)
    assert {field.name for kind in kinds for field in fields(kind)} == {
        "click_base", "clicked", "clicked_by_machines_only", "day", "engaged", "first_sent", "host", "hour", "label",
        "last_engaged", "last_sent", "left", "links", "machines", "machines_only", "measurable", "measured", "message",
        "messages", "open_base", "opened", "opened_by_machines_only", "path", "people", "purposes", "references",
        "sent", "tracked", "untouched",
    }  # fmt: skip
