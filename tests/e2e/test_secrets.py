"""After a leak: a retired key's links ask and its stop links stop; a rekey keeps everybody and locks old keys out."""

from __future__ import annotations

import json
import shutil
import signal
from datetime import datetime, timedelta

from tests.e2e.mail import OFFER, link, pixel, stop
from tests.e2e.test_operations import locked
from tests.e2e.test_restore import events, outcome
from tests.harness import Installation

ANNA, BERT, CARA = "anna@example.org", "bert@example.org", "cara@example.org"


def age(tracker: Installation) -> None:
    """Let every signing key be a day older, so that one made now signs at once."""
    path = tracker.folder / "tracker.keys"
    content = json.loads(path.read_text())
    for key in content["signing"]:
        key["signs_from"] = (datetime.fromisoformat(key["signs_from"]) - timedelta(days=1)).isoformat()
    path.write_text(json.dumps(content))


def test_a_retired_keys_links_show_their_destination_and_its_stop_links_stop(fresh: Installation) -> None:
    """R63: keys can be rotated, and retired after a leak, without breaking what was sent."""
    tracker = fresh
    with tracker:
        tracker.grant(ANNA)
        copy = tracker.rewrite(OFFER, ANNA)
        target = tracker.public("GET", link(copy)).headers["Location"]
        tracker.until_written()
        before = events(tracker)
    assert b"no other key signs yet" in tracker.process("secret", "retire", "A", status=1).stderr
    tracker.run("secret", "rotate")
    assert b"no other key signs yet" in tracker.process("secret", "retire", "A", status=1).stderr, "not for an hour"
    age(tracker)
    assert tracker.run("secret", "retire", "A").startswith("retired A")
    assert "retired before" in tracker.run("secret", "retire", "A")
    unknown = tracker.process("secret", "retire", "Z", status=1).stderr
    assert b"no signing key with that id" in unknown
    assert b"chmod" not in unknown, "the key file itself is in order"
    with tracker:
        page = tracker.public("GET", link(copy))
        assert page.status == 200
        assert "Location" not in page.headers
        assert target.split("?")[0] in page.body.decode()
        assert tracker.public("GET", pixel(copy)).body.startswith(b"GIF8")
        tracker.until_written()
        assert events(tracker) == before, "what a leaked key signed is not counted"
        new = tracker.rewrite(OFFER.replace(b"Message-ID: <", b"Message-ID: <2"), ANNA)
        assert link(new).startswith("/c/B")
        assert tracker.public("GET", link(new)).status == 302
        assert tracker.public("POST", f"{stop(copy)}/withdraw").status == 200
        assert outcome(tracker, ANNA) == "no-grant"


def test_after_a_rekey_everybody_is_found_and_old_links_work(fresh: Installation) -> None:
    """R63: the pseudonym key can be exchanged too, and the old one alone finds nobody."""
    tracker = fresh
    with tracker:
        for address in (ANNA, BERT, CARA):
            tracker.grant(address)
        copies = {address: tracker.rewrite(OFFER, address) for address in (ANNA, BERT)}
        tracker.api("POST", "/v1/consents/withdraw", {"address": CARA})
        with locked(tracker):  # a no of the old generation waits in the journal
            assert tracker.public("POST", f"{stop(copies[BERT])}/withdraw").status == 200
            tracker.stop(signal.SIGKILL)
    old = tracker.folder.parent / "old.keys"
    shutil.copy2(tracker.folder / "tracker.keys", old)
    assert "wrapped with a new key" in tracker.run("secret", "rekey")
    with tracker:
        assert [outcome(tracker, who) for who in (ANNA, BERT, CARA)] == ["tracked", "no-grant", "no-grant"]
        assert tracker.grant(CARA).status == 409
        assert tracker.public("GET", link(copies[ANNA])).status == 302
        assert tracker.public("GET", pixel(copies[ANNA])).status == 200
        tracker.until_written()
        assert events(tracker) == 2
        assert tracker.public("POST", f"{stop(copies[ANNA])}/withdraw").status == 200
        assert outcome(tracker, ANNA) == "no-grant"
    assert "WRONG" not in tracker.run("doctor")
    assert "ok" in tracker.run("consent", "verify")
    shutil.copy2(old, tracker.folder / "tracker.keys")
    assert b"does not belong to this database" in tracker.process("serve", status=1).stderr


def test_a_rekey_that_was_interrupted_is_finished_by_running_it_again_or_by_the_next_start(fresh: Installation) -> None:
    """Killed after the key file was written and before the database was: the locked database stands for it."""
    tracker = fresh
    with tracker:
        for address in (ANNA, BERT):
            tracker.grant(address)
        tracker.api("POST", "/v1/consents/withdraw", {"address": BERT})
    for mend in ("rekey", "start"):
        with locked(tracker):
            assert b"database cannot be reached" in tracker.process("secret", "rekey", status=1).stderr
        if mend == "rekey":
            assert "interrupted before is finished now" in tracker.run("secret", "rekey")
        with tracker:
            assert (outcome(tracker, ANNA), outcome(tracker, BERT)) == ("tracked", "no-grant"), mend
    generations = json.loads((tracker.folder / "tracker.keys").read_text())["pseudonym"]
    assert len(generations) == 3
