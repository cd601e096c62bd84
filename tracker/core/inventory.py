"""Names what is stored, in which columns, about whom and for how long: the notice and the record of processing say so.

The law: every column of the schema stands here once, in a category or among what is not personal; a test compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class About(StrEnum):
    """Whose data it is."""

    RECIPIENT = "recipient"
    STAFF = "staff"


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of data as people are told of it; the texts are English, and keys of the catalogues."""

    name: str
    about: About
    says: str
    kept: str
    """Until when; its placeholders are the days of `disclosure.Periods`."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Table → its columns, with blanks between."""


CATEGORIES: Final = (
    Category(
        "code",
        About.RECIPIENT,
        "A code for the recipient, which only a secret key makes out of the e-mail address. "
        "The address itself is not stored.",
        "as long as anything else in this list",
        {"recipients": "id pseudonym"},
    ),
    Category(
        "references",
        About.RECIPIENT,
        "The numbers under which the controller's own systems know the recipient.",
        "as long as the consent or the refusal that they stand for; after an erasure, without a link to the person, "
        "for %(erased)s",
        {"external_ids": "source reference recipient last_day", "erased_ids": "source reference entry last_day"},
    ),
    Category(
        "consents",
        About.RECIPIENT,
        "Consents in force: for what, since when, and to which text.",
        "for %(consent)s after consent was given, or until it is withdrawn",
        {"grants": "recipient purpose entry last_day given_at notice_version"},
    ),
    Category(
        "pending",
        About.RECIPIENT,
        "Consents that somebody reported and the recipient has not confirmed.",
        "for %(pending)s, or until the recipient answers",
        {"pending": "recipient purpose entry method last_day"},
    ),
    Category(
        "proof",
        About.RECIPIENT,
        "The proof of each request, consent, refusal and withdrawal: when, how and by whom it was recorded, "
        "to which text and in which language.",
        "of a consent for %(proof)s after it ended or was withdrawn; of anything else for %(proof)s after it was "
        "recorded; that somebody agreed to calls stands with the calls, and is kept as long as they are",
        {
            "ledger_contents": "entry last_day salt recipient event purposes method given_at notice_version "
            "notice_hash language recorded_at actor evidence",
            "ledger_ends": "ended entry last_day",
        },
    ),
    Category(
        "refusals",
        About.RECIPIENT,
        "The note that somebody does not want to be measured.",
        "for %(refusals)s after it was made, or after the last attempt to enter a consent against it",
        {"suppressions": "recipient purpose since_day last_day"},
    ),
    Category(
        "messages",
        About.RECIPIENT,
        "Measured messages that were sent: the subject or campaign, the hour, and the links in them (host and path).",
        "for %(retention)s after the message was sent",
        {
            "messages": "id label first_hour last_hour last_day",
            "links": "message number host path",
            "deliveries": "last_day id recipient message sent_hour",
            "tracked": "last_day delivery purpose recipient closed",
        },
    ),
    Category(
        "events",
        About.RECIPIENT,
        "Opens and clicks: of which message, which link, in which hour, "
        "and whether it looked like a person or a program.",
        "for %(retention)s after the message was sent, or until consent is withdrawn",
        {
            "events": "last_day delivery purpose link hour agent",
            "messages": "engaged_hour",
            "outbox": "last_day delivery purpose link hour agent due tries",
        },
    ),
    Category(
        "calls",
        About.RECIPIENT,
        "Telephone calls: when, how long, and whether the person agreed to further calls and to being measured.",
        "for %(calls)s where the person agreed to further calls, counted from the last call that rests on it; "
        "otherwise for %(retention)s",
        {"calls": "recipient started_at seconds call_again tracking_agreed last_day"},
    ),
    Category(
        "mailings",
        About.RECIPIENT,
        "How many mails this software itself sent to the recipient on a day, and of which kind; and when a sender "
        "was given a link with which to ask the recipient.",
        "for up to %(mailings)s; that a sender was given a link, for up to %(invitations)s",
        {"mailings": "recipient kind day count source last_day"},
    ),
    Category(
        "journal",
        About.RECIPIENT,
        "Refusals, withdrawals and erasures once more outside the database, under the code, "
        "so that no restored backup forgets them; and backups of the database.",
        "for %(backup)s",
    ),
    Category(
        "senders",
        About.STAFF,
        "Who sent a message, as a code that only a secret key makes out of the login.",
        "for %(retention)s after the message was sent",
        {"messages": "owner", "untouched": "owner day reason worker count last_day"},
    ),
    Category(
        "callers",
        About.STAFF,
        "Who made a telephone call.",
        "for %(calls)s where the person agreed to further calls, counted from the last call that rests on it; "
        "otherwise for %(retention)s",
        {"calls": "rep"},
    ),
    Category(
        "keys",
        About.STAFF,
        "Keys of mail systems: name, rights, and the member of staff for whom a key speaks.",
        "as long as this software is used, revoked ones too: a proof of consent names the key that reported it",
        {"api_keys": "name digest scopes owner created_day revoked_day"},
    ),
    Category(
        "accounts",
        About.STAFF,
        "Accounts of people who sign in: e-mail addresses, role, language, and what proves who they are (the password "
        "only as a hash).",
        "while the account is in use, and for %(audit)s after it was disabled",
        {
            "accounts": "id login role password second_factor last_step language created_day disabled_day last_day",
            "aliases": "alias account",
            "recovery_codes": "account digest",
        },
    ),
    Category(
        "sessions",
        About.STAFF,
        "When somebody signed in and used the pages last, without address and device.",
        "until the session ends, at most for a day",
        {"sessions": "digest account began used ends complete last_day"},
    ),
    Category(
        "audit",
        About.STAFF,
        "Who did what on behalf of a recipient, without content and without saying for whom.",
        "for %(audit)s",
        {"audit": "id at actor action case_number last_day"},
    ),
)
NOT_PERSONAL: Final[Mapping[str, str]] = {
    "ledger": "entry last_day content_digest previous digest",  # keyed digests; the salts go with the contents
    # counts of at least `minimum_group` people, and what stays of them, rounded
    "folded": "message purpose since_hour people measured by_people by_machines",
    "folded_links": "message number by_people by_machines",
    "folded_copies": "message count measured by_people by_machines",
    "folded_days": "day",
    "totals": "id month sent tracked open_measured opened opened_by_machines "
    "click_measured clicked clicked_by_machines",
    "message_untouched": "message day reason worker count",  # numbers of copies that tracked nobody
    "message_left": "message reason count",  # numbers of links
    "engaged_unsure": "message asked",  # what is to be looked at again
    "team_totals": "day sent measurable open_base opened click_base clicked",  # rounded, none of few people
    "spent": "digest last_day",  # of links that were used
    "notices": "version language text sha256 features superseded_day",
    "installation": "name value",
    "swept": "day name rows last_day",  # how many rows were deleted, of nobody in particular
}


def about(whom: About) -> tuple[Category, ...]:
    """The categories of data about WHOM."""
    return tuple(category for category in CATEGORIES if category.about is whom)


def texts() -> frozenset[str]:
    """Every English text in the inventory, for the catalogues."""
    return frozenset(text for category in CATEGORIES for text in (category.says, category.kept))
