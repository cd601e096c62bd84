"""A retry of an untouched copy counts once a day."""

from __future__ import annotations

import random
import tracemalloc

from tests.flows.conftest import NOW, Flows
from tests.flows.test_send import ANNA, BERT, envelope, mail
from tracker.flows.counted import Counted
from tracker.flows.report import Listing
from tracker.model import Day, DeliveryId, Reason


def copies(count: int) -> list[DeliveryId]:
    ids = random.Random(1)
    return [DeliveryId(ids.randbytes(16)) for _ in range(count)]


async def test_the_same_bytes_to_the_same_person_on_the_same_day_count_once(flows: Flows) -> None:
    for person in (ANNA, ANNA, BERT, ANNA):
        await flows.sender.rewrite(envelope(person, campaign="c"), mail(), NOW)
    (figures,) = (await flows.figures.messages(Listing(None), NOW)).messages
    assert figures.untouched == {Reason.NO_GRANT: 2}


def test_on_another_day_it_is_news_again() -> None:
    counted = Counted()
    (one,) = copies(1)
    assert counted.is_news(one, Day(1))
    assert not counted.is_news(one, Day(1))
    assert counted.is_news(one, Day(2))
    assert not counted.is_news(one, Day(2))


def test_a_copy_of_the_day_before_forgets_nothing_of_today() -> None:
    counted = Counted()
    late, one = copies(2)
    assert counted.is_news(one, Day(2))
    assert counted.is_news(late, Day(1))
    assert not counted.is_news(one, Day(2))


def test_next_to_all_of_the_last_hundred_thousand_are_remembered() -> None:
    counted, sent = Counted(), copies(100_000)
    news = [counted.is_news(copy, Day(1)) for copy in sent]
    assert all(news)
    forgotten = [counted.is_news(copy, Day(1)) for copy in sent]
    assert sum(forgotten) < 2_000


def test_more_copies_take_no_more_memory() -> None:
    counted, sent = Counted(), copies(21_000)
    for copy in sent[:1_000]:
        counted.is_news(copy, Day(1))
    tracemalloc.start()
    try:
        for copy in sent[1_000:]:
            counted.is_news(copy, Day(1))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 20_000, "octets: less than one for each"
