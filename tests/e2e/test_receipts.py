"""A receipt that the program prints is checked as deploy/receipts.md says: offline, by whoever has the public key."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.harness import Installation

DOCUMENT = (Path(__file__).parent.parent.parent / "deploy" / "receipts.md").read_text(encoding="utf-8")
VERIFY, SUBJECT = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
COMMANDS = re.findall(r"^(?:echo (\S+) \| )?tracker (consent check .*)$", DOCUMENT, re.MULTILINE)
ANNA = "anna@example.org"
pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Anna's receipt and the public key, and nothing else."""
    installation = Installation.copied(tmp_path_factory.mktemp("tracker") / "tracker")
    day = (datetime.now(UTC) - timedelta(days=9)).strftime("%Y-%m-%d")
    words = f"--purpose open --method web-form --given-at {day} --language de --source form"
    words += f" --confirmed-at {day} --confirmed-by link"
    installation.run("consent", "grant", *words.split(), stdin=ANNA.encode())
    made: Path = tmp_path_factory.mktemp("officer")
    (made / "receipt.json").write_text(installation.run("consent", "export", stdin=ANNA.encode()), encoding="utf-8")
    (made / "key.pem").write_text(installation.run("consent", "export", "--public-key"))
    return made


def python(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, check=False)


def tracker(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The program where there is no installation."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    command = [sys.executable, "-m", "tracker", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, input=stdin, capture_output=True, text=True, check=False
    )


def test_the_documented_ten_lines_check_it(folder: Path) -> None:
    assert len(VERIFY.splitlines()) <= 10
    done = python(folder, VERIFY)
    assert (done.returncode, done.stdout) == (0, "genuine\n"), done.stderr
    assert python(folder, VERIFY + SUBJECT).returncode == 0
    somebody_else = SUBJECT.replace(ANNA, "bert@example.org")
    assert "AssertionError" in python(folder, VERIFY + somebody_else).stderr


def test_a_changed_receipt_is_found_out(folder: Path, tmp_path: Path) -> None:
    text = (folder / "receipt.json").read_text(encoding="utf-8")
    assert '"given"' in text
    (tmp_path / "receipt.json").write_text(text.replace('"given"', '"refused"'), encoding="utf-8")
    (tmp_path / "key.pem").write_bytes((folder / "key.pem").read_bytes())
    assert "InvalidSignature" in python(tmp_path, VERIFY).stderr
    done = tracker(tmp_path, "consent", "check", "receipt.json", "--public-key", "key.pem")
    assert done.returncode == 1
    assert "not genuine" in done.stderr


def test_the_documented_commands_check_it_without_an_installation(folder: Path) -> None:
    assert len(COMMANDS) == 2
    for address, command in COMMANDS:
        done = tracker(folder, *command.split(), stdin=address)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("genuine")
    done = tracker(folder, *COMMANDS[1][1].split(), stdin="bert@example.org")
    assert done.returncode == 1
    assert "about somebody else" in done.stderr


def test_a_name_that_stands_there_twice_is_refused(folder: Path, tmp_path: Path) -> None:
    text = (folder / "receipt.json").read_text(encoding="utf-8")
    (tmp_path / "twice.json").write_text('{"receipt": {"events": []},' + text[1:], encoding="utf-8")
    done = tracker(folder, "consent", "check", str(tmp_path / "twice.json"), "--public-key", "key.pem")
    assert done.returncode == 1
    assert "twice" in done.stderr


def test_no_address_stands_in_it(folder: Path) -> None:
    text = (folder / "receipt.json").read_text(encoding="utf-8").lower()
    assert "anna" not in text
    assert json.loads(text)["receipt"]["events"]
