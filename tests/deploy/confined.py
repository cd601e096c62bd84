"""Runs `tracker` under the restrictions of deploy/systemd that a process can lay upon itself, where no systemd runs.

Laid on as systemd does it, by seccomp filters that children inherit: SystemCallFilter, RestrictAddressFamilies,
MemoryDenyWriteExecute; further LimitCORE, LimitNOFILE, UMask, NoNewPrivileges.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import runpy
import socket
import subprocess
from pathlib import Path
from typing import Any, Final

UNIT: Final = Path(__file__).parents[2] / "deploy" / "systemd" / "tracker.service"
ALLOW: Final = 0x7FFF0000
EQUAL, MASKED_EQUAL = 4, 7
WRITE, EXECUTE = 2, 4
SHM_EXECUTE: Final = 0o100000


class Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp` of libseccomp."""

    _fields_ = (("argument", ctypes.c_uint), ("how", ctypes.c_int), ("one", ctypes.c_uint64), ("two", ctypes.c_uint64))


class Filter:
    """A filter of system calls that is not in force yet."""

    def __init__(self, otherwise: int) -> None:
        self._library = ctypes.CDLL("libseccomp.so.2")
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(otherwise)))
        assert self._context

    def rule(self, action: int, call: str, *comparison: int) -> None:
        """Let ACTION befall CALL, where the COMPARISON holds; a call that this machine does not have is left out."""
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return
        array: Any = (Comparison * 1)(Comparison(*comparison)) if comparison else None
        count = 1 if comparison else 0
        done = self._library.seccomp_rule_add_array(self._context, ctypes.c_uint32(action), number, count, array)
        assert done == 0, (call, os.strerror(-done))

    def load(self) -> None:
        done = self._library.seccomp_load(self._context)
        assert done == 0, os.strerror(-done)


def directives(name: str, unit: Path = UNIT) -> list[str]:
    """What UNIT says for NAME, in order."""
    lines = (line.partition("=") for line in unit.read_text().splitlines() if not line.startswith("#"))
    return [value for key, _, value in lines if key == name]


def calls(group: str) -> set[str]:
    """The system calls of a GROUP such as @system-service, as this machine's systemd has it."""
    listing = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, check=True, text=True)
    words = [line.strip() for line in listing.stdout.splitlines()[1:]]
    found: set[str] = set()
    for word in words:
        if word.startswith("@"):
            found |= calls(word)
        elif word and not word.startswith("#"):
            found.add(word)
    return found


def allowed() -> set[str]:
    """What SystemCallFilter lets through; systemd itself needs some more to begin."""
    found = calls("@default") | {"execve"}
    for line in directives("SystemCallFilter"):
        listed = set().union(*(calls(word) if word[0] == "@" else {word} for word in line.removeprefix("~").split()))
        found = found - listed if line.startswith("~") else found | listed
    return found


def confine() -> None:
    """Lay the restrictions upon this process, for good."""
    families = {getattr(socket, name) for line in directives("RestrictAddressFamilies") for name in line.split()}
    known = allowed()
    assert directives("LimitCORE") == ["0"]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    files = min(int(directives("LimitNOFILE")[0]), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    os.umask(int(directives("UMask")[0], 8))
    some = Filter(ALLOW)
    for family in set(range(46)) - families:
        some.rule(0x50000 | errno.EAFNOSUPPORT, "socket", 0, EQUAL, family, 0)
    if directives("MemoryDenyWriteExecute") == ["yes"]:
        refuse = 0x50000 | errno.EPERM
        some.rule(refuse, "mmap", 2, MASKED_EQUAL, WRITE | EXECUTE, WRITE | EXECUTE)
        some.rule(refuse, "mprotect", 2, MASKED_EQUAL, EXECUTE, EXECUTE)
        some.rule(refuse, "pkey_mprotect", 2, MASKED_EQUAL, EXECUTE, EXECUTE)
        some.rule(refuse, "shmat", 2, MASKED_EQUAL, SHM_EXECUTE, SHM_EXECUTE)
    some.load()
    most = Filter(0x50000 | getattr(errno, directives("SystemCallErrorNumber")[0]))
    # SQLite and the tracker hand files on to the folder's owner, but only as root, which the unit's user is not.
    for call in known | ({"fchown"} if os.geteuid() == 0 else set()):
        most.rule(ALLOW, call)
    most.load()


if __name__ == "__main__":
    confine()
    runpy.run_module("tracker", run_name="__main__", alter_sys=True)
