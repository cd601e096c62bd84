"""The ports that tests are given are their own from the moment they are given."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from itertools import islice

import pytest

from tests.harness import _first_ephemeral, _own_ports, free_port

MANY = 300


def test_each_process_of_xdist_has_ports_of_its_own_which_the_system_gives_to_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = []
    for worker in ("gw0", "gw1", "gw7"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        given.append(set(islice(_own_ports.__wrapped__(), MANY)))
    assert len(set.union(*given)) == sum(map(len, given))
    ports = sorted(set.union(*given))
    assert ports[0] > 26_000
    assert not [port for port in ports if port % 2 == 0]
    assert ports[-1] < _first_ephemeral()


def test_a_port_that_somebody_listens_on_is_not_given() -> None:
    with ExitStack() as stack:
        busy = [stack.enter_context(socket.create_server(("127.0.0.1", free_port()))) for _ in range(3)]
        taken = {one.getsockname()[1] for one in busy}
        assert taken.isdisjoint(free_port() for _ in range(2 * MANY)), "also when their turn comes again"
