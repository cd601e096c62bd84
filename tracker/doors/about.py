"""Says beside the data what a person who asks must be told (GDPR Art. 15(1)(a) to (h)), from the settings in force."""

from __future__ import annotations

from collections.abc import Mapping

from tracker.doors.languages import Languages, period
from tracker.doors.pages import Site
from tracker.model import Language


def about(site: Site, languages: Languages, language: Language) -> Mapping[str, object]:
    """Who holds the data, what for, who sees it, for how long, where it came from, and what rights there are."""

    def said(english: str, **values: str) -> str:
        return languages.text(language, english) % {"controller": site.controller, "contact": site.contact, **values}

    retention, validity = period(site.retention_days, language), period(site.consent_days, language)
    proof = period(site.proof_days, language)
    return {
        "language": language.value,
        "controller": site.controller,
        "contact": site.contact,
        "purposes": {
            "open": said("To see whether a message is opened, if you agreed to that."),
            "click": said("To see which links of a message are followed, if you agreed to that."),
            "phone": said("To know whether you may be called, if you were asked."),
        },
        "seen_by": said("Those at %(controller)s who write to you. This software passes it on to nobody else."),
        "kept": [
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
        "decisions": said("Nothing decides about you by itself, and no profile is made."),
        "rights": [
            said("You can withdraw, see, take along and erase all this at %(url)s.", url=f"{site.public_url}/privacy"),
            said("To correct something or to object, write to %(contact)s."),
            said("You can complain to a data protection authority."),
        ],
    }
