"""Mail that comes signed by our own provider: a tracked copy leaves without that signature, others keep it."""

from __future__ import annotations

from base64 import b64encode

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.flows.conftest import NOW, PUBLIC, TOKENS, Flows, counted_bytes
from tests.flows.test_send import ANNA, BERT, envelope, mail, tokens_in
from tracker.core.resign import without_signatures
from tracker.core.survey import Refused, Survey, SurveyPolicy, survey
from tracker.flows.send import Sender, SendPolicy
from tracker.model import Language, Reason

OURS, OTHERS = "werkstatt-nord.example", "relay.example"


class Signer:
    """Signs as a mail system does, and verifies as the one that receives does."""

    def __init__(self) -> None:
        key = generate_private_key(65537, 2048)
        self._key = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        self._record = b"v=DKIM1; k=rsa; p=" + b64encode(
            key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )

    def signed(self, message: bytes, domain: str = OURS) -> bytes:
        signature: bytes = dkim.sign(message, b"s1", domain.encode(), self._key)
        return signature + message

    def verifies(self, message: bytes) -> bool:
        return bool(dkim.verify(message, dnsfunc=lambda name, timeout=5: self._record))


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


def sender(flows: Flows, **policy: object) -> Sender:
    async def surveyed(message: bytes) -> Survey | Refused:
        return survey(message, SurveyPolicy((PUBLIC,)))

    values: dict[str, object] = {
        "public_url": PUBLIC, "max_message": 100_000, "retention_days": 90, "language": Language.EN,
    }  # fmt: skip
    return Sender(flows.store, lambda: TOKENS, surveyed, counted_bytes(), SendPolicy(**{**values, **policy}))  # type: ignore[arg-type]


async def test_the_tracked_copy_is_signed_again_and_the_untouched_one_still_verifies(
    flows: Flows, signer: Signer
) -> None:
    resigning = sender(flows, resign_domains=frozenset({OURS}))
    await flows.grant(ANNA)
    message = signer.signed(mail())
    assert signer.verifies(message)
    tracked = await resigning.rewrite(envelope(ANNA), message, NOW)
    assert tracked.reason is None
    assert tracked.signatures_removed == 1
    assert b"DKIM-Signature" not in tracked.message
    assert len(tokens_in(tracked.message)) == 2
    assert signer.verifies(signer.signed(tracked.message)), "what the next hop makes of it"
    untouched = await resigning.rewrite(envelope(BERT), message, NOW)
    assert (untouched.message, untouched.signatures_removed) == (message, 0)
    assert signer.verifies(untouched.message)


async def test_a_signature_of_others_is_never_broken(flows: Flows, signer: Signer) -> None:
    resigning = sender(flows, resign_domains=frozenset({OURS}))
    await flows.grant(ANNA)
    for message in (signer.signed(mail(), OTHERS), signer.signed(signer.signed(mail()), OTHERS)):
        answer = await resigning.rewrite(envelope(ANNA), message, NOW)
        assert (answer.message, answer.reason) == (message, Reason.DKIM_SIGNED)


async def test_by_default_every_signature_stays(flows: Flows, signer: Signer) -> None:
    await flows.grant(ANNA)
    message = signer.signed(mail())
    answer = await sender(flows).rewrite(envelope(ANNA), message, NOW)
    assert (answer.message, answer.reason) == (message, Reason.DKIM_SIGNED)


@pytest.mark.parametrize(
    ("head", "removed"),
    [
        (b"DKIM-Signature: v=1; d=werkstatt-nord.example; s=x\r\n", 1),
        (b"dkim-signature : v=1;\r\n\td = Werkstatt-Nord.example;\r\n bh=abc\r\n", 1),
        (b"DKIM-Signature: v=1; d=mail.werkstatt-nord.example\r\n", 0),
        (b"DKIM-Signature: v=1; d=relay.example; x=d=werkstatt-nord.example\r\n", 0),
        (b"DKIM-Signature: d=werkstatt-nord.example; d=relay.example\r\n", 0),
        (b"X-DKIM-Signature: d=werkstatt-nord.example\r\n", 0),
    ],
)
def test_only_the_named_domains_own_signature_comes_out(head: bytes, removed: int) -> None:
    rest = b"From: a@b.example\r\n\r\nDKIM-Signature: d=werkstatt-nord.example\r\n"
    message = b"Received: x\r\n" + head + rest
    left, count = without_signatures(message, frozenset({OURS}))
    assert count == removed
    assert left == (b"Received: x\r\n" + rest if removed else message)


async def test_observing_changes_nothing_and_says_what_would_be_done(flows: Flows) -> None:
    observing = sender(flows, observe=True, remove_pixels=True)
    await flows.grant(ANNA)
    foreign = mail('<p>x</p><img src="https://mailtrack.io/trace/mail/0eabccbe98c98e9b.png" width="1" height="1">')
    would = await observing.rewrite(envelope(ANNA), mail(), NOW)
    assert (would.message, would.reason) == (mail(), Reason.OBSERVED)
    would_not = await observing.rewrite(envelope(BERT), foreign, NOW)
    assert (would_not.message, would_not.reason, dict(would_not.foreign)) == (foreign, Reason.NO_GRANT, {"pixel": 1})
    async with flows.store._database.read() as connection:
        rows = await connection.exec_driver_sql("SELECT count(*) FROM deliveries")
        assert rows.scalar_one() == 0
