"""A mailbox is proved by a link that was mailed to it: once, for a quarter of an hour, with the same work for all."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from tests.flows.conftest import NOW, PUBLIC, RING, TOKENS, Flows, counted_bytes
from tracker.core.keys import KeyRing
from tracker.core.mailbox import VALID
from tracker.core.pseudonym import pseudonym
from tracker.core.tokens import Tokens
from tracker.flows.mailbox import Mailbox
from tracker.flows.mailing import A_DAY, Mailings
from tracker.model import InvalidAddress, Language, Letter, MailKind

ANNA = "Anna@example.org"
PERSON = pseudonym(RING.pseudonym_keys, "anna@example.org")


@dataclass
class Posted:
    """What would go to the next hop."""

    letters: list[Letter] = field(default_factory=list)

    async def post(self, letter: Letter) -> None:
        self.letters.append(letter)


async def mailed(flows: Flows, *addresses: str, ring: KeyRing = RING) -> tuple[Mailbox, list[Letter]]:
    """A mailbox flow, and the letters that went out when each of ADDRESSES was typed."""
    posted = Posted()
    tokens = Tokens(ring)
    async with Mailings(flows.store, posted.post) as mailings:
        mailbox = Mailbox(flows.store, lambda: tokens, mailings, counted_bytes(), PUBLIC)
        for address in addresses:
            await mailbox.send_link(address, Language.IT, NOW)
    return mailbox, posted.letters


def token(letter: Letter) -> str:
    assert letter.url.startswith(f"{PUBLIC}/me/")
    return letter.url.removeprefix(f"{PUBLIC}/me/")


async def test_r49_the_link_goes_to_the_mailbox_and_opens_one_session(flows: Flows) -> None:
    """R49: the mailbox is the proof; no second use, and looking is no use."""
    mailbox, (letter,) = await mailed(flows, ANNA)
    assert (letter.kind, letter.address, letter.language, letter.valid_for) == (
        MailKind.MAILBOX, "anna@example.org", Language.IT, VALID,
    )  # fmt: skip
    for _ in range(3):
        assert mailbox.read_link(token(letter), NOW) is not None
    session = await mailbox.open(token(letter), NOW)
    assert session is not None
    assert (session.person, session.language, session.until) == (PERSON, Language.IT, NOW + VALID)
    assert await mailbox.open(token(letter), NOW) is None
    assert await mailbox.session(session.cookie, NOW) == session


async def test_r49_known_and_unknown_addresses_are_mailed_alike(flows: Flows) -> None:
    """R49: who is unknown gets a link too, to an empty page."""
    await flows.grant(ANNA)
    _, letters = await mailed(flows, ANNA, "nobody@example.org")
    assert {len(letter.url) for letter in letters} == {len(letters[0].url)}
    assert len(letters) == 2


async def test_three_mails_a_day_and_no_more(flows: Flows) -> None:
    _, letters = await mailed(flows, *[ANNA] * (A_DAY + 2), "bert@example.org")
    assert len(letters) == A_DAY + 1


async def test_a_link_and_a_session_are_over_after_a_quarter_of_an_hour(flows: Flows) -> None:
    mailbox, (letter,) = await mailed(flows, ANNA)
    assert await mailbox.open(token(letter), NOW + VALID) is None
    session = await mailbox.open(token(letter), NOW + VALID - timedelta(seconds=1))
    assert session is not None
    assert await mailbox.session(session.cookie, session.until) is None


async def test_r58_a_session_that_was_ended_opens_nothing_even_if_its_cookie_was_copied(flows: Flows) -> None:
    """R58: replay after signing out."""
    mailbox, (letter,) = await mailed(flows, ANNA)
    session = await mailbox.open(token(letter), NOW)
    assert session is not None
    await mailbox.end(session)
    assert await mailbox.session(session.cookie, NOW) is None


async def test_a_link_is_no_cookie_and_a_cookie_no_link(flows: Flows) -> None:
    mailbox, (letter,) = await mailed(flows, ANNA)
    assert await mailbox.session(token(letter), NOW) is None
    session = await mailbox.open(token(letter), NOW)
    assert session is not None
    assert await mailbox.open(session.cookie, NOW) is None


@pytest.mark.parametrize("address", ["", "anna", "anna@", "a@example.org, b@example.org", "<anna@example.org>"])
async def test_what_is_no_address_is_mailed_nothing(flows: Flows, address: str) -> None:
    with pytest.raises(InvalidAddress):
        await mailed(flows, address)


async def test_without_a_next_hop_it_says_so(flows: Flows) -> None:
    async with Mailings(flows.store, None) as mailings:
        assert not Mailbox(flows.store, lambda: TOKENS, mailings, counted_bytes(), PUBLIC).possible
