"""The main job with the database on a PostgreSQL server: the same commands, pages and figures as with a file."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.mail import OFFER, link, pixel, stop
from tests.harness import Installation, Reply
from tests.postgres import Cluster, Plain

pytestmark = [pytest.mark.e2e, pytest.mark.postgres]

ANNA, BERT = "anna@example.org", "bert@example.org"
FIREFOX = {"User_Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}


@pytest.fixture
def url(cluster: Cluster) -> Iterator[str]:
    """An empty database."""
    name = cluster.make()
    yield cluster.url(name)
    cluster.drop(name)


@pytest.fixture
def made(tmp_path: Path, url: str) -> Iterator[Installation]:
    """An installation on it; the URL stands in a secret file."""
    secret = tmp_path / "url"
    secret.write_text(f"{url}\n")
    installation = Installation.made(tmp_path / "tracker", TRACKER_DATABASE_URL_FILE=str(secret))
    yield installation
    installation.kill()


def opened(tracker: Installation, reply: Reply) -> object:
    tracker.until_written()
    return tracker.api("GET", f"/v1/stats/messages/{reply.headers['Tracker-Message']}").json["opened"]


def test_the_whole_job_on_a_server(made: Installation, url: str) -> None:
    with made as tracker:
        for address in (ANNA, BERT):
            assert tracker.grant(address).status == 201
        anna, bert = (tracker.rewrite(OFFER, address) for address in (ANNA, BERT))
        for reply in (anna, bert):
            assert reply.headers["Tracker-Outcome"] == "tracked"
            assert tracker.public("GET", pixel(reply), **FIREFOX).status == 200
            assert tracker.public("GET", link(reply), **FIREFOX).status == 302
        assert opened(tracker, anna) == 2
        assert tracker.public("POST", f"{stop(anna)}/withdraw").status == 200
        assert tracker.public("GET", pixel(anna), **FIREFOX).status == 200
        assert opened(tracker, anna) == 1
        assert tracker.rewrite(OFFER, ANNA).headers["Tracker-Reason"] == "no-grant"
        tracker.until_ready()
        made.run("sweep")
    assert "WRONG" not in made.run("doctor")
    assert "each as it was written" in made.run("consent", "verify")
    assert not list(made.folder.glob("*.db*")), "nothing is beside the keys but settings and journal"
    with Plain(url) as plain:
        assert plain.execute("SELECT count(DISTINCT recipient) FROM tracked").fetchone() == (1,)


def test_the_same_database_is_not_made_twice(made: Installation, tmp_path: Path) -> None:
    made.environment["TRACKER_CONFIG"] = str(tmp_path / "other" / "tracker.toml")
    refused = made.process(
        "init", str(tmp_path / "other"), "--controller", "C", "--contact", "c@example.org", status=1
    ).stderr
    assert b"already" in refused
    assert not (tmp_path / "other").exists()


def test_a_backup_can_be_put_back_and_holds_no_keys(
    made: Installation, cluster: Cluster, url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "backups" / "today"
    with made as tracker:
        tracker.grant(ANNA)
        reply = tracker.rewrite(OFFER, ANNA)
        made.run("backup", str(folder))
    assert {path.name for path in folder.iterdir()} == {"tracker.dump", "tracker.toml", "journal"}
    assert (folder / "tracker.dump").stat().st_mode & 0o777 == 0o600
    name = url.rpartition("/")[2]
    cluster.drop(name)
    cluster.do(f"CREATE DATABASE {name} TEMPLATE template0")
    words = ["pg_restore", "--exit-on-error", "--dbname", url.replace("+asyncpg", ""), str(folder / "tracker.dump")]
    subprocess.run(words, check=True, timeout=60)
    with made as tracker:
        assert tracker.public("GET", pixel(reply), **FIREFOX).status == 200
        assert opened(tracker, reply) == 1
    assert "WRONG" not in made.run("doctor")


def test_the_proof_that_somebody_was_forgotten_reads_every_table(made: Installation, url: str) -> None:
    with made as tracker:
        tracker.grant(ANNA)
        assert "not been erased" in made.run("prove-forgotten", stdin=ANNA.encode(), status=1)
        made.run("subject", "erase", stdin=ANNA.encode())
    told = made.run("prove-forgotten", stdin=ANNA.encode())
    assert "Your address was found nowhere." in told
    assert all(f"- {table} (database, " in told for table in ("recipients", "events", "ledger_contents", "api_keys"))
    assert "The code stands in recipients because of what is still kept" in " ".join(told.split())
    with Plain(url) as plain:
        plain.execute("CREATE TABLE left_by_somebody AS SELECT CAST(? AS text) AS address", [ANNA.upper()])
    told = made.run("prove-forgotten", stdin=ANNA.encode(), status=1)
    assert "Your address was found in left_by_somebody" in " ".join(told.split())
