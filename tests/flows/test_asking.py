"""Consent is asked for and answered: by a link, one answer each, and never against a no."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.flows.asking_world import ANNA, CLICK, NOBODY, OPEN, World, by_rep, token_of, world_on
from tests.flows.conftest import NOW, PUBLIC, RING, TOKENS, Flows, locked
from tracker.core.calendar import day_of, later
from tracker.core.consent import ConsentPolicy
from tracker.core.periods import OPEN_DAYS, SIX_MONTHS
from tracker.core.pseudonym import pseudonym
from tracker.core.tokens import Tokens
from tracker.model import (
    MAIL_PURPOSES,
    AddressInValue,
    AskedAlready,
    AskExpired,
    AskRetired,
    AskSpent,
    BadToken,
    ConsentState,
    Envelope,
    Evidence,
    InvalidAddress,
    InvalidField,
    Language,
    LedgerEvent,
    MailKind,
    Method,
    NeedsOwnMail,
    Notice,
    Purpose,
    Standing,
    StoreUnavailable,
    Suppressed,
    UnknownNotice,
)


@pytest.fixture
async def world(flows: Flows) -> AsyncIterator[World]:
    async with world_on(flows) as world:
        yield world


# --- what the person starts ---------------------------------------------------------------------


async def test_who_types_the_address_gets_a_link_and_a_yes_behind_it_makes_the_grant(world: World) -> None:
    token = await world.asked()
    [letter] = world.letters
    assert (letter.kind, letter.address, letter.language) == (MailKind.ASK, ANNA, Language.DE)
    assert letter.valid_for == timedelta(days=30)
    assert (await world.standing()) == Standing()
    await world.answers.yes(token, MAIL_PURPOSES, Language.DE, NOW)
    standing = await world.standing()
    assert standing.grants.keys() == MAIL_PURPOSES
    assert standing.grants[Purpose.OPEN].last_day == later(day_of(NOW), 730)


async def test_the_ledger_says_how_the_yes_was_confirmed_and_to_which_text(world: World) -> None:
    token = await world.asked()
    await world.answers.yes(token, OPEN, Language.FR, NOW)
    [entry] = (await world.flows.consents.lookup(ANNA, NOW)).history
    assert (entry.event, entry.method, entry.actor) == (LedgerEvent.GIVEN, Method.PAGE, "recipient")
    assert (entry.purposes, entry.notice_version, entry.language) == (OPEN, "2026-1", Language.FR)
    assert entry.notice_hash is not None
    assert entry.evidence == Evidence(source=f"{PUBLIC}/ask", confirmed_at=NOW, confirmed_by="link-in-mail")


async def test_the_mail_goes_to_the_address_whose_pseudonym_was_taken(world: World) -> None:
    token = await world.asked("Anna@EXAMPLE.org")
    assert world.letters[-1].address == ANNA
    opened = TOKENS.open_ask(token)
    assert opened is not None
    assert opened.pseudonym == pseudonym(RING.pseudonym_keys, ANNA)


async def test_what_is_no_address_is_refused_before_anything_is_counted(world: World) -> None:
    with pytest.raises(InvalidAddress):
        await world.asking.ask("anna", MAIL_PURPOSES, Language.DE, NOW)
    with pytest.raises(InvalidField):
        await world.asking.ask(ANNA, frozenset(), Language.DE, NOW)
    assert world.letters == []


async def test_r12_what_the_person_starts_is_always_possible(world: World) -> None:
    """R12: after a no, and while invitations are refused, somebody may still ask for a link themselves."""
    await world.invited()
    await world.flows.consents.withdraw(ANNA, MAIL_PURPOSES, "shop", NOW)
    await world.answers.yes(await world.asked(), MAIL_PURPOSES, Language.DE, NOW)
    assert (await world.standing()).grants.keys() == MAIL_PURPOSES


# --- one answer ---------------------------------------------------------------------------------


async def test_r4_a_yes_to_nothing_records_nothing_and_leaves_the_link_as_it_was(world: World) -> None:
    """R4: the form as it comes has nothing ticked, and grants nothing."""
    token = await world.asked(purposes=OPEN)
    for ticked in (frozenset(), MAIL_PURPOSES, CLICK, frozenset({Purpose.PHONE})):
        with pytest.raises(InvalidField):
            await world.answers.yes(token, ticked, Language.DE, NOW)
    assert await world.events() == []
    await world.answers.yes(token, OPEN, Language.DE, NOW)
    assert (await world.standing()).grants.keys() == OPEN


async def test_r5_looking_at_the_question_writes_nothing(world: World, tmp_path: Path) -> None:
    """R5: GET shows; a database that nobody can write to is enough for it."""
    token = await world.asked()
    with locked(tmp_path):
        for _ in range(3):
            question = await world.answers.question(token, Language.IT, NOW)
    assert (question.purposes, question.notice.language) == (MAIL_PURPOSES, Language.IT)
    await world.answers.yes(token, OPEN, Language.DE, NOW)


@pytest.mark.parametrize("first", ["yes", "no"])
async def test_a_link_is_good_for_one_answer(world: World, first: str) -> None:
    token = await world.asked()
    if first == "yes":
        await world.answers.yes(token, OPEN, Language.DE, NOW)
    else:
        await world.answers.no(token, NOW)
    before = await world.events()
    with pytest.raises(AskSpent):
        await world.answers.yes(token, MAIL_PURPOSES, Language.DE, NOW)
    with pytest.raises(AskSpent):
        await world.answers.no(token, NOW)
    with pytest.raises(AskSpent):
        await world.answers.question(token, Language.DE, NOW)
    assert await world.events() == before


async def test_of_many_answers_at_the_same_time_one_counts(world: World) -> None:
    token = await world.asked()
    yes = [world.answers.yes(token, MAIL_PURPOSES, Language.DE, NOW) for _ in range(2)]
    said = await asyncio.gather(*yes, world.answers.no(token, NOW), return_exceptions=True)
    assert [type(one) for one in said].count(AskSpent) == 2
    assert len(await world.events()) == 1


async def test_each_link_has_its_own_answer(world: World) -> None:
    first, second = await world.asked(), await world.asked()
    await world.answers.no(first, NOW)
    await world.answers.yes(second, OPEN, Language.DE, NOW)
    assert await world.stands() == (OPEN, NOBODY, CLICK)


async def test_what_was_spent_is_forgotten_when_the_link_would_have_ended(world: World) -> None:
    token = await world.asked()
    await world.answers.no(token, NOW)
    last = NOW + timedelta(days=OPEN_DAYS)
    assert (await world.flows.store.sweep(day_of(last), last, 1095))["spent"] == 0
    with pytest.raises(AskSpent):
        await world.answers.question(token, Language.DE, last - timedelta(seconds=1))
    after = last + timedelta(days=1)
    assert (await world.flows.store.sweep(day_of(after), after, 1095))["spent"] == 1
    with pytest.raises(AskExpired):
        await world.answers.no(token, after)


async def test_a_no_is_recorded_and_ends_what_was_allowed(world: World) -> None:
    await world.flows.grant(ANNA)
    await world.answers.no(await world.asked(purposes=OPEN), NOW)
    assert await world.stands() == (CLICK, NOBODY, OPEN)
    assert (await world.events())[-1] == (LedgerEvent.WITHDRAWN, "recipient")


async def test_a_no_of_somebody_unknown_is_recorded_too(world: World) -> None:
    await world.answers.no(await world.invited(), NOW)
    assert await world.events() == [(LedgerEvent.REFUSED, "recipient")]
    assert (await world.standing()).suppressed.keys() == MAIL_PURPOSES


async def test_a_yes_again_renews_the_grant(world: World) -> None:
    await world.answers.yes(await world.asked(), MAIL_PURPOSES, Language.DE, NOW)
    year = NOW + timedelta(days=365)
    await world.answers.yes(await world.asked(now=year), MAIL_PURPOSES, Language.DE, year)
    assert (await world.standing(now=year)).grants[Purpose.OPEN].last_day == later(day_of(year), 730)


async def test_a_yes_that_cannot_be_written_leaves_the_link_unspent(world: World, tmp_path: Path) -> None:
    token = await world.asked()
    with locked(tmp_path), pytest.raises(StoreUnavailable):
        await world.answers.yes(token, OPEN, Language.DE, NOW)
    await world.answers.yes(token, OPEN, Language.DE, NOW)


async def test_a_no_while_the_store_is_away_is_journalled_and_counts_as_soon_as_it_is_back(
    world: World, tmp_path: Path
) -> None:
    await world.flows.grant(ANNA)
    token = await world.asked()
    with locked(tmp_path):
        await world.answers.no(token, NOW)
    person = pseudonym(RING.pseudonym_keys, ANNA)
    with pytest.raises(StoreUnavailable):  # nothing is tracked before it was replayed
        await world.flows.store.grants_of(person, day_of(NOW))
    await world.flows.in_step.keep(NOW)
    assert await world.flows.store.grants_of(person, day_of(NOW)) == frozenset()
    assert await world.stands() == (NOBODY, NOBODY, MAIL_PURPOSES)
    assert (await world.events())[-1] == (LedgerEvent.WITHDRAWN, "recipient")


async def test_a_no_with_a_spent_link_is_not_journalled_either(world: World, tmp_path: Path) -> None:
    token = await world.asked()
    await world.answers.yes(token, OPEN, Language.DE, NOW)
    with pytest.raises(AskSpent):
        await world.answers.no(token, NOW)
    await world.flows.in_step.look(NOW)
    assert await world.stands() == (OPEN, NOBODY, NOBODY)


# --- links that are no longer good --------------------------------------------------------------


async def test_after_thirty_days_a_link_has_expired(world: World) -> None:
    token = await world.asked()
    end = NOW + timedelta(days=30)
    await world.answers.question(token, Language.DE, end - timedelta(seconds=1))
    for late in (end, end + timedelta(days=1)):
        with pytest.raises(AskExpired):
            await world.answers.question(token, Language.DE, late)
        with pytest.raises(AskExpired):
            await world.answers.yes(token, OPEN, Language.DE, late)


async def test_a_retired_keys_link_records_nothing(world: World) -> None:
    token = await world.asked()
    key = RING.signing[0]
    newer = replace(key, id="B", secret=b"b" * 32)
    world.tokens = Tokens(replace(RING, signing=(replace(key, retired=True), newer)))
    with pytest.raises(AskRetired):
        await world.answers.question(token, Language.DE, NOW)
    with pytest.raises(AskRetired):
        await world.answers.yes(token, OPEN, Language.DE, NOW)
    with pytest.raises(AskRetired):
        await world.answers.no(token, NOW)
    assert await world.events() == []


async def test_r13_a_text_that_was_superseded_is_agreed_to_by_nobody(world: World) -> None:
    """R13: the question was about a text that is no longer in force; its link has expired."""
    token = await world.asked()
    await world.flows.store.add_notice(Notice("2026-2", Language.DE, "another"))
    await world.answers.question(token, Language.DE, NOW)  # both are in force
    await world.flows.store.supersede("2026-1", NOW, 1095)
    with pytest.raises(AskExpired):
        await world.answers.question(token, Language.DE, NOW)
    with pytest.raises(AskExpired):
        await world.answers.yes(token, OPEN, Language.DE, NOW)
    fresh = await world.asked()
    assert (await world.answers.question(fresh, Language.FR, NOW)).notice.text == "another"
    await world.flows.store.supersede("2026-2", NOW, 1095)
    with pytest.raises(UnknownNotice):
        await world.asked()


async def test_no_token_found_in_a_message_grants_anything(world: World) -> None:
    """Every path segment of a tracked message is tried at this door."""
    await world.flows.grant(ANNA)
    message = (
        b"From: jonas@werkstatt-nord.example\r\nTo: anna@example.org\r\nMessage-ID: <1@x>\r\n"
        b"Content-Type: text/html\r\n\r\n<body><a href='https://shop.example/a'>offer</a></body>\r\n"
    )
    answer = await world.flows.sender.rewrite(Envelope(ANNA, "crm", single=True), message, NOW)
    found = set(re.findall(rb"[A-Za-z0-9_.-]{20,}", answer.message.replace(message, b"")))
    assert len(found) >= 3
    before = await world.events()
    for text in map(bytes.decode, found):
        with pytest.raises(BadToken):
            await world.answers.yes(text, OPEN, Language.DE, NOW)
        with pytest.raises(BadToken):
            await world.answers.no(text, NOW)
    assert await world.events() == before


# --- pending ------------------------------------------------------------------------------------


async def test_r7_what_a_rep_reports_waits_until_the_person_confirms_it_by_our_mail(world: World) -> None:
    """R7: pending until the recipient's own POST behind a link that we mailed."""
    state, _ = await world.flows.consents.report(by_rep(), NOW)
    assert state is ConsentState.PENDING
    assert (await world.standing()).grants == {}
    await world.asking.confirm(by_rep(requested=True), NOW)
    token = await world.mailed()
    assert world.letters[-1].kind is MailKind.CONFIRMATION
    assert (await world.standing()).grants == {}
    await world.answers.yes(token, MAIL_PURPOSES, Language.DE, NOW)
    assert await world.stands() == (MAIL_PURPOSES, NOBODY, NOBODY)
    assert [event for event, _ in await world.events()] == [LedgerEvent.REQUESTED, LedgerEvent.GIVEN]


async def test_r7_an_invitation_does_not_confirm_what_a_rep_reported(world: World) -> None:
    """R7: a sender's own link makes no grant out of a pending report; its no counts all the same."""
    await world.flows.consents.report(by_rep(purposes=OPEN), NOW)
    token = await world.invited()
    with pytest.raises(NeedsOwnMail):
        await world.answers.yes(token, MAIL_PURPOSES, Language.DE, NOW)
    assert await world.stands() == (NOBODY, OPEN, NOBODY)
    await world.answers.yes(token, CLICK, Language.DE, NOW)  # nothing was spent, and this nobody reported
    assert await world.stands() == (CLICK, OPEN, NOBODY)
    await world.answers.no(await world.invited(), NOW)
    assert (await world.standing()).pending == {}


async def test_an_import_mails_nobody_even_where_it_says_that_they_asked_for_it(world: World) -> None:
    imported = by_rep(method=Method.IMPORTED, requested=True)
    assert (await world.flows.consents.report(imported, NOW))[0] is ConsentState.PENDING
    await world.asking.confirm(imported, NOW)
    await world.mailings._queue.join()
    assert world.letters == []
    await world.asking.confirm(by_rep(requested=True), NOW)  # and it used up nothing
    assert await world.mailed()


async def test_a_report_never_mails_by_itself_so_that_what_comes_in_masses_mails_nobody(world: World) -> None:
    for number in range(200):
        await world.flows.consents.report(by_rep(address=f"person{number}@example.org", requested=True), NOW)
    await world.mailings._queue.join()
    assert world.letters == []


# --- invitations --------------------------------------------------------------------------------


async def test_an_invitation_is_a_link_for_thirty_days_and_its_yes_makes_a_grant(world: World) -> None:
    invitation = await world.asking.invite(ANNA, OPEN, Language.IT, "shop", NOW, reference="4711")
    assert invitation.expires_at == NOW + timedelta(days=30)
    assert world.letters == []
    token = token_of(invitation.url)
    await world.answers.yes(token, OPEN, Language.IT, NOW)
    [entry] = (await world.flows.consents.lookup(ANNA, NOW)).history
    assert entry.evidence.confirmed_by == "page"
    people = await world.flows.figures.references(["4711"], "shop", None, NOW)
    assert people[0] is not None
    assert people[0].purposes == OPEN


async def test_an_invitation_never_undoes_a_no(world: World) -> None:
    token = await world.invited()
    await world.flows.consents.withdraw(ANNA, OPEN, "shop", NOW)
    with pytest.raises(NeedsOwnMail):
        await world.answers.yes(token, MAIL_PURPOSES, Language.DE, NOW)
    assert await world.stands() == (NOBODY, NOBODY, OPEN)


async def test_a_link_that_we_mailed_takes_back_the_no_and_the_ledger_says_so(world: World) -> None:
    await world.flows.consents.withdraw(ANNA, MAIL_PURPOSES, "shop", NOW)
    await world.answers.yes(await world.asked(), OPEN, Language.DE, NOW)
    assert await world.stands() == (OPEN, NOBODY, CLICK)
    assert await world.events() == [(LedgerEvent.REFUSED, "shop"), (LedgerEvent.GIVEN, "recipient")]


@pytest.mark.parametrize("purposes", [OPEN, CLICK, MAIL_PURPOSES])
async def test_r12_after_a_no_there_is_no_invitation(world: World, purposes: frozenset[Purpose]) -> None:
    """R12: no re-asking after refusal, not about the other box either."""
    await world.flows.consents.withdraw(ANNA, OPEN, "shop", NOW)
    with pytest.raises(Suppressed):
        await world.asking.invite(ANNA, purposes, Language.DE, "shop", NOW)


async def test_r12_a_no_holds_six_months_even_where_proofs_are_short(flows: Flows) -> None:
    """R12: clock; `proof_days` of a week ends no refusal sooner."""
    policy = ConsentPolicy(proof_days=7)
    async with world_on(flows, policy) as world:
        await world.answers.no(await world.invited(), NOW)
        last = NOW + timedelta(days=SIX_MONTHS)
        await flows.store.sweep(day_of(last), last, 7)
        with pytest.raises(Suppressed):
            await world.invited(now=last)
        over = NOW + timedelta(days=OPEN_DAYS + SIX_MONTHS + 1)
        await flows.store.sweep(day_of(over), over, 7)
        assert await world.invited(now=over)


async def test_r12_a_no_that_is_said_again_holds_from_then_on(world: World) -> None:
    """R12: clock; who says no on the day before the first one ends is not asked, nor tracked, on the day after."""
    await world.flows.consents.withdraw(ANNA, MAIL_PURPOSES, "shop", NOW)
    again = NOW + timedelta(days=1_095)
    assert not await world.flows.consents.withdraw(ANNA, frozenset(), "shop", again)
    assert await world.events() == [(LedgerEvent.REFUSED, "shop")]
    after = again + timedelta(days=SIX_MONTHS)
    await world.flows.store.sweep(day_of(after), after, 1095)
    with pytest.raises(Suppressed):
        await world.invited(now=after)
    with pytest.raises(Suppressed):
        await world.flows.consents.report(by_rep(given_at=after), after)


async def test_r12_after_silence_there_is_no_invitation_for_six_months(world: World) -> None:
    """R12: clock; an invitation that ended unanswered is silence."""
    await world.invited()
    silent = NOW + timedelta(days=OPEN_DAYS)
    last = silent + timedelta(days=SIX_MONTHS)
    for when in (silent, silent + timedelta(days=90), last):
        await world.flows.store.sweep(day_of(when), when, 1095)
        with pytest.raises(AskedAlready):
            await world.invited(now=when, by="another")
    assert await world.invited(now=last + timedelta(days=1))


async def test_r12_further_invitations_end_with_the_first(world: World) -> None:
    """R12: who asks again and again within the thirty days gains no further day."""
    await world.invited()
    for days in (1, 10, 29):
        then = NOW + timedelta(days=days)
        invitation = await world.asking.invite(ANNA, OPEN, Language.DE, "crm", then)
        assert then < invitation.expires_at <= NOW + timedelta(days=30)
    with pytest.raises(AskedAlready):
        await world.invited(now=NOW + timedelta(days=31))


async def test_who_said_yes_to_all_of_it_may_be_invited_again(world: World) -> None:
    await world.answers.yes(await world.invited(), MAIL_PURPOSES, Language.DE, NOW)
    assert await world.invited(now=NOW + timedelta(days=100))


async def test_r12_who_left_something_unticked_is_not_asked_about_it_again(world: World) -> None:
    """R12: the purpose that was left open is silence."""
    await world.answers.yes(await world.invited(), OPEN, Language.DE, NOW)
    with pytest.raises(AskedAlready):
        await world.invited(purposes=CLICK, now=NOW + timedelta(days=100))


async def test_an_invitation_with_an_impossible_word_writes_nothing(world: World) -> None:
    for reference, error in (("anna@example.org", AddressInValue), ("a b", InvalidField)):
        with pytest.raises(error):
            await world.asking.invite(ANNA, OPEN, Language.DE, "shop", NOW, reference=reference)
    with pytest.raises(InvalidField):
        await world.asking.invite(ANNA, frozenset({Purpose.PHONE}), Language.DE, "shop", NOW)
    assert (await world.flows.store.sweep(later(day_of(NOW), 400), NOW + timedelta(days=400), 1095))["mailings"] == 0


# --- measuring ----------------------------------------------------------------------------------


async def test_r1_nothing_is_tracked_for_who_was_only_asked(world: World) -> None:
    """R1, R7: neither an open question nor a pending report allows anything."""
    await world.asked()
    await world.invited()
    await world.flows.consents.report(by_rep(), NOW)
    person = pseudonym(RING.pseudonym_keys, ANNA)
    assert await world.flows.store.grants_of(person, day_of(NOW)) == frozenset()


# --- keys that lie ---------------------------------------------------------------------------------


async def test_what_was_agreed_to_behind_a_lying_keys_links_ends_with_it(world: World) -> None:
    """Whoever had a link made can press its button as well as the person can."""
    store, bert, cara = world.flows.store, "bert@example.org", "cara@example.org"
    await world.answers.yes(await world.invited(by="liar"), MAIL_PURPOSES, Language.DE, NOW)
    await world.answers.yes(await world.invited(bert, by="liar2"), OPEN, Language.DE, NOW)
    await world.answers.yes(await world.asked(cara), OPEN, Language.DE, NOW)
    before = await store.end_reported("liar", NOW + timedelta(seconds=1), NOW, 1095)
    assert before.people == 0
    ended = await store.end_reported("liar", NOW - timedelta(days=1), NOW, 1095)
    assert (ended.grants, ended.people) == (2, 1)
    assert not (await world.standing()).grants
    assert not (await world.standing()).suppressed
    assert (await world.standing(bert)).grants
    assert (await world.standing(cara)).grants
