"""The worker processes of a running server, and connections that lead to one of them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Self

from tests.harness import BROWSER, PATIENCE, Installation, Reply


def until(holds: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait until HOLDS does; WHAT is said when it does not."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def workers(tracker: Installation) -> list[int]:
    """The worker processes that there are."""
    return [pid for pid in _processes() if _parent(pid) == tracker.pid and b"tracker.worker" in _command(pid)]


def alive(pid: int) -> bool:
    """Whether process PID runs, or is stopped; one that has ended and waits to be noticed does not."""
    with suppress(OSError):
        return _stat(pid)[0] not in ("Z", "X")
    return False


def folder_of(pid: int) -> Path:
    """Where the worker PID counts together with the others."""
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    (found,) = (one for one in environment if one.startswith(b"PROMETHEUS_MULTIPROC_DIR="))
    return Path(os.fsdecode(found.partition(b"=")[2]))


def leader(folder: Path) -> int | None:
    """The worker that holds the lock of the one who leads, among those that share FOLDER."""
    inode = str((folder / "leader").stat().st_ino)
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode:
            return int(words[4])
    return None


class Pinned:
    """A keep-alive connection to one worker."""

    def __init__(self, tracker: Installation, worker: int, url: str) -> None:
        self.worker = worker
        self._tracker = tracker
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)
        with only(worker, workers(tracker)):
            self._connection.request("GET", "/robots.txt" if url == tracker.public_url else "/health/live")
            self._connection.getresponse().read()

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """One request; the API key goes along on the private listener."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, body, named)
        answer = self._connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())

    def api(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """A caller's request."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        content = {} if body is None else {"content_type": "application/json"}
        return self.ask(method, path, data, authorization=f"Bearer {self._tracker.key}", **{**content, **headers})

    def rewrite(self, message: bytes, recipient: str, **headers: str) -> Reply:
        """POST /v1/rewrite of one copy that goes to RECIPIENT alone."""
        named = {"content_type": "message/rfc822", "tracker_recipient": recipient, "tracker_copy": "single"}
        return self.api("POST", "/v1/rewrite", message, **named, **headers)

    def is_closed(self, seconds: float) -> bool:
        """Whether the worker ends the connection, on which nothing is asked, within so many SECONDS."""
        line = self._connection.sock
        line.settimeout(seconds)
        with suppress(TimeoutError):
            return bool(line.recv(1) == b"")
        return False

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Member:
    """A worker by its own doors: what a running server is asked through it, this worker answers."""

    def __init__(self, tracker: Installation, worker: int) -> None:
        self._public = Pinned(tracker, worker, tracker.public_url)
        self._private = Pinned(tracker, worker, tracker.private_url)
        self.api, self.rewrite = self._private.api, self._private.rewrite

    def public(self, method: str, path: str) -> Reply:
        """A stranger's request with a browser."""
        return self._public.ask(method, path, user_agent=BROWSER)

    def close(self) -> None:
        self._public.close()
        self._private.close()


@contextmanager
def members(tracker: Installation) -> Iterator[list[Member]]:
    """Each worker of TRACKER."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(Member(tracker, worker))) for worker in workers(tracker)]


@contextmanager
def only(worker: int, all_of_them: list[int]) -> Iterator[None]:
    """Let nobody but WORKER run, so that it is the one who takes the next connection."""
    with without([pid for pid in all_of_them if pid != worker]):
        yield


@contextmanager
def without(stopped: list[int]) -> Iterator[None]:
    """Let nobody of STOPPED do anything."""
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def _processes() -> list[int]:
    return sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(_stat(pid)[1])
    return 0


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
