"""The pages that ask: nothing is ticked beforehand, GET shows, POST records, everybody gets the same answer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast
from urllib.parse import urlencode

import pytest

from tests.doors.disclosed import TOLD
from tests.doors.public_fakes import SITE, FakeConsents, FakeHits
from tests.doors.wire import Answer, Wire, serving
from tests.flows.asking_world import ANNA, CLICK, NOBODY, OPEN, World, by_rep, world_on
from tests.flows.conftest import NOW, PUBLIC, RING, Flows, counted_bytes, flows, locked
from tracker.core.tokens import Tokens
from tracker.doors.ask_page import AskPage
from tracker.doors.pages import Pages
from tracker.doors.public import build
from tracker.flows.asking import Asking
from tracker.flows.consent import Consents
from tracker.flows.hit import Hits
from tracker.flows.mailing import Mailings
from tracker.model import MAIL_PURPOSES, Language, LedgerEvent

__all__ = ["flows"]  # the fixture

BOX = re.compile(r'<input type="checkbox" name="purpose" value="(\w+)"([^>]*)>')
FORM = "application/x-www-form-urlencoded"
YES = {"answer": "yes", "purpose": ["open", "click"]}
NO = {"answer": "no"}


@dataclass
class Door:
    """The public listener with the pages that ask, on real flows."""

    world: World
    wire: Wire
    clock: list[datetime]

    async def get(self, path: str, method: str = "GET", language: str = "en") -> Answer:
        return await self.wire.get(path, method=method, accept_language=language)

    async def post(self, path: str, form: Mapping[str, object] | None = None, language: str = "en") -> Answer:
        body = urlencode(form or {}, doseq=True).encode()
        return await self.wire.post(path, body, content_type=FORM, accept_language=language)


@asynccontextmanager
async def opened(flows: Flows, *, next_hop: bool = True) -> AsyncIterator[Door]:
    clock = [NOW]
    async with world_on(flows) as world:
        nobody = Mailings(flows.store, None)
        asking = (
            world.asking if next_hop else Asking(flows.store, lambda: world.tokens, nobody, counted_bytes(), PUBLIC)
        )
        page = AskPage(asking, world.answers, Pages(SITE), lambda: clock[-1])
        hits, consents = cast(Hits, FakeHits()), cast(Consents, FakeConsents())
        app = build(
            hits,
            consents,
            Pages(SITE),
            lambda: clock[-1],
            disclosure=TOLD,
            receipt_key=lambda: "",
            more=page.routes,
        )
        async with serving(app) as wire:
            yield Door(world, wire, clock)


@pytest.fixture
async def door(flows: Flows) -> AsyncIterator[Door]:
    async with opened(flows) as door:
        yield door


def boxes(answer: Answer) -> dict[str, bool]:
    """The boxes on a page, and whether they are ticked."""
    return {value: "checked" in rest for value, rest in BOX.findall(answer.text)}


# --- /ask ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", list(Language))
async def test_r4_the_fixed_page_has_two_unticked_boxes_and_an_address(door: Door, language: Language) -> None:
    """R4: defaults grant nothing."""
    answer = await door.get("/ask", language=language)
    assert answer.status == 200
    assert boxes(answer) == {"open": False, "click": False}
    assert answer.text.count('name="address"') == answer.text.count("<form") == 1
    assert f'action="/ask?lang={language}"' in answer.text
    assert answer.header("Content-Language") == language


async def test_the_page_says_all_that_a_consent_must_say(door: Door) -> None:
    """LAW.md section 3: who asks, what is stored and not, purpose, viewers, period, voluntary, withdrawal, the text."""
    for path in ("/ask", f"/ask/{await door.world.invited()}"):
        text = re.sub(r"\s+", " ", (await door.get(path)).text)
        for said in (
            "Example Ltd asks for your consent", "privacy@example.com", "What is stored", "No IP address",
            "By itself this software passes it on to nobody else", "90 days after the message was sent", "2 years",
            "Your consent is voluntary", "You get the same mail whatever you answer", "take it back at any time",
            "Version 2026-1", "/notice?lang=en",
        ):  # fmt: skip
            assert said in text, (path, said)


async def test_a_link_is_mailed_to_who_types_an_address_and_ticks(door: Door) -> None:
    answer = await door.post("/ask", {"address": f" {ANNA} ", "purpose": ["click"]}, language="fr")
    assert answer.status == 200
    assert "Veuillez consulter votre messagerie" in answer.text
    token = await door.world.mailed()
    assert door.world.letters[-1].address == ANNA
    assert door.world.letters[-1].language is Language.FR
    assert boxes(await door.get(f"/ask/{token}")) == {"click": False}


async def test_r49_everybody_gets_the_same_answer(door: Door) -> None:
    """R49: known, unknown, refused and throttled addresses, and one that no mail reaches, cannot be told apart."""
    await door.world.flows.grant("known@example.org")
    await door.world.flows.consents.withdraw("refused@example.org", MAIL_PURPOSES, "shop", NOW)
    addresses = ["known@example.org", "refused@example.org", "never-seen@example.org", '"x y"@[192.0.2.1]', *[ANNA] * 5]
    answers = [await door.post("/ask", {"address": address, "purpose": "open"}) for address in addresses]
    assert len({answer.without_date for answer in answers}) == 1
    await door.world.mailings._queue.join()
    assert len(door.world.letters) == 4 + 3


@pytest.mark.parametrize(
    "address", ["", "anna", "anna@", "a@b@c@", "anna@example.org, bob@example.org", "<b>@x", "\0@x.y"]
)
async def test_what_is_no_address_is_asked_for_again(door: Door, address: str) -> None:
    answer = await door.post("/ask", {"address": address, "purpose": "open"})
    assert answer.status == 422
    assert 'role="alert"' in answer.text
    assert "<b>" not in answer.text
    assert boxes(answer) == {"open": True, "click": False}  # what the person ticked is not asked for twice
    assert door.world.letters == []


@pytest.mark.parametrize("form", [{}, {"address": ANNA}, {"address": ANNA, "purpose": "phone"}])
async def test_r4_without_a_tick_nothing_is_mailed(door: Door, form: Mapping[str, object]) -> None:
    """R4: the form as it comes does nothing."""
    answer = await door.post("/ask", form)
    assert answer.status == 422
    await door.world.mailings._queue.join()
    assert door.world.letters == []


async def test_without_a_next_hop_the_page_names_the_contact(flows: Flows) -> None:
    async with opened(flows, next_hop=False) as door:
        for answer in (await door.get("/ask"), await door.post("/ask", {"address": ANNA, "purpose": "open"})):
            assert answer.status == 200
            assert "<form" not in answer.text
            assert "No links can be mailed from here" in answer.text
            assert "mailto:privacy@example.com" in answer.text
            assert ANNA not in answer.text


async def test_urls_come_from_the_settings_and_not_from_the_request(door: Door) -> None:
    body = urlencode({"address": ANNA, "purpose": "open"}).encode()
    await door.wire.post("/ask", body, content_type=FORM, host="evil.example", x_forwarded_host="evil.example")
    await door.world.mailed()
    assert door.world.letters[-1].url.startswith(f"{PUBLIC}/ask/")


# --- /ask/{token} -------------------------------------------------------------------------------


@pytest.mark.parametrize("language", list(Language))
async def test_r4_the_question_has_nothing_ticked_and_two_buttons_of_equal_weight(
    door: Door, language: Language
) -> None:
    """R4: unticked boxes, whoever asks; LAW.md section 3: yes and no equal."""
    for token in (await door.world.invited(), await door.world.asked()):
        answer = await door.get(f"/ask/{token}", language=language)
        assert answer.status == 200
        assert boxes(answer) == {"open": False, "click": False}
        buttons = re.findall(r"<button ([^>]*)>", answer.text)
        assert buttons == ['type="submit" name="answer" value="yes"', 'type="submit" name="answer" value="no"']
        assert f'action="/ask/{token}?lang={language}"' in answer.text


async def test_only_what_was_asked_can_be_ticked(door: Door) -> None:
    token = await door.world.invited(purposes=OPEN)
    assert boxes(await door.get(f"/ask/{token}")) == {"open": False}
    answer = await door.post(f"/ask/{token}", {"answer": "yes", "purpose": ["open", "click", "phone"]})
    assert answer.status == 200
    assert await door.world.stands() == (OPEN, NOBODY, NOBODY)


@pytest.mark.parametrize(
    "form",
    [{}, {"answer": "yes"}, {"purpose": ["open", "click"]}, {"answer": "yes", "purpose": "phone"}, {"answer": "x"}],
)
async def test_r4_an_untouched_form_grants_nothing(door: Door, form: Mapping[str, object]) -> None:
    """R4: a POST of what stands on the page as it comes records nothing, and the link can still be answered."""
    token = await door.world.asked()
    answer = await door.post(f"/ask/{token}", form)
    assert answer.status == 422
    assert "Nothing was ticked" in answer.text
    assert await door.world.events() == []
    assert (await door.post(f"/ask/{token}", YES)).status == 200


async def test_a_yes_is_recorded_and_said(door: Door) -> None:
    token = await door.world.asked()
    answer = await door.post(f"/ask/{token}", {"answer": "yes", "purpose": "click"}, language="de")
    assert answer.status == 200
    assert "Ihr Ja ist gespeichert" in answer.text
    assert "welchen Links darin Sie folgen" in answer.text
    assert "ob Sie sie öffnen" not in answer.text
    assert await door.world.stands() == (CLICK, NOBODY, NOBODY)


@pytest.mark.parametrize(
    "form", [NO, {**NO, "purpose": ["open", "click"]}, {"answer": ["yes", "no"], "purpose": "open"}]
)
async def test_a_no_is_recorded_whatever_is_ticked(door: Door, form: Mapping[str, object]) -> None:
    token = await door.world.invited()
    answer = await door.post(f"/ask/{token}", form, language="it")
    assert answer.status == 200
    assert "il Suo no è registrato" in answer.text
    assert await door.world.stands() == (NOBODY, NOBODY, MAIL_PURPOSES)
    assert await door.world.events() == [(LedgerEvent.REFUSED, "recipient")]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
@pytest.mark.parametrize("query", ["", "?answer=yes&purpose=open&purpose=click", "?answer=no"])
async def test_r5_no_other_method_records_or_spends_anything(door: Door, method: str, query: str) -> None:
    """R5: GET, HEAD and OPTIONS never grant, confirm or withdraw."""
    token = await door.world.asked()
    await door.world.flows.consents.report(by_rep(), NOW)
    before = await door.world.events()
    for path in (f"/ask/{token}", f"/ask/{token}/", "/ask"):
        answer = await door.get(path + query, method=method)
        assert answer.status == (200 if method in {"GET", "HEAD"} else 405)
    assert await door.world.events() == before
    assert (await door.post(f"/ask/{token}", YES)).status == 200


async def test_r6_nothing_on_the_pages_submits_itself(door: Door) -> None:
    """R6: no script, no refresh, no autofocus; the policy forbids scripts as well."""
    for path in ("/ask", f"/ask/{await door.world.asked()}"):
        answer = await door.get(path)
        assert not re.search(r"<script|http-equiv|autofocus|\son\w+=|formaction", answer.text)
        policy = answer.header("Content-Security-Policy") or ""
        assert "default-src 'none'" in policy
        assert "script-src" not in policy


async def test_a_page_never_says_what_is_held_about_the_person(door: Door) -> None:
    token = await door.world.invited()
    before = (await door.get(f"/ask/{token}")).without_date
    await door.world.flows.grant(ANNA)
    assert (await door.get(f"/ask/{token}")).without_date == before
    await door.world.flows.consents.withdraw(ANNA, MAIL_PURPOSES, "shop", NOW)
    assert (await door.get(f"/ask/{token}")).without_date == before


# --- links that are no longer good --------------------------------------------------------------


@pytest.mark.parametrize(
    ("why", "title"),
    [
        ("expired", "This link has expired"),
        ("spent", "This link has been used already"),
        ("retired", "The key that signed this link is no longer in use"),
    ],
)
async def test_a_link_that_is_no_longer_good_has_a_page_of_its_own(door: Door, why: str, title: str) -> None:
    token = await door.world.asked()
    if why == "expired":
        door.clock.append(NOW + timedelta(days=30))
    elif why == "spent":
        await door.post(f"/ask/{token}", NO)
    else:
        key = RING.signing[0]
        ring = replace(RING, signing=(replace(key, retired=True), replace(key, id="B", secret=b"b" * 32)))
        door.world.tokens = Tokens(ring)
    before = await door.world.events()
    for answer in (
        await door.get(f"/ask/{token}"), await door.post(f"/ask/{token}", YES), await door.post(f"/ask/{token}", NO),
    ):  # fmt: skip
        assert answer.status == 410
        assert f"<h1>{title}</h1>" in answer.text
        assert 'href="/ask?lang=en"' in answer.text
    assert await door.world.events() == before


async def test_a_senders_link_says_where_a_no_can_be_taken_back(door: Door) -> None:
    token = await door.world.invited()
    await door.world.flows.consents.withdraw(ANNA, OPEN, "shop", NOW)
    answer = await door.post(f"/ask/{token}", YES)
    assert answer.status == 409
    assert "Your yes needs a link that we mail to you" in answer.text
    assert 'href="/ask?lang=en"' in answer.text
    assert await door.world.stands() == (NOBODY, NOBODY, OPEN)


@pytest.mark.parametrize("altered", ["x", "A" * 100, "%C3%BC" * 50, "A" * 3000], ids=len)
async def test_what_was_altered_is_not_found(door: Door, altered: str) -> None:
    for answer in (await door.get(f"/ask/{altered}"), await door.post(f"/ask/{altered}", NO)):
        assert answer.status == 404
    token = await door.world.asked()
    swapped = token[:50] + ("A" if token[50] != "A" else "B") + token[51:]
    assert (await door.post(f"/ask/{swapped}", YES)).status == 404
    assert await door.world.events() == []


async def test_while_the_store_is_away_a_page_says_that_nothing_was_recorded(door: Door, tmp_path: Path) -> None:
    token = await door.world.asked()
    with locked(tmp_path):
        for answer in (
            await door.post(f"/ask/{token}", YES, language="de"),
            await door.post("/ask", {"address": ANNA, "purpose": "open"}, language="de"),
        ):
            assert answer.status == 503
            assert "Es hat sich nichts geändert" in answer.text
    assert await door.world.events() == []
    assert (await door.post(f"/ask/{token}", YES)).status == 200


async def test_a_no_counts_while_the_store_is_away(door: Door, tmp_path: Path) -> None:
    token = await door.world.asked()
    with locked(tmp_path):
        assert (await door.post(f"/ask/{token}", NO)).status == 200
    await door.world.flows.in_step.look(NOW)
    assert [event for event, _ in await door.world.events()] == [LedgerEvent.REFUSED]


async def test_without_a_notice_in_force_nobody_is_asked(door: Door) -> None:
    await door.world.flows.store.supersede("2026-1", NOW, 1095)
    for answer in (await door.get("/ask"), await door.post("/ask", {"address": ANNA, "purpose": "open"})):
        assert answer.status == 503


async def test_the_page_of_a_link_speaks_the_language_of_its_mail_unless_the_reader_prefers_another(door: Door) -> None:
    token = await door.world.asked()
    assert (await door.get(f"/ask/{token}", language="nl")).header("Content-Language") == "de"
    assert (await door.get(f"/ask/{token}?lang=it", language="fr")).header("Content-Language") == "it"
