"""Promise 7: no address, peer or device is on disk afterwards, wherever it was put in and however it was encoded."""

from __future__ import annotations

import base64
import html
import signal
import socket
import urllib.parse
from contextlib import suppress
from pathlib import Path

from tests.e2e.mail import OFFER, link, message, pixel, stop
from tests.harness import Installation, consent

ADDRESS = "canary.person@recipients-of-mail.example"
PEER = "127.0.0.77"
DEVICE = "Mozilla/5.0 (CanaryPhone 77; Mobile)"
REFERRER = "https://canary-referrer.example/inbox"


def spellings(secret: str) -> list[bytes]:
    """SECRET in every encoding in which it might lie somewhere, lower case (the search folds case)."""
    raw = secret.encode()
    found = {raw, urllib.parse.quote(secret, safe="").encode(), urllib.parse.quote(secret.replace("@", "%40")).encode()}
    found |= {raw.hex().encode(), html.escape(secret).encode(), secret.encode("utf-16-le"), secret.encode("utf-16-be")}
    found |= {raw.replace(b"@", b"=40"), raw.replace(b"@", b"&#64;")}
    for shift in range(3):  # base64 has three alignments
        inner = base64.b64encode(b"\0" * shift + raw + b"\0\0")[4 * bool(shift) : -4]
        found |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return [spelling.lower() for spelling in found]


def search(folder: Path, *secrets: str) -> list[str]:
    """Which of SECRETS stand in which file below FOLDER, the database, its WAL and the logs among them."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = b""
            with suppress(FileNotFoundError):  # SQLite deletes what it no longer needs
                data = path.read_bytes().lower()
            found += [
                f"{secret} in {path.name}" for secret in secrets for spelling in spellings(secret) if spelling in data
            ]
    return found


def encodings_of_an_address() -> list[str]:
    """ADDRESS as a sender may smuggle it in."""
    return [
        ADDRESS,
        f"for {ADDRESS}!",
        urllib.parse.quote(ADDRESS, safe=""),
        urllib.parse.quote(urllib.parse.quote(ADDRESS, safe=""), safe=""),
        base64.b64encode(ADDRESS.encode()).decode(),
        base64.urlsafe_b64encode(f"id={ADDRESS}".encode()).decode().rstrip("="),
        ADDRESS.encode().hex(),
    ]


def send_everything(tracker: Installation) -> None:
    """Put the address, the peer and the device in wherever there is a way in."""
    assert tracker.grant(ADDRESS).status == 201
    device = {"User_Agent": DEVICE, "Referer": REFERRER, "X_Forwarded_For": PEER}
    for encoded in encodings_of_an_address():
        evidence = {"source": encoded, "confirmed_at": "2026-11-01T09:05:00Z", "confirmed_by": "link"}
        assert tracker.grant(ADDRESS, evidence=evidence).status == 422
        assert tracker.grant(ADDRESS, reference=encoded).status == 422
        assert tracker.api("POST", "/v1/consents", {**consent(ADDRESS), encoded: 1}).status == 422
        assert tracker.grant(ADDRESS, purposes=[encoded]).status == 422
        assert tracker.grant(ADDRESS, notice_version=encoded).status == 422
        reply = tracker.rewrite(OFFER, ADDRESS, Tracker_Label=encoded, Tracker_Campaign=encoded)
        assert reply.headers["Tracker-Outcome"] == "tracked"
        assert tracker.rewrite(OFFER, ADDRESS, Tracker_Reference=encoded).status in (400, 422)
        path_safe = urllib.parse.quote(encoded, safe="%")
        body = f'<a href="https://shop.example/{path_safe}">x</a><a href="https://shop.example/?u={path_safe}">y</a>'
        reply = tracker.rewrite(message(body + '<a href="https://shop.example/">z</a>'), ADDRESS)
        assert reply.headers["Tracker-Left"] == "address-in-target=2", encoded
        for path in (pixel(reply), link(reply), stop(reply)):
            tracker.public("GET", path, **device)
            tracker.public("GET", f"{path}?{path_safe}", **device)
        tracker.public("GET", f"/c/{path_safe}/{path_safe}/x/", **device)
        tracker.public("GET", f"/privacy/{path_safe}", **device)
        tracker.public("POST", f"/privacy/{path_safe}/withdraw", encoded.encode(), **device)
        tracker.public(path_safe.replace("%", "")[:20], "/", **device)
        tracker.api("GET", f"/v1/stats/messages/{path_safe}")
        tracker.api("GET", f"/v1/stats/messages?after={path_safe}&{path_safe}=1")
        tracker.api("GET", "/v1/stats/messages", key=path_safe)
    tracker.api("POST", "/v1/consents", f'{{"address": "{ADDRESS}", broken'.encode(), Content_Type="application/json")
    tracker.api("POST", "/v1/consents/lookup", {"address": f"{ADDRESS}, {ADDRESS}"})
    tracker.api("POST", "/v1/stats/recipients", {"addresses": [ADDRESS, f"<{ADDRESS}>"]})
    tracker.api("POST", "/v1/stats/recipients", {"references": [ADDRESS]})
    tracker.rewrite(OFFER, f"<{ADDRESS}> {ADDRESS}")
    tracker.rewrite(b"From: " + ADDRESS.encode() + b"\r\n" + b"\xff" * 100, ADDRESS)
    for raw in (
        f"GET /{ADDRESS} HTTP/9.9\r\n\r\n",
        f"{ADDRESS}\r\n\r\n",
        f"GET / HTTP/1.1\r\n{ADDRESS}: x\r\nHost: x\r\nContent-Length: {ADDRESS}\r\n\r\n",
        f"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{ADDRESS}\r\n",
        f"GET /{ADDRESS}\0 HTTP/1.1\r\nHost: {ADDRESS}\r\nUser-Agent: {DEVICE}\r\n\r\n",
    ):
        for base in (tracker.public_url, tracker.private_url):
            assert ADDRESS.encode() not in speak(base, raw.encode())


def speak(base: str, raw: bytes, *, hang_up: bool = True) -> bytes:
    """What comes back for RAW bytes from the peer address that is searched for; HANG_UP: nothing more will come."""
    host, port = base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10, source_address=(PEER, 0)) as connection:
        connection.sendall(raw)
        if hang_up:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while part := connection.recv(65_536):
                answer += part
        except ConnectionResetError:
            pass
        return answer


def test_no_address_peer_or_device_is_on_disk(fresh: Installation, tmp_path: Path) -> None:
    """R34, R35: after every way in was tried, nothing is on the disk."""
    tracker = fresh
    tracker.start()
    send_everything(tracker)
    assert not search(tmp_path, ADDRESS, PEER, DEVICE, REFERRER), "while the server runs"
    tracker.stop(signal.SIGKILL)
    assert not search(tmp_path, ADDRESS, PEER, DEVICE, REFERRER), "after SIGKILL"
    tracker.start()
    send_everything(tracker)
    assert tracker.stop(signal.SIGTERM) == 0
    assert not search(tmp_path, ADDRESS, PEER, DEVICE, REFERRER), "after SIGTERM"
    tracker.process("consent", "show", stdin=ADDRESS.encode())
    tracker.process("consent", "withdraw", stdin=ADDRESS.encode())
    tracker.process("consent", "withdraw", stdin=f"{ADDRESS} {ADDRESS}".encode(), status=1)
    tracker.run("sweep")
    assert not search(tmp_path, ADDRESS, PEER, DEVICE, REFERRER), "after the commands"


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    for number, encoded in enumerate([*encodings_of_an_address(), ADDRESS.upper()]):
        if encoded.count("%25"):
            continue  # an address encoded twice is refused at the door; on disk one layer is searched for
        (tmp_path / "file").write_bytes(b"x" * number + encoded.encode() + b"yy")
        assert search(tmp_path, ADDRESS), encoded
