"""A webhook is signed as Standard Webhooks has it, and says who it is about in the receiver's own words alone."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier

from tracker.core import webhook
from tracker.core.calendar import hour_of
from tracker.core.webhook import WaitingWebhook, Webhook
from tracker.model import (
    NO_LINK,
    Agent,
    Change,
    Day,
    DeliveryId,
    Event,
    LedgerEvent,
    LinkNumber,
    MessageKey,
    Purpose,
)

KEY = b"k" * 32
SECRET = "whsec_" + b64encode(KEY).decode()
NOW = datetime(2026, 11, 23, 12, 34, 56, tzinfo=UTC)


def waiting(**changes: object) -> WaitingWebhook:
    event = Event(Day(20_000), DeliveryId(b"d" * 16), Purpose.CLICK, LinkNumber(2**46), hour_of(NOW), Agent.HUMAN)
    plain = {
        "event": event,
        "references": ("4711",),
        "message": MessageKey(b"m" * 16),
        "label": "Offer",
        "host": "shop.example.com",
        "path": "/a",
        "tries": 0,
    }
    return WaitingWebhook(**{**plain, **changes})  # type: ignore[arg-type]


def change(entry: int, event: LedgerEvent, reference: str = "4711") -> Change:
    return Change(entry, reference, event, frozenset({Purpose.OPEN}), NOW)


def test_the_vector_of_the_specification_comes_out() -> None:
    key = webhook.secret_octets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = Webhook("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}')
    headers = webhook.headers(made, key, datetime.fromtimestamp(1614265330, UTC))
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.text(max_size=50), st.binary(min_size=24, max_size=64))
def test_the_projects_own_library_verifies_every_one(label: str, key: bytes) -> None:
    now = datetime.now(UTC)
    made = webhook.of_event(waiting(label=label), key)
    sent = webhook.headers(made, key, now)
    told = Verifier("whsec_" + b64encode(key).decode()).verify(made.body, dict(sent))
    assert told["data"]["message"] == {"id": (b"m" * 16).hex(), "label": label}


def test_an_event_is_told_with_its_hour_and_the_receivers_reference() -> None:
    told = json.loads(webhook.of_event(waiting(), KEY).body)
    assert told == {
        "type": "message.clicked",
        "timestamp": "2026-11-23T12:00:00Z",
        "data": {
            "references": ["4711"],
            "message": {"id": (b"m" * 16).hex(), "label": "Offer"},
            "link": {"host": "shop.example.com", "path": "/a"},
            "hour": "2026-11-23T12:00:00Z",
            "agent": "person",
        },
    }


def test_an_open_has_no_link() -> None:
    opened = waiting().event._replace(purpose=Purpose.OPEN, link=NO_LINK, agent=Agent.PROXY)
    told = json.loads(webhook.of_event(waiting(event=opened, host=None, path=None), KEY).body)
    assert (told["type"], told["data"]["agent"], "link" in told["data"]) == ("message.opened", "mail-proxy", False)


def test_the_same_event_has_the_same_identifier_each_time_and_no_other_has_it() -> None:
    one = webhook.of_event(waiting(), KEY)
    assert one == webhook.of_event(waiting(tries=7), KEY)
    others = [
        waiting(event=waiting().event._replace(**changes))
        for changes in ({"hour": 1}, {"link": 3}, {"delivery": b"e" * 16}, {"agent": Agent.PROXY})
    ]
    assert len({one.id, *(webhook.of_event(other, KEY).id for other in others)}) == 5
    assert webhook.of_event(waiting(), b"o" * 32).id != one.id, "nobody without the secret can make it"
    assert (b"d" * 16).hex() not in one.body.decode() + one.id


def test_of_consents_their_ends_are_told_and_nothing_else() -> None:
    changes = [
        change(1, LedgerEvent.GIVEN),
        change(2, LedgerEvent.WITHDRAWN, "A"),
        change(2, LedgerEvent.WITHDRAWN, "B"),
        change(3, LedgerEvent.REFUSED),
        change(4, LedgerEvent.EXPIRED),
        Change(5, "C", LedgerEvent.ERASED),
    ]
    made = webhook.of_changes(changes, KEY)
    told = [(entry, json.loads(one.body)) for entry, one in made]
    assert [(entry, one["type"], one["data"]["references"]) for entry, one in told] == [
        (2, "consent.withdrawn", ["A", "B"]),
        (3, "consent.refused", ["4711"]),
        (4, "consent.expired", ["4711"]),
        (5, "consent.erased", ["C"]),
    ]
    assert told[0][1]["timestamp"] == "2026-11-23T12:34:56Z"
    assert "timestamp" not in told[3][1], "when is not known any more"
    assert len({one.id for _, one in made}) == 4


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_?", SECRET.removeprefix("whsec_"), "x"])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="24 to 64"):
        webhook.secret_octets(secret)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_pauses_grow_to_six_hours_and_are_spread(tries: int, drawn: float) -> None:
    whole = min(timedelta(seconds=10 * 2 ** min(tries - 1, 20)), timedelta(hours=6))
    assert whole / 2 <= webhook.pause(tries, drawn) <= whole
    assert webhook.pause(tries, drawn) <= webhook.pause(tries + 1, drawn)
