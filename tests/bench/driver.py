"""Asks a server for many paths as fast as it answers: with wrk where it is installed, else with a driver in Python."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

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
local requests, number, fields = {}, 0, {FIELDS}
for path in io.lines(os.getenv("PATHS")) do requests[#requests + 1] = wrk.format("GET", path, fields) end
function request() number = number % #requests + 1; return requests[number] end
""".replace("FIELDS", ", ".join(f'["{name}"]="{value}"' for name, value in FIELDS.items()))


def name() -> str:
    """What drives."""
    return "wrk" if shutil.which("wrk") else "a driver in Python, which is the slower side: install wrk"


def rate(url: str, paths: Sequence[str], seconds: int = 1) -> float:
    """Answers per second, over keep-alive connections, to requests for PATHS one after the other, round and round."""
    return _wrk(url, paths, seconds) if shutil.which("wrk") else asyncio.run(_asked(url, paths, seconds))


def _wrk(url: str, paths: Sequence[str], seconds: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        script, listed = Path(folder) / "script.lua", Path(folder) / "paths"
        script.write_text(SCRIPT)
        listed.write_text("\n".join(paths) + "\n")
        done = subprocess.run(
            ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), url],
            env={**os.environ, "PATHS": str(listed)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert "Socket errors" not in done.stdout, done.stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


async def _asked(url: str, paths: Sequence[str], seconds: int) -> float:
    fields = "".join(f"{name}: {value}\r\n" for name, value in FIELDS.items())
    requests = cycle([f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode() for path in paths])
    port, start = urlsplit(url).port or 80, perf_counter()

    async def drive() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answered = 0
        while perf_counter() < start + seconds:
            writer.write(next(requests))
            await answer(reader)
            answered += 1
        writer.close()
        return answered

    answered = sum(await asyncio.gather(*(drive() for _ in range(CONNECTIONS))))
    return answered / (perf_counter() - start)


async def answer(reader: asyncio.StreamReader) -> None:
    """Read one answer to its end."""
    head = await reader.readuntil(b"\r\n\r\n")
    at = head.lower().find(b"content-length:")
    if at >= 0:
        await reader.readexactly(int(head[at + 15 :].split(b"\r\n")[0]))
