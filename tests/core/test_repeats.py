"""A survey that is carried over from one copy of a mailing to another is the survey of that other copy."""

from __future__ import annotations

import base64
import pickle
import quopri
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core import headers, mime
from tracker.core.layout import PlanUrls, lay_out, render
from tracker.core.linkpart import LinkPart
from tracker.core.notice import NoticeTexts
from tracker.core.repeats import OF_ONE_COPY, READ, carried, shape, stripped
from tracker.core.survey import Refused, Survey, SurveyPolicy, survey
from tracker.model import MAIL_PURPOSES, Language

BASE = "https://t.example.com"
POLICY = SurveyPolicy((BASE,))
HTML = '<p><a href="https://shop.example/a?b=1">Gr\u00fc\u00dfe</a> <a href="https://shop.example/two">two</a></p>'.encode()
BODIES = {
    "7bit": HTML,
    "quoted-printable": quopri.encodestring(HTML),
    "base64": base64.encodebytes(HTML),
    "multipart": b"--b\r\nContent-Type: text/plain\r\n\r\nHi\r\n--b\r\nContent-Type: text/html\r\n\r\n%b\r\n--b--\r\n"
    % HTML,
}
GOLDEN = sorted((Path(__file__).parents[1] / "data" / "mail").glob("*.eml"))


def mail(name: str, *fields: str, eol: str = "\r\n") -> bytes:
    if name == "multipart":
        kind = ["Content-Type: multipart/alternative; boundary=b"]
    else:
        kind = ["Content-Type: text/html; charset=utf-8", f"Content-Transfer-Encoding: {name}"]
    return eol.join([*fields, *kind, "", ""]).encode() + BODIES[name]


def copy(seen: Survey | Refused) -> bytes | Refused | None:
    """What comes of a survey in the end."""
    if isinstance(seen, Refused):
        return seen
    parts = {link.target: LinkPart(b"part%d" % number, b"h") for number, link in enumerate(seen.links)}
    plan = lay_out(seen, MAIL_PURPOSES, NoticeTexts(Language.EN), PlanUrls(BASE.encode(), parts))
    return None if plan is None else render(plan, b"d" * 66, b"s" * 84)


def assert_carried(first: bytes, second: bytes) -> None:
    one, two = shape(first), shape(second)
    assert one
    assert two
    assert one.digest == two.digest
    anew = survey(second, POLICY)
    kept = pickle.loads(pickle.dumps(stripped(survey(first, POLICY), one.head)))
    again = carried(kept, second, two.head)
    assert copy(again) == copy(anew)
    for name in ("identity", "message_id", "from_address", "named_recipients", "foreign_sender", "links_found", "left"):
        assert getattr(again, name, None) == getattr(anew, name, None)


@pytest.mark.parametrize("name", BODIES)
def test_a_copy_to_another_recipient_is_the_same_mailing(name: str) -> None:
    sender = "From: j@n.example"
    first = mail(name, sender, "To: anna@example.org", "Subject: Hi Anna", "Message-ID: <1@x>", "Date: 1")
    named = "To: B <bert@example.org>,\r\n c@d.example"
    second = mail(name, sender, named, "Subject: Hi", "Message-ID: <22@x>", "Date: 22")
    assert_carried(first, second)


def test_what_relays_and_campaigns_write_makes_no_other_mailing() -> None:
    sender, to = "From: j@n.example", "To: anna@example.org"
    first = mail("multipart", "Received: by a;\r\n\tMon", sender, to, "X-Campaign: 1", "Feedback-ID: anna")
    second = mail("multipart", "received: by b", sender, to, "X-Campaign: another", "Feedback-ID: bert\r\n \tb")
    assert_carried(first, second)


class Asked(dict[bytes, Sequence[bytes]]):
    """Fields that note which of them somebody reads, and of which somebody asks whether they are there."""

    def __init__(self, fields: headers.Fields, read: set[bytes], sought: set[bytes]) -> None:
        super().__init__(fields)
        self.read, self.sought = read, sought

    def get(self, name: bytes, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)

    def __getitem__(self, name: bytes) -> Sequence[bytes]:
        self.read.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        assert isinstance(name, bytes)
        self.sought.add(name)
        return super().__contains__(name)


def test_a_survey_reads_no_other_fields_than_the_shape_tells_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[bytes] = set()
    sought: set[bytes] = set()
    plain = headers.read_fields
    monkeypatch.setattr(mime, "read_fields", lambda block: Asked(plain(block), read, sought))
    for path in GOLDEN:
        survey(path.read_bytes(), replace(POLICY, sender_domains=frozenset({"example.com"}), remove_pixels=True))
    others = {name for name in read - OF_ONE_COPY - READ if not name.startswith(b"content-")}
    assert read >= OF_ONE_COPY | READ
    assert not others, "what it reads makes another mailing"
    assert b"dkim-signature" in sought


FIELDS = ("From: j@n.example", "To: anna@example.org", "Subject: Hi", "X-A: 1")


@pytest.mark.parametrize(
    "other",
    [
        mail("7bit", *FIELDS).replace(b"Gr", b"gr"),
        mail("7bit", *FIELDS, eol="\n"),
        mail("7bit", "From: k@n.example", *FIELDS[1:]),
        mail("7bit", *FIELDS, "DKIM-Signature: v=1"),
        mail("7bit", *FIELDS, "Auto-Submitted: auto-replied"),
        mail("7bit", *FIELDS, "List-Unsubscribe: <https://shop.example/two>"),
        mail("7bit", *FIELDS, "Cc: bert@example.org"),
        mail("7bit", *FIELDS, "X-Failed-Recipients: bert@example.org"),
        mail("7bit", "return-path:\r\n <>", *FIELDS),
        mail("7bit", *FIELDS[:2]),
        mail("quoted-printable", *FIELDS),
    ],
)
def test_what_differs_in_anything_else_is_another(other: bytes) -> None:
    one, two = shape(mail("7bit", *FIELDS)), shape(other)
    assert one
    assert two is None or one.digest != two.digest


@pytest.mark.parametrize(
    "message", [b"", b"\r\n\r\nx", b"\nTo: x\n\ny", b"From x\nTo: y\n\nz", b"no field\n\nx", b"To: x"]
)
def test_what_has_no_clean_header_has_no_shape(message: bytes) -> None:
    assert shape(message) is None


def test_nothing_of_the_copy_is_kept() -> None:
    message = mail("7bit", "From: j@n.example", "To: canary@example.org", "Subject: canary", "Message-ID: <canary@x>")
    form = shape(message)
    assert form
    assert b"canary" not in pickle.dumps(stripped(survey(message, POLICY), form.head))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
@given(to=st.text("abc, <>@\n", max_size=40))
def test_for_any_message_and_any_name_in_it(path: Path, to: str) -> None:
    message = path.read_bytes()
    folded = to.replace("\n", "\n ").encode()
    second = b"To: " + folded + b"\n" + message
    first = b"To: somebody@example.org\n" + message
    if shape(first) is not None and shape(second) is not None:
        assert_carried(first, second)
