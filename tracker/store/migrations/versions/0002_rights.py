"""Makes the tables for what a person may ask for: calls, mails that we sent, spent tokens, erasures to tell, audit."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """From 0001 to 0002."""
    _table(
        "erased_ids",
        _column("source", sa.Text),
        _column("reference", sa.Text),
        _column("entry", _NUMBER, sa.ForeignKey("ledger.entry")),
        _column("last_day"),
        sa.PrimaryKeyConstraint("source", "reference"),
    )
    op.create_index("erased_ids_by_entry", "erased_ids", ["entry"])
    _table(
        "calls",
        _recipient(),
        _column("rep", sa.Text),
        _column("started_at", sa.Text),
        _column("seconds", null=True),
        _column("call_again", sa.Integer, sa.CheckConstraint("call_again IN (0, 1)"), null=True),
        _column("tracking_agreed", sa.Integer, sa.CheckConstraint("tracking_agreed IN (0, 1)"), null=True),
        _column("last_day"),
        sa.PrimaryKeyConstraint("recipient", "rep", "started_at"),
    )
    _table(
        "mailings",
        _recipient(),
        _column("kind", sa.Text),
        _column("day"),
        _column("count"),
        _column("source", sa.Text, null=True),
        _column("last_day"),
        sa.PrimaryKeyConstraint("recipient", "kind", "day"),
    )
    op.create_index("mailings_by_source", "mailings", ["source", "kind", "day"])
    _table(
        "spent",
        _column("digest", sa.LargeBinary),
        _column("last_day"),
        sa.PrimaryKeyConstraint("digest"),
    )
    _table(
        "audit",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        _column("at", sa.Text),
        _column("actor", sa.Text),
        _column("action", sa.Text),
        _column("case_number", sa.Text, null=True),
        _column("last_day"),
        rowid=True,
    )
    for table in ("erased_ids", "calls", "mailings", "spent", "audit"):
        op.create_index(f"{table}_by_last_day", table, ["last_day"])
    if op.get_context().dialect.name == "postgresql":
        return  # its guards were made in their last form
    # Many entries are appended at once: first their links of the chain, then their contents, in the same order.
    op.execute("DROP TRIGGER ledger_contents_append")
    op.execute(
        """
        CREATE TRIGGER ledger_contents_append BEFORE INSERT ON ledger_contents
        WHEN NEW.entry IS NULL
          OR NEW.entry <= (SELECT coalesce(max(entry), 0) FROM ledger_contents)
          OR NEW.entry > (SELECT coalesce(max(entry), 0) FROM ledger)
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END
        """
    )


def _table(name: str, *parts: Any, rowid: bool = False) -> None:
    op.create_table(name, *parts, sqlite_strict=True, sqlite_with_rowid=rowid)


def _column(name: str, kind: Any = sa.Integer, *parts: Any, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, *parts, nullable=null)


def _recipient() -> sa.Column[Any]:
    return _column("recipient", _NUMBER, sa.ForeignKey("recipients.id"))
