"""Texts are put on file once and never changed; a superseded version ends what rests on it."""

from __future__ import annotations

import pytest

from tests.flows.conftest import NOW, Flows, reported
from tests.flows.test_send import ANNA
from tracker.core.calendar import day_of
from tracker.core.ledger import notice_hash
from tracker.flows.notices import Notices
from tracker.model import BadNotice, Feature, Language, NoSuchNotice, UnknownNotice

TEXT = b"Werkstatt Nord asks."
NONE: frozenset[Feature] = frozenset()
LIVE = frozenset({Feature.LIVE})


def notices(flows: Flows) -> Notices:
    return Notices(flows.store, "Werkstatt Nord", 1095)


async def test_a_text_is_kept_by_version_language_and_digest(flows: Flows) -> None:
    assert await notices(flows).add("2027-1", Language.DE, TEXT, LIVE)
    (added,) = [notice for notice in await notices(flows).all() if notice.version == "2027-1"]
    assert (added.language, added.text, added.features) == (Language.DE, TEXT.decode(), LIVE)
    await flows.grant(ANNA, notice_version="2027-1")
    (entry,) = (await flows.consents.lookup(ANNA, NOW)).history
    assert entry.notice_hash == notice_hash(TEXT.decode())


async def test_what_is_on_file_is_never_overwritten(flows: Flows) -> None:
    assert await notices(flows).add("2027-1", Language.DE, TEXT, NONE)
    assert not await notices(flows).add("2027-1", Language.DE, TEXT, NONE)
    with pytest.raises(BadNotice, match="never overwritten"):
        await notices(flows).add("2027-1", Language.DE, TEXT + b" Please.", NONE)


async def test_the_languages_of_a_version_do_not_differ_in_features(flows: Flows) -> None:
    await notices(flows).add("2027-1", Language.DE, TEXT, LIVE)
    for features in (NONE, frozenset(Feature)):
        with pytest.raises(BadNotice, match="other features"):
            await notices(flows).add("2027-1", Language.FR, TEXT, features)
    assert await notices(flows).add("2027-1", Language.FR, TEXT, LIVE)


async def test_a_superseded_version_ends_its_grants_and_takes_no_more(flows: Flows) -> None:
    """R13: a changed notice needs fresh consent."""
    await flows.grant(ANNA)
    await notices(flows).supersede("2026-1", NOW)
    lookup = await flows.consents.lookup(ANNA, NOW)
    assert not lookup.standing.grants
    assert [entry.event for entry in lookup.history] == ["given", "expired"]
    with pytest.raises(UnknownNotice):
        await flows.consents.report(reported(ANNA), NOW)
    with pytest.raises(BadNotice, match="superseded"):
        await notices(flows).add("2026-1", Language.DE, TEXT, NONE)
    assert {notice.superseded_day for notice in await notices(flows).all()} == {day_of(NOW)}


@pytest.mark.parametrize("version", ["2026-2", "2026-1"])
async def test_what_is_not_in_force_cannot_be_superseded(flows: Flows, version: str) -> None:
    await notices(flows).supersede("2026-1", NOW)
    with pytest.raises(NoSuchNotice):
        await notices(flows).supersede(version, NOW)
