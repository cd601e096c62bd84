"""Other people's pixels come out of copies for people who have not agreed to opens, where the setting says so."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flows.conftest import NOW, PUBLIC, TOKENS, Flows, counted_bytes, locked
from tests.flows.test_batch import batch
from tests.flows.test_send import ANNA, BERT, HTML, envelope, mail
from tracker.core.survey import Refused, Survey, SurveyPolicy, survey
from tracker.flows.send import Sender, SendPolicy
from tracker.model import Language, Purpose, Reason, StoreUnavailable

PIXEL = '<img src="https://mailtrack.io/trace/mail/0eabccbe98c98e9b.png" width="1" height="1">'
BOTH = HTML + PIXEL
CARRIES = PIXEL.encode()


@pytest.fixture
async def removing(flows: Flows) -> Flows:
    async def surveyed(message: bytes) -> Survey | Refused:
        await asyncio.sleep(0)
        domains = frozenset({"werkstatt-nord.example"})
        return survey(message, SurveyPolicy((PUBLIC,), sender_domains=domains, remove_pixels=True))

    policy = SendPolicy(
        public_url=PUBLIC, max_message=100_000, retention_days=90, language=Language.EN, remove_pixels=True
    )
    return replace(flows, sender=Sender(flows.store, lambda: TOKENS, surveyed, counted_bytes(), policy))


async def test_a_copy_without_a_grant_loses_the_pixel_and_nothing_else(removing: Flows) -> None:
    answer = await removing.sender.rewrite(envelope(BERT), mail(BOTH), NOW)
    assert answer.message == mail(HTML)
    assert (answer.reason, answer.foreign, answer.pixels_removed) == (Reason.NO_GRANT, {"pixel": 1}, 1)


async def test_a_copy_that_tracks_clicks_alone_loses_it_too(removing: Flows) -> None:
    await removing.grant(ANNA, Purpose.CLICK)
    answer = await removing.sender.rewrite(envelope(), mail(BOTH), NOW)
    assert (answer.reason, answer.purposes, answer.pixels_removed) == (None, frozenset({Purpose.CLICK}), 1)
    assert CARRIES not in answer.message
    nothing = await removing.sender.rewrite(envelope(), mail("<p>x</p>" + PIXEL), NOW)
    assert nothing.message == mail("<p>x</p>")
    assert (nothing.reason, nothing.pixels_removed) == (Reason.NOTHING_TO_TRACK, 1)


@pytest.mark.parametrize("purposes", [(Purpose.OPEN,), (Purpose.OPEN, Purpose.CLICK)])
async def test_who_agreed_to_opens_keeps_it(removing: Flows, purposes: tuple[Purpose, ...]) -> None:
    await removing.grant(ANNA, *purposes)
    answer = await removing.sender.rewrite(envelope(), mail(BOTH), NOW)
    assert (answer.reason, answer.foreign, answer.pixels_removed) == (None, {"pixel": 1}, 0)
    assert CARRIES in answer.message


async def test_a_grant_that_ended_in_between_counts(removing: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    await removing.grant(ANNA)
    real = removing.store.grants_of

    async def and_then_she_says_no(*arguments: object) -> frozenset[Purpose]:
        found = await real(*arguments)  # type: ignore[arg-type]
        await removing.consents.withdraw(ANNA, ended, "cli", NOW)
        return found

    monkeypatch.setattr(removing.store, "grants_of", and_then_she_says_no)
    ended = frozenset({Purpose.OPEN})
    answer = await removing.sender.rewrite(envelope(), mail(BOTH), NOW)
    assert (answer.reason, answer.purposes, answer.pixels_removed) == (None, frozenset({Purpose.CLICK}), 1)
    assert CARRIES not in answer.message


async def test_rewriting_twice_changes_nothing_more(removing: Flows) -> None:
    await removing.grant(ANNA)
    await removing.grant(BERT, Purpose.CLICK)
    for person in (ANNA, BERT, "nobody@example.org"):
        once = await removing.sender.rewrite(envelope(person), mail(BOTH), NOW)
        twice = await removing.sender.rewrite(envelope(person), once.message, NOW)
        assert twice.message == once.message
        assert twice.pixels_removed == 0


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (mail(BOTH, DKIM_Signature="v=1"), Reason.DKIM_SIGNED),
        (mail(BOTH, Auto_Submitted="auto-replied"), Reason.AUTO_SUBMITTED),
        (mail(BOTH, Return_Path="<>"), Reason.REPORT),
        (mail(BOTH + "<!-- "), Reason.MALFORMED),
        (mail(BOTH, From="x@elsewhere.example"), Reason.FOREIGN_SENDER),
        (mail(BOTH, Cc="bert@example.org"), Reason.SEVERAL_RECIPIENTS),
        (mail(BOTH + "x" * 100_000), Reason.TOO_LARGE),
        (mail("&am" + PIXEL + "p;" + HTML), Reason.NO_GRANT),
    ],
)
async def test_what_is_left_as_a_whole_keeps_it_with_and_without_a_grant(
    removing: Flows, message: bytes, reason: Reason
) -> None:
    await removing.grant(ANNA, Purpose.CLICK)
    for person in (ANNA, BERT):
        answer = await removing.sender.rewrite(envelope(person), message, NOW)
        if reason is Reason.NO_GRANT and person == ANNA:
            assert CARRIES in answer.message, "tracked, and the doubtful pixel stays"
            continue
        assert (answer.message, answer.pixels_removed) == (message, 0)
        assert answer.reason in (reason, Reason.NO_GRANT)


async def test_a_copy_that_goes_to_one_alone_loses_it_though_it_names_several(removing: Flows) -> None:
    sent = mail(BOTH, Cc="bert@example.org")
    answer = await removing.sender.rewrite(envelope(BERT, single=True), sent, NOW)
    assert (answer.message, answer.pixels_removed) == (mail(HTML, Cc="bert@example.org"), 1)


async def test_a_batch_does_so_for_each_by_their_own_grants(removing: Flows) -> None:
    await removing.grant(ANNA, Purpose.OPEN)
    await removing.grant(BERT, Purpose.CLICK)
    people = (ANNA, BERT, "nobody@example.org", "nobody2@example.org")
    anna, bert, nobody, nobody2 = await batch(removing, people, mail(BOTH))
    assert [one.pixels_removed for one in (anna, bert, nobody)] == [0, 1, 1]
    assert [CARRIES in one.message for one in (anna, bert, nobody)] == [True, False, False]
    assert nobody.message == mail(HTML)
    assert nobody.message is nobody2.message, "made once"


async def test_when_the_store_is_away_nobody_knows_who_agreed(removing: Flows, tmp_path: Path) -> None:
    async def away(*_: object) -> frozenset[Purpose]:
        raise StoreUnavailable

    removing.store.grants_of = away  # type: ignore[assignment, method-assign]
    with locked(tmp_path):
        answer = await removing.sender.rewrite(envelope(), mail(BOTH), NOW)
    assert (answer.message, answer.reason, answer.pixels_removed) == (mail(BOTH), Reason.STORE_UNAVAILABLE, 0)


async def test_a_look_that_fails_leaves_the_copy_as_it_came(removing: Flows, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(message: bytes) -> Survey | Refused:
        raise TimeoutError

    policy = removing.sender._policy
    sender = Sender(removing.store, lambda: TOKENS, broken, counted_bytes(), policy)
    answer = await sender.rewrite(envelope(), mail(BOTH), NOW)
    assert (answer.message, answer.reason, answer.pixels_removed) == (mail(BOTH), Reason.NO_GRANT, 0)
    assert "could not be searched" in caplog.text


async def test_without_the_setting_no_grant_is_no_byte(flows: Flows) -> None:
    answer = await flows.sender.rewrite(envelope(BERT), mail(BOTH), NOW)
    assert (answer.message, answer.reason, answer.pixels_removed) == (mail(BOTH), Reason.NO_GRANT, 0)
