"""The main job, end to end: the promises of DESIGN.md, one test each, against the real server process."""

from __future__ import annotations

from tests.e2e.mail import NEWSLETTER, NOTE, OFFER, SIGNED, link, message, paths, pixel, stop
from tests.harness import Installation, Reply

FIREFOX = {"User_Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}


def figures(tracker: Installation, reply: Reply) -> dict[str, object]:
    tracker.until_written()
    answer = tracker.api("GET", f"/v1/stats/messages/{reply.headers['Tracker-Message']}")
    assert answer.status == 200
    told: dict[str, object] = answer.json
    return told


def test_promise_1_without_a_grant_no_byte_changes(tracker: Installation) -> None:
    """R1: the running program, with mail of four kinds."""
    for sent in (NEWSLETTER, OFFER, SIGNED, NOTE):
        reply = tracker.rewrite(sent, "never-asked@example.org")
        assert (reply.status, reply.body) == (200, sent)
        assert (reply.headers["Tracker-Outcome"], reply.headers["Tracker-Reason"]) == ("untouched", "no-grant")


def test_promise_1_each_purpose_by_itself(tracker: Installation) -> None:
    """R3: a grant for clicks alone brings no pixel, one for opens no tracked link."""
    assert tracker.grant("open-only@example.org", "open").status == 201
    assert tracker.grant("click-only@example.org", "click").status == 201
    opens = tracker.rewrite(OFFER, "open-only@example.org")
    assert opens.headers["Tracker-Purposes"] == "open"
    assert pixel(opens)
    assert not paths(opens, "c")
    clicks = tracker.rewrite(OFFER, "click-only@example.org")
    assert clicks.headers["Tracker-Purposes"] == "click"
    assert link(clicks)
    assert not paths(clicks, "o")


def test_promise_4_a_link_leads_exactly_where_it_pointed_and_nowhere_when_altered(tracker: Installation) -> None:
    tracker.grant("links@example.org")
    reply = tracker.rewrite(OFFER, "links@example.org")
    assert reply.headers["Tracker-Links"] == "2/2"
    targets = [tracker.public("GET", path, **FIREFOX).headers["Location"] for path in paths(reply, "c")]
    assert targets == [
        "https://files.werkstatt-nord.example/offers/2026-118.pdf?v=2#page=3",
        "https://files.werkstatt-nord.example/drawings/bench%20B4/",
    ]
    good = link(reply)
    for position in range(3, len(good) - 1, 7):
        if good[position] not in "./":
            bad = good[:position] + ("A" if good[position] != "A" else "B") + good[position + 1 :]
            assert tracker.public("GET", bad, **FIREFOX).status == 404, position
    swapped = good.replace("files.werkstatt-nord.example", "evil.example")
    assert tracker.public("GET", swapped, **FIREFOX).status == 404


def test_hits_become_figures_and_the_same_hit_twice_counts_once(tracker: Installation) -> None:
    tracker.grant("reader@example.org")
    reply = tracker.rewrite(OFFER, "reader@example.org", Tracker_Label="Offer", Tracker_Owner="jonas")
    again = tracker.rewrite(OFFER, "reader@example.org", Tracker_Label="Offer", Tracker_Owner="jonas")
    assert again.headers["Tracker-Message"] == reply.headers["Tracker-Message"]
    for path in (pixel(reply), pixel(again), pixel(reply)):
        assert tracker.public("GET", path, **FIREFOX).status == 200
    for _ in range(2):
        assert tracker.public("GET", link(reply), **FIREFOX).status == 302
    told = figures(tracker, reply)
    assert (told["sent"], told["opened"], told["clicked"]) == (1, 1, 1)
    assert told["measurable"] == {"open": 1, "click": 1}
    person = tracker.api("POST", "/v1/stats/recipients", {"addresses": ["reader@example.org"]}, Tracker_Owner="jonas")
    assert person.status == 200
    assert "Offer" in person.body.decode()


def test_head_and_prefetch_are_never_counted(tracker: Installation) -> None:
    """R36: HEAD and prefetch are nobody."""
    tracker.grant("prefetched@example.org")
    reply = tracker.rewrite(OFFER, "prefetched@example.org", Tracker_Owner="prefetch")
    for path in (pixel(reply), link(reply)):
        assert tracker.public("HEAD", path, **FIREFOX).body == b""
        tracker.public("GET", path, Sec_Purpose="prefetch", **FIREFOX)
        tracker.public("GET", path, Sec_GPC="1", **FIREFOX)
    told = figures(tracker, reply)
    assert (told["opened"], told["clicked"]) == (0, 0)
    assert (told["opened_by_machines_only"], told["clicked_by_machines_only"]) == (0, 0)


def test_machines_are_counted_apart(tracker: Installation) -> None:
    """R36: machines are shown apart from people."""
    tracker.grant("scanned@example.org")
    reply = tracker.rewrite(OFFER, "scanned@example.org", Tracker_Owner="scan")
    tracker.public("GET", link(reply), User_Agent="Some-Link-Scanner/1.0")
    told = figures(tracker, reply)
    assert (told["clicked"], told["clicked_by_machines_only"]) == (0, 1)


def test_copies_of_a_campaign_are_one_message(tracker: Installation) -> None:
    campaign = {"Tracker_Campaign": "herbst", "Tracker_Owner": "jonas", "Tracker_Label": "Herbstbrief"}
    for person in ("c1@example.org", "c2@example.org"):
        tracker.grant(person)
    tracker.rewrite(NEWSLETTER, "c0@example.org", **campaign)
    replies = [
        tracker.rewrite(NEWSLETTER.replace(b"7f3a", b"7f3%d" % n), f"c{n}@example.org", **campaign) for n in (1, 2)
    ]
    assert len({reply.headers["Tracker-Message"] for reply in replies}) == 1
    tracker.rewrite(NEWSLETTER, "c3@example.org", **campaign)
    tracker.public("GET", pixel(replies[0]), **FIREFOX)
    told = figures(tracker, replies[0])
    assert (told["sent"], told["opened"]) == (4, 1)
    assert told["measurable"] == {"open": 2, "click": 2}
    assert told["untouched"] == {"no-grant": 2}


def test_promise_5_withdrawing_takes_the_events_along_and_old_mail_records_nothing_more(tracker: Installation) -> None:
    """R5, R10, R11, R44, R65: GET changes nothing, POST withdraws; old mail looks the same and records nothing;
    mail goes on."""
    tracker.grant("leaver@example.org")
    reply = tracker.rewrite(OFFER, "leaver@example.org", Tracker_Owner="leaver")
    tracker.public("GET", pixel(reply), **FIREFOX)
    assert figures(tracker, reply)["opened"] == 1
    page = stop(reply)
    for method in ("GET", "HEAD"):
        assert tracker.public(method, page).status == 200
        tracker.public(method, f"{page}/withdraw")
    assert figures(tracker, reply)["opened"] == 1, "GET changed something"
    one_click = b"List-Unsubscribe=One-Click"
    for _ in range(2):
        done = tracker.public("POST", f"{page}/withdraw", one_click, Content_Type="application/x-www-form-urlencoded")
        assert done.status == 200
        assert not done.headers["Location"]
        assert not done.headers["Set-Cookie"]
    assert tracker.public("GET", pixel(reply), **FIREFOX).body.startswith(b"GIF8")
    assert tracker.public("GET", link(reply), **FIREFOX).status == 302
    person = tracker.api("POST", "/v1/stats/recipients", {"addresses": ["leaver@example.org"]})
    assert "opened" not in str(person.json["recipients"][0].get("messages", [])).replace("'opened': None", "")
    history = tracker.api("POST", "/v1/consents/lookup", {"address": "leaver@example.org"}).json["history"]
    assert [entry["event"] for entry in history].count("withdrawn") == 1
    for given_at in ("2026-01-01T00:00:00Z", None):
        more = {} if given_at is None else {"given_at": given_at}
        assert tracker.grant("leaver@example.org", **more).status == 409
    assert tracker.rewrite(OFFER, "leaver@example.org").body == OFFER


def test_promise_7_the_peer_the_pixel_and_the_page_set_no_cookie_and_say_no_store(tracker: Installation) -> None:
    """R37: no cookie, no store, no referrer."""
    tracker.grant("headers@example.org")
    reply = tracker.rewrite(OFFER, "headers@example.org")
    for path in (pixel(reply), link(reply), stop(reply), "/o/forged.gif"):
        answer = tracker.public("GET", path, **FIREFOX)
        assert "no-store" in answer.headers["Cache-Control"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert not answer.headers["Set-Cookie"]


def test_a_forged_pixel_looks_like_a_real_one(tracker: Installation) -> None:
    """R33: equal bytes and headers."""
    tracker.grant("pixels@example.org")
    real = tracker.public("GET", pixel(tracker.rewrite(OFFER, "pixels@example.org")), **FIREFOX)
    forged = tracker.public("GET", "/o/" + "A" * 66 + ".gif", **FIREFOX)
    assert real.body == forged.body
    without_date = [[(name, value) for name, value in one.headers.items() if name != "Date"] for one in (real, forged)]
    assert without_date[0] == without_date[1]


def test_the_reasons_are_told(tracker: Installation) -> None:
    tracker.grant("reasons@example.org")
    several = OFFER.replace(b"To: Anna Example <anna@example.org>", b"To: reasons@example.org, b@example.org")
    for sent, reason in ((SIGNED, "signed"), (NOTE, "nothing-to-track"), (b"", "malformed")):
        reply = tracker.rewrite(sent, "reasons@example.org")
        assert (reply.body, reply.headers["Tracker-Reason"]) == (sent, reason)
    reply = tracker.rewrite(several, "reasons@example.org", Tracker_Copy="")
    assert reply.headers["Tracker-Reason"] == "several-recipients"
    tracked = tracker.rewrite(several, "reasons@example.org")
    assert tracked.headers["Tracker-Outcome"] == "tracked"
    again = tracker.rewrite(tracked.body, "reasons@example.org")
    assert (again.body, again.headers["Tracker-Reason"]) == (tracked.body, "already-tracked")


def test_hostile_targets_never_reach_a_location(tracker: Installation) -> None:
    """R30: javascript:, //host and line ends lead nowhere."""
    tracker.grant("hostile@example.org")
    html = '<a href="javascript:alert(1)">a</a><a href="//evil.example/">b</a><a href="https://x.example/%0d%0aSet-Cookie:a">c</a>'
    reply = tracker.rewrite(message(html), "hostile@example.org")
    assert reply.headers["Tracker-Links"] == "1/1"
    answer = tracker.public("GET", link(reply))
    assert answer.headers["Location"] == "https://x.example/%0d%0aSet-Cookie:a"
    assert not answer.headers["Set-Cookie"]
