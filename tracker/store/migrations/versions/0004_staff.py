"""Makes the tables of the people who sign in: accounts, their sessions, what they see, and webhooks to send."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """From 0003 to 0004."""
    _figures()


def _figures() -> None:
    for name, columns in (("owner", ["owner", "last_hour", "id"]), ("last_hour", ["last_hour", "id"])):
        op.drop_index(f"messages_by_{name}", "messages")
        op.create_index(f"messages_by_{name}", "messages", columns)
    _table(
        "message_left",
        _column("message", sa.LargeBinary, sa.ForeignKey("messages.id", ondelete="CASCADE")),
        _column("reason", sa.Text),
        _column("count"),
        sa.PrimaryKeyConstraint("message", "reason"),
    )
    _table(
        "engaged",
        _column("last_day"),
        _column("delivery", sa.LargeBinary),
        _column("purpose", sa.Text, sa.CheckConstraint("purpose IN ('o', 'c', 'p')")),
        _column("recipient", _NUMBER),
        _column("owner", sa.LargeBinary),
        _column("message", sa.LargeBinary),
        _column("hour"),
        sa.PrimaryKeyConstraint("last_day", "delivery", "purpose"),
        sa.ForeignKeyConstraint(["recipient", "purpose"], ["grants.recipient", "grants.purpose"], ondelete="CASCADE"),
    )
    op.create_index("engaged_by_owner", "engaged", ["owner", "hour", "message"])
    op.create_index("engaged_by_message", "engaged", ["message", "hour"])
    op.create_index("engaged_by_grant", "engaged", ["recipient", "purpose"])
    _table(
        "team_totals",
        _column("day"),
        *(_column(name, null=True) for name in ("sent", "measurable", "open_base", "opened", "click_base", "clicked")),
        sa.PrimaryKeyConstraint("day"),
    )


def _table(name: str, *parts: Any) -> None:
    op.create_table(name, *parts, sqlite_strict=True, sqlite_with_rowid=False)


def _column(name: str, kind: Any = sa.Integer, *parts: Any, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, *parts, nullable=null)
