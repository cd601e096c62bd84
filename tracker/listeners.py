"""Binds the addresses of the settings, once: whoever serves them gets the sockets, and so does who comes after."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final, TypeAlias

from tracker.config import Listen, Settings
from tracker.doors.server import bind
from tracker.model import BadSetting

Sockets: TypeAlias = Mapping[str, tuple[socket.socket, ...]]
"""Listening sockets by the setting that names their address."""

SMTP: Final = ("smtp_listen", "smtps_listen")
"""The settings that name where mail is listened for, if they are set."""
NAMES: Final = ("private_listen", "public_listen", "dashboard_listen", *SMTP)
"""The settings that name where anything is listened for."""


def bound(settings: Settings, known: Sockets | None = None, before: Settings | None = None) -> Sockets:
    """A socket for every listener of SETTINGS; those of KNOWN, bound for the settings BEFORE, where nothing changed.

    Raises BadSetting, which names the setting, and then nothing new is bound.
    """
    made: dict[str, tuple[socket.socket, ...]] = {}
    fresh: dict[str, tuple[socket.socket, ...]] = {}
    try:
        for name in NAMES:
            where: Listen | None = getattr(settings, name)
            if where is None:
                continue
            if known is not None and getattr(before, name) == where:
                made[name] = known[name]
            else:
                made[name] = fresh[name] = bind(where.host, where.port)
    except OSError as error:
        close(fresh)
        raise BadSetting(f"{name}: {where} cannot be listened on: {error.strerror}") from None
    return made


def close(sockets: Sockets, but: Sockets | None = None) -> None:
    """Close SOCKETS in this process, except those that are also in BUT."""
    kept = {one for several in (but or {}).values() for one in several}
    for several in sockets.values():
        for one in several:
            if one not in kept:
                one.close()
