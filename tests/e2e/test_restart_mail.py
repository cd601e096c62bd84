"""SIGHUP exchanges the workers under mail systems: what they began ends with its answer, and nothing comes twice."""

from __future__ import annotations

import os
import re
import signal
import smtplib
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.certificate import Certificate
from tests.e2e.crew import alive, only, until, without, workers
from tests.e2e.hop import Hop
from tests.e2e.mail import message
from tests.e2e.outage import check_log
from tests.harness import PATIENCE, Installation, free_port
from tests.postfix import POSTFIX, postfix

pytestmark = pytest.mark.e2e
ANNA, BERT = "anna@example.org", "bert@example.org"
"""Anna agreed, Bert did not."""
FROM = "jonas@werkstatt-nord.example"
SUBMITS = 250
COME_AGAIN = 421
GOODBYE = 221


def offer(mark: str) -> bytes:
    return message('<p><a href="https://shop.example/a">x</a></p>', **{"Message-ID": f"<{mark}@x>"})


class Line:
    """A server whose workers are exchanged, and its next hop."""

    def __init__(self, tracker: Installation, hop: Hop, certificate: Certificate, size: int) -> None:
        self.tracker = tracker
        self.hop = hop
        self.size = size
        self.trust = ssl.create_default_context(cafile=str(certificate.chain))
        self.port = free_port()
        tracker.environment |= {
            "TRACKER_SMTP_LISTEN": f"127.0.0.1:{self.port}",
            "TRACKER_SMTP_NEXT_HOP": hop.sink.next_hop,
            "TRACKER_SMTP_CERTIFICATE": str(certificate.chain),
            "TRACKER_SMTP_PRIVATE_KEY": str(certificate.key),
            "TRACKER_SENDER_DOMAINS": "werkstatt-nord.example",
        }

    def client(self, port: int | None = None) -> smtplib.SMTP:
        """One that has connected and greeted, at another PORT if that is said."""
        smtp = smtplib.SMTP("127.0.0.1", port or self.port, "client.example", timeout=PATIENCE)
        smtp.ehlo()
        return smtp

    def arrived(self) -> Counter[tuple[str, str]]:
        """How often each message came to each recipient."""
        return Counter(
            (re.findall(rb"Message-ID: <(.*)@x>", one.octets)[0].decode(), recipient)
            for one in self.hop.sink.taken
            for recipient in one.recipients
        )

    def hang_up(self) -> list[int]:
        """SIGHUP; those who hand over by now."""
        before, said = workers(self.tracker), self._said()
        os.kill(self.tracker.pid, signal.SIGHUP)
        until(lambda: self._said() == said + self.size, "nobody hands over")
        return before

    def _said(self) -> int:
        return self.tracker.log_file.read_text().count("handing over")


@contextmanager
def running(folder: Path, size: int, next_hop: str | None = None) -> Iterator[Line]:
    """SIZE workers, which hand mail on to NEXT_HOP, or else to the hop of the line."""
    with Hop() as hop:
        line = Line(Installation.copied(folder / "tracker"), hop, Certificate.made(folder), size)
        if next_hop is not None:
            line.tracker.environment["TRACKER_SMTP_NEXT_HOP"] = next_hop
        try:
            line.tracker.start(workers=size)
            assert line.tracker.grant(ANNA).status == 201
            yield line
            assert line.tracker.stop() == 0
            check_log(line.tracker)
        finally:
            line.tracker.kill()


@dataclass
class Restart:
    """What happened around one SIGHUP."""

    line: Line
    heard: dict[str, int] = field(default_factory=dict)
    """The last answer to each client."""
    arrived: Counter[tuple[str, str]] = field(default_factory=Counter)


TRANSACTION = (("MAIL", f"FROM:<{FROM}>"), ("RCPT", f"TO:<{BERT}>"), ("RCPT", f"TO:<{ANNA}>"), ("DATA", ""))
HALF = 60
"""Octets of a message that come before the restart."""


def steps(smtp: smtplib.SMTP, first: int, end: int = len(TRANSACTION)) -> None:
    """Those of a transaction from FIRST on, before END."""
    for command, argument in TRANSACTION[first:end]:
        assert smtp.docmd(command, argument)[0] in (250, 354)


def answer_to(smtp: smtplib.SMTP, octets: bytes) -> int:
    """The answer to the message that ends with OCTETS."""
    smtp.send(octets + b".\r\n")
    return smtp.getreply()[0]


@pytest.fixture(
    scope="module", params=[pytest.param(size, marks=pytest.mark.xdist_group(f"restart of {size}")) for size in (1, 2)]
)
def restart(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Restart]:
    """Clients in every state live through one SIGHUP; the last of them are sent away when the time is over."""
    with running(tmp_path_factory.mktemp("restart"), request.param) as line, ExitStack() as stack:
        happened = Restart(line)
        heard = happened.heard

        def client(of: int) -> smtplib.SMTP:
            with only(of, workers(line.tracker)):
                smtp = line.client()
            stack.callback(smtp.close)
            return smtp

        one, other = workers(line.tracker)[0], workers(line.tracker)[-1]
        coming, named, newcomer, again, silent = (client(one) for _ in range(5))
        in_tls, told, waiting, leaving, endless = (client(other) for _ in range(5))
        in_tls.starttls(context=line.trust)
        in_tls.ehlo()
        for smtp, mark in ((again, "again"), (leaving, "leaving"), (silent, "silent")):
            assert smtp.sendmail(FROM, [BERT, ANNA], offer(mark)) == {}
        for smtp, mark in ((coming, "coming"), (in_tls, "in tls"), (endless, "endless")):
            steps(smtp, 0)
            smtp.send(offer(mark)[:HALF])
        steps(named, 0, 1)
        steps(told, 0, 3)
        steps(waiting, 0)
        with line.hop.holding():
            waiting.send(offer("waiting") + b".\r\n")
            line.hop.until(lambda sink: f"DATA {BERT}" in sink.commands[-1:])
            before = line.hang_up()
            with without(before):
                assert line.client().quit()[0] == GOODBYE  # whoever comes now is served by others
        heard["waiting"] = waiting.getreply()[0]
        for smtp, mark in ((coming, "coming"), (in_tls, "in tls")):
            heard[mark] = answer_to(smtp, offer(mark)[HALF:])
        for smtp, mark, done in ((named, "named", 1), (told, "told", 3), (newcomer, "newcomer", 0)):
            steps(smtp, done)
            heard[mark] = answer_to(smtp, offer(mark))
        heard["again"] = again.docmd("RSET")[0]
        heard["leaving"] = leaving.quit()[0]
        with without(before), line.client() as smtp:
            assert smtp.sendmail(FROM, [BERT, ANNA], offer("new")) == {}
        heard["silent"] = silent.getreply()[0]
        heard["endless"] = endless.getreply()[0]
        heard["silent in tls"] = in_tls.getreply()[0]
        until(lambda: not any(map(alive, before)), "those of before are still there")
        happened.arrived = line.arrived()
        yield happened


@pytest.mark.parametrize("client", ["coming", "in tls", "named", "told", "waiting"])
def test_what_was_begun_is_ended_and_arrives_once(restart: Restart, client: str) -> None:
    """Half of it had come, also in TLS; its sender, or its recipients, were named; the next hop had it."""
    assert restart.heard[client] == SUBMITS
    assert (restart.arrived[client, ANNA], restart.arrived[client, BERT]) == (1, 1)


def test_who_had_greeted_may_hand_in_what_it_came_for(restart: Restart) -> None:
    assert restart.heard["newcomer"] == SUBMITS
    assert (restart.arrived["newcomer", ANNA], restart.arrived["newcomer", BERT]) == (1, 1)


def test_who_is_between_messages_is_told_to_come_again_or_may_say_goodbye(restart: Restart) -> None:
    assert restart.heard["again"] == COME_AGAIN
    assert restart.heard["leaving"] == GOODBYE


def test_whoever_is_left_when_the_time_is_over_is_told_to_come_again(restart: Restart) -> None:
    assert {restart.heard[one] for one in ("silent", "silent in tls", "endless")} == {COME_AGAIN}
    assert restart.arrived["endless", ANNA] == restart.arrived["endless", BERT] == 0


def test_who_comes_meanwhile_is_served_at_once_by_the_new_workers(restart: Restart) -> None:
    """It was while those of before stood still."""
    assert (restart.arrived["new", ANNA], restart.arrived["new", BERT]) == (1, 1)


def test_nothing_came_twice(restart: Restart) -> None:
    assert set(restart.arrived.values()) == {1}


@dataclass
class Sender:
    """Sends one message after the other in a thread, on a connection for each or on one for all, which it renews."""

    line: Line
    name: str
    keeps: bool
    pause: float = 0.0
    port: int | None = None
    """Of whoever takes them, if not the line itself."""
    sent: int = 0
    told_to_come_again: int = 0
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        smtp = self.line.client(self.port)
        while not self._ended.wait(self.pause):
            try:
                smtp.sendmail(FROM, [BERT, ANNA], offer(f"{self.name}{self.sent}"))
                self.sent += 1
                if not self.keeps:
                    assert smtp.quit()[0] == GOODBYE
                    smtp = self.line.client(self.port)
            except smtplib.SMTPSenderRefused as error:
                self.told_to_come_again += 1
                if not self.keeps or error.smtp_code != COME_AGAIN:
                    self.failed.append(f"{error.smtp_code} at MAIL")
                smtp = self.line.client(self.port)
            except (OSError, AssertionError) as error:  # smtplib's errors are OSErrors
                self.failed.append(repr(error))
                smtp = self.line.client(self.port)
        smtp.close()


def arrivals_of(senders: list[Sender]) -> Counter[tuple[str, str]]:
    """What comes of all that SENDERS had taken, if everything comes once."""
    sent = [f"{one.name}{number}" for one in senders for number in range(one.sent)]
    return Counter((mark, person) for mark in sent for person in (ANNA, BERT))


def test_under_load_every_message_is_taken_and_comes_once(tmp_path: Path) -> None:
    """Who keeps a connection is told between two messages to make another one, and else nobody hears of it."""
    with running(tmp_path, 2) as line:
        senders = [Sender(line, f"{keeps}{number}.", keeps) for keeps in (True, False) for number in range(3)]
        try:
            before = line.hang_up()
            until(lambda: not any(map(alive, before)), "those of before are still there")
            enough = [one.sent + 3 for one in senders]
            until(lambda: all(one.sent > most for one, most in zip(senders, enough, strict=True)), "nobody sends")
        finally:
            for one in senders:
                one.end()
        assert {one.name: one.failed for one in senders if one.failed} == {}
        assert any(one.told_to_come_again for one in senders if one.keeps)
        assert line.arrived() == arrivals_of(senders)


@pytest.mark.skipif(
    (POSTFIX is None or os.geteuid() != 0) and os.environ.get("CI") != "true", reason="needs Postfix, and root"
)
def test_postfix_goes_on_handing_in_its_queue(tmp_path: Path) -> None:
    """It keeps connections for several messages: none is put off, goes round the tracker, or comes twice."""
    back = free_port()
    with (
        running(tmp_path, 2, next_hop=f"127.0.0.1:{back}") as line,
        postfix(line.port, line.hop.sink.port, back) as mta,
    ):
        applications = [Sender(line, f"{number}.", keeps=True, pause=0.05, port=mta.entry) for number in range(2)]
        try:
            line.hop.until(lambda sink: len(sink.taken) > 10)
            before = line.hang_up()
            until(lambda: not any(map(alive, before)), "those of before are still there")
        finally:
            for one in applications:
                one.end()
        wanted = arrivals_of(applications)
        line.hop.until(lambda sink: len(sink.taken) >= wanted.total())
        assert line.arrived() == wanted
        handed_in = f"relay=127.0.0.1[127.0.0.1]:{line.port}, "
        until(lambda: mta.log.count(handed_in) >= wanted.total(), "some went round the tracker")
        assert "status=deferred" not in mta.log
        assert ", conn_use=" in mta.log, "it kept connections"
