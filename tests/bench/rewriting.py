"""Rewriting: plan and render against the standard library's parser, a further recipient against a memory copy.

The plan is the whole way from the bytes: survey, signed links, layout. Each figure and its yardstick are measured in
turns, since other work on the machine disturbs both.
"""

from __future__ import annotations

import email
import email.policy
import gc
import importlib
import importlib.util
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from time import perf_counter

from tests.bench.messages import Sample, html_of, of_size, samples
from tests.bench.verdict import unmeasured
from tracker.core.keys import KeyRing, SigningKey
from tracker.core.layout import Plan, PlanUrls, lay_out, render
from tracker.core.notice import NoticeTexts
from tracker.core.survey import Survey, SurveyPolicy, survey
from tracker.core.tokens import DeliveryToken, Tokens
from tracker.model import MAIL_PURPOSES, Day, DeliveryId, Language, Pseudonym

PUBLIC = "https://t.example.com"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PLAN = b"plan!"


class Rewriter:
    """The core without store and doors, as flows/send uses it."""

    def __init__(self) -> None:
        ring = KeyRing((b"p" * 32,), b"l" * 32, (SigningKey("A", b"s" * 32, NOW),))
        self._tokens = Tokens(ring)

    def plan(self, message: bytes) -> Plan:
        """Survey and lay out."""
        found = survey(message, SurveyPolicy((PUBLIC,)))
        assert isinstance(found, Survey)
        targets = dict.fromkeys(link.target for link in found.links)
        parts = {target: self._tokens.sign_link("A", PLAN, target) for target in targets}
        plan = lay_out(found, MAIL_PURPOSES, NoticeTexts(Language.DE), PlanUrls(PUBLIC.encode(), parts))
        assert plan is not None
        return plan

    def copy(self, plan: Plan, number: int) -> bytes:
        """One recipient's copy: two tokens and a join."""
        token = DeliveryToken(
            Day(20_000), DeliveryId(number.to_bytes(16, "big")), PLAN, b"digest", int(NOW.timestamp()), "A"
        )
        stop = self._tokens.seal_stop(Pseudonym(b"q" * 32), Language.DE, number.to_bytes(12, "big"), "A")
        return render(plan, self._tokens.sign_delivery(token), stop)

    def added_to_a_link(self) -> int:
        """Characters that tracking adds to a link with a target of 80."""
        target = "https://shop.example.com/" + "a" * 55
        part = self._tokens.sign_link("A", PLAN, target)
        return len(f"{PUBLIC}/c/") + 66 + 1 + len(part.part) + 1 + len(part.host) + 1 - len(target)


def table() -> list[tuple[str, ...]]:
    """The rows: what, ratio, yardstick, aim."""
    rewriter = Rewriter()
    rows: list[tuple[str, ...]] = []
    for sample in samples():
        rows += _rows(rewriter, sample)
    rows += _by_size(rewriter)
    rows.append(("added to an 80-character target", f"{rewriter.added_to_a_link()} characters", "the target", "<= 150"))
    return rows


def _rows(rewriter: Rewriter, sample: Sample) -> list[tuple[str, ...]]:
    message, name = sample.message, sample.name
    plan = rewriter.plan(message)
    work: list[Callable[[], object]] = [
        lambda: rewriter.copy(rewriter.plan(message), 1),
        lambda: email.message_from_bytes(message, policy=email.policy.compat32).as_bytes(),
        lambda: rewriter.copy(plan, 2),
        lambda: bytes(memoryview(message)),
    ]
    peer = _peer(html_of(sample))
    first, parsed, further, copied, *adapted = in_turns(work if peer is None else [*work, peer])
    theirs = f"{first / adapted[0]:.2f}" if adapted else unmeasured("no pytracking")
    return [
        (f"plan + render, {name}", f"{first / parsed:.2f}", "email parse + as_bytes", "<= 0.35"),
        (f"plan + render, {name}", theirs, "pytracking, HTML alone", "<= 0.5"),
        (
            f"further recipient, {name}",
            f"1/{first / further:.0f}",
            "plan + render",
            sample.further and "<= " + sample.further,
        ),
        (
            f"further recipient, {name}",
            f"{further / copied:.1f}",
            "one memory copy",
            sample.copies and "<= " + sample.copies,
        ),
        (f"peak memory, {name}", f"{_peak(rewriter, message) / len(message):.1f}", "size of the message", "<= 4"),
    ]


def _by_size(rewriter: Rewriter) -> list[tuple[str, ...]]:
    """Time for each kB of long newsletters; and the memory that the longest takes."""
    messages = [of_size(size) for size in (100_000, 1_000_000, 10_000_000)]
    times = in_turns([partial(_first_copy, rewriter, message) for message in messages])
    rates = [time / len(message) for time, message in zip(times, messages, strict=True)]
    longest = messages[-1]
    return [
        ("time for each kB, 1 MB", f"{rates[1] / rates[0]:.2f}", "that at 100 kB", "0.75 to 1.25"),
        ("time for each kB, 10 MB", f"{rates[2] / rates[0]:.2f}", "that at 100 kB", "0.75 to 1.25"),
        (
            "peak memory, 10 MB newsletter",
            f"{_peak(rewriter, longest) / len(longest):.1f}",
            "size of the message",
            "<= 4",
        ),
    ]


def _first_copy(rewriter: Rewriter, message: bytes) -> bytes:
    return rewriter.copy(rewriter.plan(message), 1)


def _peak(rewriter: Rewriter, message: bytes) -> int:
    """Octets that plan and render take beside MESSAGE, at most; the finished copy among them."""
    gc.collect()
    tracemalloc.start()
    try:
        _first_copy(rewriter, message)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _peer(html: str) -> Callable[[], object] | None:
    """What pytracking does with HTML, where it is installed (the `bench` extra)."""
    if importlib.util.find_spec("pytracking") is None or importlib.util.find_spec("lxml") is None:
        return None
    adapt = importlib.import_module("pytracking.html").adapt_html
    urls = {"base_open_tracking_url": f"{PUBLIC}/o/", "base_click_tracking_url": f"{PUBLIC}/c/"}
    return partial(adapt, html, {"id": 1}, **urls)


def in_turns(works: list[Callable[[], object]], turns: int = 3, seconds: float = 0.15) -> list[float]:
    """The shortest time of each of WORKS in seconds."""
    rounds = [[best(work, seconds) for work in works] for _ in range(turns)]
    return [min(times) for times in zip(*rounds, strict=True)]


def best(work: Callable[[], object], seconds: float = 0.6) -> float:
    """The shortest time of WORK in seconds, over many runs."""
    gc.disable()
    try:
        shortest, until = float("inf"), perf_counter() + seconds
        while perf_counter() < until:
            start = perf_counter()
            work()
            shortest = min(shortest, perf_counter() - start)
        return shortest
    finally:
        gc.enable()
