"""`tracker audit` needs no set-up, and says which messages track people, by whom and how."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.test_audit import PLAIN, TRACKING
from tests.harness import on_a_terminal


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    folder = tmp_path / "Sent"
    folder.mkdir()
    (folder / "1.eml").write_bytes(TRACKING)
    (folder / "2.eml").write_bytes(PLAIN)
    (folder / "=cmd.eml").write_bytes(TRACKING)
    (folder / "note.txt").write_text("nothing")
    return folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    return subprocess.run(
        [sys.executable, "-m", "tracker", "audit", *words],
        capture_output=True, text=True, timeout=60, check=False, cwd=folder, env=environment,
    )  # fmt: skip


def test_the_text_says_who_tracks_and_how(sent: Path) -> None:
    told = run(sent.parent, "Sent")
    assert told.returncode == 0
    assert not told.stderr
    assert told.stdout.startswith("2 of 3 messages track people.\n")
    assert "1.eml: 2 links by SendGrid; pixel by Mailtrack\n" in told.stdout
    assert "Not looked into: files that are no messages (1).\n" in told.stdout
    assert "anna" not in told.stdout
    assert sorted(path.name for path in sent.parent.rglob("*")) == ["1.eml", "2.eml", "=cmd.eml", "Sent", "note.txt"]


def test_csv_can_be_read_again_and_holds_no_formula(sent: Path) -> None:
    rows = list(csv.reader(io.StringIO(run(sent.parent, "Sent", "--format", "csv").stdout)))
    assert rows[0] == ["message", "kind", "by", "count"]
    assert ["1.eml", "link", "SendGrid", "2"] in rows
    assert ["'=cmd.eml", "pixel", "Mailtrack", "1"] in rows
    assert ["note.txt", "skipped: no-message", "", ""] in rows


def test_the_page_stands_alone_and_overwrites_nothing(sent: Path) -> None:
    assert run(sent.parent, "Sent", "--format", "html", "--output", "report.html").returncode == 0
    page = (sent.parent / "report.html").read_text()
    assert "2 of 3 messages track people." in page
    assert "<svg" in page
    assert "http" not in page
    assert "anna" not in page
    again = run(sent.parent, "Sent", "--output", "report.html")
    assert again.returncode == 2
    assert "nothing was overwritten" in again.stderr
    assert (sent.parent / "report.html").read_text() == page


def test_no_messages_and_no_such_path(tmp_path: Path) -> None:
    assert run(tmp_path, str(tmp_path)).stdout == "No messages were found.\n"
    assert run(tmp_path, "nowhere").returncode == 2


def test_a_terminal_sees_how_far_it_is(sent: Path) -> None:
    told, shown = on_a_terminal("audit", str(sent), environment=os.environ, folder=sent.parent)
    assert b"100%" in shown
    assert told.startswith(b"2 of 3 messages track people.\n")
