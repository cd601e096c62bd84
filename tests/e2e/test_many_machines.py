"""Two servers on one PostgreSQL are one tracker: tokens, withdrawals and journals, also when one of them is lost."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.crew import until
from tests.e2e.mail import NEWSLETTER, OFFER, link, pixel, stop
from tests.harness import Installation, Reply
from tests.postgres import Cluster, Plain, programs

pytestmark = [pytest.mark.e2e, pytest.mark.postgres]

FIREFOX = {"User_Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}
ANNA, BERT, CARA, DORA = (f"{name}@example.org" for name in ("anna", "bert", "cara", "dora"))


@dataclass
class Machines:
    """Two servers, each with a folder of its own, that share a database and the key file; and their clock."""

    cluster: Cluster
    url: str
    one: Installation
    two: Installation
    ahead: Path

    def later(self, **more: float) -> None:
        """Let time pass for both."""
        seconds = float(self.ahead.read_text()) + timedelta(**more).total_seconds()
        new = self.ahead.with_name("ahead.new")
        new.write_text(str(seconds))
        new.replace(self.ahead)  # a server reads it at any moment

    def both_looked(self) -> None:
        """A minute passes, twice: each has noted what was so before it."""
        servers = (self.one, self.two)
        for _ in range(2):
            before = [looks(server) for server in servers]
            self.later(seconds=61)
            for server, runs in zip(servers, before, strict=True):
                until(lambda server=server, runs=runs: looks(server) > runs + 1, "nobody looked")  # type: ignore[misc]

    def events(self) -> int:
        with Plain(self.url) as plain:
            (count,) = plain.execute("SELECT count(*) FROM events")[0]
            return int(count)


def looks(tracker: Installation) -> float:
    """How often a server kept journal and database in step."""
    body = tracker.api("GET", "/metrics").body.decode()
    line = next(line for line in body.splitlines() if "in step" in line and 'result="done"' in line)
    return float(line.split()[-1])


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    if programs() is None:
        pytest.skip("needs PostgreSQL (Debian's package postgresql)")
    ahead = tmp_path / "ahead"
    ahead.write_text("0")
    with Cluster() as cluster:
        url = cluster.url(cluster.make())
        one = Installation.made(tmp_path / "one", TRACKER_DATABASE_URL=url)
        (tmp_path / "two").mkdir()
        shutil.copy2(one.folder / "tracker.toml", tmp_path / "two")
        keys = str(one.folder / "tracker.keys")
        two = Installation(
            tmp_path / "two", TRACKER_DATABASE_URL=url, TRACKER_KEY_FILE=keys, TRACKER_PUBLIC_URL=one.public_url
        )
        two.key = one.key
        assert "a new journal was begun" in two.run("restore-check", "--new-server")
        try:
            for server in (one, two):
                server.program = ("tests.clocked", str(ahead))
                server.environment["PYTHONPATH"] = str(Path(__file__).parents[2])
                server.start()
            yield Machines(cluster, url, one, two, ahead)
        finally:
            one.kill()
            two.kill()


def tracked(server: Installation, address: str, message: bytes = OFFER) -> Reply:
    reply = server.rewrite(message, address)
    assert reply.headers["Tracker-Outcome"] == "tracked", reply.headers["Tracker-Reason"]
    return reply


def said(server: Installation, address: str) -> str:
    """Why mail to ADDRESS leaves untouched."""
    reply = server.rewrite(OFFER, address)
    assert (reply.body, reply.headers["Tracker-Outcome"]) == (OFFER, "untouched")
    return str(reply.headers["Tracker-Reason"])


def nos(server: Installation) -> int:
    """How many nos a server's journal holds."""
    text = b"".join(path.read_bytes() for path in (server.folder / "journal").glob("*.journal"))
    return text.count(b'"kind":"withdrawal"')


def rotated(machines: Machines) -> None:
    """A new key, which signs at once: as if the hour were over."""
    file = machines.one.folder / "tracker.keys"
    machines.one.run("secret", "rotate")
    content = json.loads(file.read_text())
    content["signing"][-1]["signs_from"] = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    file.write_text(json.dumps(content))


def test_two_servers_are_one_tracker(machines: Machines) -> None:
    one, two = machines.one, machines.two
    for address in (ANNA, BERT):
        assert one.grant(address).status == 201
    copy = tracked(one, ANNA)
    for server in (two, one):
        assert server.public("GET", link(copy), **FIREFOX).status == 302
        assert server.public("GET", pixel(copy), **FIREFOX).status == 200
    until(lambda: machines.events() == 2, "an event is missing, or there twice")

    rotated(machines)
    one.stop()
    one.start()  # it has read the key file again; the other one has not
    newer = tracked(one, ANNA, NEWSLETTER)
    assert pixel(newer)[3] != pixel(copy)[3], "signed with another key"
    assert two.public("GET", link(newer), **FIREFOX).status == 302
    assert two.public("GET", pixel(newer), **FIREFOX).status == 200
    assert two.public("GET", stop(newer)).status == 200
    until(lambda: machines.events() == 4, "an event is missing")

    assert two.public("POST", f"{stop(newer)}/withdraw").status == 200
    assert said(one, ANNA) == said(two, ANNA) == "no-grant"
    assert one.public("GET", pixel(newer), **FIREFOX).status == 200
    assert machines.events() == 0
    tracked(two, BERT)
    machines.both_looked()
    assert (nos(one), nos(two)) == (1, 1), "each journal has it, once"


def test_after_a_restore_and_the_loss_of_a_server_who_withdrew_stays_silent(machines: Machines) -> None:
    one, two, cluster = machines.one, machines.two, machines.cluster
    for address in (ANNA, BERT, CARA, DORA):
        assert one.grant(address).status == 201
    copies = {address: tracked(one, address) for address in (ANNA, BERT, CARA, DORA)}
    assert two.public("POST", f"{stop(copies[ANNA])}/withdraw").status == 200
    machines.both_looked()
    cluster.stop()
    shutil.copytree(cluster.data, cluster.folder / "hour-ago")
    _owned_alike(cluster.data, cluster.folder / "hour-ago")
    cluster.start()
    for server in (one, two):
        server.until_ready()

    machines.later(minutes=50)
    assert two.public("POST", f"{stop(copies[BERT])}/withdraw").status == 200
    assert one.public("POST", f"{stop(copies[CARA])}/withdraw").status == 200
    machines.both_looked()
    assert (nos(one), nos(two)) == (3, 3)

    two.kill()
    shutil.rmtree(two.folder)
    cluster.stop()
    shutil.rmtree(cluster.data)
    (cluster.folder / "hour-ago").rename(cluster.data)
    cluster.start()
    with Plain(machines.url) as plain:
        assert plain.execute("SELECT count(*) FROM suppressions") == [(2,)], "only Anna's no is there"
    replies = [one.rewrite(OFFER, address) for address in (BERT, CARA, DORA) for _ in range(5)]
    assert {reply.headers["Tracker-Outcome"] for reply in replies} == {"untouched"}, "from the first moment on"
    for copy in copies.values():
        assert one.public("GET", pixel(copy), **FIREFOX).status == 200
    until(lambda: b"another server" in one.api("GET", "/health/ready").body, "it goes on without the lost server")
    assert said(one, DORA) == "store-unavailable"

    assert "replayed" in one.run("restore-check")
    one.until_ready()
    until(lambda: one.rewrite(OFFER, DORA).headers["Tracker-Outcome"] == "tracked", "who said nothing is tracked")
    for address in (ANNA, BERT, CARA):
        assert said(one, address) == "no-grant"
        assert one.public("GET", pixel(copies[address]), **FIREFOX).status == 200
        assert one.grant(address).status == 409
    with Plain(machines.url) as plain:
        assert plain.execute("SELECT count(DISTINCT recipient) FROM suppressions") == [(3,)]
    assert one.stop(signal.SIGTERM) == 0


def _owned_alike(source: Path, target: Path) -> None:
    """PostgreSQL wants its files to be its own."""
    for path in (source, *source.rglob("*")):
        state = path.stat()
        other = target / path.relative_to(source)
        shutil.chown(other, state.st_uid, state.st_gid)
        other.chmod(state.st_mode & 0o7777)
