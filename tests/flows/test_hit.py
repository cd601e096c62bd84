"""What happens when a pixel or a link is requested: promise 4, and when an event is written."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from tests.flows.conftest import NOW, TOKENS, AwaitedHits, Flows, hit, locked
from tests.flows.test_send import ANNA, envelope, mail, tokens_in
from tracker.core.bursts import Bursts
from tracker.core.classify import MACHINE_SECONDS
from tracker.core.keys import KeyRing
from tracker.core.tokens import Tokens
from tracker.flows.hit import Destination, Hits
from tracker.flows.report import Listing
from tracker.model import Agent, Purpose


async def sent(flows: Flows) -> tuple[str, str, str]:
    """Token, link part and host of a tracked copy for Anna."""
    await flows.grant(ANNA)
    answer = await flows.sender.rewrite(envelope(), mail(), NOW)
    url = answer.message.decode().split("/c/")[1].split('"')[0]
    token, part, host, _ = url.split("/")
    assert token == tokens_in(answer.message)[0]
    return token, part, host


@pytest.mark.usefixtures("patient")
async def test_a_click_leads_exactly_where_the_author_pointed(flows: Flows) -> None:
    token, part, host = await sent(flows)
    destination = await flows.hits.clicked(token, part, host, hit())
    assert destination == Destination("https://shop.example/a?b=1&c=2", ask=False)
    assert flows.counted.hits == [(Purpose.CLICK, Agent.HUMAN, "recorded")]


async def test_an_altered_link_leads_nowhere_and_records_nothing(flows: Flows) -> None:
    token, part, host = await sent(flows)
    for altered in ((token[:-1] + "A", part, host), (token, part[:-1] + "A", host), (token, part, "evil.example")):
        if altered != (token, part, host):
            assert await flows.hits.clicked(*altered, hit()) is None
    await flows.hits.opened("A" * 66, hit())
    assert {result for _, _, result in flows.counted.hits} == {"forged"}


async def test_a_link_outlives_its_delivery_the_grant_and_the_store(flows: Flows, tmp_path: Path) -> None:
    """R31: swept, withdrawn, store away: the link leads on."""
    token, part, host = await sent(flows)
    after = NOW + timedelta(days=1_000)
    await flows.store.sweep(int(after.timestamp() // 86_400), after, 1095)  # type: ignore[arg-type]
    assert await flows.hits.clicked(token, part, host, hit(after))
    await flows.consents.withdraw(ANNA, frozenset(), "cli", NOW)
    assert await flows.hits.clicked(token, part, host, hit())
    with locked(tmp_path):
        assert await flows.hits.clicked(token, part, host, hit())


@pytest.mark.usefixtures("patient")
async def test_nothing_is_recorded_after_the_last_day(flows: Flows) -> None:
    token, _, _ = await sent(flows)
    await flows.hits.opened(token, hit(NOW + timedelta(days=90)))
    await flows.hits.opened(token, hit(NOW + timedelta(days=91)))
    assert [result for _, _, result in flows.counted.hits] == ["recorded", "uncounted"]


async def test_head_prefetch_and_privacy_control_leave_nothing(flows: Flows) -> None:
    """R36, R38, PAINS 16: the operator sees that a program asked, the sender nothing."""
    token, part, host = await sent(flows)
    await flows.hits.opened(token, hit(method="HEAD"))
    assert await flows.hits.clicked(token, part, host, hit(sec_purpose="prefetch"))
    await flows.hits.opened(token, hit(sec_gpc="1"))
    assert flows.counted.hits == [
        (Purpose.OPEN, Agent.MACHINE, "uncounted"),
        (Purpose.CLICK, Agent.MACHINE, "uncounted"),
        (Purpose.OPEN, None, "uncounted"),
    ]
    (message,) = (await flows.figures.messages(Listing(None), NOW + timedelta(hours=1))).messages
    assert (message.opened_by_machines_only, message.clicked_by_machines_only) == (0, 0)


async def test_a_hit_within_seconds_of_the_mail_is_a_programs(flows: Flows) -> None:
    """R36: the token says when it was issued."""
    token, part, host = await sent(flows)
    hits = AwaitedHits(Hits(flows.store, lambda: TOKENS, flows.counted, Bursts.alone()))
    for seconds in (1, MACHINE_SECONDS + 1):
        assert await hits.clicked(token, part, host, hit(NOW + timedelta(seconds=seconds)))
    assert [agent for _, agent, _ in flows.counted.hits] == [Agent.MACHINE, Agent.HUMAN]


@pytest.mark.usefixtures("patient")
async def test_links_followed_at_once_are_a_programs_and_still_lead_on(flows: Flows) -> None:
    """R36: the hit before the burst was known is moved as well; an hour later the person counts."""
    await flows.grant(ANNA)
    body = "".join(f'<a href="https://shop.example/{number}">this</a>' for number in range(3))
    answer = await flows.sender.rewrite(envelope(), mail(body), NOW)
    links = [url.split('"')[0].split("/") for url in answer.message.decode().split("/c/")[1:]]
    assert len(links) == 3
    await flows.hits.opened(links[0][0], hit())
    for number, (token, part, host, _) in enumerate(links):
        destination = await flows.hits.clicked(token, part, host, hit(NOW + timedelta(milliseconds=number)))
        assert destination is not None
    assert [agent for _, agent, _ in flows.counted.hits[:3]] == [Agent.HUMAN, Agent.HUMAN, Agent.MACHINE]
    later = NOW + timedelta(hours=1)
    (swept,) = (await flows.figures.messages(Listing(None), later)).messages
    assert (swept.opened, swept.opened_by_machines_only) == (0, 1)
    assert (swept.clicked, swept.clicked_by_machines_only) == (0, 1)
    token, part, host, _ = links[0]
    await flows.hits.clicked(token, part, host, hit(later))
    (read,) = (await flows.figures.messages(Listing(None), later + timedelta(hours=1))).messages
    assert (read.clicked, read.clicked_by_machines_only) == (1, 0)


async def swept_at(flows: Flows, *hits: tuple[float, dict[str, str]]) -> list[Agent | None]:
    """Who is said to have followed each link of a copy, each so many seconds after the mail; what is stored says so."""
    await flows.grant(ANNA)
    body = "".join(f'<a href="https://shop.example/{number}">this</a>' for number in range(len(hits)))
    answer = await flows.sender.rewrite(envelope(), mail(body), NOW)
    links = [url.split('"')[0].split("/") for url in answer.message.decode().split("/c/")[1:]]
    bursts = Bursts.alone()
    flows.store.heed_bursts(bursts.struck)
    at_ten = AwaitedHits(Hits(flows.store, lambda: TOKENS, flows.counted, bursts))
    for (seconds, headers), (token, part, host, _) in zip(hits, links, strict=True):
        assert await at_ten.clicked(token, part, host, hit(NOW + timedelta(seconds=seconds), **headers))
    return [agent for _, agent, _ in flows.counted.hits]


async def test_a_sweep_of_which_the_last_link_is_no_longer_too_soon_is_a_programs_whole(flows: Flows) -> None:
    """R36: one by one the last would be a person's."""
    assert await swept_at(flows, (9.95, {}), (10.05, {})) == [Agent.MACHINE, Agent.MACHINE]
    (swept,) = (await flows.figures.messages(Listing(None), NOW + timedelta(hours=1))).messages
    assert (swept.clicked, swept.clicked_by_machines_only) == (0, 1)


async def test_so_it_is_when_that_link_comes_in_first(flows: Flows) -> None:
    """Another worker was quicker: what it wrote is moved with the event that gives the sweep away."""
    assert await swept_at(flows, (10.05, {}), (9.95, {})) == [Agent.HUMAN, Agent.MACHINE]
    (swept,) = (await flows.figures.messages(Listing(None), NOW + timedelta(hours=1))).messages
    assert (swept.clicked, swept.clicked_by_machines_only) == (0, 1)


@pytest.mark.parametrize(
    "headers", [{"user_agent": "WhatsApp/2.23.20.0"}, {"user_agent": ""}, {"user_agent": "curl/8.0"}]
)
async def test_a_link_preview_beside_a_persons_click_costs_them_nothing(flows: Flows, headers: dict[str, str]) -> None:
    """Nor one that came too soon: by its name, not by its haste, it is a program."""
    assert await swept_at(flows, (9.95, headers), (10.05, {}), (10.1, headers)) == [
        Agent.MACHINE, Agent.HUMAN, Agent.MACHINE,
    ]  # fmt: skip
    (message,) = (await flows.figures.messages(Listing(None), NOW + timedelta(hours=1))).messages
    assert (message.clicked, message.clicked_by_machines_only) == (1, 0)


async def test_who_follows_a_link_after_a_sweep_that_came_too_soon_is_a_person(flows: Flows) -> None:
    """PAINS 17: what came too soon is told one by one, and costs nobody their hour."""
    assert await swept_at(flows, (3.0, {}), (3.05, {}), (60.0, {})) == [Agent.MACHINE, Agent.MACHINE, Agent.HUMAN]
    (message,) = (await flows.figures.messages(Listing(None), NOW + timedelta(hours=1))).messages
    assert (message.clicked, message.clicked_by_machines_only) == (1, 0)


async def test_a_sweep_over_the_end_of_an_hour_is_a_programs_in_both(flows: Flows) -> None:
    """R36: also where the part before was written when nobody knew yet."""
    edge = 3_600.0 - NOW.timestamp() % 3_600
    assert await swept_at(flows, (edge - 0.05, {}), (edge + 0.05, {})) == [Agent.HUMAN, Agent.MACHINE]
    (swept,) = (await flows.figures.messages(Listing(None), NOW + timedelta(hours=3))).messages
    assert (swept.clicked, swept.clicked_by_machines_only) == (0, 1)


async def test_a_link_of_a_retired_key_asks_and_records_nothing(flows: Flows) -> None:
    token, part, host = await sent(flows)
    ring = TOKENS.ring
    key = ring.signing[0]
    retired = type(key)(key.id, key.secret, key.signs_from, retired=True)
    newer = type(key)("B", b"n" * 32, NOW)
    tokens = Tokens(KeyRing(ring.pseudonym_keys, ring.ledger_key, (retired, newer)))
    hits = AwaitedHits(Hits(flows.store, lambda: tokens, flows.counted, Bursts.alone(), machine_seconds=0))
    destination = await hits.clicked(token, part, host, hit())
    assert destination is not None
    assert destination.ask
    assert [result for _, _, result in flows.counted.hits] == ["uncounted"]


async def test_a_reader_never_waits_long_for_the_store(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    token, part, host = await sent(flows)
    monkeypatch.setattr(flows.store, "record_soon", lambda *_: None)
    assert await flows.hits.clicked(token, part, host, hit())
    assert [result for _, _, result in flows.counted.hits] == ["early"]


async def test_a_redirect_waits_fifty_milliseconds_for_the_store_and_then_goes(
    flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at just before and just after: timers end in their order, however busy the machine is."""
    token, part, host = await sent(flows)
    monkeypatch.setattr(flows.store, "record_soon", lambda *_: None)
    hits = Hits(flows.store, lambda: TOKENS, flows.counted, Bursts.alone())
    went: list[object] = []
    before, after = (asyncio.get_running_loop().create_future() for _ in range(2))
    asyncio.get_running_loop().call_later(0.045, lambda: before.set_result(len(went)))
    hits.clicked(token, part, host, hit(), went.append)
    asyncio.get_running_loop().call_later(0.055, lambda: after.set_result(len(went)))
    assert (await before, await after) == (0, 1)
