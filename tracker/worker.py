"""Runs one of several processes of a server: `main`, with its orders on stdin.

The law: it leaves with its parent, however that ends, and finishes what was begun first.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import shutil
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import uvloop

from tracker.bodies_memory import bodies_in
from tracker.burst_memory import bursts_in
from tracker.logs import configure
from tracker.metrics import count_in_common
from tracker.model import TrackerError
from tracker.orders import HAND_OVER, READY, Orders
from tracker.post import Leadership, Post
from tracker.service import serve
from tracker.tries_memory import tries_in

log = logging.getLogger(__name__)

LONGEST_END: Final = 60.0
"""Seconds after which a worker whose parent is gone ends whatever it is doing."""


async def work(orders: Orders) -> None:
    """Serve until the parent says otherwise. Raises what `serve` raises."""
    for descriptor in orders.inherited:
        os.set_inheritable(descriptor, False)
    line = socket.socket(fileno=orders.line)
    bursts = bursts_in(orders.bursts, orders.number, orders.places)
    leadership = Leadership(orders.folder)
    stop, post = (
        asyncio.Event(),
        Post(
            orders.number,
            leadership,
            orders.folder,
            bursts,
            tries_in(orders.tries),
            bodies_in(orders.bodies, orders.number),
            resign=leadership.resign,
        ),
    )
    loop = asyncio.get_running_loop()
    listener = threading.Thread(target=_listen_to_parent, args=(line, loop, post.hand_over, stop, orders.folder))
    listener.daemon = True  # it waits for as long as the parent lives
    listener.start()
    sockets = {name: tuple(socket.socket(fileno=one) for one in several) for name, several in orders.sockets.items()}
    await serve(orders.settings, lambda: line.sendall(READY), stop=stop, post=post, sockets=sockets)


def _listen_to_parent(
    line: socket.socket, loop: asyncio.AbstractEventLoop, hand_over: asyncio.Event, stop: asyncio.Event, folder: Path
) -> None:
    """In a thread, so that a worker whose loop is stuck leaves, too."""
    with suppress(OSError):
        while line.recv(1) == HAND_OVER:
            loop.call_soon_threadsafe(hand_over.set)
    log.warning("the parent process is gone; stopping")
    loop.call_soon_threadsafe(stop.set)
    shutil.rmtree(folder, ignore_errors=True)  # the parent would have done it
    time.sleep(LONGEST_END)
    os._exit(1)


def main() -> None:
    """Do as the parent orders; exits 1 when that was not possible, after saying why."""
    configure(sys.stderr)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it tells the parent to exchange its workers
    orders: Orders = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent
    count_in_common(orders.number)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work(orders))
    except TrackerError as error:
        sys.exit(error.explanation)
    except Exception:
        log.exception("a worker failed")
        sys.exit(1)
