"""The privacy officer's pages on a real installation: consents, the audit trail, deletion, requests; no engagement."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.doors.dashboard_world import NOW, PAULA, RITA, Browser, World, heading, world
from tests.flows.conftest import reported
from tests.flows.test_send import envelope, mail
from tracker.core.calendar import day_of
from tracker.core.identity import owner_of
from tracker.model import Purpose, Reason, Role, UntouchedCopy

ANNA = "anna@recipients.example"


@pytest.fixture
async def staff(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "tracker") as made:
        yield made


@pytest.fixture
async def officer(staff: World) -> Browser:
    return await staff.signed_in(Role.PRIVACY)


async def agree(staff: World, address: str = ANNA, *purposes: Purpose) -> None:
    await staff.parts.consents.report(reported(address, *purposes), staff.now)


def rows(staff: World, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(staff.folder / "tracker.db")) as sql:
        return sql.execute(query).fetchall()


def cells(page: str) -> list[list[str]]:
    """The texts of each row's cells."""
    return [
        [
            cell.partition(">")[2].partition(f"</{kind}>")[0].strip()
            for kind in ("td", "th")
            for cell in row.partition("</tr>")[0].split(f"<{kind} ")[1:]
        ]
        for row in page.split('<tr role="row">')[1:]
    ]


# --- consents ---------------------------------------------------------------------------------------


async def test_consents_are_counted_by_purpose_and_by_day(staff: World, officer: Browser) -> None:
    await agree(staff)
    await agree(staff, "bert@recipients.example", Purpose.OPEN)
    await staff.parts.consents.withdraw("bert@recipients.example", frozenset(), "shop", staff.now)
    page = (await officer.get("/consents")).text
    table = cells(page)
    assert ["1", "0", "1", "Opens"] in table
    assert ["1", "0", "1", "Clicks"] in table
    assert ["0", "0", "0", "Calls"] in table
    assert ["0", "2", "0", "1", "0", "0", "Nov 23, 2026"] in table
    staff.later(days=31)
    officer = await staff.signed_in(Role.PRIVACY)
    assert "Nov 23, 2026" not in (await officer.get("/consents")).text, "thirty days are shown"


async def test_the_share_of_copies_that_could_be_measured_is_shown_with_the_reasons(
    staff: World, officer: Browser
) -> None:
    await agree(staff)
    for number in range(4):
        recipient = ANNA if number == 0 else f"nobody{number}@recipients.example"
        await staff.parts.sender.rewrite(envelope(recipient), mail(Message_ID=f"<{number}@x>"), staff.now)
    await staff.parts.sender.rewrite(envelope(ANNA), mail(Content_Type="multipart/signed"), staff.now)
    page = (await officer.get("/consents")).text
    assert "1 of 5 copies of messages, 20%" in page
    assert [row[:2] for row in cells(page) if row[-1].startswith(("no consent", "came signed"))] == [
        ["3", "60%"],
        ["1", "20%"],
    ]


async def test_every_reason_for_which_copies_left_untouched_has_words(staff: World, officer: Browser) -> None:
    owner = owner_of(staff.parts.keys().ring.digest_keys.owner, RITA)
    for reason in Reason:
        staff.parts.store.count_untouched(UntouchedCopy(owner, day_of(NOW), reason, None, campaign=False))
    page = await officer.get("/consents")
    assert page.status == 200
    assert len([row for row in cells(page.text) if row[:2] == ["1", "6%"] and row[-1]]) == len(Reason)


async def test_an_empty_installation_says_what_to_do_next(officer: Browser) -> None:
    assert "/ask" in (await officer.get("/consents")).text
    assert "Nothing was deleted yet." in (await officer.get("/deletion")).text


# --- the audit trail --------------------------------------------------------------------------------


async def test_looking_is_noted_without_content_once_in_an_hour(staff: World, officer: Browser) -> None:
    """R54: views are logged without content."""
    for path in ("/consents", "/deletion", "/consents", "/audit", "/consents"):
        assert (await officer.get(path)).status == 200
    staff.later(minutes=29)
    await officer.get("/deletion")
    staff.later(minutes=29)
    await officer.get("/account")
    staff.later(minutes=2)
    await officer.get("/consents")
    looks = "SELECT action FROM audit WHERE action LIKE 'looked%' ORDER BY id"
    assert [action for (action,) in rows(staff, looks)] == [
        "looked at the state of consents",
        "looked at what was deleted",
        "looked at the audit trail",
        "looked at the state of consents",
    ]
    refused = await staff.signed_in(Role.REP)
    await refused.get("/consents")
    assert len(rows(staff, looks)) == 4, "who was refused saw nothing"


async def test_nothing_is_shown_that_cannot_be_noted(staff: World, officer: Browser) -> None:
    with closing(sqlite3.connect(staff.folder / "tracker.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert (await officer.get("/consents")).status == 503
        other.execute("ROLLBACK")


async def test_the_trail_names_staff_by_login_and_nobody_else(staff: World, officer: Browser) -> None:
    await agree(staff)
    await officer.get("/requests")
    await officer.post("/requests/show", {"address": ANNA, "case": "2026/17"})
    page = await officer.get("/audit")
    assert cells(page.text)[1][1:] == [PAULA, "looked at the audit trail", "–"]
    assert cells(page.text)[2][1:] == [PAULA, "looked at what is held about a person", "2026/17"]
    assert [row[1:3] for row in cells(page.text)[-3:]] == [
        ["the operator", f"made an account: {login}"] for login in (PAULA, "mark@werkstatt-nord.example",
        "rita@werkstatt-nord.example")
    ]  # fmt: skip
    assert ANNA not in page.text


async def test_a_long_trail_is_paged_and_a_page_that_is_none_is_refused(staff: World, officer: Browser) -> None:
    async with staff.parts.store.staff() as book:
        for number in range(120):
            await book.audit(at=NOW, actor="cli", action=f"deed {number}", last_day=day_of(NOW))
    seen = []
    path = "/audit"
    for _ in range(3):
        page = (await officer.get(path)).text
        seen += [row[2] for row in cells(page)[1:] if row[2].startswith("deed")]
        path = page.partition('href="/audit?before=')[2].partition('"')[0]
        path = f"/audit?before={path}" if path else "/audit"
    assert seen == [f"deed {number}" for number in reversed(range(120))]
    for wrong in ("x", "-1", "9" * 30, "%D9%A1"):
        assert (await officer.get(f"/audit?before={wrong}")).status == 422


async def test_a_line_past_its_day_is_not_shown(staff: World, officer: Browser) -> None:
    async with staff.parts.store.staff() as book:
        await book.audit(at=NOW, actor="cli", action="an old deed", last_day=day_of(NOW - timedelta(days=1)))
    assert "an old deed" not in (await officer.get("/audit")).text


# --- deletion ---------------------------------------------------------------------------------------


async def test_what_the_sweep_deleted_is_shown_by_day_and_what_is_overdue_stands_out(
    staff: World, officer: Browser
) -> None:
    async with staff.parts.store.staff() as book:
        for _ in range(3):
            await book.audit(at=NOW, actor="cli", action="old", last_day=day_of(NOW - timedelta(days=1)))
    page = (await officer.get("/deletion")).text
    assert "Lines of the audit trail: 3" in page
    for _ in range(2):
        await staff.parts.store.sweep(day_of(NOW), NOW, 1095)
    page = (await officer.get("/deletion")).text
    assert "Nothing is overdue" in page
    (row,) = cells(page)[1:]
    assert row[:2] == ["Nov 23, 2026", "3"]
    assert "Lines of the audit trail: 3" in row[2]


async def test_every_table_from_which_rows_are_deleted_has_words(staff: World, officer: Browser) -> None:
    tables = await staff.parts.store.sweep(day_of(NOW), NOW, 1095)
    with closing(sqlite3.connect(staff.folder / "tracker.db")) as sql:
        sql.execute("DELETE FROM swept")
        sql.executemany("INSERT INTO swept VALUES (?, ?, 2, ?)", [(day_of(NOW), name, day_of(NOW)) for name in tables])
        sql.commit()
    ((_, _, words),) = cells((await officer.get("/deletion")).text)[1:]
    said = [line.strip() for line in words.split(",")]
    assert len(said) == len(tables)
    assert not [line for line in said if not line[0].isupper() or "_" in line]


# --- requests ---------------------------------------------------------------------------------------


async def test_show_export_and_erase_by_post_with_the_case_in_the_trail(staff: World, officer: Browser) -> None:
    await agree(staff, ANNA)
    await officer.get("/requests")
    asked = {"address": ANNA, "case": "2026/17"}
    shown = await officer.post("/requests/show", asked)
    assert heading(shown) == "What is held about the person"
    assert "You agreed on" in shown.text
    taken = await officer.post("/requests/export.json", asked)
    assert {one["purpose"] for one in json.loads(taken.body)["standing"]} >= {"open", "click"}
    assert taken.header("Content-Disposition") == 'attachment; filename="stored-about-a-person.json"'
    sheet = await officer.post("/requests/export.csv", asked)
    assert sheet.body.startswith(b"\xef\xbb\xbf")
    asking = await officer.post("/requests/erase", asked)
    assert heading(asking) == "Erase this person?"
    assert rows(staff, "SELECT count(*) FROM grants") == [(2,)], "a question erases nothing"
    done = await officer.post("/requests/erase-now", asked)
    assert heading(done) == "It is erased"
    assert rows(staff, "SELECT count(*) FROM grants") == [(0,)]
    assert "What the law does not keep is gone" in done.text
    nobody = await officer.post("/requests/erase-now", {"address": "nobody@recipients.example", "case": ""})
    assert "There was nothing to erase" in nobody.text
    deeds = rows(staff, "SELECT action, case_number FROM audit WHERE action LIKE 'subject%' ORDER BY id")
    assert deeds == [
        ("subject show", "2026/17"),
        ("subject export", "2026/17"),
        ("subject export", "2026/17"),
        ("subject erase", "2026/17"),
        ("subject erase", None),
    ]


async def test_the_language_is_changed_from_the_answer_to_a_form_too(officer: Browser) -> None:
    await officer.get("/requests")
    shown = await officer.post("/requests/show", {"address": ANNA})
    assert 'name="back" value="/requests"' in shown.text
    answer = await officer.post("/language", {"lang": "de", "back": "/requests"})
    assert heading(await officer.get(answer.header("Location") or "")) == "Anfragen"


async def test_the_person_reads_that_it_was_the_privacy_officer(staff: World, officer: Browser) -> None:
    await agree(staff, ANNA)
    await officer.get("/requests")
    await officer.post("/requests/erase-now", {"address": ANNA})
    shown = await officer.post("/requests/show", {"address": ANNA})
    assert "the privacy officer" in shown.text
    assert "user:" not in shown.text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"address": "anna"}, "That is not an e-mail address."),
        ({"address": f"{ANNA}, bert@recipients.example"}, "That is not an e-mail address."),
        ({"address": ANNA, "case": ANNA}, "must not hold the address"),
        ({"address": ANNA, "case": "x" * 65}, "The case number may have"),
        ({"address": ANNA, "case": "a\nb"}, "The case number may have"),
    ],
)
@pytest.mark.parametrize("where", ["show", "export.json", "export.csv", "erase", "erase-now"])
async def test_what_cannot_be_is_told_beside_the_form(
    staff: World, officer: Browser, where: str, fields: dict[str, str], said: str
) -> None:
    await officer.get("/requests")
    answer = await officer.post(f"/requests/{where}", fields)
    assert answer.status == 422
    assert said in answer.text
    assert rows(staff, "SELECT count(*) FROM audit WHERE action LIKE 'subject%'") == [(0,)]


async def test_the_address_is_written_nowhere(staff: World, officer: Browser, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    await agree(staff, ANNA)
    await officer.get("/requests")
    for where in ("show", "export.json", "export.csv", "erase", "erase-now"):
        await officer.post(f"/requests/{where}", {"address": ANNA, "case": "17"})
    stored = b"".join(path.read_bytes() for path in staff.folder.rglob("*") if path.is_file())
    assert ANNA.encode() not in stored
    assert ANNA not in caplog.text


async def test_while_the_store_is_away_the_officer_reads_so(staff: World, officer: Browser) -> None:
    with closing(sqlite3.connect(staff.folder / "tracker.db", isolation_level=None)) as other:
        await officer.get("/requests")
        other.execute("BEGIN IMMEDIATE")
        answer = await officer.post("/requests/show", {"address": ANNA})
        other.execute("ROLLBACK")
    assert answer.status == 503
    assert "The database cannot be reached just now" in answer.text
