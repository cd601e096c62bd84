"""The journal's files: private, whole or refused, safe against a cut last line, and gone on time."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tracker.core.journal import NOTHING, Anchor
from tracker.model import MAIL_PURPOSES, BadJournal, Language, No, NoKind, Pseudonym
from tracker.store.journal import Journal
from tracker.store.journal_files import put_aside
from tracker.store.journal_tail import Mark

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEY = b"k" * 32
ANCHOR = Anchor(NOW, 7, b"d" * 32, 0)


def no(number: int = 0, at: datetime = NOW) -> No:
    return No(NoKind.ERASURE, Pseudonym(bytes([number]) * 32), MAIL_PURPOSES, at, "recipient", Language.FR)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Journal(tmp_path / "journal", KEY).create(NOW, lambda size: b"j" * size)
    return tmp_path / "journal"


@pytest.fixture
async def journal(folder: Path) -> Journal:
    return await loaded(folder)


async def loaded(folder: Path) -> Journal:
    journal = Journal(folder, KEY)
    await journal.load()
    return journal


async def test_what_was_noted_is_read_again(folder: Path, journal: Journal) -> None:
    await journal.note_nos([no(1)], 3, NOW)
    await journal.note(ANCHOR, NOW)
    await journal.note_nos([no(2)], 3, NOW)
    again = await loaded(folder)
    assert [(noted.number, noted.generation, noted.no) for noted in again.waiting] == [(1, 3, no(1)), (2, 3, no(2))]
    assert again.anchor == ANCHOR
    assert [noted.number for noted in again.since_anchor] == [2]
    assert (again.id, again.number) == (b"j" * 8, 2)


async def test_of_the_heads_that_were_noted_a_server_keeps_the_last_alone(folder: Path, journal: Journal) -> None:
    heads = [Anchor(NOW, number, b"d" * 32, 0) for number in range(1_000)]
    tracemalloc.start()
    try:
        for head in heads:
            await journal.note(head, NOW)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert journal.anchor == heads[-1]
    assert held < 50_000, "octets: there is one for every minute, for as long as a server runs"
    assert await Journal(folder, KEY).load() == tuple(heads), "who looks at the ledger gets all of them"


async def test_nobody_else_can_read_it(folder: Path, journal: Journal) -> None:
    await journal.note_nos([no()], 1, NOW)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


async def test_a_line_that_was_cut_by_a_crash_is_written_over(folder: Path, journal: Journal) -> None:
    await journal.note_nos([no(1)], 1, NOW)
    path = folder / "2026-11.journal"
    whole = path.read_bytes()
    await journal.note_nos([no(2)], 1, NOW)
    line = path.read_bytes()[len(whole) :]
    for end in range(1, len(line)):
        for filling in (b"", b"\0" * 9):
            path.write_bytes(whole + line[:end] + filling)
            again = await loaded(folder)
            assert again.number == 1
    await again.note_nos([no(3)], 1, NOW)
    assert [noted.no for noted in (await loaded(folder)).waiting] == [no(1), no(3)]


async def test_every_changed_octet_is_found(folder: Path, journal: Journal) -> None:
    """Also the cut of whole lines is, by a database that knows more than the journal."""
    await journal.note_nos([no(1)], 1, NOW)
    await journal.note(ANCHOR, NOW)
    mark = journal.mark(1)
    path = folder / "2026-11.journal"
    whole = path.read_bytes()
    for at in range(len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(BadJournal):
            await loaded(folder)
    path.write_bytes(whole[: whole.index(b"\n") + 1])
    assert not (await loaded(folder)).reaches(mark)
    path.write_bytes(whole)
    assert (await loaded(folder)).reaches(mark)


async def test_another_key_reads_nothing(folder: Path) -> None:
    with pytest.raises(BadJournal, match="changed"):
        await Journal(folder, b"x" * 32).load()


async def test_lines_cannot_change_places_or_months(folder: Path, journal: Journal) -> None:
    for number in (1, 2):
        await journal.note_nos([no(number)], 1, NOW)
    path = folder / "2026-11.journal"
    begin, one, two = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(begin + two + one)
    with pytest.raises(BadJournal):
        await loaded(folder)
    path.write_bytes(begin + one + two)
    path.rename(folder / "2026-10.journal")
    with pytest.raises(BadJournal):
        await loaded(folder)


async def test_two_processes_write_to_one_journal(folder: Path, journal: Journal) -> None:
    other = await loaded(folder)
    await journal.note_nos([no(1)], 1, NOW)
    await other.note_nos([no(2)], 1, NOW)
    await journal.note_nos([no(3)], 1, NOW)
    await other.note(ANCHOR, NOW + timedelta(days=31))
    await journal.note_nos([no(4)], 1, NOW + timedelta(days=31))
    assert [noted.no for noted in (await loaded(folder)).waiting] == [no(1), no(2), no(3), no(4)]
    assert [noted.no for noted in journal.waiting] == [no(1), no(2), no(3), no(4)]


async def test_a_month_goes_when_no_backup_can_lack_it_any_more(folder: Path, journal: Journal) -> None:
    await journal.note_nos([no(1)], 1, NOW)
    journal.applied(1)
    mark = journal.mark(1)
    last = datetime(2026, 11, 30, 23, tzinfo=UTC)
    for days, months in ((1, ["2026-11", "2026-12"]), (35, ["2026-11", "2026-12", "2027-01"])):
        await journal.turn(last + timedelta(days=days), 35)
        assert sorted(path.name.removesuffix(".journal") for path in folder.iterdir()) == months
    await journal.turn(last + timedelta(days=36), 35)
    assert sorted(path.name for path in folder.iterdir()) == ["2026-12.journal", "2027-01.journal"]
    await journal.follow()
    for one in (journal, await loaded(folder)):
        assert one.reaches(mark), "a database that has applied all that is gone lacks nothing"
        assert not one.reaches(Mark(0, NOTHING)), "what it was compared with is gone with the month"


async def test_a_month_stays_while_the_database_has_not_applied_it(folder: Path, journal: Journal) -> None:
    await journal.note_nos([no(1)], 1, NOW)
    await journal.turn(NOW + timedelta(days=100), 35)
    assert [noted.no for noted in (await loaded(folder)).waiting] == [no(1)]


async def test_a_journal_that_was_put_aside_goes_with_the_backups_of_its_time(folder: Path, journal: Journal) -> None:
    """R43: nobody has to remember to delete it."""
    await journal.note_nos([no(1)], 1, NOW)
    aside = journal.put_aside(NOW)
    assert aside is not None
    mine = folder.with_name("journal.aside-mine")
    mine.mkdir()
    assert list(put_aside(folder)) == [(aside, NOW)]
    Journal(folder, KEY).create(NOW, lambda size: b"x" * size)
    again = await loaded(folder)
    await again.turn(NOW + timedelta(days=35), 35)
    assert (aside / "2026-11.journal").exists()
    await again.turn(NOW + timedelta(days=36), 35)
    assert not aside.exists()
    assert mine.exists(), "somebody else's"


async def test_a_month_in_the_middle_is_missed(folder: Path, journal: Journal) -> None:
    for days in (31, 62):
        await journal.note_nos([no()], 1, NOW + timedelta(days=days))
    (folder / "2026-12.journal").unlink()
    with pytest.raises(BadJournal, match="month"):
        await loaded(folder)


async def test_a_month_whose_first_line_was_cut_begins_again(folder: Path, journal: Journal) -> None:
    await journal.note_nos([no(1)], 1, NOW)
    (folder / "2026-12.journal").write_bytes(b'{"kind"')
    again = await loaded(folder)
    assert again.number == 1
    await again.note_nos([no(2)], 1, NOW + timedelta(days=31))
    assert [noted.no for noted in (await loaded(folder)).waiting] == [no(1), no(2)]


async def test_a_clock_that_goes_back_loses_nothing(folder: Path, journal: Journal) -> None:
    await journal.note_nos([no(1)], 1, NOW + timedelta(days=31))
    await journal.note_nos([no(2)], 1, NOW)
    assert [noted.no for noted in (await loaded(folder)).waiting] == [no(1), no(2)]


async def test_an_existing_journal_is_never_overwritten(folder: Path) -> None:
    before = (folder / "2026-11.journal").read_bytes()
    with pytest.raises(BadJournal, match="nothing was overwritten"):
        Journal(folder, KEY).create(NOW, lambda size: b"x" * size)
    assert (folder / "2026-11.journal").read_bytes() == before


async def test_what_has_gone_while_it_runs_is_noticed(folder: Path, journal: Journal) -> None:
    await journal.note_nos([no(1)], 1, NOW)
    path = folder / "2026-11.journal"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BadJournal, match="gone"):
        await journal.note_nos([no(2)], 1, NOW)
    path.unlink()
    with pytest.raises(BadJournal, match="missing"):
        await journal.note_nos([no(2)], 1, NOW)


async def test_a_full_disk_notes_nothing(folder: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BadJournal, match="No space left"):
        await journal.note_nos([no(1)], 1, NOW)


def full(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")
