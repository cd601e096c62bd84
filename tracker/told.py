"""Examines what recipients would meet here: whether they are told everything, and no less than is done.

The law: who agreed to a text agreed to its periods and its controller, and to nothing else (LAW.md R13).
"""

from __future__ import annotations

from collections.abc import Sequence

from tracker.config import Settings
from tracker.core.notice_text import kept_longer, names
from tracker.findings import Finding
from tracker.installation import first_notices
from tracker.model import Feature, IncompleteNotice, Notice
from tracker.policies import disclosure


def told(notices: Sequence[Notice], settings: Settings) -> list[Finding]:
    """What is to be said of the NOTICES on file, the privacy notice and the mails of our own, under SETTINGS."""
    return [_mail(settings), _notice(settings), _texts(notices, settings)]


def _mail(settings: Settings) -> Finding:
    why = "smtp_next_hop is not set: /ask and /privacy name the contact instead, and no confirmation goes out"
    missing = not settings.smtp_next_hop
    return Finding("people can be mailed the links they ask for", fine=True, why=why if missing else "", note=missing)


def _notice(settings: Settings) -> Finding:
    what = "the privacy notice can be shown"
    try:
        disclosure(settings).check()
    except IncompleteNotice as error:
        return Finding(what, fine=True, why=f"{error.detail}; until then /notice says so", note=True)
    return Finding(what, fine=True)


def _texts(notices: Sequence[Notice], settings: Settings) -> Finding:
    """Whether what people are asked to agree to, and agreed to, is still so (LAW.md R13)."""
    what = "the texts in force say who asks and no less than is kept"
    in_force = [notice for notice in notices if notice.superseded_day is None]
    if not in_force:
        return Finding(what, fine=True, why="there is none, so nobody can be asked: `tracker notice add`", note=True)
    ours = {
        (notice.language, live): notice.text for live in (False, True) for notice in first_notices(settings, live=live)
    }
    found = []
    for notice in in_force:
        longer = kept_longer(notice.text, ours[notice.language, Feature.LIVE in notice.features])
        name = f"{notice.version} ({notice.language})"
        if not names(notice.text, settings.controller):
            found.append(f"{name} names another controller than the settings")
        elif longer is not None:
            found.append(f"{name} says {longer[0]} days where the settings say {longer[1]}")
    if found:
        found.append("set that back, or `tracker notice add` a new text and `tracker notice supersede` this one")
    return Finding(what, fine=not found, why="; ".join(found))
