"""What holds for all tests: with CI=true nothing that needs a program of its own is skipped silently."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

NEEDS_A_PROGRAM = ("browser",)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    needs = [name for name in NEEDS_A_PROGRAM if item.get_closest_marker(name)]
    if report.skipped and needs and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI=true forbids: {report.longrepr}"
    return report
