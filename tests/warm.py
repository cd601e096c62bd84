"""Runs `tracker` commands in processes that are forked from one which has the program loaded already.

Pages of deploy/ run dozens of commands; loading the program takes each of them a second, and is tested elsewhere.
Started as a program (`python -m tests.warm SOCKET [MIGRATIONS HEAD]`) this is that process. With MIGRATIONS and HEAD it
plays the next release, whose schema has one migration more.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracker.cli import main
from tracker.store import migrate

ROOT = Path(__file__).parent.parent
PATIENCE = 60.0
CLIENT = """#!{python} -IS
import json, os, signal, socket, sys
door = socket.socket(socket.AF_UNIX)
door.connect(os.environ.get("WARM_TRACKER") or {path!r})
said = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode() + b"\\n"
socket.send_fds(door, [said[:60000]], [0, 1, 2])
door.sendall(said[60000:])
answers = door.makefile()
pid = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, lambda number, frame: os.kill(pid, number))
sys.exit(int(answers.readline() or 1))
"""


@contextmanager
def warm_tracker(folder: Path, *next_release: str) -> Iterator[Path]:
    """The path of a program `tracker` in FOLDER, which is there until the end; all that it started ends with it."""
    path, client = folder / "door", folder / "tracker"
    folder.mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.warm", str(path), *next_release],
        cwd=ROOT,
        start_new_session=True,
        stdin=subprocess.PIPE,
    )
    try:
        end = time.monotonic() + PATIENCE
        while not path.exists():
            assert process.poll() is None
            assert time.monotonic() < end, "it does not begin"
            os.sched_yield()
        client.write_text(CLIENT.format(python=sys.executable, path=str(path)))
        client.chmod(0o755)
        yield client
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)


def _serve(path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path.with_suffix(".new")))
    listening.listen(64)
    path.with_suffix(".new").rename(path)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for the commands
    while True:
        ready, _, _ = select.select([listening, sys.stdin], [], [])
        if sys.stdin in ready:  # the test is gone, however it ended
            os.killpg(0, signal.SIGKILL)
        connection, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _attend(connection)
        connection.close()


def _attend(connection: socket.socket) -> None:
    """Start the command that CONNECTION asks for, and tell its number and, at its end, its status."""
    said, descriptors, _, _ = socket.recv_fds(connection, 65_536, 3)
    while not said.endswith(b"\n"):
        said += connection.recv(65_536)
    words, folder, environment = json.loads(said)
    pid = os.fork()
    if pid == 0:
        connection.close()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["tracker", *words]
        _run()
    for descriptor in descriptors:
        os.close(descriptor)
    connection.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _run() -> None:
    status = 0
    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    if sys.argv[2:]:
        for name, value in (("MIGRATIONS", Path(sys.argv[2])), ("HEAD", sys.argv[3])):
            setattr(migrate, name, value)
    _serve(Path(sys.argv[1]))
