"""What a large message took goes back to the system, also where something small was made behind it meanwhile."""

from __future__ import annotations

import subprocess
import sys

MIB = 2**20
MESSAGES = """
import ctypes, sys
from pathlib import Path
from tracker.allocator import give_back_large

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "give back":
    give_back_large()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
before = held()
for _ in range(2):
    large = bytearray(25 * 2**20)
    behind = libc.malloc(100_000)
    del large
print(held() - before)
"""


def kept(how: str) -> int:
    """Octets that a process holds after two messages of 25 MiB."""
    done = subprocess.run([sys.executable, "-c", MESSAGES, how], capture_output=True, timeout=60, check=True)
    return int(done.stdout)


def test_a_large_message_that_has_gone_takes_no_memory() -> None:
    assert kept("give back") < 2 * MIB < 20 * MIB < kept("as ever")
