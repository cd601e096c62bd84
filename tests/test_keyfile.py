"""Shows that the key file is made once, read only when it is private and whole, and never loses a key."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tracker.core.keys import KeyRing, SigningKey
from tracker.keyfile import KeyFile
from tracker.model import BadKeyFile, CannotRetire

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def random_bytes() -> Callable[[int], bytes]:
    """Octets that never repeat."""
    numbers = itertools.count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


@pytest.fixture
def file(tmp_path: Path, random_bytes: Callable[[int], bytes]) -> KeyFile:
    made = KeyFile(tmp_path / "tracker.keys")
    made.create(NOW, random_bytes)
    return made


def altered(file: KeyFile, **changes: Any) -> KeyFile:
    """The file with the top-level names CHANGES; None takes one out."""
    content = json.loads(file.path.read_text()) | changes
    file.path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
    return file


def test_what_is_created_is_read_again(tmp_path: Path, random_bytes: Callable[[int], bytes]) -> None:
    file = KeyFile(tmp_path / "tracker.keys")
    ring = file.create(NOW, random_bytes)
    assert file.load() == ring
    assert ring.signing_key(NOW).id == "A"
    assert [each.name for each in tmp_path.iterdir()] == ["tracker.keys"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_its_owner_can_read_it_whatever_the_umask(
    tmp_path: Path, random_bytes: Callable[[int], bytes], umask: int
) -> None:
    before = os.umask(umask)
    try:
        file = KeyFile(tmp_path / "tracker.keys")
        file.create(NOW, random_bytes)
        file.rotate(NOW, random_bytes)
    finally:
        os.umask(before)
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_an_existing_file_is_never_overwritten(file: KeyFile, random_bytes: Callable[[int], bytes]) -> None:
    before = file.path.read_bytes()
    with pytest.raises(BadKeyFile, match="never overwritten"):
        file.create(NOW, random_bytes)
    assert file.path.read_bytes() == before
    assert len(list(file.path.parent.iterdir())) == 1


def test_the_format_is_the_documented_one(file: KeyFile) -> None:
    content = json.loads(file.path.read_text())
    assert set(content) == {"format", "pseudonym", "ledger", "signing"}
    assert content["format"] == 1
    assert set(content["signing"][0]) == {"id", "secret", "signs_from", "retired"}
    assert content["signing"][0]["signs_from"] == "2026-11-23T12:00:00Z"


def test_rotating_adds_a_key_that_signs_an_hour_later(file: KeyFile, random_bytes: Callable[[int], bytes]) -> None:
    """R63: keys lie in a file of their own and can be rotated."""
    before = file.load()
    made = file.rotate(NOW, random_bytes)
    after = file.load()
    assert (made.id, made.signs_from) == ("B", NOW + timedelta(hours=1))
    assert after.signing == (*before.signing, made)
    assert after.signing_key(NOW).id == "A"
    assert after.signing_key(NOW + timedelta(hours=1)).id == "B"
    assert after.fingerprint == before.fingerprint


def test_rotations_at_the_same_time_lose_no_key(file: KeyFile) -> None:
    threads = [threading.Thread(target=file.rotate, args=(NOW, os.urandom)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [key.id for key in file.load().signing] == list("ABCDEFGHI")


def test_after_64_keys_rotating_is_refused(file: KeyFile, random_bytes: Callable[[int], bytes]) -> None:
    for _ in range(63):
        file.rotate(NOW, random_bytes)
    with pytest.raises(BadKeyFile, match="64"):
        file.rotate(NOW, random_bytes)
    assert len(file.load().signing) == 64


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666, 0o777])
def test_a_file_that_others_may_touch_is_refused_by_naming_its_mode(file: KeyFile, mode: int) -> None:
    file.path.chmod(mode)
    with pytest.raises(BadKeyFile, match=f"{mode:04o}"):
        file.load()


def test_a_file_that_nobody_can_change_is_fine(file: KeyFile) -> None:
    file.path.chmod(0o400)
    assert isinstance(file.load(), KeyRing)


def test_a_symbolic_link_is_not_followed(file: KeyFile) -> None:
    link = file.path.with_name("link.keys")
    link.symlink_to(file.path)
    with pytest.raises(BadKeyFile, match="symbolic link"):
        KeyFile(link).load()


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(BadKeyFile, match="regular"):
        KeyFile(tmp_path / "pipe").load()
    with pytest.raises(BadKeyFile):
        KeyFile(tmp_path).load()
    with pytest.raises(BadKeyFile, match="no such file"):
        KeyFile(tmp_path / "missing").load()


def test_a_huge_file_is_refused(file: KeyFile) -> None:
    file.path.write_bytes(b" " * 1_000_000)
    with pytest.raises(BadKeyFile, match="too large"):
        file.load()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"format": 2}, "format"),
        ({"pseudonym": []}, "pseudonym keys"),
        ({"pseudonym": ["ab"]}, r"pseudonym\.0"),
        ({"pseudonym": ["Z" * 64]}, r"pseudonym\.0"),
        ({"ledger": None}, "ledger"),
        ({"signing": []}, "signing key"),
        ({"signing": [{"id": "AB", "secret": "0" * 64, "signs_from": "2026-01-01T00:00:00Z", "retired": False}]}, "id"),
        ({"signing": [{"id": "A", "secret": "0" * 64, "signs_from": "2026-01-01T00:00:00", "retired": False}]}, "from"),
        ({"signing": [{"id": "A", "secret": "0" * 64, "signs_from": "2026-01-01T00:00:00Z"}]}, "retired"),
        ({"c0ffee" * 10: 1}, "damaged$"),
    ],
)
def test_a_damaged_file_is_refused_by_naming_the_place(file: KeyFile, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(BadKeyFile, match=named):
        altered(file, **changes).load()


@pytest.mark.parametrize("cut", [0, 1, 100, 300])
def test_a_cut_file_is_refused(file: KeyFile, cut: int) -> None:
    file.path.write_bytes(file.path.read_bytes()[:cut])
    with pytest.raises(BadKeyFile):
        file.load()


def test_no_error_quotes_a_key(file: KeyFile) -> None:
    content = json.loads(file.path.read_text())
    secret = "5ec2e7" * 10
    for changes in (
        {"ledger": secret}, {"pseudonym": [secret]}, {secret: 1}, {"ledger": {secret: secret}},
        {"signing": [*content["signing"], content["signing"][0] | {"secret": secret}]},
        {"signing": [content["signing"][0] | {secret: secret}]},
    ):  # fmt: skip
        file.path.write_text(json.dumps(content | changes))
        with pytest.raises(BadKeyFile) as caught:
            file.load()
        assert "5ec2e7" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_a_failed_rotation_leaves_the_file_as_it_was(file: KeyFile) -> None:
    before = file.path.read_bytes()
    with pytest.raises(ValueError, match="octets"):
        file.rotate(NOW, lambda _size: b"short")
    assert file.path.read_bytes() == before
    assert len(list(file.path.parent.iterdir())) == 1


def test_a_retired_key_is_read_as_such(file: KeyFile) -> None:
    key = json.loads(file.path.read_text())["signing"][0]
    ring = altered(file, signing=[key | {"retired": True}, key | {"id": "B", "secret": "ab" * 32}]).load()
    retired = ring.by_id("A")
    assert isinstance(retired, SigningKey)
    assert retired.retired
    assert ring.signing_key(NOW).id == "B"


def test_a_leaked_key_is_retired_when_another_one_signs(file: KeyFile, random_bytes: Callable[[int], bytes]) -> None:
    for moment in (NOW, NOW + timedelta(minutes=59)):
        with pytest.raises(CannotRetire, match="no other key signs yet"):
            file.retire("A", moment)
        if moment == NOW:
            file.rotate(NOW, random_bytes)
    later = NOW + timedelta(hours=1)
    assert file.retire("A", later)
    assert not file.retire("A", later), "it was before"
    assert [(key.id, key.retired) for key in file.load().signing] == [("A", True), ("B", False)]
    with pytest.raises(CannotRetire, match="no other key signs yet"):
        file.retire("B", later)
    with pytest.raises(CannotRetire, match="no signing key with that id"):
        file.retire("C", later)
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_wrapping_adds_a_generation_and_keeps_the_others(file: KeyFile, random_bytes: Callable[[int], bytes]) -> None:
    before = file.load()
    wrapped = file.wrap(random_bytes)
    assert wrapped == file.load()
    assert wrapped.pseudonym_keys[:-1] == before.pseudonym_keys
    assert (wrapped.signing, wrapped.ledger_key) == (before.signing, before.ledger_key)
    assert wrapped.fingerprint != before.fingerprint
    assert wrapped.former == {before.fingerprint: wrapped.pseudonym_keys[1:]}
    assert before.former == {}
    for _ in range(62):
        file.wrap(random_bytes)
    with pytest.raises(BadKeyFile, match="64 generations"):
        file.wrap(random_bytes)
