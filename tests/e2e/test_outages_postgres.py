"""The same with the database on a server that stops, hangs, is locked, full, or comes back an hour older."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.mail import OFFER, pixel, stop
from tests.e2e.outage import BERT, check_log, endure, until
from tests.harness import PATIENCE, Installation
from tests.postgres import Cluster, Plain

ANNA = "anna@example.org"

pytestmark = [pytest.mark.e2e, pytest.mark.postgres]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Installation]:
    """An installation to be copied, with its database: making one takes seconds."""
    name = cluster.make()
    yield Installation.made(tmp_path_factory.mktemp("first") / "tracker", TRACKER_DATABASE_URL=cluster.url(name))
    cluster.drop(name)


@pytest.fixture
def url(cluster: Cluster, first: Installation) -> Iterator[str]:
    """A database of this test's own."""
    name = cluster.make(template=first.environment["TRACKER_DATABASE_URL"].rpartition("/")[2])
    yield cluster.url(name)
    cluster.drop(name)


@pytest.fixture
def tracker(tmp_path: Path, first: Installation, url: str) -> Iterator[Installation]:
    shutil.copytree(first.folder, tmp_path / "tracker")
    installation = Installation(tmp_path / "tracker", TRACKER_DATABASE_URL=url)
    installation.key = first.key
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


@contextmanager
def full(url: str) -> Iterator[None]:
    """Nothing that grows can be written, and each try fails as the server lets it when its disk is full.

    `installation` is written in place, which takes no room; the ledger, and with it every no, does. (With a disk that
    is really full: tests/store/test_full_disk.py.)
    """
    growing = "events", "tracked", "deliveries", "messages", "links", "recipients", "ledger"
    with Plain(url) as plain:
        plain.execute(
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
        )
        for table in growing:
            plain.execute(f"CREATE TRIGGER no_room BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION no_room()")
        yield
        plain.execute("DROP FUNCTION no_room CASCADE")


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


def test_readers_mail_and_nos_outlive_a_server_on_which_nobody_may_write(
    tracker: Installation, cluster: Cluster, url: str
) -> None:
    """As hosters set it when the disk is nearly full: connections stay open, and reading goes on."""
    endure(tracker, cluster.configured(default_transaction_read_only="on"), lambda query: rows(url, query))
    check_log(tracker)


def test_readers_mail_and_nos_outlive_a_server_whose_disk_is_full(tracker: Installation, url: str) -> None:
    endure(tracker, full(url), lambda query: rows(url, query))
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
