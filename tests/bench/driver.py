"""Asks a server for many paths as fast as it answers: with wrk where it is installed, else with a driver in Python."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.deploy.files import EXTRACTED, found

CONNECTIONS = 128
FIELDS = {
    "Host": "127.0.0.1",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "image/avif,image/webp,*/*",
    "Accept-Language": "de,en;q=0.5",
    "Accept-Encoding": "gzip, deflate",
}
"""What a mail program that is a browser sends."""
SCRIPT = """
local requests, number, fields, forwarded = {}, 0, {FIELDS}, os.getenv("FORWARDED")
local driving
function setup(thread) driving = thread end
function init()
  for path in io.lines(os.getenv("PATHS")) do
    if forwarded then fields["X-Forwarded-For"] = "198.51.100." .. #requests % 250 end
    requests[#requests + 1] = wrk.format("GET", path, fields)
  end
  begun = os.clock()
end
function request() number = number % #requests + 1; return requests[number] end
function done(summary)
  io.write("Driven: ", summary.requests, " ", summary.duration, " ", os.clock() - driving:get("begun"), "\\n")
end
""".replace("FIELDS", ", ".join(f'["{name}"]="{value}"' for name, value in FIELDS.items()))


def name() -> str:
    """What drives."""
    return "wrk" if found("wrk") else "a driver in Python, which is the slower side: `make tools` installs wrk"


class Load(NamedTuple):
    """What a driver did."""

    answers: int
    seconds: float
    processor_seconds: float
    """The processor time that the driver itself took meanwhile."""

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds


def rate(
    url: str, paths: Sequence[str], seconds: int = 1, *, forwarded: bool = False, connections: int = CONNECTIONS
) -> float:
    """Answers per second, as `load` finds them."""
    return load(url, paths, seconds, forwarded=forwarded, connections=connections).rate


def load(
    url: str, paths: Sequence[str], seconds: int = 1, *, forwarded: bool = False, connections: int = CONNECTIONS
) -> Load:
    """Ask for PATHS, one after the other and again, over so many keep-alive CONNECTIONS.

    FORWARDED: each path's with an X-Forwarded-For of its own, as a proxy in front adds it (of 250 different).
    """
    if program := found("wrk"):
        return _wrk(program, url, paths, seconds, forwarded, connections)
    return asyncio.run(_asked(url, paths, seconds, forwarded, connections))


def processor_seconds(processes: Sequence[int]) -> float:
    """The processor time that PROCESSES, which run, took so far."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def until_idle(processes: Sequence[int]) -> None:
    """Wait until PROCESSES have done what follows a start, such as a sweep."""
    while True:
        before = processor_seconds(processes)
        sleep(0.5)
        if processor_seconds(processes) - before <= 0.02:
            return


def environment() -> dict[str, str]:
    """That in which wrk runs: unpacked beside the tests, it finds its library there, too."""
    folders = [*map(str, EXTRACTED.glob("usr/lib/*-linux-*")), os.environ.get("LD_LIBRARY_PATH", "")]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, folders))}


def _wrk(program: str, url: str, paths: Sequence[str], seconds: int, forwarded: bool, connections: int) -> Load:
    settings = environment()
    if forwarded:
        settings["FORWARDED"] = "yes"
    with tempfile.TemporaryDirectory() as folder:
        settings["PATHS"] = str(Path(folder) / "paths")
        script, listed = Path(folder) / "script.lua", Path(folder) / "paths"
        script.write_text(SCRIPT)
        listed.write_text("\n".join(paths) + "\n")
        done = subprocess.run(
            [program, "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url],
            env=settings, capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert "Socket errors" not in done.stdout, done.stdout
    said = re.search(r"Driven: (\S+) (\S+) (\S+)", done.stdout)
    assert said, done.stdout
    return Load(int(said[1]), int(said[2]) / 1e6, float(said[3]))


async def _asked(url: str, paths: Sequence[str], seconds: int, forwarded: bool, connections: int) -> Load:
    fields = "".join(f"{name}: {value}\r\n" for name, value in FIELDS.items())
    more = [f"X-Forwarded-For: 198.51.100.{number}\r\n" for number in range(250)] if forwarded else [""]
    requests = cycle(
        [f"GET {path} HTTP/1.1\r\n{fields}{one}\r\n".encode() for path, one in zip(paths, cycle(more), strict=False)]
    )
    port, start, used = urlsplit(url).port or 80, perf_counter(), process_time()

    async def drive() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answered = 0
        while perf_counter() < start + seconds:
            writer.write(next(requests))
            await answer(reader)
            answered += 1
        writer.close()
        return answered

    answered = sum(await asyncio.gather(*(drive() for _ in range(connections))))
    return Load(answered, perf_counter() - start, process_time() - used)


async def answer(reader: asyncio.StreamReader) -> None:
    """Read one answer to its end."""
    head = await reader.readuntil(b"\r\n\r\n")
    at = head.lower().find(b"content-length:")
    if at >= 0:
        await reader.readexactly(int(head[at + 15 :].split(b"\r\n")[0]))
