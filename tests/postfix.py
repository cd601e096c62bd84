"""A real Postfix of the tests' own: takes mail, has the tracker filter it, takes it back and sends it on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness import PATIENCE, free_port

POSTFIX = shutil.which("postfix", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file_prefixes = {folder}
maillog_file = {folder}/log/mail.log
myhostname = mx.werkstatt-nord.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{onward}
smtp_host_lookup = native
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtpd_tls_security_level = none
alias_maps =
alias_database =
minimal_backoff_time = 1s
queue_run_delay = 1s
"""
MASTER = """
postlog unix-dgram n - n - 1 postlogd
127.0.0.1:{entry} inet n - n - - smtpd
  -o content_filter=tracker:[127.0.0.1]:{tracker}
127.0.0.1:{back} inet n - n - - smtpd
  -o content_filter=
  -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks
  -o smtpd_milters={milters}
tracker unix - - n - 10 smtp
  -o smtp_fallback_relay=[127.0.0.1]:{back}
  -o smtp_connect_timeout=2s
  -o smtp_send_xforward_command=no
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
showq unix n - n - - showq
"""


@dataclass(frozen=True)
class Postfix:
    """One that runs."""

    folder: Path
    entry: int
    """The port that applications send to."""
    back: int
    """The port that takes mail from the tracker."""

    @property
    def log(self) -> str:
        return (self.folder / "log" / "mail.log").read_text()


@contextmanager
def postfix(tracker: int, onward: int, back: int, milters: str = "") -> Iterator[Postfix]:
    """Filters through the port TRACKER, takes it back at BACK, and sends it to the port ONWARD.

    MILTERS look at what comes back, as `smtpd_milters` names them.
    """
    assert POSTFIX is not None
    entry = free_port()
    folder = Path(
        tempfile.mkdtemp(prefix="postfix-")
    )  # pytest's own folders are closed to other users, as Postfix's are
    folder.chmod(0o755)
    for name in ("etc", "queue", "data", "log"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    (folder / "etc" / "main.cf").write_text(MAIN.format(folder=folder, onward=onward))
    (folder / "etc" / "master.cf").write_text(MASTER.format(entry=entry, back=back, tracker=tracker, milters=milters))
    command = [POSTFIX, "-c", str(folder / "etc")]
    done = subprocess.run([*command, "start"], capture_output=True, timeout=PATIENCE, check=False)
    try:
        assert done.returncode == 0, (folder / "log" / "mail.log").read_text()
        for port in (entry, back):
            _until_answered(port)
        yield Postfix(folder, entry, back)
    finally:
        subprocess.run([*command, "abort"], capture_output=True, timeout=PATIENCE, check=False)
        shutil.rmtree(folder, ignore_errors=True)  # its processes may be ending still


def _until_answered(port: int) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as peer:
                assert peer.recv(3) == b"220"
                return
        except OSError:
            continue
    raise AssertionError(f"nobody answers on port {port}")
