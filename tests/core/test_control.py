"""Control headers come out byte for byte, and say what they say; nothing else of a message changes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.control import ControlNames, Controls, controls_of, without_controls
from tracker.model import Language

NAMES = ControlNames()
LISTMONK = ControlNames(campaign_header="X-Listmonk-Campaign", reference_header="X-Listmonk-Subscriber")

lines = st.sampled_from(
    [
        b"Subject: x\r\n", b"X-Tracker-Other: stays\r\n", b"X-Trackers: stays\r\n", b"X-Custom: X-Tracker: stays\r\n",
        b"Received: a\r\n\tX-Tracker: folded, stays\r\n", b": \r\n", b"no colon\r\n", b"To: a@b\n",
    ]
)  # fmt: skip
ours = st.sampled_from(
    [
        b"X-Tracker: off\r\n",
        b"x-tracker-label : a\r\n b\r\n\tc\r\n",
        b"X-TRACKER-OWNER:\r\n",
        b"X-Tracker-Campaign: 1\n",
    ]
)
bodies = st.sampled_from([b"\r\n", b"\r\nX-Tracker: off\r\nin the body\r\n", b"\nX-Tracker-Label: b\n", b""])


@given(st.lists(lines | ours), bodies)
def test_what_is_not_ours_stays_as_it_is(head: list[bytes], body: bytes) -> None:
    ours_in_it = [line for line in head if re.match(rb"(?i)x-tracker(-label|-owner|-campaign)? ?:", line)]
    if body == b"" and not head:
        return
    kept = b"".join(line for line in head if line not in ours_in_it)
    assert without_controls(b"".join(head) + body).message == kept + body


@given(st.binary(max_size=200))
def test_whatever_the_octets_a_message_without_our_headers_is_the_same_object(message: bytes) -> None:
    if b"x-tracker" not in message.lower():
        assert without_controls(message).message is message


def said(message: bytes, names: ControlNames = NAMES, *, heeded: bool = True) -> Controls:
    return controls_of(without_controls(message), names, heeded=heeded)


def test_what_each_header_says() -> None:
    head = (
        b"X-Tracker-Label: Autumn\r\n sale\r\nX-Tracker-Campaign: c-7\r\nX-Tracker-Reference: p.9\r\n"
        b"X-Tracker-Owner: jonas\r\nX-Tracker-Language: DE\r\nSubject: s\r\n\r\nbody"
    )
    assert said(head) == Controls(
        label="Autumn sale", campaign="c-7", reference="p.9", owner="jonas", language=Language.DE
    )
    assert said(head, heeded=False) == Controls(label="s"), "from others only the subject counts, as for anybody"


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (b"Offer", "Offer"),
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        (b"=?x-unknown?q?a?=", None),
        (b"=?utf-8?b?!!?=", None),
        (b"\xff\xfe", None),
        ("Grüße\u202e".encode(), "Grüße"),
        (b"x" * 300, "x" * 200),
        (b" ", None),
    ],
)
def test_a_subject_is_read_or_left(value: bytes, label: str | None) -> None:
    assert said(b"Subject: " + value + b"\r\n\r\n").label == label
    assert said(b"Subject: " + value + b"\r\n\r\n", ControlNames(label_from_subject=False)).label is None


def test_a_header_that_is_given_twice_counts_as_none() -> None:
    assert said(b"X-Tracker-Owner: a\r\nX-Tracker-Owner: b\r\n\r\n").owner is None


def test_headers_of_other_programs_say_the_same() -> None:
    message = b"X-Listmonk-Campaign: 11-22\r\nX-Listmonk-Subscriber: 33-44\r\nSubject: s\r\n\r\n"
    assert said(message, LISTMONK) == Controls(label="s", campaign="11-22", reference="33-44")
    assert without_controls(message).message == message, "they are that program's, and stay"
    assert said(message, LISTMONK, heeded=False) == Controls(label="s")


def test_off() -> None:
    assert said(b"X-Tracker: OFF\r\n\r\n").off
    assert not said(b"X-Tracker: on\r\n\r\n").off
    assert not said(b"X-Tracker: off\r\n\r\n", heeded=False).off
