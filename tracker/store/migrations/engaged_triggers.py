"""The triggers that keep `messages.engaged_hour` in step with events, whoever writes or changes those.

The law: when an event goes, the hour that was taken from it goes in the same transaction. It is put to 0 and the
message noted in `engaged_unsure`, since to look for the next one would hold up whoever withdraws. Each note has a
number of its own, so that nobody waits for who writes another about the same message.
"""

# ruff: noqa: S608 - every statement is made of the constants in this file
from __future__ import annotations

from typing import Final

_PERSON: Final = 2
"""model.Agent.PROXY: from here on it was a person."""
_DRAWN_ON_SQLITE: Final = "abs(random() % 2147483648)"
_DRAWN: Final = "floor(random() * 2147483648)::integer"


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
        UPDATE engaged_unsure SET asked = {_DRAWN_ON_SQLITE} WHERE message = ({_message_of("OLD")});
        INSERT INTO engaged_unsure (message, asked)
        SELECT id, {_DRAWN_ON_SQLITE} FROM messages
        WHERE id = ({_message_of("OLD")}) AND engaged_hour = OLD.hour
          AND NOT EXISTS (SELECT 1 FROM engaged_unsure WHERE message = messages.id);
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
    # By the statement, not by the row: events come in groups. Who writes or marks events waits for nobody: a message
    # that somebody holds just now is noted to be looked at. Who takes somebody's grants away holds their messages
    # before (store/engaged), and so leaves no hour behind.
    f"""
    CREATE FUNCTION engaged_note() RETURNS trigger LANGUAGE plpgsql AS $$
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
        INSERT INTO engaged_unsure (message, asked)
        SELECT message, {_DRAWN} FROM older WHERE message NOT IN (SELECT id FROM free);
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
        WITH gone AS (
            SELECT DISTINCT message, hour FROM ({_touched("removed")}) AS touched
        ), concerned AS (
            SELECT DISTINCT messages.id FROM gone JOIN messages ON messages.id = gone.message
            WHERE messages.engaged_hour = gone.hour
               OR EXISTS (SELECT 1 FROM engaged_unsure WHERE engaged_unsure.message = messages.id)
        ), free AS (
            SELECT messages.id FROM messages JOIN concerned ON concerned.id = messages.id
            ORDER BY messages.id FOR NO KEY UPDATE OF messages SKIP LOCKED
        ), forgotten AS (
            UPDATE messages SET engaged_hour = 0 FROM gone JOIN free ON free.id = gone.message
            WHERE messages.id = gone.message AND messages.engaged_hour = gone.hour
        )
        INSERT INTO engaged_unsure (message, asked) SELECT id, {_DRAWN} FROM concerned;
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER engaged_forget AFTER DELETE ON events REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION engaged_forget()
    """,
)
