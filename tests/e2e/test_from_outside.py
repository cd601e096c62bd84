"""`tracker doctor --from-outside` meets what strangers meet behind public_url, and leaves no trace of it."""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.front import Front, fronting
from tests.harness import Installation
from tracker.cli import tracker as command
from tracker.core.keys import KeyRing, SigningKey
from tracker.doors.asker import ask
from tracker.findings import Finding
from tracker.keyfile import KeyFile
from tracker.outside import examine_from_outside

pytestmark = pytest.mark.e2e
ANSWERS = "public_url answers strangers"
CERTIFICATE = "the certificate of public_url holds"
COMES = "answers come as they were sent, without cookies"
IMAGE = "a pixel is the same image, whatever its token"
LEADS = "a link leads on, and a forged one does not"
ALONE = "strangers reach the public listener alone"
PLAIN = "http leads to https"
OF_PEOPLE = ("recipients", "grants", "ledger", "messages", "links", "deliveries", "tracked", "events", "untouched")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, Front]]:
    """A server whose public_url leads through a front with TLS."""
    folder = tmp_path_factory.mktemp("outside")
    installation = Installation.copied(folder / "tracker")
    with fronting(int(installation.public_url.rpartition(":")[2]), folder) as front:
        installation.environment |= {"TRACKER_PUBLIC_URL": front.url, "SSL_CERT_FILE": str(front.certificate)}
        with installation:
            yield installation, front


@pytest.fixture
def examined(served: tuple[Installation, Front], monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Finding]]:
    """What is found, by name, when the front does CHANGE to answers."""
    tracker, front = served

    def examine(change: Callable[[bytes], bytes] = bytes, url: str = front.url) -> dict[str, Finding]:
        monkeypatch.setenv("SSL_CERT_FILE", str(front.certificate))
        monkeypatch.setattr(front, "change", change)
        ring = KeyFile(tracker.folder / "tracker.keys").load()
        found = examine_from_outside(url, ring, datetime.now(UTC), secrets.token_bytes, ask, front.plain_port)
        return {finding.what: finding for finding in found}

    return examine


def rows(tracker: Installation) -> dict[str, int]:
    """How many there are of each table that tells of people or mail."""
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as database:
        return {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in OF_PEOPLE}


def test_all_is_well_behind_a_reverse_proxy_and_no_event_comes_of_it(served: tuple[Installation, Front]) -> None:
    tracker, front = served
    tracker.grant("anna@example.org")
    before, asked = rows(tracker), front.connections
    told = tracker.run("doctor", "--from-outside").splitlines()
    assert not [line for line in told if line.startswith("WRONG")]
    for what in (ANSWERS, CERTIFICATE, COMES, IMAGE, LEADS, ALONE, "the pixel comes in time"):
        assert f"ok    {what}" in told
    assert front.connections > asked
    tracker.until_written()
    assert rows(tracker) == before
    lines = tracker.api("GET", "/metrics").body.decode().splitlines()
    hits = [line for line in lines if line.startswith("tracker_hits_total") and not line.endswith(" 0.0")]
    assert {re.findall(r'result="(\w+)"', line)[0] for line in hits} == {"uncounted", "forged"}


def test_without_the_flag_nobody_is_asked(served: tuple[Installation, Front]) -> None:
    tracker, front = served
    before = front.connections
    assert ANSWERS not in tracker.run("doctor")
    assert front.connections == before


def test_http_is_to_lead_to_https_with_the_whole_path(
    examined: Callable[..., dict[str, Finding]], served: tuple[Installation, Front], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert str(examined()[PLAIN]) == f"ok    {PLAIN}"
    monkeypatch.setattr(served[1], "plain", "200 OK")
    found = examined()[PLAIN]
    assert not found.fine
    assert "answered 200" in found.why


@pytest.mark.parametrize(
    ("old", "new", "what", "why"),
    [
        (b"GIF89a", b"GIF89b", IMAGE, "is not our GIF"),
        (b"image/gif", b"image/png", IMAGE, "is not our GIF"),
        (b"Cache-Control: no-store", b"Cache-Control: public  ", COMES, "Cache-Control was changed"),
        (b"Referrer-Policy:", b"X-Nothing-At-All:", COMES, "Referrer-Policy is missing"),
        (b"X-Content-Type-Options: nosniff", b"X-Content-Type-Options: nosniff\r\nSet-Cookie: a=b", COMES, "cookie"),
        (
            b"Strict-Transport-Security:",
            b"Strict-Transport-Security: max-age=1\r\nStrict-Transport-Security:",
            COMES,
            "changed",
        ),
        (b"302 Found", b"301 Moved", LEADS, "was answered 301"),
        (b"https://example.com/", b"https://example.net/", LEADS, "another key file"),
        (b"HTTP/1.1 404", b"HTTP/1.1 200", LEADS, "a forged link was answered 200"),
        (b"HTTP/1.1 404", b"HTTP/1.1 200", ALONE, "/metrics"),
    ],
)
def test_what_a_proxy_does_to_answers_is_found(
    examined: Callable[..., dict[str, Finding]], old: bytes, new: bytes, what: str, why: str
) -> None:
    found = examined(lambda octets: octets.replace(old, new))[what]
    assert not found.fine
    assert why in found.why


def test_a_certificate_that_nobody_trusts_is_found(served: tuple[Installation, Front]) -> None:
    tracker, front = served
    told = _told(tracker, SSL_CERT_FILE="/dev/null")
    assert f"WRONG {ANSWERS}: {front.url}: its certificate does not hold: self-signed certificate" in told


def test_a_certificate_that_ends_soon_or_is_of_another_name_is_found(
    served: tuple[Installation, Front], tmp_path: Path
) -> None:
    tracker, _ = served
    port = int(tracker.environment["TRACKER_PUBLIC_LISTEN"].rpartition(":")[2])
    for days, host, status, word in (
        (10, "localhost", 0, "it ends in 9 days"),
        (-1, "localhost", 1, "certificate has expired"),
        (90, "t.example.com", 1, "Hostname mismatch"),
    ):
        with fronting(port, tmp_path, days=days, host=host) as other:
            environment = {"TRACKER_PUBLIC_URL": other.url, "SSL_CERT_FILE": str(other.certificate)}
            assert word in _told(tracker, status, **environment)


def test_who_does_not_answer_is_named_with_the_reason(
    examined: Callable[..., dict[str, Finding]], served: tuple[Installation, Front]
) -> None:
    nobody = examined(url="http://localhost:1")
    assert str(nobody[ANSWERS]) == f"WRONG {ANSWERS}: http://localhost:1: nobody listens there"
    nowhere = examined(url="https://tracker.invalid")
    assert "the name tracker.invalid is not known here" in nowhere[ANSWERS].why
    no_http = examined(lambda octets: b"220 mail.example.com ESMTP\r\n\r\n")
    assert "what came is no HTTP" in no_http[ANSWERS].why


def test_another_key_file_is_found(served: tuple[Installation, Front], monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a second machine has one of its own."""
    _, front = served
    monkeypatch.setenv("SSL_CERT_FILE", str(front.certificate))
    now = datetime.now(UTC)
    ring = KeyRing((b"1" * 32,), b"l" * 32, (SigningKey("A", b"a" * 32, now),))
    found = {one.what: one for one in examine_from_outside(front.url, ring, now, secrets.token_bytes, ask)}
    assert "a link that this key file signed was answered 404" in found[LEADS].why
    assert found[IMAGE].fine, "the pixel is the pixel, whatever the token"


def _told(tracker: Installation, status: int = 1, **environment: str) -> str:
    """What `tracker doctor --from-outside` prints, run in this process."""
    done = CliRunner().invoke(command, ["doctor", "--from-outside"], env={**tracker.environment, **environment})
    assert done.exit_code == status, done.exception
    return done.stdout
