"""Runs a PostgreSQL server of the tests' own in a temporary folder, and speaks to it as its administrator would."""

from __future__ import annotations

import asyncio
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import asyncpg

from tests.harness import free_port

T = TypeVar("T")

PATIENCE = 60
USER = "tracker"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",  # the machine is not switched off during a test; killed processes lose nothing
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "200",
    "max_locks_per_transaction": "256",
}


def programs() -> Path | None:
    """The folder with initdb and pg_ctl; None when PostgreSQL is not installed."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


class Cluster:
    """A server with databases."""

    def __init__(self, certificate: bytes = b"", key: bytes = b"", **settings: str) -> None:
        """With a CERTIFICATE and its KEY it speaks TLS."""
        self._bin = programs()
        self._certificate, self._key = certificate, key
        self._settings = {**SETTINGS, **settings}
        self.port = free_port()
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="tracker-postgres-"))
        self.data = self.folder / "data"
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._run(
            "initdb", "--pgdata", self.data, "--auth=trust", "--username", USER, "--no-sync", "-EUTF8", "--no-locale"
        )
        if self._certificate:
            self._settings["ssl"] = "on"
            for name, octets in (("server.crt", self._certificate), ("server.key", self._key)):
                (self.data / name).write_bytes(octets)
                (self.data / name).chmod(0o600)
                if os.geteuid() == 0:
                    shutil.chown(self.data / name, "postgres", "postgres")
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    @property
    def is_up(self) -> bool:
        return (self.data / "postmaster.pid").exists()

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = " ".join(f"-c {name}={value}" for name, value in self._settings.items())
        options += f" -p {self.port} -k {self.folder}"
        self._run("pg_ctl", "start", "-w", "-D", self.data, "-o", options, "-l", self.folder / "log")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it at once, as if it were killed, or as MODE says; nothing when it is down."""
        if self.is_up:
            self._run("pg_ctl", "stop", "-w", "-D", self.data, "-m", mode)

    @property
    def processes(self) -> list[int]:
        """The server's first process and all others of it."""
        first = int((self.data / "postmaster.pid").read_text().split()[0])
        return [first, *map(int, Path(f"/proc/{first}/task/{first}/children").read_text().split())]

    def kill(self) -> None:
        """SIGKILL for every process of it; none has time to write anything down."""
        ended = self.processes
        for pid in ended:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + PATIENCE
        while any(map(_runs, ended)):
            assert time.monotonic() < end, "a process of it outlives SIGKILL"
            time.sleep(0.01)
        # They name a process that nobody may have buried yet: the next one would take it for alive.
        for lock in (self.data / "postmaster.pid", *self.folder.glob(".s.*.lock")):
            lock.unlink()

    @contextmanager
    def configured(self, **settings: str) -> Iterator[None]:
        """Its administrator changes SETTINGS while it runs, and takes that back at the end."""
        self._configure(f"SET {name} = '{value}'" for name, value in settings.items())
        try:
            yield
        finally:
            if not self.is_up:
                self.start()
            self._configure(f"RESET {name}" for name in settings)

    def _configure(self, changes: Iterable[str]) -> None:
        """Return when those who are connected have been told, too."""
        with Plain(self.url("postgres")) as plain:
            for change in changes:
                plain.execute(f"ALTER SYSTEM {change}")
            ((loaded,),) = plain.execute("SELECT pg_conf_load_time()")
            plain.execute("SELECT pg_reload_conf()")
            end = time.monotonic() + PATIENCE
            while plain.execute("SELECT pg_conf_load_time()") == [(loaded,)]:
                assert time.monotonic() < end, "it does not read its settings again"

    def url(self, database: str) -> str:
        """As the setting database_url names it."""
        return f"postgresql+asyncpg://{USER}@127.0.0.1:{self.port}/{database}"

    def make(self, template: str = "template0") -> str:
        """A new database, a copy of TEMPLATE; its name."""
        name = f"test{next(self._numbers)}"
        # Its files are copied, which is all that servers before 15 can; later ones would write each page to the log.
        how = "STRATEGY FILE_COPY" if int((self.data / "PG_VERSION").read_text()) >= 15 else ""
        self.do(f"CREATE DATABASE {name} TEMPLATE {template} {how}")
        return name

    def drop(self, name: str) -> None:
        """Drop the database NAME, whoever uses it."""
        self.do(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def do(self, statement: str) -> None:
        """Run STATEMENT as the administrator."""
        with Plain(self.url("postgres")) as plain:
            plain.execute(statement)

    def _run(self, program: str, *words: object) -> None:
        assert self._bin is not None
        command = [str(self._bin / program), *map(str, words)]
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            who = pwd.getpwnam("postgres")
            command = ["setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups", *command]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT if program == "initdb" else subprocess.DEVNULL,
            cwd=self.folder, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{program} failed: {done.stdout!r}"


class Rows(list[tuple[Any, ...]]):
    """What a statement gave back, read as a cursor of sqlite3."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        return self[0] if self else None


class Plain:
    """A person with psql: a connection for tests that do not wait, used as one of sqlite3; marks are question marks."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("+asyncpg", "")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._connection = self._wait(asyncpg.connect(self._url))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wait(self._close())
        self._end()

    def execute(self, query: str, values: Sequence[Any] = ()) -> Rows:
        """The rows that QUERY gives with VALUES."""
        for number in range(1, len(values) + 1):
            query = query.replace("?", f"${number}", 1)
        return Rows(tuple(row) for row in self._wait(self._fetch(query, values)))

    async def _fetch(self, query: str, values: Sequence[Any]) -> list[Any]:
        """A statement that fails does not end the transaction that it stands in, as with SQLite."""
        if not self._connection.is_in_transaction() or query in ("COMMIT", "ROLLBACK"):
            return list(await self._connection.fetch(query, *values))
        await self._connection.execute("SAVEPOINT before")
        try:
            return list(await self._connection.fetch(query, *values))
        except asyncpg.PostgresError:
            await self._connection.execute("ROLLBACK TO before")
            raise

    async def _close(self) -> None:
        self._connection.terminate()
        await asyncio.sleep(0)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


def _runs(pid: int) -> bool:
    """Whether process PID is there; one that has ended, and waits for its parent to notice, is not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    return False
