"""The dashboard is complete in its languages and loads nothing from anywhere."""

from __future__ import annotations

import re
from pathlib import Path

from babel.messages.extract import extract
from babel.messages.pofile import read_po

from tests.doors.test_pages import OPTIONS, PLACEHOLDER
from tracker.doors.dashboard import screens
from tracker.doors.pages import templates_folder
from tracker.model import (
    BadRequest,
    ForeignForm,
    FormTooLarge,
    InvalidField,
    Misdirected,
    NotAllowed,
    NotForYou,
    NotFound,
    PageFailed,
    SignedOut,
    StoreUnavailable,
    TooManyAttempts,
)

FOLDER = templates_folder() / "dashboard"
DOORS = Path(screens.__file__).parent
ERRORS = (
    BadRequest, ForeignForm, FormTooLarge, InvalidField, Misdirected, NotAllowed, NotFound, NotForYou, PageFailed,
    SignedOut, StoreUnavailable, TooManyAttempts,
)  # fmt: skip
"""What can be shown as a page of its own."""
LABEL = re.compile(r'label="([^"]+)"')


def texts() -> set[str]:
    """Every English text that a page of the dashboard can show."""
    found = {text for error in ERRORS for text in (error.title, error.meaning, error.remedy)}
    for template in FOLDER.rglob("*.html"):
        with template.open("rb") as stream:
            for _, message, _, _ in extract(
                "jinja2.ext:babel_extract", stream, keywords=dict.fromkeys(("_", "gettext")), options=OPTIONS
            ):
                assert isinstance(message, str)
                found.add(message)
    for module in DOORS.glob("*.py"):
        with module.open("rb") as stream:
            for _, message, _, _ in extract("python", stream, keywords=dict.fromkeys(("said", "_said"))):
                assert isinstance(message, str)
                found.add(message)
        found |= set(LABEL.findall(module.read_text(encoding="utf-8")))
    return found


def catalogue(file: Path) -> dict[str, str]:
    with file.open("rb") as stream:
        return {str(message.id): str(message.string) for message in read_po(stream, abort_invalid=True) if message.id}


def test_every_text_is_said_in_german_and_none_is_left_over() -> None:
    file = FOLDER / "locale" / "de.po"
    own, shared = catalogue(file), catalogue(FOLDER.parent / "locale" / "de.po")
    entries = len(re.findall(r"^msgid ", file.read_text(encoding="utf-8"), re.MULTILINE))
    assert entries == len(own) + 1, "a text stands there twice"
    assert set(own) <= texts()
    assert texts() - set(own) - set(shared) == set()
    assert set(own) & set(shared) == set(), "said twice: once would do"
    for english, german in own.items():
        assert german.strip()
        assert sorted(PLACEHOLDER.findall(german)) == sorted(PLACEHOLDER.findall(english)), english


def test_no_template_has_a_script_a_style_of_its_own_or_anything_from_elsewhere() -> None:
    for template in FOLDER.rglob("*.html"):
        source = template.read_text(encoding="utf-8")
        assert not re.search(r"<script(?! src=)|\son\w+=|\sstyle=|(?:src|href)=\"(?:https?:)?//", source), template.name
    assert "url(" not in (FOLDER / "style.css").read_text(encoding="utf-8")
