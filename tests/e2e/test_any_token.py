"""Whatever stands where a token stands, of any length and alphabet: the pixel is the pixel, and nothing is a 500."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.e2e.mail import OFFER, link, pixel, stop
from tests.e2e.outage import check_log
from tests.harness import Installation
from tracker.doors.hits import PIXEL

BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
PRINTABLE = "".join(map(chr, range(0x21, 0x7F))).replace("?", "").replace("#", "")
BEYOND_ASCII = "".join(map(chr, range(0x80, 0x100)))
LONGEST = 8_000
"""Characters of a path; a longer one is no request (400)."""

Copy = tuple[str, str, str]
"""The paths of a real pixel, a real link and a real page."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, Copy]]:
    folder: Path = tmp_path_factory.mktemp("tokens") / "tracker"
    with Installation.copied(folder) as tracker:
        tracker.grant("anna@example.org")
        copy = tracker.rewrite(OFFER, "anna@example.org")
        yield tracker, (pixel(copy), link(copy), stop(copy))
    check_log(tracker)


tokens = st.one_of(
    st.text(BASE64, max_size=200),
    st.text(PRINTABLE, max_size=400),
    st.builds(str.__mul__, st.sampled_from(["A", "%", "%2f", ".", "/", "-_", "%ff"]), st.integers(0, LONGEST // 3)),
)
cuts = st.tuples(st.integers(0, 200), st.integers(0, 200), st.text(PRINTABLE, max_size=4))
"""Where a real path is cut, where it goes on, and what stands between."""


def ask(tracker: Installation, method: str, path: str) -> tuple[int, bytes]:
    """The answer to a request whose path is sent as it stands, octet for octet."""
    with closing(http.client.HTTPConnection(tracker.public_url.removeprefix("http://"), timeout=30)) as connection:
        connection.putrequest = None  # type: ignore[assignment]  # which would refuse or mend the path
        connection.connect()
        assert connection.sock is not None
        connection.sock.sendall(
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode("latin-1")
        )
        answer = http.client.HTTPResponse(connection.sock, method=method)
        answer.begin()
        return answer.status, answer.read()


@settings(max_examples=300)
@given(tokens)
@example("")
@example("A" * LONGEST)
def test_the_pixel_is_the_pixel_whatever_the_token(running: tuple[Installation, Copy], token: str) -> None:
    assert ask(running[0], "GET", f"/o/{token}.gif") == (200, PIXEL)


@given(tokens, st.text(BEYOND_ASCII, min_size=1, max_size=50))
def test_octets_beyond_ascii_are_no_request_and_no_fault_of_ours(
    running: tuple[Installation, Copy], token: str, beyond: str
) -> None:
    """Who asks for such an address writes it in percent signs (RFC 3986)."""
    assert ask(running[0], "GET", f"/o/{token[:1000]}{beyond}.gif")[0] == 400


@settings(max_examples=300)
@given(cuts)
def test_the_pixel_is_the_pixel_however_a_real_token_was_altered(
    running: tuple[Installation, Copy], cut: tuple[int, int, str]
) -> None:
    tracker, (path, _, _) = running
    first, then, between = cut
    token = path.removeprefix("/o/")
    assert ask(tracker, "GET", f"/o/{token[:first]}{between}{token[then:]}") == (200, PIXEL)


@settings(max_examples=300)
@given(cuts)
def test_a_link_that_was_altered_leads_nowhere(running: tuple[Installation, Copy], cut: tuple[int, int, str]) -> None:
    tracker, (_, path, _) = running
    first, then, between = cut
    altered = f"{path[:3]}{path[3:][:first]}{between}{path[3:][then:]}"
    status, _ = ask(tracker, "GET", altered)
    same = altered.removesuffix("/") == path.removesuffix("/")
    assert status == (302 if same else 404)


@settings(max_examples=300)
@given(st.sampled_from(["c", "privacy", "ask", "me"]), st.sampled_from(["GET", "POST", "HEAD"]), tokens)
def test_no_token_at_any_door_is_a_fault_of_ours(
    running: tuple[Installation, Copy], door: str, method: str, token: str
) -> None:
    status, _ = ask(running[0], method, f"/{door}/{token}")
    assert status < 500
    status, _ = ask(running[0], method, f"/{door}/{token}/withdraw")
    assert status < 500
