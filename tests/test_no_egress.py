"""The program fetches nothing that a message or a request names: what a link points at is shown, never requested."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "tracker"
PROVIDER = PACKAGE / "doors" / "dashboard" / "provider.py"
"""Asks the company's identity provider, which the settings name, and nobody else; without the setting nobody at all."""
WEBHOOKS = PACKAGE / "doors" / "webhook_client.py"
"""Posts to the one system that the settings name."""
ASKER = PACKAGE / "doors" / "asker.py"
"""Asks the installation's own doors, when an operator starts a command that says so; see below."""
ASKING = {"cli/setup.py", "outside.py", "cli/trial.py", "trial.py"}
"""Who may use it: `doctor --from-outside`, and `try`."""
MODULES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if "demo" not in path.parts and path not in (PROVIDER, WEBHOOKS, ASKER)  # the demo plays the visitor
)
CLIENTS = {"ClientSession", "TCPConnector", "urlopen", "HTTPConnection", "HTTPSConnection", "create_connection"}
LIBRARIES = {"urllib.request", "http.client", "requests", "httpx", "urllib3", "ftplib", "socket"}
LISTENING = {"doors/server.py", "listeners.py", "crew.py", "worker.py"}
"""Have to do with sockets that are listened on, or that lead to our own processes."""
CONNECTING = {"connect", "connect_ex", "sock_connect", "open_connection"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_can_request_a_url(path: Path) -> None:
    """R64: no HTTP client but in the demo, for webhooks and the company's provider, and in two operators' commands."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    listening = str(path.relative_to(PACKAGE)) in LISTENING
    assert not imported & (LIBRARIES - {"socket"} if listening else LIBRARIES)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not names & CLIENTS
    assert not listening or not names & CONNECTING


def test_only_commands_that_say_so_ask_our_own_doors() -> None:
    """No server ever does, nor `doctor` without its flag (tests/e2e/test_from_outside.py)."""
    importing = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "tracker.doors.asker"
    }
    assert importing == ASKING


def test_the_search_finds_a_client() -> None:
    tree = ast.parse((PACKAGE / "demo" / "story.py").read_text(encoding="utf-8"))
    assert CLIENTS & {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
