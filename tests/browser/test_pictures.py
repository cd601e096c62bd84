"""What a recipient sees: in Chromium every template looks the same before and after rewriting, but for the notice.

Invariant: the picture of the rewritten message is the picture of the original with the notice's box put in between
two rows; whatever else there is more or less of is empty ground (a row that repeats the one above it). And the notice
is seen: it has a box, text of at least 12 px with a contrast of 4.5 to 1, nothing covers it, no element around it hides
it or makes a link of it; on a screen and on a phone, in light and in dark.
"""

from __future__ import annotations

import math
import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest

from tests.browser.screen import PHONE, SCREEN, Box, Picture, Pictures, Screen
from tracker.core.layout import PlanUrls, lay_out, render
from tracker.core.linkpart import LinkSigner
from tracker.core.notice import NoticeTexts
from tracker.core.survey import Refused, SurveyPolicy, survey
from tracker.model import MAIL_PURPOSES, Language

TEMPLATES = Path(__file__).parents[3] / "shared" / "corpus" / "templates"
FILES = sorted(TEMPLATES.glob("*.eml"))
WORKERS = 2
BASE = "https://t.example.com"
DELIVERY, STOP = b"D" * 45 + b"." + b"e" * 20, b"A0de" + b"s" * 80
pytestmark = pytest.mark.browser


def rewritten(message: bytes) -> bytes:
    seen = survey(message, SurveyPolicy((BASE,)))
    assert not isinstance(seen, Refused), f"left untouched: {seen.reason}"
    signer = LinkSigner(b"k" * 32)
    parts = {link.target: signer.sign(b"plan.", link.target) for link in seen.links}
    plan = lay_out(seen, MAIL_PURPOSES, NoticeTexts(Language.DE), PlanUrls(BASE.encode(), parts))
    assert plan is not None
    return render(plan, DELIVERY, STOP)


def html_of(message: bytes) -> tuple[bytes, str]:
    """The first HTML body and its charset, as the standard library finds them."""
    parsed = cast(EmailMessage, message_from_bytes(message, policy=policy.compat32))
    part = next(part for part in parsed.walk() if part.get_content_type() == "text/html")
    body = part.get_payload(decode=True)
    assert isinstance(body, bytes)
    return body, part.get_content_charset() or "utf-8"


def case(number: int, path: Path) -> Any:
    """A test of its own for the template at PATH; as many browsers as WORKERS share them."""
    marks = [pytest.mark.xdist_group(f"pictures {number * WORKERS // len(FILES)}")]
    return pytest.param(path, marks=marks, id=path.stem)


@pytest.mark.skipif(not FILES, reason="the shared corpus is not beside the checkout")
@pytest.mark.parametrize("path", [case(number, path) for number, path in enumerate(FILES)])
def test_a_template_looks_the_same_but_for_the_notice(path: Path, screen: Screen, pictures: Pictures) -> None:
    original = path.read_bytes()
    screen.show(*html_of(original))
    assert screen.notice() is None
    before = pictures.read(screen.picture())
    screen.show(*html_of(rewritten(original)))
    notice = screen.notice()
    assert notice is not None
    box = around(notice["box"])
    after = pictures.read(screen.picture(), box)
    wrong = unseen(notice) + differences(before, after, box)
    for size, dark in ((PHONE, False), (SCREEN, True)):
        screen.turn(size)
        screen.darken(dark)
        wrong += [f"{fault} ({size['width']} px, dark: {dark})" for fault in unseen(screen.notice())]
    screen.darken(False)
    assert not wrong


def around(box: dict[str, float]) -> Box:
    """The whole pixels that BOX touches."""
    return Box(
        max(0, math.floor(box["left"])), math.floor(box["top"]), math.ceil(box["right"]), math.ceil(box["bottom"])
    )


def differences(before: Picture, after: Picture, box: Box) -> list[str]:
    """What differs between BEFORE and AFTER outside BOX, which stands in AFTER."""
    if before.width != after.width:
        return [f"the page is {after.width} px wide instead of {before.width}"]
    above, below = after.rows[: box.top], after.rows[box.bottom :]
    first = same(before.rows, above)
    last = same(before.rows[first:][::-1], below[::-1])
    between = {*before.rows[first : len(before.rows) - last], *above[first:], *below[: len(below) - last]}
    wrong = []
    if len(between) > 1:
        wrong.append(f"{len(between)} different rows around the notice, at {first} of {len(before.rows)} rows")
    if len(set(after.beside)) > 1:
        wrong.append("something stands beside the notice")
    return wrong


def same(one: list[int], other: list[int]) -> int:
    """How many rows are the same from the beginning on."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def unseen(notice: dict[str, Any] | None) -> list[str]:
    """Why somebody would not see NOTICE, or could not read it."""
    if notice is None:
        return ["there is no notice"]
    box, wrong = notice["box"], []
    if box["right"] - box["left"] < 80 or box["bottom"] - box["top"] < 18:
        wrong.append(f"the notice is too small: {box}")
    if notice["in_link"]:
        wrong.append("it stands in a link")
    if notice["clickable"] != 1:
        wrong.append("its own link is missing")
    if notice["opacity"] < 1:
        wrong.append("it is transparent")
    if len(notice["texts"]) != 2:
        wrong.append("its text is missing")
    for text in notice["texts"]:
        wrong += [f"{name}: {text['text']}" for name in ("within", "on_top", "shown") if not text[name]]
        if text["size"] < 12:
            wrong.append(f"text of {text['size']} px")
        if contrast(text["ink"], text["ground"]) < 4.5:
            wrong.append(f"{text['ink']} on {text['ground']}")
    return wrong


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, glossary: contrast ratio of two opaque colours `rgb(r, g, b)`; 0 where one is not opaque."""
    found = [re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", colour) for colour in (one, other)]
    darker, lighter = sorted(luminance([int(part) / 255 for part in match.groups()]) if match else 0 for match in found)
    return (lighter + 0.05) / (darker + 0.05) if all(found) else 0


def luminance(channels: list[float]) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
