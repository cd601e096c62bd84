"""The file of blocked hosts: whole or as it was, read again when it changes, and told what is wrong with it."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest

from tracker.blockfile import BlockFile, BlockSource
from tracker.model import BadBlockFile

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> BlockFile:
    return BlockFile(tmp_path / "blocked-hosts")


def test_a_missing_file_blocks_nothing(file: BlockFile) -> None:
    assert file.load() == {}
    assert not BlockSource(file)("evil.example")


def test_hosts_come_and_go_and_everybody_may_read_them(file: BlockFile) -> None:
    assert file.add("evil.example", NOW)
    assert not file.add("evil.example", NOW)
    assert file.add("bad.example", NOW)
    assert file.load() == {"bad.example": "2026-11-28", "evil.example": "2026-11-28"}
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o644
    assert file.remove("evil.example")
    assert not file.remove("evil.example")
    assert list(file.load()) == ["bad.example"]
    assert [path.name for path in file.path.parent.iterdir()] == ["blocked-hosts"], "nothing is left lying about"


def test_people_may_write_it_too(file: BlockFile) -> None:
    file.path.write_text("# ours\n\nEVIL.example   # reported by Jonas\nbücher.example 2026-11-01\n")
    assert file.load() == {"evil.example": "", "xn--bcher-kva.example": "2026-11-01"}


async def test_a_server_reads_it_again_when_it_changes_and_goes_by_the_old_list_while_it_cannot(
    file: BlockFile,
) -> None:
    source = BlockSource(file)
    file.add("evil.example", NOW)
    await source.reload(NOW)
    assert source("www.evil.example")
    file.path.write_text("evil.example\nno host\n")
    with pytest.raises(BadBlockFile, match="line 2"):
        await source.reload(NOW)
    assert "line 2" in source.trouble
    assert source("evil.example")
    await source.reload(NOW)  # said once for each change
    file.path.unlink()
    await source.reload(NOW)
    assert (source("evil.example"), source.trouble) == (False, "")


def test_a_server_does_not_start_with_one_that_it_cannot_read(file: BlockFile) -> None:
    file.path.write_text("com\n")
    with pytest.raises(BadBlockFile, match="line 1"):
        BlockSource(file)
    file.path.write_bytes(b"\n" * (2**20 + 1))
    with pytest.raises(BadBlockFile, match="too large"):
        BlockSource(file)


def test_a_folder_that_is_not_there_is_named_as_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(BadBlockFile, match="No such file"):
        BlockFile(tmp_path / "nowhere" / "blocked-hosts").add("evil.example", NOW)


def test_of_many_at_once_nobody_loses_another_ones_host(file: BlockFile) -> None:
    names = [f"evil{number}.example" for number in range(40)]
    threads = [Thread(target=file.add, args=(name, NOW)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(file.load()) == sorted(names)
