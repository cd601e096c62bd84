"""`tracker try` mails a sample through the whole way, says each step, and leaves what any mail leaves."""

from __future__ import annotations

import email.policy
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from email import message_from_bytes
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.harness import CONTACT, Installation, free_port
from tests.mailserver import MailServer, mail_server
from tracker.cli import tracker as command
from tracker.model import TrackerError

pytestmark = pytest.mark.e2e
ANNA, BERT = "anna@example.org", "bert@example.org"
TABLES = ("recipients", "grants", "ledger", "messages", "links", "deliveries", "tracked", "events", "spent", "mailings")


@pytest.fixture(scope="module")
def hop() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, hop: MailServer) -> Iterator[Installation]:
    """With an SMTP door, and Anna's consent."""
    installation = Installation.copied(tmp_path_factory.mktemp("try") / "tracker")
    installation.environment |= {
        "TRACKER_SMTP_LISTEN": f"127.0.0.1:{free_port()}",
        "TRACKER_SMTP_NEXT_HOP": hop.next_hop,
        "TRACKER_SENDER_DOMAINS": "werkstatt-nord.example",
    }
    with installation:
        installation.grant(ANNA)
        yield installation


@pytest.fixture
def api(proxy: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """The same, for whom there is no SMTP door: the command goes by /v1/rewrite."""
    monkeypatch.setitem(proxy.environment, "TRACKER_SMTP_LISTEN", "")
    (proxy.folder / "key").write_text(f"{proxy.key}\n")
    return proxy


def rows(tracker: Installation) -> dict[str, int]:
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as database:
        return {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in TABLES}


def more(tracker: Installation, before: dict[str, int]) -> dict[str, int]:
    """How many rows came since BEFORE."""
    after = rows(tracker)
    return {name: after[name] - before[name] for name in TABLES if after[name] != before[name]}


def invoked(tracker: Installation, *words: str) -> Result:
    """`tracker WORDS` in this process, which takes a fraction of the time of one of its own."""
    return CliRunner().invoke(command, words, env=tracker.environment)


def succeeded(tracker: Installation, *words: str) -> str:
    """What `tracker try WORDS` prints."""
    done = invoked(tracker, "try", *words)
    assert done.exit_code == 0, done.exception
    return done.stdout


def pixel_of(octets: bytes) -> str:
    body = message_from_bytes(octets, policy=email.policy.default).get_body(("html",))
    assert body is not None
    (path,) = re.findall(r'src="http://127\.0\.0\.1:\d+(/o/[^"]+)"', str(body.get_content()))
    return str(path)


def told(tracker: Installation, *words: str) -> str:
    """What is said of an error; each says what it means and what to do."""
    failed = invoked(tracker, "try", *words).exception
    assert isinstance(failed, TrackerError), failed
    error = failed.explanation
    assert "What it means:" in error
    assert "What to do:" in error
    assert ANNA not in error
    return error


def test_a_sample_goes_by_smtp_and_comes_back(proxy: Installation, hop: MailServer) -> None:
    before, had = rows(proxy), len(hop.received)
    words = [sys.executable, "-m", "tracker", "try", ANNA, "--wait", "60"]
    with subprocess.Popen(words, env=proxy.environment, stdout=subprocess.PIPE, text=True) as running:
        received = hop.wait_for(had + 1)[-1]
        assert received.sender == CONTACT
        assert received.recipients == (ANNA,)
        text = str(received.message.get_body(("plain",)).get_content())  # type: ignore[union-attr]
        assert "Werkstatt Nord GmbH" in text
        assert "/privacy/" in text
        assert proxy.public("GET", pixel_of(received.octets)).status == 200
        assert running.stdout is not None
        said = running.stdout.read()
    assert running.returncode == 0
    steps = [
        "Consent is on record: opens and clicks.",
        "The tracker took it at 127.0.0.1:",
        "Tracked: opens and clicks",
    ]
    steps += ["What to look for:", "tracker subject show", "Waiting up to 60 s", "It came back: the sample was opened."]
    places = [said.index(step) for step in steps]
    assert places == sorted(places)
    assert "the next hop said: 250 OK" in said
    left = {"messages": 1, "links": 1, "deliveries": 1, "tracked": 2, "events": 1}
    assert more(proxy, before) == left, "what any mail leaves that was opened"
    assert '"open"' in proxy.run("subject", "show", stdin=ANNA.encode())
    assert ANNA not in proxy.log_file.read_text()


def test_a_sample_goes_by_the_api_where_there_is_no_smtp_door(api: Installation, hop: MailServer) -> None:
    before, had = rows(api), len(hop.received)
    said = succeeded(api, ANNA, "--key", str(api.folder / "key"), "--link", "https://shop.example/a")
    assert "/v1/rewrite at 127.0.0.1" in said
    assert "with 1/1 links tracked" in said
    assert "Handed to the next hop; it said: 250 OK" in said
    received = hop.wait_for(had + 1)[-1]
    assert b"shop.example/" in received.octets
    pixel_of(received.octets)
    assert more(api, before) == {"messages": 1, "links": 1, "deliveries": 1, "tracked": 2}


def test_without_a_consent_nothing_is_sent_and_one_is_recorded_only_when_it_is_said(
    proxy: Installation, hop: MailServer
) -> None:
    before, had = rows(proxy), len(hop.received)
    assert "No consent is on record for this address." in told(proxy, BERT)
    assert "--record-consent" in told(proxy, BERT)
    assert (more(proxy, before), len(hop.received)) == ({}, had)
    said = succeeded(proxy, BERT, "--record-consent", "my own mailbox, signed in file 7")
    assert "Recorded a consent to notice 2026-1 (en)" in said
    assert hop.wait_for(had + 1)[-1].recipients == (BERT,)
    history = proxy.api("POST", "/v1/consents/lookup", {"address": BERT}).json["history"]
    assert (history[0]["event"], history[0]["method"], history[0]["actor"]) == ("given", "written", "cli")
    assert proxy.api("POST", "/v1/consents/withdraw", {"address": BERT}).status == 200
    assert "The person said no." in told(proxy, BERT, "--record-consent", "my own mailbox")
    assert "a no is on record" in told(proxy, BERT)
    assert len(hop.received) == had + 1


def test_what_the_next_hop_says_is_passed_on_without_the_address(
    proxy: Installation, hop: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hop, "answer", f"550 5.1.1 <{ANNA}>: nobody of that name")
    error = told(proxy, ANNA)
    assert "550 5.1.1 <[address]>: nobody of that name" in error
    assert "smtp_next_hop" in error


def test_a_refused_sample_is_taken_back(api: Installation, hop: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows(api)
    monkeypatch.setattr(hop, "answer", "450 4.2.1 busy")
    assert "450 4.2.1 busy" in told(api, ANNA, "--key", str(api.folder / "key"))
    monkeypatch.setitem(api.environment, "TRACKER_SMTP_NEXT_HOP", f"127.0.0.1:{free_port()}")
    assert "it cannot be reached" in told(api, ANNA, "--key", str(api.folder / "key"))
    assert not {"deliveries", "tracked", "events"} & more(api, before).keys()


@pytest.mark.parametrize(
    ("setting", "value", "words", "said"),
    [
        ("SMTP_LISTEN", "127.0.0.1:1", (), "127.0.0.1:1: it cannot be reached"),
        ("MODE", "observe", (), 'mode = "observe" changes nothing; nothing was sent'),
        ("SENDER_DOMAINS", "elsewhere.example", (), "foreign-sender"),
        ("SMTP_LISTEN", "", (), "an API key is needed: --key FILE"),
    ],
)
def test_settings_that_keep_the_sample_back_are_named(
    proxy: Installation,
    hop: MailServer,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    value: str,
    words: tuple[str, ...],
    said: str,
) -> None:
    had = len(hop.received)
    monkeypatch.setitem(proxy.environment, f"TRACKER_{setting}", value)
    assert said in told(proxy, ANNA, *words)
    assert len(hop.received) == had


def test_a_server_that_is_not_there_is_named(api: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(api.environment, "TRACKER_PRIVATE_LISTEN", f"127.0.0.1:{free_port()}")
    assert "nobody listens there" in told(api, ANNA, "--key", str(api.folder / "key"))


def test_a_key_is_looked_at_before_anything_is_sent(api: Installation, tmp_path: Path) -> None:
    wrong, other = tmp_path / "wrong", tmp_path / "other"
    wrong.write_text("trk_nothing\n")
    other.write_text(invoked(api, "key", "create", "figures", "--scope", "stats").stdout)
    assert "The API key is missing or unknown." in told(api, ANNA, "--key", str(wrong))
    assert "(rewrite)" in told(api, ANNA, "--key", str(other))


def test_nothing_that_comes_back_is_said_and_is_no_success(proxy: Installation) -> None:
    done = invoked(proxy, "try", ANNA, "--wait", "1")
    assert done.exit_code == 1
    assert "Nothing came back in time." in done.stdout
    assert "What to do:" in done.stdout
    assert "It came back" not in done.stdout


def test_a_server_with_other_settings_is_suspected(proxy: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The running one tracks mail from one domain; the settings say another by now."""
    monkeypatch.setitem(proxy.environment, "TRACKER_SENDER_DOMAINS", "other.example")
    assert "start it again" in told(proxy, ANNA, "--from", "shop@other.example")


def test_where_a_login_is_needed_the_key_logs_in(fresh: Installation, hop: MailServer) -> None:
    fresh.environment |= {
        "TRACKER_SMTP_LISTEN": f"127.0.0.1:{free_port()}",
        "TRACKER_SMTP_NEXT_HOP": hop.next_hop,
        "TRACKER_SENDER_DOMAINS": "werkstatt-nord.example",
        "TRACKER_SMTP_NETWORKS": "192.0.2.0/24",
    }
    key, had = fresh.folder / "key", len(hop.received)
    with fresh as tracker:
        tracker.grant(ANNA)
        assert "530 5.7.0 Authentication required" in told(tracker, ANNA)
        assert len(hop.received) == had
        key.write_text(tracker.key)
        assert "Tracked: opens and clicks" in succeeded(tracker, ANNA, "--key", str(key))
    assert b" with ESMTPA;" in hop.wait_for(had + 1)[-1].octets
