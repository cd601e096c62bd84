"""Nobody gets past what their role is for: every route of the dashboard, asked by everybody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.doors.dashboard_world import LOGINS, NOW, PAULA, RITA, Browser, World, heading, world
from tracker.core.access import Stage
from tracker.core.calendar import day_of
from tracker.doors.dashboard.visit import Route, Visit
from tracker.model import Account, Role, StaffSession

REP, MANAGER, PRIVACY = Role.REP, Role.MANAGER, Role.PRIVACY
ALL = frozenset(Role)
IN, OUT, CODE, ENROL = Stage.IN, Stage.OUT, Stage.CODE, Stage.ENROL
TABLE = {
    # path: (roles, stages); a new route has to be written down here by hand.
    "/feed": ({REP}, {IN}),
    "/feed/export": ({REP}, {IN}),
    "/feed/live": ({REP}, {IN}),
    "/live.js": ({REP}, {IN}),
    "/message/{id}": ({REP}, {IN}),
    "/person": ({REP}, {IN}),
    "/person/call": ({REP}, {IN}),
    "/campaigns": ({REP}, {IN}),
    "/coverage": ({REP}, {IN}),
    "/team": ({MANAGER}, {IN}),
    "/": (ALL, {IN}),
    "/sign-in": (ALL, {OUT}),
    "/sign-in/code": (ALL, {CODE}),
    "/sign-out": (ALL, {CODE, ENROL, IN}),
    "/language": (ALL, set(Stage)),
    "/account": (ALL, {IN}),
    "/account/end-session": (ALL, {IN}),
    "/account/end-others": (ALL, {IN}),
    "/account/password": (ALL, {IN}),
    "/account/recovery-codes": (ALL, {IN}),
    "/account/remove-second-factor": (ALL, {IN}),
    "/second-factor": (ALL, {ENROL, IN}),
    "/consents": ({PRIVACY}, {IN}),
    "/audit": ({PRIVACY}, {IN}),
    "/deletion": ({PRIVACY}, {IN}),
    "/requests": ({PRIVACY}, {IN}),
    "/requests/show": ({PRIVACY}, {IN}),
    "/requests/export.json": ({PRIVACY}, {IN}),
    "/requests/export.csv": ({PRIVACY}, {IN}),
    "/requests/erase": ({PRIVACY}, {IN}),
    "/requests/erase-now": ({PRIVACY}, {IN}),
}


@pytest.fixture
async def staff(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "tracker") as made:
        yield made


def filled(path: str) -> str:
    """PATH with something in place of what it captures."""
    return path.replace("{id}", "00" * 16)


async def answered(browser: Browser, route: Route) -> dict[str, int]:
    """The status with which ROUTE answers BROWSER, by method. Forms come from a page of ours, but are empty."""
    found = {}
    for method, page in (("GET", route.get), ("POST", route.post)):
        path = filled(route.path)
        if method == "GET" and path == "/feed/live":
            found[method] = await browser.begin_to_get(path)  # what it sends to a rep has no end
            continue
        answer = await (browser.get(path) if method == "GET" else browser.post(path))
        if page is None:
            assert answer.status == 405, (method, path)
        else:
            found[method] = answer.status
    return found


def test_the_table_is_the_one_that_is_written_here(staff: World) -> None:
    assert {route.path: (set(route.roles), set(route.stages)) for route in staff.dashboard.routes} == {
        path: (set(roles), set(stages)) for path, (roles, stages) in TABLE.items()
    }


def test_a_route_that_names_no_role_allows_nobody() -> None:
    async def page(_: Visit) -> None: ...

    route = Route("/x", get=page)  # type: ignore[arg-type]
    for role in Role:
        account = Account(1, "a@b.example", role, day_of(NOW), second_factor=True)
        assert not route.allows(StaffSession(b"", account, NOW, NOW, NOW, complete=True))
    assert not route.allows(None)


async def on_the_way(staff: World, stage: Stage, role: Role) -> Browser:
    """A browser of somebody with ROLE who has come as far as STAGE."""
    if stage is IN:
        return await staff.signed_in(role)
    browser = staff.browser()
    if stage is CODE:
        before = await staff.signed_in(role)
        if role is REP:
            await before.pass_second_factor(RITA)
        staff.later(minutes=1)
    if stage is not OUT:
        await browser.sign_in(LOGINS[role])
    await browser.get("/sign-in")
    return browser


@pytest.mark.parametrize(
    ("stage", "role"), [(stage, role) for stage in Stage for role in Role if (stage, role) != (ENROL, REP)]
)
async def test_every_route_with_every_role_and_stage(staff: World, stage: Stage, role: Role) -> None:
    """R53: A rep is never at the stage of having to set up a second factor; it may all the same."""
    browser = await on_the_way(staff, stage, role)
    for route in staff.dashboard.routes:
        if route.path in ("/sign-out", "/sign-in", "/account/end-others"):
            continue  # these change how far somebody has come: tested with signing in
        roles, stages = TABLE[route.path]
        for method, status in (await answered(browser, route)).items():
            case = (stage.value, role.value, method, route.path, status)
            if stage in stages and (stage is OUT or role in roles):
                # 403: an empty form holds no password and no code; 404: no session of theirs; 422: no address
                assert status in (200, 303, 403, 404, 422, 429), case
                assert (
                    status < 400
                    or method == "POST"
                    or route.path in ("/account/remove-second-factor", "/feed/export", "/message/{id}")
                    or (route.path == "/account/recovery-codes" and role is REP)
                ), case
            elif method == "POST" or stage is IN:
                assert status == (303 if stage is IN and route.path.startswith("/sign-in") else 403), case
            else:
                assert status == 303, case


@pytest.mark.parametrize("role", list(Role))
async def test_what_another_role_may_see_is_not_shown_with_a_refusal(staff: World, role: Role) -> None:
    browser = await staff.signed_in(role)
    for route in staff.dashboard.routes:
        if role not in TABLE[route.path][0]:
            if route.get is not None:
                answer = await browser.get(filled(route.path))
                assert (answer.status, heading(answer)) == (403, "This page is not for your role")
            if route.post is not None:
                fields = {"address": "anna@example.org"}
                answer = await browser.post(filled(route.path), fields)
                assert (answer.status, heading(answer)) == (403, "This page is not for your role")
                assert "anna@example.org" not in answer.text


@pytest.mark.parametrize("role", list(Role))
async def test_the_navigation_names_what_the_role_is_for(staff: World, role: Role) -> None:
    page = await (await staff.signed_in(role)).get("/account")
    for route in staff.dashboard.routes:
        if route.label is not None:
            assert (f'<a href="{route.path}"' in page.text) == (role in route.roles)


@pytest.mark.parametrize("role", list(Role))
async def test_a_disabled_account_is_out_at_once_and_everywhere(staff: World, role: Role) -> None:
    browsers = [await staff.signed_in(role), await staff.signed_in(role)]
    await staff.accounts.disable(LOGINS[role], staff.now)
    for browser in browsers:
        for route in staff.dashboard.routes:
            if IN not in TABLE[route.path][1] or route.path == "/language":
                continue
            for method, status in (await answered(browser, route)).items():
                assert status == (303 if method == "GET" else 403), (method, route.path)
        assert (await browser.get("/")).header("Location") == "/sign-in?next=%2F"
    again = await browsers[0].sign_in(LOGINS[role])
    assert again.status == 403


async def test_who_is_disabled_with_a_password_just_given_gets_no_further(staff: World) -> None:
    await staff.signed_in(PRIVACY)
    browser = staff.browser()
    staff.later(minutes=1)
    await browser.sign_in(PAULA)
    await browser.get("/sign-in/code")
    await staff.accounts.disable(PAULA, staff.now)
    answer = await browser.post("/sign-in/code", {"code": staff.code(PAULA)})
    assert (answer.status, heading(answer)) == (403, "You are not signed in any more")


async def test_a_reset_second_factor_must_be_set_up_before_anything_else(staff: World) -> None:
    browser = await staff.signed_in(PRIVACY)
    await staff.accounts.reset_second_factor(PAULA, staff.now)
    assert (await browser.get("/consents")).header("Location") == "/sign-in?next=%2Fconsents"
    assert (await browser.sign_in(PAULA)).header("Location") == "/second-factor?next=%2F"
    assert (await browser.get("/consents")).header("Location") == "/second-factor"


async def test_somebody_elses_session_cannot_be_ended(staff: World) -> None:
    """R53: Foreign ids: the number of another account's session is as unknown as one that nobody has."""
    paula, rita = await staff.signed_in(PRIVACY), await staff.signed_in(REP)
    async with staff.parts.store.staff_as_it_is() as book:
        known = await book.by_login(PAULA)
        assert known is not None
        (hers,) = await book.sessions_of(known.account, staff.now)
    await rita.get("/account")
    theirs = await rita.post("/account/end-session", {"session": hers.digest.hex()})
    nobodys = await rita.post("/account/end-session", {"session": "00" * 32})
    assert theirs.status == nobodys.status == 404
    assert theirs.body == nobodys.body
    assert (await paula.get("/consents")).status == 200


async def test_an_alias_signs_nobody_in_but_stands_with_the_account(staff: World) -> None:
    browser = staff.browser()
    assert (await browser.sign_in("r.meier@werkstatt-nord.example")).status == 403
    assert (await browser.sign_in(RITA.upper())).status == 303
    assert "r.meier@werkstatt-nord.example" in (await browser.get("/account")).text
