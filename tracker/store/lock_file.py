"""Opens the files that processes lock to take turns at a database; they stand beside it, and nothing stands in them.

The law: a lock goes with the process that holds it, however that ends, since the kernel takes it back (flock).
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def open_lock_file(database: Path, name: str) -> int:
    """A descriptor of the file NAME beside DATABASE, made if need be, for `flock`; no other program inherits it.

    It belongs to whoever owns the database, so that a command run by root shuts nobody out. Raises OSError.
    """
    path = database.with_name(f"{database.name}-{name}")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if os.geteuid() == 0:
            owner = database.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def taken(descriptor: int) -> bool:
    """Lock the file behind DESCRIPTOR if nobody holds it just now; whether that was so. Raises OSError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def let_go(descriptor: int) -> None:
    """Unlock the file behind DESCRIPTOR."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
