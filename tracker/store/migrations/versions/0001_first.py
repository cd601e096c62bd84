"""Makes the tables of the first release, and the triggers that keep the ledger append-only."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from tracker.store.migrations import postgres_guards

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """From nothing to 0001."""
    _make_people()
    _make_messages()
    _make_installation()
    for trigger in postgres_guards.ALL if op.get_context().dialect.name == "postgresql" else _TRIGGERS:
        op.execute(trigger)


def _table(name: str, *parts: Any, rowid: bool = False, by_day: bool = False) -> None:
    """A table; one that is large is, BY_DAY, made of one partition for each last day on PostgreSQL."""
    partitioned: dict[str, Any] = {"postgresql_partition_by": "LIST (last_day)"} if by_day else {}
    op.create_table(name, *parts, sqlite_strict=True, sqlite_with_rowid=rowid, **partitioned)


def _column(name: str, kind: Any = sa.Integer, *parts: Any, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, *parts, nullable=null)


def _purpose() -> sa.Column[Any]:
    return _column("purpose", sa.Text(), sa.CheckConstraint("purpose = 'o' OR purpose = 'c' OR purpose = 'p'"))


def _recipient() -> sa.Column[Any]:
    return _column("recipient", _NUMBER, sa.ForeignKey("recipients.id"))


def _index(table: str, name: str, *columns: str) -> None:
    op.create_index(f"{table}_by_{name}", table, list(columns))


def _make_people() -> None:
    _table(
        "recipients",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=False),
        _column("pseudonym", sa.LargeBinary),
        sa.UniqueConstraint("pseudonym"),
        rowid=True,
    )
    _table(
        "ledger",
        sa.Column("entry", _NUMBER, primary_key=True, autoincrement=False),
        _column("last_day"),
        _column("content_digest", sa.LargeBinary),
        _column("previous", sa.LargeBinary),
        _column("digest", sa.LargeBinary),
        sa.UniqueConstraint("entry", "last_day"),
        rowid=True,
    )
    _table(
        "ledger_contents",
        sa.Column("entry", _NUMBER, primary_key=True, autoincrement=False),
        _column("last_day"),
        _column("salt", sa.LargeBinary),
        _recipient(),
        _column("event", sa.Text),
        _column("purposes", sa.Text),
        _column("method", sa.Text, null=True),
        _column("given_at", sa.Text, null=True),
        _column("notice_version", sa.Text, null=True),
        _column("notice_hash", sa.Text, null=True),
        _column("language", sa.Text, null=True),
        _column("recorded_at", sa.Text),
        _column("actor", sa.Text),
        _column("evidence", sa.Text),
        sa.ForeignKeyConstraint(["entry", "last_day"], ["ledger.entry", "ledger.last_day"]),
        rowid=True,
    )
    _index("ledger_contents", "recipient", "recipient")
    _index("ledger_contents", "last_day", "last_day")
    _table(
        "ledger_ends",
        _column("ended", _NUMBER, sa.ForeignKey("ledger.entry")),
        _column("entry", _NUMBER, sa.ForeignKey("ledger.entry")),
        _column("last_day"),
        sa.PrimaryKeyConstraint("ended", "entry"),
    )
    _index("ledger_ends", "entry", "entry")
    _index("ledger_ends", "last_day", "last_day")
    _table(
        "grants",
        _recipient(),
        _purpose(),
        _column("entry", _NUMBER, sa.ForeignKey("ledger.entry")),
        _column("last_day"),
        _column("given_at", sa.Text),
        _column("notice_version", sa.Text),
        sa.PrimaryKeyConstraint("recipient", "purpose"),
    )
    _table(
        "pending",
        _recipient(),
        _purpose(),
        _column("entry", _NUMBER, sa.ForeignKey("ledger.entry")),
        _column("method", sa.Text),
        _column("last_day"),
        sa.PrimaryKeyConstraint("recipient", "purpose"),
    )
    _table(
        "suppressions",
        _recipient(),
        _purpose(),
        _column("since_day"),
        _column("last_day"),
        sa.PrimaryKeyConstraint("recipient", "purpose"),
    )
    _table(
        "external_ids",
        _column("source", sa.Text),
        _column("reference", sa.Text),
        _recipient(),
        _column("last_day"),
        sa.PrimaryKeyConstraint("source", "reference"),
    )
    for table in ("grants", "pending", "suppressions", "external_ids"):
        _index(table, "last_day", "last_day")
    _index("grants", "notice_version", "notice_version")
    _index("external_ids", "recipient", "recipient")


def _make_messages() -> None:
    _table(
        "messages",
        _column("id", sa.LargeBinary),
        _column("owner", sa.LargeBinary),
        _column("label", sa.Text, null=True),
        _column("first_hour", null=True),
        _column("last_hour"),
        sa.Column("engaged_hour", sa.Integer, nullable=False, server_default="0"),
        _column("last_day"),
        sa.PrimaryKeyConstraint("id"),
    )
    _index("messages", "owner", "owner", "last_hour", "id")
    _index("messages", "engaged", "owner", "engaged_hour", "last_hour", "id")
    _index("messages", "last_hour", "last_hour", "id")
    _index("messages", "last_day", "last_day")
    _table(
        "message_untouched",
        _column("message", sa.LargeBinary, sa.ForeignKey("messages.id", ondelete="CASCADE")),
        _column("day"),
        _column("reason", sa.Text),
        _column("worker"),
        _column("count"),
        sa.PrimaryKeyConstraint("message", "day", "reason", "worker"),
    )
    _index("message_untouched", "day", "day")
    _table(
        "links",
        _column("message", sa.LargeBinary, sa.ForeignKey("messages.id", ondelete="CASCADE")),
        _column("number", _NUMBER),
        _column("host", sa.Text),
        _column("path", sa.Text),
        sa.PrimaryKeyConstraint("message", "number"),
    )
    _table(
        "deliveries",
        _column("last_day"),
        _column("id", sa.LargeBinary),
        _recipient(),
        _column("message", sa.LargeBinary, sa.ForeignKey("messages.id")),
        _column("sent_hour"),
        sa.PrimaryKeyConstraint("last_day", "id"),
        sa.UniqueConstraint("last_day", "id", "recipient"),
        by_day=True,
    )
    _index("deliveries", "message", "message")
    _index("deliveries", "recipient", "recipient")
    _table(
        "tracked",
        _column("last_day"),
        _column("delivery", sa.LargeBinary),
        _purpose(),
        _column("recipient", _NUMBER),
        _column("closed", sa.Integer, sa.CheckConstraint("closed IN (0, 1)")),
        sa.PrimaryKeyConstraint("last_day", "delivery", "purpose"),
        sa.ForeignKeyConstraint(
            ["last_day", "delivery", "recipient"],
            ["deliveries.last_day", "deliveries.id", "deliveries.recipient"],
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["recipient", "purpose"], ["grants.recipient", "grants.purpose"], ondelete="CASCADE"),
        by_day=True,
    )
    _index("tracked", "grant", "recipient", "purpose")
    _table(
        "events",
        _column("last_day"),
        _column("delivery", sa.LargeBinary),
        _purpose(),
        _column("link", _NUMBER),
        _column("hour"),
        _column("agent", sa.Integer, sa.CheckConstraint("agent BETWEEN 1 AND 3")),
        sa.PrimaryKeyConstraint("last_day", "delivery", "purpose", "link", "hour", "agent"),
        sa.ForeignKeyConstraint(
            ["last_day", "delivery", "purpose"],
            ["tracked.last_day", "tracked.delivery", "tracked.purpose"],
            ondelete="CASCADE",
        ),
        by_day=True,
    )
    _table(
        "untouched",
        _column("owner", sa.LargeBinary),
        _column("day"),
        _column("reason", sa.Text),
        _column("worker"),
        _column("count"),
        _column("last_day"),
        sa.PrimaryKeyConstraint("owner", "day", "reason", "worker"),
    )
    _index("untouched", "last_day", "last_day")


def _make_installation() -> None:
    _table(
        "notices",
        _column("version", sa.Text),
        _column("language", sa.Text),
        _column("text", sa.Text),
        _column("sha256", sa.Text),
        _column("features", sa.Text),
        _column("superseded_day", null=True),
        sa.PrimaryKeyConstraint("version", "language"),
    )
    _index("notices", "superseded_day", "superseded_day")
    _table(
        "installation",
        _column("name", sa.Text),
        _column("value", sa.LargeBinary),
        sa.PrimaryKeyConstraint("name"),
    )
    _table(
        "api_keys",
        _column("name", sa.Text),
        _column("digest", sa.LargeBinary),
        _column("scopes", sa.Text),
        _column("owner", sa.Text, null=True),
        _column("created_day"),
        _column("revoked_day", null=True),
        sa.PrimaryKeyConstraint("name"),
        sa.UniqueConstraint("digest"),
    )


# tracker_today() is a function of the tracker's own writer and gives a day only to the sweep: in any other program
# these statements fail because there is no such function. INSERT OR REPLACE fires no DELETE trigger, so that inserts
# are looked at too: the chain takes the next entry after the last, and contents go to the last entry alone.
_TRIGGERS = (
    """
    CREATE TRIGGER ledger_append BEFORE INSERT ON ledger
    WHEN NEW.entry IS NOT (SELECT coalesce(max(entry), 0) + 1 FROM ledger)
      OR NEW.previous IS NOT coalesce((SELECT digest FROM ledger ORDER BY entry DESC LIMIT 1), zeroblob(32))
    BEGIN SELECT RAISE(ABORT, 'the ledger takes the next entry of its chain only'); END
    """,
    """
    CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END
    """,
    """
    CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END
    """,
    """
    CREATE TRIGGER ledger_contents_append BEFORE INSERT ON ledger_contents
    WHEN NEW.entry IS NOT (SELECT max(entry) FROM ledger)
      OR EXISTS (SELECT 1 FROM ledger_contents WHERE entry = NEW.entry)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END
    """,
    """
    CREATE TRIGGER ledger_contents_no_update BEFORE UPDATE ON ledger_contents
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END
    """,
    """
    CREATE TRIGGER ledger_contents_delete BEFORE DELETE ON ledger_contents
    WHEN coalesce(tracker_today(), 0) <= OLD.last_day
     AND NOT EXISTS (
         SELECT 1 FROM ledger_ends JOIN ledger ON ledger.entry = ledger_ends.entry
         WHERE ledger_ends.ended = OLD.entry AND ledger.last_day < coalesce(tracker_today(), 0)
     )
    BEGIN SELECT RAISE(ABORT, 'the day of this entry has not come'); END
    """,
    """
    CREATE TRIGGER ledger_ends_append BEFORE INSERT ON ledger_ends
    WHEN NEW.entry IS NOT (SELECT max(entry) FROM ledger)
      OR NEW.ended >= NEW.entry
      OR EXISTS (SELECT 1 FROM ledger_ends WHERE ended = NEW.ended AND entry = NEW.entry)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END
    """,
    """
    CREATE TRIGGER ledger_ends_no_update BEFORE UPDATE ON ledger_ends
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END
    """,
    """
    CREATE TRIGGER ledger_ends_delete BEFORE DELETE ON ledger_ends
    WHEN coalesce(tracker_today(), 0) <= OLD.last_day
    BEGIN SELECT RAISE(ABORT, 'the day of this entry has not come'); END
    """,
)
