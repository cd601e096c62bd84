"""Starts a tracker in a temporary folder and lets the independent judge of rewriting loose on it.

python -m tests.judge [the judge's own options] PATH...
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.harness import Installation

ORACLE = Path(__file__).parent.parent / ".." / "shared" / "check" / "oracle.py"
PEOPLE = {"consented": ("open", "click"), "open-only": ("open",), "click-only": ("click",), "unconsented": ()}


def main(arguments: list[str]) -> int:
    """The judge's exit status."""
    with tempfile.TemporaryDirectory() as folder, Installation.made(Path(folder) / "tracker") as tracker:
        people = []
        for name, purposes in PEOPLE.items():
            address = f"{name}@recipient.example"
            people += [f"--{name}", address]
            if purposes:
                assert tracker.grant(address, *purposes).status == 201
        options = [] if "--index" in arguments or "--unsign" in arguments else ["--unsign"]
        doors = ["--private", tracker.private_url, "--public", tracker.public_url, "--key", tracker.key]
        judged = subprocess.run([sys.executable, str(ORACLE), *doors, *people, *options, *arguments], check=False)
        return judged.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
