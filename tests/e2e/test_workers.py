"""Several processes serve as one: what any of them did counts everywhere, and none of them is missed when it dies."""

from __future__ import annotations

import http.client
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.crew import Pinned, alive, folder_of, leader, until, workers
from tests.e2e.mail import OFFER, link, message, paths, pixel, stop
from tests.harness import Installation, Reply

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
WORKERS = 4
PEOPLE = 12


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A server with four workers, for all tests that kill none of them."""
    running = Installation.copied(tmp_path_factory.mktemp("four") / "tracker")
    running.start(workers=WORKERS)
    yield running
    running.kill()


@pytest.fixture
def two(fresh: Installation) -> Installation:
    """A server with two workers, for one test alone."""
    fresh.start(workers=2)
    return fresh


@pytest.fixture
def public(tracker: Installation) -> Iterator[list[Pinned]]:
    """A connection to the public listener of each worker."""
    with ExitStack() as stack:
        yield [stack.enter_context(Pinned(tracker, pid, tracker.public_url)) for pid in workers(tracker)]


@pytest.fixture
def private(tracker: Installation) -> Iterator[list[Pinned]]:
    """A connection to the private listener of each worker."""
    with ExitStack() as stack:
        yield [stack.enter_context(Pinned(tracker, pid, tracker.private_url)) for pid in workers(tracker)]


def copies(tracker: Installation, *people: str) -> list[Reply]:
    """A tracked copy for each of PEOPLE."""
    for person in people:
        assert tracker.grant(person).status == 201
    return [tracker.rewrite(OFFER, person, tracker_campaign="c") for person in people]


def rows(tracker: Installation, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as database:
        return database.execute(query).fetchall()


def counted(body: bytes, name: str, **labels: str) -> float:
    """The sum of a metric's series that have LABELS."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_what_four_workers_record_is_counted_once_and_together(
    tracker: Installation, public: list[Pinned], private: list[Pinned]
) -> None:
    before = tracker.api("GET", "/metrics").body
    sent = copies(tracker, *(f"reader{number}@example.org" for number in range(PEOPLE)))
    urls = [path for copy in sent for path in (pixel(copy), link(copy))]
    distinct = set()
    for number, path in enumerate(urls):  # each by two of them
        for one in (public[number % WORKERS], public[(number + 1) % WORKERS]):
            answer = one.ask("GET", path, user_agent="Mozilla/5.0 Firefox/145.0")
            assert answer.status in (200, 302)
            distinct.add((path.split("/")[2].removesuffix(".gif"), answer.headers["Location"]))
    stored = "SELECT count(*) FROM (SELECT DISTINCT delivery, link FROM events)"
    until(lambda: rows(tracker, stored) == [(len(distinct),)], "events are missing")
    offer = sent[0].headers["Tracker-Message"]
    for one in private:
        assert one.api("GET", f"/v1/stats/messages/{offer}").json["opened"] == PEOPLE
        body = one.ask("GET", "/metrics").body
        assert more(before, body, "tracker_copies_total", outcome="tracked") == PEOPLE
        assert b"pid=" not in body

    def told() -> bool:
        bodies = [one.ask("GET", "/metrics").body for one in private]
        pixels = {more(before, body, "tracker_hits_total", kind="pixel") for body in bodies}
        hits = {more(before, body, "tracker_hits_total") for body in bodies}
        written = {more(before, body, "tracker_events_written_total") for body in bodies}
        waiting = {counted(body, "tracker_events_waiting") for body in bodies}
        return pixels == {2 * PEOPLE} and hits == written == {2 * len(urls)} and waiting == {0}

    until(told, "the sums are wrong")
    each = [_of_one(number, tracker) for number in range(WORKERS)]
    assert all(each), f"not everybody took part: {each}"
    assert sum(each) == counted(tracker.api("GET", "/metrics").body, "tracker_hits_total")


def test_a_sweep_over_links_of_one_copy_is_a_programs_whichever_workers_it_reaches(
    tracker: Installation, public: list[Pinned]
) -> None:
    """Of four links each worker sees one, which alone is a person's; together they are a burst."""
    mail = message("".join(f'<p><a href="https://shop.example.com/{number}">x</a></p>' for number in range(WORKERS)))
    swept, read = (follow(tracker, mail, who, public, count) for who, count in (("filter", WORKERS), ("person", 1)))

    def clicks(sent: Reply) -> tuple[int, int]:
        figures = tracker.api("GET", f"/v1/stats/messages/{sent.headers['Tracker-Message']}").json
        return figures["clicked"], figures["clicked_by_machines_only"]

    until(lambda: clicks(read) == (1, 0), "a person's click is missing")
    until(lambda: clicks(swept) == (0, 1), "nobody saw the sweep")


def follow(tracker: Installation, mail: bytes, name: str, public: list[Pinned], count: int) -> Reply:
    """A copy of MAIL for somebody called NAME, of which so many links were followed, each through another worker."""
    person = f"{name}@example.org"
    assert tracker.grant(person).status == 201
    sent = tracker.rewrite(mail, person, tracker_campaign=name)
    answers: list[int] = []

    def ask(one: Pinned, path: str) -> None:
        answers.append(one.ask("GET", path, user_agent=FIREFOX).status)

    hits = [threading.Thread(target=ask, args=pair) for pair in zip(public, paths(sent, "c")[:count], strict=False)]
    for thread in hits:
        thread.start()
    for thread in hits:
        thread.join()
    assert answers == [302] * count
    return sent


def more(before: bytes, after: bytes, name: str, **labels: str) -> float:
    """By how much the sum has grown."""
    return counted(after, name, **labels) - counted(before, name, **labels)


def _of_one(number: int, tracker: Installation) -> float:
    """The hits that the worker with NUMBER counted."""
    (folder, *_) = {folder_of(pid) for pid in workers(tracker)}
    return sum(
        sample.value
        for metric in MultiProcessCollector.merge([str(folder / f"counter_{number}.db")])  # type: ignore[no-untyped-call]
        for sample in metric.samples
        if sample.name == "tracker_hits_total"
    )


def test_untouched_copies_are_counted_apart_for_each_worker_and_added_when_read(
    tracker: Installation, private: list[Pinned]
) -> None:
    for number, one in enumerate(private, 1):
        for person in range(number):
            answer = one.rewrite(OFFER, f"nobody{person}@example.org", tracker_campaign="spring")
            assert answer.headers["Tracker-Reason"] == "no-grant"
    query = "SELECT count FROM message_untouched WHERE reason = 'no-grant'"
    until(lambda: sorted(rows(tracker, query)) == [(1,), (2,), (3,), (4,)], "each writes what it counted")
    found = [
        one["untouched"]["no-grant"]
        for one in private[0].api("GET", "/v1/stats/messages").json["messages"]
        if one["untouched"]
    ]
    assert found == [1 + 2 + 3 + 4]


def test_a_withdrawal_through_one_worker_counts_at_once_in_all(
    tracker: Installation, public: list[Pinned], private: list[Pinned]
) -> None:
    sent = copies(tracker, *(f"person{number}@example.org" for number in range(WORKERS)))
    events = rows(tracker, "SELECT count(*) FROM events")
    for number, copy in enumerate(sent):
        assert public[number].ask("POST", f"{stop(copy)}/withdraw", b"").status == 200
        for one in private:
            answer = one.rewrite(OFFER, f"person{number}@example.org")
            assert (answer.body, answer.headers["Tracker-Reason"]) == (OFFER, "no-grant")
        for other in public:
            assert other.ask("GET", pixel(copy)).status == 200
    assert rows(tracker, "SELECT count(*) FROM events") == events


def test_withdrawals_while_the_store_is_away_are_journalled_by_any_worker_and_hold_all_of_them(
    tracker: Installation, public: list[Pinned], private: list[Pinned]
) -> None:
    people = [f"anna{number}@example.org" for number in range(WORKERS)]
    sent = copies(tracker, *people)
    (kept,) = copies(tracker, "somebody@example.org")
    noted = withdrawals(tracker)
    with closing(sqlite3.connect(tracker.folder / "tracker.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answers = [threading.Thread(target=withdraw, args=(one, copy)) for one, copy in zip(public, sent, strict=True)]
        for thread in answers:
            thread.start()
        for thread in answers:
            thread.join()
        other.execute("ROLLBACK")
    for round_number in range(10):  # from the first moment on, in every worker, nobody of them is tracked
        for number in range(WORKERS):
            answer = private[(number + round_number) % WORKERS].rewrite(OFFER, people[number])
            assert answer.headers["Tracker-Outcome"] == "untouched"
    for one in private:
        until(lambda one=one: one.ask("GET", "/health/ready").status == 200, "not in step")  # type: ignore[misc]
    for one in private:
        for number in range(WORKERS):
            assert one.rewrite(OFFER, people[number]).headers["Tracker-Reason"] == "no-grant"
        until(
            lambda one=one: one.rewrite(OFFER, "somebody@example.org").headers["Tracker-Outcome"] == "tracked",  # type: ignore[misc]
            "who said nothing is tracked again",
        )
    assert kept.headers["Tracker-Outcome"] == "tracked"
    assert withdrawals(tracker) == noted + WORKERS
    assert "each as it was written" in tracker.run("consent", "verify")


def withdrawals(tracker: Installation) -> int:
    """How many the journal tells of."""
    journal = b"".join(path.read_bytes() for path in (tracker.folder / "journal").glob("*.journal"))
    return journal.count(b'"kind":"withdrawal"')


def withdraw(one: Pinned, copy: Reply) -> None:
    assert one.ask("POST", f"{stop(copy)}/withdraw", b"").status == 200, "it is in the journal"


def test_a_worker_that_is_killed_is_replaced_and_the_others_answer_meanwhile(two: Installation) -> None:
    sent = copies(two, *(f"reader{number}@example.org" for number in range(PEOPLE)))
    for copy in sent:
        assert two.public("GET", pixel(copy)).status == 200
    before = workers(two)
    until(lambda: counted(two.api("GET", "/metrics").body, "tracker_hits_total") == PEOPLE, "hits are missing")
    failed: list[str] = []
    ended = threading.Event()
    load = [threading.Thread(target=ask_on, args=(two, link(copy), ended, failed)) for copy in sent[:4]]
    for thread in load:
        thread.start()
    victim = before[0]
    os.kill(victim, signal.SIGKILL)
    until(lambda: not alive(victim), "it is still there")
    answered = [two.public("GET", link(copy)).status for copy in sent]
    assert answered == [302] * PEOPLE, "the others answer"
    until(lambda: len(set(workers(two)) - {victim}) == 2, "nobody took its place")
    ended.set()
    for thread in load:
        thread.join()
    assert len(failed) <= len(load), "only who waited for the killed one may have lost a request"
    until(lambda: counted(two.api("GET", "/metrics").body, "tracker_hits_total") >= 2 * PEOPLE, "the sum fell")
    until(lambda: len(workers(two)) == 2, "nobody took its place")
    assert two.stop() == 0
    assert "ended with status -9" in two.log_file.read_text()


def ask_on(tracker: Installation, path: str, ended: threading.Event, failed: list[str]) -> None:
    """Follow a link again and again, each time on a fresh connection."""
    while not ended.is_set():
        try:
            if tracker.public("GET", path).status != 302:
                failed.append("status")
        except (OSError, http.client.HTTPException) as error:
            failed.append(type(error).__name__)


def test_one_of_them_leads_and_another_takes_over(two: Installation) -> None:
    folder = folder_of(workers(two)[0])
    until(lambda: leader(folder) in workers(two), "nobody leads")
    first = leader(folder)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(lambda: leader(folder) in set(workers(two)) - {first}, "nobody took over")
    runs = 'job="delete what has passed its last day"'
    until(lambda: runs.encode() in two.api("GET", "/metrics").body, "nobody sweeps")


def test_no_worker_outlives_a_parent_that_is_killed(two: Installation) -> None:
    copy = copies(two, "anna@example.org")[0]
    assert two.public("GET", pixel(copy)).status == 200
    orphans, folder = workers(two), folder_of(workers(two)[0])
    two.stop(signal.SIGKILL)
    until(lambda: not any(map(alive, orphans)), "a worker went on")
    assert not folder.exists(), "what they counted in is gone, too"
    assert rows(two, "SELECT count(*) FROM events") == [(1,)], "what was begun was finished"
    two.start(workers=2)
    assert two.public("GET", link(copy)).status == 302
    assert two.stop() == 0


def test_a_port_that_is_taken_is_said_once_and_named(fresh: Installation) -> None:
    fresh.start()
    other = fresh.process("serve", "--workers", "2", status=1).stderr.decode()
    assert other.count("private_listen:") == 1
    fresh.stop()


def test_what_stops_a_worker_from_starting_is_said_once_and_ends_the_server(fresh: Installation) -> None:
    (fresh.folder / "tracker.db").rename(fresh.folder / "elsewhere.db")
    other = fresh.process("serve", "--workers", "3", status=1).stderr.decode()
    assert other.count("The database is missing") == 1


def test_workers_that_all_die_at_once_end_the_server(fresh: Installation) -> None:
    fresh.start(workers=1)
    keys = fresh.folder / "tracker.keys"
    keys.rename(fresh.folder / "elsewhere.keys")
    os.kill(workers(fresh)[0], signal.SIGKILL)
    assert fresh.wait() == 1
    assert "giving up" in fresh.log_file.read_text()
