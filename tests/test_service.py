"""What only one process of a server does ends when that one hands over, and not when its last connection has ended."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.fresh import new_installation
from tests.harness import free_port
from tracker import service
from tracker.config import load
from tracker.flows.sweep import Job
from tracker.model import Language
from tracker.post import Post

NOW = datetime(2026, 7, 24, 12, 30, tzinfo=UTC)


async def test_who_hands_over_ends_what_the_leader_does_before_another_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    begun = asyncio.Event()

    async def endless_sweep(_: datetime) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            happened.append("ended")

    monkeypatch.setattr(service, "once", lambda parts: (Job("sweep", endless_sweep, timedelta(days=1)),))
    monkeypatch.setattr(service, "_tuned", lambda: None)  # it is for a process that does nothing else
    config = await new_installation(tmp_path, Language.DE, NOW)
    listening = ("TRACKER_PUBLIC_LISTEN", "TRACKER_PRIVATE_LISTEN", "TRACKER_DASHBOARD_LISTEN")
    settings = load(config, {name: f"127.0.0.1:{free_port()}" for name in listening})
    post = Post(resign=lambda: happened.append("resigned"))
    serving = asyncio.create_task(service.serve(settings, lambda: None, clock=lambda: NOW, post=post))
    await asyncio.wait_for(begun.wait(), 10)
    assert happened == []
    post.hand_over.set()
    await asyncio.wait_for(serving, 10)
    assert happened == ["ended", "resigned"]
