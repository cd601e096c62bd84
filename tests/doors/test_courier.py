"""Mails of our own are plain, say who writes, carry no advertising and no tracking, and reach a real mail server."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.harness import free_port
from tests.mailserver import MailServer
from tests.mailserver import mail_server as mail_server_with
from tracker.core.pseudonym import normalise
from tracker.doors.courier import Courier, lasting, wrapped
from tracker.doors.next_hop import NextHop
from tracker.doors.pages import Site
from tracker.model import Language, Letter, MailKind, MailNotSent, MailRefused

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
URL = "https://t.example.com/ask/" + "A" * 150
SITE = Site("Werkstatt Nörd GmbH", "privacy@werkstatt-nord.example", "https://t.example.com", 90, 730, 1095)


def counted_bytes() -> Callable[[int], bytes]:
    numbers = count()
    return lambda size: next(numbers).to_bytes(size, "big")


def courier(next_hop: str, site: Site = SITE) -> Courier:
    return Courier(NextHop.of(next_hop), site, lambda: NOW, counted_bytes())


def letter(
    kind: MailKind = MailKind.ASK, language: Language = Language.DE, address: str = "anna@example.org"
) -> Letter:
    return Letter(kind, address, language, URL, timedelta(minutes=15) if kind is MailKind.MAILBOX else timedelta(30))


async def test_a_mail_arrives_with_what_automatic_mail_says_of_itself(mail_server: MailServer) -> None:
    await courier(mail_server.next_hop).post(letter())
    [mail] = await mail_server.arrived(1)
    message = mail.message
    assert mail.sender == "privacy@werkstatt-nord.example"
    assert mail.recipients == ("anna@example.org",)
    assert message["From"] == "Werkstatt Nörd GmbH <privacy@werkstatt-nord.example>"
    assert message["To"] == "anna@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime == NOW
    assert message["Message-ID"] == f"<{bytes(16).hex()}@t.example.com>"
    assert message["Content-Language"] == "de"
    assert message.get_content_type() == "text/plain"
    assert all(len(line) <= 998 for line in mail.octets.split(b"\r\n"))


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("kind", list(MailKind))
async def test_r7_a_mail_holds_one_link_and_neither_advertising_nor_tracking(
    mail_server: MailServer, kind: MailKind, language: Language
) -> None:
    """R7: plain text with the one link that it is about, the controller and the contact; nothing is counted in it."""
    await courier(mail_server.next_hop).post(letter(kind, language))
    [mail] = await mail_server.arrived(1)
    assert mail.links == [URL]
    assert URL in mail.text.splitlines()
    assert not mail.message.is_multipart()
    assert not re.search(r"<[a-z!/]|data-tracker|/o/|/c/", mail.text)
    assert not [name for name in mail.message if name.lower().startswith(("list-", "precedence", "x-"))]
    assert "Werkstatt Nörd GmbH" in mail.text.replace("\n", " ")
    assert "privacy@werkstatt-nord.example" in mail.text
    assert all(len(line) <= 72 for line in mail.text.splitlines() if line != URL)
    assert not [line for line in mail.text.splitlines() if line[:1] in {":", "?", "!", " "}]


async def test_the_texts_are_those_of_the_language(mail_server: MailServer) -> None:
    post = courier(mail_server.next_hop).post
    for kind in MailKind:
        for language in Language:
            await post(letter(kind, language))
    mails = await mail_server.arrived(12)
    assert len({mail.message["Subject"] for mail in mails}) == 12
    assert len({mail.text for mail in mails}) == 12
    assert [("15 Minuten" in mail.text, "30 Tage" in mail.text) for mail in mails if "Er gilt" in mail.text] == [
        (False, True), (False, True), (True, False),
    ]  # fmt: skip


async def test_every_mail_has_an_id_of_its_own(mail_server: MailServer) -> None:
    post = courier(mail_server.next_hop).post
    await post(letter())
    await post(letter())
    first, second = await mail_server.arrived(2)
    assert first.message["Message-ID"] != second.message["Message-ID"]


@pytest.mark.parametrize(
    "address",
    ['"anna maria"@example.org', "o'neil+news@example.org", "anna@xn--bcher-kva.example", '"a\\"b"@example.org'],
)
async def test_unusual_addresses_get_their_mail(mail_server: MailServer, address: str) -> None:
    assert normalise(address) == address
    await courier(mail_server.next_hop).post(letter(address=address))
    [mail] = await mail_server.arrived(1)
    assert mail.recipients == (address,)
    assert mail.message["To"].addresses[0].addr_spec == address


async def test_letters_beyond_ascii_go_to_servers_that_know_them(mail_server: MailServer) -> None:
    await courier(mail_server.next_hop).post(letter(address="jürgen@example.org"))
    [mail] = await mail_server.arrived(1)
    assert mail.recipients == ("jürgen@example.org",)
    assert "To: jürgen@example.org".encode() in mail.octets


@pytest.mark.parametrize(
    ("answer", "error", "cause"),
    [
        ("550 no anna@example.org here", MailRefused, "SMTPRecipientRefused 550"),
        ("451 later, anna@example.org", MailNotSent, "SMTPRecipientRefused 451"),
    ],
)
async def test_what_a_server_says_is_told_by_its_code_alone(
    mail_server: MailServer, answer: str, error: type[MailNotSent], cause: str
) -> None:
    mail_server.answer = answer
    with pytest.raises(MailNotSent) as caught:
        await courier(mail_server.next_hop).post(letter())
    assert type(caught.value) is error
    assert caught.value.detail == cause
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_a_server_that_is_not_there_is_for_now() -> None:
    with pytest.raises(MailNotSent) as caught:
        await courier(f"127.0.0.1:{free_port()}").post(letter())
    assert type(caught.value) is MailNotSent
    assert "SMTPConnectError" in caught.value.detail


async def test_a_password_never_goes_out_in_clear(mail_server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NextHop, "loopback", False)
    with pytest.raises(MailNotSent):
        await courier(f"smtp://user:geheim@127.0.0.1:{mail_server.port}").post(letter())
    assert mail_server.received == []


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """What a mail server has that nobody vouches for: a certificate that it made itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + made.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_without_a_password_tls_is_taken_as_it_is_offered(self_signed: ssl.SSLContext) -> None:
    with mail_server_with(starttls=self_signed) as server:
        await courier(server.next_hop).post(letter())
        [mail] = await server.arrived(1)
    assert mail.recipients == ("anna@example.org",)


async def test_smtps_goes_only_to_a_server_that_is_who_it_says(self_signed: ssl.SSLContext) -> None:
    with mail_server_with(tls=self_signed) as server:
        with pytest.raises(MailNotSent):
            await courier(f"smtps://localhost:{server.port}").post(letter())
        assert server.received == []


@pytest.mark.parametrize(
    ("setting", "hop"),
    [
        ("mx.example", NextHop("mx.example", 25, tls=False)),
        ("mx.example:2525", NextHop("mx.example", 2525, tls=False)),
        ("smtp://mx.example/", NextHop("mx.example", 25, tls=False)),
        ("smtps://mx.example", NextHop("mx.example", 465, tls=True)),
        ("smtps://user:ge%40heim@mx.example:4650", NextHop("mx.example", 4650, True, "user", "ge@heim")),
        ("user@mx.example", NextHop("mx.example", 25, False, "user", "")),
        ("smtp://[2001:db8::1]:26", NextHop("2001:db8::1", 26, tls=False)),
    ],
)
def test_the_next_hop_is_read_as_the_setting_has_it(setting: str, hop: NextHop) -> None:
    assert NextHop.of(setting) == hop
    assert "geheim" not in repr(NextHop.of(setting))
    assert "ge@heim" not in repr(NextHop.of(setting))


def test_a_time_is_said_in_words() -> None:
    assert lasting(timedelta(minutes=15), Language.DE) == "15 Minuten"
    assert lasting(timedelta(days=30), Language.IT) == "30 giorni"


def test_a_link_is_never_broken_and_no_line_begins_with_a_mark() -> None:
    text = wrapped(f"\n{'mot ' * 17}oui :\n\n{URL}\n\n")
    assert text.splitlines()[-1] == URL
    assert not any(line.startswith(":") for line in text.splitlines())
