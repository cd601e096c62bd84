"""Lets everything happen at once for some minutes, and looks whether the counts are right and the memory is flat.

`make soak` (ten minutes on each database), `python -m tests.soak --database sqlite --seconds 60`. Mail goes out, is
opened and followed; people agree and take it back; figures are read, slow callers come and go, and days that have
passed are swept, some of whose sweeps are killed. In the end those days have gone, counted, and nothing else; no file
and no log holds an address. On PostgreSQL the server has two workers. Exit status 1 when anything was not as it must
be.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from tests.e2e import crowds
from tests.flatness import SHORT, Memory
from tests.harness import Installation, consent
from tests.soak_past import Past
from tests.soak_store import DATABASES, SoakStore, installed
from tracker.core.calendar import day_of

PEOPLE = 40
"""Who agree at the beginning; others join."""
OPENERS = 12
"""How many hits there are at a time."""
SLOW = 40
"""Callers who send an octet now and then."""
MOST_AWAY = 0.02
"""The part of the time in which a copy may find the store busy, with another process sweeping it. Copies are no
measure: of those that wait for a stall there is one of each sender, while nothing is tracked there are hundreds in a
second."""
STALLS = 4
"""Seconds, of however short a run: two writes may take two each on a machine that has much else to do."""
SWEEPS = 3
"""How many there are at most in the end: PostgreSQL's own cleaning may have a day in use."""
SWEEP_PATIENCE = 300
"""Seconds for each, on such a machine."""
TRACKED_PATH = re.compile(rb"http://127\.0\.0\.1:\d+(/[oc]/[^\"<>\s]+)")
STOP_PATH = re.compile(rb"http://127\.0\.0\.1:\d+(/privacy/[^\"<>\s]+)")
TRACES = re.compile(rb"person\d+@|jonas@|127\.0\.0\.77|rv:145\.0", re.IGNORECASE)
"""Of the people, of who writes to them, of their machines, and what their browser says of itself."""
WRITTEN = b"//example.org/newsletter"
"""Where people agreed, which is on record."""
TOKEN = re.compile(rb"/(?:[oc]|privacy)/[A-Za-z0-9_-]{20}")
CALLER = "127.0.0.77"
"""From which all of them come."""
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}


@dataclass
class Person:
    """Somebody, and all the tracked addresses in the mail they got."""

    address: str
    paths: list[str] = field(default_factory=list)
    copies: int = 0
    """How many of them were tracked."""
    stop: str = ""
    agreed: bool = True
    """Until they ask to be left alone."""
    gone: bool = False
    """They asked for it, and were told that it is so."""
    requested: set[str] = field(default_factory=set)


class Soak:
    """One run."""

    def __init__(self, tracker: Installation, store: SoakStore, past: Past, seconds: float, seed: int) -> None:
        self._tracker = tracker
        self._store = store
        self._past = past
        self._seconds = seconds
        self._random = random.Random(seed)
        self._numbers = itertools.count()
        self._people: list[Person] = []
        self._done = asyncio.Event()
        self._session: aiohttp.ClientSession
        self.counts: Counter[str] = Counter()
        self.away: set[int] = set()
        """The seconds in which a copy found the store away."""
        self.memory = Memory(seconds, len(tracker.processes))
        """Of all processes of the server."""
        self.faults: list[str] = []

    async def run(self) -> None:
        """Everything at once, until the time is over; `faults` says what was not as it must be."""
        limits = aiohttp.TCPConnector(limit=100, local_addr=(CALLER, 0))
        async with aiohttp.ClientSession(connector=limits, timeout=aiohttp.ClientTimeout(60)) as self._session:
            for _ in range(PEOPLE):
                await self._agree()
            parts: Sequence[Callable[[], Awaitable[None]]] = (
                *(self._send for _ in range(2)),
                *(self._open for _ in range(OPENERS)),
            )
            work = [asyncio.create_task(self._forever(part, 0.0)) for part in parts]
            work += [
                asyncio.create_task(self._forever(self._agree, 0.2)),
                asyncio.create_task(self._forever(self._withdraw, 0.5)),
                asyncio.create_task(self._forever(self._read_figures, 0.5)),
                asyncio.create_task(self._forever(self._sweep, max(3.0, self._seconds / 20))),
                asyncio.create_task(self._trickle()),
                asyncio.create_task(self._measure()),
            ]
            await asyncio.wait({asyncio.create_task(self._done.wait())}, timeout=self._seconds)
            self._done.set()
            for one in await asyncio.gather(*work, return_exceptions=True):
                if isinstance(one, BaseException):
                    self.faults.append(f"{type(one).__name__}: {one}")

    async def _forever(self, part: Callable[[], Awaitable[None]], pause: float) -> None:
        while not self._done.is_set():
            await part()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._done.wait(), pause)

    # --- what goes on ---

    async def _agree(self) -> None:
        person = Person(f"person{next(self._numbers)}@example.org")
        while True:
            status, _, _ = await self._ask("POST", "/v1/consents", json=consent(person.address))
            if status != 503:  # as a mail system would: nothing was recorded, so it comes again
                break
            self.counts["consents, put off"] += 1
            await asyncio.sleep(1)
        self._expect(status in (200, 201), f"a consent was answered {status}")
        self.counts["consents"] += 1
        self._people.append(person)

    async def _send(self) -> None:
        person = self._random.choice(self._people)
        gone = person.gone
        number = next(self._numbers)
        links = "".join(f'<a href="https://shop.example/{number % 50}/{link}">offer</a> ' for link in range(3))
        message = (
            f"From: jonas@werkstatt-nord.example\r\nTo: {person.address}\r\nSubject: offer {number % 50}\r\n"
            f"Message-ID: <{number}@werkstatt-nord.example>\r\nContent-Type: text/html\r\n\r\n<body>{links}</body>\r\n"
        ).encode()
        status, headers, body = await self._ask(
            "POST", "/v1/rewrite", data=message,
            headers={"Content-Type": "message/rfc822", "Tracker-Recipient": person.address, "Tracker-Copy": "single"},
        )  # fmt: skip
        said = headers.get("Tracker-Reason", headers.get("Tracker-Outcome", str(status)))
        self.counts[f"copies, {said}"] += 1
        self._expect(status == 200, f"a copy was answered {status}")
        if said != "tracked":
            self._expect(body == message, "an untouched copy differs")
            if said in ("store-unavailable", "error"):  # `error`: it took longer than senders wait
                self.away.add(int(time.monotonic()))
            else:
                self._expect(not person.agreed, f"who agreed got a copy that is {said}")
            return
        self._expect(not gone, "who had withdrawn got a tracked copy")
        person.copies += 1
        person.paths += [path.decode() for path in TRACKED_PATH.findall(body)]
        found = STOP_PATH.search(body)
        self._expect(found is not None, "a tracked copy has no way out")
        person.stop = found[1].decode() if found else ""

    async def _open(self) -> None:
        person = self._random.choice(self._people)
        if not person.paths:
            await asyncio.sleep(0)
            return
        path = self._random.choice(person.paths)
        url = self._tracker.public_url + path
        async with self._session.get(url, allow_redirects=False, headers=FIREFOX) as answer:
            await answer.read()
            self._expect(answer.status == (200 if path.startswith("/o/") else 302), f"a hit: {answer.status}")
        person.requested.add(path)
        self.counts["hits"] += 1

    async def _withdraw(self) -> None:
        leaving = [person for person in self._people if person.agreed and person.stop]
        if len(leaving) < PEOPLE // 4:
            return
        person = self._random.choice(leaving)
        url = f"{self._tracker.public_url}{person.stop}/withdraw"
        person.agreed = False
        async with self._session.post(url) as answer:
            self._expect(answer.status == 200, f"a withdrawal was answered {answer.status}")
        person.gone = True
        self.counts["withdrawals"] += 1

    async def _read_figures(self) -> None:
        status, _, _ = await self._ask("GET", "/v1/stats/messages")
        self._expect(status == 200, f"figures: {status}")
        status, _, _ = await self._ask("GET", "/metrics")
        self._expect(status == 200, f"metrics: {status}")
        self.counts["looks at figures"] += 1

    async def _sweep(self) -> None:
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tracker", "sweep", env=self._tracker.environment, cwd=self._tracker.folder.parent,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        ending = asyncio.create_task(program.communicate())
        over = asyncio.create_task(self._done.wait())
        await asyncio.wait((ending, over), return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        killed = not ending.done()
        if killed:
            with suppress(ProcessLookupError):
                program.kill()
        _, said = await ending
        busy = b"cannot be reached just now" in said or b"Another sweep" in said
        self.counts["sweeps" + (", killed" if killed else ", put off" if busy else "")] += 1
        self._expect(killed or busy or not program.returncode, f"a sweep failed: {said!r}")

    async def _trickle(self) -> None:
        """Slow callers at both doors, until each is hung up on or the time is over."""
        while not self._done.is_set():
            bases = (self._tracker.public_url, self._tracker.private_url)
            connections = [await crowds.connect(bases[number % 2]) for number in range(SLOW)]
            for _, writer in connections:
                writer.write(b"POST /v1/rewrite HTTP/1.1\r\nX: ")
            for _ in range(20):
                for _, writer in connections:
                    if not writer.is_closing():
                        writer.write(b"x")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._done.wait(), 0.5)
            for _, writer in connections:
                writer.transport.abort()
            self.counts["slow callers"] += SLOW

    async def _measure(self) -> None:
        begun = time.monotonic()
        while not self._done.is_set():
            octets = sum(map(crowds.memory_of, self._tracker.processes))
            self.memory.add(time.monotonic() - begun, self.counts["hits"], octets)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._done.wait(), 1.0)

    async def _ask(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: object
    ) -> tuple[int, dict[str, str], bytes]:
        named = {"Authorization": f"Bearer {self._tracker.key}", **(headers or {})}
        url = self._tracker.private_url + path
        async with self._session.request(method, url, headers=named, **more) as answer:  # type: ignore[arg-type]
            return answer.status, dict(answer.headers), await answer.read()

    def _expect(self, fine: bool, otherwise: str) -> None:
        if not fine:
            self.faults.append(otherwise)

    # --- what must be true at the end ---

    def check(self) -> None:
        """Look at what is stored, at the memory and at the log, and stop the server; adds to `faults`."""
        self._tracker.until_written()
        metrics = self._tracker.api("GET", "/metrics").body.decode()
        self._expect("\ntracker_events_dropped_total 0.0\n" in metrics, "events were dropped")
        self._expect(
            len(self.away) <= STALLS + MOST_AWAY * self._seconds,
            f"copies found the store away in {len(self.away)} s",
        )
        self.faults += self.memory.faults()
        self.faults += traces_in(self._store, self._tracker.log_file)
        self._expect(self._tracker.stop() == 0, "the server did not end as it should")
        self._check_log()
        self._check_rows()

    def _check_log(self) -> None:
        for line in self._tracker.log_file.read_text().splitlines():
            if "level=warning" in line:
                self.counts["log: " + line.partition('message="')[2].rpartition('"')[0][:80]] += 1
            if "level=error" in line or "level=critical" in line or "Traceback" in line:
                self.faults.append(line)

    def _check_rows(self) -> None:
        """Those of who agrees are there, of who withdrew none, nor of the past after sweeps that nobody disturbs."""
        with self._store.opened() as database:
            gone = self._past.gone(database)
        self.counts["events past their day, swept"] = gone
        # In a few seconds a sweep may not even have started, or met days that were in use each time it tried.
        self._expect(gone > 0 or self._seconds < SHORT, "no sweep deleted anything beside all else")
        for _ in range(SWEEPS):
            self._tracker.process("sweep", patience=SWEEP_PATIENCE)
            with self._store.opened() as database:
                faults = self._past.faults(database)
            if not faults:
                break
        self.faults += faults
        agreeing = [person for person in self._people if person.agreed]
        hits = sum(len(person.requested) for person in agreeing)
        copies = 2 * sum(person.copies for person in agreeing)
        with self._store.opened() as database:
            ((stored,),) = database.execute(
                "SELECT count(*) FROM (SELECT DISTINCT last_day, delivery, purpose, link FROM events) AS one"
            ).fetchall()
            ((tracked,),) = database.execute("SELECT count(*) FROM tracked").fetchall()
            ((silent,),) = database.execute("SELECT count(*) FROM suppressions WHERE purpose = 'o'").fetchall()
        self._expect(stored == hits, f"{hits} different hits of people who agreed, {stored} are stored")
        # More than that are there where a copy was registered, but too late for who waited for it.
        self._expect(tracked >= copies, f"copies to people who agreed are tracked {copies} times, {tracked} are stored")
        withdrew = len(self._people) - len(agreeing)
        self._expect(silent == withdrew, f"{withdrew} people withdrew, {silent} are on record")

    def table(self) -> str:
        """What happened, for people."""
        rows = {
            **{what: f"{number}" for what, number in sorted(self.counts.items())},
            "seconds with the store away": f"{len(self.away)}",
            **self.memory.table(),
        }
        return "\n".join(f"{what:34} {value}" for what, value in rows.items())


def traces_in(store: SoakStore, log_file: Path) -> list[str]:
    """Addresses and browsers in any file of the installation and of its database, and tokens in LOG_FILE."""
    found = []
    seen = False
    for path, octets in store.files():
        seen = seen or WRITTEN in octets
        traces = {match[0].lower() for match in TRACES.finditer(octets)}
        found += [f"{path.name} holds {trace!r}" for trace in sorted(traces)]
        if path == log_file and TOKEN.search(octets):
            found.append("the log holds a token")
    if not seen:
        found.append("what consents are proved by is in no file: the database is not among those that were looked at")
    return found


def soak(seconds: float, seed: int = 1, folder: Path | None = None, database: str = "sqlite") -> Soak:
    """A whole run on an installation of its own with a DATABASE of its own, in FOLDER."""
    with tempfile.TemporaryDirectory(prefix="tracker-soak-") as temporary:
        with installed(database, (folder or Path(temporary)) / "tracker") as (tracker, store):
            past = Past(seconds, day_of(datetime.now(UTC)))
            store.fill(past.filling)
            run = Soak(tracker, store, past, seconds, seed)
            asyncio.run(run.run())
            run.check()
        return run


def main() -> None:
    """Run for as long as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="for how long on each; default: ten minutes")
    parser.add_argument("--seed", type=int, default=1, help="of what happens when")
    parser.add_argument("--database", choices=DATABASES, action="append", help="default: one after the other")
    given = parser.parse_args()
    failed = False
    for database in given.database or DATABASES:
        run = soak(given.seconds, given.seed, database=database)
        print(f"{database}, {given.seconds:.0f} seconds\n{run.table()}\n", flush=True)
        for fault in run.faults[:20]:
            print(f"FAULT {fault}", file=sys.stderr)
        failed = failed or bool(run.faults)
    sys.exit(failed)


if __name__ == "__main__":
    main()
