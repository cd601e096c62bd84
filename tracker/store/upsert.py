"""INSERT … ON CONFLICT, in the form of SQLAlchemy that compiles for SQLite and for PostgreSQL.

PostgreSQL's construct knows all that SQLite's does, and SQLite's compiler takes it; the other way round it does not
compile. `later_of` stands in for SQLite's max and PostgreSQL's greatest of two columns.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, case
from sqlalchemy.dialects.postgresql import insert as upsert

__all__ = ["later_of", "upsert"]


def later_of(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
    """The greater of two columns."""
    return case((one > other, one), else_=other)
