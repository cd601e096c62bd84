"""A retry of an untouched copy counts once a day."""

from __future__ import annotations

import pytest

from tests.flows.conftest import NOW, Flows
from tests.flows.test_send import ANNA, BERT, envelope, mail
from tracker.flows import counted as module
from tracker.flows.counted import Counted
from tracker.flows.report import Listing
from tracker.model import Day, DeliveryId, Reason


async def test_the_same_bytes_to_the_same_person_on_the_same_day_count_once(flows: Flows) -> None:
    for person in (ANNA, ANNA, BERT, ANNA):
        await flows.sender.rewrite(envelope(person, campaign="c"), mail(), NOW)
    (figures,) = (await flows.figures.messages(Listing(None), NOW)).messages
    assert figures.untouched == {Reason.NO_GRANT: 2}


def test_another_day_is_news_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted()
    one = DeliveryId(b"1" * 16)
    assert counted.is_news(one, Day(1))
    assert not counted.is_news(one, Day(1))
    assert counted.is_news(one, Day(2))
    monkeypatch.setattr(module, "MOST", 1)
    assert counted.is_news(one, Day(2)), "forgotten rather than kept without bound"
