"""Makes and checks the second factor: one-time codes by the clock (RFC 6238), and recovery codes on paper.

The law: a code is good once, for the step it belongs to and its neighbours; what is stored makes no code by itself.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32encode
from datetime import datetime
from hashlib import blake2b
from typing import Final

import pyotp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

STEP: Final = 30
"""Seconds for which a code is shown."""
WINDOW: Final = 1
"""Steps by which the clock of a telephone may be off, either way."""
NONCE_SIZE: Final = 12
RECOVERY_CODES: Final = 10
RECOVERY_SIZE: Final = 10
"""Octets of chance in a recovery code: 80 bits, too many to be tried."""
_SECRET_SIZE: Final = 20
_CODE: Final = re.compile(r"[0-9]{6}")


def offered_secret(key: bytes, token: str) -> bytes:
    """The secret that the session with TOKEN is offered to set up: always the same, so that nothing need be kept."""
    return hmac.digest(key, b"offered " + token.encode("utf-8"), "sha256")[:_SECRET_SIZE]


def seal(key: bytes, account: int, secret: bytes, nonce: bytes) -> bytes:
    """SECRET of ACCOUNT as it is stored; NONCE is 12 random octets, never used twice."""
    return nonce + AESGCM(key).encrypt(nonce, secret, str(account).encode())


def unseal(key: bytes, account: int, sealed: bytes) -> bytes | None:
    """What `seal` sealed for ACCOUNT; None for anything else."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], str(account).encode())
    except (InvalidTag, ValueError):
        return None


def step_of(secret: bytes, code: str, now: datetime, after: int) -> int | None:
    """The step later than AFTER, about NOW, to which CODE belongs; None when it belongs to none."""
    digits = re.sub(r"\s", "", code)
    if not _CODE.fullmatch(digits):
        return None
    totp = pyotp.TOTP(_text(secret), interval=STEP)
    current = int(now.timestamp()) // STEP
    found = None
    for step in range(current - WINDOW, current + WINDOW + 1):  # all of them, so that time tells nothing
        if hmac.compare_digest(totp.generate_otp(step), digits) and step > after:
            found = step
    return found


def uri(secret: bytes, login: str, issuer: str) -> str:
    """What an authenticator app reads from the QR code."""
    return pyotp.TOTP(_text(secret), interval=STEP).provisioning_uri(name=login, issuer_name=issuer.replace(":", " "))


def typed(secret: bytes) -> str:
    """SECRET for somebody who types it into an app."""
    return _groups(_text(secret))


def recovery_code(chance: bytes) -> str:
    """The code that CHANCE (10 random octets) makes."""
    return _groups(b32encode(chance).decode("ascii").lower())


def recovery_digest(key: bytes, account: int, code: str) -> bytes:
    """By which a recovery CODE of ACCOUNT is remembered; blanks, hyphens and letter case do not count."""
    plain = re.sub(r"[\s-]", "", code).lower()
    return blake2b(f"{account} {plain}".encode("utf-8", "replace"), key=key, digest_size=32).digest()


def _text(secret: bytes) -> str:
    return b32encode(secret).decode("ascii")


def _groups(text: str) -> str:
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))
