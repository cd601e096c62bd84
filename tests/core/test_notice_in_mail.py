"""The notice reads right in every charset and in format=flowed text, and wrongly declared bytes survive beside it."""

from __future__ import annotations

import re
from base64 import decodebytes, encodebytes
from html import unescape

import pytest

from tracker.core.layout import PlanUrls, lay_out, render
from tracker.core.linkpart import LinkPart
from tracker.core.notice import NoticeTexts
from tracker.core.survey import Refused, SurveyPolicy, survey
from tracker.model import MAIL_PURPOSES, Language, Reason

BASE = b"https://t.example.com"
STOP = b"A0de" + b"s" * 80
PRIVACY = (BASE + b"/privacy/" + STOP).decode()
URL = b"https://shop.example/"
SAYS = {
    Language.DE: "Mit Ihrer Einwilligung sehen wir, ob diese E-Mail geöffnet wird und welche Links angeklickt werden.",
    Language.FR: "Avec votre accord, nous voyons si cet e-mail est ouvert et quels liens sont suivis.",
}
LETTERS = {
    "utf-8": "Grüße, 日本", "us-ascii": "Hello", "iso-8859-1": "Grüße",
    "iso-8859-2": "Łódź", "iso-8859-5": "Привет", "iso-8859-7": "Γειά",
    "iso-8859-8": "שלום", "iso-8859-15": "Grüße €", "windows-1250": "Łódź",
    "windows-1251": "Привет", "windows-1252": "Grüße €", "windows-1256": "مرحبا",
    "koi8-r": "Привет", "mac-roman": "Grüße", "shift_jis": "表ソぜア", "euc-jp": "日本語",
    "iso-2022-jp": "日本語", "gb2312": "中文", "gbk": "中文", "gb18030": "中文𠀀", "big5": "功許蓋",
    "euc-kr": "한국어", "cp949": "한국어똠", "tis-620": "สวัสดี",
}  # fmt: skip
WIDE = {"utf-16": "Grüße 日", "utf-16-le": "Grüße", "utf-16-be": "Grüße", "utf-32": "Grüße", "cp037": "Grüße"}


def rewritten(message: bytes, language: Language = Language.DE) -> bytes | Reason:
    seen = survey(message, SurveyPolicy((BASE.decode(),)))
    if isinstance(seen, Refused):
        return seen.reason
    parts = {link.target: LinkPart(b"part", b"shop.example") for link in seen.links}
    plan = lay_out(seen, MAIL_PURPOSES, NoticeTexts(language), PlanUrls(BASE, parts))
    assert plan is not None
    return render(plan, b"D" * 66, STOP)


def html_message(body: bytes, charset: str, encoding: str = "8bit") -> bytes:
    head = f"From: a@shop.example\r\nContent-Type: text/html; charset={charset}\r\n"
    return head.encode() + f"Content-Transfer-Encoding: {encoding}\r\n\r\n".encode() + body


def seen_in(markup: str) -> str:
    """What a reader sees of the notice in MARKUP."""
    (notice,) = re.findall(r'<div\s[^>]*data-tracker="notice".*?</div>', markup, re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", notice)).split())


@pytest.mark.parametrize("language", SAYS)
@pytest.mark.parametrize("charset", LETTERS)
def test_html_in_any_charset_that_writes_ascii_as_it_is(charset: str, language: Language) -> None:
    """R24: every other byte survives."""
    letters = LETTERS[charset]
    body = f'<body><p>{letters}</p><a href="{URL.decode()}">{letters}</a></body>\r\n'.encode(charset)
    after = rewritten(html_message(body, charset), language)
    assert isinstance(after, bytes)
    text = after.partition(b"\r\n\r\n")[2].decode(charset)
    assert seen_in(text).startswith(SAYS[language])
    assert text.count(letters) == 2
    assert PRIVACY in text
    assert BASE.decode() + "/c/" in text


@pytest.mark.parametrize("charset", WIDE)
def test_html_in_wide_charsets(charset: str) -> None:
    letters = WIDE[charset]
    body = f'<body><p>{letters}</p><a href="{URL.decode()}">{letters}</a></body>\n'.encode(charset)
    after = rewritten(html_message(encodebytes(body), charset, "base64"))
    assert isinstance(after, bytes)
    text = decodebytes(after.partition(b"\r\n\r\n")[2]).decode(charset)
    assert seen_in(text).startswith(SAYS[Language.DE])
    assert text.count(letters) == 2
    assert PRIVACY in text


@pytest.mark.parametrize("charset", ["utf-7", "hz-gb-2312", "iso-2022-kr", "utf-16"])
def test_what_cannot_be_written_exactly_is_left(charset: str) -> None:
    body = f'<a href="{URL.decode()}">x</a>'.encode("ascii")
    assert rewritten(html_message(body, charset)) is Reason.UNSUPPORTED


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        ("us-ascii", "utf-8"), ("us-ascii", "windows-1252"), ("utf-8", "iso-8859-1"), ("utf-8", "shift_jis"),
        ("iso-8859-1", "utf-8"), ("iso-8859-1", "windows-1252"), ("shift_jis", "utf-8"), ("euc-jp", "shift_jis"),
        ("gb2312", "utf-8"), ("big5", "gb18030"), ("iso-2022-jp", "shift_jis"), ("x-unknown", "utf-8"),
        ('""', "koi8-r"),
    ],
)  # fmt: skip
def test_where_the_charset_is_declared_wrong_every_byte_survives(declared: str, written: str) -> None:
    letters = LETTERS[written].encode(written)
    body = b'<body><p class="%b">%b</p>\r\n<a href="%b">x</a>\r\n<p>%b</body>\r\n' % (letters, letters, URL, letters)
    after = rewritten(html_message(body, declared))
    assert isinstance(after, bytes)
    bare = re.sub(rb'<div\s[^>]*data-tracker="notice".*?</div>', b"", after, flags=re.DOTALL)
    assert re.sub(re.escape(BASE) + rb"/c/D{66}/part/shop.example/", lambda _: URL, bare) == html_message(
        body, declared
    )
    notice = after.decode("latin-1").partition('<div data-tracker="notice"')[2].partition("</div>")[0]
    assert notice.isascii()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (f'<a href="{URL.decode()}">x</a>', "welche Links angeklickt werden."),
        ("<p>no link", "ob diese E-Mail geöffnet wird. Was"),
        (f'<p class="{"x" * 930}"><a href="{URL.decode()}">x</a>\r\n', "ob diese E-Mail geöffnet wird. Was"),
    ],
)
def test_the_notice_says_what_this_copy_does_and_no_more(body: str, says: str) -> None:
    after = rewritten(html_message(body.encode(), "utf-8"))
    assert isinstance(after, bytes)
    assert says in seen_in(after.decode())
    assert (BASE.decode() + "/c/" in after.decode()) == ("Links" in says)


# --- the text alternative ----------------------------------------------------------------------------


def alternative(text: bytes, charset: str, more: str = "", encoding: str = "8bit") -> bytes:
    head = "From: a@shop.example\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n"
    head += f"Content-Type: text/plain; charset={charset}{more}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + text + b"\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>x</p>\r\n--b--\r\n"


def text_of(message: bytes) -> bytes:
    return message.partition(b"--b\r\n")[2].partition(b"\r\n\r\n")[2].partition(b"\r\n--b\r\n")[0]


@pytest.mark.parametrize("charset", LETTERS)
@pytest.mark.parametrize("end", ["", "\r\n"])
def test_text_in_any_charset(charset: str, end: str) -> None:
    letters = LETTERS[charset]
    after = rewritten(alternative((letters + end).encode(charset), charset))
    assert isinstance(after, bytes)
    lines = text_of(after).decode(charset).split("\r\n")
    assert lines[:2] == [letters, ""]
    assert " ".join(lines[2:]).startswith("Mit Ihrer Einwilligung sehen wir, ob diese E-Mail geoeffnet wird")
    assert lines[-1 - len(end) // 2] == PRIVACY
    assert all(line.isascii() and (len(line) <= 78 or line == PRIVACY) for line in lines[2:])


@pytest.mark.parametrize("charset", WIDE)
def test_text_in_wide_charsets(charset: str) -> None:
    text = encodebytes((WIDE[charset] + "\n").encode(charset)).replace(b"\n", b"\r\n").rstrip()
    after = rewritten(alternative(text, charset, encoding="base64"))
    assert isinstance(after, bytes)
    lines = decodebytes(text_of(after)).decode(charset).splitlines()
    assert lines[0] == WIDE[charset]
    assert lines[-1] == PRIVACY


def flowed(text: str, delsp: bool) -> list[tuple[int, str]]:
    """Paragraphs as RFC 3676, section 4, shows them: depth of quotation, and text."""
    out: list[tuple[int, str]] = []
    goes_on = False
    for line in text.split("\r\n"):
        depth = len(line) - len(line.lstrip(">"))
        content = line[depth:].removeprefix(" ")
        signature = content == "-- "
        flows = content.endswith(" ") and not signature
        content_shown = content[:-1] if flows and delsp else content
        if goes_on and out[-1][0] == depth and not signature:
            out[-1] = (depth, out[-1][1] + content_shown)
        else:
            out.append((depth, content_shown))
        goes_on = flows
    return out


@pytest.mark.parametrize("delsp", [False, True])
@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize(
    "text", ["Hello \r\nworld\r\n", "Hello ", "> quoted \r\n> text", "Bye\r\n-- \r\nAnna", " x\r\n"]
)
def test_flowed_text_shows_every_line_of_the_notice_on_its_own(text: str, language: Language, delsp: bool) -> None:
    more = "; format=flowed" + "; delsp=yes" * delsp
    after = rewritten(alternative(text.encode(), "utf-8", more), language)
    assert isinstance(after, bytes)
    whole = text_of(after).decode()
    assert whole.startswith(text)
    notice = whole[len(text) :].strip("\r\n").split("\r\n")
    assert notice[-1] == PRIVACY
    assert not any(line.endswith(" ") or line.startswith((" ", ">", "From ")) for line in notice)
    shown = [paragraph for paragraph in flowed(whole, delsp) if paragraph[1]]
    assert shown[-len(notice) :] == [(0, line) for line in notice]
    assert shown[: -len(notice)] == [paragraph for paragraph in flowed(text, delsp) if paragraph[1]]
