"""Turns settings into what each part has to know of them."""

from __future__ import annotations

from dataclasses import replace

from tracker.config import Settings
from tracker.core.consent import ConsentPolicy
from tracker.core.disclosure import Disclosure, Periods
from tracker.core.survey import SurveyPolicy
from tracker.doors.pages import Site
from tracker.flows.mailing import MailPolicy
from tracker.flows.send import SendPolicy
from tracker.store.engine import database_file


def survey_policy(settings: Settings) -> SurveyPolicy:
    """What SETTINGS say about which messages and links are tracked."""
    return SurveyPolicy(
        public_urls=(settings.public_url, *settings.former_public_urls),
        text_links=settings.text_links,
        sender_domains=frozenset(settings.sender_domains),
        rewrite_visible_urls=settings.rewrite_visible_urls,
        excluded_hosts=settings.excluded_links,
        remove_pixels=settings.foreign_trackers == "remove",
    )


def send_policy(settings: Settings) -> SendPolicy:
    """What SETTINGS say about sending."""
    return SendPolicy(
        public_url=settings.public_url,
        max_message=settings.max_message,
        retention_days=settings.retention_days,
        language=settings.language,
        remove_pixels=settings.foreign_trackers == "remove",
        resign_domains=frozenset(settings.resign_domains),
        observe=settings.mode == "observe",
    )


def consent_policy(settings: Settings) -> ConsentPolicy:
    """What SETTINGS say about how long consents and proofs last."""
    return ConsentPolicy(
        consent_days=settings.consent_days,
        proof_days=settings.proof_days,
        retention_days=settings.retention_days,
    )


def mail_policy(settings: Settings) -> MailPolicy:
    """What SETTINGS say about mails of our own."""
    return MailPolicy(confirmations_per_day=settings.confirmations_per_day)


def disclosure(settings: Settings) -> Disclosure:
    """What SETTINGS tell of the controller and of periods, for the notice, the record of processing and receipts."""
    consents = consent_policy(settings)
    return Disclosure(
        controller=settings.controller,
        contact=settings.contact,
        public_url=settings.public_url,
        language=settings.language,
        periods=Periods(
            retention_days=settings.retention_days,
            consent_days=consents.consent_days,
            pending_days=consents.pending_days,
            proof_days=consents.proof_days,
            backup_days=settings.backup_days,
        ),
        controller_address=settings.controller_address,
        data_protection_officer=settings.data_protection_officer,
        supervisory_authority=settings.supervisory_authority,
        purposes=settings.purposes,
        data_recipients=settings.data_recipients,
        hosting=settings.hosting,
        transfers=settings.transfers,
        told_system=settings.webhook_source or "",
    )


def dashboard_site(settings: Settings) -> Site:
    """What SETTINGS say that people who sign in read."""
    return replace(site(settings), public_url=settings.dashboard_url, notice=False)


def site(settings: Settings) -> Site:
    """What SETTINGS say that recipients read."""
    return Site(
        controller=settings.controller,
        contact=settings.contact,
        public_url=settings.public_url,
        retention_days=settings.retention_days,
        consent_days=settings.consent_days,
        proof_days=settings.proof_days,
        language=settings.language,
        notice=not disclosure(settings).missing(),
        told_system=settings.webhook_source or "",
        own_file=database_file(settings.database_url) is not None,
    )
