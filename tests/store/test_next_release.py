"""Servers are upgraded one by one: this release works on the next one's schema, unless that says that it cannot."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.store.conftest import opened as open_store
from tests.store.test_any_history import live_through
from tests.store.world import ANNA, BERT, FINGERPRINT, LEDGER_KEY, PROOF, TODAY, World, at, copy, on, opened
from tracker.model import MAIL_PURPOSES, SchemaAhead, SchemaBehind
from tracker.store import migrate
from tracker.store.migrate import upgrade
from tracker.store.schema import HEAD
from tracker.store.store import Store

NEXT = f"{int(HEAD) + 1:04}"
MIGRATION = f'''
import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{HEAD}"


def upgrade():
    op.create_table(
        "colours",
        sa.Column("recipient", sa.BigInteger, sa.ForeignKey("recipients.id"), primary_key=True),
        sa.Column("name", sa.Text),
        sqlite_strict=False,
    )
    for table in ("messages", "deliveries", "grants", "ledger_contents", "api_keys"):
        op.add_column(table, sa.Column("colour", sa.Text, nullable=True))
'''


@pytest.fixture
def next_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """From here to `undo` this program is the next release; its migration can be written over."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "versions" / f"{NEXT}_colours.py"
    path.write_text(MIGRATION)
    monkeypatch.setattr(migrate, "MIGRATIONS", folder)
    monkeypatch.setattr(migrate, "HEAD", NEXT)
    return path


async def test_the_release_before_goes_on_working(
    world: World, next_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs meanwhile, what starts afterwards, and the sweep."""
    sent = await world.send(ANNA)
    assert await upgrade(world.url) == (HEAD, NEXT)
    assert await world.store.record(opened(sent), TODAY), "the connections that were open"
    monkeypatch.undo()
    other = World(await open_store(world.url), world.url)
    await other.give(BERT)
    assert await other.store.register(copy(BERT), TODAY) == MAIL_PURPOSES
    assert await other.withdraw(ANNA, now=at(1))
    assert await other.store.broken_entry(TODAY) is None
    assert not await other.store.missing_guards()
    await other.store.sweep(on(5_000), at(5_000), PROOF)
    await other.store.close()
    assert [world.count(table) for table in ("grants", "deliveries", "events")] == [0, 0, 0]


async def test_all_that_can_happen_can_happen_on_the_newer_schema(
    world: World, next_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upgrade(world.url)
    monkeypatch.undo()
    steps: list[tuple[object, ...]] = [
        ("give", 1, MAIL_PURPOSES, 20), ("send", 1, MAIL_PURPOSES), ("hit", 1, opened), ("wait", 5),
        ("withdraw", 1, MAIL_PURPOSES), ("give", 2, MAIL_PURPOSES, 3), ("wait", 9), ("sweep",),
    ]  # fmt: skip
    await live_through(world, steps)


async def test_it_does_not_start_on_a_schema_that_it_cannot_work_with(
    world: World, next_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_release.write_text(f'compatible_from = "{NEXT}"\n{MIGRATION}')
    await upgrade(world.url)
    await (await open_store(world.url)).close()
    monkeypatch.undo()
    with pytest.raises(SchemaAhead) as refusal:
        await open_store(world.url)
    assert "Install the release that the other servers run" in refusal.value.remedy


async def test_the_next_release_does_not_start_before_the_upgrade(world: World, next_release: Path) -> None:
    with pytest.raises(SchemaBehind) as refusal:
        await open_store(world.url)
    assert "tracker upgrade" in refusal.value.remedy
    await upgrade(world.url)
    await (await open_store(world.url)).close()


async def test_two_servers_may_upgrade_at_once(world: World, next_release: Path) -> None:
    done = await asyncio.gather(*(upgrade(world.url) for _ in range(4)))
    assert sorted(done) == [(HEAD, NEXT), (NEXT, NEXT), (NEXT, NEXT), (NEXT, NEXT)]
    with world.connected() as plain:
        assert plain.execute("SELECT count(*) FROM colours").fetchone() == (0,)


async def test_an_upgrade_that_fails_changes_nothing(world: World, next_release: Path) -> None:
    next_release.write_text(MIGRATION.replace('"api_keys")', '"nothing_of_that_name")'))
    with pytest.raises(Exception, match=r".+"):
        await upgrade(world.url)
    assert world.rows("SELECT version_num FROM alembic_version") == [(HEAD,)]
    with world.connected() as plain, pytest.raises(Exception, match="colours"):
        plain.execute("SELECT * FROM colours")


async def test_nothing_is_done_where_nothing_is_to_be_done(world: World, tmp_path: Path) -> None:
    assert await upgrade(world.url) == (HEAD, HEAD)
    with pytest.raises(SchemaBehind):
        await upgrade(f"sqlite+aiosqlite:///{tmp_path / 'nothing.db'}")


async def test_a_database_that_the_next_release_made_is_its_own(
    next_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'new.db'}"
    await Store.create(url, fingerprint=FINGERPRINT, notices=[])
    monkeypatch.undo()
    with pytest.raises(SchemaAhead):
        await Store.open(url, ledger_key=LEDGER_KEY, fingerprint=FINGERPRINT)
