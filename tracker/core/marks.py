"""Sees the marks by which authors say that a link must not be tracked: ours and those of other mail services.

`data-no-track` (ours), `disable-tracking=true` (Mailgun), `clicktracking=off` (SendGrid), `data-pm-no-track`
(Postmark) and `ses:no-track` (Amazon SES), on the link itself or on an element around it.
"""

from __future__ import annotations

import re
from typing import Final

from tracker.core.markup import ATTRIBUTE, CLOSED, OPENED, VOID

_NAMES: Final = (b"no-track", b"clicktracking", b"disable-tracking")
_OFF: Final = frozenset({b"off", b"false", b"no", b"0"})


def may_have_mark(markup: bytes) -> bool:
    """Whether a mark's name occurs in MARKUP at all: a quick look that saves the long one."""
    lowered = markup.lower()
    return b"track" in lowered and any(name in lowered for name in _NAMES)


def has_mark(attributes: bytes) -> bool:
    """Whether one of a tag's ATTRIBUTES is a mark."""
    return may_have_mark(attributes) and any(map(_is_mark, ATTRIBUTE.finditer(attributes)))


def _is_mark(attribute: re.Match[bytes]) -> bool:
    name = attribute["name"].lower()
    if name in (b"data-no-track", b"data-pm-no-track", b"ses:no-track"):
        return True
    value = attribute["double"] or attribute["single"] or attribute["bare"] or b""
    off = value.strip().lower() in _OFF
    return (name == b"clicktracking" and off) or (name == b"disable-tracking" and not off)


class Shelter:
    """Knows whether a marked element stands around the place that was read last.

    The element ends with its end tag; where that is missing, all that follows counts as marked.
    """

    def __init__(self, name: bytes = b"", depth: int = 0) -> None:
        self._name = name
        self._depth = depth

    @property
    def covers(self) -> bool:
        """Whether a marked element is open."""
        return self._depth > 0

    def inner(self) -> Shelter:
        """The same for a conditional comment: what begins or ends in it does not reach beyond."""
        return Shelter(self._name, self._depth)

    def pass_by(self, construct: bytes) -> None:
        """Take note of CONSTRUCT, a whole tag or something else that is none."""
        opened = OPENED.match(construct)
        if opened:
            name = opened["name"].lower()
            if self._depth:
                self._depth += name == self._name
            elif name != b"a" and name not in VOID and has_mark(opened["attributes"]):
                self._name, self._depth = name, 1
        elif self._depth:
            closed = CLOSED.match(construct)
            self._depth -= closed is not None and closed["name"].lower() == self._name
