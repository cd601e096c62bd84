"""A next hop that does as a test tells it, in a thread of its own: `tests.sink` for programs that are processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.harness import PATIENCE
from tests.sink import Sink, Taken


class Hop:
    """Its `sink` says what it answers and holds what it took."""

    def __init__(self) -> None:
        self.sink = Sink()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="next hop")
        self._server: asyncio.Server | None = None
        self._change = threading.Condition()
        self.before_answer: Callable[[str], object] = lambda command: None
        """Is told each command before it is answered; `DATA x@y` when a message has come."""
        self.sink.before_answer = self._asked
        self.sink.after_taking = self._changed

    def until(self, condition: Callable[[Sink], object]) -> None:
        """Wait until CONDITION holds; it is looked at whenever something came."""
        with self._change:
            assert self._change.wait_for(lambda: condition(self.sink), PATIENCE), self.sink.commands[-20:]

    def since(self, before: int, number: int) -> Sequence[Taken]:
        """The NUMBER messages that were taken after the first BEFORE."""
        self.until(lambda one: len(one.taken) >= before + number)
        taken = self.sink.taken[before:]
        assert len(taken) == number, [one.recipients for one in taken]
        return taken

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Take messages and answer none of them until the end."""
        hold = self.sink.hold = asyncio.Event()
        try:
            yield
        finally:
            self.sink.hold = None
            self._loop.call_soon_threadsafe(hold.set)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Be nowhere: nobody listens, and whoever was connected is no longer."""
        self._do(self._close())
        try:
            yield
        finally:
            self._do(self._listen())

    def _asked(self, command: str) -> None:
        self._changed()
        self.before_answer(command)

    def _changed(self, _: Taken | None = None) -> None:
        with self._change:
            self._change.notify_all()

    def _do(self, what: Awaitable[None]) -> None:
        async def done() -> None:
            await what

        asyncio.run_coroutine_threadsafe(done(), self._loop).result(PATIENCE)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self.sink.session, "127.0.0.1", self.sink.port, limit=2**28, backlog=2_000
        )
        self.sink.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        sessions = [task for task in others if "session" in repr(task.get_coro())]
        for task in sessions:
            task.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)

    def __enter__(self) -> Hop:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()
