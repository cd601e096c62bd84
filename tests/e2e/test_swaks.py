"""swaks, the tool with which operators try a mail server, tries everything that the SMTP proxy offers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.certificate import Certificate
from tests.e2e.hop import Hop
from tests.e2e.mail import message
from tests.harness import PATIENCE, Installation, free_port
from tests.sink import Taken

SWAKS = shutil.which("swaks")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("swaks"),  # one tracker for all of it
    pytest.mark.skipif(SWAKS is None and os.environ.get("CI") != "true", reason="needs swaks (Debian's package)"),
]
ANNA, BERT = "anna@example.org", "bert@example.org"
FROM = "jonas@werkstatt-nord.example"
OFFER = message('<p>.\r\n<a href="https://shop.example/a">Größe</a></p>')
STRANGER = ("--local-interface", "127.0.0.5")
"""Somebody who is of no network that may send without a login."""


@dataclass
class Said:
    """What came of a run."""

    status: int
    dialog: str
    taken: list[Taken] = field(default_factory=list)

    @property
    def answers(self) -> list[str]:
        """The last lines of the server's answers."""
        return re.findall(r"^<[-~*]{0,2}[ *]+(\d{3} .*)$", self.dialog, re.MULTILINE)


@dataclass
class Desk:
    """A tracker before a next hop, and swaks before the tracker."""

    tracker: Installation
    next_hop: Hop
    certificate: Certificate

    def swaks(self, *words: str, octets: bytes = OFFER, to: str = ANNA, sender: str = FROM, tls: bool = False) -> Said:
        """Send OCTETS, to whose end swaks adds CRLF; in TLS from the first octet if TLS."""
        assert SWAKS is not None
        before = len(self.next_hop.sink.taken)
        listen = self.tracker.environment["TRACKER_SMTPS_LISTEN" if tls else "TRACKER_SMTP_LISTEN"]
        done = subprocess.run(
            [SWAKS, "--server", listen, "--ehlo", "app.example", "--from", sender, "--to", to, "--data", "-", *words],
            input=octets.removesuffix(b"\r\n"), capture_output=True, timeout=PATIENCE, check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        assert re.fullmatch(rb"|\*\*\* (No authentication type succeeded|Auth not attempted.*)\n", done.stderr), (
            done.stderr
        )
        return Said(done.returncode, done.stdout.decode(), self.next_hop.sink.taken[before:])

    def login(self, kind: str, key: str | None = None) -> tuple[str, ...]:
        return ("--auth", kind, "--auth-user", "tests", "--auth-password", self.tracker.key if key is None else key)

    @property
    def trusted(self) -> tuple[str, ...]:
        """Only the certificate of this server will do."""
        return ("--tls-verify", "--tls-ca-path", str(self.certificate.chain))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder: Path = tmp_path_factory.mktemp("desk")
    certificate = Certificate.made(folder)
    with Hop() as next_hop:
        installation = Installation.copied(
            folder / "tracker",
            TRACKER_SMTP_LISTEN=f"127.0.0.1:{free_port()}",
            TRACKER_SMTPS_LISTEN=f"127.0.0.1:{free_port()}",
            TRACKER_SMTP_CERTIFICATE=str(certificate.chain),
            TRACKER_SMTP_PRIVATE_KEY=str(certificate.key),
            TRACKER_SMTP_NETWORKS="127.0.0.1",
            TRACKER_CONTROL_NETWORKS="127.0.0.1",
            TRACKER_SMTP_NEXT_HOP=next_hop.sink.next_hop,
            TRACKER_SENDER_DOMAINS="werkstatt-nord.example",
            TRACKER_MAX_MESSAGE="1 MiB",
        )
        with installation:
            assert installation.grant(ANNA).status == 201
            yield Desk(installation, next_hop, certificate)


def is_tracked(taken: Taken) -> bool:
    return b'data-tracker="notice"' in taken.octets


def test_who_agreed_gets_a_tracked_copy_and_who_did_not_the_octets_that_came(desk: Desk) -> None:
    said = desk.swaks(to=f"{ANNA},{BERT}")
    assert said.status == 0
    untouched, tracked = said.taken
    assert (tracked.recipients, is_tracked(tracked)) == ((ANNA,), True)
    assert (untouched.recipients, untouched.below_received) == ((BERT,), OFFER)


@pytest.mark.parametrize("kind", ["PLAIN", "LOGIN"])
def test_a_stranger_logs_in_over_starttls(desk: Desk, kind: str) -> None:
    said = desk.swaks(*STRANGER, "--tls", *desk.trusted, *desk.login(kind))
    assert said.status == 0, said.dialog
    (taken,) = said.taken
    assert is_tracked(taken)
    assert b" with ESMTPSA;" in taken.octets


@pytest.mark.parametrize("kind", ["PLAIN", "LOGIN"])
def test_a_stranger_logs_in_over_tls_from_the_first_octet(desk: Desk, kind: str) -> None:
    said = desk.swaks(*STRANGER, "--tls-on-connect", *desk.trusted, *desk.login(kind), tls=True)
    assert said.status == 0, said.dialog
    assert b" with ESMTPSA;" in said.taken[0].octets


def test_a_stranger_without_a_login_gets_nowhere(desk: Desk) -> None:
    """Neither to anybody else nor to addresses of our own, neither in the clear nor in TLS."""
    for words in (STRANGER, (*STRANGER, "--tls")):
        for to in (ANNA, FROM):
            said = desk.swaks(*words, to=to)
            assert (said.status, said.taken) == (23, [])
            assert "530 5.7.0 Authentication required" in said.answers


def test_a_wrong_key_or_one_of_a_kind_that_is_not_offered_is_refused(desk: Desk) -> None:
    wrong = desk.swaks(*STRANGER, "--tls", *desk.login("PLAIN", "trk_" + "x" * 43))
    assert (wrong.status, wrong.taken) == (28, [])
    assert "535 5.7.8 Authentication credentials invalid" in wrong.answers
    other = desk.swaks(*STRANGER, "--tls", *desk.login("CRAM-MD5"))  # for which keys would have to be kept readable
    assert (other.status, other.taken) == (28, [])


def test_commands_may_come_in_one_piece(desk: Desk) -> None:
    said = desk.swaks("--pipeline", to=f"{ANNA},{BERT}")
    assert said.status == 0, said.dialog
    assert sorted(taken.recipients for taken in said.taken) == [(ANNA,), (BERT,)]


def test_the_null_sender_passes(desk: Desk) -> None:
    said = desk.swaks(sender="<>", to=BERT)
    assert said.status == 0
    assert said.taken[0].mail == "FROM:<>"
    assert said.taken[0].below_received == OFFER


def test_body_size_and_delivery_notices_pass(desk: Desk) -> None:
    """swaks puts `<…>` around what it is told: the last parameter has a `>` at its end, which is text there."""
    words = f"SIZE={len(OFFER)} BODY=8BITMIME RET=HDRS ENVID=q1"
    said = desk.swaks(sender=f"{FROM}> {words}", to=f"{BERT}> NOTIFY=NEVER ORCPT=rfc822;{BERT}")
    assert said.status == 0, said.dialog
    (taken,) = said.taken
    assert taken.mail == f"FROM:<{FROM}> {words}>"
    assert taken.rcpts == (f"TO:<{BERT}> NOTIFY=NEVER ORCPT=rfc822;{BERT}>",)
    offered = said.dialog.partition("250 SMTPUTF8")[0]
    for extension in ("PIPELINING", "8BITMIME", "DSN", f"SIZE {4 * 2**20}", "STARTTLS", "AUTH LOGIN PLAIN"):
        assert f"250-{extension}\n" in said.dialog or f"250 {extension}\n" in said.dialog, offered


def test_addresses_with_other_letters_pass(desk: Desk) -> None:
    said = desk.swaks(sender="jürgen@werkstatt-nord.example> SMTPUTF8 ENVID=q2", to="bärbel@example.org")
    assert said.status == 0, said.dialog
    assert said.taken[0].rcpts == ("TO:<bärbel@example.org>",)
    assert "SMTPUTF8" in said.taken[0].mail
    assert b" with UTF8SMTP;" in said.taken[0].octets
    refused = desk.swaks(to="bärbel@example.org")
    assert "553 5.6.7 An address with letters beyond ASCII needs SMTPUTF8" in refused.answers


def test_what_is_too_large_is_refused(desk: Desk) -> None:
    announced = desk.swaks(sender=f"{FROM}> SIZE={4 * 2**20 + 1} ENVID=q3")
    assert (announced.status, announced.taken) == (23, [])
    assert "552 5.3.4 The message is larger than is taken here" in announced.answers
    sent = desk.swaks(octets=OFFER + (b"x" * 76 + b"\r\n") * 54_000)
    assert (sent.status, sent.taken) == (26, [])
    assert "552 5.3.4 The message is larger than is taken here" in sent.answers


def test_mail_that_is_merely_forwarded_through_is_not_ours_to_track(desk: Desk) -> None:
    """Whatever the envelope says: who wrote it is of no domain of ours."""
    octets = OFFER.replace(FROM.encode(), b"somebody@elsewhere.example")
    (taken,) = desk.swaks(octets=octets).taken
    assert taken.below_received == octets


CONTROLS = (
    "X-Tracker-Label", "Angebot", "X-Tracker-Campaign", "c-7", "X-Tracker-Reference", "crm-1",
    "X-Tracker-Owner", "rita@werkstatt-nord.example", "X-Tracker-Language", "fr",
)  # fmt: skip


def controlled() -> bytes:
    pairs = zip(CONTROLS[::2], CONTROLS[1::2], strict=True)
    return "".join(f"{name}: {value}\r\n" for name, value in pairs).encode() + OFFER.replace(b"<m@x>", b"<c@x>")


def test_control_headers_are_heeded_from_here_and_taken_out(desk: Desk) -> None:
    said = desk.swaks(octets=controlled())
    (taken,) = said.taken
    assert is_tracked(taken)
    assert b"X-Tracker" not in taken.octets
    assert b"ouvert" in taken.octets, "the notice is in French"
    (figures,) = [
        each for each in desk.tracker.api("GET", "/v1/stats/messages").json["messages"] if each["label"] == "Angebot"
    ]
    assert figures["tracked"] == 1


def test_x_tracker_off_leaves_the_message_alone(desk: Desk) -> None:
    said = desk.swaks(octets=b"X-Tracker: off\r\n" + OFFER, to=f"{ANNA},{BERT}")
    (taken,) = said.taken
    assert taken.recipients == (ANNA, BERT)
    assert taken.below_received == OFFER


def test_control_headers_of_a_stranger_count_once_it_has_logged_in(desk: Desk) -> None:
    said = desk.swaks(*STRANGER, "--tls", *desk.login("PLAIN"), octets=b"X-Tracker: off\r\n" + OFFER)
    assert said.taken[0].below_received == OFFER


def test_no_log_names_anybody(desk: Desk) -> None:
    """Runs last in this module."""
    lines = desk.tracker.log_file.read_text().splitlines()
    log = "\n".join(line for line in lines if 'message="setting ' not in line)
    assert "serving" in log
    found = [word for word in ("example.org", "werkstatt-nord", "rita", "127.0.0", desk.tracker.key) if word in log]
    assert not found, log
