"""Writes the notice that stands in every tracked message: what is seen, and the link to switch it off.

The law: it is visible, says only what this copy does, and is pure ASCII in every charset that writes ASCII as it is.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Set
from dataclasses import dataclass
from typing import Final

from tracker.model import MAIL_PURPOSES, Language, Purpose


@dataclass(frozen=True, slots=True)
class HtmlNotice:
    """The notice for an HTML body: `before_link`, the privacy URL, `between` and, where opens are seen, the pixel's
    URL and `after`.
    """

    before_link: bytes
    between: bytes
    """Ends the notice where there is no pixel."""
    after: bytes
    """Empty where there is no pixel."""


@dataclass(frozen=True, slots=True)
class TextNotice:
    """The notice for a plain text: `before_link`, the privacy URL on a line of its own, `after`."""

    before_link: bytes
    after: bytes


# What a reader sees; "Sie" and its like in German and Italian, as in business mail.
_OPENS: Final = {
    Language.DE: "Mit Ihrer Einwilligung sehen wir, ob diese E-Mail geöffnet wird.",
    Language.EN: "With your consent we see whether this e-mail is opened.",
    Language.FR: "Avec votre accord, nous voyons si cet e-mail est ouvert.",
    Language.IT: "Con il Suo consenso vediamo se questa e-mail viene aperta.",
}
_CLICKS: Final = {
    Language.DE: "Mit Ihrer Einwilligung sehen wir, welche Links in dieser E-Mail angeklickt werden.",
    Language.EN: "With your consent we see which links in this e-mail are followed.",
    Language.FR: "Avec votre accord, nous voyons quels liens de cet e-mail sont suivis.",
    Language.IT: "Con il Suo consenso vediamo quali link in questa e-mail vengono seguiti.",
}
_BOTH: Final = {
    Language.DE: "Mit Ihrer Einwilligung sehen wir, ob diese E-Mail geöffnet wird und welche Links angeklickt werden.",
    Language.EN: "With your consent we see whether this e-mail is opened and which of its links are followed.",
    Language.FR: "Avec votre accord, nous voyons si cet e-mail est ouvert et quels liens sont suivis.",
    Language.IT: "Con il Suo consenso vediamo se questa e-mail viene aperta e quali link vengono seguiti.",
}
_LINK: Final = {
    Language.DE: "Was gespeichert wird und wie Sie es abschalten",
    Language.EN: "What is stored, and how to switch it off",
    Language.FR: "Ce qui est enregistré et comment le désactiver",
    Language.IT: "Che cosa viene registrato e come disattivarlo",
}
_SENTENCES: Final = {
    frozenset({Purpose.OPEN}): _OPENS,
    frozenset({Purpose.CLICK}): _CLICKS,
    MAIL_PURPOSES: _BOTH,
}

# A box of its own, so that the text can be read whatever the message has around it. Nothing is set to zero.
_BOX: Final = (
    "clear:both;margin:16px 8px 8px 8px;padding:8px 12px;border:1px solid #bbbbbb;\n"
    "background-color:#ffffff;color:#333333;font-family:Arial,Helvetica,sans-serif;\n"
    "font-size:13px;font-weight:normal;line-height:18px;text-align:left;\n"
    "background-color:#ffffff !important;color:#333333 !important"
)
_LINK_STYLE: Final = (
    "position:relative;top:auto;left:auto;color:#0b4f8a;background-color:#ffffff;\n"
    "font-size:13px;line-height:18px;text-decoration:underline;color:#0b4f8a !important"
)
_WIDTH: Final = 72
_SPELLED_OUT: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})


@dataclass(frozen=True, slots=True)
class NoticeTexts:
    """The notices in one language. Lines end with a line feed; the layout writes them as the message does."""

    language: Language

    def html(self, purposes: Set[Purpose]) -> HtmlNotice:
        """A `div` without another in it, for PURPOSES (opens, clicks or both)."""
        before = (
            f'<div data-tracker="notice" dir="ltr" lang="{self.language}"\nstyle="{_BOX}">\n'
            f'{_sentence(self.language, purposes)}\n<a style="{_LINK_STYLE}"\nhref="'
        )
        between = f'">{_LINK[self.language]}</a>\n'
        if Purpose.OPEN not in purposes:
            return HtmlNotice(_octets(before), _octets(between + "</div>"), b"")
        between += '<img width="1" height="1" alt="" src="'
        return HtmlNotice(_octets(before), _octets(between), b'" />\n</div>')

    def text(self, purposes: Set[Purpose]) -> TextNotice:
        """Pure ASCII in every language, for PURPOSES; the link is the end of it."""
        lines = [
            *textwrap.wrap(_ascii(_sentence(self.language, purposes)), _WIDTH, break_on_hyphens=False),
            *textwrap.wrap(_ascii(_LINK[self.language]) + ":", _WIDTH, break_on_hyphens=False),
        ]
        return TextNotice(_octets("".join(line + "\n" for line in lines)), b"")


def _sentence(language: Language, purposes: Set[Purpose]) -> str:
    return _SENTENCES[frozenset(purposes) & MAIL_PURPOSES][language]


def _octets(text: str) -> bytes:
    """TEXT as ASCII, other characters as numeric character references."""
    return text.encode("ascii", "xmlcharrefreplace")


def _ascii(text: str) -> str:
    """TEXT without any letter beyond ASCII: umlauts spelled out, accents dropped."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_SPELLED_OUT))
    return "".join(letter for letter in decomposed if letter.isascii())
