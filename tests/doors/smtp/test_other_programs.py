"""Programs that know nothing of us: their own headers say which campaign it is and whose copy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.doors.smtp.conftest import FROM, Proxies, mail
from tests.flows.conftest import NOW
from tests.flows.test_send import tokens_in
from tracker.core.control import ControlNames
from tracker.doctor import _signed
from tracker.flows.report import Listing
from tracker.model import Reason

LISTMONK = ControlNames(campaign_header="X-Listmonk-Campaign", reference_header="X-Listmonk-Subscriber")
CAMPAIGN = b"X-Listmonk-Campaign: 5b3d9f6e-1d1c-4a44-9a0e-3f9f0c6f3a11\r\n"
PEOPLE = 100


async def test_a_campaign_of_many_mails_is_one_message_in_the_figures(proxies: Proxies) -> None:
    """listmonk sends each subscriber a message of its own, with a Message-ID of its own."""
    proxy = await proxies(names=LISTMONK)
    addresses = [f"reader{number}@example.org" for number in range(PEOPLE)]
    for address in addresses:
        await proxy.flows.grant(address)
    async with proxy.client() as client:
        for number, address in enumerate(addresses):
            head = CAMPAIGN + f"X-Listmonk-Subscriber: 77aa-{number}\r\n".encode()
            message = mail(head=head.decode()).replace(b"<1@x>", f"<{number}@x>".encode())
            await client.sendmail(FROM, [address], message)
    assert all(tokens_in(taken.octets) and CAMPAIGN in taken.octets for taken in proxy.sink.taken)
    (figures,) = (await proxy.flows.figures.messages(Listing(None), NOW)).messages
    assert (figures.tracked, figures.label) == (PEOPLE, "Offer")
    async with proxy.flows.store._database.read() as connection:
        rows = await connection.exec_driver_sql("SELECT count(*) FROM external_ids WHERE source = 'smtp'")
        assert rows.scalar_one() == PEOPLE, "each is known to that program by its own id"


async def test_a_reference_that_names_the_address_is_left_out_and_the_mail_goes(proxies: Proxies) -> None:
    proxy = await proxies(names=replace(LISTMONK, reference_header="X-Subscriber"))
    await proxy.flows.grant("anna@example.org")
    await proxy.send(mail(head="X-Subscriber: anna@example.org\r\n"), "anna@example.org")
    assert tokens_in(proxy.sink.taken[0].octets)


@pytest.mark.parametrize(("from_subject", "label"), [(True, "Offer"), (False, None)])
async def test_the_label_is_the_subject_or_what_the_header_says(
    proxies: Proxies, from_subject: bool, label: str | None
) -> None:
    """Of a message that nobody agreed to have tracked there is no row to keep it in."""
    proxy = await proxies(names=ControlNames(label_from_subject=from_subject))
    await proxy.flows.grant("anna@example.org")
    await proxy.send(mail(), "anna@example.org", "bert@example.org")
    await proxy.send(mail().replace(b"<1@x>", b"<2@x>"), "bert@example.org")
    (figures,) = (await proxy.flows.figures.messages(Listing(None), NOW)).messages
    assert (figures.label, figures.tracked) == (label, 1)


async def test_a_doctor_tells_of_mail_that_comes_signed(proxies: Proxies) -> None:
    proxy = await proxies()
    for number in range(5):
        await proxy.flows.grant(f"reader{number}@example.org")
    for number in range(5):
        head = "DKIM-Signature: v=1; d=werkstatt-nord.example\r\n" if number < 2 else ""
        await proxy.send(mail(head=head), f"reader{number}@example.org")
    await proxy.send(mail(head="DKIM-Signature: v=1\r\n"), "nobody@example.org")
    await proxy.flows.store._untouched.flush()
    outcomes = await proxy.flows.store.outcomes()
    assert outcomes == {None: 3, Reason.DKIM_SIGNED: 2, Reason.NO_GRANT: 1}
    finding = _signed(outcomes)
    assert (finding.fine, finding.note) == (True, True)
    assert "2 of 5 copies" in finding.why
    outcomes[None] = 8
    assert not _signed(outcomes).note, "a fifth is not more than a fifth"
