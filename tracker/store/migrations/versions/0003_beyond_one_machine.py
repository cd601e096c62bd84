"""Makes what an installation needs beyond one process and one machine: anonymous totals of what has expired."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """From 0002 to 0003."""
    _make_totals()


def _make_totals() -> None:
    _table(
        "folded",
        _message(),
        _column("purpose", sa.Text(), sa.CheckConstraint("purpose = 'o' OR purpose = 'c' OR purpose = 'p'")),
        _column("since_hour"),
        *_numbers("people", "measured", "by_people", "by_machines"),
        sa.PrimaryKeyConstraint("message", "purpose"),
    )
    op.create_index("folded_by_people", "folded", ["people"])
    _table(
        "folded_links",
        _message(),
        *_numbers("number", "by_people", "by_machines"),
        sa.PrimaryKeyConstraint("message", "number"),
    )
    _table(
        "folded_copies",
        _message(),
        *_numbers("count", "measured", "by_people", "by_machines"),
        sa.PrimaryKeyConstraint("message"),
    )
    _table("folded_days", _column("day"), sa.PrimaryKeyConstraint("day"))
    _table(
        "totals",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=False),
        _column("month"),
        *_numbers("sent", "tracked"),
        *_numbers("open_measured", "opened", "opened_by_machines", null=True),
        *_numbers("click_measured", "clicked", "clicked_by_machines", null=True),
        rowid=True,
    )
    op.create_index("totals_by_month", "totals", ["month"])


def _table(name: str, *parts: Any, rowid: bool = False) -> None:
    op.create_table(name, *parts, sqlite_strict=True, sqlite_with_rowid=rowid)


def _column(name: str, kind: Any = sa.Integer, *parts: Any, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, *parts, nullable=null)


def _numbers(*names: str, null: bool = False) -> list[sa.Column[Any]]:
    return [_column(name, _NUMBER, null=null) for name in names]


def _message() -> sa.Column[Any]:
    return _column("message", sa.LargeBinary, sa.ForeignKey("messages.id", ondelete="CASCADE"))
