"""The statements that register tracked copies on SQLite: one trigger, which writes a whole group.

`NEW` holds, as JSON, a row for each of the copies (last day, sent hour, label, letters of the purposes, source,
reference) and one for each content that messages have in common (numbers and letters of its copies, links, what was
left alone); and the copies' keys in one string of octets.
"""

# ruff: noqa: S608 - every statement is made of the constants in this file
from __future__ import annotations

from typing import Final

_SIZE: Final = 80
"""Octets of one copy's keys: pseudonym, delivery, message and owner, in this order."""


def _keys(copy: str, values: str) -> dict[str, str]:
    """Where the keys of the copy with the number COPY stand in VALUES."""
    places = (("pseudonym", 1, 32), ("delivery", 33, 16), ("message", 49, 16), ("owner", 65, 16))
    return {name: f"substr({values}octets, {copy} * {_SIZE} + {at}, {size})" for name, at, size in places}


def _live(values: str) -> str:
    return f"""
        grants.last_day >= {values}today
        AND grants.notice_version NOT IN (SELECT version FROM notices WHERE superseded_day <= {values}today)
    """


_COPY: Final = _keys("given.key", "NEW.")
_FIRST: Final = _keys("(content.value ->> '$[0][0][0]')", "NEW.")
_IS_ALLOWED: Final = f"""
    EXISTS (
        SELECT 1 FROM recipients CROSS JOIN grants ON grants.recipient = recipients.id
        WHERE recipients.pseudonym = {_COPY["pseudonym"]} AND instr(given.value ->> 3, grants.purpose)
          AND {_live("NEW.")}
    )
"""
_IS_ALLOWED_TO_ANYBODY: Final = f"""
    EXISTS (
        SELECT 1 FROM json_each(content.value, '$[0]') AS place
        CROSS JOIN recipients ON recipients.pseudonym = {_keys("(place.value ->> 0)", "NEW.")["pseudonym"]}
        CROSS JOIN grants ON grants.recipient = recipients.id
        WHERE instr(place.value ->> 1, grants.purpose) AND {_live("NEW.")}
    )
"""
# CROSS JOIN keeps the order: each row is looked for by its key, whatever SQLite guesses of the tables.
WRITTEN: Final = (
    f"""
    INSERT INTO messages (id, owner, label, first_hour, last_hour, last_day)
    SELECT {_COPY["message"]}, {_COPY["owner"]}, given.value ->> 2, given.value ->> 1, given.value ->> 1,
           given.value ->> 0
    FROM json_each(NEW.copies) AS given
    WHERE {_IS_ALLOWED}
    ON CONFLICT (id) DO UPDATE SET
        label = coalesce(label, excluded.label),
        first_hour = min(coalesce(first_hour, excluded.first_hour), excluded.first_hour),
        last_hour = max(last_hour, excluded.last_hour),
        last_day = max(last_day, excluded.last_day)
    WHERE first_hour IS NULL OR excluded.first_hour < first_hour OR excluded.last_hour > last_hour
       OR excluded.last_day > last_day OR (label IS NULL AND excluded.label IS NOT NULL)
    """,
    f"""
    INSERT INTO message_left (message, reason, count)
    SELECT {_FIRST["message"]}, link.value ->> 0, link.value ->> 1
    FROM json_each(NEW.contents) AS content CROSS JOIN json_each(content.value, '$[2]') AS link
    WHERE {_IS_ALLOWED_TO_ANYBODY}
    ON CONFLICT DO NOTHING
    """,
    f"""
    INSERT INTO links (message, number, host, path)
    SELECT {_FIRST["message"]}, link.value ->> 0, link.value ->> 1, link.value ->> 2
    FROM json_each(NEW.contents) AS content CROSS JOIN json_each(content.value, '$[1]') AS link
    WHERE {_IS_ALLOWED_TO_ANYBODY}
    ON CONFLICT DO NOTHING
    """,
    f"""
    INSERT INTO deliveries (last_day, id, recipient, message, sent_hour)
    SELECT given.value ->> 0, {_COPY["delivery"]}, recipients.id, {_COPY["message"]}, given.value ->> 1
    FROM json_each(NEW.copies) AS given CROSS JOIN recipients ON recipients.pseudonym = {_COPY["pseudonym"]}
    WHERE NOT NEW.ahead AND {_IS_ALLOWED}
    ON CONFLICT DO NOTHING
    """,
    f"""
    INSERT INTO tracked (last_day, delivery, purpose, recipient, closed)
    SELECT deliveries.last_day, deliveries.id, grants.purpose, grants.recipient, 0
    FROM json_each(NEW.copies) AS given
    CROSS JOIN recipients ON recipients.pseudonym = {_COPY["pseudonym"]}
    CROSS JOIN grants ON grants.recipient = recipients.id AND instr(given.value ->> 3, grants.purpose)
    CROSS JOIN deliveries
            ON deliveries.last_day = given.value ->> 0 AND deliveries.id = {_COPY["delivery"]}
           AND deliveries.recipient = recipients.id
    WHERE NOT NEW.ahead AND {_live("NEW.")}
    ON CONFLICT DO NOTHING
    """,
    f"""
    INSERT INTO external_ids (source, reference, recipient, last_day)
    SELECT given.value ->> 4, given.value ->> 5, recipients.id, (
        SELECT max(grants.last_day) FROM grants WHERE grants.recipient = recipients.id AND {_live("NEW.")}
    )
    FROM json_each(NEW.copies) AS given CROSS JOIN recipients ON recipients.pseudonym = {_COPY["pseudonym"]}
    WHERE NOT NEW.ahead AND given.value ->> 5 IS NOT NULL AND {_IS_ALLOWED}
    ON CONFLICT (source, reference) DO UPDATE SET recipient = excluded.recipient, last_day = excluded.last_day
    WHERE recipient != excluded.recipient OR last_day < excluded.last_day
    """,
)
"""What the trigger does with `NEW`, in this order."""
_VALUES: Final = ("copies", "octets", "contents", "today", "ahead")
VIEW: Final = f"""
    CREATE TEMP VIEW IF NOT EXISTS registering AS SELECT {", ".join(f"NULL AS {name}" for name in _VALUES)};
    CREATE TEMP TRIGGER IF NOT EXISTS register INSTEAD OF INSERT ON registering
    BEGIN {";".join(WRITTEN)}; END;
"""
"""Makes what `WRITE` writes to. It is the connection's own, and goes with it."""
WRITE: Final = f"INSERT INTO registering VALUES ({', '.join(f':{name}' for name in _VALUES)})"
_GIVEN: Final = _keys("given.key", ":")
FOUND: Final = f"""
    SELECT json_group_array(json_array(given.key, tracked.purpose))
    FROM json_each(:copies) AS given
    CROSS JOIN tracked ON tracked.last_day = given.value ->> 0 AND tracked.delivery = {_GIVEN["delivery"]}
    CROSS JOIN recipients ON recipients.id = tracked.recipient AND recipients.pseudonym = {_GIVEN["pseudonym"]}
    CROSS JOIN grants ON grants.recipient = tracked.recipient AND grants.purpose = tracked.purpose
    WHERE instr(given.value ->> 3, tracked.purpose) AND {_live(":")}
"""
"""Which of the copies are tracked now for which purposes: a JSON array of pairs of number and letter."""
