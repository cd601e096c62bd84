"""Runs the real program as processes of its own, and speaks to it as its users do."""

from __future__ import annotations

import atexit
import http.client
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

PATIENCE = 60
"""Seconds after which a process that should have answered has failed."""
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
CONTROLLER, CONTACT = "Werkstatt Nord GmbH", "privacy@werkstatt-nord.example"


@dataclass(frozen=True)
class Reply:
    """An HTTP answer, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Installation:
    """A folder made by `tracker init`, and the server that runs on it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        public, private, dashboard = free_port(), free_port(), free_port()
        self.public_url = f"http://127.0.0.1:{public}"
        self.private_url = f"http://127.0.0.1:{private}"
        self.dashboard_url = f"http://127.0.0.1:{dashboard}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")},
            "TRACKER_CONFIG": str(folder / "tracker.toml"),
            "TRACKER_PUBLIC_URL": self.public_url,
            "TRACKER_PUBLIC_LISTEN": f"127.0.0.1:{public}",
            "TRACKER_PRIVATE_LISTEN": f"127.0.0.1:{private}",
            "TRACKER_MACHINE_SECONDS": "0",  # tests open at once what they sent
            "TRACKER_DASHBOARD_LISTEN": f"127.0.0.1:{dashboard}",
            "TRACKER_DASHBOARD_URL": self.dashboard_url,
            **settings,
        }
        self._server: subprocess.Popen[str] | None = None
        self._log: IO[bytes] | None = None
        self.key = ""
        self.files: int | None = None
        """How many files the server may have open; None: as many as this process."""
        self.program = ("tracker", "serve")
        """What is run as the server."""

    @classmethod
    def made(cls, folder: Path, **settings: str) -> Self:
        """A new installation with an API key for everything.

        Its notice lets reps watch, since tests look at once at what they did.
        """
        made = cls(folder, **settings)
        made.run("init", str(folder), "--controller", CONTROLLER, "--contact", CONTACT, "--live")
        scopes = ("rewrite", "consent", "stats")
        made.key = made.run("key", "create", "tests", *(word for name in scopes for word in ("--scope", name))).strip()
        return made

    @classmethod
    def copied(cls, folder: Path, **settings: str) -> Self:
        """The same in a moment: a copy of one that was made once for this process, with the same keys."""
        first = _first()
        shutil.copytree(first.folder, folder)
        copy = cls(folder, **settings)
        copy.key = first.key
        return copy

    def run(self, *words: str, stdin: bytes = b"", status: int = 0) -> str:
        """What `tracker WORDS` prints; it must exit with STATUS."""
        return self.process(*words, stdin=stdin, status=status).stdout.decode()

    def process(
        self, *words: str, stdin: bytes = b"", status: int = 0, patience: float = PATIENCE
    ) -> subprocess.CompletedProcess[bytes]:
        """`tracker WORDS`, run to its end, which takes PATIENCE seconds at most."""
        done = subprocess.run(
            [sys.executable, "-m", "tracker", *words],
            input=stdin, capture_output=True, env=self.environment, cwd=self.folder.parent,
            timeout=patience, check=False,
        )  # fmt: skip
        assert done.returncode == status, (
            f"tracker {words[0]} exited {done.returncode}: {done.stderr!r} {done.stdout!r}"
        )
        return done

    # --- the server ---

    @property
    def log_file(self) -> Path:
        return self.folder / "server.log"

    @property
    def pid(self) -> int:
        assert self._server is not None
        return self._server.pid

    @property
    def processes(self) -> list[int]:
        """The server and all that it started."""
        found = [self.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").iterdir():
                with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile has none
                    found += map(int, (task / "children").read_text().split())
        return found

    def start(self, workers: int | None = None) -> None:
        """Start `tracker serve`, with so many WORKERS if that is said, and wait until it says that it listens."""
        self._log = self.log_file.open("ab")
        self._server = subprocess.Popen(
            [*self._limits(), sys.executable, "-m", *self.program, *_arguments(workers)],
            stdout=subprocess.PIPE, stderr=self._log, env=self.environment, cwd=self.folder.parent, text=True,
        )  # fmt: skip
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        assert "listening" in line, f"the server did not start: {line!r} {self.log_file.read_text()}"

    def _limits(self) -> list[str]:
        return [] if self.files is None else ["prlimit", f"--nofile={self.files}:{self.files}"]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait for the end; the exit status."""
        assert self._server is not None
        self._server.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        """Wait for the server's end; the exit status."""
        assert self._server is not None
        assert self._log is not None
        assert self._server.stdout is not None
        status = self._server.wait(PATIENCE)
        self._server.stdout.close()
        self._log.close()
        self._server = None
        return status

    def kill(self) -> None:
        """End the server if it runs."""
        if self._server is not None:
            self.stop(signal.SIGKILL)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self.stop(signal.SIGKILL if kind else signal.SIGTERM)

    # --- its doors ---

    def public(self, method: str, path: str, body: bytes | None = None, /, **headers: str) -> Reply:
        """A stranger's request with a browser, from the peer address 127.0.0.77."""
        named = {"User-Agent": BROWSER, **_named(headers)}
        return ask(self.public_url, method, path, body, named, source="127.0.0.77")

    def api(self, method: str, path: str, body: object = None, key: str | None = None, **headers: str) -> Reply:
        """A caller's request; BODY is sent as it is when it is bytes, as JSON otherwise."""
        named = {"Authorization": f"Bearer {self.key if key is None else key}", **_named(headers)}
        data = body
        if body is not None and not isinstance(body, bytes):
            named.setdefault("Content-Type", "application/json")
            data = json.dumps(body).encode()
        assert data is None or isinstance(data, bytes)
        return ask(self.private_url, method, path, data, named, source="127.0.0.77")

    def until_ready(self) -> None:
        """Ask until the server says that mail would be tracked."""
        end = time.monotonic() + PATIENCE
        while (answer := self.api("GET", "/health/ready")).status != 200:
            assert time.monotonic() < end, answer.body

    def until_written(self) -> None:
        """Ask until no event waits: a hit is answered before its commit when that takes long."""
        self.until_told(b"tracker_events_waiting 0.0")

    def until_told(self, line: bytes) -> None:
        """Ask until LINE is one of the metrics."""
        end = time.monotonic() + PATIENCE
        while b"\n%b\n" % line not in (body := self.api("GET", "/metrics").body):
            assert time.monotonic() < end, body

    def rewrite(self, message: bytes, recipient: str, **headers: str) -> Reply:
        """POST /v1/rewrite of one copy that goes to RECIPIENT alone."""
        named = {"content_type": "message/rfc822", "tracker_recipient": recipient, "tracker_copy": "single"}
        given = {name.lower(): value for name, value in headers.items()}
        return self.api("POST", "/v1/rewrite", message, **{**named, **given})

    def grant(self, address: str, *purposes: str, **more: object) -> Reply:
        """POST /v1/consents: confirmed by a web form."""
        return self.api("POST", "/v1/consents", consent(address, *purposes, **more))


def consent(address: str, *purposes: str, **more: object) -> dict[str, object]:
    """The body of a consent that makes live grants, as CONTRACT has it."""
    return {
        "address": address,
        "purposes": list(purposes) or ["open", "click"],
        "method": "web-form",
        "given_at": _days_ago(2),
        "notice_version": "2026-1",
        "language": "de",
        "evidence": {
            "source": "https://example.org/newsletter",
            "confirmed_at": _days_ago(1),
            "confirmed_by": "link-in-mail",
        },
        **more,
    }


def ask(base: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str], source: str) -> Reply:
    """One request to BASE on a connection of its own, from the loopback address SOURCE."""
    connection = http.client.HTTPConnection(base.removeprefix("http://"), timeout=PATIENCE, source_address=(source, 0))
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def on_a_terminal(*words: str, environment: Mapping[str, str], folder: Path) -> tuple[bytes, bytes]:
    """What `tracker WORDS` prints, and what it shows meanwhile where its standard error is a terminal."""
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tracker", *words],
            env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=theirs, timeout=PATIENCE, check=True,
        )  # fmt: skip
    finally:
        os.close(theirs)
    shown = b""
    with suppress(OSError), open(ours, "rb", buffering=0) as terminal:  # an error when all of it was read
        while some := terminal.read(65_536):
            shown += some
    return done.stdout, shown


@cache
def _first() -> Installation:
    folder = tempfile.mkdtemp(prefix="tracker-")
    atexit.register(shutil.rmtree, folder)
    return Installation.made(Path(folder) / "tracker")


def _arguments(workers: int | None) -> list[str]:
    return [] if workers is None else ["--workers", str(workers)]


def free_port() -> int:
    """A port that nobody listens on just now, and that nobody is given before it is ours.

    The system gives away, and connects from, the ephemeral ports alone; ours lie below, and each process of
    pytest-xdist has its own. All are odd and above 26,000, so that none has 8080 in it or begins with 2525: pages name
    these, and tests write ports in their place, one after the other.
    """
    return next(port for port in _own_ports() if _is_free(port))


@cache
def _own_ports() -> Iterator[int]:
    """The ports of this process, over and over, from a place that is most likely nobody else's."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw7").removeprefix("gw"))
    own = range(26_001 + 2 * (worker % 8), _first_ephemeral(), 16)
    start = os.getpid() * 97 % len(own)  # processes of one worker, and other runs, do not follow on each other's heels
    return cycle([*own[start:], *own[:start]])


def _first_ephemeral() -> int:
    """Where the ports begin that the system gives away; where that leaves too few below, what it is by default."""
    with suppress(OSError):
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        if lowest >= 30_000:
            return lowest
    return 32_768


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


def _days_ago(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
