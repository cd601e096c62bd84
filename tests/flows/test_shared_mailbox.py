"""Nobody's mailbox is filled through `/ask` and `/privacy` by the many spellings that arrive in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.flows.asking_world import World, token_of, world_on
from tests.flows.conftest import NOW, PUBLIC, RING, TOKENS, Flows, counted_bytes
from tracker.core.calendar import day_of, later
from tracker.core.held import Held
from tracker.core.pseudonym import pseudonym
from tracker.flows.mailbox import Mailbox
from tracker.flows.mailing import A_DAY
from tracker.model import MAIL_PURPOSES, Language


@pytest.fixture
async def world(flows: Flows) -> AsyncIterator[World]:
    async with world_on(flows) as world:
        yield world


async def test_spellings_that_share_a_mailbox_share_its_throttle(world: World) -> None:
    store = world.flows.store
    mailbox = Mailbox(store, lambda: TOKENS, world.mailings, counted_bytes(), PUBLIC)
    for number in range(5):
        await world.asking.ask(f"anna+{number}@example.org", MAIL_PURPOSES, Language.DE, NOW)
        await mailbox.send_link(f"an.na+{number}@example.org", Language.DE, NOW)
    await world.mailings._queue.join()
    assert len(world.letters) == A_DAY
    opened = TOKENS.open_ask(token_of(world.letters[0].url))
    assert opened is not None
    assert opened.pseudonym == pseudonym(RING.pseudonym_keys, "anna+0@example.org"), "whose yes it is stays as typed"
    assert world.letters[0].address == "anna+0@example.org"
    await store.sweep(later(day_of(NOW), 1), NOW, 1095)
    assert await store.held(pseudonym(RING.pseudonym_keys, "anna@example.org"), day_of(NOW)) == Held()
