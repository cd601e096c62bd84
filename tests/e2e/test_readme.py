"""Each command in the README and in deploy/ is run, in order, as a newcomer would."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.harness import free_port
from tests.warm import warm_tracker

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
NAMES = (
    "agents", "capacity", "consent", "dashboard", "outages", "people", "postgres", "processes", "receipts", "smtp",
    "webhooks",
)  # fmt: skip
GUIDES = [ROOT / "deploy" / f"{name}.md" for name in NAMES]
OF_THE_HANDBOOK = [ROOT / "deploy" / f"{name}.md" for name in ("README", "restore", "upgrade")]
"""Their commands are run on machines of their own, by tests/e2e/test_handbook.py."""
SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)
BLOCKS = SHELL.findall(README)
WAIT = "until curl -s -o /dev/null http://127.0.0.1:8081/health/live; do :; done\n"


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make (\w+)", BLOCKS[0], re.MULTILINE)) == {"demo", "test"} <= targets


def test_every_guide_is_linked_and_run() -> None:
    assert sorted([*GUIDES, *OF_THE_HANDBOOK]) == sorted((ROOT / "deploy").glob("*.md"))
    handbook = (ROOT / "deploy" / "README.md").read_text()
    assert all(f"]({guide.name})" in handbook for guide in [*GUIDES, *OF_THE_HANDBOOK] if guide.name != "README.md")
    assert "](deploy/README.md)" in README


def test_every_link_between_the_pages_leads_somewhere() -> None:
    for page in (ROOT / "README.md", *GUIDES, *OF_THE_HANDBOOK):
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)", page.read_text()):
            there = page if not target else (page.parent / target)
            assert there.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor in anchors(there), f"{page.name}: {target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """What one can link to in PAGE: its headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_other_command_does_what_it_says(tmp_path: Path) -> None:
    public, private, dashboard = str(free_port()), str(free_port()), str(free_port())
    with warm_tracker(tmp_path / "bin") as program:
        run_all(tmp_path, program.parent, public, private, dashboard)


def run_all(tmp_path: Path, bin_folder: Path, public: str, private: str, dashboard: str) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")},
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "TRACKER_PUBLIC_LISTEN": f"127.0.0.1:{public}",
        "TRACKER_PRIVATE_LISTEN": f"127.0.0.1:{private}",
        "TRACKER_DASHBOARD_LISTEN": f"127.0.0.1:{dashboard}",
    }
    script = "set -euo pipefail\n" + "".join(
        block.replace("tracker serve &\n", "tracker serve & echo $! > serve.pid\n" + WAIT) + "\necho\n"
        for block in (*BLOCKS[1:], *(block for guide in GUIDES for block in SHELL.findall(guide.read_text())))
    )
    recently = (datetime.now(UTC) - timedelta(days=9)).strftime("%Y-%m-%d")  # the example must not age
    script = script.replace("8081", private).replace("8080", public).replace("2026-11-01", recently)
    script = script.replace("/var/backups", str(tmp_path / "backups"))
    script += (
        'grep -q "Tracker-Outcome: tracked" headers.txt\ngrep -q "127.0.0.1" to-send.eml\nkill $(cat serve.pid)\nwait\n'
    )
    output = tmp_path / "output"
    with output.open("w") as told:
        process = subprocess.Popen(
            ["bash", "-c", script], cwd=tmp_path, env=environment, stdout=told, stderr=told, start_new_session=True
        )
        try:
            status = process.wait(300)  # some thirty commands, also on a busy machine
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(output.read_text())
    assert status == 0, output.read_text()
    assert '"state": "live"' in output.read_text() or '"state":"live"' in output.read_text()


def test_the_python_example_compiles_and_lets_mail_flow() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {node.id for node in ast.walk(ast.parse(example)) if isinstance(node, ast.Name)}
    assert {"message", "recipient", "KEY"} <= names
    scope: dict[str, object] = {"KEY": "trk_none"}
    exec(f"import urllib.request\n{example}".replace("8081", str(free_port())), scope)
    tracked = scope["tracked"]
    assert callable(tracked)
    assert tracked(b"message", "anna@example.org") == b"message"
