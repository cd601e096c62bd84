"""How often a name was tried is remembered in little memory, under no name, and not washed away by other names."""

from __future__ import annotations

import pytest

from tracker.core.tries import BUCKETS, DEPTH, KEY_SIZE, LONG, SIZE, Tried, Tries

KEY = b"k" * KEY_SIZE


def test_what_was_remembered_is_there_until_it_is_forgotten() -> None:
    tries = Tries.alone(KEY)
    assert tries.of("rita") is None
    tries.remember("rita", Tried(3, 17.5))
    tries.remember("mark", Tried(1, 18.5))
    tries.remember("rita", Tried(4, 19.5))
    assert (tries.of("rita"), tries.of("mark")) == (Tried(4, 19.5), Tried(1, 18.5))
    tries.forget("rita")
    assert (tries.of("rita"), tries.of("mark")) == (None, Tried(1, 18.5))
    tries.forget("nobody")


def test_a_name_that_was_tried_often_outlives_any_number_of_others() -> None:
    tries = Tries.alone(KEY)
    tries.remember("rita", Tried(6, 0.0))
    for number in range(2 * BUCKETS * DEPTH):
        tries.remember(f"somebody {number}", Tried(1, float(number)))
    assert tries.of("rita") == Tried(6, 0.0)
    assert tries.of(f"somebody {number}") == Tried(1, float(number)), "the newest is there, too"


def test_what_was_tried_long_ago_takes_nobodys_room() -> None:
    tries = Tries.alone(KEY)
    for number in range(4 * BUCKETS * DEPTH):
        tries.remember(f"old {number}", Tried(90, 0.0))
    names = [f"new {number}" for number in range(BUCKETS)]
    for name in names:
        tries.remember(name, Tried(1, LONG))
    assert all(tries.of(name) for name in names)


def test_of_names_tried_as_often_the_one_of_longest_ago_goes() -> None:
    tries = Tries.alone(KEY)
    names = [f"somebody {number}" for number in range(BUCKETS * DEPTH)]
    for number, name in enumerate(names):
        tries.remember(name, Tried(1, float(number + 1)))
    kept = [tries.of(name) is not None for name in names]
    assert 0.8 < sum(kept) / len(kept) < 1
    oldest, newest = kept[: len(kept) // 4], kept[-len(kept) // 4 :]
    assert sum(oldest) < sum(newest)
    assert sum(newest) > 0.99 * len(newest)


def test_neither_names_nor_addresses_stand_in_the_memory() -> None:
    """Promise 7: nor can a digest be looked up by who does not have the key of this memory."""
    memory = bytearray(KEY.ljust(SIZE, b"\0"))
    tries = Tries(memory)
    names = ("network 192.0.2.77", "password rita@example.com")
    for name in names:
        tries.remember(name, Tried(1, 1.0))
    for name in (*names, "192.0.2.77", "rita"):
        assert name.encode() not in memory
    other = Tries(bytearray((b"o" * KEY_SIZE).ljust(SIZE, b"\0")))
    assert other._tag(names[0]) != tries._tag(names[0])


def test_any_name_can_be_remembered() -> None:
    tries = Tries.alone(KEY)
    for name in ("", "\ud800", "ü" * 10_000):
        tries.remember(name, Tried(2**32 - 1, -1.0))
        assert tries.of(name) == Tried(2**32 - 1, -1.0)


def test_a_memory_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        Tries(bytearray(SIZE - 1))
