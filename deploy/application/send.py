"""Mails a message through the tracker, and straight to the mail server while the tracker is away: mail always flows.

For an application in Python, with nothing but its standard library:

    python3 send.py anna@example.org bert@example.org < offer.eml

On the tracker's own machine no login is needed. Elsewhere MAIL_LOGIN names an API key (`tracker key create shop --scope
rewrite > shop.key`) and MAIL_PASSWORD_FILE the file that holds it; then TLS is used, and the certificate is checked.
"""

from __future__ import annotations

import os
import smtplib
import ssl
import sys
from email import message_from_bytes, policy
from pathlib import Path

TRACKER = os.environ.get("MAIL_TRACKER", "127.0.0.1:2525")
MAIL_SERVER = os.environ.get("MAIL_SERVER", "127.0.0.1:25")
LOGIN, PASSWORD_FILE = os.environ.get("MAIL_LOGIN"), os.environ.get("MAIL_PASSWORD_FILE")


def send(octets: bytes, sender: str, recipients: list[str]) -> dict[str, tuple[int, bytes]]:
    """Hand the message over; who was refused, with the reason. Raises smtplib.SMTPException, OSError."""
    try:
        server = tracker()
    except (OSError, smtplib.SMTPException):  # not even connected: nobody has it yet, so it cannot arrive twice
        server = connected(MAIL_SERVER)
    # From here on an error means "try the same again later", not "try elsewhere": some may have it already.
    with server:
        return server.sendmail(sender, recipients, octets)


def tracker() -> smtplib.SMTP:
    """A connection to the tracker, signed in where that is asked for."""
    server = connected(TRACKER)
    if LOGIN and PASSWORD_FILE:
        server.starttls(context=ssl.create_default_context())
        server.login(LOGIN, Path(PASSWORD_FILE).read_text(encoding="ascii").strip())
    return server


def connected(where: str) -> smtplib.SMTP:
    """A connection to host:port."""
    host, _, port = where.rpartition(":")
    return smtplib.SMTP(host, int(port), timeout=30)


if __name__ == "__main__":
    given = sys.stdin.buffer.read()
    author = message_from_bytes(given, policy=policy.default)["From"].addresses[0].addr_spec
    refused = send(given, author, sys.argv[1:])
    for recipient, (code, reason) in refused.items():
        print(recipient, code, reason.decode("utf-8", "replace"), file=sys.stderr)
    sys.exit(bool(refused))
