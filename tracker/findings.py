"""What came of one thing that was examined, in a line for the operator."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    fine: bool
    why: str = ""
    note: bool = False
    """It is not as it should be before recipients meet this installation, but nothing is wrong."""

    def __str__(self) -> str:
        word = ("note" if self.note else "ok") if self.fine else "WRONG"
        return f"{word:<5} {self.what}" + (f": {self.why}" if self.why else "")
