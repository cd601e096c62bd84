"""Who moves an installation to a server sees on their terminal how far it is."""

from __future__ import annotations

from io import StringIO

import pytest

from tracker.cli.move import _Bar


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_says_how_many_rows_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    bar = _Bar()
    bar.begin(10)
    assert "0/10" in terminal.getvalue()
    for rows, told in ((4, "4/10"), (6, "10/10")):
        bar.copied(rows)
        assert told in terminal.getvalue().rpartition("copying")[2]
    bar.end()
