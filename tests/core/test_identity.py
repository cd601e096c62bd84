"""Names by digest: equal for copies that belong together, different for all others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracker.core.identity import campaign_key, delivery_id, digest_of, mail_key, owner_of
from tracker.model import Day, Owner, Pseudonym

KEY = b"k" * 32
OWNER = Owner(b"o" * 16)
ANNA, BERT = Pseudonym(b"a" * 32), Pseudonym(b"b" * 32)


@given(st.binary(), st.integers(0, 60_000))
def test_a_retry_on_the_same_day_is_the_same_delivery(message: bytes, day: int) -> None:
    again = delivery_id(KEY, digest_of(message), ANNA, Day(day))
    assert delivery_id(KEY, digest_of(message), ANNA, Day(day)) == again
    assert len(again) == 16


def test_another_person_message_or_day_is_another_delivery() -> None:
    one = delivery_id(KEY, digest_of(b"m"), ANNA, Day(1))
    assert (
        len(
            {
                one,
                delivery_id(KEY, digest_of(b"m"), BERT, Day(1)),
                delivery_id(KEY, digest_of(b"n"), ANNA, Day(1)),
                delivery_id(KEY, digest_of(b"m"), ANNA, Day(2)),
            }
        )
        == 4
    )


@given(st.text(), st.text())
def test_campaigns_and_mails_never_meet(campaign: str, identity: str) -> None:
    assert campaign_key(KEY, OWNER, campaign) != mail_key(KEY, OWNER, identity.encode())


def test_the_same_campaign_of_two_owners_is_two_messages() -> None:
    assert campaign_key(KEY, OWNER, "c") != campaign_key(KEY, Owner(b"p" * 16), "c")


def test_a_login_is_the_same_owner_in_any_letter_case() -> None:
    assert owner_of(KEY, "Jonas@Example.org") == owner_of(KEY, "jonas@example.ORG")
    assert b"jonas" not in bytes(owner_of(KEY, "jonas"))
