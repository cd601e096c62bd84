"""What holds for all tests: with CI=true nothing is skipped silently.

Properties are tried on the same examples in every run, which takes no luck to pass; `make fuzz` looks for new ones.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from tests.mailserver import MailServer
from tests.mailserver import mail_server as running_mail_server
from tests.postgres import Cluster, programs

SHARING = frozenset({"browser", "deploy", "e2e"})
"""Folders of tests that share what takes seconds to start."""

settings.register_profile("short", derandomize=True, deadline=None)
settings.register_profile("long", max_examples=10_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    # The corpus is no program that could be installed: it stands beside some checkouts and not beside others.
    if report.skipped and "corpus" not in str(report.longrepr) and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI=true forbids: {report.longrepr}"
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep an `xdist_group` in one process: pytest-xdist 3.8 writes it where pytest 9.2 no longer looks.

    Where the tests of a module share a server or a browser, the module is a group, unless its tests say otherwise:
    else each process would start one of its own.
    """
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        groups = sorted({str(mark.args[0]) for mark in item.iter_markers("xdist_group")})
        if not groups and item.path.parent.name in SHARING:
            groups = [f"{item.path.parent.name} {item.path.stem}"]
        if groups and "@" not in item.nodeid.rpartition("]")[2]:
            item._id = type(item._id).parse(f"{item.nodeid}@{'_'.join(groups)}")


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    """A real SMTP server for the mails that the tracker sends itself (setting `smtp_next_hop`)."""
    with running_mail_server() as server:
        yield server


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here every hit waits for its result, however busy the machine is."""
    monkeypatch.setattr("tracker.flows.hit.LONGEST_WAIT", 10.0)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server of our own, one for each process that runs tests; these carry the marker `postgres`."""
    if programs() is None:
        pytest.skip("needs PostgreSQL (Debian's package postgresql)")
    with Cluster() as running:
        yield running
