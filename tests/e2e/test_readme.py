"""Each command in the README and in deploy/ is run, in order, as a newcomer would."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.harness import free_port
from tests.warm import warm_tracker
from tracker.model import Reason

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


def test_every_reason_is_explained() -> None:
    page = (ROOT / "deploy" / "README.md").read_text()
    table = page.partition("\n## Why a copy left untouched\n")[2].partition("\n## ")[0]
    explained = [
        name for line in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall("`(.*?)`", line)
    ]
    assert sorted(explained) == sorted(Reason)


def example(base: str) -> Callable[[bytes, str], bytes]:
    """The function of the README's example, which asks the server at BASE."""
    (text,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    scope: dict[str, Any] = {"KEY": "trk_none"}
    exec(text.replace("http://127.0.0.1:8081", base), scope)
    tracked: Callable[[bytes, str], bytes] = scope["tracked"]
    return tracked


def test_the_python_example_lets_mail_flow_when_nobody_answers() -> None:
    assert example(f"http://127.0.0.1:{free_port()}")(b"message", "anna@example.org") == b"message"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 500 Fault\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nThe beginning of a cop",
    ],
    ids=["closed", "no HTTP", "fault", "broken off"],
)
def test_the_python_example_lets_mail_flow_whatever_answers(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def once() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        with ThreadPoolExecutor(1) as thread:
            answered = thread.submit(once)
            ask = example(f"http://127.0.0.1:{server.getsockname()[1]}")
            assert ask(b"message", "anna@example.org") == b"message"
            answered.result(30)


def test_the_python_example_lets_mail_flow_to_addresses_that_no_header_holds() -> None:
    assert example(f"http://127.0.0.1:{free_port()}")(b"message", "анна@example.org") == b"message"
