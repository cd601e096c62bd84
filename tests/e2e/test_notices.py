"""The operator's commands on the texts: add, list, supersede."""

from __future__ import annotations

import pytest

from tests.harness import CONTROLLER, Installation

pytestmark = pytest.mark.e2e


def test_a_text_is_added_listed_and_superseded(fresh: Installation) -> None:
    text = fresh.folder / "text.txt"
    text.write_text(f"{CONTROLLER} fragt: Dürfen wir messen?", encoding="utf-8")
    words = ("notice", "add", "2027-1", "--language", "de", "--feature", "live", str(text))
    assert fresh.run(*words) == "added\n2027-1 cannot be agreed to in: en, fr, it\n"
    assert fresh.run(*words).startswith("on file already")
    listed = fresh.run("notice", "list").splitlines()
    assert len(listed) == 5
    assert listed[-1].startswith("2027-1 de: in force; live; sha256 ")
    fresh.run("notice", "supersede", "2027-1")
    assert ": superseded 20" in fresh.run("notice", "list").splitlines()[-1]
    assert b"in force" in fresh.process("notice", "supersede", "2027-1", status=1).stderr


def test_a_text_that_cannot_be_used_changes_nothing(fresh: Installation) -> None:
    before = fresh.run("notice", "list")
    text = fresh.folder / "text.txt"
    text.write_text("Somebody asks.")
    refused = fresh.process("notice", "add", "2027-1", "--language", "de", str(text), status=1)
    assert b"does not name the controller" in refused.stderr
    assert fresh.run("notice", "list") == before
