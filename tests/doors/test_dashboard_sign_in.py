"""Signing in: what opens a session, what ends it, and what somebody who tries passwords and codes finds."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from tests.doors.dashboard_world import (
    FAST,
    HOST,
    MARK,
    PASSWORD,
    PAULA,
    RITA,
    World,
    heading,
    secret_in,
    world,
)
from tracker.flows.passwords import Passwords
from tracker.model import Role
from tracker.store.staff import IDLE

ANOTHER = "vier rote Elefanten tanzen"


@pytest.fixture
async def staff(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "tracker") as made:
        yield made


def rows(staff: World, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(staff.folder / "tracker.db")) as sql:
        return sql.execute(query).fetchall()


def trail(staff: World) -> list[str]:
    """What the audit trail says was done, oldest first; accounts were made before."""
    return [action for (action,) in rows(staff, "SELECT action FROM audit ORDER BY id") if "made" not in action]


# --- what opens a session ---------------------------------------------------------------------------


async def test_the_cookie_is_of_this_host_alone_and_new_at_each_step(staff: World) -> None:
    """R58."""
    browser = staff.browser()
    first = await browser.get("/sign-in")
    tokens = [browser.cookies["__Host-staff"]]
    answer = await browser.sign_in(MARK)
    tokens.append(browser.cookies["__Host-staff"])
    done = await browser.pass_second_factor(MARK)
    tokens.append(browser.cookies["__Host-staff"])
    assert len(set(tokens)) == 3, "a token was carried over"
    for one in (first, answer, done):
        cookie = one.header("Set-Cookie") or ""
        assert cookie.startswith("__Host-staff=")
        assert {"HttpOnly", "Secure", "Path=/", "SameSite=Lax"} == set(cookie.split("; ")[1:])
    for old in tokens[:2]:
        stale = staff.browser()
        stale.cookies["__Host-staff"] = old
        assert (await stale.get("/account")).status == 303
    assert all(token not in str(rows(staff, "SELECT hex(digest), * FROM sessions")) for token in tokens)


async def test_a_token_that_somebody_planted_opens_nothing_after_signing_in(staff: World) -> None:
    planted = staff.browser()
    await planted.get("/sign-in")
    victim = staff.browser()
    victim.cookies = dict(planted.cookies)
    assert (await victim.sign_in(RITA)).status == 303
    assert (await victim.get("/account")).status == 200
    assert (await planted.get("/account")).status == 303


@pytest.mark.parametrize("role", [Role.MANAGER, Role.PRIVACY])
async def test_managers_and_privacy_officers_need_a_second_factor(staff: World, role: Role) -> None:
    """R57: privileged roles use a second factor."""
    login = {Role.MANAGER: MARK, Role.PRIVACY: PAULA}[role]
    browser = staff.browser()
    assert (await browser.sign_in(login)).header("Location") == "/second-factor?next=%2F"
    assert (await browser.get("/account")).header("Location") == "/second-factor"
    page = await browser.get("/second-factor?next=/account")
    assert secret_in(page) == secret_in(await browser.get("/second-factor")), "the same when looked at again"
    staff.secrets[login] = secret_in(page)
    wrong = await browser.post("/second-factor", {"code": "000000"})
    assert wrong.status == 403
    codes = await browser.post("/second-factor", {"code": staff.code(login), "next": "/account"})
    assert heading(codes) == "Your recovery codes"
    assert (await browser.get("/account")).status == 200
    again = staff.browser()
    assert (await again.sign_in(login)).header("Location") == "/sign-in/code?next=%2F"


async def test_a_rep_may_set_up_a_second_factor_and_remove_it(staff: World) -> None:
    browser = await staff.signed_in(Role.REP)
    page = await browser.get("/second-factor")
    staff.secrets[RITA] = secret_in(page)
    without = await browser.post("/second-factor", {"code": staff.code(RITA), "password": "wrong"})
    assert without.status == 403
    assert "The password is not right." in without.text
    done = await browser.post("/second-factor", {"code": staff.code(RITA), "password": PASSWORD})
    assert heading(done) == "Your recovery codes"
    assert (await staff.browser().sign_in(RITA)).header("Location") == "/sign-in/code?next=%2F"
    await browser.get("/account/remove-second-factor")
    assert (await browser.post("/account/remove-second-factor", {"password": "wrong"})).status == 403
    assert (await browser.post("/account/remove-second-factor", {"password": PASSWORD})).status == 303
    assert (await staff.browser().sign_in(RITA)).header("Location") == "/"


async def test_a_code_is_good_once_and_for_a_step_either_way(staff: World) -> None:
    await staff.signed_in(Role.MANAGER)
    used = staff.code(MARK)
    for seconds, code, status in ((0, used, 403), (60, "", 303), (30, "", 303), (31, used, 403)):
        staff.later(seconds=seconds)
        browser = staff.browser()
        await browser.sign_in(MARK)
        await browser.get("/sign-in/code")
        answer = await browser.post("/sign-in/code", {"code": code or staff.code(MARK)})
        assert answer.status == status, (seconds, code)
    staff.later(minutes=5)
    for off, status in ((-60, 403), (60, 403), (-30, 303), (30, 303)):
        browser = staff.browser()
        staff.later(minutes=5)
        await browser.sign_in(MARK)
        await browser.get("/sign-in/code")
        now, staff.now = staff.now, staff.now
        staff.later(seconds=off)
        code = staff.code(MARK)
        staff.now = now
        assert (await browser.post("/sign-in/code", {"code": code})).status == status, off


async def test_the_same_code_in_two_browsers_at_once_opens_one(staff: World) -> None:
    await staff.signed_in(Role.MANAGER)
    staff.later(minutes=5)
    browsers = [staff.browser() for _ in range(4)]
    for browser in browsers:
        await browser.sign_in(MARK)
        await browser.get("/sign-in/code")
    code = staff.code(MARK)
    answers = await asyncio.gather(*(browser.post("/sign-in/code", {"code": code}) for browser in browsers))
    assert sorted(answer.status for answer in answers) == [303, 403, 403, 403]


async def test_a_recovery_code_is_good_once_and_new_ones_void_the_old(staff: World) -> None:
    browser = staff.browser()
    await browser.sign_in(MARK)
    codes = recovery_codes(await browser.pass_second_factor(MARK))
    assert len(set(codes)) == 10
    assert not any(code in str(rows(staff, "SELECT *, hex(digest) FROM recovery_codes")) for code in codes)

    async def tried(code: str) -> int:
        another = staff.browser()
        await another.sign_in(MARK)
        await another.get("/sign-in/code")
        return (await another.post("/sign-in/code", {"code": code})).status

    assert await tried(codes[0].upper().replace("-", " ")) == 303
    assert await tried(codes[0]) == 403
    await browser.get("/account/recovery-codes")
    assert (await browser.post("/account/recovery-codes", {"password": "wrong"})).status == 403
    fresh = recovery_codes(await browser.post("/account/recovery-codes", {"password": PASSWORD}))
    assert await tried(codes[1]) == 403
    assert await tried(fresh[0]) == 303
    assert "recovery codes left: 9" in (await browser.get("/account")).text


def recovery_codes(page: Any) -> list[str]:
    part = page.text.partition('class="codes">')[2].partition("</ul>")[0]
    return [piece.partition("</code>")[0] for piece in part.split("<code>")[1:]]


# --- failures tell nothing --------------------------------------------------------------------------


async def test_a_failure_does_not_say_what_was_wrong(staff: World) -> None:
    """R57: errors are generic."""
    await staff.accounts.disable(PAULA, staff.now)
    bodies = set()
    for login, password in (
        (RITA, "wrong"), ("nobody@werkstatt-nord.example", PASSWORD), (PAULA, PASSWORD), ("no address", PASSWORD),
        (RITA, "x" * 5_000), (RITA, ""), ("", ""), ("\udcff@a.example", PASSWORD),
    ):  # fmt: skip
        browser = staff.browser()
        answer = await browser.sign_in(login.encode("utf-8", "replace").decode(), password)
        assert answer.status == 403
        shown = answer.text.replace(browser.key, "")
        bodies.add(shown.partition('name="login"')[0] + shown.partition('id="password"')[2])
    assert len(bodies) == 1


class Counting(PasswordHasher):
    """Counts what takes the time."""

    done = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Any:
        Counting.done += 1
        return super().verify(hash, password)


async def test_an_unknown_account_costs_as_much_as_a_known_one() -> None:
    """The same hash with the same parameters, so the same time within what the machine varies by."""
    hasher = Counting(time_cost=1, memory_cost=8, parallelism=1)
    passwords = Passwords(hasher)
    stored = await passwords.accepted(PASSWORD, ())
    for known in (stored, None, "$argon2id$damaged"):
        before = Counting.done
        assert not (await passwords.verify("wrong", known)).right
        assert Counting.done == before + 1
    assert (await passwords.verify(PASSWORD, stored)).right
    parameters = PasswordHasher()
    for made in (hasher, parameters):
        nobody = Passwords(made)._nobody
        assert not made.check_needs_rehash(nobody)


async def test_a_password_is_hashed_again_when_the_parameters_have_grown(tmp_path: Path) -> None:
    async with world(tmp_path / "tracker", hasher=FAST) as staff:
        (before,) = rows(staff, f"SELECT password FROM accounts WHERE login = '{RITA}'")[0]
        stronger = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
        staff.dashboard.signing_in._passwords = Passwords(stronger)
        await staff.signed_in(Role.REP)
        (after,) = rows(staff, f"SELECT password FROM accounts WHERE login = '{RITA}'")[0]
        assert "m=8,t=1" in before
        assert "m=16,t=2" in after
        await staff.signed_in(Role.REP)


async def test_an_installation_hashes_with_argon2id_at_64_mib() -> None:
    """R56: hashing that takes memory."""
    stored = await Passwords().accepted(PASSWORD, ())
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


# --- who tries --------------------------------------------------------------------------------------


async def test_somebody_who_tries_passwords_has_to_wait_ever_longer(staff: World) -> None:
    """R57: Brute force against one account, from many addresses: the true password does not help while it rests."""

    async def tried(password: str) -> int:
        return (await staff.browser().sign_in(RITA, password)).status

    assert [await tried(f"wrong {number}") for number in range(8)] == [403] * 5 + [429] * 3
    assert await tried(PASSWORD) == 429
    waited = []
    for _ in range(6):
        pause = 0
        while await tried("wrong") == 429:
            staff.later(seconds=1)
            pause += 1
        waited.append(pause)
    assert waited == [1, 2, 4, 8, 16, 32]
    staff.later(hours=1)
    assert await tried(PASSWORD) == 303
    assert [await tried("wrong") for _ in range(5)] == [403] * 5, "who is who they say begins anew"


async def test_many_at_once_are_no_way_around(staff: World) -> None:
    answers = await asyncio.gather(*(staff.browser().sign_in(RITA, f"wrong {number}") for number in range(30)))
    assert sorted(answer.status for answer in answers) == [403] * 5 + [429] * 25


async def test_an_account_that_is_not_there_rests_as_well(staff: World) -> None:
    statuses = [(await staff.browser().sign_in("nobody@werkstatt-nord.example", "x")).status for _ in range(6)]
    assert statuses == [403] * 5 + [429]


async def test_an_address_that_tries_many_accounts_has_to_wait_too(tmp_path: Path) -> None:
    async with world(tmp_path / "tracker", {"TRACKER_TRUSTED_PROXIES": "127.0.0.0/8"}) as staff:

        async def tried(peer: str, login: str) -> int:
            return (await staff.browser().sign_in(login, "wrong", x_forwarded_for=peer)).status

        statuses = [await tried("2001:db8::1", f"a{number}@werkstatt-nord.example") for number in range(51)]
        assert statuses == [403] * 50 + [429]
        assert await tried("2001:db8::2", "b@werkstatt-nord.example") == 429, "the same household"
        assert await tried("2001:db8:0:1::1", "b@werkstatt-nord.example") == 403
        assert await tried("192.0.2.1", "b@werkstatt-nord.example") == 403
        browser = staff.browser()
        assert (await browser.sign_in(RITA, x_forwarded_for="198.51.100.1")).status == 303


async def test_codes_cannot_be_tried_either(staff: World) -> None:
    await staff.signed_in(Role.MANAGER)
    staff.later(minutes=5)
    browser = staff.browser()
    await browser.sign_in(MARK)
    await browser.get("/sign-in/code")
    statuses = [(await browser.post("/sign-in/code", {"code": f"{number:06}"})).status for number in range(7)]
    assert statuses == [403] * 5 + [429] * 2
    assert (await browser.post("/sign-in/code", {"code": staff.code(MARK)})).status == 429
    staff.later(minutes=2)
    assert (await browser.post("/sign-in/code", {"code": staff.code(MARK)})).status == 303


async def test_an_open_browser_does_not_help_to_guess_the_password(staff: World) -> None:
    browser = await staff.signed_in(Role.REP)
    await browser.get("/account/password")
    fields = {"new": ANOTHER, "again": ANOTHER}
    tries = [await browser.post("/account/password", {**fields, "current": f"wrong {n}"}) for n in range(6)]
    assert [answer.status for answer in tries] == [403] * 5 + [429]


# --- what ends a session ----------------------------------------------------------------------------


async def test_a_session_ends_unused_and_however_much_it_is_used(staff: World) -> None:
    """R58: idle and absolute ends."""
    idle = await staff.signed_in(Role.REP)
    staff.later(minutes=29)
    assert (await idle.get("/account")).status == 200
    staff.later(minutes=29)
    assert (await idle.get("/account")).status == 200
    staff.now += IDLE
    assert (await idle.get("/account")).status == 303
    busy = await staff.signed_in(Role.REP)
    for _ in range(12 * 3 - 1):
        staff.later(minutes=20)
        assert (await busy.get("/account")).status == 200
    staff.later(minutes=20)
    assert (await busy.get("/account")).status == 303


async def test_the_way_to_the_second_factor_is_short(staff: World) -> None:
    browser = staff.browser()
    await browser.sign_in(MARK)
    staff.later(minutes=11)
    assert (await browser.get("/second-factor")).header("Location") == "/sign-in?next=%2Fsecond-factor"


async def test_every_session_has_an_end_and_is_swept_after_it(staff: World) -> None:
    await staff.signed_in(Role.REP)
    assert rows(staff, "SELECT ends - began FROM sessions") == [(12 * 3600,)]
    await staff.parts.store.sweep(*swept_on(staff, 1), 1095)
    assert len(rows(staff, "SELECT * FROM sessions")) == 1
    await staff.parts.store.sweep(*swept_on(staff, 2), 1095)
    assert rows(staff, "SELECT * FROM sessions") == []


def swept_on(staff: World, days: int) -> tuple[Any, Any]:
    from_then = staff.now.timestamp() // 86_400 + days
    return int(from_then), staff.now


async def test_signing_out_ends_the_session_for_good(staff: World) -> None:
    """R58: nothing can be replayed after signing out."""
    browser = await staff.signed_in(Role.REP)
    kept = dict(browser.cookies)
    await browser.get("/account")
    assert (await browser.post("/sign-out")).header("Location") == "/sign-in"
    assert "__Host-staff" not in browser.cookies
    browser.cookies = kept
    assert (await browser.get("/account")).status == 303


async def test_my_sessions_are_listed_and_ended_one_by_one_and_all_at_once(staff: World) -> None:
    browsers = [await staff.signed_in(Role.REP) for _ in range(4)]
    mine = browsers[0]
    page = await mine.get("/account")
    ids = [part.partition('"')[0] for part in page.text.split('name="session" value="')[1:]]
    assert len(ids) == 3, "every other one has a button"
    assert (await mine.post("/account/end-session", {"session": ids[0]})).status == 303
    assert sorted([(await one.get("/account")).status for one in browsers]) == [200, 200, 200, 303]
    await mine.get("/account")
    assert (await mine.post("/account/end-others")).status == 303
    assert [(await one.get("/account")).status for one in browsers] == [200, 303, 303, 303]


async def test_another_password_ends_every_other_session(staff: World) -> None:
    one, other = await staff.signed_in(Role.REP), await staff.signed_in(Role.REP)
    token = one.cookies["__Host-staff"]
    await one.get("/account/password")
    fields = {"current": PASSWORD, "new": ANOTHER, "again": ANOTHER}
    assert (await one.post("/account/password", {**fields, "again": "x"})).status == 422
    assert (await one.post("/account/password", fields)).header("Location") == "/account?done=password"
    assert one.cookies["__Host-staff"] != token
    assert (await one.get("/account")).status == 200
    assert (await other.get("/account")).status == 303
    assert (await staff.browser().sign_in(RITA)).status == 403
    assert (await staff.browser().sign_in(RITA, ANOTHER)).status == 303


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("kurz", "too short"),
        ("passwordpassword", "list of common"),
        ("aaaaaaaaaaaaaaaa", "list of common"),
        ("rita.werkstatt-nord 2026", "made of your address"),
        ("abcdefgh " * 15, "too long"),
    ],
)
async def test_a_password_that_others_guess_is_refused_with_the_reason(staff: World, new: str, said: str) -> None:
    browser = await staff.signed_in(Role.REP)
    await browser.get("/account/password")
    answer = await browser.post("/account/password", {"current": PASSWORD, "new": new, "again": new})
    assert answer.status == 422
    assert said in answer.text
    assert new not in answer.text


async def test_a_disabled_account_is_forgotten_with_what_the_trail_says_of_it(staff: World) -> None:
    browser = await staff.signed_in(Role.MANAGER)
    assert (await browser.get("/account")).status == 200
    await staff.accounts.disable(MARK, staff.now)
    for days, left in ((365, 3), (366, 2)):
        await staff.parts.store.sweep(*swept_on(staff, days), 1095)
        assert rows(staff, "SELECT count(*) FROM accounts") == [(left,)]
        assert rows(staff, "SELECT count(*) FROM recovery_codes") == [(10 * (left - 2),)]
    assert rows(staff, "SELECT count(*) FROM audit") == [(0,)]


# --- forms of others --------------------------------------------------------------------------------


async def test_a_form_that_no_page_of_ours_sent_does_nothing(staff: World) -> None:
    """R60: the key of the page, and what the browser says of where the form comes from; one alone is not enough."""
    browser, other = await staff.signed_in(Role.REP), await staff.signed_in(Role.REP)
    await browser.get("/account")
    await other.get("/account")
    for headers, fields in (
        ({"sec_fetch_site": "cross-site"}, {}),
        ({"sec_fetch_site": "same-site"}, {}),
        ({"sec_fetch_site": "none"}, {}),
        ({}, {"form": ""}),
        ({}, {"form": "x" * 32}),
        ({}, {"form": other.key}),
    ):
        answer = await browser.post("/account/end-others", fields, **headers)
        assert (answer.status, heading(answer)) == (403, "This form is not from a page that is open now")
    assert (await other.get("/account")).status == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [(f"https://{HOST}", 303), ("https://evil.example", 403), ("null", 403), (f"https://{HOST}.evil.example", 403)],
)
async def test_browsers_that_do_not_say_it_that_way_say_their_origin(staff: World, origin: str, status: int) -> None:
    browser = await staff.signed_in(Role.REP)
    await browser.get("/account")
    body = f"form={browser.key}".encode()
    headers = {"host": HOST, "origin": origin, "cookie": f"__Host-staff={browser.cookies['__Host-staff']}"}
    kind = "application/x-www-form-urlencoded"
    answer = await staff.wire.post("/account/end-others", body, content_type=kind, **headers)
    assert answer.status == status
    without = {name: value for name, value in headers.items() if name != "origin"}
    assert (await staff.wire.post("/account/end-others", body, content_type=kind, **without)).status == 403


async def test_nobody_can_be_signed_in_as_somebody_else_by_another_site(staff: World) -> None:
    browser = staff.browser()
    answer = await browser.post("/sign-in", {"login": RITA, "password": PASSWORD})
    assert answer.status == 403
    await browser.get("/sign-in")
    fields = {"login": RITA, "password": PASSWORD}
    assert (await browser.post("/sign-in", fields, sec_fetch_site="cross-site")).status == 403
    assert (await browser.post("/sign-in", fields)).status == 303


@pytest.mark.parametrize(
    ("after", "leads"),
    [
        ("/account?x=1", "/account?x=1"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("/\r\nSet-Cookie: x=1", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ],
)
async def test_signing_in_leads_on_to_a_page_of_ours_alone(staff: World, after: str, leads: str) -> None:
    assert (await staff.browser().sign_in(RITA, after=after)).header("Location") == leads


async def test_a_link_from_elsewhere_leads_through_the_sign_in_to_its_page(staff: World) -> None:
    browser = staff.browser()
    answer = await browser.get("/account?reference=4711&x=%C3%A4")
    assert answer.header("Location") == "/sign-in?next=%2Faccount%3Freference%3D4711%26x%3D%25C3%25A4"
    page = await browser.get(answer.header("Location") or "")
    assert 'name="next" value="/account?reference=4711&amp;x=%C3%A4"' in page.text


async def test_over_plain_http_only_this_machine_is_served(tmp_path: Path) -> None:
    async with world(tmp_path / "tracker", {"TRACKER_DASHBOARD_URL": "http://127.0.0.1:8082"}) as staff:
        for host, status in (("127.0.0.1:8082", 200), ("localhost", 200), ("staff.example.com", 421)):
            assert (await staff.wire.get("/sign-in", host=host)).status == status
        answer = await staff.wire.get("/sign-in", host="127.0.0.1:8082")
        cookie = answer.header("Set-Cookie") or ""
        assert cookie.startswith("staff=")
        assert "Secure" not in cookie
        assert answer.header("Strict-Transport-Security") is None


async def test_a_page_is_framed_by_nobody_kept_nowhere_and_runs_nothing(staff: World) -> None:
    """R59."""
    browser = await staff.signed_in(Role.REP)
    for answer in (await browser.get("/account"), await browser.get("/nothing"), await browser.get("/consents")):
        policy = (answer.header("Content-Security-Policy") or "").split("; ")
        assert {"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} <= set(policy)
        assert not [rule for rule in policy if "unsafe" in rule]
        assert answer.header("Cache-Control") == "no-store"
        assert answer.header("Referrer-Policy") == "same-origin"
        assert answer.header("X-Content-Type-Options") == "nosniff"
        assert answer.header("Strict-Transport-Security") == "max-age=31536000"


# --- what is remembered -----------------------------------------------------------------------------


async def test_everything_stands_in_the_audit_trail_without_content(staff: World) -> None:
    browser = staff.browser()
    await browser.sign_in(MARK, "wrong")
    await browser.sign_in("nobody@werkstatt-nord.example", "wrong")
    await browser.sign_in(MARK)
    await browser.pass_second_factor(MARK)
    await browser.get("/account")
    await browser.post("/account/end-others")
    await browser.get("/account")
    await browser.post("/sign-out")
    await staff.accounts.set_password(MARK, ANOTHER, staff.now)
    await staff.accounts.disable(MARK, staff.now)
    (account,) = rows(staff, f"SELECT id FROM accounts WHERE login = '{MARK}'")[0]
    assert trail(staff) == [
        "a password was wrong",
        "a password was wrong",
        "signed in",
        "set up a second factor",
        "signed out everywhere else",
        "signed out",
        f"set the password of an account: user:{account}",
        f"disabled an account: user:{account}",
    ]
    actors = [actor for (actor,) in rows(staff, "SELECT actor FROM audit ORDER BY id")]
    assert actors == ["cli"] * 3 + [f"user:{account}", "unknown"] + [f"user:{account}"] * 4 + ["cli"] * 2
    assert "@" not in str(rows(staff, "SELECT * FROM audit"))


async def test_no_network_address_and_no_device_is_stored(staff: World) -> None:
    """R62: nor does the database hold them."""
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
    browser = staff.browser()
    await browser.sign_in(
        RITA, user_agent=agent, x_forwarded_for="198.51.100.77", referer="https://intranet.example/4711"
    )
    await browser.get("/account", user_agent=agent)
    stored = b"".join(path.read_bytes() for path in staff.folder.rglob("*") if path.is_file())
    for piece in (b"198.51.100.77", b"127.0.0.77", b"Firefox", b"intranet.example"):
        assert piece not in stored
    assert PASSWORD.encode() not in stored
