"""Has the C library give back at once the memory that large bodies took.

glibc learns from each large piece that is freed to keep pieces of that size: after one message of 25 MiB every process
would hold some 60 MiB for the next one, beside all that is counted.
"""

from __future__ import annotations

import ctypes
from typing import Final

LARGE: Final = 128 * 1024
"""Octets from which a piece has a place of its own, which goes with it; what glibc begins with."""
KEPT: Final = 8 * 2**20
"""Octets that are kept for pieces smaller than that."""
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def give_back_large() -> None:
    """Keep what is LARGE for nobody, in this process; elsewhere than with glibc nothing is changed."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE)
        mallopt(_M_TRIM_THRESHOLD, KEPT)
