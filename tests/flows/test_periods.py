"""What the notice says of periods is what the flows write: the last day of each row is the one that is told."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.flows.asking_world import world_on
from tests.flows.conftest import NOW, RING, TOKENS, AwaitedHits, Flows, counted_bytes, hit, kept_in_step, reported
from tests.flows.test_send import ANNA, envelope, mail
from tracker.config import Settings
from tracker.core.bursts import Bursts
from tracker.core.calendar import day_of
from tracker.core.disclosure import Periods
from tracker.core.inventory import CATEGORIES
from tracker.core.pseudonym import pseudonym
from tracker.core.survey import Refused, Survey, survey
from tracker.doors.languages import period
from tracker.flows.consent import Consents
from tracker.flows.hit import Hits
from tracker.flows.send import Sender
from tracker.flows.subject import Request, Subjects
from tracker.model import Agent, Evidence, Language, Letter, MailKind, Method, Notice, Purpose
from tracker.policies import consent_policy, disclosure, send_policy, survey_policy
from tracker.store.store import Store

SETTINGS = Settings(
    controller="A", contact="a@b.example", public_url="https://t.example.com",
    retention_days=91, consent_days=731, proof_days=1097, backup_days=37,
)  # fmt: skip
GIVEN = NOW - timedelta(days=2)


class Silent:
    def hit(self, purpose: Purpose, agent: Agent | None, result: str) -> None: ...


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    """What the flows write under these settings: a tracked and opened mail, a reported consent, a refusal."""
    path = tmp_path / "tracker.db"
    url = f"sqlite+aiosqlite:///{path}"
    await Store.create(url, fingerprint=RING.fingerprint, notices=[Notice("2026-1", Language.DE, "text")])
    store = await Store.open(url, ledger_key=RING.ledger_key, fingerprint=RING.fingerprint)

    async def surveyed(message: bytes) -> Survey | Refused:
        await asyncio.sleep(0)
        return survey(message, survey_policy(SETTINGS))

    in_step = await kept_in_step(store, tmp_path / "journal")
    consents = Consents(store, lambda: TOKENS, consent_policy(SETTINGS), in_step)
    await consents.report(reported(ANNA, reference="crm-1"), NOW)
    await consents.report(reported("bert@example.org", method=Method.REP), NOW)
    await consents.withdraw("cleo@example.org", frozenset(), "cli", NOW)
    sender = Sender(store, lambda: TOKENS, surveyed, counted_bytes(), send_policy(SETTINGS))
    sent = await sender.rewrite(envelope(), mail(), NOW)
    hits = AwaitedHits(Hits(store, lambda: TOKENS, Silent(), Bursts.alone(), machine_seconds=0))
    await hits.opened(sent.message.decode().split("/o/")[1].split(".gif")[0], hit())
    await store.close()
    return path


LAST_DAYS: dict[str, Callable[[Periods], int]] = {
    "grants": lambda told: day_of(GIVEN) + told.consent_days,
    "pending": lambda told: day_of(NOW) + told.pending_days,
    "suppressions": lambda told: day_of(NOW) + told.proof_days,
    "deliveries": lambda told: day_of(NOW) + told.retention_days,
    "tracked": lambda told: day_of(NOW) + told.retention_days,
    "events": lambda told: day_of(NOW) + told.retention_days,
    "messages": lambda told: day_of(NOW) + told.retention_days,
    "external_ids": lambda told: day_of(GIVEN) + told.consent_days,
}


@pytest.mark.parametrize("table", list(LAST_DAYS))
def test_rows_end_on_the_day_that_the_notice_names(database: Path, table: str) -> None:
    """R42, R43: each class of data goes on the day that its period says."""
    days = rows(database, f"SELECT DISTINCT last_day FROM {table}")
    assert days == [(LAST_DAYS[table](disclosure(SETTINGS).periods),)]


def test_the_proof_of_a_consent_ends_with_its_period_after_the_consent(database: Path) -> None:
    told = disclosure(SETTINGS).periods
    contents = dict(rows(database, "SELECT event, last_day FROM ledger_contents"))
    assert contents == {
        "given": day_of(GIVEN) + told.consent_days + told.proof_days,
        "requested": day_of(NOW) + told.proof_days,
        "refused": day_of(NOW) + told.proof_days,
    }


async def test_what_no_setting_changes_is_told_as_it_is_written(flows: Flows, tmp_path: Path) -> None:
    """R12, R17, R42, R43: the periods in the notice and in the record of processing are those of the rows."""
    told = disclosure(SETTINGS).periods
    policy = consent_policy(SETTINGS)
    subjects = Subjects(flows.store, lambda: TOKENS, policy, flows.in_step)
    await flows.grant(ANNA, reference="crm-1")
    assert await subjects.erase(ANNA, Request("cli"), NOW)
    said = Evidence(source="call", call_started_at=NOW, call_again=True)
    await flows.consents.report(
        reported("bert@example.org", Purpose.PHONE, method=Method.PHONE, given_at=NOW, evidence=said), NOW
    )
    async with world_on(flows, policy) as world:
        await world.asking.invite("cleo@example.org", frozenset({Purpose.OPEN}), Language.DE, "shop", NOW)
        person = pseudonym(RING.pseudonym_keys, "dora@example.org")
        letter = Letter(MailKind.CONFIRMATION, "dora@example.org", Language.DE, "https://x.example", timedelta(days=1))
        await world.mailings.send_soon(letter, person, NOW, source="shop")
    database = tmp_path / "tracker.db"
    for query, days in (
        ("SELECT last_day FROM erased_ids", told.erased_days),
        ("SELECT last_day FROM audit", told.audit_days),
        ("SELECT last_day FROM mailings WHERE kind = 'invitation'", told.invitations_days),
        ("SELECT last_day FROM mailings WHERE kind = 'confirmation'", told.mailings_days),
    ):
        assert rows(database, query) == [(day_of(NOW) + days,)], query
    assert rows(database, "SELECT last_day FROM calls") == [(day_of(NOW.replace(year=NOW.year + 5)),)]
    assert period(told.calls_days, Language.EN) == "5 years"


@pytest.mark.parametrize("proof_days", [7, 1097])
async def test_r12_a_no_is_told_to_hold_as_long_as_it_does(flows: Flows, tmp_path: Path, proof_days: int) -> None:
    """R12: also where its proof goes sooner."""
    settings = SETTINGS.model_copy(update={"proof_days": proof_days})
    consents = Consents(flows.store, lambda: TOKENS, consent_policy(settings), flows.in_step)
    await consents.withdraw(ANNA, frozenset({Purpose.OPEN}), "cli", NOW)
    told = disclosure(settings).periods
    assert rows(tmp_path / "tracker.db", "SELECT last_day FROM suppressions") == [(day_of(NOW) + told.refusals_days,)]
    (kept,) = [category.kept for category in CATEGORIES if category.name == "refusals"]
    assert "%(refusals)s" in kept


def test_every_period_of_the_settings_is_told() -> None:
    told = disclosure(SETTINGS).periods
    days = [name for name in Settings.model_fields if name.endswith("_days")]
    assert days
    for name in days:
        assert getattr(told, name) == getattr(SETTINGS, name), name
    kept = " ".join(category.kept for category in CATEGORIES)
    for name in Periods.__dataclass_fields__:
        assert f"%({name.removesuffix('_days')})s" in kept, name


def rows(database: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()
