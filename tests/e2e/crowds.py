"""Many callers at once, slow ones and rude ones; and what the server takes of memory and files meanwhile."""

from __future__ import annotations

import asyncio
import resource
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def memory_of(pid: int) -> int:
    """Octets that the process PID holds in memory."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


def peak_of(pid: int) -> int:
    """The most octets that the process PID held in memory so far."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


class Watch:
    """Looks again and again how much several processes hold in memory at the same time."""

    def __init__(self, processes: Callable[[], Sequence[int]]) -> None:
        """PROCESSES: those that there are, children included."""
        self._processes = processes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.rest = self._look()
        """Octets at the beginning."""
        self.peak = self.rest
        """The most octets so far."""

    @property
    def rise(self) -> int:
        """Octets that came on top of those at the beginning."""
        return self.peak - self.rest

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            self.peak = max(self.peak, self._look())

    def _look(self) -> int:
        total = 0
        for pid in self._processes():
            with suppress(OSError, ValueError):  # it has ended meanwhile
                total += memory_of(pid)
        return total


def allow_files(wanted: int) -> int:
    """Let this process open WANTED files if it may; how many it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    return min(wanted, hard)


async def connect(base: str) -> Connection:
    parts = urlsplit(base)
    return await asyncio.open_connection(parts.hostname, parts.port, local_addr=("127.0.0.77", 0))


@asynccontextmanager
async def connected(base: str, count: int) -> AsyncIterator[Sequence[Connection]]:
    """COUNT connections to BASE, opened some hundreds at a time."""
    found: list[Connection] = []
    try:
        while len(found) < count:
            found += await asyncio.gather(*(connect(base) for _ in range(min(500, count - len(found)))))
        yield found
    finally:
        for _, writer in found:
            writer.transport.abort()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, fields (names in lower case) and body of the next answer; status 0 when the connection ends first."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        return int(head[0].split()[1]), fields, await reader.readexactly(int(fields.get("content-length", "0")))
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0, {}, b""
