"""Settings that change what is rewritten, against the real server: links in plain text, other people's pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from tests.e2e.mail import OFFER, message
from tests.e2e.test_batch import batch, copies
from tests.harness import Installation, Reply

FIREFOX = {"User_Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}
TEXT = (
    b"From: jonas@werkstatt-nord.example\r\nTo: x@example.org\r\nSubject: s\r\nMessage-ID: <text@x>\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    b"Gr\xc3\xbc\xc3\x9fe,\r\n\r\nsee https://files.werkstatt-nord.example/a?b=1&c=(2), <https://b.example/>.\r\n"
)
PIXEL = '<img src="https://mailtrack.io/trace/mail/0eabccbe98c98e9b.png" width="1" height="1">'
PAGE = '<p><a href="https://shop.example/">x</a></p>'


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder: Path = tmp_path_factory.mktemp("installation") / "tracker"
    settings = {"TRACKER_TEXT_LINKS": "true", "TRACKER_FOREIGN_TRACKERS": "remove"}
    with Installation.copied(folder, **settings) as running:
        yield running


def text_of(reply: Reply) -> str:
    body = message_from_bytes(reply.body, policy=policy.default).get_body(("plain",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def test_a_message_of_plain_text_is_tracked_and_its_links_lead_where_they_led(tracker: Installation) -> None:
    assert tracker.grant("text@example.org").status == 201
    reply = tracker.rewrite(TEXT, "text@example.org", Tracker_Owner="text")
    assert (reply.headers["Tracker-Outcome"], reply.headers["Tracker-Purposes"]) == ("tracked", "click")
    assert reply.headers["Tracker-Links"] == "2/2"
    told = text_of(reply)
    links = re.findall(r"http://127\.0\.0\.1:\d+(/c/\S+?/)(?=[,>]|$)", told, re.MULTILINE)
    assert [link.rsplit("/", 2)[1] for link in links] == ["files.werkstatt-nord.example", "b.example"]
    followed = [tracker.public("GET", links[0], **FIREFOX), tracker.public("HEAD", links[1], **FIREFOX)]  # at once
    targets = [answer.headers["Location"] for answer in followed]
    assert targets == ["https://files.werkstatt-nord.example/a?b=1&c=(2)", "https://b.example/"]
    (stop,) = re.findall(r"(?m)^http://127\.0\.0\.1:\d+(/privacy/\S+)$", told)
    assert tracker.public("GET", stop, **FIREFOX).status == 200
    assert "/o/" not in told
    tracker.until_written()
    figures = tracker.api("GET", f"/v1/stats/messages/{reply.headers['Tracker-Message']}").json
    assert (figures["sent"], figures["clicked"], figures["measurable"]) == (1, 1, {"open": 0, "click": 1})


def test_without_a_grant_for_clicks_plain_text_leaves_as_it_came(tracker: Installation) -> None:
    assert tracker.grant("text-opens@example.org", "open").status == 201
    for person, reason in (("text-opens@example.org", "nothing-to-track"), ("text-no@example.org", "no-grant")):
        reply = tracker.rewrite(TEXT, person)
        assert (reply.body, reply.headers["Tracker-Reason"]) == (TEXT, reason)


def test_other_peoples_pixels_leave_copies_of_whoever_did_not_agree(tracker: Installation) -> None:
    tracker.grant("opens@example.org", "open")
    tracker.grant("clicks@example.org", "click")
    sent, without = message(PAGE + PIXEL), message(PAGE)
    nobody = tracker.rewrite(sent, "pixel-no@example.org")
    assert nobody.body == without
    assert (nobody.headers["Tracker-Outcome"], nobody.headers["Tracker-Reason"]) == ("untouched", "no-grant")
    assert nobody.headers["Tracker-Foreign"] == "pixel=1, removed=1"
    clicks = tracker.rewrite(sent, "clicks@example.org")
    assert (clicks.headers["Tracker-Purposes"], clicks.headers["Tracker-Foreign"]) == ("click", "pixel=1, removed=1")
    assert b"mailtrack" not in clicks.body
    opens = tracker.rewrite(sent, "opens@example.org")
    assert (opens.headers["Tracker-Purposes"], opens.headers["Tracker-Foreign"]) == ("open", "pixel=1")
    assert PIXEL.encode() in opens.body
    told = copies(batch(tracker, sent, "pixel-no@example.org", "opens@example.org"))
    assert [PIXEL.encode() in copy.body for _, _, copy in told] == [False, True]
    metrics = tracker.api("GET", "/metrics").body.decode()
    assert re.search(r"(?m)^tracker_foreign_removed_total 3\.0$", metrics)


def test_what_is_signed_or_holds_none_leaves_byte_for_byte(tracker: Installation) -> None:
    signed = message(PAGE + PIXEL, **{"DKIM-Signature": "v=1; a=rsa-sha256; d=x; s=a; bh=x; b=y"})
    for sent in (signed, OFFER, message(PAGE)):
        reply = tracker.rewrite(sent, "pixel-no@example.org")
        assert (reply.body, reply.headers["Tracker-Reason"]) == (sent, "no-grant")
        assert "removed" not in reply.headers.get("Tracker-Foreign", "")


def test_the_command_line_says_what_it_removed(tracker: Installation) -> None:
    done = tracker.process("rewrite", "-r", "pixel-no@example.org", stdin=message(PAGE + PIXEL))
    assert done.stdout == message(PAGE)
    assert done.stderr.decode().strip() == "untouched: no-grant; other people's pixels removed: 1"
