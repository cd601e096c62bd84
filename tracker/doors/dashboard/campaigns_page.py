"""The pages that compare: campaigns by their label, consent coverage over time, and the whole team's totals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from tracker.core.access import Deed
from tracker.core.chart import bars
from tracker.core.next_steps import STEPS
from tracker.doors.dashboard.feed_page import REPS, by_count, logins_of
from tracker.doors.dashboard.screens import Screens
from tracker.doors.dashboard.visit import Route, Visit
from tracker.doors.dashboard.ways_out import WaysOut
from tracker.flows.report import Figures
from tracker.model import Coverage, Day, Role

SPANS: Final = (30, 90)
"""Days that may be looked at."""
TEAM_DAYS: Final = 60


class CampaignsPage:
    """Answers `/campaigns`, `/coverage` and `/team`."""

    def __init__(self, figures: Figures, screens: Screens, ways: WaysOut) -> None:
        self._figures = figures
        self._screens = screens
        self._ways = ways

    @property
    def routes(self) -> tuple[Route, ...]:
        """What it answers."""
        return (
            Route("/campaigns", get=self.campaigns, roles=REPS, noted=Deed.SAW_MESSAGES, label="Campaigns"),
            Route("/coverage", get=self.coverage, roles=REPS, noted=Deed.SAW_MESSAGES, label="Coverage"),
            Route("/team", get=self.team, roles=frozenset({Role.MANAGER}), noted=Deed.SAW_TOTALS, label="Team"),
        )

    async def campaigns(self, visit: Visit) -> web.StreamResponse:
        """What the rep sent lately, added up by label."""
        days = _days(visit)
        found = await self._figures.campaigns(logins_of(visit), days, visit.now)
        values = {"campaigns": found.campaigns, "complete": found.complete, "days": days, "spans": SPANS}
        return self._screens.answer("rep/campaigns.html", visit, values)

    async def coverage(self, visit: Visit) -> web.StreamResponse:
        """How much of what the rep sent could be measured, day by day, and why the rest could not."""
        days, logins = _days(visit), logins_of(visit)
        found = await self._figures.coverage(logins, days, visit.now)
        reasons = await self._figures.reasons(logins, days, visit.now)
        values = {
            "coverage": found,
            "sent": sum(one.sent for one in found),
            "measured": sum(one.measured for one in found),
            "bars": bars([(one.measured, one.sent - one.measured) for one in _every_day(found)]),
            "reasons": by_count(reasons.counts),
            "came_signed": reasons.came_signed,
            "steps": STEPS,
            **self._ways.shown,
            "days": days,
            "spans": SPANS,
        }
        return self._screens.answer("rep/coverage.html", visit, values)

    async def team(self, visit: Visit) -> web.StreamResponse:
        """What all reps' mail came to, day by day."""
        totals = await self._figures.team(TEAM_DAYS, visit.now)
        return self._screens.answer("team/totals.html", visit, {"totals": totals[::-1], "days": TEAM_DAYS})


def _every_day(found: Sequence[Coverage]) -> list[Coverage]:
    """FOUND, with the days in between on which nothing was sent."""
    known = {one.day: one for one in found}
    days = range(found[0].day, found[-1].day + 1) if found else ()
    return [known.get(Day(day), Coverage(Day(day), 0, 0)) for day in days]


def _days(visit: Visit) -> int:
    asked = visit.request.query.get("days", "")
    return next((days for days in SPANS if str(days) == asked), SPANS[0])
