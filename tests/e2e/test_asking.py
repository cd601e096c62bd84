"""Asked and answered, end to end: the real server, a real mail server, and whatever can be found to cheat with."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.e2e.mail import NEWSLETTER, OFFER
from tests.harness import CONTACT, CONTROLLER, Installation, Reply, consent
from tests.mailserver import MailServer, Received
from tests.mailserver import mail_server as running_mail_server

FORM = "application/x-www-form-urlencoded"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
A_DAY = 5
"""The cap on confirmations in these tests."""
STATE = ("grants", "pending", "suppressions", "ledger", "ledger_contents", "spent", "mailings", "recipients")


@dataclass
class Tracker:
    """A server, the mail server behind it, and a key that may also invite."""

    installation: Installation
    mails: MailServer
    key: str

    def get(self, path: str, method: str = "GET") -> Reply:
        return self.installation.public(method, path, User_Agent=FIREFOX)

    def post(self, path: str, **form: object) -> Reply:
        body = urlencode(form, doseq=True).encode()
        return self.installation.public("POST", path, body, Content_Type=FORM, User_Agent=FIREFOX)

    def api(self, path: str, body: object) -> Reply:
        return self.installation.api("POST", path, body, key=self.key)

    def asked(self, address: str, *purposes: str) -> str:
        """Type ADDRESS at /ask; the path of the link that comes."""
        before = len(self.mails.received)
        assert self.post("/ask", address=address, purpose=purposes or ("open", "click")).status == 200
        return self.path_in(self.mails.wait_for(before + 1)[before])

    def path_in(self, mail: Received) -> str:
        [url] = mail.links
        assert url.startswith(f"{self.installation.public_url}/ask/")
        return url.removeprefix(self.installation.public_url)

    def outcome(self, address: str) -> str:
        """What happens to a message to ADDRESS."""
        return str(self.installation.rewrite(OFFER, address).headers["Tracker-Outcome"])

    def lookup(self, address: str) -> dict[str, list[dict[str, object]]]:
        reply = self.api("/v1/consents/lookup", {"address": address})
        assert reply.status == 200
        found: dict[str, list[dict[str, object]]] = reply.json
        return found

    def state(self) -> list[object]:
        """All rows that say what people agreed to, and what was spent or mailed."""
        with closing(sqlite3.connect(self.installation.folder / "tracker.db")) as database:
            return [database.execute(f"SELECT * FROM {table}").fetchall() for table in STATE]


def made(folder: Path, mails: MailServer, **settings: str) -> Tracker:
    named = {"TRACKER_SMTP_NEXT_HOP": mails.next_hop, "TRACKER_CONFIRMATIONS_PER_DAY": str(A_DAY), **settings}
    installation = Installation.copied(folder, **named)
    scopes = ("--scope", "consent", "--scope", "invite", "--scope", "rewrite")
    return Tracker(installation, mails, installation.run("key", "create", "crm", *scopes).strip())


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracker]:
    with running_mail_server() as mails:
        tracker = made(tmp_path_factory.mktemp("asking") / "tracker", mails)
        with tracker.installation:
            yield tracker


@pytest.fixture
def fresh(tmp_path: Path, mail_server: MailServer) -> Iterator[Tracker]:
    """A tracker of this test's own, not started."""
    tracker = made(tmp_path / "tracker", mail_server)
    yield tracker
    tracker.installation.kill()


def by_rep(address: str, **more: object) -> dict[str, object]:
    return consent(address, method="rep", evidence={"source": "trade fair"}, **more)


# --- asking -------------------------------------------------------------------------------------


def test_who_types_the_address_and_says_yes_behind_the_mailed_link_is_tracked(tracker: Tracker) -> None:
    address = "first@example.org"
    assert b"checked" not in tracker.get("/ask").body
    path = tracker.asked(address)
    assert tracker.outcome(address) == "untouched"
    assert tracker.get(path).status == 200
    assert tracker.outcome(address) == "untouched"
    answer = tracker.post(path, answer="yes", purpose=["open", "click"])
    assert answer.status == 200
    assert tracker.outcome(address) == "tracked"
    [entry] = tracker.lookup(address)["history"]
    assert (entry["event"], entry["method"], entry["actor"]) == ("given", "page", "recipient")
    assert tracker.post(path, answer="no").status == 410
    assert tracker.outcome(address) == "tracked"


def test_r62_neither_link_nor_address_is_logged(tracker: Tracker) -> None:
    """R62: logs hold route templates, never a token or an address."""
    path = tracker.asked("logged@example.org")
    assert tracker.post(path, answer="yes", purpose="open").status == 200
    log = tracker.installation.log_file.read_text()
    assert "POST /ask/{token} 200" in log
    assert path.removeprefix("/ask/") not in log
    assert "logged@" not in log


def test_a_no_behind_the_link_is_recorded_and_the_same_consent_posted_later_changes_nothing(tracker: Tracker) -> None:
    address = "no@example.org"
    assert tracker.post(tracker.asked(address), answer="no").status == 200
    assert {one["purpose"] for one in tracker.lookup(address)["suppressed"]} == {"open", "click"}
    assert tracker.api("/v1/consents", consent(address)).status == 409
    assert tracker.post(tracker.asked(address), answer="yes", purpose="open").status == 200
    assert tracker.outcome(address) == "tracked"


def test_r4_a_form_that_was_not_touched_grants_nothing(tracker: Tracker) -> None:
    """R4: what a browser sends of the page as it came."""
    address = "untouched@example.org"
    path = tracker.asked(address)
    page = tracker.get(path).body.decode()
    action = unescape(re.findall(r'action="([^"]+)"', page)[0])
    before = tracker.state()
    assert tracker.post(action, answer="yes").status == 422
    assert tracker.post(action).status == 422
    assert tracker.state() == before


def test_r9_taking_it_back_takes_no_more_steps_than_saying_yes(tracker: Tracker) -> None:
    """R9: from a message, yes is a page, ticks and a press; taking it back is a page and a press."""
    address = "steps@example.org"
    path = tracker.asked(address)
    steps = {"yes": 0, "back": 0}
    page = tracker.get(path).body.decode()
    steps["yes"] += 1 + page.count('type="checkbox"')
    assert tracker.post(path, answer="yes", purpose=["open", "click"]).status == 200
    steps["yes"] += 1
    rewritten = tracker.installation.rewrite(OFFER, address).body.decode("utf-8", "replace")
    stop = re.findall(r"/privacy/[A-Za-z0-9_-]+", rewritten.replace("=\r\n", ""))[0]
    page = tracker.get(stop).body.decode()
    steps["back"] += 1 + page.count("<input")
    assert tracker.post(f"{stop}/withdraw").status == 200
    steps["back"] += 1
    assert steps["back"] <= steps["yes"]
    assert tracker.outcome(address) == "untouched"


# --- what a rep reports -------------------------------------------------------------------------


def test_r7_what_a_rep_reports_is_confirmed_by_a_plain_mail_of_ours(tracker: Tracker) -> None:
    """R7: pending is untracked; the mail carries neither advertising nor tracking; only the POST makes the grant."""
    address = "fair@example.org"
    before = len(tracker.mails.received)
    reply = tracker.api("/v1/consents", by_rep(address, requested=True))
    assert (reply.status, reply.json["state"]) == (202, "pending")
    mail = tracker.mails.wait_for(before + 1)[before]
    assert mail.recipients == (address,)
    assert mail.sender == CONTACT
    assert CONTROLLER in mail.text
    assert mail.message["Auto-Submitted"] == "auto-generated"
    assert mail.message["Subject"] == "Bitte bestätigen Sie: Dürfen wir Öffnungen und Klicks sehen?"
    assert mail.message.get_content_type() == "text/plain"
    path = tracker.path_in(mail)
    assert tracker.get(path).status == 200
    assert tracker.outcome(address) == "untouched"
    assert tracker.post(path, answer="yes", purpose=["open", "click"]).status == 200
    assert tracker.outcome(address) == "tracked"
    assert tracker.lookup(address)["pending"] == []


def test_r7_a_senders_invitation_neither_confirms_a_report_nor_undoes_a_no(tracker: Tracker) -> None:
    """R7: 409, and nothing changes, however often it is tried."""
    pending, refused = "pending@example.org", "refused@example.org"
    assert tracker.api("/v1/consents", by_rep(pending)).status == 202
    links = {address: tracker.api("/v1/consents/invitations", {"address": address, "purposes": ["open"]})
             for address in (pending, refused)}  # fmt: skip
    assert tracker.api("/v1/consents/withdraw", {"address": refused}).status == 200
    before = tracker.state()
    for reply in links.values():
        path = reply.json["url"].removeprefix(tracker.installation.public_url)
        for _ in range(2):
            assert tracker.post(path, answer="yes", purpose="open").status == 409
    assert tracker.state() == before


def test_r12_an_invitation_is_refused_after_a_no(tracker: Tracker) -> None:
    """R12: 409, through the API and on the command line; the problem names /ask."""
    address = "never@example.org"
    reply = tracker.api("/v1/consents/invitations", {"address": address, "purposes": ["open", "click"]})
    assert reply.status == 201
    path = reply.json["url"].removeprefix(tracker.installation.public_url)
    assert tracker.post(path, answer="no").status == 200
    refused = tracker.api("/v1/consents/invitations", {"address": address, "purposes": ["open", "click"]})
    assert (refused.status, refused.json["type"]) == (409, "urn:tracker:problem:suppressed")
    assert refused.json["ask"] == f"{tracker.installation.public_url}/ask"
    told = tracker.installation.process("consent", "invite", "-", stdin=f"{address}\n".encode(), status=1)
    assert b"/ask" in told.stderr


def test_the_command_line_invites_too(tracker: Tracker) -> None:
    done = tracker.installation.process(
        "consent", "invite", "--purpose", "open", "--language", "fr", "--reference", "77", stdin=b"cli@example.org\n"
    )
    url = done.stdout.decode().strip()
    assert b"until 20" in done.stderr
    page = tracker.get(url.removeprefix(tracker.installation.public_url)).body.decode()
    assert '<html lang="fr">' in page
    assert page.count('type="checkbox"') == 1


# --- mails --------------------------------------------------------------------------------------


def test_only_a_single_report_that_asks_for_it_mails_and_so_many_a_day(fresh: Tracker) -> None:
    with fresh.installation:
        for number in range(20):
            assert fresh.api("/v1/consents", by_rep(f"silent{number}@example.org")).status == 202
        for number in range(A_DAY + 3):
            body = by_rep(f"asked{number}@example.org", requested=True)
            assert fresh.api("/v1/consents", body).status == 202
            assert fresh.api("/v1/consents", body).status == 202  # a retry mails nothing more
        fresh.mails.wait_for(A_DAY)
    addresses = [recipient for mail in fresh.mails.received for recipient in mail.recipients]
    assert sorted(addresses) == [f"asked{number}@example.org" for number in range(A_DAY)]


def test_what_waits_is_mailed_before_the_server_ends(fresh: Tracker) -> None:
    with fresh.installation:
        for number in range(10):
            assert fresh.post("/ask", address=f"person{number}@example.org", purpose="open").status == 200
    assert len(fresh.mails.received) == 10


def test_a_mail_server_that_refuses_changes_no_answer_and_leaves_no_address(fresh: Tracker) -> None:
    fresh.mails.answer = "550 canary.person@example.org is not known here"
    with fresh.installation:
        sent = fresh.post("/ask", address="canary.person@example.org", purpose="open")
        fresh.mails.wait_until_asked(1)
        other = fresh.post("/ask", address="other@example.org", purpose="open")
        assert (sent.status, sent.body) == (other.status, other.body)
        fresh.mails.wait_until_asked(2)
    log = fresh.installation.log_file.read_text()
    assert log.count("a mail was not sent: mail-refused: SMTPRecipientRefused 550") == 2
    written = b"".join(path.read_bytes() for path in fresh.installation.folder.rglob("*") if path.is_file())
    assert b"canary" not in written.lower()


def test_metrics_count_the_mails(fresh: Tracker) -> None:
    with fresh.installation:
        for _ in range(4):
            fresh.post("/ask", address="anna@example.org", purpose="open")
        fresh.mails.wait_for(3)
        lines = fresh.installation.api("GET", "/metrics").body.decode().splitlines()
    counts = {line.split(" ")[0]: float(line.split(" ")[1]) for line in lines if line.startswith("tracker_own_mails")}
    assert counts['tracker_own_mails_total{kind="ask",result="too-often"}'] == 1
    assert counts['tracker_own_mails_total{kind="ask",result="sent"}'] >= 2  # the third may be on its way


# --- cheating -----------------------------------------------------------------------------------


def everything_found(tracker: Tracker, address: str) -> set[str]:
    """Every word that could be a token in a message, in answers of the API, in mails and on pages."""
    texts = [
        tracker.installation.rewrite(OFFER, address).body.decode("utf-8", "replace").replace("=\r\n", ""),
        tracker.installation.rewrite(NEWSLETTER, address).body.decode("utf-8", "replace").replace("=\r\n", ""),
        tracker.api("/v1/consents/lookup", {"address": address}).body.decode(),
        tracker.get("/ask").body.decode(),
        tracker.key,
    ]
    stops = re.findall(r"/privacy/[A-Za-z0-9_-]{84}", texts[0])
    assert stops
    texts.append(tracker.get(stops[0]).body.decode())
    return {word for text in texts for word in re.findall(r"[A-Za-z0-9_.-]{16,2000}", text)}


def test_no_token_but_an_ask_token_gets_a_grant(tracker: Tracker) -> None:
    address = "tracked@example.org"
    assert tracker.api("/v1/consents", consent(address)).status == 201
    words = everything_found(tracker, address)
    assert len(words) > 20
    before = tracker.state()
    for word in sorted(words):
        for answer in ("yes", "no"):
            assert tracker.post(f"/ask/{word}", answer=answer, purpose=["open", "click"]).status in {404, 405}
    assert tracker.state() == before


def test_an_ask_token_opens_no_other_door(tracker: Tracker) -> None:
    token = tracker.asked("other-doors@example.org").removeprefix("/ask/")
    before = tracker.state()
    assert tracker.get(f"/privacy/{token}").status == 404
    assert tracker.post(f"/privacy/{token}/withdraw").status == 404
    assert tracker.get(f"/c/{token}/{token}/shop.example.com/").status == 404
    assert tracker.get(f"/o/{token}.gif").status == 200  # always the same
    assert tracker.state() == before
