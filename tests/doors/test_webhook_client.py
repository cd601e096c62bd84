"""Webhooks go to the one system that the settings name, and to no address of a private network."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.receiver import SECRET, Receiver
from tracker.core.webhook import Webhook, headers, secret_octets
from tracker.doors.webhook_client import WebhookClient
from tracker.model import WebhookNotSent

BODY = b'{"type":"message.opened"}'
Clients = Callable[..., WebhookClient]


class Names(AbstractResolver):
    """Says each time the next of ADDRESSES, and the last one ever after."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = list(addresses)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        self.asked += 1
        address = self._addresses[0] if len(self._addresses) == 1 else self._addresses.pop(0)
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as one:
        yield one


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    made: list[WebhookClient] = []

    def make(url: str, private: bool = True, resolver: AbstractResolver | None = None) -> WebhookClient:
        made.append(WebhookClient(url, private=private, resolver=resolver))
        return made[-1]

    yield make
    for client in made:
        await client.close()


async def post(client: WebhookClient) -> None:
    await client.post(BODY, headers(Webhook("msg_1", BODY), secret_octets(SECRET), datetime.now(UTC)))


async def test_it_arrives_and_verifies(receiver: Receiver, clients: Clients) -> None:
    await post(clients(receiver.url))
    assert receiver.taken == [("msg_1", {"type": "message.opened"})]
    assert receiver.agents == {None}


@pytest.mark.parametrize("status", [400, 410, 500, 302])
async def test_another_answer_than_yes_is_none_and_no_redirect_is_followed(
    receiver: Receiver, clients: Clients, status: int
) -> None:
    receiver.status = status
    with pytest.raises(WebhookNotSent, match=f"^{status}$"):
        await post(clients(receiver.url))
    assert len(receiver.heard) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
async def test_a_private_address_is_refused(receiver: Receiver, clients: Clients, host: str) -> None:
    with pytest.raises(WebhookNotSent, match="PrivateAddress"):
        await post(clients(f"http://{host}:{receiver.port}/told", private=False))
    assert not receiver.heard


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254"])
async def test_a_name_that_leads_to_a_private_address_is_refused(
    receiver: Receiver, clients: Clients, address: str
) -> None:
    names = Names(address)
    with pytest.raises(WebhookNotSent):
        await post(clients(f"http://crm.example.com:{receiver.port}/told", private=False, resolver=names))
    assert names.asked == 1
    assert not receiver.heard


async def test_a_name_that_becomes_private_between_two_webhooks_is_refused(
    receiver: Receiver, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: what is checked is the address of each connection, not the name and not an earlier answer."""
    names = Names("203.0.113.9", "127.0.0.1")
    client = clients(f"http://crm.example.com:{receiver.port}/told", private=False, resolver=names)
    for _ in range(3):
        with pytest.raises(WebhookNotSent, match="PrivateAddress"):
            await post(client)
    assert names.asked == 3
    assert not receiver.heard


async def test_who_cannot_be_reached_is_told_by_the_kind_of_error_alone(clients: Clients) -> None:
    with pytest.raises(WebhookNotSent, match=r"^[A-Za-z]+$"):
        await post(clients("http://127.0.0.1:1/told?key=hidden"))
