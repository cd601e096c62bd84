"""Prints how well agents are told apart: the cases of tests/data/agents, by what they are and what they are taken for.

Each file there holds the cases of one rule of `core/classify`, under the rule's name, or of none (people, and what no
rule can know). A case says what it is in truth and where that is known from; where we misjudge it also our verdict and
why. `real = false`: a user agent that nobody published as seen. bursts.toml holds whole series of hits.
"""

from __future__ import annotations

import sys
import textwrap
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from timeit import repeat

from tests.harness import BROWSER
from tracker.core.agents import ORDINARY
from tracker.core.bursts import Bursts
from tracker.core.calendar import hour_of
from tracker.core.classify import classify
from tracker.core.keys import KeyRing, SigningKey
from tracker.core.tokens import DeliveryToken, Tokens
from tracker.model import Agent, Day, DeliveryId, Hit, LinkNumber, Purpose

FOLDER = Path(__file__).parent / "data" / "agents"
SERIES = "bursts"
WORDS = ("human", "proxy", "machine", "none")
NOW = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)
NAMES: Mapping[Agent | None, str] = {
    Agent.HUMAN: "human", Agent.PROXY: "proxy", Agent.MACHINE: "machine", None: "none",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One hit, what made it, and what we take that for."""

    file: str
    name: str
    truth: str
    source: str
    user_agent: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    purpose: str = "open"
    peer: str = "192.0.2.77"
    seconds: float = 3_600
    real: bool = True
    verdict: str = ""
    """When it is not the truth."""
    why: str = ""

    @property
    def expected(self) -> str:
        """What we say."""
        return self.verdict or self.truth

    @property
    def situation(self) -> tuple[Hit, Purpose, float]:
        """What `classify` is asked."""
        named = dict(self.headers) if self.user_agent is None else {"user-agent": self.user_agent, **self.headers}
        hit = Hit(self.method, named, self.peer, NOW)
        return hit, Purpose(self.purpose), self.seconds

    def told(self) -> str:
        """What `classify` says."""
        return NAMES[classify(*self.situation).agent]


@dataclass(frozen=True)
class Series:
    """Hits on links of one copy by a browser, as (second after the token's issue, link)."""

    name: str
    truth: str
    source: str
    hits: tuple[tuple[float, int], ...]
    verdict: str = ""
    why: str = ""

    @property
    def expected(self) -> str:
        """What we say of the hour."""
        return self.verdict or self.truth

    def told(self, workers: int = 4) -> str:
        """What becomes of the last hit when WORKERS share the hits in turn."""
        all_bursts = Bursts.of_workers(workers)
        delivery = DeliveryId(b"d" * 16)
        for number, (second, link) in enumerate(self.hits):
            hit = Hit("GET", {"user-agent": BROWSER}, "192.0.2.77", NOW + timedelta(seconds=second))
            verdict = classify(hit, Purpose.CLICK, second)
            assert verdict.like_a_person
            soon = verdict.agent is Agent.MACHINE
            all_bursts[number % workers].followed(delivery, LinkNumber(link), hit.at.timestamp(), soon=soon)
        return "machine" if soon or all_bursts[0].struck(delivery, hour_of(hit.at)) else "human"


def cases(folder: Path = FOLDER) -> Iterator[Case]:
    """All cases, by file."""
    for path in sorted(folder.glob("*.toml")):
        if path.stem != SERIES:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
            always = {name: found[name] for name in ("source", "truth", "verdict") if name in found}
            for case in found["case"]:
                yield Case(file=path.stem, **{**always, **case})


def series(folder: Path = FOLDER) -> Iterator[Series]:
    """All series of hits."""
    for one in tomllib.loads((folder / f"{SERIES}.toml").read_text(encoding="utf-8"))["series"]:
        yield Series(**{**one, "hits": tuple((second, link) for second, link in one["hits"])})


def everything() -> list[Case | Series]:
    """All that the table counts."""
    return [*cases(), *series()]


def confusion() -> Counter[tuple[str, str]]:
    """How many cases and series of each truth got each verdict."""
    return Counter((one.truth, one.told()) for one in everything())


def misjudged() -> list[Case | Series]:
    """Those that are taken for something else than they are."""
    return [one for one in everything() if one.told() != one.truth]


def main() -> int:
    """Print the table and what is misjudged; 1 when a verdict is another than its file says."""
    counts = confusion()
    agents = {case.user_agent for case in cases() if case.real and case.user_agent}
    print(f"{len(everything())} cases, {len(agents)} different real user agents\n")
    print(f"{'in truth':<12}" + "".join(f"{word:>10}" for word in WORDS) + "   <- told as")
    for truth in WORDS:
        print(f"{truth:<12}" + "".join(f"{counts[truth, word] or '.':>10}" for word in WORDS))
    _print_time()
    print("\nMisjudged")
    for one in misjudged():
        text = f"{one.truth} told as {one.told()}: {one.name} ({one.why})"
        print(textwrap.fill(text, 118, initial_indent="  ", subsequent_indent="      "))
    wrong = [one for one in everything() if one.told() != one.expected]
    for one in wrong:
        print(f"NOT AS EXPECTED: {one.name}: {one.told()} instead of {one.expected}")
    return 1 if wrong else 0


def _print_time() -> None:
    """What `classify` costs, beside the reading of a delivery token, which comes before it on every hit."""
    people = [case.situation for case in cases() if ORDINARY.fullmatch(case.user_agent or "")]
    everybody = [case.situation for case in cases()]
    tokens = Tokens(KeyRing((b"p" * 32,), b"l" * 32, (SigningKey("A", b"s" * 32, NOW),)))
    token = tokens.sign_delivery(
        DeliveryToken(Day(20_000), DeliveryId(bytes(16)), bytes(5), bytes(6), int(NOW.timestamp()), "A")
    )
    print(
        f"\nclassify takes {_microseconds(classify, people):.1f} us for an ordinary browser, "
        f"{_microseconds(classify, everybody):.1f} us over all cases; "
        f"reading the token {_microseconds(tokens.read_delivery, [(token,)] * 50):.1f} us"
    )


def _microseconds(work: Callable[..., object], inputs: Sequence[tuple[object, ...]]) -> float:
    def run() -> None:
        for given in inputs:
            work(*given)

    return min(repeat(run, number=20, repeat=10)) / 20 / len(inputs) * 1e6


if __name__ == "__main__":
    sys.exit(main())
