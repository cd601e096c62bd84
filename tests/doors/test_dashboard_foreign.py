"""What is another's stays another's: every route that the router knows, with every role and with every foreign id."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from tests.doors.dashboard_world import PASSWORD, World, world
from tests.doors.test_dashboard_access import TABLE
from tests.doors.test_dashboard_provider import company
from tests.doors.test_dashboard_rep import SETTINGS, agree, id_of, open_it, send, whole
from tests.flows.test_send import envelope, mail
from tracker.core.access import Stage
from tracker.core.calendar import day_of, hour_of
from tracker.model import Role

pytestmark = pytest.mark.usefixtures("patient")
NORA = "nora@werkstatt-nord.example"
CUSTOMER = "noras.kundin@recipients.example"
HOST = "noras-ziel.example"
"""Of a link in her message."""


@dataclass(frozen=True)
class Names:
    """What might name something of somebody's."""

    message: str
    session: str
    label: str
    reference: str
    login: str
    address: str
    hour: int

    def instead(self, other: Names, text: str) -> str:
        """TEXT as it reads where it was asked for these and not for OTHER."""
        for name in ("message", "session", "label", "reference", "login", "address"):
            for written in (str, quote):
                text = text.replace(written(getattr(other, name)), written(getattr(self, name)))
        return text


@dataclass
class Office:
    """A world in which Nora has sent something, that was opened and clicked."""

    staff: World
    hers: Names
    nobodys: Names


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with world(tmp_path / "tracker", SETTINGS) as staff:
        await staff.accounts.add(NORA, Role.REP, (), PASSWORD, staff.now)
        await agree(staff, CUSTOMER)
        said = {"owner": NORA, "label": "Noras-Angebot", "reference": "crm-of-nora"}
        body = f'<p><a href="https://{HOST}/a">x</a></p>'
        sent = await staff.parts.sender.rewrite(envelope(CUSTOMER, **said), mail(body, To=CUSTOMER), staff.now)
        await open_it(staff, sent, click=True)
        nora = staff.browser()
        await nora.sign_in(NORA)
        assert "Noras-Angebot" in (await nora.get("/feed")).text
        async with staff.parts.store.staff_as_it_is() as book:
            known = await book.by_login(NORA)
            assert known is not None
            (session,) = await book.sessions_of(known.account, staff.now)
        hour = hour_of(staff.now)
        hers = Names(id_of(sent), session.digest.hex(), "Noras-Angebot", "crm-of-nora", NORA, CUSTOMER, hour)
        nobodys = Names(
            "0" * 32, "0" * 64, "Keines-Angebot", "crm-of-none", "none@nowhere.example", "x@y.example", hour
        )
        yield Office(staff, hers, nobodys)


def served(staff: World) -> set[tuple[str, str]]:
    """Method and path of every route that the router knows; HEAD comes with GET."""
    return {
        (route.method, route.resource.canonical)
        for route in staff.dashboard.application().router.routes()
        if route.resource is not None and route.method != "HEAD"
    }


async def test_the_router_knows_no_route_beside_the_table(office: Office) -> None:
    """A page that was added past the table of routes would be seen by nobody's gate."""
    assert {path for _, path in served(office.staff)} == set(TABLE)


async def test_the_routes_of_a_companys_provider_are_for_who_is_not_signed_in(tmp_path: Path) -> None:
    async with company(tmp_path / "tracker") as (staff, _):
        more = {path for _, path in served(staff)} - set(TABLE)
        assert more == {"/sign-in/provider", "/sign-in/provider/back"}
        assert {route.path: set(route.stages) for route in staff.dashboard.routes if route.path in more} == {
            path: {Stage.OUT} for path in more
        }
        for role in Role:
            browser = await staff.signed_in(role)
            for path in more:
                assert (await browser.get(path)).status == 403


def asked(method: str, path: str, names: Names) -> Iterator[tuple[str, dict[str, str]]]:
    """Targets and forms that bring NAMES to PATH: in its place, in the query, and in every field."""
    target = path.replace("{id}", names.message)
    if method == "POST":
        said = {name: getattr(names, name) for name in ("session", "message", "reference", "login", "label", "address")}
        yield target, {**said, "addresses": names.address, "started": "2026-11-23T11:00"}
        return
    cursor = f"e{names.hour}-{names.hour}-{names.message}"
    for query in (
        {"after": cursor, "reference": names.reference},
        {"show": "touched", "label": names.label, "days": "90"},
        {"format": "csv", "owner": names.login, "label": names.label, "before": "999999999"},
    ):
        yield f"{target}?{urlencode(query)}", {}


CHANGING = {"/sign-out", "/sign-in", "/account/end-others", "/requests/erase-now"}
"""What these do to whoever asks is tested elsewhere; they show nothing."""
ENDLESS = {"/feed/live"}
"""What it sends to a rep comes as it happens: test_dashboard_live looks at it."""
OFFICERS = {"/requests/show", "/requests/export.json", "/requests/export.csv"}
"""The privacy officer sees of a person what they would see of themselves, labels among it."""
ABOUT_PEOPLE = {"/person", "/person/call"}
"""What somebody agreed to, every rep has to know; not what they did."""
ABOUT_ONESELF = {"/account/password", "/account/recovery-codes", "/account/remove-second-factor", "/second-factor"}
"""Each failure makes the visitor wait longer, whatever was asked."""


@pytest.mark.parametrize("role", list(Role))
async def test_no_route_shows_any_role_what_is_another_reps(office: Office, role: Role) -> None:
    """R53: whatever names it, the answer is, to the octet, that about something that nobody has."""
    browser = await office.staff.signed_in(role)
    instead = partial(office.nobodys.instead, office.hers)
    for method, path in sorted(served(office.staff)):
        if path in CHANGING or (role is Role.PRIVACY and path in OFFICERS) or (role is Role.REP and path in ENDLESS):
            continue
        cases = zip(asked(method, path, office.hers), asked(method, path, office.nobodys), strict=True)
        for theirs, nobodys in cases:
            one, other = [
                await (browser.get(target) if method == "GET" else browser.post(target, fields))
                for target, fields in (theirs, nobodys)
            ]
            if path in ABOUT_PEOPLE | ABOUT_ONESELF:
                for word in (office.hers.label, office.hers.message, HOST):
                    assert word not in one.text or word in theirs[0], (method, theirs)
            else:
                assert one.status == other.status, (method, theirs)
                assert instead(one.text) == instead(other.text), (method, theirs)


async def test_figures_of_a_person_are_those_of_ones_own_messages(office: Office) -> None:
    """Rita may know that the person agreed, not what they did with Nora's message."""
    rita = await office.staff.signed_in(Role.REP)
    await rita.get("/person")
    by_address = await rita.post("/person", {"addresses": CUSTOMER})
    by_reference = await rita.get(f"/person?reference={office.hers.reference}")
    for page in (by_address, by_reference):
        assert page.status == 200
        assert "None of your messages to this person has been measured." in page.text
        assert office.hers.label not in page.text


async def test_after_a_withdrawal_nothing_tells_whether_the_person_had_opened_or_clicked(office: Office) -> None:
    """R36: no page, no file, no filter and no order: Anna did both, Bert neither, and they look alike."""
    staff = office.staff
    sent = {}
    for number, name in enumerate(("anna", "bert")):
        address = f"{name}@recipients.example"
        await agree(staff, address)
        sent[name] = await send(staff, address, number=number, label=f"To {name}")
    await open_it(staff, sent["anna"], click=True)
    staff.later(hours=3)
    rita = await staff.signed_in(Role.REP)
    before = await rita.get("/feed")
    assert before.text.index("To anna") < before.text.index("To bert")
    assert "To bert" not in (await rita.get("/feed?show=touched")).text
    for name in sent:
        await staff.parts.consents.withdraw(f"{name}@recipients.example", frozenset(), "recipient", staff.now)

    def alike(text: str, name: str) -> str:
        return text.replace(id_of(sent[name]), "ID").replace(name, "NAME")

    await staff.parts.store.look_for_last_engagement(day_of(staff.now))
    messages, people = [], []
    for name in sent:
        messages.append(alike((await rita.get(f"/message/{id_of(sent[name])}")).text, name))
        people.append(alike((await rita.post("/person", {"addresses": f"{name}@recipients.example"})).text, name))
    assert messages[0] == messages[1]
    assert people[0] == people[1]
    feed = (await rita.get("/feed")).text
    items = re.findall(r"<li>\n<h2>.*?</ul>\n</li>", feed, re.DOTALL)
    assert len(items) == 2
    assert len({alike(alike(item, "anna"), "bert") for item in items}) == 1
    ids = re.findall(r'/message/([0-9a-f]{32})">', feed)
    assert ids == sorted(ids, reverse=True), "the order says nothing of what they did"
    assert not re.findall("To (?:anna|bert)", (await rita.get("/feed?show=touched")).text)
    assert len(re.findall("To (?:anna|bert)</a>", (await rita.get("/feed?show=quiet")).text)) == 2
    table = whole(await rita.get("/feed/export?format=csv")).decode()
    assert len({alike(alike(line, "anna"), "bert") for line in table.splitlines()[1:]}) == 1
    told = json.loads(whole(await rita.get("/feed/export?format=json")))["messages"]
    assert len({alike(alike(json.dumps(each), "anna"), "bert") for each in told}) == 1
    for path in ("/campaigns", "/coverage"):
        assert "1 of 1" not in (await rita.get(path)).text.replace("\xa0", " ")
