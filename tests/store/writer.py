"""A process that writes to an SQLite file as a server's worker does: `python -m tests.store.writer FILE SECONDS PAUSE`.

It prints `ready`, begins when a line comes in, and prints how many milliseconds each commit took.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from time import perf_counter

from sqlalchemy import text

from tracker.store.sqlite import SqliteDatabase


async def write(path: Path, seconds: float, pause: float) -> None:
    """Commit one row after the other for SECONDS, with PAUSE seconds in between."""
    database = SqliteDatabase(path)
    try:
        async with database.write() as connection:
            await connection.execute(text("CREATE TABLE IF NOT EXISTS rows (number INTEGER)"))
        print("ready", flush=True)
        sys.stdin.readline()
        until = perf_counter() + seconds
        while perf_counter() < until:
            begun = perf_counter()
            async with database.write() as connection:
                await connection.execute(text("INSERT INTO rows VALUES (1)"))
            print(f"{(perf_counter() - begun) * 1000:.3f}")
            await asyncio.sleep(pause)
    finally:
        await database.close()


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
