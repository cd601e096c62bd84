"""The files of deploy/application, run as they are: each mails through the tracker, and none of them needs a change."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.certificate import Certificate
from tests.deploy.files import DEPLOY, ROOT, program
from tests.e2e.mail import message
from tests.harness import PATIENCE, Installation, free_port
from tests.mailserver import MailServer, mail_server

pytestmark = pytest.mark.e2e
APPLICATION = DEPLOY / "application"
ANNA, BERT = "anna@example.org", "bert@example.org"
FROM = "jonas@werkstatt-nord.example"
OFFER = message('<p><a href="https://shop.example/a">x</a></p>', Date="Sat, 28 Nov 2026 09:00:00 +0000")
DJANGO = f"""
import django
from django.core.mail import EmailMessage
django.setup()
for recipient in {[ANNA, BERT]!r}:
    mail = EmailMessage("Offer", '<a href="https://shop.example/a">x</a>', {FROM!r}, [recipient])
    mail.content_subtype = "html"
    assert mail.send() == 1
"""
NODE = f"""
import {{ createRequire }} from "node:module";
const nodemailer = createRequire(import.meta.url)(process.env.NODEMAILER);
const {{ settings }} = await import(process.env.SETTINGS);
const transport = nodemailer.createTransport(settings);
for (const to of {[ANNA, BERT]!r})
  await transport.sendMail({{ from: "{FROM}", to, subject: "Offer", html: '<a href="https://shop.example/a">x</a>' }});
transport.close();
"""


@pytest.fixture(scope="module")
def world() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, world: MailServer) -> Iterator[Installation]:
    """It asks everybody for a login, as it does where applications are on other machines."""
    folder: Path = tmp_path_factory.mktemp("application")
    certificate = Certificate.made(folder)
    installation = Installation.copied(
        folder / "tracker",
        TRACKER_SMTP_LISTEN=f"127.0.0.1:{free_port()}",
        TRACKER_SMTP_NEXT_HOP=world.next_hop,
        TRACKER_SENDER_DOMAINS="werkstatt-nord.example",
        TRACKER_SMTP_NETWORKS="192.0.2.0/24",
        TRACKER_SMTP_CERTIFICATE=str(certificate.chain),
        TRACKER_SMTP_PRIVATE_KEY=str(certificate.key),
    )
    (folder / "password").write_text(installation.key + "\n")
    with installation:
        assert installation.grant(ANNA).status == 201
        yield installation


def runs(
    tracker: Installation, *words: str, stdin: bytes = b"", environment: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Run an application that logs in to TRACKER; ENVIRONMENT comes on top."""
    where = tracker.environment["TRACKER_SMTP_LISTEN"]
    given = {
        "MAIL_TRACKER": where,
        "MAIL_HOST": where.split(":")[0],
        "MAIL_PORT": where.split(":")[1],
        "MAIL_LOGIN": "tests",
        "MAIL_PASSWORD_FILE": str(tracker.folder.parent / "password"),
        "SSL_CERT_FILE": str(tracker.folder.parent / "chain"),
        "NODE_EXTRA_CA_CERTS": str(tracker.folder.parent / "chain"),
    }
    done = subprocess.run(
        words,
        input=stdin,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, **given, **environment},
    )
    assert done.returncode == 0, done.stderr.decode()


def arrived(tracker: Installation, world: MailServer, before: int) -> None:
    """Two mails came, Anna's tracked and Bert's as it was."""
    by_recipient = {mail.recipients: mail.octets for mail in world.wait_for(before + 2)[before:]}
    link = tracker.public_url.encode() + b"/c/"
    assert set(by_recipient) == {(ANNA,), (BERT,)}
    assert link in by_recipient[ANNA,].replace(b"=\r\n", b"")
    assert b"/c/" not in by_recipient[BERT,]


def test_the_standard_library_is_enough(proxy: Installation, world: MailServer) -> None:
    before = len(world.received)
    runs(proxy, sys.executable, str(APPLICATION / "send.py"), ANNA, BERT, stdin=OFFER)
    arrived(proxy, world, before)


def test_a_django_project_needs_these_settings_alone(proxy: Installation, world: MailServer) -> None:
    before = len(world.received)
    environment = {"DJANGO_SETTINGS_MODULE": "django_settings", "PYTHONPATH": str(APPLICATION)}
    runs(proxy, sys.executable, "-c", DJANGO, environment=environment)
    arrived(proxy, world, before)


def test_an_application_with_nodemailer_needs_these_settings_alone(proxy: Installation, world: MailServer) -> None:
    nodemailer = ROOT / ".venv" / "nodemailer" / "node_modules" / "nodemailer"
    if not nodemailer.exists():
        pytest.skip("needs nodemailer; `make tools` installs it")
    before = len(world.received)
    environment = {"NODEMAILER": str(nodemailer), "SETTINGS": str(APPLICATION / "nodemailer.mjs")}
    runs(proxy, program("node"), "--input-type=module", "-e", NODE, environment=environment)
    arrived(proxy, world, before)


def test_while_the_tracker_is_away_mail_goes_straight_on(proxy: Installation, world: MailServer) -> None:
    before = len(world.received)
    nobody = f"127.0.0.1:{free_port()}"
    send = [sys.executable, str(APPLICATION / "send.py"), ANNA, BERT]
    runs(proxy, *send, stdin=OFFER, environment={"MAIL_TRACKER": nobody, "MAIL_SERVER": world.next_hop})
    (mail,) = world.wait_for(before + 1)[before:]
    assert sorted(mail.recipients) == [ANNA, BERT]
    assert mail.octets == OFFER
