"""A new database is private, of this release and of one key file; any other is refused with the reason."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from tests.postgres import Cluster
from tests.store.world import FINGERPRINT, LEDGER_KEY, World
from tracker.model import BadSetting, SchemaBehind, SetupError, StoreUnavailable, WrongKey
from tracker.store.migrate import MIGRATIONS
from tracker.store.schema import HEAD, metadata
from tracker.store.store import Store


def url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


async def open_store(url: str, fingerprint: bytes = FINGERPRINT) -> None:
    await (await Store.open(url, ledger_key=LEDGER_KEY, fingerprint=fingerprint)).close()


async def test_all_files_are_private(sqlite_world: World) -> None:
    await sqlite_world.give()
    modes = {path.name: path.stat().st_mode & 0o777 for path in sqlite_world.path.parent.iterdir()}
    names = ("tracker.db", "tracker.db-wal", "tracker.db-shm", "tracker.db-next", "tracker.db-turn")
    assert modes == dict.fromkeys(names, 0o600)


async def test_an_empty_file_that_others_can_read_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "a folder with % and ?" / "tracker.db"
    path.parent.mkdir()
    path.touch(0o644)
    await Store.create(url(path).replace("?", "%3F"), fingerprint=FINGERPRINT, notices=[])
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size > 0


async def test_a_database_is_never_made_over_another(world: World) -> None:
    await world.give()
    with pytest.raises(SetupError, match="already"):
        await Store.create(world.url, fingerprint=b"g" * 16, notices=[])
    assert world.count("grants") == 2


async def test_another_key_file_is_refused(world: World) -> None:
    with pytest.raises(WrongKey):
        await open_store(world.url, b"g" * 16)


async def test_a_missing_database_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(SchemaBehind):
        await open_store(url(tmp_path / "tracker.db"))
    assert list(tmp_path.iterdir()) == []


async def test_an_empty_database_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.db"
    empty.touch()
    with pytest.raises(SchemaBehind):
        await open_store(url(empty))


@pytest.mark.postgres
async def test_an_empty_database_on_a_server_is_refused(cluster: Cluster) -> None:
    name = cluster.make()
    with pytest.raises(SchemaBehind):
        await open_store(cluster.url(name))
    with pytest.raises(StoreUnavailable, match="InvalidCatalogName"):
        await open_store(cluster.url("nothing"))
    cluster.drop(name)


async def test_an_older_database_is_refused(world: World) -> None:
    with world.connected() as plain:
        plain.execute("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(SchemaBehind):
        await open_store(world.url)


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "tracker.db"
    path.write_text("anna@example.org " * 100)
    with pytest.raises(StoreUnavailable, match="NOTADB"):
        await open_store(url(path))


async def test_a_file_that_is_no_database_is_not_made_one(tmp_path: Path) -> None:
    path = tmp_path / "tracker.db"
    path.write_text("anna@example.org " * 100)
    with pytest.raises(StoreUnavailable, match="NOTADB"):
        await Store.create(url(path), fingerprint=FINGERPRINT, notices=[])
    assert path.read_text().startswith("anna")


async def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await Store.create(url(tmp_path / "nowhere" / "tracker.db"), fingerprint=FINGERPRINT, notices=[])


async def test_a_database_that_was_moved_away_is_not_begun_anew(sqlite_world: World) -> None:
    await sqlite_world.store.ping()
    await sqlite_world.store.close()
    sqlite_world.path.rename(sqlite_world.path.with_name("elsewhere.db"))
    with pytest.raises(StoreUnavailable):
        await sqlite_world.store.ping()
    assert not sqlite_world.path.exists()


@pytest.mark.parametrize(
    "setting",
    [
        "",
        "tracker.db",
        "sqlite:///tracker.db",
        "sqlite+aiosqlite://",
        "sqlite+aiosqlite:///:memory:",
        "sqlite+aiosqlite:///file:x?mode=ro",
        "sqlite+aiosqlite:///x.db?mode=ro",
        "postgresql+psycopg://localhost/tracker",
        "postgresql+asyncpg://localhost",
        "postgresql+asyncpg://localhost/tracker?sslmode=require&fallback=no",
    ],
)
async def test_another_kind_of_database_is_a_bad_setting(setting: str) -> None:
    with pytest.raises(BadSetting, match="database_url"):
        await Store.open(setting, ledger_key=LEDGER_KEY, fingerprint=FINGERPRINT)


def test_the_release_works_with_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


async def test_the_migrations_make_what_the_statements_expect(sqlite_world: World, tmp_path: Path) -> None:
    await sqlite_world.store.close()
    made = create_engine(f"sqlite:///{tmp_path / 'made.db'}")
    migrated = create_engine(f"sqlite:///{sqlite_world.path}")
    metadata.create_all(made)
    try:
        with migrated.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    finally:
        made.dispose()
        migrated.dispose()

    def statements(path: Path) -> dict[str, Any]:
        with closing(sqlite3.connect(path)) as sql:
            rows = sql.execute(
                "SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'index') AND name != 'alembic_version'"
            )
            return {name: text for name, text in rows if "alembic" not in name}

    assert statements(sqlite_world.path) == statements(tmp_path / "made.db")


@pytest.mark.postgres
async def test_they_do_so_on_postgresql_too(cluster: Cluster) -> None:
    """As long as there are no partitions: PostgreSQL shows a foreign key once for each."""
    name = cluster.make()
    await Store.create(cluster.url(name), fingerprint=FINGERPRINT, notices=[])
    engine = create_async_engine(cluster.url(name))
    async with engine.connect() as connection:
        differences = await connection.run_sync(
            lambda plain: compare_metadata(MigrationContext.configure(plain), metadata)
        )
    await engine.dispose()
    cluster.drop(name)
    assert differences == []
