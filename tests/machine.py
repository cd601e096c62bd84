"""A folder that stands for a machine: commands of deploy/ run there as they are printed, but for paths and ports.

What belongs to the operating system has a stand-in: systemctl starts what the unit file names, runuser, chown and
install know no other users, scp copies to another folder of this kind, and date says the same day also after midnight.
The tracker, nginx, PostgreSQL's programs and curl are the real ones.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

from tests.deploy.files import EXTRACTED, program
from tests.front import certify
from tests.harness import PATIENCE, free_port

ROOT: Final = Path(__file__).parent.parent
HOST: Final = "localhost"
BLOCK: Final = re.compile(r"^```sh([^\n]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
FOLDERS: Final = (
    "var/lib/tracker", "var/backups", "var/log/nginx", "etc/nginx/sites-enabled", "etc/systemd/system", "etc/ssl",
    "etc/sysusers.d", "etc/cron.d", "usr/local/bin", "opt/tracker/bin", "root", "media/stick",
)  # fmt: skip
STAND_INS: Final = {
    "date": 'exec /usr/bin/date --date="$TODAY" "$@"\n',
    "runuser": 'shift 3\nexec "$@"\n',  # runuser -u NAME -- …
    "chown": "exit 0\n",
    "install": """
words=()
while [ $# -gt 0 ]; do case $1 in -o | -g) shift 2 ;; *) words+=("$1"); shift ;; esac; done
exec /usr/bin/install "${words[@]}"
""",
    "scp": 'to=${2#*:}\nexec cp "$1" "${to/"$HERE"/"$THERE"}"\n',
    "nginx": 'exec "$REAL_NGINX" -e "$HERE/var/log/nginx/error.log" -c "$HERE/etc/nginx/nginx.conf" "$@"\n',
    "systemctl": """
start() {
    unit=$HERE/etc/systemd/system/tracker.service
    while read -r each; do export "$each"; done < <(sed -n 's/^Environment=//p' "$unit")
    read -r -a words < <(sed -n 's/^ExecStart=//p' "$unit")
    setsid "${words[@]}" >> "$HERE/log" 2>&1 < /dev/null &
    echo $! > "$HERE/pid"
}
stop() {
    [ -e "$HERE/pid" ] || return 0
    kill -TERM "$(cat "$HERE/pid")" || true
    while kill -0 "$(cat "$HERE/pid")" 2> /dev/null; do :; done
    rm "$HERE/pid"
}
case "$*" in
    daemon-reload) ;;
    "start tracker" | "enable --now tracker") start ;;
    "stop tracker") stop ;;
    "restart tracker") stop; start ;;
    "restart nginx") [ ! -e "$HERE/nginx.pid" ] || nginx -s stop; nginx > "$HERE/nginx.log" 2>&1 ;;
    *) echo "no stand-in for systemctl $*" >&2; exit 64 ;;
esac
""",
}


def blocks(page: str, *kinds: str) -> list[str]:
    """The commands of deploy/PAGE.md, in order: blocks that are marked with nothing or with one of KINDS."""
    text = (ROOT / "deploy" / f"{page}.md").read_text()
    return [commands for mark, commands in BLOCK.findall(text) if not mark.strip() or mark.strip() in kinds]


@cache
def today() -> datetime:
    """The day on all machines: what a command names after it the next one finds, on another machine, too."""
    return datetime.now(UTC)


@dataclass
class Machine:
    """One machine, with the program installed from PROGRAM."""

    root: Path
    program: Path
    next_hop: str
    more: dict[str, str] = field(default_factory=dict)
    """What else is written otherwise here."""

    def __post_init__(self) -> None:
        nginx = program("nginx")
        self.public, self.private, self.smtp, self.tls = (free_port() for _ in range(4))
        self.changes = {
            **self.more,
            "https://t.example.com": f"https://{HOST}:{self.tls}",
            "t.example.com": HOST,
            "127.0.0.1:10026": self.next_hop,
            **{
                f"/{name}": f"{self.root}/{name}" for name in ("var/lib", "var/backups", "var/log/nginx", "opt/tracker")
            },
            **{f"/{name}/": f"{self.root}/{name}/" for name in ("etc", "usr/local/bin", "root", "media")},
            "127.0.0.1:8080": f"127.0.0.1:{self.public}",
            "127.0.0.1:8081": f"127.0.0.1:{self.private}",
            "127.0.0.1:2525": f"127.0.0.1:{self.smtp}",
            "2026-11-01": (today() - timedelta(days=9)).strftime("%Y-%m-%d"),  # an example must not age
        }
        for name in FOLDERS:
            (self.root / name).mkdir(parents=True)
        self._stand_in()
        self._certified()
        self._nginx()
        self.install(self.program)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")},
            "PATH": f"{self.root}/stand-ins:{self.root}/usr/local/bin:{os.environ['PATH']}:/usr/sbin",
            "HERE": str(self.root),
            "TODAY": today().isoformat(timespec="seconds"),
            "REAL_NGINX": nginx,
            "SSL_CERT_FILE": str(self.root / "etc/letsencrypt/live" / HOST / "fullchain.pem"),
            "TRACKER_PUBLIC_LISTEN": f"127.0.0.1:{self.public}",
            "TRACKER_PRIVATE_LISTEN": f"127.0.0.1:{self.private}",
            "TRACKER_DASHBOARD_LISTEN": f"127.0.0.1:{free_port()}",
            "TRACKER_MACHINE_SECONDS": "0",  # mail is opened at once here
        }

    def here(self, text: str) -> str:
        """TEXT with the paths and ports of this machine."""
        for old, new in self.changes.items():
            if old.startswith("/"):  # a path, and not the middle of one
                text = re.sub(rf"(?<![\w}}$.]){re.escape(old)}", new, text)
            else:
                text = text.replace(old, new)
        return text

    def install(self, program: Path) -> None:
        """Have the tracker be PROGRAM from now on; what runs goes on."""
        new = self.root / "opt/tracker/bin/new"
        shutil.copy2(program, new)
        new.replace(self.root / "opt/tracker/bin/tracker")

    def run(self, commands: str, **environment: str) -> str:
        """What COMMANDS print, run by bash in the folder of the release; none of them may fail."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(commands)],
            cwd=self.root / "release", env={**self.environment, **environment}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE, check=False,
        )  # fmt: skip
        said = done.stdout.decode()
        assert done.returncode == 0, f"{commands}\n{said}\n{self.log}"
        return said

    @property
    def log(self) -> str:
        """What the server logged."""
        path = self.root / "log"
        return path.read_text() if path.exists() else ""

    def close(self) -> None:
        """Stop what runs here."""
        for name in ("pid", "nginx.pid"):
            path = self.root / name
            if path.exists():
                os.kill(int(path.read_text()), signal.SIGTERM)

    def _stand_in(self) -> None:
        for name, text in STAND_INS.items():
            path = self.root / "stand-ins" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/bash\n{text}")
            path.chmod(0o755)
        target = self.root / "release" / "deploy"
        shutil.copytree(ROOT / "deploy", target, ignore=shutil.ignore_patterns("pictures"))
        for path in target.rglob("*"):
            if path.is_file():
                path.write_text(self._ported(self.here(path.read_text())))

    def _ported(self, text: str) -> str:
        """A file of deploy/: one process in place of workers, which load the program anew, and ports that are free."""
        for old, new in {
            "serve --workers 2": "serve",
            "listen 443 ": f"listen 127.0.0.1:{self.tls} ",
            "listen [::]:443 ": f"listen 127.0.0.1:{free_port()} ",
            "listen 80 ": f"listen 127.0.0.1:{free_port()} ",
            "listen [::]:80 ": f"listen 127.0.0.1:{free_port()} ",
        }.items():
            text = text.replace(old, new)
        return text

    def _certified(self) -> None:
        folder = self.root / "etc/letsencrypt/live" / HOST
        folder.mkdir(parents=True)
        certify(folder / "fullchain.pem", 90, HOST)
        shutil.copy2(folder / "fullchain.pem", folder / "privkey.pem")

    def _nginx(self) -> None:
        """Debian's own nginx.conf, with the paths of this machine."""
        debian = EXTRACTED / "etc" / "nginx"
        temporary = "".join(
            f"{kind}_temp_path {self.root}/tmp/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self.root / "tmp").mkdir()
        text = (debian / "nginx.conf").read_text()
        for old, new in {
            "/run/nginx.pid": f"{self.root}/nginx.pid",
            "/var/log/nginx": f"{self.root}/var/log/nginx",
            "/etc/nginx/sites-enabled": f"{self.root}/etc/nginx/sites-enabled",
            "/etc/nginx/mime.types": str(debian / "mime.types"),
            "include /etc/nginx/conf.d/*.conf;": temporary,
            "worker_processes auto;": "worker_processes 1;",
        }.items():
            assert old in text
            text = text.replace(old, new)
        (self.root / "etc/nginx/nginx.conf").write_text(text)
