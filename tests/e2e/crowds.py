"""Many callers at once, slow ones and rude ones; and what the server takes of memory and files meanwhile."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
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
