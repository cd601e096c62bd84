"""What a person takes along: a JSON object and a table that say the same, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.export import COLUMNS, document, table
from tracker.core.held import Held, HeldCall, HeldDelivery, HeldEvent, HeldMailing, HeldReference
from tracker.model import (
    Agent,
    Day,
    Evidence,
    Grant,
    Hour,
    Language,
    LedgerContent,
    LedgerEvent,
    Method,
    Notice,
    PendingGrant,
    Purpose,
    Standing,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY, HOUR = Day(20_800), Hour(499_200)
HELD = Held(
    standing=Standing(
        grants={Purpose.OPEN: Grant(Purpose.OPEN, DAY, NOW, "2026-1", 1)},
        pending={Purpose.CLICK: PendingGrant(Purpose.CLICK, DAY, Method.REP, 2)},
        suppressed={Purpose.PHONE: DAY},
    ),
    history=(
        LedgerContent(
            1, LedgerEvent.GIVEN, frozenset({Purpose.OPEN}), NOW, "crm", DAY, Method.WEB_FORM, NOW, "2026-1", "ff",
            Language.DE, Evidence(source="form", confirmed_at=NOW, confirmed_by="link"),
        ),
    ),
    deliveries=(HeldDelivery('Offer, "new"', HOUR, frozenset({Purpose.OPEN}), DAY),),
    events=(
        HeldEvent("Offer", Purpose.OPEN, HOUR, Agent.HUMAN, None, None, DAY),
        HeldEvent("Offer", Purpose.CLICK, HOUR, Agent.MACHINE, "shop.example.com", "/a", DAY),
    ),
    references=(HeldReference("crm", "17", DAY),),
    calls=(HeldCall("jonas", NOW, 90, True, None, DAY),),
    mailings=(HeldMailing("confirmation", DAY, 1, DAY),),
)  # fmt: skip


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_r48_the_document_holds_everything_and_is_plain_json() -> None:
    """R48: portable, in one format, with the text that was agreed to."""
    notice = Notice("2026-1", Language.DE, "Dürfen wir?")
    made: dict[str, Any] = json.loads(json.dumps(document(HELD, [notice], {"controller": "Nord"}, NOW)))
    assert made["made_at"] == "2026-11-23T12:00:00Z"
    assert [(one["purpose"], one["state"]) for one in made["standing"]] == [
        ("open", "live"), ("click", "pending"), ("phone", "refused"),
    ]  # fmt: skip
    assert made["events"][1] == {
        "purpose": "click", "hour": "2026-12-13T00:00:00Z", "message": "Offer", "link": "shop.example.com/a",
        "by": "machine", "kept_until": "2026-12-13",
    }  # fmt: skip
    assert made["messages"][0]["label"] == 'Offer, "new"'
    assert made["references"][0]["reference"] == "17"
    assert made["calls"][0]["call_again"] is True
    assert made["mailings"][0]["count"] == 1
    assert made["history"][0]["evidence"]["confirmed_by"] == "link"
    assert made["notices"][0]["text"] == "Dürfen wir?"
    for kind in ("standing", "messages", "events", "references", "calls", "mailings", "history"):
        assert all("kept_until" in one for one in made[kind]), kind


def test_the_table_says_the_same() -> None:
    said = rows(table(HELD))
    assert tuple(said[0]) == COLUMNS
    kinds = [one["record"] for one in said]
    assert kinds == [
        "consent", "consent", "consent", "message", "event", "event", "reference", "call", "mailing", "history",
    ]  # fmt: skip
    assert {one["kept_until"] for one in said} == {"2026-12-13"}
    assert said[3]["message"] == 'Offer, "new"'
    assert (said[5]["link"], said[5]["by"]) == ("shop.example.com/a", "machine")
    assert json.loads(said[-1]["details"])["evidence"]["source"] == "form"


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "＝"])
def test_r48_no_cell_begins_like_a_formula(begin: str) -> None:
    """R48: `=cmd` in a label, a reference or a rep's name is text."""
    evil = f"{begin}cmd|' /C calc'!A0"
    said = table(
        Held(
            deliveries=(HeldDelivery(evil, HOUR, frozenset(), DAY),),
            references=(HeldReference(evil, evil, DAY),),
            calls=(HeldCall(evil, NOW, None, None, None, DAY),),
        )
    )
    for row in rows(said):
        for cell in row.values():
            assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝"))
    assert f"'{evil}" in [row["message"] for row in rows(said)]


@given(st.text(max_size=30))
def test_any_text_comes_back_from_the_table(text: str) -> None:
    (row,) = rows(table(Held(deliveries=(HeldDelivery(text, HOUR, frozenset(), DAY),))))
    assert row["message"] in (text, f"'{text}")


def test_of_nobody_the_table_is_its_head() -> None:
    assert rows(table(Held())) == []
