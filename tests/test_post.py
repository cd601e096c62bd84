"""One process of a server leads, and another does when that one has ended."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from tracker.post import Leadership, Post


def test_a_process_that_is_alone_leads() -> None:
    assert Post().leads()


def test_one_leads_and_goes_on_leading(tmp_path: Path) -> None:
    first, second = Leadership(tmp_path), Leadership(tmp_path)
    assert first()
    assert not second()
    assert first()
    assert (tmp_path / "leader").stat().st_mode & 0o777 == 0o600


def test_another_leads_when_the_first_resigns_which_then_never_leads_again(tmp_path: Path) -> None:
    first, second = Leadership(tmp_path), Leadership(tmp_path)
    assert first()
    first.resign()
    assert second()
    second.resign()
    assert not first()
    first.resign()
    assert Leadership(tmp_path)()


def test_who_never_led_can_resign_as_well(tmp_path: Path) -> None:
    waiting = Leadership(tmp_path)
    waiting.resign()
    assert not waiting()


def test_another_leads_when_the_first_is_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_lead, args=(tmp_path, there))
    process.start()
    there.close()
    assert here.recv() is True
    mine = Leadership(tmp_path)
    assert not mine()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert mine()
    here.close()


def _lead(folder: Path, line: Connection) -> None:
    leads = Leadership(folder)
    line.send(leads())
    signal.pause()
