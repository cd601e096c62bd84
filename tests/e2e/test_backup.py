"""A backup holds database, journal and settings, never the keys; doctor says when the keys lie beside it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.e2e.mail import OFFER
from tests.harness import Installation

ANNA = "anna@example.org"


def files(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}


def test_a_backup_holds_everything_but_the_keys(fresh: Installation, tmp_path: Path) -> None:
    """R63: keys lie outside the database, and outside its backups."""
    folder = tmp_path / "backups" / "today"
    with fresh as tracker:
        tracker.grant(ANNA)
        tracker.rewrite(OFFER, ANNA)
        told = tracker.run("backup", str(folder))
        tracker.api("POST", "/v1/consents/withdraw", {"address": ANNA})
    assert "the keys are not among them" in told
    held = files(folder)
    assert {Path(name).parts[0] for name in held} == {"tracker.db", "tracker.toml", "journal"}
    assert set(held.values()) == {0o600}
    keys = (fresh.folder / "tracker.keys").read_text()
    secrets = [word for word in keys.split('"') if len(word) == 64]
    assert len(secrets) == 3
    for name in held:
        content = (folder / name).read_bytes()
        for secret in secrets:
            assert secret.encode() not in content
            assert bytes.fromhex(secret) not in content
    with closing(sqlite3.connect(folder / "tracker.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT count(*) FROM grants").fetchone() == (2,)
    assert "WRONG" not in fresh.run("doctor")


def test_what_is_there_is_not_overwritten(fresh: Installation, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    folder.mkdir()
    (folder / "mine.txt").write_text("precious")
    refused = fresh.process("backup", str(folder), status=1).stderr
    assert b"nothing was overwritten" in refused
    assert b"did not start" not in refused, "the server may well be running"
    assert files(folder).keys() == {"mine.txt"}


def test_doctor_complains_when_the_keys_lie_where_the_backup_goes(fresh: Installation) -> None:
    fresh.run("backup", str(fresh.folder / "backup"))
    told = fresh.process("doctor", status=1).stdout.decode()
    assert "WRONG the keys lie apart from the backup: the key file lies where the last backup went" in told
    fresh.run("backup", str(fresh.folder.parent / "elsewhere" / "backup"))
    assert "WRONG" not in fresh.run("doctor")


def test_what_is_overdue_or_ends_soon_can_be_seen(fresh: Installation) -> None:
    with fresh as tracker:
        assert tracker.grant(ANNA, reference="crm-77").status == 201
        tracker.until_told(b'tracker_rows_overdue{table="events"} 0.0')
        assert tracker.run("consent", "expiring") == "No consent ends within 30 days.\n"
        told = tracker.run("consent", "expiring", "--days", "800")
    assert told.splitlines()[0].endswith("  1 person")
    assert told.splitlines()[1] == "    tests: crm-77"
    assert ANNA not in told


def test_the_head_that_an_officer_keeps_is_found_again(fresh: Installation) -> None:
    with fresh as tracker:
        tracker.grant(ANNA)
        head = tracker.run("consent", "head").strip()
        tracker.grant("bert@example.org")
        assert "2 entries, each as it was written" in tracker.run("consent", "verify", "--head", head)
        assert tracker.run("consent", "verify", "--head", head.partition(":")[2])
        wrong = head[:-1] + ("0" if head[-1] != "0" else "1")
        told = tracker.process("consent", "verify", "--head", wrong, status=1).stdout.decode()
        assert "WRONG The chain was rebuilt: entry 1 is not the one" in told
