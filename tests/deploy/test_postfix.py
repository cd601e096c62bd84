"""Postfix on the very lines of deploy/postfix: mail that is handed in by port or by `sendmail` passes the tracker, and
goes round it when it is dead."""

from __future__ import annotations

import shutil
import smtplib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP

from tests.deploy.files import adapted, checked, program
from tests.e2e.mail import message
from tests.harness import PATIENCE, Installation, free_port
from tests.mailserver import mail_server
from tests.postfix import MAIN

pytestmark = pytest.mark.e2e
ANNA, BERT = "anna@example.org", "bert@example.org"
FROM = "jonas@werkstatt-nord.example"
OFFER = message('<p><a href="https://shop.example/a">x</a></p>' + "y" * 1500, Date="Sat, 28 Nov 2026 09:00:00 +0000")
STOCK = Path("/usr/share/postfix/master.cf.dist")
"""What Debian's Postfix comes with."""


@dataclass(frozen=True)
class Running:
    entry: int
    etc: Path

    def submit(self) -> None:
        with smtplib.SMTP("127.0.0.1", self.entry, "app.example", timeout=PATIENCE) as smtp:
            assert smtp.sendmail(FROM, [ANNA, BERT], OFFER) == {}

    def sendmail(self, recipient: str) -> None:
        postfix_own = Path(program("postfix")).with_name("sendmail")
        command = [str(postfix_own), "-C", str(self.etc), "-i", "-f", FROM, recipient]
        done = subprocess.run(
            command, input=OFFER.replace(b"\r\n", b"\n"), capture_output=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr


@contextmanager
def postfix(folder: Path, tracker: int, back: int, onward: int) -> Iterator[Running]:
    command = program("postfix", root=True)
    etc, entry = folder / "etc", free_port()
    for name in ("etc", "queue", "data", "log"):
        (folder / name).mkdir(parents=True)
    shutil.chown(folder / "data", "postfix")
    ours = adapted(
        "postfix/master.cf",
        {
            "submission inet": f"127.0.0.1:{entry} inet",
            "[127.0.0.1]:2525": f"[127.0.0.1]:{tracker}",
            "127.0.0.1:10026 inet": f"127.0.0.1:{back} inet",
            "[127.0.0.1]:10026": f"[127.0.0.1]:{back}",
        },
    )
    # On its way out stock Postfix breaks long lines: off here, so that any break is seen that our lines made.
    base = MAIN.format(folder=folder, onward=onward) + "smtp_line_length_limit = 0\n"
    (etc / "main.cf").write_text(base + adapted("postfix/main.cf", {}))
    (etc / "master.cf").write_text(without(stock(), services(ours)) + ours)
    checked(command, "-c", etc, "check")
    checked(command, "-c", etc, "start")
    try:
        yield Running(entry, etc)
    finally:
        subprocess.run([command, "-c", etc, "stop"], capture_output=True, timeout=PATIENCE, check=False)


def stock() -> str:
    """Debian's own services, without port 25, and not shut into a folder that only an installed Postfix has."""
    lines = [line for line in STOCK.read_text().splitlines() if not line.startswith(("#", "smtp      inet"))]
    return "\n".join(line.replace(" y  ", " n  ", 1) for line in lines) + "\n"


def services(master: str) -> set[tuple[str, ...]]:
    """The services that MASTER defines: name and type."""
    return {tuple(line.split()[:2]) for line in master.splitlines() if line[:1].strip() and line[0] != "#"}


def without(master: str, names: set[tuple[str, ...]]) -> str:
    """MASTER without the services NAMES."""
    kept, keeping = [], True
    for line in master.splitlines(keepends=True):
        if line[:1].strip() and line[0] != "#":
            keeping = tuple(line.split()[:2]) not in names
        if keeping:
            kept.append(line)
    return "".join(kept)


def test_mail_passes_the_tracker_and_goes_round_a_dead_one(
    fresh: Installation, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SMTP, "line_length_limit", 65_536)  # the world takes whatever comes
    tracker, back = free_port(), free_port()
    fresh.environment |= {
        "TRACKER_SMTP_LISTEN": f"127.0.0.1:{tracker}",
        "TRACKER_SMTP_NEXT_HOP": f"127.0.0.1:{back}",
        "TRACKER_SENDER_DOMAINS": "werkstatt-nord.example",
    }
    with mail_server() as world, postfix(open_folder, tracker, back, world.port) as mta:
        with fresh:
            assert fresh.grant(ANNA).status == 201
            mta.submit()
            by_recipient = {mail.recipients: mail.octets for mail in world.wait_for(2)}
            assert set(by_recipient) == {(ANNA,), (BERT,)}
            link = fresh.public_url.encode() + b"/c/"
            assert link in by_recipient[ANNA,]
            assert by_recipient[BERT,].endswith(OFFER), "octet for octet, with its long line"

            mta.sendmail(ANNA)
            assert link in world.wait_for(3)[2].octets, "what `sendmail` hands in passes the tracker too"

        mta.submit()  # the tracker is dead
        mta.sendmail(BERT)
        round_it = world.wait_for(6)[3:]
        assert sorted(mail.recipients for mail in round_it) == [(ANNA,), (BERT,), (BERT,)]
        assert all(link not in mail.octets for mail in round_it)
        assert all(mail.octets.endswith(OFFER) for mail in round_it)


def test_mail_goes_round_a_tracker_that_puts_it_off(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SMTP, "line_length_limit", 65_536)
    back = free_port()
    with mail_server() as busy, mail_server() as world, postfix(open_folder, busy.port, back, world.port) as mta:
        busy.answer = "452 4.3.1 Too many large messages are under way; please try again later"
        mta.submit()
        assert sorted(mail.recipients for mail in world.wait_for(2)) == [(ANNA,), (BERT,)]
    assert busy.asked == 2, "each recipient in a transaction of its own"
