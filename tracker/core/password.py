"""Says which passwords may be set, as NIST SP 800-63B-4 section 3.1.1.2 has it: long, and not one that others guess.

No mixture of characters is asked for and none expires: both make passwords worse.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Final

from tracker.model import BadPassword

SHORTEST: Final = 15
"""Characters; what the standard asks where a password may be the only proof."""
LONGEST: Final = 128
"""Characters. The standard asks for at least 64; a bound keeps hashing from being a burden."""
LEAST_OWN: Final = 8
"""Characters that a password must have beside words that anybody knows of its owner."""
FEWEST_DIFFERENT: Final = 5
_WORD: Final = re.compile(r"[^\W_]{4,}")


def normalised(password: str) -> str:
    """PASSWORD as it is hashed: the same keys on another keyboard give the same text (NFKC)."""
    return unicodedata.normalize("NFKC", password)


def check(password: str, context: Iterable[str], is_known: Callable[[str], bool]) -> str:
    """PASSWORD normalised, when it may be set. Raises BadPassword that names what is wrong with it, never the password.

    CONTEXT: texts that anybody knows, such as the login and the controller's name. IS_KNOWN: whether a text is on
    the list of common and breached passwords.
    """
    text = normalised(password)
    if len(text) < SHORTEST:
        raise BadPassword("short")
    if len(password) > LONGEST or len(text) > LONGEST:
        raise BadPassword("long")
    folded = text.casefold()
    if len(set(folded)) < FEWEST_DIFFERENT or any(map(is_known, {text, folded})):
        raise BadPassword("common")
    rest = folded
    for word in sorted(_words(context), key=len, reverse=True):
        rest = rest.replace(word, "")
    if len(rest) < min(LEAST_OWN, len(folded)):
        raise BadPassword("context")
    return text


def _words(texts: Iterable[str]) -> set[str]:
    """The words of four letters and more in TEXTS, folded."""
    return {word for text in texts for word in _WORD.findall(normalised(text).casefold())}
