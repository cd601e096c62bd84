"""A target that is being abused is blocked by a command: its links show where they lead and ask, others lead on."""

from __future__ import annotations

import sqlite3
import time
from contextlib import ExitStack, closing

from tests.e2e.crew import Pinned, workers
from tests.e2e.mail import link, message, paths
from tests.harness import PATIENCE, Installation, Reply

ANNA = "anna@example.org"
MAIL = message(
    '<body><a href="https://www.evil.example/x?a=1&amp;b=2">a</a> <a href="https://good.example/">b</a></body>'
)
RECORDED = "SELECT count(*) FROM (SELECT DISTINCT link, agent FROM events)"
"""Whichever hour it was."""


def until(tracker: Installation, path: str, status: int) -> Reply:
    end = time.monotonic() + PATIENCE
    while (reply := tracker.public("GET", path)).status != status:
        assert time.monotonic() < end
    return reply


def test_a_blocked_hosts_links_show_their_destination_and_ask_until_it_is_unblocked(fresh: Installation) -> None:
    with fresh:
        fresh.grant(ANNA)
        copy = fresh.rewrite(MAIL, ANNA)
        evil, good = paths(copy, "c")
        assert fresh.public("GET", evil).status == 302
        assert fresh.run("link", "block", "EVIL.example").startswith("evil.example: blocked")
        page = until(fresh, evil, 200)
        assert "Location" not in page.headers
        shown = page.body.decode()
        assert 'href="https://www.evil.example/x?a=1&amp;b=2"' in shown, (
            "who knows it can go on by a click of their own"
        )
        assert "refresh" not in shown.lower(), "and nobody is sent there by our host"
        assert "reported to be abused" in shown
        german = fresh.public("GET", evil, accept_language="de").body.decode()
        assert "missbraucht" in german
        head = fresh.public("HEAD", evil)
        assert (head.status, "Location" in head.headers) == (200, False)
        assert fresh.public("GET", good).status == 302, "other links lead on"
        fresh.until_written()
        with closing(sqlite3.connect(fresh.folder / "tracker.db")) as database:
            assert database.execute(RECORDED).fetchone() == (2,), "asking records nothing"
        assert fresh.run("link", "list").startswith("evil.example  20")
        assert "nothing to change" in fresh.run("link", "block", "https://evil.example:443/")
        assert fresh.run("link", "unblock", "evil.example").startswith("evil.example: redirects again")
        until(fresh, evil, 302)
        assert fresh.run("link", "list") == ""
        with closing(sqlite3.connect(fresh.folder / "tracker.db")) as database:
            trail = database.execute("SELECT actor, action, case_number FROM audit ORDER BY at").fetchall()
        assert trail == [("cli", "link block", None), ("cli", "link unblock", None)]


def test_every_worker_reads_the_list(fresh: Installation) -> None:
    """Each is asked on a connection of its own, so that none answers for another."""
    fresh.start(workers=2)
    fresh.grant(ANNA)
    evil, good = paths(fresh.rewrite(MAIL, ANNA), "c")
    with ExitStack() as stack:
        each = [stack.enter_context(Pinned(fresh, pid, fresh.public_url)) for pid in workers(fresh)]
        assert [one.ask("GET", evil).status for one in each] == [302, 302]
        for words, status in ((("block", "evil.example"), 200), (("unblock", "evil.example"), 302)):
            fresh.run("link", *words)
            for one in each:
                end = time.monotonic() + PATIENCE
                while one.ask("GET", evil).status != status:
                    assert time.monotonic() < end
                assert one.ask("GET", good).status == 302
    assert fresh.stop() == 0


def test_a_host_is_blocked_also_while_the_database_is_away_and_a_damaged_list_is_told(fresh: Installation) -> None:
    with fresh:
        fresh.grant(ANNA)
        path = link(fresh.rewrite(MAIL, ANNA))
        (fresh.folder / "tracker.db").rename(fresh.folder / "away.db")
        done = fresh.process("link", "block", "evil.example", status=0)
        assert b"audit trail has no line" in done.stderr
        until(fresh, path, 200)
        (fresh.folder / "away.db").rename(fresh.folder / "tracker.db")
        fresh.until_ready()
        (fresh.folder / "blocked-hosts").write_text("evil.example\n???\n")
        end = time.monotonic() + PATIENCE
        while fresh.api("GET", "/health/ready").json.get("trouble", {}) != {
            "blocked_hosts": "blocked_hosts: line 2 names no host"
        }:
            assert time.monotonic() < end
        assert fresh.public("GET", path).status == 200, "the old list stays in use"
        assert b"line 2" in fresh.process("link", "block", "bad.example", status=1).stderr
    assert b"line 2" in fresh.process("serve", status=1).stderr
    assert b"host" in fresh.process("link", "block", "com", status=1).stderr
