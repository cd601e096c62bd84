"""`tracker doctor` says what recipients would run into, and when a text promises less than is done."""

from __future__ import annotations

import pytest

from tests.harness import Installation

COMPLETE = {
    "TRACKER_SMTP_NEXT_HOP": "127.0.0.1:25",
    "TRACKER_CONTROLLER_ADDRESS": "Hafenstraße 1, 20457 Hamburg",
    "TRACKER_DATA_PROTECTION_OFFICER": "none",
    "TRACKER_SUPERVISORY_AUTHORITY": "HmbBfDI, Hamburg",
    "TRACKER_PURPOSES": "So that we know whether our offers arrive.",
    "TRACKER_DATA_RECIPIENTS": "Our sales department.",
    "TRACKER_HOSTING": "Our own server in Hamburg.",
    "TRACKER_TRANSFERS": "none",
}


def test_what_is_missing_for_recipients_is_noted_and_no_error(fresh: Installation) -> None:
    told = fresh.run("doctor").splitlines()
    notes = [line for line in told if line.startswith("note  ")]
    assert len(notes) == 2
    assert "smtp_next_hop" in notes[0]
    assert "controller_address, data_protection_officer" in notes[1]
    fresh.environment |= COMPLETE
    assert all(line.startswith("ok    ") for line in fresh.run("doctor").splitlines())


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("RETENTION_DAYS", "365", "2026-1 (de) says 90 days where the settings say 365"),
        ("CONSENT_DAYS", "1000", "2026-1 (it) says 730 days where the settings say 1000"),
        ("PROOF_DAYS", "2000", "2026-1 (en) says 1095 days where the settings say 2000"),
        ("CONTROLLER", "Somebody Else Ltd", "2026-1 (fr) names another controller than the settings"),
    ],
)
def test_r13_a_text_that_promises_less_than_is_done_is_wrong(
    fresh: Installation, setting: str, value: str, told: str
) -> None:
    """R13: who agreed to 90 days did not agree to a year, nor to another company."""
    fresh.environment[f"TRACKER_{setting}"] = value
    said = fresh.process("doctor", status=1).stdout.decode()
    assert "WRONG the texts in force" in said
    assert told in said


def test_keeping_less_than_was_said_is_fine_and_superseded_texts_are_of_no_matter(fresh: Installation) -> None:
    fresh.environment["TRACKER_RETENTION_DAYS"] = "31"
    assert "WRONG" not in fresh.run("doctor")
    fresh.run("notice", "supersede", "2026-1")
    fresh.environment["TRACKER_RETENTION_DAYS"] = "365"
    assert "so nobody can be asked" in fresh.run("doctor")


def test_https_without_a_known_proxy_is_noted(fresh: Installation) -> None:
    fresh.environment |= {**COMPLETE, "TRACKER_PUBLIC_URL": "https://t.example.com"}
    assert "note  the reverse proxy is known: trusted_proxies is empty" in fresh.run("doctor")
    fresh.environment["TRACKER_TRUSTED_PROXIES"] = "127.0.0.1"
    assert "note" not in fresh.run("doctor")
