"""Finds the addresses in what somebody typed or pasted: one in a line, with names around them, or after commas."""

from __future__ import annotations

import re
from typing import Final

_BETWEEN: Final = re.compile(r"[\s,;<>\"()\[\]]+")


def addresses_in(text: str) -> tuple[str, ...]:
    """What looks like an address in TEXT, each once, in order; nothing is checked but the sign."""
    found = (part.removeprefix("mailto:").strip(".:'") for part in _BETWEEN.split(text))
    return tuple(dict.fromkeys(part for part in found if "@" in part.strip("@")))
