"""Keeps telephone calls: when, how long, what was answered; proof of a yes as long as somebody makes use of it.

The law (UWG section 7a; LAW.md R17): a yes is kept for five years from it and from each call that rests on it.
"""

from __future__ import annotations

from sqlalchemy import or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.ledger import instant_text
from tracker.model import Call, Day
from tracker.store.schema import calls
from tracker.store.upsert import later_of, upsert


async def note_call(connection: AsyncConnection, recipient: int, call: Call) -> None:
    """Keep CALL with RECIPIENT; the same again is not written, and a correction never shortens what is kept."""
    noted = upsert(calls).values(
        recipient=recipient,
        rep=call.rep,
        started_at=instant_text(call.started_at),
        seconds=call.seconds,
        call_again=call.call_again,
        tracking_agreed=call.tracking_agreed,
        last_day=call.last_day,
    )
    said = ("seconds", "call_again", "tracking_agreed")
    await connection.execute(
        noted.on_conflict_do_update(
            index_elements=["recipient", "rep", "started_at"],
            set_={
                **{name: noted.excluded[name] for name in said},
                "last_day": later_of(calls.c.last_day, noted.excluded.last_day),
            },
            where=or_(
                *(calls.c[name].is_distinct_from(noted.excluded[name]) for name in said),
                calls.c.last_day < noted.excluded.last_day,
            ),
        )
    )


async def use_calls(connection: AsyncConnection, recipient: int, call: Call, last_day: Day) -> None:
    """Keep every yes that RECIPIENT gave before CALL until LAST_DAY at least: CALL made use of it."""
    await connection.execute(
        update(calls)
        .where(
            calls.c.recipient == recipient,
            calls.c.call_again == 1,
            calls.c.started_at < instant_text(call.started_at),
            calls.c.last_day < last_day,
        )
        .values(last_day=last_day)
    )
