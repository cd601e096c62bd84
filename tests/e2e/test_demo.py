"""`tracker demo` tells the whole story, and runs on until Ctrl-C without leaving anything behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness import PATIENCE
from tracker.demo.rep import Rep


@contextmanager
def started(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A demo, which hears Ctrl-C also where the tests themselves run in the background of a shell."""
    environment = {
        **os.environ,
        "TMPDIR": str(folder),
        "TRACKER_PUBLIC_URL": "https://not-read.example",
        "HOME": "/nowhere",
    }
    with subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-u", "-m", "tracker", "demo", *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=folder,
    ) as demo:  # fmt: skip
        try:
            yield demo
        finally:
            demo.kill()


def test_once_tells_the_story_and_exits(tmp_path: Path) -> None:
    (tmp_path / "tracker.toml").write_text("not = 'read'")
    with started(tmp_path, "--once") as demo:
        told, _ = demo.communicate(timeout=PATIENCE)
    assert demo.returncode == 0, told
    for step in (
        "Consent is recorded",
        "not one of",
        "tracked, links 3/5",
        "opened",
        "the offer reached Anna, and what mattered in it",
        "says no",
        "the rep sees of the offer: Consent ended since: 1",
        "days pass",
        "found none",
    ):
        assert step in told
    assert [path.name for path in tmp_path.iterdir()] == ["tracker.toml"], "something was left behind"


async def feed(told: dict[str, str]) -> list[tuple[str, tuple[str, ...]]]:
    """The list of messages of the rep who signs in with what was TOLD, but for what was left alone."""
    async with Rep.at(told["sign in at"]) as rep:
        assert await rep.sign_in(told["a rep"], told["password of all three"])
        return [(entry.label, entry.marks[:2]) for entry in await rep.feed()]


def test_it_runs_on_for_the_browser_until_ctrl_c(tmp_path: Path) -> None:
    with started(tmp_path) as demo:
        assert demo.stdout is not None
        pages, told = [], {}
        for line in demo.stdout:
            pages += [word for word in line.split() if "/privacy/" in word or word.startswith("file://")]
            name, _, value = line.strip().partition("  ")
            told[name] = value.strip()
            if "until you press Ctrl-C" in line:
                break
        for page in pages:
            with urllib.request.urlopen(page, timeout=PATIENCE) as answer:
                assert b"<html" in answer.read().lower()
        assert len(pages) == 2
        seen = asyncio.run(feed(told))
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=PATIENCE)
    assert demo.returncode == 0
    assert seen == [("Offer 2026-118", ("Opened", "Clicked")), ("Herbstbrief", ("Not opened", "Not clicked"))]
    assert not list(tmp_path.iterdir()), "something was left behind"


@pytest.mark.parametrize(
    ("module", "broken", "nothing"),
    [
        ("consent", "Consents.withdraw_by_link", "async def nothing(*a, **k): return False"),
        ("hit", "Hits._record", "def nothing(self, delivery, purpose, link, hit, then): then()"),
    ],
)
def test_a_step_that_does_not_do_what_it_says_fails_the_story(module: str, broken: str, nothing: str) -> None:
    code = (
        f"import tracker.flows.{module} as flow\n"
        f"{nothing}\n"
        f"flow.{broken} = nothing\n"
        "import sys; sys.argv = ['tracker', 'demo', '--once']\n"
        "from tracker.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert "This did not happen" in done.stderr
