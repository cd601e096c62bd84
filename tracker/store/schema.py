"""Names the tables and what holds them together; the migrations make them.

The law (promise 5): an event hangs on a tracked delivery, that on a delivery and on a grant of the same person, by
foreign keys with ON DELETE CASCADE. Every row that concerns a person has a last day or goes with one that has.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Select,
    Table,
    Text,
    UniqueConstraint,
    and_,
    select,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from tracker.model import Day, Feature, Purpose

HEAD: Final = "0004"
"""The migration that this release works with."""
TRIGGERS: Final = frozenset(
    f"{table}_{guard}"
    for table, guards in {
        "ledger": ("append", "no_update", "no_delete"),
        "ledger_contents": ("append", "no_update", "delete"),
        "ledger_ends": ("append", "no_update", "delete"),
    }.items()
    for guard in guards
) | {"engaged_note", "engaged_forget"}
"""The triggers that keep the ledger append-only, and `engaged_hour` in step with events; the migrations make them."""


class PurposeCode(TypeDecorator[Purpose]):
    """A purpose as one letter, its first: an event costs less than 60 bytes on disk."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Purpose | None, dialect: Dialect) -> str | None:
        """The letter of a purpose."""
        return None if value is None else Purpose(value).value[0]

    def process_result_value(self, value: str | None, dialect: Dialect) -> Purpose | None:
        """The purpose of a letter."""
        return None if value is None else _PURPOSES[value]


_PURPOSES: Final = {purpose.value[0]: purpose for purpose in Purpose}

Number: Final = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits on every engine."""

metadata: Final = MetaData()


def _table(name: str, *parts: Any, rowid: bool = False, by_day: bool = False) -> Table:
    partitioned: dict[str, Any] = {"postgresql_partition_by": "LIST (last_day)"} if by_day else {}
    return Table(name, metadata, *parts, sqlite_strict=True, sqlite_with_rowid=rowid, **partitioned)


def _column(name: str, kind: Any = Integer, *parts: Any, null: bool = False) -> Column[Any]:
    return Column(name, kind, *parts, nullable=null)


def _purpose() -> Column[Any]:
    # Not IN: for a list of three SQLite makes a table of its own with each row that it writes.
    return _column("purpose", PurposeCode(), CheckConstraint("purpose = 'o' OR purpose = 'c' OR purpose = 'p'"))


def _recipient() -> Column[Any]:
    return _column("recipient", Number, ForeignKey("recipients.id"))


# --- people and what they agreed to ----------------------------------------------------------------

recipients = _table(
    "recipients",
    Column("id", Number, primary_key=True, autoincrement=False),
    _column("pseudonym", LargeBinary),
    UniqueConstraint("pseudonym"),
    rowid=True,
)
ledger = _table(
    "ledger",
    Column("entry", Number, primary_key=True, autoincrement=False),
    _column("last_day"),
    _column("content_digest", LargeBinary),
    _column("previous", LargeBinary),
    _column("digest", LargeBinary),
    UniqueConstraint("entry", "last_day"),
    rowid=True,
)
ledger_contents = _table(
    "ledger_contents",
    Column("entry", Number, primary_key=True, autoincrement=False),
    _column("last_day"),
    _column("salt", LargeBinary),
    _recipient(),
    _column("event", Text),
    _column("purposes", Text),
    _column("method", Text, null=True),
    _column("given_at", Text, null=True),
    _column("notice_version", Text, null=True),
    _column("notice_hash", Text, null=True),
    _column("language", Text, null=True),
    _column("recorded_at", Text),
    _column("actor", Text),
    _column("evidence", Text),
    ForeignKeyConstraint(["entry", "last_day"], ["ledger.entry", "ledger.last_day"]),
    Index("ledger_contents_by_recipient", "recipient"),
    Index("ledger_contents_by_last_day", "last_day"),
    rowid=True,
)
ledger_ends = _table(
    "ledger_ends",
    _column("ended", Number, ForeignKey("ledger.entry")),
    _column("entry", Number, ForeignKey("ledger.entry")),
    _column("last_day"),  # the later of the two
    PrimaryKeyConstraint("ended", "entry"),
    Index("ledger_ends_by_entry", "entry"),
    Index("ledger_ends_by_last_day", "last_day"),
)
grants = _table(
    "grants",
    _recipient(),
    _purpose(),
    _column("entry", Number, ForeignKey("ledger.entry")),
    _column("last_day"),
    _column("given_at", Text),
    _column("notice_version", Text),
    PrimaryKeyConstraint("recipient", "purpose"),
    Index("grants_by_last_day", "last_day"),
    Index("grants_by_notice_version", "notice_version"),
)
pending = _table(
    "pending",
    _recipient(),
    _purpose(),
    _column("entry", Number, ForeignKey("ledger.entry")),
    _column("method", Text),
    _column("last_day"),
    PrimaryKeyConstraint("recipient", "purpose"),
    Index("pending_by_last_day", "last_day"),
)
suppressions = _table(
    "suppressions",
    _recipient(),
    _purpose(),
    _column("since_day"),
    _column("last_day"),
    PrimaryKeyConstraint("recipient", "purpose"),
    Index("suppressions_by_last_day", "last_day"),
)
external_ids = _table(
    "external_ids",
    _column("source", Text),
    _column("reference", Text),
    _recipient(),
    _column("last_day"),
    PrimaryKeyConstraint("source", "reference"),
    Index("external_ids_by_recipient", "recipient"),
    Index("external_ids_by_last_day", "last_day"),
)
erased_ids = _table(
    # What a mail system called somebody who was erased: kept until it had time to read so (/v1/consents/changes).
    "erased_ids",
    _column("source", Text),
    _column("reference", Text),
    _column("entry", Number, ForeignKey("ledger.entry")),
    _column("last_day"),
    PrimaryKeyConstraint("source", "reference"),
    Index("erased_ids_by_entry", "entry"),
    Index("erased_ids_by_last_day", "last_day"),
)
calls = _table(
    "calls",
    _recipient(),
    _column("rep", Text),
    _column("started_at", Text),
    _column("seconds", null=True),
    _column("call_again", Integer, CheckConstraint("call_again IN (0, 1)"), null=True),
    _column("tracking_agreed", Integer, CheckConstraint("tracking_agreed IN (0, 1)"), null=True),
    _column("last_day"),
    PrimaryKeyConstraint("recipient", "rep", "started_at"),
    Index("calls_by_last_day", "last_day"),
)
mailings = _table(
    # How many mails of a kind we sent a person ourselves on a day, and when a sender was let ask: the throttle.
    "mailings",
    _recipient(),
    _column("kind", Text),
    _column("day"),
    _column("count"),
    _column("source", Text, null=True),  # the API key that had them sent
    _column("last_day"),
    PrimaryKeyConstraint("recipient", "kind", "day"),
    Index("mailings_by_source", "source", "kind", "day"),
    Index("mailings_by_last_day", "last_day"),
)

# --- messages and what became of them ---------------------------------------------------------------

messages = _table(
    "messages",
    _column("id", LargeBinary),
    _column("owner", LargeBinary),
    _column("label", Text, null=True),
    _column("first_hour", null=True),  # none while no copy was tracked: untouched ones are counted by the day
    _column("last_hour"),
    # The last hour in which a person touched it, 0: nobody did. Triggers on `events` keep it: it goes with its event.
    Column("engaged_hour", Integer, nullable=False, server_default="0"),
    _column("last_day"),
    PrimaryKeyConstraint("id"),
    Index("messages_by_owner", "owner", "last_hour", "id"),
    Index("messages_by_engaged", "owner", "engaged_hour", "last_hour", "id"),
    Index("messages_by_last_hour", "last_hour", "id"),
    Index("messages_by_last_day", "last_day"),
)
message_untouched = _table(
    "message_untouched",
    _column("message", LargeBinary, ForeignKey("messages.id", ondelete="CASCADE")),
    _column("day"),
    _column("reason", Text),
    _column("worker"),
    _column("count"),
    PrimaryKeyConstraint("message", "day", "reason", "worker"),
    Index("message_untouched_by_day", "day"),
)
message_left = _table(
    # How many links of a message were left as they stood, and why: those of the first copy that was tracked.
    "message_left",
    _column("message", LargeBinary, ForeignKey("messages.id", ondelete="CASCADE")),
    _column("reason", Text),
    _column("count"),
    PrimaryKeyConstraint("message", "reason"),
)
links = _table(
    "links",
    _column("message", LargeBinary, ForeignKey("messages.id", ondelete="CASCADE")),
    _column("number", Number),
    _column("host", Text),
    _column("path", Text),
    PrimaryKeyConstraint("message", "number"),
)
deliveries = _table(
    "deliveries",
    _column("last_day"),
    _column("id", LargeBinary),
    _recipient(),
    _column("message", LargeBinary, ForeignKey("messages.id")),
    _column("sent_hour"),
    PrimaryKeyConstraint("last_day", "id"),
    UniqueConstraint("last_day", "id", "recipient"),
    Index("deliveries_by_message", "message"),
    Index("deliveries_by_recipient", "recipient"),
    by_day=True,
)
tracked = _table(
    "tracked",
    _column("last_day"),
    _column("delivery", LargeBinary),
    _purpose(),
    _column("recipient", Number),
    _column("closed", Integer, CheckConstraint("closed IN (0, 1)")),
    PrimaryKeyConstraint("last_day", "delivery", "purpose"),
    ForeignKeyConstraint(
        ["last_day", "delivery", "recipient"],
        ["deliveries.last_day", "deliveries.id", "deliveries.recipient"],
        ondelete="CASCADE",
    ),
    ForeignKeyConstraint(["recipient", "purpose"], ["grants.recipient", "grants.purpose"], ondelete="CASCADE"),
    Index("tracked_by_grant", "recipient", "purpose"),
    by_day=True,
)
events = _table(
    "events",
    _column("last_day"),
    _column("delivery", LargeBinary),
    _purpose(),
    _column("link", Number),
    _column("hour"),
    _column("agent", Integer, CheckConstraint("agent BETWEEN 1 AND 3")),
    PrimaryKeyConstraint("last_day", "delivery", "purpose", "link", "hour", "agent"),
    ForeignKeyConstraint(
        ["last_day", "delivery", "purpose"],
        ["tracked.last_day", "tracked.delivery", "tracked.purpose"],
        ondelete="CASCADE",
    ),
    by_day=True,
)
engaged_unsure = _table(
    # Messages whose `engaged_hour` went with the event that it was taken from, and is to be looked for anew.
    "engaged_unsure",
    _column("message", LargeBinary, ForeignKey("messages.id", ondelete="CASCADE")),
    _column("asked"),  # drawn each time: whoever looks notices that more has gone meanwhile
    PrimaryKeyConstraint("message", "asked"),
)
outbox = _table(
    # Events that are to be told to another system; `due` is in seconds since 1970.
    "outbox",
    _column("last_day"),
    _column("delivery", LargeBinary),
    _purpose(),
    _column("link", Number),
    _column("hour"),
    _column("agent"),
    _column("due", Number),
    _column("tries"),
    PrimaryKeyConstraint("last_day", "delivery", "purpose", "link", "hour", "agent"),
    ForeignKeyConstraint(  # looked at when the transaction ends: on SQLite the event comes after what is told of it
        ["last_day", "delivery", "purpose", "link", "hour", "agent"],
        [f"events.{name}" for name in ("last_day", "delivery", "purpose", "link", "hour", "agent")],
        ondelete="CASCADE",
        deferrable=True,
        initially="DEFERRED",
    ),
    Index("outbox_by_due", "due"),
)
untouched = _table(
    "untouched",
    _column("owner", LargeBinary),
    _column("day"),
    _column("reason", Text),
    _column("worker"),
    _column("count"),
    _column("last_day"),
    PrimaryKeyConstraint("owner", "day", "reason", "worker"),
    Index("untouched_by_last_day", "last_day"),
)

# --- what is still counted of copies that have gone: nothing personal --------------------------------

folded = _table(
    # Of copies that expired while their message goes on; read only through store/totals, which hides small groups.
    "folded",
    _column("message", LargeBinary, ForeignKey("messages.id", ondelete="CASCADE")),
    _purpose(),
    _column("since_hour"),  # after the first of them came in: whom `people` counts were sent a copy before
    _column("people", Number),  # at least so many different people
    _column("measured", Number),
    _column("by_people", Number),
    _column("by_machines", Number),  # alone
    PrimaryKeyConstraint("message", "purpose"),
    Index("folded_by_people", "people"),
)
folded_links = _table(
    "folded_links",
    _column("message", LargeBinary, ForeignKey("messages.id", ondelete="CASCADE")),
    _column("number", Number),
    _column("by_people", Number),
    _column("by_machines", Number),
    PrimaryKeyConstraint("message", "number"),
)
folded_copies = _table(
    # Of copies whatever they were measured for: one with two purposes is one of them.
    "folded_copies",
    _column("message", LargeBinary, ForeignKey("messages.id", ondelete="CASCADE")),
    _column("count", Number),  # that went out tracked
    _column("measured", Number),
    _column("by_people", Number),
    _column("by_machines", Number),
    PrimaryKeyConstraint("message"),
)
folded_days = _table(
    # Days that have passed and are folded, but whose copies are still there: only on PostgreSQL, and not for long.
    "folded_days",
    _column("day"),
    PrimaryKeyConstraint("day"),
)
totals = _table(
    # Of a message that is gone: rounded, without owner, label or links; nothing leads back to it.
    "totals",
    Column("id", Number, primary_key=True, autoincrement=False),  # drawn
    _column("month"),  # the first day of that in which it was first sent
    _column("sent", Number),
    _column("tracked", Number),
    _column("open_measured", Number, null=True),
    _column("opened", Number, null=True),  # none: too few, or all but too few
    _column("opened_by_machines", Number, null=True),
    _column("click_measured", Number, null=True),
    _column("clicked", Number, null=True),
    _column("clicked_by_machines", Number, null=True),
    Index("totals_by_month", "month"),
    rowid=True,
)

# --- nothing personal -------------------------------------------------------------------------------

spent = _table(
    "spent",
    _column("digest", LargeBinary),  # of a token that is good for one POST
    _column("last_day"),
    PrimaryKeyConstraint("digest"),
    Index("spent_by_last_day", "last_day"),
)
audit = _table(
    # Who did what on whose behalf, without content: no person, no address.
    "audit",
    Column("id", Number, primary_key=True, autoincrement=True),
    _column("at", Text),
    _column("actor", Text),
    _column("action", Text),
    _column("case_number", Text, null=True),
    _column("last_day"),
    Index("audit_by_last_day", "last_day"),
    rowid=True,
)

team_totals = _table(
    # What all reps' mail came to on a full day, rounded and without small cells: written once, never again.
    "team_totals",
    _column("day"),
    *(_column(name, null=True) for name in ("sent", "measurable", "open_base", "opened", "click_base", "clicked")),
    PrimaryKeyConstraint("day"),
)
notices = _table(
    "notices",
    _column("version", Text),
    _column("language", Text),
    _column("text", Text),
    _column("sha256", Text),
    _column("features", Text),
    _column("superseded_day", null=True),
    PrimaryKeyConstraint("version", "language"),
    # Few rows, but nearly every statement asks: without it PostgreSQL's planner, which may not read whole tables here,
    # takes every plan to be as dear as any other, and takes one that reads all grants.
    Index("notices_by_superseded_day", "superseded_day"),
)
installation = _table(
    "installation",
    _column("name", Text),
    _column("value", LargeBinary),
    PrimaryKeyConstraint("name"),
)
api_keys = _table(
    "api_keys",
    _column("name", Text),
    _column("digest", LargeBinary),
    _column("scopes", Text),
    _column("owner", Text, null=True),
    _column("created_day"),
    _column("revoked_day", null=True),
    PrimaryKeyConstraint("name"),
    UniqueConstraint("digest"),
)

# --- staff ------------------------------------------------------------------------------------------

accounts = _table(
    "accounts",
    Column("id", Number, primary_key=True, autoincrement=False),
    _column("login", Text),
    _column("role", Text, CheckConstraint("role IN ('rep', 'manager', 'privacy')")),
    _column("password", Text),
    _column("second_factor", LargeBinary, null=True),  # sealed
    _column("last_step", Number),  # of one-time codes
    _column("language", Text, null=True),
    _column("created_day"),
    _column("disabled_day", null=True),
    _column("last_day", null=True),  # none while the account is in use
    UniqueConstraint("login"),
    Index("accounts_by_last_day", "last_day"),
    rowid=True,
)
aliases = _table(
    "aliases",
    _column("alias", Text),
    _column("account", Number, ForeignKey("accounts.id", ondelete="CASCADE")),
    PrimaryKeyConstraint("alias"),
    Index("aliases_by_account", "account"),
)
recovery_codes = _table(
    "recovery_codes",
    _column("account", Number, ForeignKey("accounts.id", ondelete="CASCADE")),
    _column("digest", LargeBinary),
    PrimaryKeyConstraint("account", "digest"),
)
sessions = _table(
    # Times are seconds since 1970.
    "sessions",
    _column("digest", LargeBinary),
    _column("account", Number, ForeignKey("accounts.id", ondelete="CASCADE")),
    _column("began", Number),
    _column("used", Number),
    _column("ends", Number),
    _column("complete", Integer, CheckConstraint("complete IN (0, 1)")),
    _column("last_day"),
    PrimaryKeyConstraint("digest"),
    Index("sessions_by_account", "account"),
    Index("sessions_by_last_day", "last_day"),
)
swept = _table(
    # How many rows of each table went on a day because theirs had passed.
    "swept",
    _column("day"),
    _column("name", Text),
    _column("rows", Number),
    _column("last_day"),
    PrimaryKeyConstraint("day", "name"),
    Index("swept_by_last_day", "last_day"),
)


def superseded(today: Day | ColumnElement[int]) -> Select[tuple[str]]:
    """The versions of notices on which nothing rests any more on TODAY."""
    return select(notices.c.version).where(notices.c.superseded_day <= today)


def is_live(today: Day | ColumnElement[int]) -> ColumnElement[bool]:
    """Whether a row of `grants` permits anything on TODAY: its day has not passed, its notice was not superseded."""
    return and_(grants.c.last_day >= today, grants.c.notice_version.not_in(superseded(today)))


def covering(feature: Feature) -> Select[tuple[str]]:
    """The versions of notices that cover FEATURE."""
    return select(notices.c.version).where(notices.c.features.contains(f'"{feature.value}"'))
