"""A batch and a reply against the real server: streamed copies that work, a caller that leaves, and a quoted pixel."""

from __future__ import annotations

import base64
import http.client
import json
from pathlib import Path

from tests.e2e.mail import OFFER, html_of, link, message, paths, pixel
from tests.harness import Installation, Reply

FIREFOX = {"User_Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}


def batch(tracker: Installation, sent: bytes, *people: str, **more: object) -> Reply:
    recipients = [{"address": person} for person in people]
    told = {"message": base64.b64encode(sent).decode(), "recipients": recipients, **more}
    return tracker.api("POST", "/v1/rewrite/batch", told)


def copies(reply: Reply) -> list[tuple[str, str, Reply]]:
    """Address, outcome or reason, and the copy as if it had come alone."""
    assert reply.status == 200
    told = [json.loads(line) for line in reply.body.splitlines()]
    return [
        (one["address"], one.get("reason", one["outcome"]), Reply(200, reply.headers, base64.b64decode(one["message"])))
        for one in told
    ]


def test_copies_of_a_batch_are_tracked_each_for_its_own_person(tracker: Installation) -> None:
    for person in ("batch1@example.org", "batch2@example.org"):
        assert tracker.grant(person).status == 201
    people = ("batch1@example.org", "nobody@example.org", "batch2@example.org")
    told = copies(batch(tracker, OFFER, *people, owner="batch", label="Batch"))
    assert [(address, outcome) for address, outcome, _ in told] == list(
        zip(people, ("tracked", "no-grant", "tracked"), strict=True)
    )
    assert told[1][2].body == OFFER
    assert pixel(told[0][2]) != pixel(told[2][2])
    tracker.public("GET", pixel(told[0][2]), **FIREFOX)
    moved = tracker.public("GET", link(told[2][2]), **FIREFOX)
    assert moved.headers["Location"].startswith("https://files.werkstatt-nord.example/")
    tracker.until_written()
    (figures,) = tracker.api("GET", "/v1/stats/messages", Tracker_Owner="batch").json["messages"]
    assert (figures["sent"], figures["opened"], figures["clicked"], figures["label"]) == (3, 1, 1, "Batch")


def test_ten_thousand_recipients_in_bounded_memory_and_a_caller_that_leaves(fresh: Installation) -> None:
    fresh.start()
    for number in range(5):
        assert fresh.grant(f"m{number}@example.org").status == 201
    people = [f"m{number % 5}@example.org" if number % 2 else f"n{number}@example.org" for number in range(10_000)]
    assert len(copies(batch(fresh, OFFER, *people[:1000]))) == 1000
    before = resident(fresh.pid)
    assert len(copies(batch(fresh, OFFER, *people))) == 10_000
    assert resident(fresh.pid) - before < 40_000, "kilobytes"
    host = fresh.private_url.removeprefix("http://")
    content = json.dumps(
        {"message": base64.b64encode(OFFER).decode(), "recipients": [{"address": one} for one in people]}
    )
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request(
        "POST",
        "/v1/rewrite/batch",
        content,
        {"Authorization": f"Bearer {fresh.key}", "Content-Type": "application/json"},
    )
    connection.getresponse().read(1000)
    connection.sock.close()
    connection.close()
    assert copies(batch(fresh, OFFER, "m1@example.org"))[0][1] == "tracked", "the server goes on"
    assert fresh.stop() == 0
    assert "Traceback" not in fresh.log_file.read_text()


def resident(pid: int) -> int:
    """The kilobytes of memory that the process PID holds, or held at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


def test_somebody_in_cc_of_the_reply_loads_the_quoted_pixel_and_nothing_is_recorded(tracker: Installation) -> None:
    anna, bert = "quoted-anna@example.org", "quoted-bert@example.org"
    tracker.grant(anna)
    first = tracker.rewrite(OFFER, anna, Tracker_Owner="quoted")
    assert first.headers["Tracker-Outcome"] == "tracked"
    quotation = html_of(first.body).partition("<body")[2].partition(">")[2].partition("</body>")[0]
    reply = message(
        f"<p>Gern.</p><blockquote type=cite>{quotation}</blockquote>",
        **{"To": anna, "Cc": bert, "Subject": "Re: Offer", "In-Reply-To": "<a@x>", "Message-ID": "<reply@x>"},
    )
    to_bert = tracker.rewrite(reply, bert, Tracker_Owner="quoted")
    assert (to_bert.body, to_bert.headers["Tracker-Reason"]) == (reply, "no-grant")
    to_anna = tracker.rewrite(reply, anna, Tracker_Owner="quoted")
    assert to_anna.headers["Tracker-Outcome"] == "tracked"
    assert tracker.public("GET", pixel(first), **FIREFOX).body.startswith(b"GIF8")
    assert tracker.public("GET", link(first), **FIREFOX).status == 302
    tracker.until_written()
    told = tracker.api("GET", f"/v1/stats/messages/{first.headers['Tracker-Message']}").json
    assert (told["opened"], told["clicked"]) == (0, 0)
    assert (told["opened_by_machines_only"], told["clicked_by_machines_only"]) == (0, 0)
    own = [path for path in paths(to_anna, "o") if path != pixel(first)]
    tracker.public("GET", own[0], **FIREFOX)
    tracker.until_written()
    assert tracker.api("GET", f"/v1/stats/messages/{to_anna.headers['Tracker-Message']}").json["opened"] == 1
