"""Debian's Exim with the very files of deploy/exim: mail passes the tracker, and goes round a dead one."""

from __future__ import annotations

import shutil
import smtplib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, EXTRACTED, adapted, checked, program
from tests.e2e.mail import message
from tests.harness import PATIENCE, Installation, free_port
from tests.mailserver import mail_server

pytestmark = pytest.mark.e2e
ANNA, BERT = "anna@example.org", "bert@example.org"
FROM = "jonas@werkstatt-nord.example"
OFFER = message('<p><a href="https://shop.example/a">x</a></p>', Date="Sat, 28 Nov 2026 09:00:00 +0000")
ANSWERS = """
dc_eximconfig_configtype='smarthost'
dc_other_hostnames=''
dc_local_interfaces='127.0.0.1.{entry} ; 127.0.0.1.{back}'
dc_readhost=''
dc_relay_domains=''
dc_minimaldns='true'
dc_relay_nets=''
dc_smarthost='127.0.0.1::{onward}'
dc_use_split_config='true'
dc_hide_mailname='false'
dc_mailname_in_oh='true'
dc_localdelivery='mail_spool'
"""
"""What Debian asks when Exim is installed; see update-exim4.conf(8)."""
SURROUNDINGS = """
SPOOLDIR = {folder}/spool
CONFDIR = {folder}/exim4
log_file_path = {folder}/spool/%slog
pid_file_path = {folder}/spool/pid
primary_hostname = mx.werkstatt-nord.example
deliver_drop_privilege = true
"""


@dataclass(frozen=True)
class Running:
    entry: int
    command: tuple[str, ...]

    def submit(self, *recipients: str) -> None:
        with smtplib.SMTP("127.0.0.1", self.entry, "app.example", timeout=PATIENCE) as smtp:
            assert smtp.sendmail(FROM, recipients, OFFER) == {}

    def sendmail(self, recipient: str) -> None:
        command = [*self.command, "-i", "-f", FROM, recipient]
        done = subprocess.run(
            command, input=OFFER.replace(b"\r\n", b"\n"), capture_output=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr


@contextmanager
def exim(folder: Path, tracker: int, back: int, onward: int) -> Iterator[Running]:
    """One with Debian's configuration for a company that sends through another server, and our files."""
    binary, entry, etc = program("exim4", root=True), free_port(), folder / "exim4"
    shutil.copytree(EXTRACTED / "etc" / "exim4", etc)
    for ours in (DEPLOY / "exim" / "conf.d").rglob("*_tracker"):
        shutil.copy(ours, etc / ours.relative_to(DEPLOY / "exim"))
    main = etc / "conf.d" / "main"
    ports = {"TRACKER_PORT = 2525": f"TRACKER_PORT = {tracker}", "TRACKER_BACK = 10026": f"TRACKER_BACK = {back}"}
    (main / "00_tracker").write_text(adapted("exim/conf.d/main/00_tracker", ports))
    (main / "000_surroundings").write_text(SURROUNDINGS.format(folder=folder))
    stock = main / "01_exim4-config_listmacrosdefs"
    stock.write_text(stock.read_text().replace("/usr/sbin/exim4", binary))
    primary = etc / "conf.d" / "router" / "200_exim4-config_primary"  # here the world is on this machine, too
    primary.write_text(
        primary.read_text().replace("host_find_failed = ignore", "host_find_failed = ignore\n  self = send")
    )
    (etc / "update-exim4.conf.conf").write_text(ANSWERS.format(entry=entry, back=back, onward=onward))
    (folder / "spool").mkdir()
    shutil.chown(folder / "spool", "Debian-exim", "Debian-exim")
    configuration = folder / "exim.conf"
    checked(program("update-exim4.conf"), "-d", etc, "-o", configuration)
    command = (binary, "-C", str(configuration))
    assert "tracker_smtp" in checked(*command, "-bP", "transport_list")
    daemon = subprocess.Popen([*command, "-bdf", "-q1m"], stdin=subprocess.DEVNULL)
    try:
        answered(entry)
        yield Running(entry, command)
    finally:
        daemon.terminate()
        daemon.wait(PATIENCE)
        print((folder / "spool" / "mainlog").read_text())  # seen when the test fails


def answered(port: int) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE):
                return
        except OSError:
            assert time.monotonic() < end, f"nobody answers on port {port}"


def test_mail_passes_the_tracker_and_goes_round_a_dead_one(fresh: Installation, open_folder: Path) -> None:
    tracker, back = free_port(), free_port()
    fresh.environment |= {
        "TRACKER_SMTP_LISTEN": f"127.0.0.1:{tracker}",
        "TRACKER_SMTP_NEXT_HOP": f"127.0.0.1:{back}",
        "TRACKER_SENDER_DOMAINS": "werkstatt-nord.example",
    }
    with mail_server() as world, exim(open_folder, tracker, back, world.port) as mta:
        with fresh:
            assert fresh.grant(ANNA).status == 201
            mta.submit(ANNA, BERT)
            by_recipient = {mail.recipients: mail.octets for mail in world.wait_for(2)}
            assert set(by_recipient) == {(ANNA,), (BERT,)}
            link = fresh.public_url.encode() + b"/c/"
            assert link in by_recipient[ANNA,]
            assert by_recipient[BERT,].endswith(OFFER), "octet for octet"

            mta.sendmail(ANNA)
            assert link in world.wait_for(3)[2].octets, "what `sendmail` hands in passes the tracker too"

        mta.submit(ANNA, BERT)  # the tracker is dead
        mta.submit(BERT)  # Exim knows that already, and does not even try
        round_it = world.wait_for(6)[3:]
        assert sorted(mail.recipients for mail in round_it) == [(ANNA,), (BERT,), (BERT,)]
        assert all(mail.octets.endswith(OFFER) for mail in round_it)


def test_mail_goes_round_a_tracker_that_puts_it_off(open_folder: Path) -> None:
    back = free_port()
    with mail_server() as busy, mail_server() as world, exim(open_folder, busy.port, back, world.port) as mta:
        busy.answer = "452 4.3.1 Too many large messages are under way; please try again later"
        mta.submit(ANNA, BERT)
        assert sorted(mail.recipients for mail in world.wait_for(2)) == [(ANNA,), (BERT,)]
    assert busy.asked == 2, "each recipient in a transaction of its own"
