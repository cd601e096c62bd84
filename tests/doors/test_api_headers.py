"""What a mail system says in headers is read in each way of writing it, or refused; controls never come through."""

from __future__ import annotations

import unicodedata
from email.header import Header

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from tracker.doors.api_headers import LONGEST_TEXT, envelope_of, owner_of_caller, text
from tracker.model import (
    ApiKey,
    Day,
    ForeignOwner,
    InvalidAddress,
    InvalidField,
    MissingRecipient,
    TrackerError,
)

KEY = ApiKey("crm", frozenset(), Day(20_000))
PRINTABLE = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Cf", "Cn"]), min_size=1, max_size=LONGEST_TEXT
)


def as_received(octets: bytes) -> str:
    """A header's value as aiohttp gives it."""
    return octets.decode("utf-8", "surrogateescape")


def read(octets: bytes, name: str = "Tracker-Label") -> str | None:
    return text(CIMultiDict({name: as_received(octets)}), name)


@given(PRINTABLE)
def test_text_in_utf_8_comes_through(value: str) -> None:
    if not (value.isascii() and "=?" in value):
        assert read(value.encode()) == (value.strip() or None)


@given(PRINTABLE, st.sampled_from(["utf-8", "iso-8859-1"]))
def test_text_in_encoded_words_comes_through(value: str, charset: str) -> None:
    try:
        value.encode(charset)
    except UnicodeEncodeError:
        return
    value = " ".join(value.split())
    words = Header(value, charset, maxlinelen=10_000).encode()
    if "=?" in words and "\n" not in words:
        assert read(words.encode()) == (value or None)


@given(st.binary(max_size=400))
def test_any_octets_are_read_or_refused_and_never_fail_otherwise(octets: bytes) -> None:
    refused = ""
    value = None
    try:
        value = read(octets)
    except InvalidField as error:
        refused = error.detail
    assert refused.isascii()
    assert refused == "" or refused.startswith("Tracker-Label: ")
    assert value is None or 0 < len(value) <= LONGEST_TEXT
    assert not {unicodedata.category(each) for each in value or ""} & {"Cc", "Cs", "Zl", "Zp"}


@given(st.binary(max_size=100), st.sampled_from(["Copy", "Label", "Campaign", "Reference", "Owner", "Language"]))
def test_any_envelope_is_read_or_refused_as_the_callers_fault(octets: bytes, name: str) -> None:
    status = 422
    try:
        envelope_of(CIMultiDict({"Tracker-Recipient": "a", f"Tracker-{name}": as_received(octets)}), KEY)
        envelope_of(CIMultiDict({"Tracker-Recipient": as_received(octets)}), KEY)
    except TrackerError as error:
        status = error.status
    assert status in (400, 422)


@given(st.text(alphabet="=?utf-8bqQB_ \u00e4AZ=0", max_size=300))
def test_anything_like_an_encoded_word_is_read_or_refused(value: str) -> None:
    try:
        read(value.encode())
    except InvalidField:
        return


@pytest.mark.parametrize(
    "octets",
    [
        b"a\x00b",
        b"a\x1fb",
        b"a\tb",
        "a\u202eb".encode(),
        "a\u2028b".encode(),
        "a\x85b".encode(),
        b"=?utf-8?q?a=00b?=",
        b"=?utf-8?q?a=0D=0Ab?=",
        b"=?utf-8?q?a=E2=80=AEb?=",
        b"=?utf-8?q?=FF?=",
        b"\xff",
        "ä".encode("latin-1"),
        b"=?utf-7?q?+AAA-?=",
        b"=?idna?q?xn--a?=",
        b"=?unicode_escape?q?=5Cud800?=",
        b"=?us-ascii?q?=E4?=",
        b"x" * 201,
        b"=?utf-8?q?" + b"x" * 201 + b"?=",
        b"=?a?q?" * 1_000,
    ],
)
def test_control_characters_other_charsets_and_long_texts_are_refused(octets: bytes) -> None:
    with pytest.raises(InvalidField, match=r"^Tracker-Label: "):
        read(octets)


@pytest.mark.parametrize("octets", [b"", b"   ", b"=?utf-8?q?_?="])
def test_a_blank_header_says_nothing(octets: bytes) -> None:
    assert read(octets) is None


def test_a_smiley_of_several_characters_is_no_control_character() -> None:
    family = "\U0001f469\u200d\U0001f467 \u2764\ufe0f"
    assert read(family.encode()) == family


def test_a_header_that_comes_twice_is_refused() -> None:
    with pytest.raises(InvalidField, match="more than once"):
        text(CIMultiDict([("Tracker-Label", "a"), ("tracker-label", "a")]), "Tracker-Label")


def test_an_encoded_word_in_an_address_is_a_part_of_it() -> None:
    recipient = "=?utf-8?q?a?=@example.org"
    assert envelope_of(CIMultiDict({"Tracker-Recipient": recipient}), KEY).recipient == recipient


def test_an_internationalised_recipient_comes_as_utf_8() -> None:
    assert envelope_of(CIMultiDict({"Tracker-Recipient": "jürgen@exämple.org"}), KEY).recipient == "jürgen@exämple.org"
    with pytest.raises(InvalidAddress):
        envelope_of(CIMultiDict({"Tracker-Recipient": as_received(b"j\xfcrgen@example.org")}), KEY)


def test_no_recipient_is_missing() -> None:
    with pytest.raises(MissingRecipient):
        envelope_of(CIMultiDict(), KEY)


def test_whose_figures_they_are_is_said_by_the_key_first() -> None:
    bound = ApiKey("anna", frozenset(), Day(20_000), owner="anna@sales.example")
    named = CIMultiDict({"Tracker-Owner": "bert@sales.example"})
    assert owner_of_caller(CIMultiDict(), KEY) is None
    assert owner_of_caller(named, KEY) == "bert@sales.example"
    assert owner_of_caller(CIMultiDict(), bound) == "anna@sales.example"
    with pytest.raises(ForeignOwner):
        owner_of_caller(named, bound)
