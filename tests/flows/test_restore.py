"""Where the journal cannot mend a restore, others vouch or a person decides; nothing is ended or begun unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.conftest import NOW, RING, counted_bytes, kept_in_step, reported
from tests.flows.test_in_step import ALL, ANNA, BERT, Server, Start, after, copy_of, person, put_back, start
from tracker.core.calendar import day_of
from tracker.core.consent import ConsentPolicy
from tracker.flows.bulk import Bulk
from tracker.flows.recording import Outcome
from tracker.flows.restore import Decision, Restore
from tracker.model import BadJournal, ConsentState
from tracker.store.journal import Journal

__all__ = ["start"]


def restore(server: Server) -> Restore:
    return Restore(server.store, server.journal, server.in_step, counted_bytes(), proof_days=1095)


def journal_in(folder: Path) -> Journal:
    return Journal(folder, RING.journal_key)


async def restored_without_journal(start: Start) -> Server:
    """Anna said no after the backup that was put back; the journal lies elsewhere."""
    server = await start()
    for address in (ANNA, BERT):
        await server.consents.report(reported(address), NOW)
    await server.in_step.keep(after(minutes=2))
    yesterday = copy_of(server.folder)
    await server.consents.withdraw(ANNA, ALL, "cli", after(hours=1))
    await server.in_step.keep(after(hours=2))
    await put_back(server, yesterday)
    (server.folder / "journal").rename(server.folder / "elsewhere")
    return await start()


async def test_undecided_nothing_changes(start: Start) -> None:
    server = await restored_without_journal(start)
    before = (await server.events(ANNA), await server.events(BERT))
    with pytest.raises(BadJournal, match="--end-grants"):
        await restore(server).check([], Decision.NONE, after(days=1))
    assert (await server.events(ANNA), await server.events(BERT)) == before
    assert not (server.folder / "journal").exists()
    assert "missing" in server.in_step.trouble


async def test_a_whole_copy_of_the_journal_vouches(start: Start) -> None:
    server = await restored_without_journal(start)
    done = await restore(server).check([journal_in(server.folder / "elsewhere")], Decision.NONE, after(days=1))
    assert (done.replayed, done.ended, done.begun, done.aside) == (1, 0, True, None)
    assert not server.in_step.trouble
    assert await server.silent(ANNA)
    assert await server.live(BERT)
    assert not (await start()).in_step.trouble, "the new journal is known from now on"


async def test_what_nobody_vouches_for_ends_and_a_sync_brings_nobody_back(start: Start) -> None:
    server = await restored_without_journal(start)
    done = await restore(server).check([], Decision.END_GRANTS, after(days=1))
    assert (done.replayed, done.ended, done.begun) == (0, 4, True)
    for address in (ANNA, BERT):
        assert not await server.live(address)
        state, _ = await server.consents.report(reported(address), after(days=1))
        assert state is ConsentState.PENDING
    assert [entry.event for entry in await server.store.history(person(BERT), day_of(NOW))][:2] == ["given", "expired"]
    assert not (await server.store.examine_ledger(day_of(after(days=1)))).faults


async def test_a_list_of_many_brings_nobody_back_either(start: Start) -> None:
    server = await restored_without_journal(start)
    await restore(server).check([], Decision.END_GRANTS, after(days=1))
    many = Bulk(server.store, server.consents, ConsentPolicy(), server.in_step)
    posted = [reported(address) for address in (ANNA, BERT)]
    results = await many.record(posted, after(days=1))
    assert [result.answer[0] for result in results if isinstance(result, Outcome)] == [ConsentState.PENDING] * 2


async def test_what_stands_before_the_damage_is_replayed_all_the_same(start: Start) -> None:
    server = await restored_without_journal(start)
    damaged = server.folder / "elsewhere" / "2026-11.journal"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-10] + b"x" + whole[-9:])
    (server.folder / "elsewhere").rename(server.folder / "journal")
    await server.in_step.keep(after(days=1))
    assert "changed" in server.in_step.trouble
    done = await restore(server).check([], Decision.NOT_RESTORED, after(days=1))
    assert (done.replayed, done.ended, done.begun) == (1, 0, True)
    assert done.aside == server.folder / "journal.aside-20261124T120000Z"
    assert await server.silent(ANNA)
    assert not server.in_step.trouble


async def test_a_journal_that_cannot_be_read_stops_everything(start: Start) -> None:
    server = await restored_without_journal(start)
    with pytest.raises(BadJournal, match="missing"):
        await restore(server).check([journal_in(server.folder / "nowhere")], Decision.END_GRANTS, after(days=1))
    assert await server.events(BERT) == ["given"]


async def test_both_restored_from_one_backup_can_still_be_told_to_end_all_grants(start: Start) -> None:
    """Database and journal agree then, and nothing can be noticed: deploy/restore.md says to run it."""
    server = await start()
    await server.consents.report(reported(BERT), NOW)
    done = await restore(server).check([], Decision.END_GRANTS, after(days=1))
    assert (done.ended, done.begun) == (2, False)
    assert not await server.live(BERT)


async def test_a_server_that_does_not_come_back_is_left_out(start: Start) -> None:
    server = await start()
    await kept_in_step(server.store, server.folder / "other")
    for address in (ANNA, BERT):
        await server.consents.report(reported(address), NOW)
    await server.in_step.keep(after(minutes=2))
    yesterday = copy_of(server.folder)
    await server.consents.withdraw(ANNA, ALL, "cli", after(hours=1))
    await server.in_step.keep(after(hours=2))
    await put_back(server, yesterday)
    server = await start()
    assert "another server" in server.in_step.trouble
    done = await restore(server).check([], Decision.NONE, after(days=1))
    assert not done.begun
    assert not server.in_step.trouble
    assert await server.silent(ANNA)
    assert await server.live(BERT)
