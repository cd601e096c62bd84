"""Repeated messages are surveyed once: by the same API key, for some minutes, within bounds."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.flows.conftest import NOW, PUBLIC, TOKENS, Flows, counted_bytes
from tests.flows.test_send import ANNA, BERT, envelope, mail, tokens_in
from tracker.core.survey import Refused, Survey, SurveyPolicy, survey
from tracker.flows.send import Sender, SendPolicy
from tracker.flows.surveys import KEPT, TIMES_MESSAGE, Surveys
from tracker.model import Envelope, Language, Reason


class Looks:
    """Surveys, and counts how often."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    async def __call__(self, message: bytes) -> Survey | Refused:
        self.messages.append(message)
        return survey(message, SurveyPolicy((PUBLIC,)))


async def test_a_copy_for_somebody_else_is_not_looked_at_again() -> None:
    looks = Looks()
    surveys = Surveys(looks)
    first = await surveys(mail(To=ANNA, Message_ID="<1@x>"), "shop", NOW)
    second = await surveys(mail(To=f"{BERT}, {ANNA}", Message_ID="<22@x>"), "shop", NOW)
    assert len(looks.messages) == 1
    assert isinstance(first, Survey)
    assert isinstance(second, Survey)
    assert (first.message_id, second.message_id) == (b"<1@x>", b"<22@x>")
    assert (first.named_recipients, second.named_recipients) == (1, 2)


async def test_a_refusal_is_remembered_too() -> None:
    looks = Looks()
    surveys = Surveys(looks)
    for person in (ANNA, BERT):
        assert await surveys(mail(To=person, DKIM_Signature="x"), "shop", NOW) == Refused(Reason.DKIM_SIGNED)
    assert len(looks.messages) == 1


async def test_no_api_key_profits_from_another() -> None:
    looks = Looks()
    surveys = Surveys(looks)
    await surveys(mail(), "shop", NOW)
    await surveys(mail(), "crm", NOW)
    assert len(looks.messages) == 2


async def test_it_is_forgotten_after_minutes_however_often_it_came() -> None:
    looks = Looks()
    surveys = Surveys(looks)
    for minutes in range(7):
        await surveys(mail(), "shop", NOW + timedelta(minutes=minutes))
    assert len(looks.messages) == 2
    assert timedelta(minutes=10) >= KEPT
    await surveys.forget(NOW + timedelta(minutes=20))
    assert len(surveys) == 0


async def test_number_and_octets_are_bounded() -> None:
    size = TIMES_MESSAGE * len(mail("<p>0</p>"))
    for most, largest, left in ((2, 9 * size, 2), (9, 3 * size, 3), (9, size - 1, 0)):
        looks = Looks()
        surveys = Surveys(looks, most=most, largest=largest)
        for number in range(9):
            await surveys(mail(f"<p>{number}</p>"), "shop", NOW)
        assert len(surveys) == left
        await surveys(mail("<p>8</p>"), "shop", NOW)
        assert len(looks.messages) == (9 if left else 10), "the newest was not kept"


async def test_a_setting_turns_it_off() -> None:
    looks = Looks()
    surveys = Surveys(looks, memory=False)
    await surveys(mail(), "shop", NOW)
    await surveys(mail(), "shop", NOW)
    assert len(looks.messages) == 2
    assert len(surveys) == 0


async def test_a_look_that_fails_is_not_remembered() -> None:
    async def broken(_: bytes) -> Survey | Refused:
        raise TimeoutError

    surveys = Surveys(broken)
    with pytest.raises(TimeoutError):
        await surveys(mail(), "shop", NOW)
    assert len(surveys) == 0


async def test_copies_from_memory_have_tokens_and_links_of_their_own(flows: Flows) -> None:
    for person in (ANNA, BERT):
        await flows.grant(person)
    looks = Looks()
    policy = SendPolicy(public_url=PUBLIC, max_message=100_000, retention_days=90, language=Language.EN)
    sender = Sender(flows.store, lambda: TOKENS, Surveys(looks), counted_bytes(), policy)
    copies = []
    for person in (ANNA, BERT):
        told: Envelope = envelope(person)
        answer = await sender.rewrite(told, mail(To=person, Message_ID=f"<{person}>"), NOW)
        assert answer.reason is None
        assert f"To: {person}\r\n".encode() in answer.message
        copies.append(answer.message)
    assert len(looks.messages) == 1
    tokens = [TOKENS.read_delivery(tokens_in(copy)[0]) for copy in copies]
    assert len({token.delivery for token in tokens if token}) == 2
    assert len({token.plan for token in tokens if token}) == 2
    assert len({token.message_digest for token in tokens if token}) == 2
