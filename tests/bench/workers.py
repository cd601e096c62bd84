"""Workers: requests per second of two processes against one, and how long commits of four processes wait.

One worker uses more than a core where it finds one: its writer's thread runs SQLite beside Python. So on a machine of
few cores two workers and their driver soon find no more, and the ratio tells the size of the machine. What the software
does is told by the same with each worker kept to a core of its own, most of all where the driver keeps to the workers'
cores, too: then two have twice of everything; and by the processor time that a hit takes.
One and two take turns, each hit asks for an event that is new, and the median of the rounds' ratios counts.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench.driver import Load, load, name, processor_seconds, until_idle
from tests.bench.hits import MANY, spread
from tests.bench.paced import slowest, times
from tests.bench.verdict import unmeasured
from tests.harness import Installation
from tests.traffic import Copy, send
from tracker.store.engine import make_private_file

ROUNDS = 3
"""One worker and two have their turns so often."""
PART = 34_000
"""Copies that each turn asks for, which lasts a second: no other asks for them."""
RATE_AIM, COST_AIM = ">= 1.5", "<= 1.1"
KINDS: dict[str, Callable[[Copy], str]] = {"pixel": lambda copy: copy.pixel, "redirect": lambda copy: copy.link}
PACE = 0.001
"""Seconds between two hits whose commits are waited for: 86 million a day."""
PACED = 5_000
"""Hits."""
LANES = 64
"""Connections."""
COMMIT_ROUNDS = 3
COMMIT_SECONDS = 2.0


class Place(NamedTuple):
    """Where workers and their driver run."""

    words: str
    kept: bool = False
    """Each worker has a core, and no other."""
    together: bool = False
    """The driver has the workers' cores, and no other."""


PLACES = (
    Place(""),
    Place(", each worker kept to a core of its own", kept=True),
    Place(", each worker kept to a core and the driver to theirs", kept=True, together=True),
)


class Turn(NamedTuple):
    """What a server did for its driver."""

    load: Load
    busy: float
    """Seconds of the server's processor time meanwhile."""
    new: int
    """Events that were not there before."""

    @property
    def cores(self) -> float:
        """How many the server was busy on."""
        return self.busy / self.load.seconds

    @property
    def cost(self) -> float:
        """Seconds of the server's processor time for each hit."""
        return self.busy / self.load.answers


@dataclass(frozen=True)
class Comparison:
    """One worker and two, asked for the same in the same place."""

    what: str
    place: Place
    turns: dict[int, list[Turn]] = field(default_factory=lambda: {1: [], 2: []})
    """By the number of workers."""

    def rates(self, cores: int) -> tuple[str, ...]:
        """The row of the hits per second, where two workers and their driver have so many CORES."""
        one, two = (f"{self._server(n):.2f} and {self._driver(n):.2f}" for n in (1, 2))
        # Where one worker and its driver leave little of the machine idle, two cannot do much more.
        room = min(2.0, cores / (self._server(1) + self._driver(1)))
        took = f"server and driver took {one} cores with one, {two} with two: room for {room:.1f} times"
        new = " and ".join(f"{self._new(n):.0%}" for n in (1, 2))
        ratio = self._ratio(lambda turn: turn.load.rate)
        return f"{self.what}{self.place.words}; {took}; {new} new events", ratio, "one worker", RATE_AIM

    def costs(self) -> tuple[str, ...]:
        """The row of the processor time: where it does not rise, a second core does as much as the first."""
        one, two = (f"{self._median(n, lambda turn: turn.cost) * 1e6:.0f} us" for n in (1, 2))
        what = f"{self.what}{self.place.words}; processor time for each hit, {two}"
        return what, self._ratio(lambda turn: turn.cost), f"one worker's {one}", COST_AIM

    def _server(self, workers: int) -> float:
        return self._median(workers, lambda turn: turn.cores)

    def _driver(self, workers: int) -> float:
        return self._median(workers, lambda turn: turn.load.processor_seconds / turn.load.seconds)

    def _new(self, workers: int) -> float:
        """The share of the hits that were events of their own; wrk does not count the last few of its hits."""
        turns = self.turns[workers]
        return min(1.0, sum(turn.new for turn in turns) / sum(turn.load.answers for turn in turns))

    def _median(self, workers: int, figure: Callable[[Turn], float]) -> float:
        return median(map(figure, self.turns[workers]))

    def _ratio(self, figure: Callable[[Turn], float]) -> str:
        pairs = zip(self.turns[1], self.turns[2], strict=True)
        return spread([figure(two) / figure(one) for one, two in pairs])


def table() -> list[tuple[str, ...]]:
    """The rows: what, ratio or milliseconds, yardstick, aim."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_workers(Path(folder)), *_waits(Path(folder)), _recorded(Path(folder))]


def _workers(folder: Path) -> list[tuple[str, ...]]:
    tracker = Installation.made(folder / "tracker")
    with tracker:
        assert tracker.grant("bench@example.org").status == 201
    cores = os.sched_getaffinity(0)
    places = [place for place in PLACES if len(cores) > 1 or not place.kept]
    fresh = iter(send(tracker, ROUNDS * 2 * len(places) * PART))
    comparisons = [Comparison(what, place) for place in places for what in KINDS]
    for _ in range(ROUNDS):
        for workers in (1, 2):
            tracker.start(workers)
            until_idle(tracker.processes)
            for place in places:
                driver = _driven_from(place, _keep(tracker, workers, cores), cores) if place.kept else cores
                copies = list(islice(fresh, PART))
                for one in comparisons:
                    if one.place is place:
                        one.turns[workers].append(_turn(tracker, driver, [KINDS[one.what](copy) for copy in copies]))
            tracker.stop()
    on = f"{MANY} connections, {len(cores)} cores for server and driver ({name()})"
    rows: list[tuple[str, ...]] = [("hits per second of two workers, " + on, "", "one worker", "")]
    rows += [one.rates(2 if one.place.together else len(cores)) for one in comparisons]
    why, left = unmeasured("one core"), [place for place in PLACES if place not in places]
    for place in left:
        rows += [(what + place.words, why, "one worker", RATE_AIM) for what in KINDS]
        if place.together:
            rows += [(f"{what}{place.words}; processor time", why, "one worker", COST_AIM) for what in KINDS]
    return rows + [one.costs() for one in comparisons if one.place.together]


def _keep(tracker: Installation, workers: int, cores: Collection[int]) -> Collection[int]:
    """Keep each worker to one of CORES; those that they have."""
    _, *children = tracker.processes
    assert len(children) == workers
    theirs = sorted(cores)[:workers]
    for process, core in zip(children, theirs, strict=True):
        for thread in Path(f"/proc/{process}/task").iterdir():  # those that it starts later stay there, too
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), [core])
    return theirs


def _driven_from(place: Place, workers: Collection[int], cores: Collection[int]) -> Collection[int]:
    """The cores of the driver: those of the WORKERS, or what they leave of CORES, and where that is nothing, all."""
    return workers if place.together else set(cores).difference(workers) or cores


def _turn(tracker: Installation, driver: Collection[int], paths: Sequence[str]) -> Turn:
    """A second of hits at PATHS, with the driver on such cores."""
    before, used = _events(tracker), processor_seconds(tracker.processes)
    with _on(driver):
        done = load(tracker.public_url, paths, 1, connections=MANY)
    busy = processor_seconds(tracker.processes) - used
    tracker.until_written()  # what was answered before its commit
    until_idle(tracker.processes)
    return Turn(done, busy, _events(tracker) - before)


@contextmanager
def _on(cores: Collection[int]) -> Iterator[None]:
    """What is started meanwhile runs on CORES alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _events(tracker: Installation) -> int:
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as database:
        (count,) = database.execute("SELECT count(*) FROM events").fetchone()
    return int(count)


def _waits(folder: Path) -> Iterator[tuple[str, ...]]:
    """How long commits of four processes take, beside those of one alone in turns with them."""
    path = folder / "commits.db"
    make_private_file(path)
    for how, pause in (("without a pause", 0.0), ("every 3 ms", 0.003)):
        slowest: dict[int, list[float]] = {1: [], 4: []}
        for _ in range(COMMIT_ROUNDS):
            for writers, found in slowest.items():
                waits = sorted(_commits(path, writers, pause))
                found.append(waits[len(waits) * 99 // 100])
        alone, four = (f"{median(slowest[n]):.1f} ms" for n in (1, 4))
        yield f"p99 of commits, four processes that write {how}", four, f"one that does ({alone})", "<= 20 ms"


def _commits(path: Path, writers: int, pause: float) -> Iterator[float]:
    """The milliseconds that each commit took while so many processes wrote, each with PAUSE seconds in between."""
    command = [sys.executable, "-m", "tests.store.writer", str(path), str(COMMIT_SECONDS), str(pause)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(writers)
    ]
    for one in processes:
        assert one.stdout is not None
        one.stdout.readline()
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    return (float(word) for one in processes for word in one.communicate()[0].split())


def _recorded(folder: Path) -> tuple[str, ...]:
    """How long hits wait for their commit where four workers take turns to write groups of them."""
    tracker = Installation.made(folder / "paced")
    with tracker:
        assert tracker.grant("bench@example.org").status == 201
    links = [tracker.public_url + copy.link for copy in send(tracker, 2 * PACED)]
    slow = {}
    for workers, part in ((1, links[:PACED]), (4, links[PACED:])):
        tracker.start(workers)
        until_idle(tracker.processes)
        slow[workers] = slowest(times(part, PACE, LANES)) * 1000
        tracker.until_written()
        tracker.stop()
    assert _events(tracker) == 2 * PACED
    what = f"p99 of redirects, each with its commit, {1 / PACE:.0f} a second, four workers"
    return what, f"{slow[4]:.1f} ms", f"one worker ({slow[1]:.1f} ms)", "<= 20 ms"
