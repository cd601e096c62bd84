"""The operator's handbook, and the pages on upgrades and restores: each command is run, in order, on real machines."""

from __future__ import annotations

import email.policy
import re
import shutil
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.machine import BLOCK, ROOT, Machine, blocks
from tests.mailserver import MailServer, mail_server
from tests.postgres import Cluster, Plain
from tests.store.test_next_release import MIGRATION, NEXT
from tests.warm import warm_tracker
from tracker.store import migrate
from tracker.store.schema import HEAD

pytestmark = pytest.mark.e2e

NOT_RUN = (
    "apt-get install --yes python3-venv nginx certbot curl",
    "python3 -m venv /opt/tracker",
    "/opt/tracker/bin/pip install --constraint deploy/constraints.txt .",
    "systemd-sysusers",
    "certbot certonly --webroot --webroot-path /var/www/html --domain t.example.com "
    '--deploy-hook "systemctl reload nginx"',
)
"""What needs a real machine on the Internet: package mirrors, a user of its own, a host name of one's own."""
INSTALL_AGAIN = "/opt/tracker/bin/pip install --upgrade --constraint deploy/constraints.txt ."
"""The next release, which here is this program with one migration more."""
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
NORA = "nora@example.org"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """This release and the next one, as programs."""
    folder = tmp_path_factory.mktemp("programs")
    migrations = folder / "migrations"
    shutil.copytree(migrate.MIGRATIONS, migrations, ignore=shutil.ignore_patterns("__pycache__"))
    (migrations / "versions" / f"{NEXT}_colours.py").write_text(MIGRATION)
    with warm_tracker(folder / "this") as this, warm_tracker(folder / "next", str(migrations), NEXT) as following:
        yield this, following


@pytest.fixture
def hop() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@contextmanager
def machine(root: Path, this: Path, hop: MailServer, **more: str) -> Iterator[Machine]:
    made = Machine(root, this, hop.next_hop, more)
    try:
        yield made
    finally:
        made.close()


def section(name: str, *kinds: str) -> list[str]:
    """The commands of one chapter of the handbook, without those that are not run."""
    text = (ROOT / "deploy" / "README.md").read_text()
    chapter = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    found = [commands for mark, commands in BLOCK.findall(chapter) if mark.strip() in ("", *kinds)]
    return ["".join(line for line in one.splitlines(True) if line.strip() not in NOT_RUN) for one in found]


def begin(one: Machine, hop: MailServer) -> list[str]:
    """From nothing to the first tracked mail, which is opened; what each block printed."""
    *before, try_it = section("From nothing to the first tracked mail")
    said = [one.run(commands) for commands in before]
    with opening(one, hop):
        said.append(one.run(try_it))
    return said


@contextmanager
def opening(one: Machine, hop: MailServer) -> Iterator[None]:
    """Somebody opens the next mail that comes, and follows its link."""

    def visit() -> None:
        received = hop.wait_for(len(had) + 1)[-1]
        body = message_from_bytes(received.octets, policy=email.policy.default).get_body(("html",))
        assert body is not None
        (pixel,) = re.findall(r'src="(https://[^"]+)"', str(body.get_content()))
        trust = ssl.create_default_context(cafile=one.environment["SSL_CERT_FILE"])
        request = urllib.request.Request(pixel, headers={"User-Agent": BROWSER})
        with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
            assert answer.status == 200

    had = hop.received
    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        yield
    finally:
        visitor.join(60)


def upgraded(one: Machine, following: Path, *, first: bool = True) -> list[str]:
    """What upgrade.md says, on one machine; on the others the database is brought on already."""
    said = []
    for commands in blocks("upgrade"):
        if commands.strip() == INSTALL_AGAIN:
            one.install(following)
        elif first or "systemctl restart" in commands:
            said.append(one.run(commands))
        if "tracker upgrade" in commands and first:
            one.run("curl -sS --fail http://127.0.0.1:8081/health/ready")  # of the release before, which runs still
    return said


def outcome(one: Machine, address: str) -> str:
    """What becomes of a copy for ADDRESS."""
    message = f"From: a@werkstatt-nord.example\nTo: {address}\nMessage-ID: <x@y>\nContent-Type: text/html\n\n<p>A <a href='https://shop.example/'>b</a>\n"
    (one.root / "offer.eml").write_text(message)
    told = one.run(f"tracker rewrite -r {address} < {one.root}/offer.eml 2>&1 > /dev/null")
    return told.partition(":")[0] if told.startswith("tracked") else told.partition(":")[2].strip()


def is_fine(said: str) -> bool:
    """Whether doctor found nothing wrong."""
    return "ok    database" in said and "WRONG" not in said


def test_what_is_not_run_stands_in_the_handbook_and_is_little() -> None:
    lines = [line.strip() for page in ("README", "upgrade") for one in blocks(page) for line in one.splitlines()]
    assert [line for line in NOT_RUN if line not in lines] == []
    assert INSTALL_AGAIN in lines


def test_one_machine_from_nothing_to_restores_and_the_next_release(
    tmp_path: Path, programs: tuple[Path, Path], hop: MailServer
) -> None:
    this, following = programs
    with machine(tmp_path / "one", this, hop) as one:
        said = begin(one, hop)
        assert is_fine(said[4]), said[4]
        assert is_fine(said[-2]), said[-2]
        assert "ok    a link leads on, and a forged one does not" in said[-2]
        assert "It came back: the sample was opened." in said[-1]
        assert (tmp_path / "one/var/lib/tracker/tracker.keys").stat().st_mode & 0o077 == 0

        said = [one.run(commands) for commands in section("The first hundred consents from a web shop")]
        assert said[1].count("100 live, 0 refused") == 2, said[1]
        assert '"state":"live"' in said[2].replace(" ", "")
        assert said[3].count('"live"') == 2
        assert re.search(r'"https://localhost:\d+/ask/[^"]+"', said[4])
        assert re.findall(r'"reference": ?"C-101"', said[5]), said[5]
        assert "@example.org" not in one.log
        assert outcome(one, "customer100@example.org") == outcome(one, NORA) == "tracked"
        assert outcome(one, "quinn@example.org") == "no-grant"

        (cron,) = section("Every day, every week, every year")
        one.run(cron)
        command = (tmp_path / "one/etc/cron.d/tracker").read_text().partition(" root ")[2].replace("\\%", "%")
        assert "copied" in one.run(command)
        keep, back, after = blocks("restore", "sqlite")
        shutil.rmtree(next((tmp_path / "one/var/backups/tracker").iterdir()))
        assert "the keys are not among them" in one.run(keep)

        one.run(f"tracker consent withdraw {NORA}")
        one.run(back)
        assert is_fine(one.run(after))
        assert "went back" in one.log
        assert outcome(one, NORA) == "no-grant", "the backup has her yes, the journal her no"
        assert outcome(one, "customer1@example.org") == "tracked"

        said = upgraded(one, following)
        assert f"the database went from {HEAD} to {NEXT}" in said[1]
        assert is_fine(said[2])
        assert outcome(one, "customer1@example.org") == "tracked"
        one.run("systemctl stop tracker")

        (new,) = [one for one in blocks("restore", "new-machine") if "--end-grants" in one]
        with machine(tmp_path / "two", this, hop) as two:
            begin_on_bare_metal(two, one)
            shutil.copytree(one.root / "var/backups", two.root / "var/backups", dirs_exist_ok=True)
            shutil.copy2(one.root / "var/lib/tracker/tracker.keys", two.root / "media/stick")
            said_there = two.run(new)
            assert "grants ended" in said_there
            assert is_fine(said_there)
            assert outcome(two, "customer1@example.org") == "no-grant"


def begin_on_bare_metal(two: Machine, one: Machine) -> None:
    """Install the program, as on the first machine, but make no installation."""
    for commands in section("From nothing to the first tracked mail"):
        if "/usr/local/bin/tracker" in commands or "sysusers" in commands:
            two.run(commands)
    shutil.copy2(one.root / "etc/systemd/system/tracker.service", two.root / "etc/systemd/system")
    unit = two.root / "etc/systemd/system/tracker.service"
    unit.write_text(unit.read_text().replace(str(one.root), str(two.root)))


@pytest.mark.postgres
def test_a_second_machine_on_postgresql_restores_and_the_next_release(
    tmp_path: Path, programs: tuple[Path, Path], hop: MailServer, cluster: Cluster
) -> None:
    this, following = programs
    database, role = "handbook", "handbook_role"
    written = {
        "@db:5432/tracker?sslmode=verify-full&sslrootcert=/etc/tracker/db-ca.pem": (
            f"@127.0.0.1:{cluster.port}/{database}"
        ),
        "asyncpg://tracker:": f"asyncpg://{role}:",
        "ROLE tracker LOGIN": f"ROLE {role} LOGIN",
        "DATABASE tracker OWNER tracker": f"DATABASE {database} OWNER {role}",
        "dropdb tracker": f"dropdb {database}",
        "--owner tracker ": f"--owner {role} ",
        "template0 tracker\n": f"template0 {database}\n",
        "--role tracker --dbname tracker": f"--role {role} --dbname {database}",
    }
    server = {"PGHOST": "127.0.0.1", "PGPORT": str(cluster.port), "PGUSER": "tracker", "PGDATABASE": "postgres"}
    with machine(tmp_path / "one", this, hop, **written) as one, machine(tmp_path / "two", this, hop, **written) as two:
        two.environment["TRACKER_SMTP_LISTEN"] = f"127.0.0.1:{two.smtp}"  # one address for both, here
        begin(one, hop)
        one.run(section("The first hundred consents from a web shop")[0])
        one.run(section("The first hundred consents from a web shop")[2])
        chapter = "A second machine"
        try:
            (make,) = section(chapter, "db")
            one.run(make, **server)
            move, copy = section(chapter, "one")
            said = one.run(move)
            assert "the ledger's chain holds there, too" in said
            assert is_fine(said)
            begin_on_bare_metal(two, one)
            one.run(copy, THERE=str(two.root))
            (join,) = section(chapter, "two")
            said = two.run(join)
            assert "a new journal was begun" in said
            assert is_fine(said)
            assert outcome(one, NORA) == outcome(two, NORA) == "tracked"

            keep, back, after = blocks("restore", "postgresql")
            one.run(keep)
            two.run(f"tracker consent withdraw {NORA}")
            assert outcome(one, NORA) == "no-grant"
            two.run("systemctl stop tracker")
            one.run(back, **server)
            assert is_fine(two.run(f"systemctl start tracker\n{after}"))
            assert is_fine(one.run(after))
            assert outcome(one, NORA) == outcome(two, NORA) == "no-grant", "the backup has her yes, a journal her no"

            said_there = upgraded(one, following)
            assert f"the database went from {HEAD} to {NEXT}" in said_there[1]
            two.run("curl -sS --fail http://127.0.0.1:8081/health/ready")  # the release before goes on meanwhile
            assert is_fine(two.run("tracker doctor"))
            assert is_fine(upgraded(two, following, first=False)[-1])
            with Plain(cluster.url(database)) as plain:
                assert plain.execute("SELECT version_num FROM alembic_version") == [(NEXT,)]
        finally:
            one.close()
            two.close()
            cluster.drop(database)
            cluster.do(f"DROP ROLE IF EXISTS {role}")
