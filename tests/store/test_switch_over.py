"""A name that leads to another PostgreSQL server from one moment to the next, while the former one lives on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.postgres import Cluster
from tracker.model import StoreUnavailable
from tracker.store.postgres import READERS, PostgresDatabase

pytestmark = pytest.mark.postgres
PORT = "SHOW port"


class Front:
    """Passes each new connection on to `port`; those that are there stay where they are."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.name = 0
        self._pipes: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.name = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for pipe in self._pipes:
                pipe.cancel()
            await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.port)
        for pair in ((reader, inner_writer), (inner_reader, writer)):
            self._pipes.add(asyncio.create_task(_pipe(*pair)))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while octets := await reader.read(65_536):
            writer.write(octets)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.fixture(scope="module")
def servers(cluster: Cluster) -> Iterator[tuple[Cluster, Cluster]]:
    with Cluster() as other:
        yield cluster, other


async def read(database: PostgresDatabase) -> int:
    async with database.read() as connection:
        return int((await connection.exec_driver_sql(PORT)).scalar_one())


async def write(database: PostgresDatabase) -> int:
    async with database.write(alone=False) as connection:
        return int((await connection.exec_driver_sql(PORT)).scalar_one())


async def test_nobody_speaks_to_the_former_server_once_another_one_has_answered(
    servers: tuple[Cluster, Cluster],
) -> None:
    former, present = servers
    front = Front(former.port)
    async with front.listening():
        database = PostgresDatabase(f"postgresql+asyncpg://tracker@127.0.0.1:{front.name}/postgres")
        assert {await read(database), await write(database)} == {former.port}
        front.port = present.port
        # More at once than there are connections, so that new ones are made.
        found = await asyncio.gather(*(read(database) for _ in range(READERS)), return_exceptions=True)
        assert all(isinstance(one, StoreUnavailable) or one in (former.port, present.port) for one in found), found
        assert database.replaced == 1
        assert {await read(database) for _ in range(2 * READERS)} == {present.port}
        assert {await write(database) for _ in range(2 * READERS)} == {present.port}
        assert database.replaced == 1
        await database.close()


async def test_what_is_under_way_at_the_former_server_is_not_said_to_be_written(
    servers: tuple[Cluster, Cluster],
) -> None:
    former, present = servers
    front = Front(former.port)
    async with front.listening():
        database = PostgresDatabase(f"postgresql+asyncpg://tracker@127.0.0.1:{front.name}/postgres")

        async def write_meanwhile() -> None:
            async with database.write(alone=False) as connection:
                await connection.exec_driver_sql(PORT)
                front.port = present.port
                assert await read(database) == present.port

        with pytest.raises(StoreUnavailable):
            await write_meanwhile()
        assert await write(database) == present.port
        await database.close()
