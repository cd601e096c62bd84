"""The wheel holds all that the program needs: it works outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel was installed."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    return subprocess.run(
        [sys.executable, "-m", "tracker", *words],
        capture_output=True, text=True, timeout=120, check=False,
        cwd=installed.parent, env={**environment, "PYTHONPATH": str(installed)},
    )  # fmt: skip


def test_the_demo_tells_its_story_from_the_wheel(installed: Path) -> None:
    where = subprocess.run(
        [sys.executable, "-c", "import tracker; print(tracker.__file__)"],
        capture_output=True, text=True, check=True,
        cwd=installed.parent, env={**os.environ, "PYTHONPATH": str(installed)},
    )  # fmt: skip
    assert Path(where.stdout.strip()).is_relative_to(installed)
    told = run(installed, "demo", "--once")
    assert told.returncode == 0, told.stdout + told.stderr
    assert not told.stderr


def test_the_wheel_holds_templates_catalogues_and_migrations(installed: Path) -> None:
    names = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    for wanted in (
        "tracker/templates/consent/de.txt",
        "tracker/templates/locale/",
        "tracker/store/migrations/versions/",
    ):
        assert any(name.startswith(wanted) for name in names), wanted
    assert not any(name.startswith("tests/") for name in names)


def test_init_makes_an_installation_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    made = run(installed, "init", str(tmp_path / "shop"), "--controller", "Shop", "--contact", "privacy@shop.example")
    assert made.returncode == 0, made.stderr
    config = str(tmp_path / "shop" / "tracker.toml")
    assert run(installed, "--config", config, "doctor").returncode == 0
    again = run(installed, "init", str(tmp_path / "shop"), "--controller", "Shop", "--contact", "privacy@shop.example")
    assert again.returncode == 1
    assert "nothing was overwritten" in again.stderr
