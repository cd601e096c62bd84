"""Makes text harmless in a cell of a table that a spreadsheet opens: none begins like a formula (CWE-1236)."""

from __future__ import annotations

from typing import Final

_FORMULA: Final = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # the wide forms count in some spreadsheets, too


def harmless(text: str) -> str:
    """TEXT, after an apostrophe where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.lstrip(" \xa0").startswith(_FORMULA) else text
