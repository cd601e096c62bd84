"""The operator's handbook has an answer to all that can ring, be found, or be logged; its commands exist."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.machine import BLOCK
from tracker.cli import tracker as program
from tracker.core.inventory import About, about

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tracker"
HANDBOOK = (ROOT / "deploy" / "README.md").read_text()
ALERTS = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "deploy").glob("*.md"))]
LEVELS = {"warning", "error", "exception", "critical", "_log"}
RUN = {
    "README": {
        "From nothing to the first tracked mail": {""},
        "The first hundred consents from a web shop": {""},
        "A second machine": {"db", "one", "two"},
        "Every day, every week, every year": {""},
    },
    "upgrade": {"": {""}},
    "restore": {"": {"", "sqlite", "postgresql", "new-machine"}},
}
"""The chapters and kinds of commands that tests/e2e/test_handbook.py runs."""


def chapter(name: str) -> str:
    """The text of a chapter of the handbook."""
    return HANDBOOK.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def alerts() -> dict[str, str]:
    """Alert → severity."""
    return dict(re.findall(r"- alert: (\w+)\n.*?severity: (\w+)\n", ALERTS, re.DOTALL))


def calls() -> Iterator[tuple[ast.Call, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield node, path


def words(node: ast.expr) -> str | None:
    """A literal text, with an ellipsis for what is put into it; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%[sd]", "…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "…" for each in node.values)
    return None


def logged() -> set[str]:
    """What may stand in the log at level warning and above."""
    found = set()
    for node, _ in calls():
        if isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS and node.args:
            found.add(words(node.args[-1 if node.func.attr == "_log" else 0]))
    return {text for text in found if text is not None}


def examined() -> set[str]:
    """What `doctor` may say that it looked at."""
    found = {
        words(node.args[0])
        for node, path in calls()
        if isinstance(node.func, ast.Name) and node.func.id in ("Finding", "_wrong") and node.args
    }
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign) and [each.id for each in node.targets if isinstance(each, ast.Name)] == [
                "what"
            ]:
                found.add(words(node.value))
    return {text for text in found if text is not None}


def test_each_alarm_has_a_section_of_its_name_and_no_section_is_left_over() -> None:
    text = chapter("When an alarm rings")
    sections = dict(re.findall(r"^### (\w+)\n\n\*(\w+)\.\*", text, re.MULTILINE))
    assert len(alerts()) > 10
    assert sections == alerts()
    assert re.findall(r"^### (.*)$", text, re.MULTILINE) == list(sections)
    runbooks = set(re.findall(r'runbook: "?deploy/README\.md#(\w+)"?', ALERTS))
    assert runbooks == {name.lower() for name in sections}


def test_each_thing_that_doctor_looks_at_is_explained() -> None:
    text = chapter("What doctor says")
    found = examined()
    assert {"settings", "only the tracker's user reads …", "http leads to https"} <= found
    assert {what for what in found if f"`{what}`" not in text} == set()


def test_each_line_that_the_log_may_hold_is_explained() -> None:
    text = chapter("What the log says")
    found = logged()
    assert {"nothing is tracked: …", "a copy could not be written and left untouched"} <= found
    assert {line for line in found if f"`{line}`" not in text} == set()
    told = set(re.findall(r"`([^`]+)`", "".join(re.findall(r"^\| (`.*?) \|", text, re.MULTILINE))))
    assert told <= found, "lines that the log does not hold any more"


def test_each_kind_of_background_work_is_explained() -> None:
    kinds = {
        words(node.args[0])
        for node, _ in calls()
        if isinstance(node.func, ast.Name) and node.func.id == "Job" and node.args
    }
    section = HANDBOOK.partition("### TrackerWorkFails")[2].partition("\n### ")[0]
    assert len(kinds) > 5
    assert {kind for kind in kinds if f"`{kind}`" not in section} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name if page.parent != ROOT else "main README")
def test_each_command_of_the_tracker_that_a_page_names_exists(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for command in re.findall(r"`(?:… )?tracker ([^`]+)`", text):
        assert_exists(re.sub(r"\s+", " ", command))


def assert_exists(command: str) -> None:
    """Whether COMMAND, as prose has it, names a command of ours and its options."""
    found: click.Command = program
    given = shlex.split(command.replace("…", "").replace("[", "").replace("]", "").replace("'", ""))
    while given and isinstance(found, click.Group):
        assert given[0] in found.commands, f"tracker {command}"
        found = found.commands[given.pop(0)]
    known = {name for option in found.params for name in (*option.opts, *option.secondary_opts)}
    assert {word for word in given if word.startswith("--")} <= known, f"tracker {command}"


def test_every_block_of_commands_is_one_that_a_test_runs() -> None:
    for page, chapters in RUN.items():
        text = (ROOT / "deploy" / f"{page}.md").read_text()
        parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE) if page == "README" else ["", "", text]
        for name, content in zip(parts[1::2], parts[2::2], strict=True):
            kinds = {mark.strip() for mark, _ in BLOCK.findall(content)}
            assert kinds == chapters.get(name, set()), f"{page}: {name}"
        assert "```console" not in text
        assert "```\n$ " not in text


def test_reps_are_informed_of_all_that_is_on_record_of_staff() -> None:
    """R55: before they use the dashboard."""
    page = (ROOT / "deploy" / "dashboard.md").read_text()
    text = " ".join(page.partition("\n## Before reps use it\n")[2].partition("\n## ")[0].split())
    told = {
        "senders": "who sent a message",
        "callers": "who made a call",
        "keys": "keys of mail systems that speak for them",
        "accounts": "their account",
        "sessions": "sign-ins",
        "audit": "each look in the audit trail",
    }
    assert {category.name for category in about(About.STAFF)} == set(told)
    assert [words for words in told.values() if words not in text] == []
    assert "BetrVG § 87(1) no. 6" in text
    assert "`tracker report art30`" in text
