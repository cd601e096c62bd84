"""A rep's pages on a real installation: own messages and nobody else's, people by address or reference, calls."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest

from tests.doors.dashboard_world import RITA, Browser, World, heading, world
from tests.doors.wire import Answer as WireAnswer
from tests.flows.conftest import AwaitedHits, hit, reported
from tests.flows.test_send import envelope, mail
from tracker.core.next_steps import STEPS
from tracker.flows.send import Answer
from tracker.model import Left, Purpose, Reason, Role

pytestmark = pytest.mark.usefixtures("patient")
ANNA, BERT = "anna@recipients.example", "bert@recipients.example"
SETTINGS = {
    "TRACKER_CRM_URL": "https://crm.example.com/contact/{reference}",
    "TRACKER_MACHINE_SECONDS": "0",  # tests open at once what they sent
}
ALIAS = "r.meier@werkstatt-nord.example"


@pytest.fixture
async def staff(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "tracker", SETTINGS) as made:
        yield made


@pytest.fixture
async def rep(staff: World) -> Browser:
    return await staff.signed_in(Role.REP)


async def agree(staff: World, address: str = ANNA, *purposes: Purpose) -> None:
    await staff.parts.consents.report(reported(address, *purposes), staff.now)


async def send(staff: World, address: str = ANNA, number: int = 1, **said: object) -> Answer:
    """A message of Rita's, unless SAID names another owner."""
    said = {"owner": RITA, "label": f"Offer {number}", **said}
    message = mail(To=address, Message_ID=f"<{number}@x>")
    return await staff.parts.sender.rewrite(envelope(address, **said), message, staff.now)


async def open_it(staff: World, sent: Answer, click: bool = False) -> None:
    public = staff.parts.settings.public_url
    (token,) = re.findall(rf"{public}/o/([A-Za-z0-9_.-]{{66}})\.gif", sent.message.decode())
    await AwaitedHits(staff.parts.hits).opened(token, hit(staff.now))
    if click:
        token, part, host = re.findall(rf"{public}/c/([^/]+)/([^/]+)/([^/]+)/", sent.message.decode())[0]
        assert await AwaitedHits(staff.parts.hits).clicked(token, part, host, hit(staff.now))


async def an_hour_later(staff: World) -> Browser:
    """When everybody's activity shows; a session does not last for so long."""
    staff.later(hours=1)
    return await staff.signed_in(Role.REP)


def whole(answer: WireAnswer) -> bytes:
    """The body of an answer that came in chunks."""
    body, rest = b"", answer.body
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


def id_of(sent: Answer) -> str:
    assert sent.message_key is not None
    return sent.message_key.hex()


def words(page: str) -> str:
    """What somebody reads."""
    plain = re.sub(r"<(style|title|desc)>.*?</\1>|<[^>]+>", " ", page.partition("<main")[2], flags=re.DOTALL)
    return " ".join(unescape(plain).split())


# --- messages ---------------------------------------------------------------------------------------


async def test_the_first_page_of_a_rep_is_the_list_of_messages(staff: World, rep: Browser) -> None:
    assert (await rep.get("/")).header("Location") == "/feed"


async def test_an_empty_list_says_what_to_do_next(staff: World, rep: Browser) -> None:
    page = await rep.get("/feed")
    assert "No message of yours has been measured yet" in words(page.text)
    assert 'value="https://t.example.com/ask"' in page.text


async def test_what_was_touched_last_comes_first_with_its_hour_and_its_shares(staff: World) -> None:
    await agree(staff)
    await agree(staff, BERT)
    first = await send(staff, number=1, reference="4711")
    await send(staff, number=2)
    await send(staff, BERT, campaign="c", number=3)
    await send(staff, ANNA, campaign="c", number=3)
    staff.later(hours=2)
    await open_it(staff, first, click=True)
    rep = await an_hour_later(staff)
    page = await rep.get("/feed")
    titles = re.findall(r'<h2><a href="/message/[0-9a-f]{32}">(.*?)</a>', page.text)
    assert titles[0] == "Offer 1"
    assert set(titles[1:]) == {"Offer 2", "Offer 3"}
    said = words(page.text)
    assert "Last on Nov 23, 2026, 14:00" in said
    assert "Opened Clicked" in said
    assert "Not opened Not clicked" in said
    assert "Opened: 0 of 2 (0%)" in said.replace("\xa0", " ")
    assert '<a href="https://crm.example.com/contact/4711" rel="noreferrer">4711</a>' in page.text
    touched = words((await rep.get("/feed?show=touched")).text)
    assert "Offer 1" in touched
    assert "Offer 2" not in touched


async def test_mail_from_an_alias_is_the_reps_too_and_nobody_elses_is(staff: World, rep: Browser) -> None:
    """R53: reps see their own."""
    await agree(staff)
    own = await send(staff, number=1, owner=ALIAS)
    other = await send(staff, number=2, owner="jonas@werkstatt-nord.example")
    page = await rep.get("/feed")
    assert id_of(own) in page.text
    assert id_of(other) not in page.text
    assert (await rep.get(f"/message/{id_of(own)}")).status == 200
    for foreign in (id_of(other), "00" * 16, "x", id_of(own).upper()):
        assert (await rep.get(f"/message/{foreign}")).status == 404


async def test_pages_follow_each_other(staff: World, rep: Browser) -> None:
    await agree(staff)
    for number in range(27):
        await send(staff, number=number)
    first = await rep.get("/feed")
    found = re.search(r'href="(/feed\?after=[^"]+)" rel="next"', first.text)
    assert found
    second = await rep.get(unescape(found[1]))
    titles = [re.findall(r"Offer (\d+)</a>", page.text) for page in (first, second)]
    assert [len(page) for page in titles] == [25, 2]
    assert len({*titles[0], *titles[1]}) == 27
    assert (await rep.get("/feed?after=nonsense")).status == 422


async def test_a_message_tells_when_what_and_why_not(staff: World) -> None:
    await agree(staff)
    sent = await send(staff, campaign="c")
    await send(staff, BERT, campaign="c")
    await open_it(staff, sent, click=True)
    rep = await an_hour_later(staff)
    page = await rep.get(f"/message/{id_of(sent)}")
    said = words(page.text).replace("\xa0", " ")
    assert heading(page) == "Offer 1"
    assert "Measurable 50% 1 of 2" in said
    assert "Opened 100% 1 of 1" in said
    assert "shop.example/a 1 0" in said
    assert "no consent on record 1 Ask: put the link below into your signature." in said
    assert '<svg viewBox="0 0 720 121" role="img" aria-labelledby="chart-title chart-text"' in page.text
    assert "Nov 23, 2026" in said


async def test_a_label_that_cannot_be_is_refused_and_is_no_failure_of_the_database(rep: Browser) -> None:
    """PostgreSQL takes no NUL in a text."""
    assert (await rep.get("/feed?label=%00")).status == 422
    assert (await rep.get("/feed?label=a%00b")).status == 422


async def test_a_label_is_text_and_nothing_else(staff: World, rep: Browser) -> None:
    """CVE-2022-25772 and others: what senders and visitors hand in is shown as text."""
    await agree(staff)
    sent = await send(staff, label="<script>alert(1)</script>\"'")
    for path in ("/feed", f"/message/{id_of(sent)}", "/campaigns"):
        page = (await rep.get(path)).text
        assert re.findall("<script[^>]*>", page) == (['<script src="/live.js" defer>'] if path == "/feed" else [])


async def test_a_banner_says_when_more_than_a_fifth_came_signed(staff: World, rep: Browser) -> None:
    await agree(staff)
    for number in range(4):
        await send(staff, number=number)
    signed = mail(DKIM_Signature="v=1; a=rsa-sha256; d=x; s=y; h=from; bh=z; b=q", Message_ID="<s1@x>", To=ANNA)
    await staff.parts.sender.rewrite(envelope(ANNA, owner=RITA), signed, staff.now)
    banner = "More than a fifth of your mail came signed"
    assert banner not in (await rep.get("/feed")).text, "one of five is a fifth"
    await staff.parts.sender.rewrite(envelope(ANNA, owner=RITA), signed.replace(b"<s1@x>", b"<s2@x>"), staff.now)
    page = words((await rep.get("/feed")).text)
    assert banner in page
    assert "came signed (DKIM) 2 Tell the operator: mail has to be measured before it is signed." in page
    assert banner in (await rep.get("/coverage")).text


async def test_all_messages_leave_as_a_file(staff: World, rep: Browser) -> None:
    await agree(staff)
    for number in range(3):
        await send(staff, number=number, label=f"=1+{number}")
    await send(staff, number=9, owner="jonas@werkstatt-nord.example")
    table = await rep.get("/feed/export?format=csv")
    assert table.header("Content-Disposition") == 'attachment; filename="messages.csv"'
    assert table.header("Cache-Control") == "no-store"
    labels = {row["label"] for row in csv.DictReader(io.StringIO(whole(table).decode()))}
    assert labels == {"'=1+0", "'=1+1", "'=1+2"}
    document = await rep.get("/feed/export?format=json")
    assert len(json.loads(whole(document))["messages"]) == 3
    assert (await rep.get("/feed/export?format=xlsx")).status == 404


# --- people -----------------------------------------------------------------------------------------


async def look_up(rep: Browser, addresses: str) -> str:
    await rep.get("/person")
    answer = await rep.post("/person", {"addresses": addresses})
    assert answer.status == 200, answer.text
    assert answer.header("Location") is None
    return answer.text


async def test_people_are_looked_up_by_address_with_their_state_and_the_next_step(staff: World) -> None:
    await agree(staff)
    await agree(staff, "carla@recipients.example")
    await staff.parts.consents.withdraw("carla@recipients.example", frozenset(), "shop", staff.now)
    sent = await send(staff)
    await open_it(staff, sent)
    rep = await an_hour_later(staff)
    page = await look_up(rep, f"Anna <{ANNA}>, {BERT}\ncarla@recipients.example; not-an-address@")
    anna, bert, carla, *_ = (words(f"<main{part}") for part in page.split("<article")[1:])
    assert "Opens agreed, until Nov 20, 2028" in anna
    assert "Offer 1 Nov 23, 2026 Nov 23, 2026, 12:00" in anna
    assert "Opens never asked" in bert
    assert "Ask: copy the link for your signature. https://t.example.com/ask" in bert
    assert "Opens said no" in carla
    assert "They said no: nothing to do." in carla
    assert "Offer" not in bert + carla


async def test_another_reps_messages_to_a_person_are_not_shown(staff: World, rep: Browser) -> None:
    await agree(staff)
    other = await send(staff, owner="jonas@werkstatt-nord.example", label="Secret offer")
    await open_it(staff, other)
    page = await look_up(rep, ANNA)
    assert "Secret offer" not in page
    assert "agreed" in words(page)


@pytest.mark.parametrize("addresses", ["", "nobody", " ".join(f"a{number}@b.example" for number in range(101))])
async def test_no_address_or_too_many_are_refused_and_stay_in_the_form(rep: Browser, addresses: str) -> None:
    await rep.get("/person")
    answer = await rep.post("/person", {"addresses": addresses})
    assert answer.status == 422
    assert 'role="alert"' in answer.text
    assert addresses in answer.text


async def test_a_hundred_are_looked_up_at_once(rep: Browser) -> None:
    page = await look_up(rep, " ".join(f"a{number}@b.example" for number in range(100)))
    assert page.count('<article class="person">') == 100


async def test_a_button_in_the_crm_leads_to_the_person(staff: World, rep: Browser) -> None:
    await agree(staff)
    sent = await send(staff, reference="4711")
    await open_it(staff, sent)
    page = await rep.get("/person?reference=4711")
    assert page.status == 200
    assert "Offer 1" in page.text
    assert 'href="https://crm.example.com/contact/4711"' in page.text
    assert "Nobody is known by this reference." in (await rep.get("/person?reference=4712")).text
    for smuggled in ("anna%40recipients.example", "<b>", "x" * 65):
        refused = await rep.get(f"/person?reference={smuggled}")
        assert refused.status == 422


async def test_a_reference_that_two_systems_use_for_two_people_names_nobody(staff: World, rep: Browser) -> None:
    for address, source in ((ANNA, "shop"), (BERT, "crm")):
        await staff.parts.consents.report(reported(address, reference="4711", actor=source), staff.now)
    assert "Nobody is known by this reference." in (await rep.get("/person?reference=4711")).text


async def test_no_address_lands_in_a_url_or_a_log(staff: World, rep: Browser, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    await agree(staff)
    page = await look_up(rep, f"{ANNA} {BERT}")
    await rep.post("/person/call", {"address": ANNA, "started": "2026-11-23T10:00", "minutes": "x"})
    assert not re.findall(r'(?:href|action|formaction)="[^"]*recipients', page)
    assert "recipients.example" not in caplog.text


# --- calls ------------------------------------------------------------------------------------------


async def call(rep: Browser, **fields: str) -> str:
    await look_up(rep, ANNA)
    answer = await rep.post("/person/call", {"address": ANNA, "started": "2026-11-23T10:00", "minutes": "5", **fields})
    assert answer.header("Location") is None
    return answer.text


async def test_a_call_is_recorded_and_what_was_said_about_mail_waits(staff: World, rep: Browser) -> None:
    page = words(await call(rep, again="yes", open="1", click="1"))
    assert "The call is recorded. What was said about mail waits until the person confirms it." in page
    assert "Agreed to calls, until Nov 22, 2028." in page
    assert "Opens reported, not confirmed yet" in page
    found = await staff.parts.consents.lookup(ANNA, staff.now)
    assert all(re.fullmatch(r"user:\d+", entry.actor) for entry in found.history)
    assert set(found.standing.pending) == {Purpose.OPEN, Purpose.CLICK}
    assert set(found.standing.grants) == {Purpose.PHONE}


async def test_a_call_is_entered_from_the_crms_button_too(staff: World, rep: Browser) -> None:
    """No address is stored: the rep types it with the call."""
    await agree(staff)
    await send(staff, reference="4711")
    page = await rep.get("/person?reference=4711")
    form = page.text.partition('action="/person/call">')[2].partition("</form>")[0]
    assert 'name="address" type="email"' in form
    assert 'type="hidden" name="address"' not in form
    told = {"address": ANNA, "started": "2026-11-23T11:00", "minutes": "7", "again": "no"}
    assert (await rep.post("/person/call", told)).status == 200
    assert "Do not call." in words((await rep.get("/person?reference=4711")).text)


async def test_a_no_to_calls_shows_in_red_where_the_rep_would_dial(staff: World, rep: Browser) -> None:
    page = await call(rep, again="no")
    assert '<p class="problem do-not-call"><strong>Do not call.</strong>' in page
    again = await look_up(rep, ANNA)
    assert "do-not-call" in again
    assert again.index("do-not-call") < again.index("Opens")
    after = words(await call(rep, again="yes"))
    assert "The person said no before" in after
    assert "Do not call." in after


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"started": "yesterday"}, "Say when the call began."),
        ({"started": ""}, "Say when the call began."),
        ({"minutes": "-1"}, "Say in whole minutes how long it was"),
        ({"minutes": "1441"}, "Say in whole minutes how long it was"),
        ({"started": "2026-11-24T10:00"}, "The call lies in the future."),
    ],
)
async def test_a_call_that_cannot_be_is_refused_and_the_form_keeps_what_was_entered(
    staff: World, rep: Browser, fields: dict[str, str], said: str
) -> None:
    page = await call(rep, again="no", open="1", **fields)
    assert said in words(page)
    assert re.search(r'name="open" value="1" checked', page)
    assert not (await staff.parts.consents.lookup(ANNA, staff.now)).history


# --- what is compared -------------------------------------------------------------------------------


async def test_campaigns_are_compared_by_label(staff: World) -> None:
    await agree(staff)
    await agree(staff, BERT)
    for number in (1, 2):
        sent = await send(staff, number=number, label="Autumn")
    await send(staff, BERT, number=3, label="Winter")
    await open_it(staff, sent)
    rep = await an_hour_later(staff)
    said = words((await rep.get("/campaigns")).text).replace("\xa0", " ")
    assert "Autumn Nov 23, 2026 2 100% (2) 50% (1 of 2) 0% (0 of 2) 0% (0)" in said
    assert "Winter Nov 23, 2026 1 100% (1)" in said
    staff.later(days=31)
    later = await staff.signed_in(Role.REP)
    assert "Nothing with a label was sent in these days." in (await later.get("/campaigns")).text
    assert "Autumn" in (await later.get("/campaigns?days=90")).text


async def test_coverage_is_told_by_the_day(staff: World, rep: Browser) -> None:
    assert "You sent nothing in these days" in (await rep.get("/coverage")).text
    await agree(staff)
    await send(staff)
    for number in range(3):
        await send(staff, BERT, number=10 + number)
    said = words((await rep.get("/coverage")).text).replace("\xa0", " ")
    assert "Of 4 copies that you sent, 1 could be measured: 25%." in said
    assert "Nov 23, 2026 4 25% (1)" in said
    assert "no consent on record 3" in said


async def test_a_manager_sees_the_teams_totals_of_full_days(staff: World) -> None:
    """R53: managers see thresholded totals."""
    manager = await staff.signed_in(Role.MANAGER)
    assert (await manager.get("/")).header("Location") == "/team"
    assert "There is nothing to show yet." in (await manager.get("/team")).text
    for number in range(12):
        address = f"a{number}@recipients.example"
        await agree(staff, address)
        sent = await send(staff, address, number=number, owner=(RITA, ALIAS)[number % 2])
        if number < 6:
            await open_it(staff, sent)
    for number in range(6):
        await send(staff, f"b{number}@recipients.example", number=100 + number)
    staff.later(days=1)
    await staff.parts.store.put_team_totals_on_file(int(staff.now.timestamp()) // 86_400)  # type: ignore[arg-type]
    manager = await staff.signed_in(Role.MANAGER)
    before = words((await manager.get("/team")).text).replace("\xa0", " ")
    assert "Nov 23, 2026 20 10 (50%) 5 (50%) – not shown" in before
    await staff.parts.consents.withdraw("a3@recipients.example", frozenset(), "shop", staff.now)
    assert words((await manager.get("/team")).text).replace("\xa0", " ") == before


def test_every_reason_has_a_step_and_words(staff: World) -> None:
    assert set(STEPS) == set(Reason)
    source = (Path(__file__).parents[2] / "templates" / "dashboard" / "rep" / "words.html").read_text()
    for name in (*Reason, *Left):
        assert f'"{name}": _(' in source
