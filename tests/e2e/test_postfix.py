"""Postfix hands its mail to the tracker as a content filter, takes it back, and goes round a tracker that is dead."""

from __future__ import annotations

import os
import smtplib
from pathlib import Path

import pytest

from tests.e2e.mail import message
from tests.harness import Installation, free_port
from tests.mailserver import mail_server
from tests.postfix import POSTFIX, postfix

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        (POSTFIX is None or os.geteuid() != 0) and os.environ.get("CI") != "true", reason="needs Postfix, and root"
    ),
]
ANNA, BERT = "anna@example.org", "bert@example.org"
FROM = "jonas@werkstatt-nord.example"
OFFER = message('<p><a href="https://shop.example/a">x</a></p>', Date="Sat, 28 Nov 2026 09:00:00 +0000")


def test_mail_flows_through_postfix_and_the_tracker_and_round_a_dead_tracker(
    fresh: Installation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder: Path = tmp_path_factory.mktemp("postfix") / "instance"
    tracker, back = free_port(), free_port()
    fresh.environment |= {
        "TRACKER_SMTP_LISTEN": f"127.0.0.1:{tracker}",
        "TRACKER_SMTP_NEXT_HOP": f"127.0.0.1:{back}",
        "TRACKER_SENDER_DOMAINS": "werkstatt-nord.example",
    }
    with mail_server() as world, postfix(folder, tracker, world.port, back) as mta:

        def send() -> None:
            with smtplib.SMTP("127.0.0.1", mta.entry, "app.example", timeout=30) as smtp:
                assert smtp.sendmail(FROM, [ANNA, BERT], OFFER) == {}

        with fresh:
            assert fresh.grant(ANNA).status == 201
            send()
            first = world.wait_for(2)
        by_recipient = {mail.recipients: mail.octets for mail in first}
        assert set(by_recipient) == {(ANNA,), (BERT,)}
        assert fresh.public_url.encode() + b"/c/" in by_recipient[ANNA,]
        untouched = by_recipient[BERT,]
        assert untouched.endswith(OFFER), "octet for octet, below the lines that relays put on top"
        assert b"Received: by 127.0.0.1 with ESMTP;" in untouched.removesuffix(OFFER)

        send()  # the tracker is dead
        (round_it,) = world.wait_for(3, timeout=20)[2:]
        assert sorted(round_it.recipients) == [ANNA, BERT]
        assert round_it.octets.endswith(OFFER)
