"""Tells what goes when: the table of background work, and the sweep that deletes what is past its last day."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tracker.core.calendar import day_of
from tracker.store.store import Store


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of background work, run every `period` while the server runs."""

    description: str
    run: Callable[[datetime], Awaitable[None]]
    period: timedelta


async def sweep(store: Store, now: datetime, proof_days: int) -> Mapping[str, int]:
    """Delete every row whose last day has passed; the number of rows deleted, by table. Raises StoreUnavailable."""
    return await store.sweep(day_of(now), now, proof_days)


async def vacuum(store: Store, now: datetime) -> None:
    """Overwrite what index pages remember of deleted rows, and note the day. Raises StoreUnavailable.

    Before that, codes of people of whom nothing else is left go: the sweep finds most of them, but not all.
    """
    await store.forget_unneeded()
    if await store.vacuum():
        await store.note_vacuum(day_of(now))


def jobs(store: Store, proof_days: int, swept: Callable[[Mapping[str, int]], None]) -> tuple[Job, ...]:
    """The background work on STORE; SWEPT hears how many rows each sweep deleted."""

    async def delete(now: datetime) -> None:
        swept(await sweep(store, now, proof_days))

    async def find_last_engagement(now: datetime) -> None:
        await store.look_for_last_engagement(day_of(now))

    async def put_totals_on_file(now: datetime) -> None:
        await store.put_team_totals_on_file(day_of(now))

    async def overwrite(now: datetime) -> None:
        await vacuum(store, now)

    return (
        Job("look for the last engagement of messages", find_last_engagement, timedelta(seconds=2)),
        Job("put the team's totals of full days on file", put_totals_on_file, timedelta(minutes=10)),
        Job("delete what has passed its last day", delete, timedelta(minutes=15)),
        Job("overwrite what index pages remember of deleted rows", overwrite, timedelta(days=1)),
    )
