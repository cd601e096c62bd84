"""The inventory that the notice and the record of processing are made of names every column of the schema, once."""

from __future__ import annotations

from collections import Counter

from tracker.core.inventory import CATEGORIES, NOT_PERSONAL, About
from tracker.store.schema import metadata


def named() -> list[str]:
    """Every table and column that the inventory names."""
    tables = [category.columns for category in CATEGORIES] + [NOT_PERSONAL]
    return [f"{table}.{column}" for names in tables for table, columns in names.items() for column in columns.split()]


def test_every_column_is_named_once_and_none_that_is_not_there() -> None:
    """R34, R46: what the notice says is stored is what the schema can hold: no address, IP, device or place."""
    schema = [f"{table.name}.{column.name}" for table in metadata.sorted_tables for column in table.columns]
    assert Counter(named()) == Counter(schema)


def test_whatever_hangs_on_a_person_is_about_recipients() -> None:
    theirs = {table for category in CATEGORIES if category.about is About.RECIPIENT for table in category.columns}
    personal = {table.name for table in metadata.sorted_tables if "recipient" in table.c}
    assert personal | {"recipients", "events"} <= theirs
    assert not personal & NOT_PERSONAL.keys()


def test_categories_have_names_of_their_own() -> None:
    assert len({category.name for category in CATEGORIES}) == len(CATEGORIES)
