"""An open list of messages shows what happens: to its rep alone, of who agreed to be watched, in the session."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.doors.dashboard_world import HOST, LOGINS, PAULA, RITA, Browser, Stream, World, world
from tests.doors.test_dashboard_rep import ALIAS, ANNA, BERT, SETTINGS, agree, id_of, open_it, send, words
from tests.flows.conftest import reported
from tracker.core.access import Deed
from tracker.core.calendar import day_of
from tracker.doors.dashboard.live_page import BEAT, OVER, RETRY
from tracker.flows import live
from tracker.model import Feature, Language, Notice, Role, StoreUnavailable

pytestmark = pytest.mark.usefixtures("patient")
WATCHED = "2026-live"


@pytest.fixture
async def staff(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "tracker", SETTINGS) as made:
        notice = Notice(WATCHED, Language.DE, "Werkstatt Nord GmbH?", features=frozenset({Feature.LIVE}))
        assert await made.parts.store.add_notice(notice)
        yield made


@pytest.fixture
async def rep(staff: World) -> Browser:
    return await staff.signed_in(Role.REP)


async def agree_to_be_watched(staff: World, address: str = ANNA) -> None:
    await staff.parts.consents.report(reported(address, notice_version=WATCHED), staff.now)


async def look(staff: World, **later: float) -> None:
    """What the server does all the time, by itself."""
    staff.later(**later)
    while staff.parts.store.counters.waiting:  # on a slow machine hits are answered before they are written
        await asyncio.sleep(0)
    await staff.parts.live.look(staff.now)


async def begun(staff: World, stream: Stream) -> str:
    """The list as it is when somebody begins to watch."""
    assert (stream.status, await stream.next()) == (200, RETRY)
    await look(staff)
    said, shown = told(await stream.next())
    assert said == []
    return shown


def told(event: str | None) -> tuple[list[str], str]:
    """The lines above the list, and what somebody reads in it."""
    assert event is not None
    found = re.fullmatch(r"event: feed\ndata: (\{.*\})\n\n", event)
    assert found, event
    data = json.loads(found[1])
    assert set(data) == {"said", "list"}
    return data["said"], words(f"<main>{data['list']}")


async def test_a_click_shows_at_once_of_who_agreed_to_be_watched(staff: World, rep: Browser) -> None:
    await agree_to_be_watched(staff)
    await agree(staff, BERT)
    await send(staff, number=1)
    sent = await send(staff, number=2)
    other = await send(staff, BERT, number=3)
    async with rep.listening() as stream:
        assert "Clicked" not in await begun(staff, stream)
        await open_it(staff, other, click=True)
        await open_it(staff, sent, click=True)
        await look(staff, seconds=1)
        said, shown = told(await stream.next())
        assert sorted(said) == ["New: clicked – Offer 2 – shop.example/a", "New: opened – Offer 2"]
        assert shown.index("Offer 2") < shown.index("Offer 1"), "it is the first now"
        assert shown.count("Clicked") == shown.count("Last on Nov 23, 2026, 12:00") == 1
        await open_it(staff, sent, click=True)
        await look(staff, seconds=1)
        await look(staff, seconds=15)
        assert await stream.next() == BEAT, "a repeat in the same hour is nothing new"
        await look(staff, minutes=30)
        staff.later(minutes=30)
    again = await staff.signed_in(Role.REP)
    page = words((await again.get("/feed")).text)
    assert page.count("Last on Nov 23, 2026, 12:00") == 2


async def test_everybody_elses_activity_shows_when_the_hour_turns(staff: World) -> None:
    await agree(staff)
    sent = await send(staff)
    staff.later(minutes=59)
    rep = await staff.signed_in(Role.REP)
    async with rep.listening() as stream:
        quiet = await begun(staff, stream)
        await open_it(staff, sent, click=True)
        for _ in range(3):
            await look(staff, seconds=15)
            assert await stream.next() == BEAT
        assert words((await rep.get("/feed")).text).count("Not opened Not clicked") == 1
        assert "Not opened Not clicked" in quiet
        await look(staff, seconds=15)
        said, shown = told(await stream.next())
        assert said == [], "nobody is told that it was just now"
        assert "Last on Nov 23, 2026, 12:00" in shown
        assert "Opened Clicked" in shown


async def test_a_withdrawal_takes_the_line_and_the_click_along(staff: World, rep: Browser) -> None:
    await agree_to_be_watched(staff)
    sent = await send(staff)
    async with rep.listening() as stream:
        before = await begun(staff, stream)
        await open_it(staff, sent, click=True)
        await look(staff, seconds=1)
        assert len(told(await stream.next())[0]) == 2
        await staff.parts.consents.withdraw(ANNA, frozenset(), "shop", staff.now)
        await look(staff, seconds=1)
        said, shown = told(await stream.next())
        assert said == []
        assert "Clicked" not in shown
        assert "Last on" not in shown
        assert "Consent ended since: 1" in shown
        assert before != shown


async def test_lines_are_of_this_hour_alone(staff: World) -> None:
    await agree_to_be_watched(staff)
    sent = await send(staff)
    staff.later(minutes=59)
    rep = await staff.signed_in(Role.REP)
    async with rep.listening() as stream:
        await begun(staff, stream)
        await open_it(staff, sent)
        await look(staff, seconds=1)
        assert told(await stream.next())[0] == ["New: opened – Offer 1"]
        await look(staff, seconds=75)
        said, shown = told(await stream.next())
        assert said == []
        assert "Last on Nov 23, 2026, 12:00" in shown


async def test_nobody_hears_of_another_reps_messages(staff: World, rep: Browser) -> None:
    """R53: also not by asking for a label or a message that is not theirs."""
    await agree_to_be_watched(staff)
    own = await send(staff, number=1, owner=ALIAS)
    other = await send(staff, number=2, owner="jonas@werkstatt-nord.example", label="Secret offer")
    label = f"/feed/live?label=Secret+offer&id={id_of(other)}&owner=jonas@werkstatt-nord.example"
    async with rep.listening() as stream, rep.listening(label) as curious:
        await begun(staff, stream)
        assert await curious.next() == RETRY
        assert "Secret" not in (await curious.next() or "")
        await open_it(staff, other, click=True)
        await look(staff, seconds=1)
        await look(staff, seconds=15)
        assert [await stream.next(), await curious.next()] == [BEAT, BEAT]
        await open_it(staff, own)
        await look(staff, seconds=1)
        said, shown = told(await stream.next())
        assert said == ["New: opened – Offer 1"]
        assert "Secret" not in shown


@pytest.mark.parametrize("login", [LOGINS[Role.MANAGER], PAULA])
async def test_only_reps_may_watch(staff: World, login: str) -> None:
    role = next(role for role, name in LOGINS.items() if name == login)
    browser = await staff.signed_in(role)
    for path in ("/feed/live", "/live.js"):
        assert (await browser.get(path)).status == 403
    stranger = staff.browser()
    for path in ("/feed/live", "/live.js"):
        assert (await stranger.get(path)).header("Location") == f"/sign-in?next={path.replace('/', '%2F')}"
    assert (await staff.wire.get("/feed/live", host=HOST, cookie="__Host-staff=guessed")).status == 303
    assert staff.parts.live.watching == 0


async def test_it_ends_with_the_session(staff: World) -> None:
    one, other = [await staff.signed_in(Role.REP) for _ in range(2)]
    async with one.listening() as first, other.listening() as second:
        for stream in (first, second):
            assert await stream.next() == RETRY
        await look(staff)
        for stream in (first, second):
            told(await stream.next())
        await one.get("/account")
        await one.post("/sign-out")
        await look(staff, seconds=1)
        assert [await first.next(), await first.next()] == [OVER, None]
        await staff.accounts.disable(RITA, staff.now)
        await look(staff, seconds=1)
        assert [await second.next(), await second.next()] == [OVER, None]
        assert (await other.get("/feed/live")).status == 303


async def test_watching_keeps_no_session_alive(staff: World, rep: Browser) -> None:
    """R58: idle is idle, however often an open page asks by itself."""
    for _ in range(29):
        staff.later(minutes=1)
        assert (await rep.get("/live.js")).status == 200
        assert await rep.begin_to_get("/feed/live") == 200
    async with rep.listening() as stream:
        await begun(staff, stream)
        await look(staff, minutes=2)
        assert await stream.next() in (BEAT, OVER)
        assert (await rep.get("/live.js")).status == 303


async def test_who_is_there_keeps_the_stream_and_each_hour_of_it_is_noted(staff: World, rep: Browser) -> None:
    """R54: also of a list that stays open."""
    await agree_to_be_watched(staff)
    sent = await send(staff)

    async def noted() -> int:
        lines, _ = await staff.parts.store.audit_page(day_of(staff.now), 100, None)
        return sum(line.action == Deed.SAW_MESSAGES for line in lines)

    async with rep.listening() as stream:
        await begun(staff, stream)
        for _ in range(4):
            staff.later(minutes=14)
            await rep.get("/account")
            await look(staff)
            assert await stream.next() == BEAT
        assert await noted() == 1
        await look(staff, minutes=14)
        assert await stream.next() == BEAT, "the hour turned, and nothing had happened"
        await open_it(staff, sent)
        await look(staff, seconds=1)
        told(await stream.next())
        assert await noted() == 2


async def test_one_browser_has_a_few_and_all_together_a_number(
    staff: World, rep: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST", 4)
    other = await staff.signed_in(Role.REP)
    async with rep.listening() as one, rep.listening() as two, rep.listening() as three:
        for stream in (one, two, three):
            assert await stream.next() == RETRY
        async with rep.listening() as four, other.listening() as five:
            assert [await one.next(), await one.next()] == [OVER, None]
            assert (four.status, five.status) == (200, 200)
            assert await other.begin_to_get("/feed/live") == 204


async def test_asking_for_the_head_alone_begins_nothing(staff: World, rep: Browser) -> None:
    assert (await rep.get("/feed/live", method="HEAD")).status == 204
    assert staff.parts.live.watching == 0


async def test_the_list_alone_may_run_our_script_and_nothing_else(staff: World, rep: Browser) -> None:
    """R59: own assets only."""
    page = await rep.get("/feed?label=a%22%3E&show=touched")
    policy = page.header("Content-Security-Policy") or ""
    assert policy.startswith("default-src 'none'; object-src 'none'; style-src 'sha256-")
    assert policy.endswith("; script-src 'self'; connect-src 'self'")
    assert 'data-live="/feed/live?label=a%22%3E&amp;show=touched"' in page.text
    script = await rep.get("/live.js")
    assert script.header("Content-Type") == "text/javascript; charset=utf-8"
    assert script.header("X-Content-Type-Options") == "nosniff"
    for path in ("/account", "/person", "/campaigns", "/coverage"):
        assert "script-src" not in ((await rep.get(path)).header("Content-Security-Policy") or "script-src")
    async with rep.listening() as stream:
        assert "Content-Type: text/event-stream" in stream.fields
        assert "Cache-Control: no-store" in stream.fields
    await agree(staff)
    for number in range(27):
        await send(staff, number=number)
    found = re.search(r'href="(/feed\?after=[^"]+)"', (await rep.get("/feed")).text)
    assert found
    assert "live" not in words((await rep.get(found[1])).text)
    assert "<script" not in (await rep.get(found[1])).text, "a later page stays as it is"


async def test_a_label_is_text_in_what_is_told(staff: World, rep: Browser) -> None:
    await agree_to_be_watched(staff)
    sent = await send(staff, label="<img src=x onerror=alert(1)>\n\nevent: over")
    async with rep.listening() as stream:
        await begun(staff, stream)
        await open_it(staff, sent)
        await look(staff, seconds=1)
        event = await stream.next()
        assert event is not None
        assert event.count("\n") == 3
        data = json.loads(event.split("data: ")[1])
        assert "<img" not in data["list"]
        assert data["said"][0].startswith("New: opened – <img"), "the script writes it as text"


async def test_a_look_that_finds_the_database_away_shows_later(
    staff: World, rep: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await agree_to_be_watched(staff)
    sent = await send(staff)
    async with rep.listening() as stream:
        await begun(staff, stream)
        await open_it(staff, sent)
        with monkeypatch.context() as away:

            async def none(*_: object) -> None:
                raise StoreUnavailable

            away.setattr(staff.parts.store, "messages", none)
            await look(staff, seconds=1)
            assert await stream.next() == BEAT
        await look(staff, seconds=15)
        said, shown = told(await stream.next())
        assert said == ["New: opened – Offer 1"]
        assert "Opened" in shown
