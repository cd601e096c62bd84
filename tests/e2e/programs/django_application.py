"""An application in Django that mails an offer, as its documentation shows, through the server its settings name.

Arguments: the server's port, the login, the recipients. The password comes in APPLICATION_PASSWORD, and the
certificate to trust in SSL_CERT_FILE.
"""

from __future__ import annotations

import os
import sys

import django
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection

PLAIN = "Grüße aus dem Norden.\n.\nDas Angebot: https://shop.example/angebot\n"
PAGE = '<html><body><p>Grüße aus dem <a href="https://shop.example/angebot?n=1&amp;m=2">Norden</a>.</p></body></html>'
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 40


def main(port: str, login: str, *recipients: str) -> None:
    settings.configure(
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=int(port),
        EMAIL_USE_TLS=True,
        EMAIL_HOST_USER=login,
        EMAIL_HOST_PASSWORD=os.environ["APPLICATION_PASSWORD"],
        EMAIL_TIMEOUT=30,
        DEFAULT_FROM_EMAIL="Jürgen Groß <juergen@werkstatt-nord.example>",
    )
    django.setup()
    with get_connection() as connection:  # one connection for all, as newsletters are sent
        for recipient in recipients:
            mail = EmailMultiAlternatives(
                "Ihr Angebot für Möbel", PLAIN, to=[recipient], connection=connection,
                headers={"X-Tracker-Label": "Angebot Nord", "X-Tracker-Campaign": "django-7"},
            )  # fmt: skip
            mail.attach_alternative(PAGE, "text/html")
            mail.attach("angebot.pdf", PDF, "application/pdf")
            assert mail.send() == 1


if __name__ == "__main__":
    main(*sys.argv[1:])
