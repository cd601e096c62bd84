"""Makes the tables of the people who sign in and of what they see: accounts, sessions, figures; and of webhooks."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from tracker.store.migrations import engaged_triggers

revision = "0004"
down_revision = "0003"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """From 0003 to 0004."""
    _table(
        "accounts",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=False),
        _column("login", sa.Text),
        _column("role", sa.Text, sa.CheckConstraint("role IN ('rep', 'manager', 'privacy')")),
        _column("password", sa.Text),
        _column("second_factor", sa.LargeBinary, null=True),
        _column("last_step", _NUMBER),
        _column("language", sa.Text, null=True),
        _column("created_day"),
        _column("disabled_day", null=True),
        _column("last_day", null=True),
        sa.UniqueConstraint("login"),
        rowid=True,
    )
    _table(
        "aliases",
        _column("alias", sa.Text),
        _account(),
        sa.PrimaryKeyConstraint("alias"),
    )
    op.create_index("aliases_by_account", "aliases", ["account"])
    _table(
        "recovery_codes",
        _account(),
        _column("digest", sa.LargeBinary),
        sa.PrimaryKeyConstraint("account", "digest"),
    )
    _table(
        "sessions",
        _column("digest", sa.LargeBinary),
        _account(),
        _column("began", _NUMBER),
        _column("used", _NUMBER),
        _column("ends", _NUMBER),
        _column("complete", sa.Integer, sa.CheckConstraint("complete IN (0, 1)")),
        _column("last_day"),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("sessions_by_account", "sessions", ["account"])
    _table(
        "swept",
        _column("day"),
        _column("name", sa.Text),
        _column("rows", _NUMBER),
        _column("last_day"),
        sa.PrimaryKeyConstraint("day", "name"),
    )
    for table in ("accounts", "sessions", "swept"):
        op.create_index(f"{table}_by_last_day", table, ["last_day"])
    _figures()
    _webhooks()


def _figures() -> None:
    _table(
        "message_left",
        _column("message", sa.LargeBinary, sa.ForeignKey("messages.id", ondelete="CASCADE")),
        _column("reason", sa.Text),
        _column("count"),
        sa.PrimaryKeyConstraint("message", "reason"),
    )
    _table(
        "engaged_unsure",
        _column("message", sa.LargeBinary, sa.ForeignKey("messages.id", ondelete="CASCADE")),
        _column("asked"),
        sa.PrimaryKeyConstraint("message", "asked"),
    )
    on_postgres = op.get_context().dialect.name == "postgresql"
    for trigger in engaged_triggers.POSTGRES if on_postgres else engaged_triggers.SQLITE:
        op.execute(trigger)
    _table(
        "team_totals",
        _column("day"),
        *(_column(name, null=True) for name in ("sent", "measurable", "open_base", "opened", "click_base", "clicked")),
        sa.PrimaryKeyConstraint("day"),
    )


def _webhooks() -> None:
    of_event = ["last_day", "delivery", "purpose", "link", "hour", "agent"]
    _table(
        "outbox",
        _column("last_day"),
        _column("delivery", sa.LargeBinary),
        _column("purpose", sa.Text, sa.CheckConstraint("purpose = 'o' OR purpose = 'c' OR purpose = 'p'")),
        _column("link", _NUMBER),
        _column("hour"),
        _column("agent"),
        _column("due", _NUMBER),
        _column("tries"),
        sa.PrimaryKeyConstraint(*of_event),
        sa.ForeignKeyConstraint(
            of_event,
            [f"events.{name}" for name in of_event],
            ondelete="CASCADE",
            deferrable=True,
            initially="DEFERRED",
        ),
    )
    op.create_index("outbox_by_due", "outbox", ["due"])


def _table(name: str, *parts: Any, rowid: bool = False) -> None:
    op.create_table(name, *parts, sqlite_strict=True, sqlite_with_rowid=rowid)


def _column(name: str, kind: Any = sa.Integer, *parts: Any, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, *parts, nullable=null)


def _account() -> sa.Column[Any]:
    return _column("account", _NUMBER, sa.ForeignKey("accounts.id", ondelete="CASCADE"))
