"""Golden messages: NAME.eml goes in, NAME.expected must come out, NAME.why says what it teaches.

Without NAME.expected the message must leave as it came. A failing test writes NAME.got beside them.
Where NAME begins with "text-links", links in plain text are tracked, too.
The notices and link parts are short stand-ins, so that the files show what the layout does and nothing else.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

import pytest

from tracker.core.layout import PlanUrls, lay_out, render
from tracker.core.linkpart import LinkPart
from tracker.core.notice import HtmlNotice, NoticeTexts, TextNotice
from tracker.core.survey import Refused, SurveyPolicy, survey
from tracker.model import MAIL_PURPOSES, Language, Purpose

FOLDER = Path(__file__).parents[1] / "data" / "mail"
BASE = "https://t.example.com"
DELIVERY = b"-delivery-token-" * 4 + b".."
STOP = b"_stop_token__" * 6 + b"......"


class ShortTexts(NoticeTexts):
    def html(self, purposes: Set[Purpose]) -> HtmlNotice:
        before = b'<div data-tracker="notice"\nlang="en">We see it. <a href="'
        return HtmlNotice(before, b'">Stop</a> <img alt="" src="', b'" /></div>')

    def text(self, purposes: Set[Purpose]) -> TextNotice:
        return TextNotice(b"We see it. Stop:\n", b"")


def rewritten(message: bytes, name: str) -> bytes:
    seen = survey(message, SurveyPolicy((BASE,), text_links=name.startswith("text-links")))
    if isinstance(seen, Refused):
        return message
    parts = {
        link.target: LinkPart(b"part%d" % number, link.report.host.encode())
        for number, link in enumerate(seen.links, 1)
    }
    plan = lay_out(seen, MAIL_PURPOSES, ShortTexts(Language.EN), PlanUrls(BASE.encode(), parts))
    return message if plan is None else render(plan, DELIVERY, STOP)


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.eml")))
def test_golden_message(name: str) -> None:
    message = (FOLDER / f"{name}.eml").read_bytes()
    expected = FOLDER / f"{name}.expected"
    got = rewritten(message, name)
    if got != (expected.read_bytes() if expected.exists() else message):
        (FOLDER / f"{name}.got").write_bytes(got)
        pytest.fail((FOLDER / f"{name}.why").read_text())


def test_every_golden_message_says_why() -> None:
    assert {path.stem for path in FOLDER.glob("*.why")} == {path.stem for path in FOLDER.glob("*.eml")}
