"""A real installation with a running server, for the tests of one module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Installation


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Installation]:
    """An installation of this test's own, not yet started; whatever happens, its server does not outlive the test."""
    installation = Installation.copied(tmp_path / "tracker")
    yield installation
    installation.kill()


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder: Path = tmp_path_factory.mktemp("installation") / "tracker"
    with Installation.copied(folder) as running:
        yield running
