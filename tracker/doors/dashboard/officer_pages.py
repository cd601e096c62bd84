"""The privacy officer's pages to look at: where consents stand, the audit trail, what was deleted."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from aiohttp import web

from tracker.core.access import Deed
from tracker.core.oversight import Deletion
from tracker.doors.dashboard.screens import Screens
from tracker.doors.dashboard.trail_words import TrailWords
from tracker.doors.dashboard.visit import Route, Visit
from tracker.flows.oversight import Oversight
from tracker.model import Day, InvalidField, LedgerEvent, Purpose, Role

OFFICER: Final = frozenset({Role.PRIVACY})
EVENTS: Final = (
    LedgerEvent.REQUESTED, LedgerEvent.GIVEN, LedgerEvent.REFUSED, LedgerEvent.WITHDRAWN, LedgerEvent.EXPIRED,
    LedgerEvent.ERASED,
)  # fmt: skip
"""In the order of a consent's life."""


class OfficerPages:
    """Answers `/consents`, `/audit` and `/deletion`; all raise StoreUnavailable."""

    def __init__(self, oversight: Oversight, screens: Screens) -> None:
        self._oversight = oversight
        self._screens = screens

    @property
    def routes(self) -> tuple[Route, ...]:
        """What they answer."""
        return (
            Route("/consents", get=self.consents, roles=OFFICER, noted=Deed.SAW_CONSENTS, label="Consents"),
            Route("/audit", get=self.audit, roles=OFFICER, noted=Deed.SAW_TRAIL, label="Audit trail"),
            Route("/deletion", get=self.deletion, roles=OFFICER, noted=Deed.SAW_DELETION, label="Deletion"),
        )

    async def consents(self, visit: Visit) -> web.StreamResponse:
        """How many agreed, were asked and refused; how many copies could be measured; what was recorded by day."""
        state = await self._oversight.consents(visit.now)
        said = self._screens.wording(visit.language)
        purposes = [
            {
                "purpose": purpose.value,
                "live": said.number(state.live.get(purpose, 0)),
                "pending": said.number(state.pending.get(purpose, 0)),
                "suppressed": said.number(state.suppressed.get(purpose, 0)),
            }
            for purpose in Purpose
        ]
        days = [
            {"day": said.day(day), "counts": [(event.value, said.number(counts.get(event, 0))) for event in EVENTS]}
            for day, counts in state.days.items()
        ]
        reasons = [
            {"reason": reason.value, "count": said.number(count), "share": said.share(count, state.sent)}
            for reason, count in state.untouched.items()
        ]
        values: Mapping[str, object] = {
            "purposes": purposes,
            "days": days,
            "events": [event.value for event in EVENTS],
            "tracked": said.number(state.tracked),
            "sent": said.number(state.sent),
            "coverage": said.share(state.tracked, state.sent),
            "reasons": reasons,
        }
        return self._screens.answer("consents.html", visit, values)

    async def audit(self, visit: Visit) -> web.StreamResponse:
        """Who did what. Raises InvalidField for a page that no page named."""
        asked = visit.request.query.get("before", "")
        if asked and not (asked.isascii() and asked.isdigit() and len(asked) < 19):
            raise InvalidField("before")
        trail = await self._oversight.trail(visit.now, int(asked) if asked else None)
        said = self._screens.wording(visit.language)
        words = TrailWords(self._screens.pages.languages, visit.language, trail.names)
        lines = [
            {
                "at": said.instant(line.at),
                "actor": words.actor(line.actor),
                "action": words.action(line.action),
                "case": line.case or "–",
            }
            for line in trail.lines
        ]
        values = {"lines": lines, "next": trail.next, "first": not asked}
        return self._screens.answer("audit.html", visit, values)

    async def deletion(self, visit: Visit) -> web.StreamResponse:
        """What was deleted by day, and what is overdue."""
        deletion = await self._oversight.deletion(visit.now)
        return self._screens.answer("deletion.html", visit, self._deleted(deletion, visit))

    def _deleted(self, deletion: Deletion, visit: Visit) -> dict[str, object]:
        said = self._screens.wording(visit.language)

        def rows(counts: Mapping[str, int]) -> list[tuple[str, str]]:
            return [(name, said.number(count)) for name, count in counts.items()]

        def one(day: Day, counts: Mapping[str, int]) -> Mapping[str, object]:
            return MappingProxyType(
                {"day": said.day(day), "sum": said.number(sum(counts.values())), "rows": rows(counts)}
            )

        return {
            "overdue": rows(deletion.overdue),
            "days": [one(day, counts) for day, counts in deletion.days.items()],
        }
