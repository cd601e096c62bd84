"""A controller that has told everything of itself."""

from __future__ import annotations

from tracker.core.disclosure import Disclosure, Periods, Wording
from tracker.model import Language

TOLD = Disclosure(
    controller="Example & Sons <Ltd>",
    contact="privacy@example.com",
    public_url="https://t.example.com",
    language=Language.EN,
    periods=Periods(
        95, 742, 33, 1096, 38, erased_days=27, calls_days=1829, mailings_days=184, audit_days=371, invitations_days=217
    ),
    controller_address="1 Harbour Street, Kiel",
    data_protection_officer="Dr. Vera Klug, dpo@example.com",
    supervisory_authority="ULD, Holstenstraße 98, Kiel",
    purposes=Wording(((Language.EN, "So that we know what <arrived>."), (Language.DE, "Damit wir wissen, was ankam."))),
    data_recipients=Wording(((None, "Sales"),)),
    hosting=Wording(((None, "Host GmbH, Germany"),)),
    transfers=Wording(((None, "none"),)),
)
