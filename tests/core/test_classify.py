"""Who made a hit: HEAD and prefetch never count, and the order of the rules means nothing."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from tracker.core import classify as module
from tracker.core.classify import RULES, classify
from tracker.model import Agent, Hit

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"


def hit(method: str = "GET", **headers: str) -> Hit:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Hit(method, named, "192.0.2.1", datetime(2026, 11, 23, 12, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    "uncounted",
    [
        hit("HEAD", user_agent=FIREFOX),
        hit("OPTIONS", user_agent=FIREFOX),
        hit(user_agent=FIREFOX, sec_purpose="prefetch"),
        hit(user_agent=FIREFOX, sec_purpose="prefetch;anonymous-client-ip"),
        hit(user_agent=FIREFOX, purpose="prefetch"),
        hit(user_agent=FIREFOX, x_moz="prefetch"),
        hit(user_agent=FIREFOX, sec_gpc="1"),
    ],
)
def test_head_prefetch_and_privacy_control_are_never_counted(uncounted: Hit) -> None:
    assert classify(uncounted) is None


@pytest.mark.parametrize("value", ["0", "1, 1", " 1", "true", ""])
def test_only_exactly_one_is_a_privacy_signal(value: str) -> None:
    """R38: exactly 1."""
    assert classify(hit(user_agent=FIREFOX, sec_gpc=value)) is Agent.HUMAN


@pytest.mark.parametrize(
    ("user_agent", "agent"),
    [
        (FIREFOX, Agent.HUMAN),
        ("", Agent.HUMAN),
        (GMAIL, Agent.PROXY),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Agent.MACHINE),
        ("Barracuda Sentinel (EE)", Agent.MACHINE),
    ],
)
def test_agents_are_told_by_what_they_say_of_themselves(user_agent: str, agent: Agent) -> None:
    """R36: scanners, and the proxies of mail services."""
    assert classify(hit(user_agent=user_agent)) is agent


def test_shuffling_the_table_changes_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    names = (FIREFOX, GMAIL, "bot", "GoogleImageProxy bot")
    hits = [hit(user_agent=name, **more) for name in names for more in ({}, {"x_moz": "prefetch"})]
    expected = [classify(one) for one in hits]
    for seed in range(20):
        shuffled = random.Random(seed).sample(RULES, len(RULES))
        monkeypatch.setattr(module, "RULES", tuple(shuffled))
        assert [classify(one) for one in hits] == expected
