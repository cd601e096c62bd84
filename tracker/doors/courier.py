"""Hands mails of our own to the next hop: plain text, nothing counted in them, nothing said about them.

The law (LAW.md R7): no advertising and no tracking. What the mail server says may name the address, so it is dropped.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import parseaddr
from pathlib import Path
from types import MappingProxyType
from typing import Final

import aiosmtplib
from babel.dates import format_timedelta
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from tracker.core.pseudonym import normalise
from tracker.doors.languages import Languages, period
from tracker.doors.next_hop import NextHop, client_of
from tracker.doors.pages import EXTENSIONS, Site, templates_folder
from tracker.model import Language, Letter, MailNotSent, MailRefused

SECONDS: Final = 20.0
"""For each step of the conversation with the next hop."""
WIDTH: Final = 72
"""Characters of a line, but for links."""
_MARK: Final = re.compile(r" (?=[:;?!])")


class Courier:
    """Writes letters in the languages of the pages and posts them."""

    def __init__(
        self,
        next_hop: NextHop,
        site: Site,
        clock: Callable[[], datetime],
        random_bytes: Callable[[int], bytes],
        folder: Path | None = None,
    ) -> None:
        """CLOCK and RANDOM_BYTES give a mail its Date and Message-ID. Raises OSError when templates are missing."""
        folder = folder or templates_folder()
        self._hop = next_hop
        self._site = site
        self._clock = clock
        self._random_bytes = random_bytes
        self._name = site.public_url.partition("://")[2].partition(":")[0]
        self._sender = site.contact if site.contact.isascii() else normalise(site.contact)
        languages = Languages(folder / "locale")
        self._texts = MappingProxyType({one: environment_of(folder / "mail", languages, one) for one in Language})

    async def post(self, letter: Letter) -> None:
        """Hand LETTER to the next hop. Raises MailNotSent, or MailRefused when trying again is of no use."""
        if parseaddr(letter.address)[1] != letter.address:  # as the library reads it
            raise MailRefused("an address of a form that no mail is sent to")
        try:
            octets, utf8 = self.written(letter)
            async with self._connection() as connection:
                await connection.sendmail(
                    self._sender, letter.address, octets, mail_options=("SMTPUTF8",) if utf8 else ()
                )
        except ValueError:  # what the parsers of addresses raise quotes them
            raise MailRefused("an address of a form that no mail is sent to") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            kind = MailRefused if _is_final(error) else MailNotSent
            raise kind(_cause(error)) from None

    def written(self, letter: Letter) -> tuple[bytes, bool]:
        """LETTER as it goes out, and whether only a server that knows SMTPUTF8 (RFC 6531) can take it."""
        utf8 = not (letter.address.isascii() and self._sender.isascii())
        subject, body = self._text(letter)
        message = EmailMessage(policy=SMTPUTF8 if utf8 else SMTP)
        message["Date"] = self._clock()
        message["From"] = _mailbox(self._sender, self._site.controller)
        message["To"] = _mailbox(letter.address)
        message["Subject"] = subject
        message["Message-ID"] = f"<{self._random_bytes(16).hex()}@{self._name}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answers it
        message.set_content(body, cte="quoted-printable")  # which no relay needs to re-encode
        message["Content-Language"] = letter.language.value
        return message.as_bytes(), utf8

    def _text(self, letter: Letter) -> tuple[str, str]:
        template = self._texts[letter.language].get_template(f"{letter.kind.value}.txt")
        values: Mapping[str, object] = {
            "controller": self._site.controller,
            "contact": self._site.contact,
            "url": letter.url,
            "period": lasting(letter.valid_for, letter.language),
        }
        subject, _, body = template.render(values).partition("\n")
        return subject, wrapped(body)

    def _connection(self) -> aiosmtplib.SMTP:
        return client_of(self._hop, self._name, SECONDS)


def lasting(time: timedelta, language: Language) -> str:
    """TIME in words: days or years as on the pages, and shorter ones in minutes."""
    if time >= timedelta(days=1):
        return period(time.days, language)
    return format_timedelta(time, granularity="minute", threshold=60, locale=language.value)


def environment_of(folder: Path, languages: Languages, language: Language) -> Environment:
    """What reads the templates of mails in FOLDER, and has them speak LANGUAGE."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        extensions=EXTENSIONS,
        auto_reload=False,
        autoescape=select_autoescape(["html"]),
    )
    environment.policies["ext.i18n.trimmed"] = True

    def gettext(english: str) -> str:
        return languages.text(language, english)

    def ngettext(english: str, plural: str, number: int) -> str:
        return gettext(english if number == 1 else plural)

    environment.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    return environment


def _is_final(error: Exception) -> bool:
    refusals = error.recipients if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else [error]
    return isinstance(error, aiosmtplib.SMTPNotSupported) or any(
        isinstance(each, aiosmtplib.SMTPResponseException) and each.code >= 500 for each in refusals
    )


def _cause(error: Exception) -> str:
    """What may be said of ERROR: its type and, where a server answered, its code."""
    refusal = error.recipients[0] if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else error
    code = f" {refusal.code}" if isinstance(refusal, aiosmtplib.SMTPResponseException) else ""
    return f"{type(refusal).__name__}{code}"


def _mailbox(address: str, name: str = "") -> Address:
    if address.isascii():
        return Address(name, addr_spec=address)
    local, _, domain = address.rpartition("@")  # the library's parser takes no other letters
    return Address(name, username=local, domain=domain)


def wrapped(text: str) -> str:
    """TEXT with each line of it, which is a paragraph, in lines of up to 72; a link is never broken."""
    bound = _MARK.sub("\N{NO-BREAK SPACE}", text)  # in French a blank stands before them
    lines = [
        textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False) or [""]
        for line in bound.strip("\n").splitlines()
    ]
    return "".join(f"{line}\n" for paragraph in lines for line in paragraph)
