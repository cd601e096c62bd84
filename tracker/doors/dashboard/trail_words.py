"""Puts lines of the audit trail into words."""

from __future__ import annotations

from collections.abc import Mapping

from tracker.core.access import Deed
from tracker.doors.languages import Languages
from tracker.flows.signing_in import UNKNOWN
from tracker.model import Language, OwnActor


class TrailWords:
    """Speaks one language."""

    def __init__(self, languages: Languages, language: Language, names: Mapping[str, str]) -> None:
        """NAMES: the logins of accounts, by how the trail names these."""
        self._languages = languages
        self._language = language
        self._names = names

    def actor(self, actor: str) -> str:
        """Who it was; an API key goes by its own name."""
        said = self._said
        known: Mapping[str, str] = {
            OwnActor.RECIPIENT: said("the person"),
            OwnActor.CLI: said("the operator"),
            OwnActor.TRACKER: said("this tracker"),
            UNKNOWN: said("somebody unknown"),
        }
        return self._names.get(actor) or known.get(actor, actor)

    def action(self, action: str) -> str:
        """What they did, and to which account; what is not known here stays as it was written."""
        deed, _, target = action.partition(": ")
        words = self._known.get(deed, deed)
        return f"{words}: {self.actor(target)}" if target else words

    @property
    def _known(self) -> Mapping[str, str]:
        said = self._said
        return {
            Deed.SIGNED_IN: said("signed in"),
            Deed.PASSWORD_GIVEN: said("gave the password"),
            Deed.CODE_GIVEN: said("signed in with a one-time code"),
            Deed.RECOVERY_CODE_GIVEN: said("signed in with a recovery code"),
            Deed.PROVIDER_VOUCHED: said("signed in with the company's account"),
            Deed.NO_ACCOUNT: said("came with a company's account that has none here"),
            Deed.WRONG_PASSWORD: said("typed a wrong password"),
            Deed.WRONG_CODE: said("typed a wrong code"),
            Deed.SIGNED_OUT: said("signed out"),
            Deed.SIGNED_OUT_ELSEWHERE: said("signed out everywhere else"),
            Deed.PASSWORD_CHANGED: said("changed the password"),
            Deed.FACTOR_SET_UP: said("set up a second factor"),
            Deed.FACTOR_REMOVED: said("removed the second factor"),
            Deed.CODES_RENEWED: said("renewed the recovery codes"),
            Deed.ACCOUNT_MADE: said("made an account"),
            Deed.ACCOUNT_DISABLED: said("disabled an account"),
            Deed.ACCOUNT_ENABLED: said("enabled an account"),
            Deed.PASSWORD_SET: said("set the password of an account"),
            Deed.FACTOR_RESET: said("reset the second factor of an account"),
            Deed.SAW_MESSAGES: said("looked at messages"),
            Deed.SAW_PEOPLE: said("looked at people"),
            Deed.SAW_TOTALS: said("looked at totals"),
            Deed.TOOK_FIGURES: said("exported figures"),
            Deed.SAW_CONSENTS: said("looked at the state of consents"),
            Deed.SAW_TRAIL: said("looked at the audit trail"),
            Deed.SAW_DELETION: said("looked at what was deleted"),
            "subject show": said("looked at what is held about a person"),
            "subject export": said("exported what is held about a person"),
            "subject erase": said("erased a person"),
            "prove forgotten": said("searched for what is left of a person"),
        }

    def _said(self, english: str) -> str:
        return self._languages.text(self._language, english)
