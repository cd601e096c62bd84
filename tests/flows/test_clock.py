"""Two years and more go by: grants, events, proofs and refusals disappear on their day and not before."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.flows.conftest import NOW, Flows, hit, reported
from tests.flows.test_in_step import MAIL
from tracker.core.calendar import day_of
from tracker.flows.consent import ReportedConsent
from tracker.flows.sweep import sweep
from tracker.model import ConsentState, Envelope, Evidence, LedgerEvent, Method, Purpose, Reason, Suppressed

ANNA, BERT, CARA = "anna@example.org", "bert@example.org", "cara@example.org"
ALL: frozenset[Purpose] = frozenset()
RETENTION, CONSENT, PROOF, PENDING = 90, 730, 1095, 30


@dataclass
class Clock:
    """The flows, day by day; the sweep runs on each day that is looked at."""

    flows: Flows
    folder: Path

    async def on(self, day: int) -> datetime:
        """Noon, DAY days later, after that day's sweep and a look at the journal."""
        now = NOW + timedelta(days=day)
        await self.flows.store._untouched.flush()  # what the server does within a second; here days pass faster
        await sweep(self.flows.store, now, PROOF)
        await self.flows.in_step.keep(now)
        assert not self.flows.in_step.trouble
        assert not any((await self.flows.store.overdue(day_of(now))).values()), f"something is overdue on day {day}"
        return now

    def count(self, table: str) -> int:
        with closing(sqlite3.connect(self.folder / "tracker.db")) as database:
            (found,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()
            return int(found)


@pytest.fixture
def clock(flows: Flows, tmp_path: Path) -> Clock:
    return Clock(flows, tmp_path)


def fresh(address: str, now: datetime, **more: object) -> ReportedConsent:
    """A consent of ADDRESS, given and confirmed on the day of NOW."""
    evidence = Evidence(source="form", confirmed_at=now, confirmed_by="link")
    return reported(address, given_at=now, evidence=evidence, **more)


@pytest.mark.usefixtures("patient")
async def test_events_go_ninety_days_after_sending(clock: Clock) -> None:
    """R42, R43: events and deliveries live for `retention_days`."""
    flows = clock.flows
    await flows.consents.report(fresh(ANNA, NOW), NOW)
    sent = await flows.sender.rewrite(Envelope(ANNA, "shop", single=True), MAIL, NOW)
    pixel = re.findall(r"/o/(.+?)\.gif", sent.message.decode())[0]
    await flows.hits.opened(pixel, hit(NOW))
    now = await clock.on(RETENTION)
    await flows.hits.opened(pixel, hit(now))
    assert clock.count("events") == 2, "on its last day a delivery still takes events"
    assert clock.count("deliveries") == 1
    now = await clock.on(RETENTION + 1)
    assert [clock.count(table) for table in ("events", "tracked", "deliveries", "messages", "links")] == [0] * 5
    await flows.hits.opened(pixel, hit(now))
    assert clock.count("events") == 0
    assert clock.count("grants") == 2, "the grant stays"


@pytest.mark.usefixtures("patient")
async def test_a_grant_ends_after_two_years_and_its_proof_three_years_later(clock: Clock) -> None:
    """R14, R43: `consent_days` after it was given, and `proof_days` after it ended."""
    flows = clock.flows
    await flows.consents.report(fresh(ANNA, NOW), NOW)
    now = await clock.on(CONSENT)
    sent = await flows.sender.rewrite(Envelope(ANNA, "shop", single=True), MAIL, now)
    assert sent.reason is None, "on its last day it holds"
    await flows.hits.opened(re.findall(r"/o/(.+?)\.gif", sent.message.decode())[0], hit(now))
    assert clock.count("events") == 1
    now = await clock.on(CONSENT + 1)
    assert [clock.count(table) for table in ("grants", "events", "tracked")] == [0, 0, 0]
    answer = await flows.sender.rewrite(Envelope(ANNA, "shop", single=True), MAIL, now)
    assert (answer.message, answer.reason) == (MAIL, Reason.NO_GRANT)
    history = (await flows.consents.lookup(ANNA, now)).history
    assert [entry.event for entry in history] == [LedgerEvent.GIVEN, LedgerEvent.EXPIRED]
    now = await clock.on(CONSENT + PROOF)
    assert len((await flows.consents.lookup(ANNA, now)).history) == 2, "on its last day the proof is there"
    now = await clock.on(CONSENT + PROOF + 1)
    assert [entry.event for entry in (await flows.consents.lookup(ANNA, now)).history] == [LedgerEvent.EXPIRED]
    await clock.on(CONSENT + 1 + PROOF + 1)
    assert [clock.count(table) for table in ("ledger_contents", "recipients")] == [0, 0]
    assert clock.count("ledger") == 2, "the chain stays, and says nothing"


async def test_a_refusal_is_kept_for_three_years_and_no_longer(clock: Clock) -> None:
    flows = clock.flows
    await flows.consents.report(fresh(ANNA, NOW), NOW)
    await flows.consents.withdraw(ANNA, ALL, "cli", NOW + timedelta(days=10))
    now = await clock.on(10 + PROOF)
    assert set((await flows.consents.lookup(ANNA, now)).standing.suppressed) == {Purpose.OPEN, Purpose.CLICK}
    assert len((await flows.consents.lookup(ANNA, now)).history) == 2
    now = await clock.on(10 + PROOF + 1)
    assert (await flows.consents.lookup(ANNA, now)).standing.suppressed == {}
    assert [clock.count(table) for table in ("suppressions", "ledger_contents", "recipients")] == [0, 0, 0]


async def test_what_nobody_confirmed_goes_after_thirty_days(clock: Clock) -> None:
    flows = clock.flows
    state, _ = await flows.consents.report(fresh(ANNA, NOW, method=Method.REP), NOW)
    assert state is ConsentState.PENDING
    await clock.on(PENDING)
    assert clock.count("pending") == 2
    await clock.on(PENDING + 1)
    assert clock.count("pending") == 0


async def test_the_journal_forgets_when_no_backup_can_lack_it(clock: Clock) -> None:
    """R45: a month goes 35 days after its end, and with it the pseudonyms in it."""
    flows = clock.flows
    await flows.consents.withdraw(ANNA, ALL, "cli", NOW)  # 2026-11-23
    for day, months in ((42, {"2026-11", "2027-01"}), (43, {"2027-01"})):  # until 2027-01-04
        await clock.on(day)
        assert {path.name.removesuffix(".journal") for path in (clock.folder / "journal").iterdir()} == months


async def test_a_nightly_sync_brings_one_withdrawn_person_not_back_in_four_years(clock: Clock) -> None:
    """R51: every customer is posted as consenting every night; who said no stays silent, also on day 1,096.

    Others live on. What a sync may do at most is prolong the no: it lasts `proof_days` after the last try.
    """
    flows = clock.flows
    for address in (ANNA, BERT, CARA):
        await flows.consents.report(fresh(address, NOW), NOW)
    await flows.consents.withdraw(ANNA, ALL, "cli", NOW)
    nights = sorted({*range(1, 1_500, 7), *range(1_093, 1_100), 729, 730, 731, 732})
    written = clock.count("ledger")
    for day in nights:
        now = await clock.on(day)
        for address in (ANNA, BERT, CARA):
            posted = fresh(address, now if address == CARA else NOW)
            if address == ANNA:
                with pytest.raises(Suppressed):
                    await flows.consents.report(posted, now)
            elif address == CARA or day <= CONSENT:
                await flows.consents.report(posted, now)
        lookup = await flows.consents.lookup(ANNA, now)
        assert not lookup.standing.grants
        assert not lookup.standing.pending
        answer = await flows.sender.rewrite(Envelope(ANNA, "shop", single=True), MAIL, now)
        assert (answer.message, answer.reason) == (MAIL, Reason.NO_GRANT), f"day {day}"
        cara = await flows.sender.rewrite(Envelope(CARA, "shop", single=True), MAIL, now)
        assert cara.reason is None
    assert clock.count("ledger") == written + len(nights) + 1, "Cara's renewals, and the end of Bert's"
    assert clock.count("mailings") == 0, "nobody was mailed"
    await clock.on(nights[-1] + PROOF + 1)
    assert clock.count("suppressions") == 0, "three years after the last try the no itself is forgotten"
