"""A next hop that does as a test tells it, in a thread of its own: `tests.sink` for programs that are processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.harness import PATIENCE
from tests.sink import Sink, Taken, sink


class Hop:
    """Its `sink` says what it answers and holds what it took."""

    def __init__(self, one: Sink, loop: asyncio.AbstractEventLoop) -> None:
        self.sink = one
        self._loop = loop
        self._change = threading.Condition()
        one.after_taking = self._told

    def _told(self, _: Taken) -> None:
        with self._change:
            self._change.notify_all()

    def until(self, condition: Callable[[Sink], object]) -> None:
        """Wait until CONDITION holds; it is looked at whenever a message was taken."""
        with self._change:
            assert self._change.wait_for(lambda: condition(self.sink), PATIENCE), self.sink.commands[-20:]

    def since(self, before: int, number: int) -> Sequence[Taken]:
        """The NUMBER messages that were taken after the first BEFORE."""
        self.until(lambda one: len(one.taken) >= before + number)
        taken = self.sink.taken[before:]
        assert len(taken) == number, [one.recipients for one in taken]
        return taken

    def tell(self, action: Callable[[], object]) -> None:
        """Do ACTION in the thread in which the sink lives."""
        self._loop.call_soon_threadsafe(action)


@contextmanager
def hop() -> Iterator[Hop]:
    """A running one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="next hop")
    thread.start()
    running = sink()
    try:
        yield Hop(asyncio.run_coroutine_threadsafe(running.__aenter__(), loop).result(PATIENCE), loop)
    finally:

        async def end() -> None:
            await running.__aexit__(None, None, None)
            others = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()
