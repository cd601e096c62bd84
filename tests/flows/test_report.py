"""When figures show: to a rep with their hour, to a system of the controller at once."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.flows.conftest import NOW, Flows, hit
from tests.flows.test_send import ANNA, envelope, mail, tokens_in
from tracker.flows.report import Listing, Logins

JONAS = frozenset({"jonas"})


@pytest.mark.usefixtures("patient")
async def test_an_open_shows_at_once_to_a_system_and_with_its_hour_to_a_rep(flows: Flows) -> None:
    """Nobody who knows the customer learns the minute by looking again and again."""
    await flows.grant(ANNA)
    answer = await flows.sender.rewrite(envelope(owner="jonas"), mail(), NOW)
    await flows.hits.opened(tokens_in(answer.message)[0], hit())
    turned = NOW + timedelta(hours=1)

    async def seen(logins: Logins, at: datetime) -> set[int]:
        (listed,) = (await flows.figures.messages(Listing(logins), at)).messages
        alone = await flows.figures.message(listed.message.hex(), logins, at)
        moments = await flows.figures.timeline(listed.message.hex(), logins, at)
        ((person,),) = [each.messages for each in await flows.figures.recipients([ANNA], logins, at)]
        return {listed.opened, alone.opened, sum(each.opened for each in moments), int(person.opened is not None)}

    assert await seen(None, NOW) == {1}
    assert await seen(JONAS, NOW) == {0}
    assert await seen(JONAS, turned) == {1}
