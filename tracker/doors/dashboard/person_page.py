"""The page about people: what they agreed to, what they did with the rep's messages, and calls with them.

The law: an address that is typed here stands in no URL and in no log; it comes by POST and goes back in the answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from aiohttp import web

from tracker.core.access import Deed
from tracker.core.next_steps import State, Step, state_of, step_of
from tracker.core.pasted import addresses_in
from tracker.doors.dashboard.feed_page import REPS, logins_of
from tracker.doors.dashboard.screens import Screens
from tracker.doors.dashboard.visit import Route, Visit
from tracker.doors.dashboard.ways_out import WaysOut
from tracker.flows.person import People, PersonView, ToldCall
from tracker.model import (
    MAIL_PURPOSES,
    BadRequest,
    Day,
    FutureDate,
    InvalidField,
    Purpose,
    Suppressed,
)

MOST: Final = 100
LARGEST: Final = 64 * 1024
"""Bytes of a form with so many addresses."""
LONGEST_CALL: Final = 24 * 60
"""Minutes."""
_REFERENCE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_ANSWERS: Final = {"yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class Shown:
    """One person as the page shows them."""

    name: str
    """The address or the reference under which they were looked for."""
    view: PersonView | None
    """None: no address, or nobody known by the reference."""
    states: tuple[tuple[Purpose, State, Day | None], ...] = ()
    """Of mail: where they stand, and until when that holds."""
    step: Step | None = None
    calls: State = State.NEVER
    calls_until: Day | None = None


class PersonPage:
    """Answers `/person` and `/person/call`."""

    def __init__(self, people: People, screens: Screens, ways: WaysOut) -> None:
        self._people = people
        self._screens = screens
        self._ways = ways

    @property
    def routes(self) -> tuple[Route, ...]:
        """What it answers."""
        return (
            Route(
                "/person",
                get=self.ask,
                post=self.look_up,
                roles=REPS,
                noted=Deed.SAW_PEOPLE,
                label="People",
                largest=LARGEST,
            ),
            Route("/person/call", post=self.call, roles=REPS, noted=Deed.SAW_PEOPLE),
        )

    async def ask(self, visit: Visit) -> web.StreamResponse:
        """The form; or the person whom `?reference=` names, for a button in the CRM."""
        reference = visit.request.query.get("reference")
        if reference is None:
            return self._answer(visit, ())
        if not _REFERENCE.fullmatch(reference):
            return self._answer(visit, (), problem="reference", status=InvalidField.status)
        view = await self._people.by_reference(reference, self._ways.crm_key, logins_of(visit), visit.now)
        return self._answer(visit, (shown(reference, view),), reference=reference)

    async def look_up(self, visit: Visit) -> web.StreamResponse:
        """The people whose addresses were typed."""
        addresses = addresses_in(visit.text("addresses"))
        if not 1 <= len(addresses) <= MOST:
            problem = "many" if addresses else "none"
            return self._answer(visit, (), problem=problem, typed=visit.text("addresses"), status=InvalidField.status)
        return await self._people_at(visit, addresses)

    async def call(self, visit: Visit) -> web.StreamResponse:
        """Record a call, and show the person again."""
        address = visit.text("address")
        try:
            told = told_call(visit, address)
            await self._people.report_call(told, visit.account.actor, visit.language, visit.now)
        except Suppressed:
            return await self._people_at(visit, (address,), done="refused")
        except FutureDate:
            return await self._people_at(visit, (address,), call_problem="future", status=FutureDate.status)
        except InvalidField as error:
            return await self._people_at(visit, (address,), call_problem=error.detail, status=error.status)
        except BadRequest as error:
            return await self._people_at(visit, (address,), call_problem="refused", status=error.status)
        return await self._people_at(visit, (address,), done="requested" if told.requested else "recorded")

    async def _people_at(
        self,
        visit: Visit,
        addresses: Sequence[str],
        *,
        done: str | None = None,
        call_problem: str | None = None,
        status: int = 200,
    ) -> web.Response:
        views = await self._people.by_addresses(addresses, logins_of(visit), visit.now)
        people = tuple(shown(address, view) for address, view in zip(addresses, views, strict=True))
        return self._answer(visit, people, done=done, call_problem=call_problem, status=status)

    def _answer(
        self,
        visit: Visit,
        people: Sequence[Shown],
        *,
        problem: str | None = None,
        typed: str = "",
        reference: str | None = None,
        done: str | None = None,
        call_problem: str | None = None,
        status: int = 200,
    ) -> web.Response:
        values = {
            "people": people,
            "problem": problem,
            "typed": typed,
            "reference": reference,
            "done": done,
            "call_problem": call_problem,
            "call": {name: value for name, value in visit.fields if name != "form"} if call_problem else {},
            "now": (visit.now - timedelta(minutes=5)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M"),
            **self._ways.shown,
        }
        return self._screens.answer("rep/person.html", visit, values, status=status)


def shown(name: str, view: PersonView | None) -> Shown:
    """The person who was looked for under NAME."""
    if view is None:
        return Shown(name, None)
    standing = view.standing
    states = tuple(
        (purpose, state_of(standing, purpose), _until(view, purpose)) for purpose in sorted(MAIL_PURPOSES, reverse=True)
    )
    found = {state for _, state, _ in states}
    worst = next(state for state in (State.REFUSED, State.NEVER, State.PENDING, State.LIVE) if state in found)
    return Shown(
        name,
        view,
        states,
        step_of(worst),
        state_of(standing, Purpose.PHONE),
        _until(view, Purpose.PHONE),
    )


def told_call(visit: Visit, address: str) -> ToldCall:
    """What the form about a call says. Raises InvalidField."""
    try:
        started_at = datetime.fromisoformat(visit.text("started")).replace(tzinfo=UTC)
    except ValueError:
        raise InvalidField("started") from None
    minutes = visit.text("minutes")
    if minutes and not (minutes.isascii() and minutes.isdecimal() and int(minutes) <= LONGEST_CALL):
        raise InvalidField("minutes")
    purposes = frozenset(purpose for purpose in MAIL_PURPOSES if visit.text(purpose))
    return ToldCall(
        address=address,
        started_at=started_at,
        seconds=int(minutes) * 60 if minutes else None,
        call_again=_ANSWERS.get(visit.text("again")),
        purposes=purposes,
        requested=bool(visit.text("requested")) and bool(purposes),
    )


def _until(view: PersonView, purpose: Purpose) -> Day | None:
    standing = view.standing
    if purpose in standing.grants:
        return standing.grants[purpose].last_day
    if purpose in standing.suppressed:
        return None
    return standing.pending[purpose].last_day if purpose in standing.pending else None
