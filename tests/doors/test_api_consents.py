"""Consents are reported, looked up, taken back; bad input gets a problem that names the field, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.doors.api_fakes import CANARY, PUBLIC_URL, Api
from tracker.doors.schemas import Body, ConsentBody, RecipientsBody, WithdrawBody, explain
from tracker.flows.consent import Lookup, ReportedConsent
from tracker.flows.recording import Answer, Outcome
from tracker.model import (
    AddressInValue,
    AskedAlready,
    BadRequest,
    ConsentState,
    Day,
    Evidence,
    ExpiredConsent,
    FutureDate,
    Grant,
    InvalidAddress,
    Language,
    LedgerContent,
    LedgerEvent,
    Method,
    MissingEvidence,
    PendingGrant,
    PurchasedList,
    Purpose,
    Standing,
    StoreUnavailable,
    Suppressed,
    UnknownNotice,
)

BOTH = frozenset({Purpose.OPEN, Purpose.CLICK})
BODY: dict[str, Any] = {
    "address": "anna@example.org",
    "purposes": ["open", "click"],
    "method": "web-form",
    "given_at": "2026-11-01T09:00:00Z",
    "notice_version": "2026-1",
    "language": "de",
    "evidence": {
        "source": "https://example.org/newsletter",
        "confirmed_at": "2026-11-01T10:05:00+01:00",
        "confirmed_by": "link-in-mail",
    },
}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


def changed(**fields: Any) -> dict[str, Any]:
    """BODY with FIELDS put in; None takes one out."""
    return {name: value for name, value in {**BODY, **fields}.items() if value is not None}


# --- report ---


async def test_the_documented_body_is_accepted_as_it_stands(api: Api) -> None:
    reply = await api.ask("POST", "/v1/consents", json=BODY)
    assert (reply.status, reply.json) == (201, {"state": "live", "until": "2027-07-01"})
    assert api.consents.asked == [
        ReportedConsent(
            address="anna@example.org",
            purposes=BOTH,
            method=Method.WEB_FORM,
            given_at=datetime(2026, 11, 1, 9, tzinfo=UTC),
            notice_version="2026-1",
            language=Language.DE,
            evidence=Evidence(
                source="https://example.org/newsletter",
                confirmed_at=datetime(2026, 11, 1, 9, 5, tzinfo=UTC),
                confirmed_by="link-in-mail",
            ),
            actor="crm",
        )
    ]


@pytest.mark.parametrize(
    ("state", "until", "status"),
    [
        (ConsentState.LIVE, Day(20_000), 201),
        (ConsentState.UNCHANGED, Day(20_000), 200),
        (ConsentState.PENDING, Day(20_000), 202),
        (ConsentState.PENDING, None, 202),
    ],
)
async def test_each_state_has_its_status(api: Api, state: ConsentState, until: Day | None, status: int) -> None:
    api.consents.outcome = (state, until)
    reply = await api.ask("POST", "/v1/consents", json=BODY)
    assert (reply.status, reply.json) == (status, {"state": state, "until": until and "2024-10-04"})


async def test_what_is_optional_comes_through(api: Api) -> None:
    evidence = {"call_started_at": "2026-11-01T09:00:00.5Z", "call_seconds": 60, "call_again": True, "document": "x"}
    await api.ask("POST", "/v1/consents", json=changed(reference="4711", requested=True, evidence=evidence))
    (reported,) = api.consents.asked
    assert (reported.reference, reported.requested) == ("4711", True)
    assert reported.evidence.call_seconds == 60
    assert reported.evidence.call_again is True


async def test_a_report_without_evidence_is_the_flows_to_refuse(api: Api) -> None:
    api.consents.error = MissingEvidence("evidence")
    reply = await api.ask("POST", "/v1/consents", json=changed(evidence=None))
    assert (reply.status, reply.slug) == (422, "missing-evidence")
    assert api.consents.asked[0].evidence == Evidence()


async def test_after_a_no_the_problem_names_the_page_where_the_person_can_change_it(api: Api) -> None:
    api.consents.error = Suppressed("purposes")
    reply = await api.ask("POST", "/v1/consents", json=BODY)
    assert (reply.status, reply.slug) == (409, "suppressed")
    assert reply.json["ask"] == f"{PUBLIC_URL}/ask"
    assert f"{PUBLIC_URL}/ask" in reply.json["remedy"]


@pytest.mark.parametrize(
    "error",
    [
        AddressInValue("evidence.source"),
        ExpiredConsent("given_at"),
        FutureDate("given_at"),
        InvalidAddress(),
        PurchasedList("method"),
        UnknownNotice("notice_version"),
        StoreUnavailable(),
    ],
)
async def test_each_refusal_of_the_flow_is_a_problem_of_its_own(api: Api, error: BadRequest) -> None:
    api.consents.error = error
    reply = await api.ask("POST", "/v1/consents", json=BODY)
    assert (reply.status, reply.slug) == (error.status, error.slug)
    assert reply.json.get("detail", "") == error.detail


async def test_a_call_is_answered_about_mail_and_about_calls_apart(api: Api) -> None:
    """R18: one report may hold both answers; each is decided for itself."""
    said = {"call_started_at": "2026-11-01T09:00:00Z", "call_seconds": 60, "call_again": True}
    api.consents.outcomes = Outcome((ConsentState.PENDING, Day(20_000)), (ConsentState.LIVE, Day(21_000)))
    body = changed(method="phone", purposes=["phone", "open"], evidence=said)
    reply = await api.ask("POST", "/v1/consents", json=body)
    phone = {"state": "live", "until": "2027-07-01"}
    assert (reply.status, reply.json) == (202, {"state": "pending", "until": "2024-10-04", "phone": phone})
    (reported,) = api.consents.asked
    assert reported.purposes == {Purpose.OPEN, Purpose.PHONE}


@pytest.mark.parametrize(
    ("phone", "status"),
    [
        ((ConsentState.LIVE, Day(20_000)), 201),
        ((ConsentState.UNCHANGED, Day(20_000)), 200),
        ((ConsentState.WITHDRAWN, None), 200),
        (None, 200),
    ],
)
async def test_a_call_about_nothing_but_calls(api: Api, phone: Answer | None, status: int) -> None:
    api.consents.outcomes = Outcome(None, phone)
    body = changed(method="phone", purposes=[], evidence={"call_started_at": "2026-11-01T09:00:00Z"})
    reply = await api.ask("POST", "/v1/consents", json=body)
    state, until = phone or (ConsentState.UNCHANGED, None)
    assert (reply.status, reply.json) == (status, {"state": state, "until": until and "2024-10-04"})


# --- bad input ---


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", 7),
        ("address", [CANARY]),
        ("purposes", []),
        ("purposes", "open"),
        ("purposes", ["open", "phone"]),
        ("purposes", ["canary"]),
        ("purposes", {"open": CANARY}),
        ("method", "canary"),
        ("given_at", "2026-11-01"),
        ("given_at", "2026-11-01T09:00:00"),
        ("given_at", "2026-11-01 09:00:00Z"),
        ("given_at", "2026-13-01T09:00:00Z"),
        ("given_at", "0001-01-01T00:00:00+23:59"),
        ("given_at", "1700000000"),
        ("given_at", 1_700_000_000),
        ("given_at", CANARY),
        ("notice_version", 2026.1),
        ("notice_version", ""),
        ("notice_version", "canary\x00"),
        ("language", "es"),
        ("language", CANARY),
        ("evidence", CANARY),
        ("evidence", [CANARY]),
        ("evidence.source", "x" * 1_001),
        ("evidence.source", {"a": CANARY}),
        ("evidence.confirmed_at", "yesterday"),
        ("evidence.call_seconds", -1),
        ("evidence.call_seconds", "60"),
        ("evidence.call_seconds", 1.5),
        ("evidence.call_again", "yes"),
        ("requested", 1),
        ("reference", 4711),
    ],
)
async def test_a_wrong_value_is_named_by_its_path_and_not_quoted(api: Api, field: str, value: Any) -> None:
    outer, _, inner = field.partition(".")
    body = changed(**{outer: {inner: value} if inner else value})
    reply = await api.ask("POST", "/v1/consents", json=body)
    assert (reply.status, reply.slug) == (422, "invalid-field")
    assert reply.json["detail"].startswith(field)
    assert not api.consents.asked


@pytest.mark.parametrize("field", ["address", "purposes", "method", "given_at", "notice_version", "language"])
async def test_a_missing_field_is_named(api: Api, field: str) -> None:
    reply = await api.ask("POST", "/v1/consents", json=changed(**{field: None}))
    assert (reply.status, reply.json["detail"]) == (422, f"{field} is missing")


async def test_unknown_fields_are_refused_and_those_that_exist_are_named(api: Api) -> None:
    reply = await api.ask("POST", "/v1/consents", json=changed(**{CANARY: 1}))
    assert reply.json["detail"].startswith("the body has an unknown field; known are address, purposes, ")
    reply = await api.ask("POST", "/v1/consents", json=changed(evidence={CANARY: 1, "ip": "192.0.2.1"}))
    assert reply.json["detail"].startswith("evidence has an unknown field; known are source, ")
    reply = await api.ask("POST", "/v1/consents/lookup", json={"address": "a@example.org", "evidence": {CANARY: 1}})
    assert reply.json["detail"] == "the body has an unknown field; known are address"
    assert not api.consents.asked


async def test_all_that_is_wrong_is_said_at_once(api: Api) -> None:
    reply = await api.ask("POST", "/v1/consents", json=changed(method="?", language="?"))
    assert reply.json["detail"].startswith("method needs 'web-form', 'written',")
    assert "; language needs 'de', 'en', 'fr' or 'it'" in reply.json["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"address": anna.canary@example.org}',
        b'{"address": "anna.canary@example.org"',
        b'{"address": "\xff"}',
        b'{"address": "\\ud800"}',
        b"\xef\xbb\xbf{}x",
        b"[" * 60_000,
    ],
)
async def test_broken_json_is_refused(api: Api, body: bytes) -> None:
    reply = await api.ask("POST", "/v1/consents", body, Content_Type="application/json")
    assert (reply.status, reply.slug) == (400, "bad-json")


@pytest.mark.parametrize("body", ["[]", "null", '"anna.canary@example.org"', "7"])
async def test_json_that_is_no_object_is_refused(api: Api, body: str) -> None:
    reply = await api.ask("POST", "/v1/consents/lookup", body, Content_Type="application/json")
    assert (reply.status, reply.json["detail"]) == (422, "the body needs a JSON object")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "message/rfc822"])
async def test_another_content_type_is_refused(api: Api, content_type: str) -> None:
    reply = await api.ask("POST", "/v1/consents", json.dumps(BODY), Content_Type=content_type)
    assert (reply.status, reply.slug) == (415, "wrong-content-type")
    assert reply.json["detail"] == "application/json"


async def test_a_charset_parameter_is_of_no_matter(api: Api) -> None:
    reply = await api.ask("POST", "/v1/consents", json.dumps(BODY), Content_Type="application/json; charset=utf-8")
    assert reply.status == 201


async def test_more_json_than_any_body_of_ours_is_refused(api: Api) -> None:
    reply = await api.ask("POST", "/v1/consents", b" " * 65_537, Content_Type="application/json")
    assert (reply.status, reply.slug) == (413, "body-too-large")
    assert "message" not in reply.body.decode()


# --- look up ---


async def test_a_lookup_says_what_is_live_what_waits_what_was_refused_and_how_it_came_about(api: Api) -> None:
    at = datetime(2026, 11, 1, 9, tzinfo=UTC)
    api.consents.found = Lookup(
        Standing(
            grants={Purpose.OPEN: Grant(Purpose.OPEN, Day(21_000), at, "2026-1", entry=1)},
            pending={Purpose.CLICK: PendingGrant(Purpose.CLICK, Day(20_800), Method.REP, entry=2)},
            suppressed={Purpose.PHONE: Day(22_000)},
        ),
        (
            LedgerContent(
                entry=1,
                event=LedgerEvent.GIVEN,
                purposes=frozenset({Purpose.OPEN}),
                recorded_at=at,
                actor="crm",
                last_day=Day(22_000),
                method=Method.WEB_FORM,
                given_at=at,
                notice_version="2026-1",
                notice_hash="00ff",
                language=Language.DE,
                evidence=Evidence(confirmed_at=at, confirmed_by="link-in-mail", call_again=False),
            ),
            LedgerContent(3, LedgerEvent.WITHDRAWN, BOTH, at, "recipient", Day(22_000)),
        ),
    )
    reply = await api.ask("POST", "/v1/consents/lookup", json={"address": CANARY})
    assert api.consents.asked == [CANARY]
    assert reply.status == 200
    assert reply.json == {
        "grants": [
            {"purpose": "open", "given_at": "2026-11-01T09:00:00Z", "notice_version": "2026-1", "until": "2027-07-01"}
        ],
        "pending": [{"purpose": "click", "method": "rep", "until": "2026-12-13"}],
        "suppressed": [{"purpose": "phone", "until": "2030-03-27"}],
        "history": [
            {
                "entry": 1,
                "event": "given",
                "purposes": ["open"],
                "at": "2026-11-01T09:00:00Z",
                "actor": "crm",
                "method": "web-form",
                "given_at": "2026-11-01T09:00:00Z",
                "notice_version": "2026-1",
                "notice_hash": "00ff",
                "language": "de",
                "evidence": {
                    "confirmed_at": "2026-11-01T09:00:00Z",
                    "confirmed_by": "link-in-mail",
                    "call_again": False,
                },
            },
            {
                "entry": 3,
                "event": "withdrawn",
                "purposes": ["click", "open"],
                "at": "2026-11-01T09:00:00Z",
                "actor": "recipient",
                "evidence": {},
            },
        ],
    }


async def test_somebody_unknown_has_no_grant_and_no_history(api: Api) -> None:
    reply = await api.ask("POST", "/v1/consents/lookup", json={"address": "nobody@example.org"})
    assert reply.json == {"grants": [], "pending": [], "suppressed": [], "history": []}


# --- withdraw ---


async def test_withdrawing_answers_the_same_the_second_time(api: Api) -> None:
    body = {"address": CANARY}
    first, second = [await api.ask("POST", "/v1/consents/withdraw", json=body) for _ in range(2)]
    assert first.status == second.status == 200
    assert first.json == second.json == {"state": "withdrawn", "purposes": ["click", "open", "phone"]}
    assert api.consents.asked == [(CANARY, frozenset(), "crm")] * 2


async def test_one_purpose_may_be_withdrawn(api: Api) -> None:
    reply = await api.ask("POST", "/v1/consents/withdraw", json={"address": CANARY, "purposes": ["open"]})
    assert reply.json == {"state": "withdrawn", "purposes": ["open"]}
    assert api.consents.asked == [(CANARY, frozenset({Purpose.OPEN}), "crm")]


@pytest.mark.parametrize("purposes", [[], ["mail"], ["open", CANARY]])
async def test_withdrawing_something_else_is_refused(api: Api, purposes: list[str]) -> None:
    reply = await api.ask("POST", "/v1/consents/withdraw", json={"address": CANARY, "purposes": purposes})
    assert (reply.status, reply.slug) == (422, "invalid-field")
    assert not api.consents.asked


async def test_a_withdrawal_that_could_not_be_written_is_no_yes(api: Api) -> None:
    api.consents.error = StoreUnavailable()
    reply = await api.ask("POST", "/v1/consents/withdraw", json={"address": CANARY})
    assert reply.status == 503


# --- nothing is ever quoted ---

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just("anna.canary@example.org"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["anna.canary@example.org", "evidence", "address", "purposes"]), inner)
    ),
    max_leaves=8,
)


@given(
    st.sampled_from([ConsentBody, WithdrawBody, RecipientsBody]),
    st.dictionaries(
        st.sampled_from(["anna.canary@example.org", *ConsentBody.model_fields, *RecipientsBody.model_fields]),
        JSON_VALUES,
    ),
)
def test_no_explanation_holds_a_word_of_the_body(body: type[Body], value: object) -> None:
    try:
        body.model_validate_json(json.dumps(value))
    except ValidationError as error:
        for fault in error.errors():
            said = explain(body, fault)
            assert "canary" not in said
            assert said.isascii()
            assert said.isprintable()


# --- confirmations and invitations --------------------------------------------------------------


@pytest.mark.parametrize("state", list(ConsentState))
@pytest.mark.parametrize("requested", [True, False])
async def test_r7_a_confirmation_is_mailed_only_for_what_waits_and_was_requested(
    api: Api, state: ConsentState, requested: bool
) -> None:
    """R7: the tracker mails only when the report says that the person asked for it."""
    api.consents.outcome = (state, Day(21_000))
    if state is ConsentState.SUPPRESSED:
        api.consents.error = Suppressed("purposes")
    body = {**BODY, "method": "rep", "requested": requested}
    reply = await api.ask("POST", "/v1/consents", json=body, key="consent")
    expected = {ConsentState.SUPPRESSED: 409, ConsentState.LIVE: 201, ConsentState.PENDING: 202}
    assert reply.status == expected.get(state, 200)
    mails = requested and state is ConsentState.PENDING
    assert [one.address for one in api.asking.asked] == ["anna@example.org"] * mails


async def test_r7_what_was_imported_mails_nobody_whatever_it_asks_for(api: Api) -> None:
    """R7: a nightly sync that posts its list line by line is an import, too."""
    api.consents.outcome = (ConsentState.PENDING, Day(21_000))
    body = {**BODY, "method": "imported", "requested": True}
    assert (await api.ask("POST", "/v1/consents", json=body, key="consent")).status == 202
    assert api.asking.asked == []


INVITATION: dict[str, Any] = {"address": CANARY, "purposes": ["open"]}


async def test_an_invitation_is_a_link_and_its_end(api: Api) -> None:
    reply = await api.ask("POST", "/v1/consents/invitations", json=INVITATION, key="invite")
    assert reply.status == 201
    assert reply.json == {"url": f"{PUBLIC_URL}/ask/x", "expires_at": "2026-11-23T12:30:00Z"}
    assert api.asking.asked == [(CANARY, {Purpose.OPEN}, Language.EN, "invite", None)]


async def test_an_invitation_may_name_a_language_and_a_reference(api: Api) -> None:
    body = {**INVITATION, "language": "it", "reference": "4711"}
    assert (await api.ask("POST", "/v1/consents/invitations", json=body)).status == 201
    assert api.asking.asked == [(CANARY, {Purpose.OPEN}, Language.IT, "crm", "4711")]


@pytest.mark.parametrize("key", ["consent", "rewrite", "stats", "privacy", "none"])
async def test_only_a_key_with_that_scope_invites(api: Api, key: str) -> None:
    reply = await api.ask("POST", "/v1/consents/invitations", json=INVITATION, key=key)
    assert (reply.status, reply.slug) == (403, "forbidden")
    assert api.asking.asked == []


@pytest.mark.parametrize(("error", "slug"), [(Suppressed, "suppressed"), (AskedAlready, "asked-already")])
async def test_r12_an_invitation_that_is_refused_says_where_the_person_can_agree(
    api: Api, error: type[BadRequest], slug: str
) -> None:
    """R12: a problem 409 for who said no, and for who did not answer."""
    api.asking.error = error()
    reply = await api.ask("POST", "/v1/consents/invitations", json=INVITATION)
    assert (reply.status, reply.slug) == (409, slug)
    assert "/ask" in reply.json["remedy"]
    assert reply.json["ask"] == f"{PUBLIC_URL}/ask"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**INVITATION, "address": [CANARY, "bob@example.org"]},
        {**INVITATION, "addresses": [CANARY]},
        [INVITATION, INVITATION],
        {**INVITATION, "purposes": []},
        {**INVITATION, "purposes": ["phone"]},
        {**INVITATION, "language": "es"},
        {**INVITATION, "requested": True},
    ],
)
async def test_r8_no_bulk_invitation_exists(api: Api, body: Any) -> None:
    """R8: one person a call, in a mail that is lawful anyway; a list is refused like any other impossible body."""
    reply = await api.ask("POST", "/v1/consents/invitations", json=body)
    assert reply.status in {400, 422}
    assert api.asking.asked == []
