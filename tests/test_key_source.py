"""A token made by one process is honoured by another that has not read the key file since; forged ones cost nothing."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tracker.core.ask import AskToken
from tracker.core.keys import KEY_IDS, KeyRing
from tracker.core.mailbox import ProofTokens
from tracker.core.pseudonym import pseudonym
from tracker.core.tokens import DeliveryToken, Tokens
from tracker.key_source import PAUSE, KeySource
from tracker.keyfile import KeyFile
from tracker.model import BadKeyFile, Day, DeliveryId, Language, Pseudonym, Purpose

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
ROTATED = NOW - timedelta(hours=2)
TARGET = "https://shop.example.com/a"
SHAPE = "A" * 44 + "." + "A" * 20
"""Of a delivery token after its key id."""


class Watched(KeyFile):
    """A key file that counts how often it was read."""

    reads = 0

    def load(self) -> KeyRing:
        self.reads += 1
        return super().load()


class Clock:
    """Seconds that pass when a test says so."""

    seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def file(tmp_path: Path) -> Watched:
    made = Watched(tmp_path / "tracker.keys")
    made.create(NOW - timedelta(days=1), secrets.token_bytes)
    return made


def delivery(tokens: Tokens) -> DeliveryToken:
    return DeliveryToken(
        Day(20_870), DeliveryId(b"d" * 16), b"plan1", b"digest", int(NOW.timestamp()), tokens.ring.signing_key(NOW).id
    )


def anna(tokens: Tokens) -> Pseudonym:
    return pseudonym(tokens.ring.pseudonym_keys, "anna@example.org")


def test_every_kind_of_token_is_honoured_right_after_a_rotation(file: Watched) -> None:
    """`here` read the file before the key was there, `there` after it."""
    for kind in ("delivery", "link", "stop", "ask", "mailbox"):
        here = KeySource(file)
        key = file.rotate(ROTATED, secrets.token_bytes)
        there = KeySource(file)()
        assert there.ring.signing_key(NOW).id == key.id
        assert here().ring.by_id(key.id) is None
        token = delivery(there)
        if kind == "delivery":
            assert here().read_delivery(there.sign_delivery(token)) == token
        elif kind == "link":
            part = there.sign_link(key.id, token.plan, TARGET)
            assert here().read_link(token, part.part.decode(), part.host.decode()) == TARGET
        elif kind == "stop":
            stop = there.seal_stop(anna(there), Language.DE, b"n" * 12, key.id).decode()
            opened = here().open_stop(stop)
            assert opened is not None
            assert opened.pseudonym == anna(there)
        elif kind == "ask":
            asked = AskToken(anna(there), frozenset({Purpose.OPEN}), Language.DE, NOW, "2026-1", mailed=True)
            read = here().open_ask(there.seal_ask(asked, b"n" * 12, key.id))
            assert read is not None
            assert read.pseudonym == anna(there)
        else:
            made = ProofTokens(there.ring, lambda one: one.mailbox).seal(anna(there), Language.DE, b"n" * 12, NOW)
            proven = ProofTokens(here().knowing(made[0]).ring, lambda one: one.mailbox).open(made, NOW)
            assert proven is not None
            assert proven.pseudonym == anna(there)


def test_one_request_may_go_on_with_the_tokens_it_began_with(file: Watched) -> None:
    here = KeySource(file)
    tokens = here()
    key = file.rotate(ROTATED, secrets.token_bytes)
    there = KeySource(file)()
    token = delivery(there)
    assert tokens.read_delivery(there.sign_delivery(token)) == token
    part = there.sign_link(key.id, token.plan, TARGET)
    assert tokens.read_link(token, part.part.decode(), part.host.decode()) == TARGET


def test_forged_key_ids_do_not_keep_us_reading_the_file(file: Watched) -> None:
    clock = Clock()
    source = KeySource(file, clock)
    forged = [key_id + SHAPE for key_id in (*KEY_IDS[1:], "é", "", "~")]
    before = file.reads
    for text in forged:
        assert source().read_delivery(text) is None
        assert source().open_stop(text) is None
    assert file.reads == before + 1
    clock.seconds += PAUSE
    assert [source().read_delivery(text) for text in forged] == [None] * len(forged)
    assert file.reads == before + 2


def test_a_known_key_never_makes_us_read_the_file(file: Watched) -> None:
    source = KeySource(file)
    before = file.reads
    assert source().read_delivery("A" + SHAPE) is None
    assert source().open_stop("A" * 84) is None
    assert file.reads == before


def test_a_file_that_cannot_be_read_is_trouble_and_no_error_for_who_holds_a_link(file: Watched) -> None:
    source = KeySource(file)
    file.path.chmod(0o644)
    assert source().read_delivery("B" + SHAPE) is None
    assert "others may read" in source.trouble


async def test_pseudonym_keys_are_only_taken_over_together_with_the_database(file: Watched) -> None:
    source = KeySource(file)
    old = source().ring
    file.wrap(secrets.token_bytes)
    key = file.rotate(ROTATED, secrets.token_bytes)
    there = KeySource(file)()
    token = delivery(there)
    assert source().read_delivery(there.sign_delivery(token)) == token
    assert source().ring.by_id(key.id) is not None
    assert source().ring.pseudonym_keys == old.pseudonym_keys
    await source.reload(NOW)
    assert source().ring == there.ring


async def test_while_the_file_cannot_be_read_the_keys_of_before_go_on(file: Watched) -> None:
    source = KeySource(file)
    octets = file.path.read_bytes()
    file.path.write_bytes(b"{}")
    with pytest.raises(BadKeyFile):
        await source.reload(NOW)
    assert source.trouble
    assert source().ring.by_id("A") is not None
    file.path.write_bytes(octets)
    await source.reload(NOW)
    assert not source.trouble
