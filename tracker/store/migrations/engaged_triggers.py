"""The triggers that keep `messages.engaged_hour` in step with events, whoever writes or changes those.

The law: when an event goes, the hour that was taken from it goes in the same transaction. It is put to 0 and the
message noted in `engaged_unsure`, since to look for the next one would hold up whoever withdraws.
"""

# ruff: noqa: S608 - every statement is made of the constants in this file
from __future__ import annotations

from typing import Final

_PERSON: Final = 2
"""model.Agent.PROXY: from here on it was a person."""


def _message_of(event: str) -> str:
    return f"SELECT message FROM deliveries WHERE last_day = {event}.last_day AND id = {event}.delivery"


SQLITE: Final = (
    f"""
    CREATE TRIGGER engaged_note AFTER INSERT ON events WHEN NEW.agent >= {_PERSON}
    BEGIN
        UPDATE messages SET engaged_hour = NEW.hour
        WHERE id = ({_message_of("NEW")}) AND engaged_hour < NEW.hour;
    END
    """,
    f"""
    CREATE TRIGGER engaged_forget AFTER DELETE ON events WHEN OLD.agent >= {_PERSON}
    BEGIN
        INSERT INTO engaged_unsure (message, asked)
        SELECT id, 1 FROM messages
        WHERE id = ({_message_of("OLD")})
          AND (engaged_hour = OLD.hour OR EXISTS (SELECT 1 FROM engaged_unsure WHERE message = messages.id))
        ON CONFLICT (message) DO UPDATE SET asked = asked + 1;
        UPDATE messages SET engaged_hour = 0 WHERE id = ({_message_of("OLD")}) AND engaged_hour = OLD.hour;
    END
    """,
)


def _touched(rows: str) -> str:
    """The messages that ROWS of events are about, each with the hours in which a person touched it."""
    return f"""
        SELECT deliveries.message, {rows}.hour FROM {rows}
        JOIN deliveries ON deliveries.last_day = {rows}.last_day AND deliveries.id = {rows}.delivery
        WHERE {rows}.agent >= {_PERSON}
    """


POSTGRES: Final = (
    # By the statement, not by the row: events come in groups. Who writes events waits for nobody: a message that
    # somebody holds just now is noted to be looked at.
    f"""
    CREATE FUNCTION engaged_note() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        held bytea[];
        patience text := current_setting('lock_timeout');
    BEGIN
        WITH found AS (
            SELECT message, max(hour) AS hour FROM ({_touched("added")}) AS touched GROUP BY message
        ), older AS (
            SELECT found.message, found.hour FROM found JOIN messages ON messages.id = found.message
            WHERE messages.engaged_hour < found.hour
        ), free AS (
            SELECT messages.id FROM messages JOIN older ON older.message = messages.id
            ORDER BY messages.id FOR NO KEY UPDATE OF messages SKIP LOCKED
        ), noted AS (
            UPDATE messages SET engaged_hour = greatest(messages.engaged_hour, older.hour)
            FROM older JOIN free ON free.id = older.message WHERE messages.id = older.message
        )
        SELECT array_agg(message ORDER BY message) INTO held FROM older WHERE message NOT IN (SELECT id FROM free);
        IF held IS NOT NULL THEN
            BEGIN
                PERFORM set_config('lock_timeout', '1ms', true);
                INSERT INTO engaged_unsure (message, asked) SELECT unnest(held), 1
                ON CONFLICT (message) DO UPDATE SET asked = engaged_unsure.asked + 1;
                PERFORM set_config('lock_timeout', patience, true);
            EXCEPTION WHEN lock_not_available THEN  -- by whom a message of these is held, it is noted
            END;
        END IF;
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
        INSERT INTO engaged_unsure (message, asked)
        SELECT DISTINCT messages.id, 1 FROM ({_touched("removed")}) AS touched
        JOIN messages ON messages.id = touched.message
        WHERE messages.engaged_hour = touched.hour
           OR EXISTS (SELECT 1 FROM engaged_unsure WHERE engaged_unsure.message = messages.id)
        ORDER BY messages.id
        ON CONFLICT (message) DO UPDATE SET asked = engaged_unsure.asked + 1;
        UPDATE messages SET engaged_hour = 0 FROM ({_touched("removed")}) AS touched
        WHERE messages.id = touched.message AND messages.engaged_hour = touched.hour;
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER engaged_forget AFTER DELETE ON events REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION engaged_forget()
    """,
)
