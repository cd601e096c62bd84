"""Says why a message as a whole must leave as it came: what signs it, encrypts it, or makes it no mail of a person."""

from __future__ import annotations

import re

from tracker.core import headers
from tracker.core.headers import AMBIGUOUS, Fields
from tracker.core.mime import NO_PARENT, Structure
from tracker.model import Reason

_SIGNATURE_FIELDS = (
    b"dkim-signature",
    b"domainkey-signature",
    b"x-google-dkim-signature",
    b"arc-seal",
    b"arc-message-signature",
    b"arc-authentication-results",
)
_PGP = re.compile(rb"(?m)^-----BEGIN PGP (SIGNED )?MESSAGE-----")


def of(structure: Structure) -> Reason | None:
    """Why the header or the structure forbids to touch the message."""
    fields = structure.fields
    if any(name in fields for name in _SIGNATURE_FIELDS):
        return Reason.DKIM_SIGNED
    automatic = [headers.unfolded(value).partition(b";")[0] for value in fields.get(b"auto-submitted", ())]
    if any(re.sub(rb"\([^()]*\)", b"", value).strip().lower() not in (b"no", b"") for value in automatic):
        return Reason.AUTO_SUBMITTED
    if any(headers.unfolded(value).replace(b" ", b"") == b"<>" for value in fields.get(b"return-path", ())):
        return Reason.REPORT
    if _is_bounce(fields):
        return Reason.REPORT
    if any(leaf.type.kind == AMBIGUOUS and leaf.parent == NO_PARENT for leaf in structure.leaves):
        return Reason.UNSUPPORTED
    return None


def _is_bounce(fields: Fields) -> bool:
    senders = headers.addresses(fields.get(b"from", ()))
    return b"x-failed-recipients" in fields or any(one.lower().startswith("mailer-daemon@") for one in senders)


def armoured(text: bytes) -> Reason | None:
    """Whether TEXT holds an inline OpenPGP message (RFC 9580, section 6.2)."""
    if b"-----BEGIN PGP " not in text:
        return None
    found = _PGP.search(text)
    if found is None:
        return None
    return Reason.SIGNED if found[1] else Reason.ENCRYPTED
