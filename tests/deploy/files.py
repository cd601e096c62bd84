"""The files of deploy/ as operators get them, with nothing changed in them but ports and paths."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
ROOT = DEPLOY.parent
EXTRACTED = ROOT / ".venv" / "debian"
"""Where tests/tools.sh unpacks Debian packages that are not to be installed beside others, or start services."""


def adapted(name: str, changes: Mapping[str, str]) -> str:
    """The file NAME below deploy/, with CHANGES made in it, each of which must find its place."""
    text = (DEPLOY / name).read_text()
    for old, new in changes.items():
        assert old in text, f"deploy/{name} no longer holds {old!r}"
        text = text.replace(old, new)
    return text


def found(name: str) -> str | None:
    """The path of the program NAME; None where it is missing."""
    places = f"{EXTRACTED}/usr/bin:{EXTRACTED}/usr/sbin:{os.environ.get('PATH', '')}:/usr/sbin"
    return shutil.which(name, path=places)


def program(name: str, *, root: bool = False) -> str:
    """The path of the program NAME; where it is missing, or we are not ROOT, the test is skipped, and fails in CI."""
    path = found(name)
    if path is None or (root and os.geteuid() != 0):
        pytest.skip(f"needs {name}{', and root' if root else ''}; `make tools` installs it")
    return path


def checked(*command: str | Path, timeout: float = 60, **more: object) -> str:
    """What COMMAND prints; it must exit with 0."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **more)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command[0]} exited {done.returncode}: {done.stdout}{done.stderr}"
    return str(done.stdout) + str(done.stderr)
