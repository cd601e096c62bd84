"""The pages about a rep's messages: the list, what happened last first; one message; all of them as a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from tracker.core.access import Deed
from tracker.core.chart import BY_HOUR, bars
from tracker.core.next_steps import STEPS
from tracker.doors.dashboard.screens import Screens, Wording
from tracker.doors.dashboard.visit import Route, Visit
from tracker.doors.dashboard.ways_out import WaysOut
from tracker.doors.message_export import streamed
from tracker.doors.schemas import Export
from tracker.flows.report import Figures, Listing
from tracker.model import Hour, Moment, NotFound, Order, Reason, Role

REPS: Final = frozenset({Role.REP})
PAGE: Final = 25
LATELY: Final = 30
"""Days for which it is told why copies could not be measured."""
NEWEST: Final = 500
"""Messages that are looked at for that, so that the page takes no longer the more a rep has sent."""
SHOWN: Final = {"": None, "touched": True, "quiet": False}
"""What the list may be narrowed to, in the URL."""


class FeedPage:
    """Answers `/feed`, `/feed/export` and `/message/{id}`."""

    def __init__(self, figures: Figures, screens: Screens, ways: WaysOut) -> None:
        self._figures = figures
        self._screens = screens
        self._ways = ways

    @property
    def routes(self) -> tuple[Route, ...]:
        """What it answers."""
        return (
            Route("/feed", get=self.feed, roles=REPS, noted=Deed.SAW_MESSAGES, label="Messages"),
            Route("/feed/export", get=self.export, roles=REPS, noted=Deed.SAW_MESSAGES),
            Route("/message/{id}", get=self.message, roles=REPS, noted=Deed.SAW_MESSAGES),
        )

    async def feed(self, visit: Visit) -> web.StreamResponse:
        """One page of the rep's messages, latest engagement first."""
        values = await self._list_values(visit)
        reasons = await self._figures.reasons(logins_of(visit), LATELY, visit.now, newest=NEWEST)
        label, shown = values["label"], values["shown"]
        return self._screens.answer(
            "rep/feed.html",
            visit,
            {
                **values,
                "live": _url("/feed/live", {"label": label, "show": shown}) if values["first"] else None,
                "ways": {way: _url("/feed", {"label": label, "show": way}) for way in SHOWN},
                "reasons": by_count(reasons.counts),
                "newest": reasons.newest,
                "came_signed": reasons.came_signed,
                "days": LATELY,
                "steps": STEPS,
            },
            scripted=True,
        )

    async def rendered_list(self, visit: Visit) -> str:
        """The messages alone, as the page has them."""
        return self._screens.render("rep/list.html", visit, await self._list_values(visit))

    async def _list_values(self, visit: Visit) -> dict[str, Any]:
        query = visit.request.query
        shown = query.get("show", "") if query.get("show", "") in SHOWN else ""
        listing = Listing(
            logins_of(visit),
            Order.ENGAGED,
            limit=PAGE,
            after=query.get("after") or None,
            label=query.get("label") or None,
            engaged=SHOWN[shown],
            source=self._ways.crm_key,
        )
        page = await self._figures.messages(listing, visit.now)
        kept = {"label": listing.label, "show": shown}
        return {
            "messages": page.messages,
            "first": listing.after is None,
            "next": None if page.next is None else _url("/feed", {**kept, "after": page.next}),
            "shown": shown,
            "label": listing.label,
            **self._ways.shown,
        }

    async def export(self, visit: Visit) -> web.StreamResponse:
        """All of the rep's messages as a file. Raises NotFound for a form that there is not."""
        try:
            form = Export(visit.request.query.get("format", ""))
        except ValueError:
            raise NotFound from None
        listing = Listing(logins_of(visit), source=self._ways.crm_key)
        every = self._figures.every_message(listing, visit.now)
        return await streamed(visit.request, every, form, self._screens.headers)

    async def message(self, visit: Visit) -> web.StreamResponse:
        """One message. Raises NotFound, also for another rep's."""
        message_id, logins = visit.request.match_info["id"], logins_of(visit)
        figures = await self._figures.message(message_id, logins, visit.now, source=self._ways.crm_key)
        moments = await self._figures.timeline(message_id, logins, visit.now)
        daily = bool(moments) and moments[-1].hour - moments[0].hour >= BY_HOUR
        said = self._screens.wording(visit.language)
        return self._screens.answer(
            "rep/message.html",
            visit,
            {
                "message": figures,
                "unmeasured": by_count(figures.untouched),
                "moments": [(_when(said, moment, daily), moment) for moment in moments],
                "daily": daily,
                "bars": bars(
                    [(moment.opened, moment.clicked) for moment in _without_gaps(moments, 24 if daily else 1)]
                ),
                "highest": max((max(moment.opened, moment.clicked) for moment in moments), default=0),
                **self._ways.shown,
                "steps": STEPS,
            },
        )


def logins_of(visit: Visit) -> frozenset[str]:
    """Every name under which messages may be the visitor's."""
    return frozenset(visit.account.logins)


def by_count(counts: Mapping[Reason, int]) -> list[tuple[Reason, int]]:
    """Reasons and COUNTS, most first."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _url(path: str, query: dict[str, str | None]) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path


def _when(said: Wording, moment: Moment, daily: bool) -> str:
    return said.day_of(moment.hour) if daily else said.hour(moment.hour)


def _without_gaps(moments: Sequence[Moment], hours: int) -> list[Moment]:
    """MOMENTS, with those in between in which nothing happened; each is HOURS long."""
    if not moments:
        return []
    known = {moment.hour: moment for moment in moments}
    every = range(moments[0].hour, moments[-1].hour + 1, hours)
    return [known.get(Hour(hour), Moment(Hour(hour), 0, 0, 0)) for hour in every]
