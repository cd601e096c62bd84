"""The same with the database on a server that stops, hangs, is locked, or comes back an hour older."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.mail import OFFER, pixel, stop
from tests.e2e.outage import ANNA, BERT, check_log, endure, until
from tests.harness import PATIENCE, Installation
from tests.postgres import Cluster, Plain

pytestmark = [pytest.mark.e2e, pytest.mark.postgres]


@pytest.fixture
def url(cluster: Cluster) -> Iterator[str]:
    """An empty database."""
    name = cluster.make()
    yield cluster.url(name)
    cluster.drop(name)


@pytest.fixture
def tracker(tmp_path: Path, url: str) -> Iterator[Installation]:
    installation = Installation.made(tmp_path / "tracker", TRACKER_DATABASE_URL=url)
    installation.start()
    yield installation
    installation.kill()


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with Plain(url) as plain:
        return list(plain.execute(query))


@contextmanager
def stopped(cluster: Cluster) -> Iterator[None]:
    cluster.stop()
    try:
        yield
    finally:
        cluster.start()


@contextmanager
def hanging(cluster: Cluster) -> Iterator[None]:
    """Every process of it is stopped in its tracks: connections stay open, and nothing answers."""
    postmaster = (cluster.data / "postmaster.pid").read_text().split()[0]
    children = subprocess.run(["pgrep", "--parent", postmaster], capture_output=True, text=True, check=True)
    pids = [postmaster, *children.stdout.split()]
    subprocess.run(["kill", "-STOP", *pids], check=False)  # one of them may have ended by itself
    try:
        yield
    finally:
        subprocess.run(["kill", "-CONT", *pids], check=False)


@contextmanager
def locked(url: str) -> Iterator[None]:
    """An administrator works on the tables, and leaves them locked."""
    with Plain(url) as plain:
        plain.execute("BEGIN")
        plain.execute("LOCK TABLE installation, grants, recipients, tracked, events, api_keys IN ACCESS EXCLUSIVE MODE")
        yield
        plain.execute("ROLLBACK")


def test_readers_mail_and_nos_outlive_a_server_that_was_stopped(
    tracker: Installation, cluster: Cluster, url: str
) -> None:
    endure(tracker, stopped(cluster), lambda query: rows(url, query))
    check_log(tracker)


def test_readers_mail_and_nos_outlive_a_server_that_hangs(tracker: Installation, cluster: Cluster, url: str) -> None:
    endure(tracker, hanging(cluster), lambda query: rows(url, query))
    check_log(tracker)


def test_readers_mail_and_nos_outlive_tables_that_are_locked(tracker: Installation, url: str) -> None:
    endure(tracker, locked(url), lambda query: rows(url, query))
    check_log(tracker)


def test_a_server_restored_to_an_earlier_time_undoes_no_withdrawal(
    tracker: Installation, cluster: Cluster, url: str
) -> None:
    """It comes back without the last hour, and nobody tells the tracker: who said no is not tracked for a moment."""
    name = url.rpartition("/")[2]
    for person in (ANNA, BERT):
        assert tracker.grant(person).status == 201
    anna, bert = (tracker.rewrite(OFFER, person) for person in (ANNA, BERT))
    tracker.until_written()
    older = tracker.folder / "older.dump"
    plain = url.replace("+asyncpg", "")
    subprocess.run(["pg_dump", "--format=custom", "--file", str(older), plain], check=True)
    assert tracker.public("POST", f"{stop(bert)}/withdraw").status == 200
    until("", tracker=tracker)
    cluster.drop(name)
    cluster.do(f"CREATE DATABASE {name} TEMPLATE template0")
    subprocess.run(["pg_restore", "--exit-on-error", "--single-transaction", "--dbname", plain, str(older)], check=True)
    assert tracker.public("GET", pixel(anna)).status == 200
    end = time.monotonic() + PATIENCE
    while (reason := tracker.rewrite(OFFER, BERT).headers["Tracker-Reason"]) != "no-grant":
        assert reason == "store-unavailable"
        assert time.monotonic() < end
    until("", tracker=tracker)
    tracker.until_written()
    assert rows(url, "SELECT purpose, count(DISTINCT delivery) FROM events GROUP BY 1") == [("o", 1)]
    check_log(tracker)
    assert tracker.stop() == 0
    assert "WRONG" not in tracker.process("doctor").stdout.decode()
