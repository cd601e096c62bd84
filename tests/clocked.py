"""A real server whose clock is ahead by the seconds that a file says: `python -m tests.clocked FILE`."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

import uvloop

from tracker.config import load
from tracker.logs import configure
from tracker.parts import utc_now
from tracker.service import serve


def main() -> None:
    configure(sys.stderr)
    ahead = Path(sys.argv[1])

    def clock() -> datetime:
        return utc_now() + timedelta(seconds=float(ahead.read_text()))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        settings = load(None, os.environ)
        runner.run(serve(settings, lambda: print("listening", flush=True), clock=clock))


if __name__ == "__main__":
    main()
