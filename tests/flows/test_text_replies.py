"""A rep answers in plain text, where its links are tracked: the quotation stays, and what it quotes is closed."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import replace

import pytest

from tests.flows.conftest import NOW, PUBLIC, TOKENS, Flows, counted_bytes, hit
from tests.flows.test_send import ANNA, BERT, envelope, mail
from tracker.core.survey import Refused, Survey, SurveyPolicy, survey
from tracker.flows.send import Sender
from tracker.model import Left, Purpose, Reason

pytestmark = pytest.mark.usefixtures("patient")
LINK = re.compile(rf"{PUBLIC}/c/([\w.-]{{66}})/([^/\s]+)/([^/\s]+)/")


@pytest.fixture
def texts(flows: Flows) -> Flows:
    async def surveyed(message: bytes) -> Survey | Refused:
        await asyncio.sleep(0)
        return survey(message, SurveyPolicy((PUBLIC,), text_links=True))

    return replace(flows, sender=Sender(flows.store, lambda: TOKENS, surveyed, counted_bytes(), flows.sender._policy))


def text(body: str, **headers: str) -> bytes:
    return mail(body, Content_Type="text/plain", **headers)


async def offered(flows: Flows) -> str:
    """The offer as Anna got it."""
    await flows.grant(ANNA)
    answer = await flows.sender.rewrite(envelope(), text("Offer: https://shop.example/a?b=1"), NOW)
    assert (answer.reason, answer.purposes, answer.links_tracked) == (None, frozenset({Purpose.CLICK}), 1)
    return answer.message.partition(b"\r\n\r\n")[2].decode()


def quoting(offer: str, how: str) -> bytes:
    quotation = "".join(f"{how}{line}\r\n" for line in offer.splitlines())
    body = f"See also https://shop.example/more\r\n\r\nAnna wrote:\r\n{quotation}"
    return text(body, Message_ID="<2@x>", In_Reply_To="<1@x>", Subject="Re: Offer")


async def followed(flows: Flows, offer: str) -> str:
    """What becomes of it when somebody follows the link in OFFER."""
    link = LINK.search(offer)
    assert link
    led = await flows.hits.clicked(link[1], link[2], link[3], hit())
    assert led
    assert led.url == "https://shop.example/a?b=1"
    return flows.counted.hits[-1][2]


@pytest.mark.parametrize("how", ["> ", ""])
async def test_the_quotation_stays_and_the_reply_gets_its_own_link_and_notice(texts: Flows, how: str) -> None:
    offer = await offered(texts)
    sent = quoting(offer, how)
    answer = await texts.sender.rewrite(envelope(), sent, NOW)
    assert (answer.reason, answer.links_tracked, answer.left) == (None, 1, {Left.TRACKER_LINK: 2})
    before, after = sent.decode(), answer.message.decode()
    assert after.count(before[before.index("\r\n\r\nAnna wrote:") :]) == 1
    assert len({link[0] for link in LINK.findall(after)}) == 2
    assert await followed(texts, offer) == "recorded", "the copy goes to Anna herself"
    again = await texts.sender.rewrite(envelope(), answer.message, NOW)
    assert (again.message, again.reason) == (answer.message, Reason.ALREADY_TRACKED)


@pytest.mark.parametrize("how", ["> ", ""])
@pytest.mark.parametrize("granted", [True, False])
async def test_a_copy_to_somebody_else_closes_the_links_that_it_quotes(texts: Flows, how: str, granted: bool) -> None:
    offer = await offered(texts)
    if granted:
        await texts.grant(BERT)
    answer = await texts.sender.rewrite(envelope(BERT), quoting(offer, how).replace(b"anna@", b"bert@"), NOW)
    assert answer.reason is (None if granted else Reason.NO_GRANT)
    assert await followed(texts, offer) == "refused"


async def test_a_link_in_text_that_hides_the_recipients_address_is_left_for_that_one_alone(texts: Flows) -> None:
    for person in (ANNA, BERT):
        await texts.grant(person)
    digest = hashlib.sha256(ANNA.encode()).hexdigest()
    sent = text(f"See https://shop.example/?u={digest} and https://shop.example/b", Cc=BERT)
    anna = await texts.sender.rewrite(envelope(single=True), sent, NOW)
    assert (anna.links_tracked, anna.left) == (1, {Left.ADDRESS_IN_TARGET: 1})
    assert digest in anna.message.decode()
    bert = await texts.sender.rewrite(envelope(BERT, single=True), sent, NOW)
    assert (bert.links_tracked, bert.left) == (2, {})
