"""A copy goes in and comes out: rewritten, or byte for byte as it was whatever fails, and the answer says which."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.doors.api_fakes import CANARY, MAX_MESSAGE, NOW, Api
from tracker.doors.api_access import Gate
from tracker.doors.api_rewrite import RewriteDoor, said_of
from tracker.doors.budget import Budgets
from tracker.flows.send import Answer
from tracker.flows.surveys import LARGE
from tracker.model import (
    AddressInValue,
    Envelope,
    InvalidAddress,
    InvalidField,
    Language,
    Left,
    MessageKey,
    Purpose,
    Reason,
    StoreUnavailable,
    TrackerError,
)

MESSAGE = b"From: Rep <rep@sales.example>\nSubject: =?utf-8?q?caf=C3=A9?=\r\n\r\n\x00\xff any octets \r\r\n"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


async def test_what_a_caller_says_reaches_the_flow(api: Api) -> None:
    await api.rewrite(
        MESSAGE,
        Tracker_Copy="single",
        Tracker_Label="Angebot für März",
        Tracker_Campaign="2026-11/offers",
        Tracker_Reference="crm:4711",
        Tracker_Owner="bert@sales.example",
        Tracker_Language="fr",
    )
    assert api.sender.asked == [
        (
            Envelope(
                recipient=CANARY,
                source="crm",
                single=True,
                label="Angebot für März",
                campaign="2026-11/offers",
                reference="crm:4711",
                owner="bert@sales.example",
                language=Language.FR,
            ),
            MESSAGE,
        )
    ]


async def test_the_recipient_alone_is_enough(api: Api) -> None:
    await api.rewrite()
    ((envelope, _),) = api.sender.asked
    assert envelope == Envelope(recipient=CANARY, source="crm")


async def test_a_tracked_copy_comes_back_with_what_was_done(api: Api) -> None:
    api.sender.reply = lambda message: Answer(
        message + b"tracked",
        None,
        purposes=frozenset({Purpose.OPEN, Purpose.CLICK}),
        links_tracked=3,
        links_found=5,
        left={Left.VISIBLE_URL: 1, Left.PLACEHOLDER: 1},
        message_key=MessageKey(bytes(range(16))),
    )
    reply = await api.rewrite(MESSAGE)
    assert (reply.status, reply.body) == (200, MESSAGE + b"tracked")
    assert reply.headers["Content-Type"] == "message/rfc822"
    assert {name: value for name, value in reply.headers.items() if name.startswith("Tracker-")} == {
        "Tracker-Outcome": "tracked",
        "Tracker-Purposes": "click, open",
        "Tracker-Links": "3/5",
        "Tracker-Left": "placeholder=1, visible-url=1",
        "Tracker-Message": "000102030405060708090a0b0c0d0e0f",
    }
    assert api.meter.copies == [(None, {Left.VISIBLE_URL: 1, Left.PLACEHOLDER: 1})]


@pytest.mark.parametrize("reason", Reason)
async def test_an_untouched_copy_comes_back_with_its_reason(api: Api, reason: Reason) -> None:
    api.sender.reply = lambda message: Answer(message, reason)
    reply = await api.rewrite(MESSAGE)
    assert (reply.status, reply.body) == (200, MESSAGE)
    assert reply.headers["Tracker-Outcome"] == "untouched"
    assert reply.headers["Tracker-Reason"] == reason
    assert not {"Tracker-Purposes", "Tracker-Links", "Tracker-Left", "Tracker-Message"} & reply.headers.keys()
    assert api.meter.copies == [(reason, {})]


async def test_an_empty_message_is_the_flows_to_judge(api: Api) -> None:
    reply = await api.rewrite(b"")
    assert (reply.status, reply.body) == (200, b"")
    assert api.sender.asked[0][1] == b""


def test_what_is_said_of_a_copy_is_plain_ascii() -> None:
    answer = Answer(b"", None, frozenset(Purpose), 1, 1, dict.fromkeys(Left, 1), MessageKey(b"\xff" * 16))
    assert all(value.isascii() and value.isprintable() for value in said_of(answer).values())


# --- mail always flows ---


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError(CANARY), Reason.ERROR),
        (TimeoutError(CANARY), Reason.ERROR),
        (TrackerError(), Reason.ERROR),
        (StoreUnavailable(), Reason.STORE_UNAVAILABLE),
    ],
)
async def test_whatever_fails_inside_the_message_comes_back(api: Api, error: Exception, reason: Reason) -> None:
    api.sender.error = error
    reply = await api.rewrite(MESSAGE)
    assert (reply.status, reply.body, reply.headers["Tracker-Reason"]) == (200, MESSAGE, reason)
    assert api.meter.copies == [(reason, {})]


@pytest.mark.parametrize(
    ("error", "reason"), [(StoreUnavailable(), Reason.STORE_UNAVAILABLE), (ValueError(CANARY), Reason.ERROR)]
)
async def test_mail_flows_while_keys_cannot_be_looked_up(api: Api, error: Exception, reason: Reason) -> None:
    api.access.error = error
    reply = await api.rewrite(MESSAGE)
    assert (reply.status, reply.body, reply.headers["Tracker-Reason"]) == (200, MESSAGE, reason)
    assert not api.sender.asked


@pytest.mark.parametrize(
    ("message", "reason"),
    [(MESSAGE, Reason.STORE_UNAVAILABLE), (MESSAGE + bytes(LARGE), Reason.ERROR)],
    ids=["small, which waits for the store alone", "large"],
)
async def test_a_flow_that_hangs_gives_the_message_back_before_the_caller_stops_waiting(
    api: Api, message: bytes, reason: Reason
) -> None:
    api.sender.wait = asyncio.Event().wait
    gate = Gate(api.access, lambda: NOW)
    door = RewriteDoor(api.sender, gate, api.meter, lambda: NOW, MAX_MESSAGE, Budgets.of(), patience=0.0)
    answer = await door._answer(Envelope(CANARY, "crm"), message)
    assert answer == Answer(message, reason)


async def test_a_store_that_hangs_while_the_key_is_looked_up_holds_no_mail_up(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.doors.api_rewrite.PATIENCE_FOR_KEY", 0.0)
    api.access.wait = asyncio.Event().wait
    reply = await api.rewrite(MESSAGE)
    assert (reply.status, reply.body, reply.headers["Tracker-Reason"]) == (200, MESSAGE, "store-unavailable")


# --- bad input ---


@pytest.mark.parametrize("recipient", ["", "  "])
async def test_a_copy_without_a_recipient_is_refused(api: Api, recipient: str) -> None:
    reply = await api.rewrite(Tracker_Recipient=recipient)
    assert (reply.status, reply.slug) == (400, "missing-recipient")
    assert not api.sender.asked


async def test_a_copy_without_the_header_is_refused(api: Api) -> None:
    reply = await api.ask("POST", "/v1/rewrite", MESSAGE, Content_Type="message/rfc822")
    assert reply.slug == "missing-recipient"


@pytest.mark.parametrize(
    ("error", "slug"),
    [
        (InvalidAddress(), "invalid-address"),
        (AddressInValue("Tracker-Reference"), "address-in-value"),
        (InvalidField("Tracker-Campaign"), "invalid-field"),
    ],
)
async def test_what_the_flow_refuses_is_the_callers_to_mend(api: Api, error: Exception, slug: str) -> None:
    api.sender.error = error
    reply = await api.rewrite(MESSAGE)
    assert (reply.status, reply.slug) == (422, slug)
    assert not api.meter.copies


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "message/rfc822x", "multipart/mixed", ""])
async def test_another_content_type_is_refused(api: Api, content_type: str) -> None:
    reply = await api.rewrite(Content_Type=content_type)
    assert (reply.status, reply.slug) == (415, "wrong-content-type")
    assert reply.headers["Accept"] == "message/rfc822"


async def test_parameters_and_letter_case_of_the_content_type_do_not_matter(api: Api) -> None:
    assert (await api.rewrite(Content_Type="Message/RFC822; charset=utf-8")).status == 200


async def test_a_compressed_body_is_refused(api: Api) -> None:
    reply = await api.rewrite(b"not even gzip", Content_Encoding="x-canary")
    assert (reply.status, reply.slug) == (415, "wrong-content-type")


@pytest.mark.parametrize(
    "headers",
    [
        {"Tracker_Copy": CANARY},
        {"Tracker_Language": "es"},
        {"Tracker_Language": CANARY},
        {"Tracker_Label": "x" * 201},
        {"Tracker_Label": "=?utf-8?b?AAAA?="},
        {"Tracker_Label": "=?zlib?b?anna.canary?="},
        {"Tracker_Label": "=?utf-8?b?canary!?="},
        {"Tracker_Campaign": "x" * 5_000},
        {"Tracker_Owner": "tab\there"},
    ],
)
async def test_a_malformed_header_is_named_and_not_quoted(api: Api, headers: dict[str, str]) -> None:
    reply = await api.rewrite(b"", **headers)
    assert (reply.status, reply.slug) == (422, "invalid-field")
    (name,) = headers
    assert reply.json["detail"].startswith(name.replace("_", "-"))
    assert not api.sender.asked


# --- somebody else's owner ---


async def test_a_key_made_for_one_rep_speaks_for_that_rep(api: Api) -> None:
    await api.rewrite(Authorization="Bearer anna")
    await api.rewrite(Authorization="Bearer anna", Tracker_Owner="anna@SALES.example")
    assert [envelope.owner for envelope, _ in api.sender.asked] == ["Anna@sales.example"] * 2


async def test_a_key_made_for_one_rep_names_no_other(api: Api) -> None:
    reply = await api.rewrite(Authorization="Bearer anna", Tracker_Owner="canary@sales.example")
    assert (reply.status, reply.slug) == (403, "foreign-owner")
    assert not api.sender.asked


# --- size ---


async def test_a_message_up_to_the_hard_limit_is_taken(api: Api) -> None:
    assert (await api.rewrite(b"x" * 4 * MAX_MESSAGE)).status == 200


async def test_a_message_over_the_hard_limit_is_refused(api: Api) -> None:
    reply = await api.rewrite(b"x" * (4 * MAX_MESSAGE + 1))
    assert (reply.status, reply.slug) == (413, "body-too-large")
    assert "as you have it" in reply.json["remedy"]
    assert not api.sender.asked


async def test_a_message_of_undeclared_length_is_refused_when_it_passes_the_limit(api: Api) -> None:
    async def without_end() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            yield b"x" * 1_000

    async with api.client.post(
        "/v1/rewrite",
        data=without_end(),
        headers={"Authorization": "Bearer all", "Tracker-Recipient": CANARY, "Content-Type": "message/rfc822"},
    ) as response:
        assert response.status == 413


async def test_a_declared_length_over_the_limit_is_refused_before_the_body_is_read(api: Api) -> None:
    assert api.client.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", api.client.port)
    writer.write(
        b"POST /v1/rewrite HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer all\r\nContent-Type: message/rfc822\r\n"
        b"Tracker-Recipient: bert@example.org\r\nContent-Length: 999999999999\r\n\r\n"
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in head
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "broken",
    [
        b"Transfer-Encoding: chunked\r\n\r\nzz anna.canary@example.org\r\n",
        b"Content-Length: 100\r\n\r\nanna.canary@example.org",
    ],
)
async def test_a_body_that_breaks_off_is_no_message(api: Api, broken: bytes) -> None:
    assert api.client.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", api.client.port)
    writer.write(
        b"POST /v1/rewrite HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer all\r\nContent-Type: message/rfc822\r\n"
        b"Tracker-Recipient: bert@example.org\r\n" + broken
    )
    writer.write_eof()
    await reader.read()
    writer.close()
    await writer.wait_closed()
    assert not api.sender.asked


async def test_utf_8_in_a_label_may_come_as_it_is_or_in_encoded_words(api: Api) -> None:
    await api.rewrite(Tracker_Label="Angebot für März")
    await api.rewrite(Tracker_Label="Angebot =?utf-8?q?f=C3=BCr?= =?utf-8?b?IE3DpHJ6?=")
    assert [envelope.label for envelope, _ in api.sender.asked] == ["Angebot für März"] * 2


async def test_the_problem_of_a_refused_copy_is_one_json_object(api: Api) -> None:
    reply = await api.rewrite(Tracker_Recipient="")
    assert json.loads(reply.body).keys() == {"type", "title", "status", "meaning", "remedy"}


async def test_other_peoples_trackers_are_said_and_counted_in_tracked_and_untouched_copies(api: Api) -> None:
    found = {"pixel": 1, "link": 3}
    assert said_of(Answer(MESSAGE, None, foreign=found))["Tracker-Foreign"] == "link=3, pixel=1"
    assert said_of(Answer(MESSAGE, Reason.NOTHING_TO_TRACK, foreign=found))["Tracker-Foreign"] == "link=3, pixel=1"
    assert "Tracker-Foreign" not in said_of(Answer(MESSAGE, None))
    api.sender.reply = lambda message: Answer(message, Reason.NOTHING_TO_TRACK, foreign=found)
    answer = await api.rewrite(MESSAGE)
    assert answer.headers["Tracker-Foreign"] == "link=3, pixel=1"
    assert api.meter.trackers == found


async def test_removed_pixels_are_said_and_counted_and_the_outcome_stays_true(api: Api) -> None:
    found = {"pixel": 2}
    tracked = said_of(Answer(MESSAGE, None, frozenset({Purpose.CLICK}), foreign=found, pixels_removed=2))
    assert (tracked["Tracker-Outcome"], tracked["Tracker-Foreign"]) == ("tracked", "pixel=2, removed=2")
    api.sender.reply = lambda message: Answer(message, Reason.NO_GRANT, foreign=found, pixels_removed=2)
    answer = await api.rewrite(MESSAGE)
    assert answer.headers["Tracker-Foreign"] == "pixel=2, removed=2"
    assert (answer.headers["Tracker-Outcome"], answer.headers["Tracker-Reason"]) == ("untouched", "no-grant")
    assert (api.meter.trackers, api.meter.removed) == (found, 2)
