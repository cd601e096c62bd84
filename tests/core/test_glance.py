"""What a message says of itself before its body, and whether it may quote another."""

from __future__ import annotations

import pytest

from tracker.core.glance import glance

QUOTING = [
    "In-Reply-To: <1@x>", "References: <1@x>", "X-Forwarded-Message-Id: <1@x>", "Resent-From: a@b.example",
    "Subject: Re: Offer", "Subject: RE:Offer", "Subject: AW: Angebot", "Subject: WG: Angebot", "Subject: Antw: x",
    "Subject: Fwd: x", "Subject: FW: x", "Subject: TR : Offre", "Subject: RV: Oferta", "Subject: I: Offerta",
    "Subject: R: Offerta", "Subject: SV: x", "Subject: VS: x", "Subject: Odp: x", "Subject: Re[2]: x",
    "Subject: RE (3): x", "Subject: [list] Re: x", "Subject: =?utf-8?Q?Re=3A_Gr=C3=BC=C3=9Fe?=",
    "Subject: =?utf-8?B?QVc6IEdyw7zDn2U=?=", "Subject: =?UTF-8?B?5Zue5aSN77ya5oql5Lu3?=", "Subject:\r\n Re: folded",
]  # fmt: skip
NOT_QUOTING = [
    "Subject: Offer", "Subject: Regarding: x", "Subject: Result: x", "Subject: Reminder", "Subject: =?utf-8?B?!?=",
    "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "Subject:", "X-Other: Re: x", "From: Re: <a@b.example>",
]  # fmt: skip


@pytest.mark.parametrize("field", QUOTING)
def test_answers_and_forwards_are_known_in_many_languages(field: str) -> None:
    assert glance(f"From: a@b.example\r\n{field}\r\n\r\nHi".encode()).quotes


@pytest.mark.parametrize("field", NOT_QUOTING)
def test_ordinary_mail_is_not_taken_for_one(field: str) -> None:
    assert not glance(f"{field}\r\n\r\nRe: in the body".encode()).quotes


def test_sender_and_identity_as_before() -> None:
    seen = glance(b"From: Jonas <jonas@b.example>\r\nMessage-ID: <1@x>\r\n\r\nHi")
    assert (seen.from_address, seen.identity) == ("jonas@b.example", b"<1@x>")
