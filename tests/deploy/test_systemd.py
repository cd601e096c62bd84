"""The unit of deploy/systemd: systemd finds nothing wrong with it and little exposed, and the server works under it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.deploy.confined import UNIT, allowed, directives
from tests.deploy.files import DEPLOY, ROOT, adapted, checked, program
from tests.e2e.mail import OFFER, message
from tests.harness import PATIENCE, Installation, free_port
from tests.mailserver import mail_server
from tracker.settings import Settings

EXPOSED = 15
"""Tenths: `systemd-analyze security` calls less than 20 "OK", a unit without any restriction has 96."""


def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    tool = program("systemd-analyze")
    here = Path(sys.executable).with_name("tracker")
    drop_in = tmp_path / "tracker.service.d"
    drop_in.mkdir()
    (tmp_path / "tracker.service").write_text(
        adapted("systemd/tracker.service", {"ExecStart=/opt/tracker/bin/tracker": f"ExecStart={here}"})
    )
    (drop_in / "secrets.conf").write_text(adapted("systemd/secrets.conf", {}))
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    said = checked(tool, "verify", "--man=no", "--recursive-errors=no", "tracker.service", env=environment)
    assert said == ""


def test_little_is_exposed() -> None:
    tool = program("systemd-analyze")
    checked(tool, "security", "--offline=yes", f"--threshold={EXPOSED}", "--no-pager", UNIT)


def test_nothing_in_memory_can_come_to_rest() -> None:
    assert directives("LimitCORE") == ["0"]
    assert directives("MemorySwapMax") == ["0"]


def test_every_credential_is_a_setting_that_reads_it() -> None:
    drop_in = DEPLOY / "systemd" / "secrets.conf"
    names = [line.partition(":")[0] for line in directives("LoadCredential", drop_in)]
    assert set(names) <= set(Settings.model_fields)
    assert directives("Environment", drop_in) == [f"TRACKER_{name.upper()}_FILE=%d/{name}" for name in names]


def test_the_user_is_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    checked(program("systemd-sysusers"), f"--root={tmp_path}", DEPLOY / "systemd" / "sysusers.conf")
    (user,) = directives("User")
    assert re.search(rf"^{user}:x:", (tmp_path / "etc" / "passwd").read_text(), re.MULTILINE)


@pytest.mark.e2e
def test_the_server_does_its_work_under_its_restrictions(fresh: Installation) -> None:
    program("systemd-analyze")
    smtp = free_port()
    fresh.program = ("tests.deploy.confined", "serve")
    with mail_server() as hop:
        fresh.environment |= {
            "PYTHONPATH": str(ROOT),
            "TRACKER_SMTP_LISTEN": f"127.0.0.1:{smtp}",
            "TRACKER_SMTP_NEXT_HOP": hop.next_hop,
            "TRACKER_SENDER_DOMAINS": "werkstatt-nord.example",
        }
        fresh.start(workers=1)
        under = Path(f"/proc/{fresh.pid}/status").read_text()
        assert "Seccomp:\t2" in under
        assert "NoNewPrivs:\t1" in under
        try:
            fresh.until_ready()
            assert fresh.grant("anna@example.org").status == 201
            large = message("<p>" + "<a href='https://shop.example/'>x</a> y" * 5_000 + "</p>")
            end = time.monotonic() + PATIENCE
            for one in (OFFER, large):  # the second is planned in a process of its own
                copy = fresh.rewrite(one, "anna@example.org")
                while copy.headers["Tracker-Reason"] == "error" and time.monotonic() < end:
                    copy = fresh.rewrite(one, "anna@example.org")  # a busy machine took long to start that process
                assert copy.headers["Tracker-Outcome"] == "tracked", copy.headers["Tracker-Reason"]
            planners = [pid for pid in fresh.processes if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            loaded = [Path(f"/proc/{pid}/maps").read_text() for pid in planners]
            assert [text for text in loaded if "uvloop" not in text], "it starts in no time, without the server's parts"
            path = re.findall(rb'http://127\.0\.0\.1:\d+(/o/[^"]+)', copy.body.replace(b"=\r\n", b""))[0].decode()
            assert fresh.public("GET", path).status == 200
            fresh.process("sweep")
            os.kill(fresh.pid, signal.SIGHUP)
            end = time.monotonic() + PATIENCE
            while "new workers " not in fresh.log_file.read_text():
                assert fresh.api("GET", "/health/ready").status == 200
                assert time.monotonic() < end
            assert fresh.grant("bert@example.org").status == 201
        finally:
            assert fresh.stop() == 0
    said = [line for line in fresh.log_file.read_text().splitlines() if "error=TimeoutError at=" not in line]
    assert [line for line in said if re.search(r"level=(error|critical)|Permission|not permitted", line)] == []


def test_the_restrictions_are_real() -> None:
    program("systemd-analyze")
    assert "setpriority" not in allowed()
    tries = """
import mmap, os, socket
from tests.deploy.confined import confine
confine()
for name, attempt in {
    "setpriority": lambda: os.setpriority(os.PRIO_PROCESS, 0, 5),
    "netlink": lambda: socket.socket(socket.AF_NETLINK),
    "execute": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC),
    "chroot": lambda: os.chroot("/"),
    "internet": lambda: socket.socket(),
}.items():
    try:
        attempt()
    except OSError as error:
        print(name, error.errno)
"""
    done = subprocess.run([sys.executable, "-c", tries], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == ["setpriority 1", "netlink 97", "execute 1", "chroot 1"]
