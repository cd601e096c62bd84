"""The triggers that keep `engaged` in step with `events`, whoever writes or changes those: the last hour of a person.

The law: what they write hangs on the grant that the event hangs on. Where an event goes for another reason than a
withdrawal, the hour goes back to that of the last one that is left, or the row goes.
"""

# ruff: noqa: S608 - every statement is made of the constants in this file
from __future__ import annotations

from typing import Final

_PERSON: Final = 2
"""model.Agent.PROXY: from here on it was a person."""

_KEY: Final = "{0}.last_day = {1}.last_day AND {0}.delivery = {1}.delivery AND {0}.purpose = {1}.purpose"
_OF_OLD: Final = _KEY.format("engaged", "OLD")
_LEFT: Final = f"FROM events WHERE {_KEY.format('events', 'engaged')} AND events.agent >= {_PERSON}"

SQLITE: Final = (
    f"""
    CREATE TRIGGER engaged_note AFTER INSERT ON events WHEN NEW.agent >= {_PERSON}
    BEGIN
        INSERT INTO engaged (last_day, delivery, purpose, recipient, owner, message, hour)
        SELECT tracked.last_day, tracked.delivery, tracked.purpose, tracked.recipient, messages.owner, messages.id,
               NEW.hour
        FROM tracked
        JOIN deliveries ON deliveries.last_day = tracked.last_day AND deliveries.id = tracked.delivery
        JOIN messages ON messages.id = deliveries.message
        WHERE {_KEY.format("tracked", "NEW")}
        ON CONFLICT (last_day, delivery, purpose) DO UPDATE SET hour = excluded.hour WHERE hour < excluded.hour;
    END
    """,
    f"""
    CREATE TRIGGER engaged_forget AFTER DELETE ON events WHEN OLD.agent >= {_PERSON}
    BEGIN
        DELETE FROM engaged WHERE {_OF_OLD} AND NOT EXISTS (SELECT 1 {_LEFT});
        UPDATE engaged SET hour = (SELECT max(events.hour) {_LEFT}) WHERE {_OF_OLD} AND hour = OLD.hour;
    END
    """,
)
POSTGRES: Final = (
    # By the statement, not by the row: events come in groups, and no statement updates a row of `engaged` twice.
    f"""
    CREATE FUNCTION engaged_note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO engaged (last_day, delivery, purpose, recipient, owner, message, hour)
        SELECT tracked.last_day, tracked.delivery, tracked.purpose, tracked.recipient, messages.owner, messages.id,
               max(added.hour)
        FROM added
        JOIN tracked ON {_KEY.format("tracked", "added")}
        JOIN deliveries ON deliveries.last_day = tracked.last_day AND deliveries.id = tracked.delivery
        JOIN messages ON messages.id = deliveries.message
        WHERE added.agent >= {_PERSON}
        GROUP BY tracked.last_day, tracked.delivery, tracked.purpose, tracked.recipient, messages.owner, messages.id
        ORDER BY tracked.last_day, tracked.delivery, tracked.purpose  -- so that two groups never wait for each other
        ON CONFLICT (last_day, delivery, purpose) DO UPDATE SET hour = excluded.hour
        WHERE engaged.hour < excluded.hour;
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER engaged_note AFTER INSERT ON events REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION engaged_note()
    """,
    f"""
    CREATE FUNCTION engaged_forget() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM engaged USING removed
        WHERE {_KEY.format("engaged", "removed")} AND removed.agent >= {_PERSON} AND NOT EXISTS (SELECT 1 {_LEFT});
        UPDATE engaged SET hour = (SELECT max(events.hour) {_LEFT}) FROM removed
        WHERE {_KEY.format("engaged", "removed")} AND removed.agent >= {_PERSON} AND engaged.hour = removed.hour;
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER engaged_forget AFTER DELETE ON events REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION engaged_forget()
    """,
)
