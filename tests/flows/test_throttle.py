"""Whoever tries and fails waits ever longer; whoever is right does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.tries import SIZE, Tries
from tracker.flows.throttle import FORGET, LONGEST, Throttle, network_of
from tracker.model import TooManyAttempts

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def fresh() -> Tries:
    return Tries.alone(b"k" * 32)


def rests(one: Throttle, name: str, now: datetime) -> bool:
    try:
        one.begin(name, now)
    except TooManyAttempts:
        return True
    one.take_back(name)
    return False


@given(st.lists(st.integers(0, 7_200), max_size=60), st.integers(1, 10))
def test_the_pause_after_a_failure_is_the_one_that_its_count_asks_for(gaps: list[int], free: int) -> None:
    one, now, count, last = Throttle(fresh(), free), NOW, 0, NOW
    for gap in gaps:
        now += timedelta(seconds=gap)
        pause = 0 if count < free else min(2 ** min(count - free, 20), LONGEST.total_seconds())
        if count and (now - last).total_seconds() < pause:
            with pytest.raises(TooManyAttempts):
                one.begin("x", now)
        else:
            one.begin("x", now)
            count, last = count + 1, now


def test_names_do_not_hinder_one_another() -> None:
    one = Throttle(fresh(), 1)
    one.begin("a", NOW)
    assert rests(one, "a", NOW)
    assert not rests(one, "b", NOW)


def test_who_is_right_begins_anew() -> None:
    one = Throttle(fresh(), 2)
    for _ in range(2):
        one.begin("a", NOW)
    assert rests(one, "a", NOW)
    one.forget("a")
    assert not rests(one, "a", NOW)


def test_a_hundred_failures_rest_for_a_day() -> None:
    """NIST SP 800-63B-4 section 3.2.2."""
    one, now = Throttle(fresh(), 5, most=100), NOW
    for _ in range(100):
        one.begin("a", now)
        now += LONGEST
    assert rests(one, "a", now)
    assert not rests(one, "a", now + FORGET)


def test_what_is_long_ago_is_forgotten() -> None:
    one = Throttle(fresh(), 1)
    one.begin("a", NOW)
    one.begin("a", NOW + FORGET)
    assert rests(one, "a", NOW + FORGET)


def test_two_throttles_count_together_where_they_share_the_memory() -> None:
    memory = bytearray(SIZE)
    one, other = (Throttle(Tries(memory), 3) for _ in range(2))
    for turn in (one, other, one):
        turn.begin("a", NOW)
    assert rests(one, "a", NOW)
    assert rests(other, "a", NOW)
    other.forget("a")
    assert not rests(one, "a", NOW)


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("", "-"),
        ("nonsense", "-"),
    ],
)
def test_a_household_is_one(peer: str, network: str) -> None:
    assert network_of(peer) == network
