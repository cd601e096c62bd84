"""In the session of the person who proved the mailbox: see, switch off, take along, erase; and nobody else can."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.doors.session_fakes import ANNA, People, agree, form_key, people
from tests.flows.conftest import NOW, RING, locked
from tracker.core.calendar import day_of, hour_of, later
from tracker.core.mailbox import VALID
from tracker.core.pseudonym import pseudonym
from tracker.core.receipt import ReceiptKey, verify
from tracker.model import (
    MAIL_PURPOSES,
    NO_LINK,
    Agent,
    DeliveryId,
    Event,
    Language,
    Link,
    LinkNumber,
    MessageKey,
    Owner,
    Pseudonym,
    Purpose,
    Registration,
)

PERSON = pseudonym(RING.pseudonym_keys, ANNA)
TODAY = day_of(NOW)
POSTS = ("/me/withdraw", "/me/erase", "/me/export.json", "/me/export.csv", "/me/receipt.json", "/me/sign-out")


async def measured(door: People, person: Pseudonym = PERSON, address: str = ANNA) -> Event:
    """Let the person agree, get a message, open it and follow a link; the open."""
    await agree(door, address, reference="crm-17" if address == ANNA else None)
    link = Link(LinkNumber(7), "shop.example.com", "/bench")
    sent = Registration(
        person, DeliveryId(person[:16]), later(TODAY, 90), hour_of(NOW), MessageKey(b"m" * 16), Owner(b"o" * 16),
        "=Offer <b>", (link,), MAIL_PURPOSES, "crm",
    )  # fmt: skip
    assert await door.store.register(sent, TODAY)
    opened = Event(sent.last_day, sent.delivery, Purpose.OPEN, NO_LINK, hour_of(NOW), Agent.HUMAN)
    clicked = Event(sent.last_day, sent.delivery, Purpose.CLICK, link.number, hour_of(NOW), Agent.MACHINE)
    assert await door.store.record(opened, TODAY)
    assert await door.store.record(clicked, TODAY)
    return opened


async def test_r47_the_page_shows_everything_with_its_last_day(tmp_path: Path) -> None:
    """R47: state of each purpose, events, messages, references, history."""
    async with people(tmp_path) as door:
        await measured(door)
        page = await door.sign_in()
        english = await door.get("/me?lang=en")
    assert page.status == 200
    for said in (
        "You agreed on Nov 21, 2026. That ends by itself after Nov 20, 2028.",
        "=Offer &lt;b&gt;",
        "shop.example.com/bench",
        "probably a person",
        "a program",
        "Feb 21, 2027",
        "calls you crm-17",
        "That we mailed you the link to what is stored about you on Nov 23, 2026 (1×); kept until",
        'data-label="What">agreed</td>',
        'data-label="Purposes">Opens, Clicks</td>',
        "closes by itself at 12:15 UTC",
    ):
        assert said in english.text, said
    assert ANNA not in english.text


async def test_a_stranger_sees_an_empty_page_that_looks_the_same(tmp_path: Path) -> None:
    """R49, R52: who is unknown is told so; nothing is guessed."""
    async with people(tmp_path) as door:
        page = await door.sign_in("nobody@example.org")
        english = await door.get("/me?lang=en")
    assert page.status == 200
    assert english.text.count("You did not agree, so nothing is measured.") == 2
    assert english.text.count("<p>None.</p>") == 3


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_r49_without_the_cookie_nothing_personal_is_shown(tmp_path: Path, method: str) -> None:
    """R49: a crawl of every page sees nothing about anybody."""
    async with people(tmp_path) as door:
        await measured(door)
        await door.sign_in()
        door.cookie = ""
        for path in ("/me", "/me/erase", "/privacy", *POSTS):
            answer = await door.get(path, method=method)
            assert answer.status in (200, 403, 405), path
            for personal in ("shop.example.com", "crm-17", "Offer", "agreed on"):
                assert personal not in answer.text


async def test_a_forged_a_late_and_an_ended_session_show_nothing(tmp_path: Path) -> None:
    """R58: absolute limit, and no replay after signing out."""
    async with people(tmp_path) as door:
        await measured(door)
        page = await door.sign_in()
        good = door.cookie
        door.cookie = good[:-1] + ("A" if good[-1] != "A" else "B")
        assert (await door.get("/me")).status == 403
        door.cookie = good
        out = await door.post("/me/sign-out", form_key(page), accept_language="en")
        assert out.status == 200
        assert "You are signed out" in out.text
        assert "Max-Age=0" in (out.header("Set-Cookie") or "")
        assert (await door.get("/me")).status == 403
        await door.sign_in()
        door.now += VALID
        assert (await door.get("/me")).status == 403


@pytest.mark.parametrize("path", POSTS)
async def test_r60_a_form_without_the_sessions_key_changes_and_gives_nothing(tmp_path: Path, path: str) -> None:
    """R60: another site's form, and one of another session."""
    async with people(tmp_path) as door:
        other = form_key(await door.sign_in())
        door.cookie = ""
        await measured(door)
        await door.sign_in()
        for fields in ((), (("form", ""),), (("form", "\u00e4"),), (other,)):
            answer = await door.post(path, *fields, ("purpose", "open"))
            assert answer.status == 403
            assert "shop.example.com" not in answer.text
        held = await door.store.held(PERSON, TODAY)
        assert set(held.standing.grants) == MAIL_PURPOSES
        assert (await door.get("/me")).status == 200


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ((("purpose", "open"),), {Purpose.CLICK}),
        ((("purpose", "click"),), {Purpose.OPEN}),
        ((), set()),
        ((("purpose", "nonsense"),), set()),
    ],
)
async def test_r9_r44_one_press_withdraws_and_takes_the_events_along(
    tmp_path: Path, fields: tuple[tuple[str, str], ...], left: set[Purpose]
) -> None:
    """R9, R10, R44: at once, also on mail that was delivered long ago."""
    async with people(tmp_path) as door:
        opened = await measured(door)
        page = await door.sign_in()
        answer = await door.post("/me/withdraw?lang=en", form_key(page), *fields)
        assert (answer.status, answer.header("Location")) == (303, "/me?lang=en&done=withdrawn")
        shown = await door.get("/me?lang=en&done=withdrawn")
        assert 'role="status"' in shown.text
        held = await door.store.held(PERSON, TODAY)
        assert set(held.standing.grants) == left
        assert {event.purpose for event in held.events} == left
        assert held.history[-1].language is Language.EN
        assert await door.store.record(opened, TODAY) is (Purpose.OPEN in left)


async def test_r48_what_is_held_is_taken_along(tmp_path: Path) -> None:
    """R48: JSON with the texts agreed to and what Art. 15 asks for; CSV in which no cell is a formula."""
    async with people(tmp_path) as door:
        await measured(door)
        key = form_key(await door.sign_in())
        as_json = await door.post("/me/export.json?lang=de", key)
        as_csv = await door.post("/me/export.csv", key)
    assert as_json.header("Content-Disposition") == 'attachment; filename="stored-about-me.json"'
    taken = json.loads(as_json.text)
    assert [one["purpose"] for one in taken["events"]] == ["click", "open"]
    assert [one["text"] for one in taken["notices"]] == ["text in de"]
    assert taken["about"]["controller"] == "Example Ltd"
    assert "90 Tage" in taken["about"]["kept"][0]
    assert set(taken["about"]) >= {"purposes", "seen_by", "kept", "source", "rights", "decisions", "contact"}
    assert as_csv.header("Content-Type") == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(as_csv.text.removeprefix("\ufeff"), newline="")))
    assert {row["message"] for row in rows if row["record"] == "event"} == {"'=Offer <b>"}


async def test_the_receipt_can_be_had_and_is_genuine(tmp_path: Path) -> None:
    async with people(tmp_path) as door:
        await measured(door)
        key = form_key(await door.sign_in())
        answer = await door.post("/me/receipt.json", key)
    assert answer.header("Content-Disposition") == 'attachment; filename="receipt.json"'
    own = ReceiptKey(RING)
    receipt = verify(json.loads(answer.text), own.public)
    assert own.is_about(receipt, ANNA)
    assert ANNA not in answer.text


async def test_r51_erasing_takes_two_steps_and_leaves_the_refusal(tmp_path: Path) -> None:
    """R51: the first only asks; the second erases and ends the session."""
    async with people(tmp_path) as door:
        opened = await measured(door)
        await door.sign_in()
        asked = await door.get("/me/erase?lang=en")
        assert "It cannot be undone." in asked.text
        assert len((await door.store.held(PERSON, TODAY)).events) == 2
        erased = await door.post("/me/erase?lang=en", form_key(asked))
        assert erased.status == 200
        assert "It is erased" in erased.text
        assert "35 days" in erased.text
        assert "Max-Age=0" in (erased.header("Set-Cookie") or "")
        assert (await door.get("/me")).status == 403
        held = await door.store.held(PERSON, TODAY)
        assert held.is_only_lawful_rest
        assert set(held.standing.suppressed) == MAIL_PURPOSES
        assert not await door.store.record(opened, TODAY)


async def test_of_a_stranger_erasing_writes_nothing_down(tmp_path: Path) -> None:
    async with people(tmp_path) as door:
        key = form_key(await door.sign_in("nobody@example.org"))
        assert (await door.post("/me/erase", key)).status == 200
        held = await door.store.held(pseudonym(RING.pseudonym_keys, "nobody@example.org"), TODAY)
    assert not held.standing.suppressed
    assert not held.history


async def test_a_person_sees_and_changes_only_what_is_theirs(tmp_path: Path) -> None:
    bert = pseudonym(RING.pseudonym_keys, "bert@example.org")
    async with people(tmp_path) as door:
        await measured(door)
        await measured(door, bert, "bert@example.org")
        page = await door.sign_in("bert@example.org")
        assert "crm-17" not in page.text
        await door.post("/me/erase", form_key(page))
        assert len((await door.store.held(PERSON, TODAY)).events) == 2


@pytest.mark.parametrize("path", ["/me/withdraw", "/me/erase"])
async def test_while_the_store_is_away_the_journal_keeps_the_no(tmp_path: Path, path: str) -> None:
    async with people(tmp_path) as door:
        await measured(door)
        key = form_key(await door.sign_in())
        with locked(tmp_path):
            answer = await door.post(path, key)
        assert answer.status in (200, 303)
        assert door.in_step.trouble
        await door.in_step.look(NOW)
        held = await door.store.held(PERSON, TODAY)
        assert set(held.standing.suppressed) == MAIL_PURPOSES
        assert held.is_only_lawful_rest is (path == "/me/erase")


@pytest.mark.parametrize("path", ["/me/withdraw", "/me/erase"])
async def test_without_store_and_journal_no_yes_is_said(tmp_path: Path, path: str) -> None:
    async with people(tmp_path) as door:
        await measured(door)
        key = form_key(await door.sign_in())
        (tmp_path / "journal").rename(tmp_path / "away")
        with locked(tmp_path):
            answer = await door.post(f"{path}?lang=en", key)
        assert answer.status == 503
        assert "could not be recorded" in answer.text
        assert set((await door.store.held(PERSON, TODAY)).standing.grants) == MAIL_PURPOSES
        (tmp_path / "away").rename(tmp_path / "journal")
        assert (await door.post(path, key)).status in (200, 303)


@pytest.mark.parametrize("language", list(Language))
async def test_every_page_of_the_session_speaks_the_chosen_language_and_keeps_to_itself(
    tmp_path: Path, language: Language
) -> None:
    async with people(tmp_path) as door:
        await measured(door)
        await door.sign_in()
        for path in (f"/me?lang={language}", f"/me/erase?lang={language}"):
            page = await door.get(path)
            assert page.header("Content-Language") == language
            assert page.header("Cache-Control") == "no-store"
            assert "unsafe" not in (page.header("Content-Security-Policy") or "")
            assert "Set-Cookie" not in dict(page.headers)
