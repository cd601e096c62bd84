"""Writes the sample that `tracker try` mails: an ordinary message with a link, in the language of the settings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from tracker.doors.courier import environment_of, wrapped
from tracker.doors.languages import Languages
from tracker.doors.pages import templates_folder
from tracker.model import Language


class SampleMail:
    """Writes samples for one controller."""

    def __init__(self, controller: str, language: Language, folder: Path | None = None) -> None:
        """Raises OSError when templates are missing."""
        folder = folder or templates_folder()
        self._language = language
        self._controller = controller
        self._environment = environment_of(folder / "mail", Languages(folder / "locale"), language)

    def written(self, sender: str, recipient: str, link: str, message_id: str, now: datetime) -> bytes:
        """A message from SENDER to RECIPIENT (ASCII addresses) with the LINK in it; it ends its lines in CRLF."""
        values: Mapping[str, str] = {
            "controller": self._controller,
            "link": link,
            "language": self._language.value,
        }
        subject, _, text = self._environment.get_template("sample.txt").render(values).partition("\n")
        message = EmailMessage(policy=SMTP)
        message["Date"] = now
        message["From"] = sender
        message["To"] = recipient
        message["Subject"] = subject
        message["Message-ID"] = message_id
        message["Content-Language"] = self._language.value
        message.set_content(wrapped(text), cte="quoted-printable")
        html = self._environment.get_template("sample.html").render(values)
        message.add_alternative(html, subtype="html", cte="quoted-printable")
        return message.as_bytes()
