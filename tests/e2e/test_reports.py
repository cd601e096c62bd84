"""The notice and the record of processing of a running installation: refused with gaps, complete without."""

from __future__ import annotations

import pytest

from tests.harness import CONTROLLER, Installation

pytestmark = pytest.mark.e2e
STATEMENTS = {
    "TRACKER_CONTROLLER_ADDRESS": "Hafenstraße 1, 24103 Kiel",
    "TRACKER_DATA_PROTECTION_OFFICER": "Dr. Vera Klug, dsb@werkstatt-nord.example",
    "TRACKER_SUPERVISORY_AUTHORITY": "Unabhängiges Landeszentrum für Datenschutz, Holstenstraße 98, 24103 Kiel",
    "TRACKER_PURPOSES": "Damit wir wissen, ob unsere Angebote ankommen und was darin wichtig war.",
    "TRACKER_DATA_RECIPIENTS": "Vertrieb; als Auftragsverarbeiter die Förde Hosting GmbH",
    "TRACKER_HOSTING": "Förde Hosting GmbH, Rechenzentrum Kiel, Deutschland",
    "TRACKER_TRANSFERS": "none",
}


def test_with_gaps_both_are_refused_and_the_gaps_named(fresh: Installation) -> None:
    for name in ("notice", "art30"):
        refused = fresh.process("report", name, status=1)
        assert b"hosting" in refused.stderr
        assert b"purposes" in refused.stderr
        assert not refused.stdout
    fresh.start()
    assert fresh.public("GET", "/notice").status == 503
    assert fresh.stop() == 0
    assert "notice at /notice is not shown while these are not set: controller_address" in fresh.log_file.read_text()


def test_complete_they_are_printed_and_shown(fresh: Installation) -> None:
    fresh.environment |= STATEMENTS
    text = fresh.run("report", "notice", "--language", "de")
    assert "\nDatenschutzhinweis zu Öffnungen und Klicks in unseren E-Mails\n=====" in text
    assert STATEMENTS["TRACKER_HOSTING"] in text
    assert CONTROLLER in text
    assert "events.hour" in fresh.run("report", "art30")
    page = fresh.run("report", "art30", "--language", "fr", "--format", "html")
    assert page.startswith("<!doctype html>")
    fresh.start()
    shown = fresh.public("GET", "/notice?lang=de")
    assert shown.status == 200
    assert shown.body.decode().rstrip("\n") == fresh.run(
        "report", "notice", "--language", "de", "--format", "html"
    ).rstrip("\n")
    key = fresh.public("GET", "/.well-known/consent-receipt-key")
    assert key.body.decode() == fresh.run("consent", "export", "--public-key")
    assert fresh.public("GET", "/.well-known/security.txt").status == 200
