"""A rep answers a person and quotes the tracked message: the quotation stays as it is, and what it quotes is closed.

Golden replies: NAME.eml is what a mail program writes, NAME.expected what must leave for the person who agreed; a
failing test writes NAME.got beside them. They quote the offer of tests/flows/replies.py as Anna got it.
"""

from __future__ import annotations

import base64
import email
import email.policy
import re

import pytest

from tests.flows.conftest import NOW, PUBLIC, TOKENS, Flows, hit
from tests.flows.replies import FOLDER, OFFER
from tests.flows.test_send import ANNA, BERT, envelope, mail
from tracker.model import Purpose, Reason

pytestmark = pytest.mark.usefixtures("patient")
PROGRAMS = ("apple-mail", "gmail", "outlook", "thunderbird")
TRACKED = re.compile(rf"{PUBLIC}/(?:[oc]|privacy)/[A-Za-z0-9_.~%/-]+")


def golden(name: str) -> bytes:
    return (FOLDER / f"{name}.eml").read_bytes()


def html_of(message: bytes) -> str:
    body = email.message_from_bytes(message, policy=email.policy.default).get_body(("html",))
    assert body
    return str(body.get_content())


async def offered(flows: Flows) -> str:
    """The HTML of the offer as Anna got it."""
    await flows.grant(ANNA)
    answer = await flows.sender.rewrite(envelope(), OFFER, NOW)
    assert answer.reason is None
    return answer.message.partition(b"\r\n\r\n")[2].decode()


async def loaded_by_somebody(flows: Flows, html: str) -> dict[Purpose, str]:
    """What becomes of it when somebody's program loads the pixel in HTML and follows its link."""
    pixel = re.search(rf"{PUBLIC}/o/([\w.-]{{66}})\.gif", html)
    link = re.search(rf"{PUBLIC}/c/([\w.-]{{66}})/([^/]+)/([^/]+)/", html)
    assert pixel
    assert link
    await flows.hits.opened(pixel[1], hit())
    assert await flows.hits.clicked(link[1], link[2], link[3], hit()), "a link broke"
    return {purpose: result for purpose, _, result in flows.counted.hits[-2:]}


@pytest.mark.parametrize("name", PROGRAMS)
async def test_the_golden_reply_quotes_the_offer(flows: Flows, name: str) -> None:
    sent = set(TRACKED.findall(await offered(flows)))
    assert len(sent) == 3
    assert sent <= set(TRACKED.findall(html_of(golden(name))))


@pytest.mark.parametrize("name", PROGRAMS)
async def test_the_quotation_stays_and_the_reply_gets_its_own_notice(flows: Flows, name: str) -> None:
    offer = await offered(flows)
    answer = await flows.sender.rewrite(envelope(), golden(name), NOW)
    assert answer.reason is None
    if answer.message != (FOLDER / f"{name}.expected").read_bytes():
        (FOLDER / f"{name}.got").write_bytes(answer.message)
        pytest.fail(f"see {name}.got")
    before, after = html_of(golden(name)), html_of(answer.message)
    quotation = before[before.index("Guten Tag Anna") : before.index('href="', before.index("Guten Tag Anna")) + 60]
    assert quotation in after
    tokens = {token for token in re.findall(rf"{PUBLIC}/[oc]/([\w.-]{{66}})", after) if token not in offer}
    assert len(tokens) == 1
    assert answer.links_tracked == 1
    assert await loaded_by_somebody(flows, offer) == {Purpose.OPEN: "refused", Purpose.CLICK: "recorded"}


@pytest.mark.parametrize("name", PROGRAMS)
async def test_rewriting_the_reply_twice_changes_nothing_more(flows: Flows, name: str) -> None:
    await offered(flows)
    once = await flows.sender.rewrite(envelope(), golden(name), NOW)
    twice = await flows.sender.rewrite(envelope(), once.message, NOW)
    assert (twice.message, twice.reason) == (once.message, Reason.ALREADY_TRACKED)
    own = html_of(once.message).replace(html_of(golden(name)), "")
    new = own[own.rindex('data-tracker="notice"') :]
    token = re.search(rf"{PUBLIC}/o/([\w.-]{{66}})", new)
    assert token
    await flows.hits.opened(token[1], hit())
    assert flows.counted.hits[-1][2] == "recorded", "the reply's own delivery was closed"


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_copy_to_somebody_in_cc_leaves_as_it_came_and_closes_both(flows: Flows, name: str) -> None:
    offer = await offered(flows)
    message = golden(name).replace(b"\r\nSubject:", b"\r\nCc: bert@example.org\r\nSubject:", 1)
    answer = await flows.sender.rewrite(envelope(BERT), message, NOW)
    assert (answer.message, answer.reason) == (message, Reason.NO_GRANT)
    assert await loaded_by_somebody(flows, offer) == {Purpose.OPEN: "refused", Purpose.CLICK: "refused"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"DKIM_Signature": "v=1; a=rsa-sha256"}, Reason.DKIM_SIGNED),
        ({"Cc": "bert@example.org"}, Reason.SEVERAL_RECIPIENTS),
        ({"From": "x@elsewhere.example"}, Reason.FOREIGN_SENDER),
        ({"Content_Type": "multipart/signed; boundary=x"}, Reason.SIGNED),
        ({"Content_Type": "text/html; charset=utf-7"}, Reason.UNSUPPORTED),
    ],
)
@pytest.mark.parametrize("mark", [{"In_Reply_To": "<2@x>"}, {"Subject": "WG: Angebot"}, {"References": "<2@x>"}])
async def test_whatever_the_reason_a_quotation_is_closed(
    flows: Flows, changes: dict[str, str], reason: Reason, mark: dict[str, str]
) -> None:
    offer = await offered(flows)
    await flows.grant(BERT)
    answer = await flows.sender.rewrite(envelope(BERT), mail(offer, **{"Message_ID": "<3@x>", **mark, **changes}), NOW)
    assert answer.reason is reason
    assert await loaded_by_somebody(flows, offer) == {Purpose.OPEN: "refused", Purpose.CLICK: "refused"}


async def test_a_forward_too_large_to_be_planned_closes_what_it_quotes(flows: Flows) -> None:
    offer = await offered(flows)
    answer = await flows.sender.rewrite(envelope(BERT), mail(offer + "x" * 100_001, Subject="Fwd: x"), NOW)
    assert answer.reason is Reason.TOO_LARGE
    assert (await loaded_by_somebody(flows, offer))[Purpose.OPEN] == "refused"


async def test_a_forward_as_an_attachment_closes_what_is_in_it(flows: Flows) -> None:
    offer = await offered(flows)
    inner = mail("x").partition(b"\r\n\r\n")[0] + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    inner += base64.encodebytes(offer.encode())
    body = f"--b\r\n\r\nSee below\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n{inner.decode()}\r\n--b--"
    forward = mail(body, Subject="Fwd: x", Content_Type="multipart/mixed; boundary=b", Message_ID="<4@x>")
    answer = await flows.sender.rewrite(envelope(BERT), forward, NOW)
    assert answer.message == forward
    assert (await loaded_by_somebody(flows, offer))[Purpose.CLICK] == "refused"


async def test_ordinary_mail_is_not_searched(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []

    async def search(message: bytes) -> frozenset[str]:
        searched.append(message)
        return frozenset()

    monkeypatch.setattr(flows.sender, "_search", search)
    await flows.sender.rewrite(envelope(BERT), mail(Subject="Offer"), NOW)
    assert not searched
    await flows.sender.rewrite(envelope(BERT), mail(Subject="Re: Offer"), NOW)
    assert searched


async def test_a_search_that_fails_does_not_change_what_becomes_of_the_copy(
    flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: bytes) -> frozenset[str]:
        raise RuntimeError

    monkeypatch.setattr(flows.sender, "_search", broken)
    message = mail(Subject="Re: Offer")
    answer = await flows.sender.rewrite(envelope(BERT), message, NOW)
    assert (answer.message, answer.reason) == (message, Reason.NO_GRANT)


async def test_a_token_of_somebody_elses_making_closes_nothing(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    async def close(*_: object) -> None:
        raise AssertionError("closed")

    monkeypatch.setattr(flows.store, "close_deliveries", close)
    forged = f'<img src="{PUBLIC}/o/{"A" * 45}.{"B" * 20}.gif">'
    assert TOKENS.read_delivery("A" * 45 + "." + "B" * 20) is None
    await flows.sender.rewrite(envelope(BERT), mail(forged, Subject="Re: Offer"), NOW)
