"""Fixes the periods that no setting changes: what is written and what people are told are the same numbers."""

from __future__ import annotations

from typing import Final

SIX_MONTHS: Final = 183
"""Days without another question after a no or after silence (LAW.md R12)."""
OPEN_DAYS: Final = 30
"""Days for which a question waits for its answer."""
TELL_DAYS: Final = 30
"""Days for which a mail system can read that somebody it knows was erased (GDPR Art. 19)."""
PROOF_OF_CALLS: Final = 5
"""Years for which a yes to calls is kept, from the yes and from each call that rests on it (UWG section 7a)."""
AUDIT_DAYS: Final = 365
"""How long the audit trail is kept."""
