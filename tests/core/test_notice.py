"""The notice is visible, true to what the copy does, and plain ASCII wherever it stands."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import pytest

from tracker.core.html import scan
from tracker.core.notice import NoticeTexts
from tracker.model import MAIL_PURPOSES, Language, Purpose

PRIVACY = b"https://t.example.com/privacy/" + b"S" * 84
PIXEL = b"https://t.example.com/o/" + b"D" * 66 + b".gif"
PURPOSES = [frozenset({Purpose.OPEN}), frozenset({Purpose.CLICK}), MAIL_PURPOSES]
EVERY = [(language, purposes) for language in Language for purposes in PURPOSES]


def block(language: Language, purposes: frozenset[Purpose]) -> bytes:
    notice = NoticeTexts(language).html(purposes)
    pixel = PIXEL + notice.after if Purpose.OPEN in purposes else b""
    return notice.before_link + PRIVACY + notice.between + pixel


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(markup: bytes) -> Reader:
    reader = Reader()
    reader.feed(markup.decode("ascii"))
    reader.close()
    assert reader.open == []
    return reader


@pytest.mark.parametrize(("language", "purposes"), EVERY)
def test_it_is_one_div_with_the_link_and_where_opens_are_seen_the_pixel(
    language: Language, purposes: frozenset[Purpose]
) -> None:
    """R26: the pixel stands in a visible notice with the link that stops it."""
    markup = block(language, purposes)
    assert markup.startswith(b'<div data-tracker="notice" ')
    assert markup.endswith(b"</div>")
    tags = read(markup).tags
    assert [name for name, _ in tags] == (["div", "a", "img"] if Purpose.OPEN in purposes else ["div", "a"])
    assert tags[0][1]["lang"] == language
    assert tags[1][1]["href"] == PRIVACY.decode()
    if Purpose.OPEN in purposes:
        assert tags[2][1] == {"width": "1", "height": "1", "alt": "", "src": PIXEL.decode()}
    else:
        assert NoticeTexts(language).html(purposes).after == b""
    assert not re.search(rb"=[^\"]", re.sub(rb'"[^"]*"', b'""', markup))  # attributes in double quotes


@pytest.mark.parametrize(("language", "purposes"), EVERY)
def test_it_says_in_the_readers_language_what_this_copy_does(language: Language, purposes: frozenset[Purpose]) -> None:
    opens = {Language.DE: "geöffnet", Language.EN: "opened", Language.FR: "ouvert", Language.IT: "aperta"}[language]
    clicks = {Language.DE: "Links", Language.EN: "links", Language.FR: "liens", Language.IT: "link"}[language]
    text = html.unescape(read(block(language, purposes)).text)
    assert (opens in text) == (Purpose.OPEN in purposes)
    assert (clicks in text) == (Purpose.CLICK in purposes)


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_it_can_be_read_on_any_background() -> None:
    tags = read(block(Language.EN, MAIL_PURPOSES)).tags
    box, link = (str(attributes["style"]).replace("\n", "") for _, attributes in tags[:2])
    colours = re.search(r"background-color:(#\w{6});color:(#\w{6})", box)
    link_colour = re.search(r"color:(#\w{6})", link)
    size = re.search(r"font-size:(\d+)px", box)
    assert colours
    assert link_colour
    assert size
    assert int(size[1]) >= 12
    for foreground in (colours[2], link_colour[1]):
        assert (luminance(colours[1]) + 0.05) / (luminance(foreground) + 0.05) >= 4.5
    assert not re.search(r"display\s*:\s*none|hidden|mso-hide|opacity|:\s*0(?:px)?\s*(?:;|$)", box + ";" + link)


@pytest.mark.parametrize(("language", "purposes"), EVERY)
def test_its_lines_are_short_and_pure_ascii(language: Language, purposes: frozenset[Purpose]) -> None:
    markup = block(language, purposes)
    assert markup.isascii()
    assert b"\r" not in markup
    assert max(map(len, markup.split(b"\n"))) < 300
    assert scan(markup).complete
    assert [anchor.value for anchor in scan(markup).anchors] == [PRIVACY]


@pytest.mark.parametrize(("language", "purposes"), EVERY)
def test_the_text_is_ascii_in_short_lines_with_the_link_on_its_own(
    language: Language, purposes: frozenset[Purpose]
) -> None:
    notice = NoticeTexts(language).text(purposes)
    text = notice.before_link + PRIVACY + notice.after
    assert text.isascii()
    lines = text.decode("ascii").split("\n")
    assert lines[-1] == PRIVACY.decode()
    for line in lines[:-1]:
        assert 0 < len(line) <= 78
        assert line == line.strip()
        assert not line.startswith((" ", ">", "From "))
        assert re.fullmatch(r"[\x20-\x7e]+", line)


def test_umlauts_are_spelled_out_and_accents_dropped() -> None:
    assert b"geoeffnet" in NoticeTexts(Language.DE).text(MAIL_PURPOSES).before_link
    assert b"enregistre et comment le desactiver" in NoticeTexts(Language.FR).text(MAIL_PURPOSES).before_link
    assert b"ge&#246;ffnet" in NoticeTexts(Language.DE).html(MAIL_PURPOSES).before_link
