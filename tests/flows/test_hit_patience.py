"""A fault of ours in one answer leaves the patience of all others as it is."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.flows.conftest import TOKENS, Flows, hit
from tests.flows.test_hit import sent
from tracker.core.bursts import Bursts
from tracker.flows.hit import Hits

CANARY = "anna@example.org"


async def test_one_answer_that_fails_keeps_no_other_waiting(
    flows: Flows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither one that waits with it nor one that comes later."""
    caplog.set_level(logging.DEBUG)
    token, _, _ = await sent(flows)
    monkeypatch.setattr(flows.store, "record_soon", lambda *_: None)
    hits = Hits(flows.store, lambda: TOKENS, flows.counted, Bursts.alone())
    beside, later = asyncio.Event(), asyncio.Event()

    def fail() -> None:
        raise RuntimeError(CANARY)

    hits.opened(token, hit(), fail)
    hits.opened(token, hit(), beside.set)
    async with asyncio.timeout(5):
        await beside.wait()
        hits.opened(token, hit(), later.set)
        await later.wait()
    assert [result for _, _, result in flows.counted.hits] == ["early"] * 3
    told = [record for record in caplog.records if record.name == "tracker.flows.hit"]
    assert [record.getMessage() for record in told] == ["who waited for the store could not be told: RuntimeError"]
    assert told[0].exc_info is None
