"""Says what a process has to know of its server: who leads, where all count, what all see, when to hand over."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tracker.core.bursts import Bursts
from tracker.core.tries import Tries
from tracker.doors.budget import Tally
from tracker.tries_memory import tries_alone


class Leadership:
    """Belongs to one of the processes that share the folder FOLDER, until that one ends, however it does (flock)."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "leader"
        self._descriptor: int | None = None
        self._mine = False
        self._resigned = False

    def __call__(self) -> bool:
        """Whether it is this process's; it becomes so when nobody has it. Raises OSError."""
        if self._resigned:
            return False
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not self._mine:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._mine = True
        return True

    def resign(self) -> None:
        """Leave it to the others, for good."""
        self._resigned = True
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # not by closing alone: a child may have the file open, too
            os.close(self._descriptor)
            self._descriptor, self._mine = None, False


def alone() -> bool:
    """What a process that shares its server with no other says to whether it leads."""
    return True


def stay() -> None:
    """How a process resigns that shares its server with no other: nobody could lead in its place."""


@dataclass(frozen=True)
class Post:
    """The place of a process among those of one server; by default it is the only one."""

    number: int = 0
    """Different from that of any other process of the server that lives; a successor may have it again."""
    leads: Callable[[], bool] = alone
    """Whether this process does what only one may do."""
    folder: Path | None = None
    """Where all of them count, for `/metrics`; None: each for itself."""
    bursts: Bursts = field(default_factory=Bursts.alone)
    """What this process sees of bursts, if need be in memory that all share."""
    tries: Tries = field(default_factory=tries_alone)
    """Where this process counts who tries passwords, if need be in memory that all share."""
    bodies: Tally = field(default_factory=Tally.alone)
    """Where this process counts what bodies take, if need be in memory that all share."""
    hand_over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when others serve the same sockets: take nothing new, finish, and leave."""
    resign: Callable[[], None] = stay
    """Lets another process lead; from then on `leads` says no."""
