"""What changed is told in the caller's own references; the query can only say where to go on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from tests.doors.api_fakes import Api
from tracker.flows.changes import ChangesSince
from tracker.model import Change, Day, InvalidField, LedgerEvent, Purpose

AT = datetime(2026, 11, 1, 9, tzinfo=UTC)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


async def test_a_page_of_changes(api: Api) -> None:
    both = frozenset({Purpose.OPEN, Purpose.CLICK})
    api.changes.page = ChangesSince(
        (
            Change(1, "4711", LedgerEvent.GIVEN, both, AT, Day(21_000)),
            Change(2, "4711", LedgerEvent.WITHDRAWN, frozenset({Purpose.OPEN}), AT),
            Change(3, "4712", LedgerEvent.ERASED),
        ),
        "CURSOR",
        more=True,
    )
    reply = await api.ask("GET", "/v1/consents/changes?since=ABC")
    assert api.changes.asked == [("crm", "ABC")]
    assert (reply.status, reply.json) == (
        200,
        {
            "changes": [
                {
                    "reference": "4711",
                    "event": "given",
                    "purposes": ["click", "open"],
                    "at": "2026-11-01T09:00:00Z",
                    "until": "2027-07-01",
                },
                {"reference": "4711", "event": "withdrawn", "purposes": ["open"], "at": "2026-11-01T09:00:00Z"},
                {"reference": "4712", "event": "erased"},
            ],
            "next": "CURSOR",
            "more": True,
        },
    )


async def test_without_a_cursor_it_begins_at_the_beginning(api: Api) -> None:
    assert (await api.ask("GET", "/v1/consents/changes")).status == 200
    assert api.changes.asked == [("crm", None)]


@pytest.mark.parametrize("query", ["since=", "since=" + "A" * 101, "source=other", "since=A&address=canary"])
async def test_another_query_is_refused(api: Api, query: str) -> None:
    reply = await api.ask("GET", f"/v1/consents/changes?{query}")
    assert (reply.status, reply.slug) == (422, "invalid-field")
    assert not api.changes.asked


async def test_a_cursor_of_another_past_is_a_problem_that_says_what_to_do(api: Api) -> None:
    api.changes.error = InvalidField("since: read again from the beginning")
    reply = await api.ask("GET", "/v1/consents/changes?since=ABC")
    assert (reply.status, reply.json["detail"]) == (422, "since: read again from the beginning")


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("rewrite", 403), ("privacy", 403), ("consent", 200)])
async def test_only_a_key_for_consent_reads_changes(api: Api, key: str | None, status: int) -> None:
    assert (await api.ask("GET", "/v1/consents/changes", key=key)).status == status


async def test_it_can_only_be_read(api: Api) -> None:
    assert (await api.ask("POST", "/v1/consents/changes")).status == 405
