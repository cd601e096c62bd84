"""The proof that somebody was forgotten finds what is there, explains what may be there, and hides nothing."""

from __future__ import annotations

import base64
import gzip
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from secrets import token_bytes
from shutil import copytree
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doors.dashboard_world import FAST, PASSWORD
from tests.flows.conftest import NOW, RING, TOKENS, Flows
from tracker.core.calendar import day_of
from tracker.core.consent import ConsentPolicy
from tracker.core.held import Held
from tracker.core.keys import KeyRing
from tracker.core.pseudonym import pseudonym
from tracker.core.spellings import Spelling
from tracker.core.tokens import Tokens
from tracker.doors.forgotten_report import report
from tracker.doors.languages import Languages
from tracker.doors.pages import Site, templates_folder
from tracker.flows.accounts import Accounts
from tracker.flows.forgotten import CHUNK, Forgetting, Kind, Place, Proof, Searched, search
from tracker.flows.passwords import Passwords
from tracker.flows.subject import Request, Subjects
from tracker.flows.sweep import sweep, vacuum
from tracker.model import AddressInValue, InvalidAddress, Language, Role, Standing
from tracker.store.journal_files import put_aside

ANNA = "anna@example.org"
SITE = Site("Example Ltd", "privacy@example.com", "https://t.example.com", 90, 730, 1095)


async def prove(flows: Flows, folder: Path, *logs: Path, tokens: Tokens = TOKENS, address: str = ANNA) -> Proof:
    places = [
        Place(Kind.DATABASE, folder / "tracker.db"),
        Place(Kind.JOURNAL, folder / "journal"),
        *(Place(Kind.LOG, log) for log in logs),
    ]
    return await Forgetting(flows.store, lambda: tokens).prove(address, places, Request("cli"), NOW)


async def erase(flows: Flows) -> None:
    await Subjects(flows.store, lambda: TOKENS, ConsentPolicy(), flows.in_step).erase(ANNA, Request("cli"), NOW)


def said(proof: Proof, language: Language = Language.EN, site: Site = SITE) -> str:
    text = report(proof, site, 35, Languages(templates_folder() / "locale"), language)
    assert all(len(line) <= 78 for line in text.splitlines())
    assert ANNA not in text
    return " ".join(text.split())


async def test_before_the_erasure_the_report_says_what_is_held(flows: Flows, tmp_path: Path) -> None:
    await flows.grant(ANNA)
    proof = await prove(flows, tmp_path)
    assert not proof.holds
    assert not proof.address_found
    assert "You have not been erased" in said(proof)


async def test_r51_after_it_only_the_refusal_and_the_proof_are_left(flows: Flows, tmp_path: Path) -> None:
    """R51: the code stands in the database because of them, and nowhere else; the address nowhere."""
    await flows.grant(ANNA)
    await erase(flows)
    await vacuum(flows.store, NOW)
    proof = await prove(flows, tmp_path)
    assert proof.holds
    assert {one.name for one in proof.searched} >= {"tracker.db", "tracker.db-wal"}
    assert {one.name for one in proof.searched if one.code} == {"tracker.db", "journal/2026-11.journal"}
    assert proof.vacuum_day == day_of(NOW)
    text = said(proof)
    assert "Your address was found nowhere." in text
    assert "last rewritten as a whole on November 23, 2026" in text
    assert "up to 35 days" in text
    assert "that you do not want opens to be measured: until November 22, 2029" in text


async def test_no_rewriting_is_promised_where_a_server_keeps_the_database(flows: Flows, tmp_path: Path) -> None:
    await flows.grant(ANNA)
    await erase(flows)
    proof = await prove(flows, tmp_path)
    left = replace(proof, held=Held(Standing()), searched=(Searched(Kind.DATABASE, "database", 1, code=("hex",)),))
    server = replace(SITE, own_file=False)
    for text in (said(proof, site=server), said(left, site=server)):
        assert "The database server frees deleted rows to be overwritten." in text
        assert "rewritten" not in text
    assert "a row that waits to be cleared away." in said(left, site=server)
    assert "goes when the database is rewritten next" in said(left)


async def test_when_all_has_expired_and_was_rewritten_the_code_is_nowhere(flows: Flows, tmp_path: Path) -> None:
    await flows.grant(ANNA)
    await erase(flows)
    later = NOW + timedelta(days=4_000)
    await sweep(flows.store, later, 1095)
    await vacuum(flows.store, later)
    places = [Place(Kind.DATABASE, tmp_path / "tracker.db")]
    forgetting = Forgetting(flows.store, lambda: TOKENS)
    proof = await forgetting.prove(ANNA, places, Request("cli"), later)
    assert proof.holds
    assert not any(one.code for one in proof.searched)
    assert "The code was found nowhere." in said(proof)
    assert "Nothing is kept about you." in said(proof)


async def test_addresses_of_staff_are_no_find_but_an_account_of_ones_own_is_told(flows: Flows, tmp_path: Path) -> None:
    """Staff sign in with theirs, one of which ends in the address that was searched for."""
    staff = Accounts(flows.store, Passwords(FAST), token_bytes, "Example Ltd")
    await staff.add("hanna@example.org", Role.REP, ("johanna@example.org",), PASSWORD, NOW)
    await flows.grant(ANNA)
    await erase(flows)
    await vacuum(flows.store, NOW)
    assert b"hanna@example.org" in (tmp_path / "tracker.db").read_bytes()
    proof = await prove(flows, tmp_path)
    assert proof.holds
    assert "Your address was found nowhere." in said(proof)
    of_staff = await prove(flows, tmp_path, address="Johanna@example.org")
    assert not of_staff.address_found
    assert "as that of somebody who signs in to this tracker as one of our staff" in said(of_staff)
    with closing(sqlite3.connect(tmp_path / "tracker.db")) as plain:
        plain.execute("INSERT INTO audit (at, actor, action, last_day) VALUES ('x', 'x', ?, 99999)", (ANNA,))
        plain.commit()
    leaked = await prove(flows, tmp_path)
    assert not leaked.holds
    assert leaked.address_found


@given(st.integers(0, 40), st.integers(0, 40), st.booleans())
def test_what_is_part_of_a_known_address_is_told_from_what_is_not_wherever_a_chunk_ends(
    before: int, after: int, whole: bool
) -> None:
    sought = [Spelling("in clear", b"anna@x.de")]
    text = b"." * (CHUNK - 20 + before) + (b"jo" if whole else b"!!") + b"hanna@x.de.example" + b"." * after
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tracker.db"
        path.write_bytes(text)
        found = search(Kind.DATABASE, path, sought, (), (b"johanna@x.de.example",))
        assert bool(found.address) != whole
        assert found.octets == len(text)
        assert search(Kind.LOG, path, sought, (), (b"johanna@x.de.example",)).address


async def test_an_address_in_a_log_is_found_in_any_encoding_and_told(flows: Flows, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    (logs / "old").mkdir(parents=True)
    (logs / "clean.log").write_bytes(b"GET /privacy/{token} 200\n")
    (logs / "access.log").write_bytes(b"x" * (CHUNK - 5) + ANNA.upper().encode() + b"y" * CHUNK)
    (logs / "old" / "access.log.1.gz").write_bytes(gzip.compress(b"to=" + base64.b64encode(b"<anna@example.org>")))
    proof = await prove(flows, tmp_path, logs)
    assert {one.name: one.address for one in proof.searched if one.address} == {
        "access.log": ("in clear",),
        "access.log.1.gz": ("base64",),
    }
    assert not proof.holds
    assert "Your address was found in access.log (in clear)" in said(proof)


async def test_a_code_in_the_journal_is_explained_but_not_in_a_log(flows: Flows, tmp_path: Path) -> None:
    await flows.grant(ANNA)
    await erase(flows)
    proof = await prove(flows, tmp_path)
    assert proof.holds
    assert "journal/2026-11.journal" in {one.name for one in proof.searched if one.code}
    assert "a backup that is put back cannot undo it" in said(proof)
    (tmp_path / "x.log").write_bytes(pseudonym(RING.pseudonym_keys, ANNA).hex().encode())
    leaked = await prove(flows, tmp_path, tmp_path / "x.log")
    assert not leaked.holds
    assert "The code was found in x.log. It must not be there" in said(leaked)


async def test_codes_of_every_generation_of_keys_are_searched_for(flows: Flows, tmp_path: Path) -> None:
    (tmp_path / "x.log").write_bytes(pseudonym(RING.pseudonym_keys, ANNA).hex().encode())
    rekeyed = Tokens(KeyRing((*RING.pseudonym_keys, b"2" * 32), RING.ledger_key, RING.signing))
    proof = await prove(flows, tmp_path, tmp_path / "x.log", tokens=rekeyed)
    assert [one.name for one in proof.searched if one.code] == ["x.log"]


async def test_the_journal_is_searched_for_the_code_of_before_a_rekey(flows: Flows, tmp_path: Path) -> None:
    """R51: and so is one that was put aside; both keep it for a while, as the report explains."""
    await flows.grant(ANNA)
    await erase(flows)
    old = pseudonym(RING.pseudonym_keys, ANNA).hex()
    rekeyed = Tokens(replace(RING, pseudonym_keys=(*RING.pseudonym_keys, b"2" * 32)))
    await flows.store.use_keys(rekeyed.ring.fingerprint, rekeyed.ring.former)
    assert old in (tmp_path / "journal" / "2026-11.journal").read_text()
    await vacuum(flows.store, NOW)
    aside = tmp_path / "journal.aside-20261123T120000Z"
    copytree(tmp_path / "journal", aside)
    (tmp_path / "journal.aside-mine").mkdir()
    places = [Place(Kind.JOURNAL, tmp_path / "journal")]
    places += [Place(Kind.JOURNAL, path) for path, _ in put_aside(tmp_path / "journal")]
    proof = await Forgetting(flows.store, lambda: rekeyed).prove(ANNA, places, Request("cli"), NOW)
    assert [one.name for one in proof.searched if one.code] == [
        "journal/2026-11.journal",
        f"{aside.name}/2026-11.journal",
    ]
    assert proof.holds
    assert f"The code stands in {aside.name}/2026-11.journal: that you said no is kept there" in said(proof)


async def test_a_log_that_cannot_be_read_is_no_proof(flows: Flows, tmp_path: Path) -> None:
    packed = gzip.compress(bytes(range(256)) * 9)
    for octets in (b"no gzip", packed[:-9], packed[:12] + b"\xff" * 30 + packed[42:]):
        (tmp_path / "x.gz").write_bytes(octets)
        proof = await prove(flows, tmp_path, tmp_path / "x.gz")
        assert not proof.holds
        assert "x.gz could not be read to its end." in said(proof)


async def test_bad_input_is_refused(flows: Flows, tmp_path: Path) -> None:
    with pytest.raises(InvalidAddress):
        await prove(flows, tmp_path, address="anna")
    forgetting = Forgetting(flows.store, lambda: TOKENS)
    with pytest.raises(AddressInValue):
        await forgetting.prove(ANNA, [], Request("cli", ANNA), NOW)


@pytest.mark.parametrize("language", list(Language))
async def test_the_report_speaks_the_persons_language(flows: Flows, tmp_path: Path, language: Language) -> None:
    await flows.grant(ANNA)
    await erase(flows)
    text = said(await prove(flows, tmp_path), language)
    assert {"en": "Report of", "de": "Bericht vom", "fr": "Rapport du", "it": "Rapporto del"}[language] in text
