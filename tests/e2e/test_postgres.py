"""The main job with the database on a PostgreSQL server: the same commands, pages and figures as with a file."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.mail import OFFER, link, pixel, stop
from tests.harness import Installation, Reply
from tests.postgres import Cluster, Plain
from tracker.config_values import masked

pytestmark = [pytest.mark.e2e, pytest.mark.postgres]

ANNA, BERT = "anna@example.org", "bert@example.org"
FIREFOX = {"User_Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}


@pytest.fixture
def url(cluster: Cluster) -> Iterator[str]:
    """An empty database, with a role that may do nothing but own it, as deploy/postgres.md says."""
    name = cluster.make()
    cluster.do(f"CREATE ROLE {name} LOGIN")
    cluster.do(f"ALTER DATABASE {name} OWNER TO {name}")
    yield cluster.url(name).replace("tracker@", f"{name}@")
    cluster.drop(name)
    cluster.do(f"DROP ROLE {name}")


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


def test_doctor_is_content_with_a_server_that_would_not_write_down_what_it_acknowledges(
    made: Installation, cluster: Cluster, url: str
) -> None:
    """Each connection of ours has it written down all the same."""
    cluster.do(f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = off")
    assert "ok    what is acknowledged stays" in made.run("doctor")


def test_what_cannot_be_made_whole_is_taken_away_again(url: str, tmp_path: Path) -> None:
    """Here the journal cannot: the database is as empty as before, and the next try makes everything."""
    folder = tmp_path / "tracker"
    blocked = Installation(folder, TRACKER_DATABASE_URL=url, TRACKER_JOURNAL="/dev/null/journal")
    words = ("init", str(folder), "--controller", "C", "--contact", "c@example.org")
    blocked.process(*words, status=1)
    with Plain(url) as plain:
        assert plain.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace") == []
        assert plain.execute("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace") == []
    Installation(folder, TRACKER_DATABASE_URL=url).run(*words)
    assert "WRONG" not in Installation(folder, TRACKER_DATABASE_URL=url).run("doctor")


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
    cluster.do(f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0")
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


def test_an_installation_moves_from_its_file_to_a_server(fresh: Installation, url: str) -> None:
    """Old tokens, grants and figures are honoured there; so is a no from before."""
    with fresh as tracker:
        for address in (ANNA, BERT):
            tracker.grant(address)
        anna, bert = (tracker.rewrite(OFFER, address) for address in (ANNA, BERT))
        assert tracker.public("GET", pixel(anna), **FIREFOX).status == 200
        assert tracker.public("POST", f"{stop(bert)}/withdraw").status == 200
        assert opened(tracker, anna) == 1
    head = fresh.run("consent", "head").strip()
    told = fresh.run("migrate-store", "-", stdin=f"{url}\n".encode())
    assert f"head {head}" in told
    assert f'database_url = "{masked(url)}"' in told
    refused = fresh.process("migrate-store", url, status=1).stderr.decode()
    assert "rows already" in refused
    assert "Nothing was kept of the copy." in refused
    fresh.environment["TRACKER_DATABASE_URL"] = url
    (fresh.folder / "tracker.db").rename(fresh.folder / "tracker.db.old")
    with fresh as tracker:
        tracker.until_ready()
        assert opened(tracker, anna) == 1
        for reply in (anna, bert):
            assert tracker.public("GET", link(reply), **FIREFOX).status == 302
            assert tracker.public("GET", pixel(reply), **FIREFOX).status == 200
        assert opened(tracker, anna) == 1
        figures = tracker.api("GET", f"/v1/stats/messages/{anna.headers['Tracker-Message']}").json
        assert figures["clicked"] == 1
        assert tracker.rewrite(OFFER, ANNA).headers["Tracker-Outcome"] == "tracked"
        assert tracker.rewrite(OFFER, BERT).headers["Tracker-Reason"] == "no-grant"
        assert tracker.public("POST", f"{stop(anna)}/withdraw").status == 200
    assert "each as it was written" in fresh.run("consent", "verify", "--head", head)
    assert "WRONG" not in fresh.run("doctor")
    assert "nothing to do" in fresh.run("upgrade")
