"""nginx on the very file of deploy/nginx: it passes requests on whole, and none of its logs says who asked for what."""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.files import EXTRACTED, adapted, checked, program
from tests.e2e.mail import OFFER, html_of
from tests.e2e.test_nothing_rests_on_disk import ADDRESS, DEVICE, REFERRER, search
from tests.harness import PATIENCE, Installation, Reply, free_port

pytestmark = pytest.mark.e2e
PEER = "127.0.0.77"
SPOOFED = "203.0.113.66"
HOST = "t.example.com"
QUIET = ("access_log /var/log/nginx/tracker.log tracker if=$tracker_logged;", "error_log /dev/null emerg;")
"""What keeps the logs of deploy/nginx silent."""


@dataclass(frozen=True)
class Front:
    """A running nginx."""

    folder: Path
    port: int
    plain_port: int
    trust: ssl.SSLContext

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """A stranger's request from PEER."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE)
        connection.sock = self.trust.wrap_socket(self.dial(self.port), server_hostname=HOST)
        given = {"User-Agent": DEVICE, "Referer": REFERRER, "X-Forwarded-For": SPOOFED, **headers}
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def shout(self, octets: bytes, *, tls: bool, port: int | None = None) -> bytes:
        """The answer to OCTETS, which may be no request at all."""
        peer: socket.socket = self.dial(port or self.port)
        if tls:
            peer = self.trust.wrap_socket(peer, server_hostname=HOST)
        with peer, contextlib.suppress(ConnectionError, ssl.SSLError):
            peer.sendall(octets)
            return peer.recv(65_536)
        return b""

    @staticmethod
    def dial(port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), PATIENCE, source_address=(PEER, 0))

    @property
    def log(self) -> str:
        return (self.folder / "log" / "tracker.log").read_text()


@contextmanager
def nginx(folder: Path, upstream: int, *without: str) -> Iterator[Front]:
    """Debian's nginx.conf with our site alone; WITHOUT lines of it."""
    binary, port, plain_port = program("nginx"), free_port(), free_port()
    for name in ("log", "sites-enabled", "tls"):
        (folder / name).mkdir(parents=True)
    certificate, key = folder / "tls" / "fullchain.pem", folder / "tls" / "privkey.pem"
    checked(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-keyout", key, "-out", certificate, "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}",
    )  # fmt: skip
    site = adapted(
        "nginx/tracker.conf",
        dict.fromkeys(without, "")
        | {
            "listen 443 ": f"listen 127.0.0.1:{port} ",
            "listen [::]:443 ": f"listen 127.0.0.1:{free_port()} ",
            "listen 80 ": f"listen 127.0.0.1:{plain_port} ",
            "listen [::]:80 ": f"listen 127.0.0.1:{free_port()} ",
            "/etc/ssl/tracker": str(folder / "tls"),
            "127.0.0.1:8080;": f"127.0.0.1:{upstream};",
        }
        | ({} if without else {"/var/log/nginx": str(folder / "log")}),
    )
    (folder / "sites-enabled" / "tracker.conf").write_text(site)
    temporary = [f"{kind}_temp_path {folder / 'tmp'}/{kind};" for kind in ("fastcgi", "uwsgi", "scgi")]
    on_disk = [f"{kind}_temp_path {folder / 'gone'}/{kind};" for kind in ("client_body", "proxy")]
    debian = EXTRACTED / "etc" / "nginx"
    stock = (debian / "nginx.conf").read_text()
    for old, new in {
        "/run/nginx.pid": str(folder / "pid"),
        "/var/log/nginx": str(folder / "log"),
        "/etc/nginx/sites-enabled": str(folder / "sites-enabled"),
        "/etc/nginx/mime.types": str(debian / "mime.types"),
        "include /etc/nginx/conf.d/*.conf;": "\n".join(temporary + on_disk),
        "worker_processes auto;": "worker_processes 1;",
    }.items():
        assert old in stock
        stock = stock.replace(old, new)
    (folder / "tmp").mkdir()
    (folder / "gone").mkdir()
    (folder / "nginx.conf").write_text(stock)
    command = [binary, "-e", str(folder / "log" / "error.log"), "-c", str(folder / "nginx.conf")]
    checked(*command, "-t")
    daemon = subprocess.Popen([*command, "-g", "daemon off;"], stderr=subprocess.PIPE)
    try:
        front = Front(folder, port, plain_port, ssl.create_default_context(cafile=str(certificate)))
        until_it_listens(port)
        shutil.rmtree(folder / "gone")  # whatever would be put on disk fails from here on
        yield front
    finally:
        daemon.terminate()
        daemon.communicate(timeout=PATIENCE)


def until_it_listens(port: int) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            Front.dial(port).close()
            return
        except OSError:
            assert time.monotonic() < end


def behind(installation: Installation) -> int:
    """Let INSTALLATION serve recipients behind a proxy on this machine; the port."""
    installation.environment |= {"TRACKER_PUBLIC_URL": f"https://{HOST}", "TRACKER_TRUSTED_PROXIES": "127.0.0.1"}
    return int(installation.environment["TRACKER_PUBLIC_LISTEN"].rpartition(":")[2])


def everything(front: Front, tracker: Installation) -> list[str]:
    """Ask as people, programs and attackers do, also while the tracker is away; the tokens that must not be found."""
    with tracker:
        assert tracker.grant(ADDRESS).status == 201
        copy = tracker.rewrite(OFFER, ADDRESS)
        opened, clicked, stop = (
            re.findall(rf'https://{HOST}(/{door}/[^"<>\s]+)', html_of(copy.body))[0] for door in ("o", "c", "privacy")
        )
        assert front.ask("GET", opened).headers["Content-Type"] == "image/gif"
        assert front.ask("GET", clicked).status == 302
        assert front.ask("HEAD", clicked).status == 302
        assert front.ask("GET", clicked.replace("/c/", "/c/x")).status == 404
        assert front.ask("GET", stop).status == 200
        assert front.ask("GET", f"{stop}?a={ADDRESS}").status == 200
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert front.ask("POST", f"{stop}/withdraw", b"List-Unsubscribe=One-Click", **form).status == 200
        assert front.ask("POST", "/privacy", f"address={ADDRESS}".encode(), **form).status in (200, 400, 503)
        assert front.ask("POST", stop, b"x" * 20_000, **form).status >= 400
        assert front.ask("POST", stop, b"x" * 100_000, **form).status == 413
        assert front.ask("GET", clicked + "x" * 20_000).status == 414
    request = f"GET {clicked} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {DEVICE}\r\n\r\n".encode()
    assert front.ask("GET", opened).status == 502, "the tracker is away"
    assert front.ask("GET", stop).status == 502
    assert b" 400 " in front.shout(request.replace(b"HTTP/1.1", b"HTTP/x"), tls=True)
    assert b" 400 " in front.shout(request.replace(b"Host", b"Ho\0st"), tls=True)
    assert b" 400 " in front.shout(request, tls=False), "no TLS where TLS is spoken"
    assert b" 308 " in front.shout(request, tls=False, port=front.plain_port)
    front.shout(b"\x16\x03\x01" + request, tls=False)
    return [segment for path in (opened, clicked, stop) for segment in re.findall(r"[\w.-]{16,}", path)]


def test_no_log_says_who_asked_for_what(fresh: Installation, open_folder: Path) -> None:
    """R62: nor do the logs of what stands before the tracker."""
    with nginx(open_folder, behind(fresh)) as front:
        tokens = everything(front, fresh)
    assert len(tokens) > 3
    assert search(open_folder, *tokens, PEER, SPOOFED, ADDRESS, DEVICE, REFERRER) == []
    routes = {line.split()[2] for line in front.log.splitlines()}
    assert {"/privacy/{token}", "/privacy/{token}/withdraw", "/privacy"} <= routes, "what went wrong can be seen"
    statuses = {tuple(line.split()[2:4]) for line in front.log.splitlines()}
    assert ("/o/{delivery}", "502") in statuses
    assert not {(route, status) for route, status in statuses if route[:3] in ("/o/", "/c/") and status < "5"}
    assert "emerg" not in (open_folder / "log" / "error.log").read_text()


class Upstream(socketserver.StreamRequestHandler):
    """Keeps what it is asked."""

    def handle(self) -> None:
        head = [line.decode().rstrip("\r\n") for line in iter(self.rfile.readline, b"\r\n")]
        self.server.asked.append(head)  # type: ignore[attr-defined]
        self.wfile.write(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@contextmanager
def recording() -> Iterator[tuple[int, list[list[str]]]]:
    """Something that stands for the tracker and keeps what it is asked: its port, and the heads of requests."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Upstream) as upstream:
        asked: list[list[str]] = []
        upstream.asked = asked  # type: ignore[attr-defined]
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        yield upstream.server_address[1], asked
        upstream.shutdown()


def test_without_its_lines_on_logs_the_search_would_find_them(open_folder: Path) -> None:
    path = "/c/0token0of0one0copy0/0part0/shop.example/"
    with recording() as (port, _), nginx(open_folder, port, *QUIET) as front:
        assert front.ask("GET", path).status == 204
        assert front.ask("GET", path + "x" * 20_000).status == 414
        assert front.ask("POST", path, b"x" * 100_000).status == 413
    found = search(open_folder, path, PEER, DEVICE, REFERRER)
    expected = {f"{secret} in access.log" for secret in (path, PEER, DEVICE, REFERRER)}
    assert expected | {f"{path} in error.log", f"{PEER} in error.log"} <= set(found)


def test_the_tracker_is_told_the_peer_and_the_path_as_they_came(open_folder: Path) -> None:
    """R63: what a client says of its own address is dropped."""
    with recording() as (port, asked), nginx(open_folder, port) as front:
        path = "/c/abc//%41%2f..%2F./x.example/?a=%20"
        assert front.ask("GET", path).status == 204
    request, *fields = asked[0]
    assert request == f"GET {path} HTTP/1.1"
    assert [field for field in fields if field.lower().startswith("x-forwarded-for")] == [f"X-Forwarded-For: {PEER}"]
    assert f"Host: {HOST}" in fields
    assert f"User-Agent: {DEVICE}" in fields
