"""What the tests of deploy/ share: an installation, as those against the running program have it, and a folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import fresh, tracker

__all__ = ["fresh", "open_folder", "tracker"]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that processes of other users reach; pytest's own are closed again by every pytest that starts."""
    with tempfile.TemporaryDirectory(prefix="tracker-deploy-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
