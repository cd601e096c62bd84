"""Rewriting: plan and render against the standard library's parser, a further recipient against a memory copy."""

from __future__ import annotations

import email
import email.policy
import gc
from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter

from tests.bench.messages import Sample, samples
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
        parts = {link.target: self._tokens.sign_link("A", PLAN, link.target) for link in found.links}
        plan = lay_out(found, MAIL_PURPOSES, NoticeTexts(Language.DE), PlanUrls(PUBLIC.encode(), parts))
        assert plan is not None
        return plan

    def copy(self, plan: Plan, number: int) -> bytes:
        """One recipient's copy: two tokens and a join."""
        token = DeliveryToken(Day(20_000), DeliveryId(number.to_bytes(16, "big")), PLAN, b"digest", NOW, "A")
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
    rows.append(("added to an 80-character target", f"{rewriter.added_to_a_link()} characters", "the target", "<= 150"))
    return rows


def _rows(rewriter: Rewriter, sample: Sample) -> list[tuple[str, ...]]:
    message = sample.message
    plan = rewriter.plan(message)
    first = best(lambda: rewriter.copy(rewriter.plan(message), 1))
    further = best(lambda: rewriter.copy(plan, 2))
    parsed = best(lambda: email.message_from_bytes(message, policy=email.policy.compat32).as_bytes())
    copied = best(lambda: bytes(bytearray(message)))
    return [
        (f"plan + render, {sample.name}", f"{first / parsed:.2f}", "email parse + as_bytes", "<= 0.35"),
        (f"further recipient, {sample.name}", f"1/{first / further:.0f}", "plan + render", "<= 1/50"),
        (f"further recipient, {sample.name}", f"{further / copied:.1f}", "one memory copy", "<= 12"),
    ]


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
