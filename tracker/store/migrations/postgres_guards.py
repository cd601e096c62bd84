"""The triggers that keep the ledger append-only on PostgreSQL; they refuse what SQLite's refuse.

tracker_today() gives the day that the sweep named for its transaction alone (SET LOCAL tracker.sweep_day).
"""

from __future__ import annotations

from typing import Final

_TODAY: Final = """
    CREATE FUNCTION tracker_today() RETURNS integer LANGUAGE sql STABLE AS $$
        SELECT CAST(nullif(current_setting('tracker.sweep_day', true), '') AS integer)
    $$
"""


def _refusing(name: str, moment: str, table: str, when: str, why: str, rows: str = "ROW") -> tuple[str, str]:
    """The function and the trigger NAME, which refuses a change of TABLE when WHEN holds."""
    return (
        f"""
        CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF {when} THEN
                RAISE EXCEPTION '{why}' USING ERRCODE = 'integrity_constraint_violation';
            END IF;
            IF TG_OP = 'DELETE' THEN
                RETURN OLD;
            END IF;
            RETURN NEW;
        END
        $$
        """,
        f"CREATE TRIGGER {name} BEFORE {moment} ON {table} FOR EACH {rows} EXECUTE FUNCTION {name}()",
    )


def _never(table: str) -> tuple[str, ...]:
    """What no row of TABLE is ever open to."""
    why = "the ledger is append-only"
    return (
        *_refusing(f"{table}_no_update", "UPDATE", table, "true", why),
        *_refusing(f"{table}_no_truncate", "TRUNCATE", table, "true", why, rows="STATEMENT"),
    )


ALL: Final = (
    _TODAY,
    *_never("ledger"),
    *_never("ledger_contents"),
    *_never("ledger_ends"),
    *_refusing("ledger_no_delete", "DELETE", "ledger", "true", "the ledger is append-only"),
    *_refusing(
        "ledger_append",
        "INSERT",
        "ledger",
        """NEW.entry IS DISTINCT FROM (SELECT coalesce(max(entry), 0) + 1 FROM ledger)
           OR NEW.previous IS DISTINCT FROM
              coalesce((SELECT digest FROM ledger ORDER BY entry DESC LIMIT 1), decode(repeat('00', 32), 'hex'))""",
        "the ledger takes the next entry of its chain only",
    ),
    # Many entries are appended at once: first their links of the chain, then their contents, in the same order.
    *_refusing(
        "ledger_contents_append",
        "INSERT",
        "ledger_contents",
        """NEW.entry IS NULL
           OR NEW.entry <= (SELECT coalesce(max(entry), 0) FROM ledger_contents)
           OR NEW.entry > (SELECT coalesce(max(entry), 0) FROM ledger)""",
        "the ledger is append-only",
    ),
    *_refusing(
        "ledger_contents_delete",
        "DELETE",
        "ledger_contents",
        """coalesce(tracker_today(), 0) <= OLD.last_day
           AND NOT EXISTS (
               SELECT 1 FROM ledger_ends JOIN ledger ON ledger.entry = ledger_ends.entry
               WHERE ledger_ends.ended = OLD.entry AND ledger.last_day < coalesce(tracker_today(), 0)
           )""",
        "the day of this entry has not come",
    ),
    *_refusing(
        "ledger_ends_append",
        "INSERT",
        "ledger_ends",
        """NEW.entry IS DISTINCT FROM (SELECT max(entry) FROM ledger)
           OR NEW.ended >= NEW.entry
           OR EXISTS (SELECT 1 FROM ledger_ends WHERE ended = NEW.ended AND entry = NEW.entry)""",
        "the ledger is append-only",
    ),
    *_refusing(
        "ledger_ends_delete",
        "DELETE",
        "ledger_ends",
        "coalesce(tracker_today(), 0) <= OLD.last_day",
        "the day of this entry has not come",
    ),
)
"""The statements that make them, in order."""
