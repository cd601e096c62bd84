"""Real mail systems around the tracker: Postfix before and behind it, OpenDKIM at the end, applications that submit."""

from __future__ import annotations

import json
import os
import re
import shutil
import smtplib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest

import tests
from tests.certificate import Certificate
from tests.e2e.mail import message
from tests.e2e.programs import django_application
from tests.harness import PATIENCE, Installation, free_port
from tests.mailserver import MailServer, Received, mail_server
from tests.opendkim import OPENDKIM, Signer, opendkim
from tests.postfix import POSTFIX, Postfix, postfix

TESTS = Path(tests.__path__[0])
NODEMAILER = TESTS.parent / ".venv" / "nodemailer" / "node_modules" / "nodemailer"
NODE = shutil.which("node")
MISSING = POSTFIX is None or OPENDKIM is None or os.geteuid() != 0
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("mail systems"),  # one Postfix, and one tracker, for all of it
    pytest.mark.skipif(MISSING and os.environ.get("CI") != "true", reason="needs Postfix, OpenDKIM, and root"),
]
ANNA, BERT = "anna@example.org", "bert@example.org"
DOMAIN = "werkstatt-nord.example"
FROM = f"jonas@{DOMAIN}"
OFFER = message('<p><a href="https://shop.example/a">x</a></p>', Date="Sat, 28 Nov 2026 09:00:00 +0000")


@dataclass
class Company:
    """Applications -> Postfix -> the tracker -> the same Postfix, which has OpenDKIM sign -> the world."""

    tracker: Installation
    mta: Postfix
    signer: Signer
    world: MailServer
    certificate: Certificate
    _seen: int = 0

    def send(self, *recipients: str, octets: bytes = OFFER) -> None:
        """Hand OCTETS to Postfix."""
        with smtplib.SMTP("127.0.0.1", self.mta.entry, "app.example", timeout=30) as smtp:
            assert smtp.sendmail(FROM, recipients, octets) == {}

    def arrivals(self, number: int, timeout: float = PATIENCE) -> dict[tuple[str, ...], Received]:
        """What came into the world since the last look, as soon as it is NUMBER mails, by recipients."""
        since, self._seen = self._seen, self._seen + number
        return {tuple(sorted(mail.recipients)): mail for mail in self.world.wait_for(self._seen, timeout)[since:]}

    def port(self, listen: str) -> str:
        return self.tracker.environment[f"TRACKER_{listen}"].rpartition(":")[2]

    def runs(self, *words: object, **environment: str) -> str:
        """What a program that submits prints; the API key is its password."""
        done = subprocess.run(
            list(map(str, words)), capture_output=True, timeout=PATIENCE, check=False, text=True, cwd=TESTS.parent,
            env={**os.environ, "APPLICATION_PASSWORD": self.tracker.key, **environment},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def labels(self) -> Mapping[str, int]:
        """The messages in the figures, and how many copies of each were tracked."""
        messages = self.tracker.api("GET", "/v1/stats/messages").json["messages"]
        return {each["label"]: each["tracked"] for each in messages}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    folder: Path = tmp_path_factory.mktemp("company")
    certificate = Certificate.made(folder)
    tracker, back = free_port(), free_port()
    installation = Installation.copied(
        folder / "tracker",
        TRACKER_SMTP_LISTEN=f"127.0.0.1:{tracker}",
        TRACKER_SMTPS_LISTEN=f"127.0.0.1:{free_port()}",
        TRACKER_SMTP_CERTIFICATE=str(certificate.chain),
        TRACKER_SMTP_PRIVATE_KEY=str(certificate.key),
        TRACKER_SMTP_NEXT_HOP=f"127.0.0.1:{back}",
        TRACKER_SENDER_DOMAINS=DOMAIN,
        TRACKER_RESIGN_DOMAINS=DOMAIN,
    )
    with (
        mail_server() as world,
        opendkim(folder / "opendkim", DOMAIN) as signer,
        postfix(tracker, world.port, back, signer.milter) as mta,
        installation,
    ):
        assert installation.grant(ANNA).status == 201
        yield Company(installation, mta, signer, world, certificate)


def links(company: Company, mail: EmailMessage) -> list[str]:
    """Tracked links in the HTML of MAIL."""
    body = mail.get_body(("html",))
    assert body is not None
    return re.findall(re.escape(company.tracker.public_url) + r"/c/[^\"]+", body.get_content())


def test_postfix_filters_through_the_tracker_and_signs_what_comes_back(company: Company) -> None:
    """R21: the place before the signer, in a real mail system."""
    company.send(ANNA, BERT)
    arrived = company.arrivals(2)
    tracked, untouched = arrived[ANNA,].octets, arrived[BERT,].octets
    assert links(company, arrived[ANNA,].message)
    assert company.signer.verifies(tracked), "the signature is of the tracked copy"
    assert not company.signer.verifies(tracked.replace(b"data-tracker", b"data-traced")), "the judge can say no"
    assert company.signer.verifies(untouched)
    assert untouched.endswith(OFFER), "octet for octet, below the lines that relays put on top"
    assert b"Received: by 127.0.0.1 with ESMTP;" in untouched.removesuffix(OFFER)


def test_mail_that_came_signed_is_signed_again_where_it_was_tracked_and_keeps_its_signature_elsewhere(
    company: Company,
) -> None:
    signed = company.signer.signed(OFFER.replace(b"<m@x>", b"<signed@x>"))
    assert company.signer.signatures(signed) == [True]
    company.send(ANNA, BERT, octets=signed)
    arrived = company.arrivals(2)
    tracked, untouched = arrived[ANNA,], arrived[BERT,]
    assert links(company, tracked.message)
    assert company.signer.signatures(tracked.octets) == [True], "that of OpenDKIM alone"
    assert untouched.octets.endswith(signed)
    assert company.signer.signatures(untouched.octets) == [True, True]
    metrics = company.tracker.api("GET", "/metrics").body
    assert b"\ntracker_signatures_removed_total 1.0\n" in metrics


def test_mail_goes_round_a_dead_tracker_untouched_within_seconds_and_signed(company: Company) -> None:
    assert company.tracker.stop() == 0  # what it had taken it has answered
    try:
        company.send(ANNA, BERT)
        (round_it,) = company.arrivals(1, timeout=20).values()
    finally:
        company.tracker.start()
    assert sorted(round_it.recipients) == [ANNA, BERT]
    assert round_it.octets.endswith(OFFER)
    assert company.signer.verifies(round_it.octets)


def test_a_django_application_submits_over_starttls_with_a_login(company: Company) -> None:
    program = TESTS / "e2e" / "programs" / "django_application.py"
    company.runs(sys.executable, program, company.port("SMTP_LISTEN"), "tests", ANNA, BERT,
                 SSL_CERT_FILE=str(company.certificate.chain))  # fmt: skip
    arrived = company.arrivals(2)
    for (recipient,), mail in arrived.items():
        check_offer(company, mail, recipient == ANNA)
        (pdf,) = mail.message.iter_attachments()
        assert pdf.get_content() == django_application.PDF, "an attachment is as it was"
        assert b" with ESMTPSA;" in mail.octets
    assert company.labels()["Angebot Nord"] == 1, "who agreed to nothing is no row, and the label came by header"


def test_nodemailer_submits_over_tls_with_a_login(company: Company) -> None:
    pinned = re.findall(r"^nodemailer=(\S+)$", (TESTS / "tools.sh").read_text(), re.MULTILINE)
    if NODE is None or not (NODEMAILER / "package.json").is_file():
        pytest.skip("needs node and nodemailer, which tests/tools.sh installs where there is npm")
    assert [json.loads((NODEMAILER / "package.json").read_text())["version"]] == pinned, "run tests/tools.sh"
    program = TESTS / "e2e" / "programs" / "nodemailer_application.mjs"
    said = company.runs(NODE, program, NODEMAILER, company.port("SMTPS_LISTEN"), "tests", ANNA, BERT,
                        NODE_EXTRA_CA_CERTS=str(company.certificate.chain))  # fmt: skip
    assert re.fullmatch(r"(250 2\.0\.0 Ok: queued as \w+\n){2}", said), "Postfix's own answer, passed on"
    arrived = company.arrivals(2)
    for (recipient,), mail in arrived.items():
        check_offer(company, mail, recipient == ANNA)
        assert mail.sender == f"bounces@{DOMAIN}"
        assert b"GIF89a" in [part.get_payload(decode=True) for part in mail.message.walk()]
    assert company.labels()["Angebot Node"] == 1


def check_offer(company: Company, mail: Received, granted: bool) -> None:
    """MAIL, which an application sent, arrived whole, signed, without our headers, and tracked if that was GRANTED."""
    assert company.signer.verifies(mail.octets)
    assert b"X-Tracker" not in mail.octets
    assert len(links(company, mail.message)) == granted
    page, plain = (mail.message.get_body((kind,)) for kind in ("html", "plain"))
    assert page is not None
    assert plain is not None
    assert "Grüße aus dem" in page.get_content()
    assert ("data-tracker" in page.get_content()) == granted
    lines = plain.get_content().splitlines()[:3]
    assert lines == ["Grüße aus dem Norden.", ".", "Das Angebot: https://shop.example/angebot"], "a dot is text"


def test_what_the_tracker_mails_itself_goes_the_same_way_and_is_signed(company: Company) -> None:
    form = {"content_type": "application/x-www-form-urlencoded"}
    assert company.tracker.public("POST", "/privacy", b"address=bert%40example.org", **form).status == 200
    (mail,) = company.arrivals(1).values()
    assert mail.recipients == (BERT,)
    assert company.signer.verifies(mail.octets)
    assert [link.startswith(company.tracker.public_url) for link in mail.links] == [True]
    assert b"data-tracker" not in mail.octets


def test_what_postfix_refuses_is_passed_on_in_its_words(company: Company) -> None:
    with smtplib.SMTP("127.0.0.1", int(company.port("SMTP_LISTEN")), "app.example", timeout=30) as smtp:
        smtp.ehlo()
        assert smtp.mail(FROM)[0] == 250
        code, text = smtp.rcpt("anna@example..org")
        assert (code, text[:6]) == (501, b"5.1.3 ")
        assert smtp.rcpt(BERT)[0] == 250
        assert smtp.rset()[0] == 250


def test_no_log_of_ours_names_anybody(company: Company) -> None:
    """Runs last in this module; Postfix's own log shows that there was something to tell."""
    assert ANNA in company.mta.log
    lines = company.tracker.log_file.read_text().splitlines()
    log = "\n".join(line for line in lines if 'message="setting ' not in line)
    assert "serving" in log
    assert not [word for word in ("example.org", DOMAIN, "RCPT", "127.0.0.1", "/c/") if word in log], log
