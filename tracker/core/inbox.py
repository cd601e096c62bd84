"""Names the mailbox that many spellings of an address usually share, so that one person is not mailed by each of them.

The law: this is for the throttle of our own mail alone; whose consent it is never depends on it (`pseudonym.normalise`
strips nothing).
"""

from __future__ import annotations


def inbox_of(normalised: str) -> str:
    """A NORMALISED address without a tag ("+news") and without dots in its local part, which large providers ignore."""
    local, _, domain = normalised.rpartition("@")
    if local.startswith('"'):
        return normalised
    plain = local.partition("+")[0].replace(".", "")
    return f"{plain or local}@{domain}"
