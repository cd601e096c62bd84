"""Says beside the data what a person who asks must be told (GDPR Art. 15(1)(a) to (h)), from the settings in force."""

from __future__ import annotations

from collections.abc import Mapping

from tracker.core.disclosure import Disclosure
from tracker.doors.languages import Languages, period
from tracker.model import Language


def about(disclosure: Disclosure, languages: Languages, language: Language) -> Mapping[str, object]:
    """Who holds the data, what for, who sees it, for how long, where it came from, and what rights there are.

    What the controller has not told yet (DISCLOSURE) is left out.
    """

    def said(english: str, **values: str) -> str:
        us = {"controller": disclosure.controller, "contact": disclosure.contact}
        return languages.text(language, english) % {**us, **values}

    periods = disclosure.periods
    retention, validity = period(periods.retention_days, language), period(periods.consent_days, language)
    proof = period(periods.proof_days, language)
    passed_on: tuple[str, ...]
    if disclosure.told_system:
        passed_on = (
            said(
                "If the text that you agreed to says so, this software also passes it on to the system “%(system)s”: "
                "once that hour is over, or as it happens if the text says that, too.",
                system=disclosure.told_system,
            ),
            said(
                "If the system “%(system)s” knows you by a number of its own, it is told when your consent ends.",
                system=disclosure.told_system,
            ),
        )
    else:
        passed_on = (said("By itself this software passes it on to nobody else."),)
    return {
        "language": language.value,
        "controller": disclosure.controller,
        "contact": disclosure.contact,
        "purposes": {
            "open": said("To see whether a message is opened, if you agreed to that."),
            "click": said("To see which links of a message are followed, if you agreed to that."),
            "phone": said("To know whether you may be called, if you were asked."),
        },
        "seen_by": " ".join(
            (
                said(
                    "Those at %(controller)s who write to you see that you opened a message or followed a link, once "
                    "the hour in which you did so is over; as it happens only if the text that you agreed to says so."
                ),
                said(
                    "The systems that they work with can read it too, and so can whoever handles a request about your "
                    "data."
                ),
                *passed_on,
            )
        ),
        "kept": [
            said(
                "That a measured message was sent to you: until %(retention)s after it was sent.", retention=retention
            ),
            said(
                "What was measured: until %(retention)s after the message was sent, or until you withdraw.",
                retention=retention,
            ),
            said("Your consent: it ends by itself %(validity)s after you gave it.", validity=validity),
            said("The proof that you agreed, refused or withdrew: for another %(proof)s.", proof=proof),
        ],
        "source": said(
            "The messages sent to you and what your mail program asked for; your consent, from you or from the system "
            "that reported it, which is named beside it."
        ),
        "decisions": said(
            "Nothing decides about you by itself, and no scores are made. Whoever writes to you can look up singly "
            "which of their messages you opened and which links you followed."
        ),
        "rights": [
            said(
                "You can withdraw, see, take along and erase all this at %(url)s.",
                url=f"{disclosure.public_url}/privacy",
            ),
            said("To correct something, to have its use restricted, or to object, write to %(contact)s."),
            said("You can complain to a data protection authority."),
        ],
        **_told(disclosure, language),
    }


def _told(disclosure: Disclosure, language: Language) -> Mapping[str, str]:
    """What the controller told in words of its own, where it did, for readers of LANGUAGE."""
    plain = {
        "controller_address": disclosure.controller_address,
        "data_protection_officer": disclosure.data_protection_officer,
        "supervisory_authority": disclosure.supervisory_authority,
    }
    worded = {
        "controllers_purposes": disclosure.purposes,
        "recipients": disclosure.data_recipients,
        "hosting": disclosure.hosting,
        "transfers": disclosure.transfers,
    }
    spoken = {name: wording.read_in(language, disclosure.language)[0] for name, wording in worded.items() if wording}
    return {**{name: text for name, text in plain.items() if text}, **spoken}
