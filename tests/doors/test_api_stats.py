"""Figures come back as clear JSON, of the one rep that the key or the header names, and of nobody else."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tests.doors.api_fakes import CANARY, Api
from tracker.flows.report import Listing, MessagePage
from tracker.model import (
    Day,
    Engagement,
    Hour,
    InvalidField,
    Left,
    LinkFigures,
    MessageFigures,
    MessageKey,
    Moment,
    NotFound,
    Order,
    PersonFigures,
    Purpose,
    Reason,
)

NOON = Hour(498_564)
MESSAGE = MessageFigures(
    message=MessageKey(bytes(range(16))),
    label="Angebot",
    first_sent=NOON,
    last_sent=Hour(NOON + 1),
    measurable={Purpose.OPEN: 4, Purpose.CLICK: 3},
    opened=2,
    opened_by_machines_only=1,
    clicked=1,
    clicked_by_machines_only=0,
    tracked=5,
    untouched={Reason.NO_GRANT: 2, Reason.DKIM_SIGNED: 1},
    links=(LinkFigures("shop.example.com", "/offer", 1, 0),),
    measured=4,
    engaged=2,
    machines_only=1,
    last_engaged=Hour(NOON + 2),
    left={Left.VISIBLE_URL: 2, Left.EXCLUDED: 1},
    references=("4711",),
)
ID = "000102030405060708090a0b0c0d0e0f"
SAID: dict[str, Any] = {
    "id": ID,
    "label": "Angebot",
    "references": ["4711"],
    "first_sent": "2026-11-16T12:00:00Z",
    "last_sent": "2026-11-16T13:00:00Z",
    "last_engaged": "2026-11-16T14:00:00Z",
    "sent": 8,
    "tracked": 5,
    "measured": 4,
    "measurable": {"click": 3, "open": 4},
    "opened": 2,
    "opened_by_machines_only": 1,
    "clicked": 1,
    "clicked_by_machines_only": 0,
    "engaged": 2,
    "machines_only": 1,
    "links": [{"host": "shop.example.com", "path": "/offer", "people": 1, "machines": 0}],
    "left": {"excluded": 1, "visible-url": 2},
    "untouched": {"dkim-signed": 1, "no-grant": 2},
}
PERSON = PersonFigures(
    frozenset({Purpose.OPEN}),
    (Engagement(MESSAGE.message, None, NOON, frozenset({Purpose.OPEN}), NOON, None, machines=True),),
)
PERSON_SAID: dict[str, Any] = {
    "purposes": ["open"],
    "messages": [
        {
            "id": ID,
            "label": None,
            "sent": "2026-11-16T12:00:00Z",
            "measurable": ["open"],
            "opened": "2026-11-16T12:00:00Z",
            "clicked": None,
            "machines": True,
            "links": [],
        }
    ],
}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


async def test_messages_come_in_pages(api: Api) -> None:
    api.figures.page = MessagePage((MESSAGE, replace(MESSAGE, label=None)), "cursor")
    reply = await api.ask("GET", "/v1/stats/messages")
    assert reply.json == {"messages": [SAID, {**SAID, "label": None}], "next": "cursor"}
    await api.ask("GET", "/v1/stats/messages?limit=2&after=cursor")
    everybody = Listing(None, source="crm")
    assert api.figures.asked == [everybody, replace(everybody, limit=2, after="cursor")]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=-1", "limit=x", "limit=", "limit=%C2%B2", "limit=" + "9" * 5_000, "after=",
     "after=" + "x" * 201, "order=best", "from=2026-13-01", "to=1", "engaged=maybe", "format=xlsx", "limit=1&limit=1",
     "label=", "format=csv&limit=3", "campaign=" + "x" * 201, "owner=bert.canary@sales.example",
     "anna.canary@example.org=1"],
)  # fmt: skip
async def test_a_query_that_means_nothing_is_refused(api: Api, query: str) -> None:
    reply = await api.ask("GET", f"/v1/stats/messages?{query}")
    assert (reply.status, reply.slug) == (422, "invalid-field")
    assert not api.figures.asked


async def test_a_list_is_narrowed_by_the_query(api: Api) -> None:
    await api.ask(
        "GET",
        "/v1/stats/messages?order=engaged&label=Angebot%202&campaign=herbst&from=2026-11-01&to=2026-11-30&engaged=true",
        Tracker_Owner="jonas",
    )
    assert api.figures.asked == [
        Listing(
            frozenset({"jonas"}),
            order=Order.ENGAGED,
            label="Angebot 2",
            campaign="herbst",
            first_day=Day(20_758),
            last_day=Day(20_787),
            engaged=True,
            source="crm",
        )
    ]


@pytest.mark.parametrize(("query", "accept"), [("?format=csv", "*/*"), ("", "text/csv")])
async def test_all_messages_come_as_a_table_that_runs_nothing(api: Api, query: str, accept: str) -> None:
    api.figures.page = MessagePage((replace(MESSAGE, label='=HYPERLINK("http://evil.example")'), MESSAGE), None)
    reply = await api.ask("GET", f"/v1/stats/messages{query}", Accept=accept)
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(reply.body.decode())))
    assert [row["label"] for row in rows] == ['\'=HYPERLINK("http://evil.example")', "Angebot"]
    assert (rows[1]["id"], rows[1]["sent"], rows[1]["measurable_open"]) == (ID, "8", "4")
    assert (rows[1]["untouched_no-grant"], rows[1]["untouched_signed"], rows[1]["links_left"]) == ("2", "0", "3")


async def test_all_messages_come_as_one_document(api: Api) -> None:
    api.figures.page = MessagePage((MESSAGE, MESSAGE), None)
    reply = await api.ask("GET", "/v1/stats/messages?format=json")
    assert reply.json == {"messages": [SAID, SAID]}
    api.figures.page = MessagePage((), None)
    assert (await api.ask("GET", "/v1/stats/messages?format=json")).json == {"messages": []}


async def test_a_cursor_that_no_page_gave_is_refused(api: Api) -> None:
    api.figures.error = InvalidField("after")
    assert (await api.ask("GET", "/v1/stats/messages?after=canary")).json["detail"] == "after"


async def test_one_message(api: Api) -> None:
    api.figures.one = MESSAGE
    reply = await api.ask("GET", f"/v1/stats/messages/{ID}")
    api.figures.moments = (Moment(NOON, 2, 1, 0),)
    moment = {"from": "2026-11-16T12:00:00Z", "opened": 2, "clicked": 1, "machines": 0}
    assert (await api.ask("GET", f"/v1/stats/messages/{ID}")).json == {**SAID, "timeline": [moment]}
    assert (reply.status, reply.json) == (200, {**SAID, "timeline": []})
    assert api.figures.asked[0] == (ID, None)


async def test_a_message_that_is_not_there_or_not_the_callers_is_not_found(api: Api) -> None:
    api.figures.error = NotFound()
    assert (await api.ask("GET", f"/v1/stats/messages/{CANARY}", key="anna")).slug == "not-found"


async def test_people_by_address_in_the_order_of_the_question(api: Api) -> None:
    api.figures.people = (PERSON, PersonFigures(frozenset(), ()))
    body = {"addresses": [CANARY, "bert@example.org"]}
    reply = await api.ask("POST", "/v1/stats/recipients", json=body)
    assert reply.json == {"recipients": [PERSON_SAID, {"purposes": [], "messages": []}]}
    assert api.figures.asked == [((CANARY, "bert@example.org"), None)]
    assert CANARY not in reply.body.decode()


async def test_people_by_the_callers_own_reference(api: Api) -> None:
    api.figures.people = (PERSON,)
    reply = await api.ask("POST", "/v1/stats/recipients", json={"references": ["4711", "4712"]})
    assert reply.json == {"recipients": [PERSON_SAID, None]}
    assert api.figures.asked == [(("4711", "4712"), "crm", None)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"addresses": []},
        {"references": []},
        {"addresses": ["a@example.org"], "references": ["1"]},
        {"addresses": ["a@example.org"] * 101},
        {"references": [CANARY]},
        {"references": ["1", "x" * 65]},
        {"references": ["1\n"]},
        {"addresses": CANARY},
        {"addresses": [{"address": CANARY}]},
        {"addresses": ["a@example.org"], "owner": CANARY},
    ],
)
async def test_a_question_about_nobody_or_too_many_is_refused(api: Api, body: dict[str, Any]) -> None:
    reply = await api.ask("POST", "/v1/stats/recipients", json=body)
    assert (reply.status, reply.slug) == (422, "invalid-field")
    assert not api.figures.asked


async def test_an_address_that_is_none_is_named_by_its_place(api: Api) -> None:
    api.figures.error = InvalidField("addresses.1")
    reply = await api.ask("POST", "/v1/stats/recipients", json={"addresses": ["a@example.org", "canary"]})
    assert (reply.status, reply.json["detail"]) == (422, "addresses.1")


# --- whose ---

QUESTIONS = [
    ("GET", "/v1/stats/messages", None),
    ("GET", f"/v1/stats/messages/{ID}", None),
    ("POST", "/v1/stats/recipients", {"addresses": ["a@example.org"]}),
    ("POST", "/v1/stats/recipients", {"references": ["1"]}),
]


@pytest.mark.parametrize(("method", "path", "body"), QUESTIONS)
async def test_a_key_made_for_one_rep_sees_that_reps_alone(api: Api, method: str, path: str, body: Any) -> None:
    """R53: a rep's key sees that rep's messages."""
    api.figures.one = MESSAGE
    await api.ask(method, path, json=body, key="anna")
    assert "Anna@sales.example" in str(api.figures.asked[0])


@pytest.mark.parametrize(("method", "path", "body"), QUESTIONS)
async def test_a_key_made_for_one_rep_sees_no_other(api: Api, method: str, path: str, body: Any) -> None:
    reply = await api.ask(method, path, json=body, key="anna", Tracker_Owner="canary@sales.example")
    assert (reply.status, reply.slug) == (403, "foreign-owner")
    assert not api.figures.asked


@pytest.mark.parametrize(("method", "path", "body"), QUESTIONS)
async def test_another_key_may_ask_for_one_rep(api: Api, method: str, path: str, body: Any) -> None:
    api.figures.one = MESSAGE
    await api.ask(method, path, json=body, Tracker_Owner="bert@sales.example")
    assert "bert@sales.example" in str(api.figures.asked[0])
