"""What happens to one copy of a message: promises 1, 2 and 3, and which copies are left alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha1
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.flows.conftest import NOW, PUBLIC, TOKENS, Flows, hit, locked
from tracker.core.survey import Refused, Survey
from tracker.flows.report import Listing
from tracker.flows.send import Addressee, Answer, Sender, SendPolicy
from tracker.model import (
    AddressInValue,
    Envelope,
    InvalidAddress,
    InvalidField,
    Language,
    Left,
    Purpose,
    Reason,
)

ANNA, BERT = "anna@example.org", "bert@example.org"
HTML = '<p><a href="https://shop.example/a?b=1&amp;c=2">x</a></p>'


def mail(html: str = HTML, **headers: str) -> bytes:
    fields = {
        "From": "jonas@werkstatt-nord.example",
        "To": "anna@example.org",
        "Message-ID": "<1@x>",
        "Content-Type": "text/html",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{head}\r\n{html}\r\n".encode()


def envelope(recipient: str = ANNA, **more: object) -> Envelope:
    return Envelope(recipient=recipient, source="shop", **more)  # type: ignore[arg-type]


def tokens_in(message: bytes) -> list[str]:
    return re.findall(rf"{PUBLIC}/[oc]/([A-Za-z0-9_.-]{{66}})", message.decode())


async def test_a_consented_copy_is_tracked(flows: Flows) -> None:
    await flows.grant(ANNA)
    answer = await flows.sender.rewrite(envelope(label="Offer"), mail(), NOW)
    assert answer.reason is None
    assert answer.purposes == {Purpose.OPEN, Purpose.CLICK}
    assert (answer.links_tracked, answer.links_found) == (1, 1)
    tokens = tokens_in(answer.message)
    assert len(tokens) == 2
    assert len(set(tokens)) == 1, "pixel and links of one copy hold the same token"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=st.binary(max_size=300) | st.sampled_from([mail(), b"", b"\r\n", mail(Content_Type="text/plain")]))
async def test_for_any_message_and_no_grant_bytes_out_are_bytes_in(flows: Flows, message: bytes) -> None:
    """R1: whatever the message."""
    answer = await flows.sender.rewrite(envelope(BERT), message, NOW)
    assert (answer.message, answer.reason) == (message, Reason.NO_GRANT)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", Reason.MALFORMED),
        (mail(From="x@elsewhere.example"), Reason.FOREIGN_SENDER),
        (mail(To="anna@example.org, bert@example.org"), Reason.SEVERAL_RECIPIENTS),
        (mail(Cc="bert@example.org"), Reason.SEVERAL_RECIPIENTS),
        (mail(DKIM_Signature="v=1; a=rsa-sha256"), Reason.DKIM_SIGNED),
        (mail(Auto_Submitted="auto-replied"), Reason.AUTO_SUBMITTED),
        (mail(Content_Type="text/plain"), Reason.NOTHING_TO_TRACK),
        (mail("x" * 100_001), Reason.TOO_LARGE),
    ],
)
async def test_what_may_not_be_tracked_leaves_as_it_came(flows: Flows, message: bytes, reason: Reason) -> None:
    """R19, R21, R25: several recipients, signed already, automatic."""
    await flows.grant(ANNA)
    answer = await flows.sender.rewrite(envelope(), message, NOW)
    assert (answer.message, answer.reason) == (message, reason)


async def test_a_copy_that_goes_to_one_alone_may_name_several(flows: Flows) -> None:
    await flows.grant(ANNA)
    answer = await flows.sender.rewrite(envelope(single=True), mail(Cc="bert@example.org"), NOW)
    assert answer.reason is None


async def test_a_clicks_only_grant_without_links_tracks_nothing(flows: Flows) -> None:
    await flows.grant(ANNA, Purpose.CLICK)
    message = mail("<p>no link</p>")
    answer = await flows.sender.rewrite(envelope(), message, NOW)
    assert (answer.message, answer.reason) == (message, Reason.NOTHING_TO_TRACK)
    assert (await flows.figures.messages(Listing(None), NOW)).messages == (), "a row was left behind"


async def test_rewriting_twice_changes_nothing_more(flows: Flows) -> None:
    """R27: the second time nothing changes."""
    await flows.grant(ANNA)
    once = await flows.sender.rewrite(envelope(), mail(), NOW)
    twice = await flows.sender.rewrite(envelope(), once.message, NOW)
    assert (twice.message, twice.reason) == (once.message, Reason.ALREADY_TRACKED)


async def test_a_retry_is_the_same_delivery_and_another_day_is_another(flows: Flows) -> None:
    await flows.grant(ANNA)
    times = (NOW, NOW + timedelta(minutes=1), NOW + timedelta(days=1))
    answers = [await flows.sender.rewrite(envelope(), mail(), at) for at in times]
    deliveries = [TOKENS.read_delivery(tokens_in(answer.message)[0]) for answer in answers]
    ids = [delivery.delivery for delivery in deliveries if delivery]
    assert ids[0] == ids[1] != ids[2]
    figures = await flows.figures.messages(Listing(None), NOW + timedelta(days=1))
    assert [one.tracked for one in figures.messages] == [2]


async def test_tokens_of_two_recipients_differ_and_the_message_is_the_same(flows: Flows) -> None:
    for person in (ANNA, BERT):
        await flows.grant(person)
    one, two = [await flows.sender.rewrite(envelope(person, single=True), mail(), NOW) for person in (ANNA, BERT)]
    assert set(tokens_in(one.message)).isdisjoint(tokens_in(two.message))
    assert one.message_key == two.message_key


async def test_a_withdrawal_between_reading_and_registering_leaves_the_copy_untouched(
    flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    await flows.grant(ANNA)
    real = flows.store.grants_of

    async def and_then_she_says_no(*arguments: object) -> frozenset[Purpose]:
        found = await real(*arguments)  # type: ignore[arg-type]
        await flows.consents.withdraw(ANNA, frozenset(), "cli", NOW)
        return found

    monkeypatch.setattr(flows.store, "grants_of", and_then_she_says_no)
    answer = await flows.sender.rewrite(envelope(), mail(), NOW)
    assert (answer.message, answer.reason) == (mail(), Reason.NO_GRANT)


async def test_a_withdrawal_of_one_purpose_between_keeps_the_other(
    flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    await flows.grant(ANNA)
    real = flows.store.grants_of

    async def and_then_clicks_end(*arguments: object) -> frozenset[Purpose]:
        found = await real(*arguments)  # type: ignore[arg-type]
        await flows.consents.withdraw(ANNA, frozenset({Purpose.CLICK}), "cli", NOW)
        return found

    monkeypatch.setattr(flows.store, "grants_of", and_then_clicks_end)
    answer = await flows.sender.rewrite(envelope(), mail(), NOW)
    assert answer.purposes == {Purpose.OPEN}
    assert b"/c/" not in answer.message


async def test_promise_2_a_fault_inside_sends_the_message_unchanged(flows: Flows) -> None:
    async def broken(message: bytes) -> Survey | Refused:
        raise RuntimeError(message)

    await flows.grant(ANNA)
    policy = SendPolicy(public_url=PUBLIC, max_message=100_000, retention_days=90, language=Language.EN)
    sender = Sender(flows.store, lambda: TOKENS, broken, bytes, policy)
    answer = await sender.rewrite(envelope(), mail(), NOW)
    assert (answer.message, answer.reason) == (mail(), Reason.ERROR)


async def test_promise_2_without_the_store_the_message_leaves_unchanged(flows: Flows, tmp_path: Path) -> None:
    """R2: a lookup that fails sends the mail untracked."""
    await flows.grant(ANNA)
    with locked(tmp_path):
        answer = await flows.sender.rewrite(envelope(), mail(), NOW)
    assert (answer.message, answer.reason) == (mail(), Reason.STORE_UNAVAILABLE)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"recipient": ""}, InvalidAddress),
        ({"recipient": "anna"}, InvalidAddress),
        ({"recipient": "anna@example.org, bert@example.org"}, InvalidAddress),
        ({"reference": "anna@example.org"}, AddressInValue),
        ({"reference": "anna.at.example.org"}, AddressInValue),
        ({"reference": "a b"}, InvalidField),
        ({"campaign": ""}, InvalidField),
    ],
)
async def test_an_envelope_at_fault_is_refused(flows: Flows, changes: dict[str, str], error: type[Exception]) -> None:
    values: dict[str, object] = {"recipient": ANNA, **changes}
    recipient = str(values.pop("recipient"))
    with pytest.raises(error):
        await flows.sender.rewrite(envelope(recipient, **values), mail(), NOW)


async def test_an_address_in_a_label_is_masked(flows: Flows) -> None:
    await flows.grant(ANNA)
    await flows.sender.rewrite(envelope(label=f"Offer for {ANNA}"), mail(), NOW)
    (figures,) = (await flows.figures.messages(Listing(None), NOW)).messages
    assert figures.label is not None
    assert figures.label.startswith("Offer for ")
    assert "@" not in figures.label


async def test_a_label_that_names_the_recipient_otherwise_is_dropped(flows: Flows) -> None:
    await flows.grant(ANNA)
    await flows.sender.rewrite(envelope(label="Offer for anna at example.org"), mail(), NOW)
    (figures,) = (await flows.figures.messages(Listing(None), NOW)).messages
    assert figures.label is None


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/v/anna=example.org",
        "https://anna.example.org/",
        "https://shop.example/?h=4a0a19218e082a343a1b17e5333409af9d98f0f5",
    ],
)
async def test_a_link_that_names_the_recipient_is_left_in_her_copy_alone(flows: Flows, url: str) -> None:
    url = url.replace("4a0a19218e082a343a1b17e5333409af9d98f0f5", sha1(ANNA.encode()).hexdigest())
    people = [Addressee(ANNA), Addressee(BERT), Addressee(ANNA)]
    for person in (ANNA, BERT):
        await flows.grant(person)
    message = mail(f'{HTML}<p><a href="{url}">y</a></p>')
    answers = [one async for one in await flows.sender.batch(envelope(), people, message, lambda: NOW)]
    assert [answer.links_tracked for answer in answers] == [1, 2, 1]
    assert [answer.left for answer in answers] == [{Left.ADDRESS_IN_TARGET: 1}, {}, {Left.ADDRESS_IN_TARGET: 1}]
    assert [url.encode() in answer.message for answer in answers] == [True, False, True]
    assert all(answer.links_found == 2 for answer in answers)


async def quoted_by(flows: Flows, recipient: str) -> Sequence[str]:
    """Anna's tracked copy, quoted in a message to RECIPIENT; what her pixel and link then record."""
    await flows.grant(ANNA)
    first: Answer = await flows.sender.rewrite(envelope(), mail(), NOW)
    quotation = first.message.partition(b"\r\n\r\n")[2].decode()
    reply = mail(f"<p>Hello</p>{HTML}<blockquote>{quotation}</blockquote>", Message_ID="<2@x>")
    answer = await flows.sender.rewrite(envelope(recipient), reply, NOW)
    if recipient == ANNA:
        assert answer.reason is None
        assert quotation.encode().strip() in answer.message, "the quotation was changed"
        again = await flows.sender.rewrite(envelope(recipient), answer.message, NOW)
        assert (again.message, again.reason) == (answer.message, Reason.ALREADY_TRACKED)
    token = tokens_in(first.message)[0]
    link = re.search(rf"{PUBLIC}/c/{re.escape(token)}/([^/]+)/([^/]+)/", first.message.decode())
    assert link
    await flows.hits.opened(token, hit())
    await flows.hits.clicked(token, link[1], link[2], hit())
    return [result for _, _, result in flows.counted.hits]


@pytest.mark.usefixtures("patient")
async def test_a_quoted_delivery_is_closed_for_opens(flows: Flows) -> None:
    assert await quoted_by(flows, ANNA) == ["refused", "recorded"]


@pytest.mark.usefixtures("patient")
async def test_a_delivery_quoted_to_somebody_else_is_closed_altogether(flows: Flows) -> None:
    await flows.grant(BERT)
    assert await quoted_by(flows, BERT) == ["refused", "refused"]


async def test_other_peoples_trackers_are_told_wherever_the_message_was_looked_into(flows: Flows) -> None:
    await flows.grant(ANNA)
    pixel = '<img src="https://mailtrack.io/trace/mail/0eabccbe98c98e9b.png" width="0" height="0">'
    tracked = await flows.sender.rewrite(envelope(), mail(HTML + pixel), NOW)
    assert (tracked.reason, tracked.foreign) == (None, {"pixel": 1})
    assert pixel.encode() in tracked.message, "reported, not removed"
    left = await flows.sender.rewrite(envelope(), mail(HTML + pixel, Cc="bert@example.org"), NOW)
    assert (left.reason, left.foreign) == (Reason.SEVERAL_RECIPIENTS, {"pixel": 1})
    unseen = await flows.sender.rewrite(envelope(BERT), mail(HTML + pixel), NOW)
    assert (unseen.reason, unseen.foreign) == (Reason.NO_GRANT, {}), "without a grant nobody looks into it"
