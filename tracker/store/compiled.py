"""Makes the text of a statement once, for those that run on SQLite in its writer's own thread."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ClauseElement
from sqlalchemy.dialects.sqlite import dialect


def compiled(statement: ClauseElement) -> tuple[str, dict[str, Any]]:
    """The text of STATEMENT for SQLite, and the values that always are the same."""
    made = statement.compile(dialect=dialect(paramstyle="named"))
    return str(made), {name: value for name, value in made.params.items() if value is not None}
