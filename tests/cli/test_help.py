"""What `--help` says: every command stands under a heading, and every option is explained."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc

import click
import pytest

from tracker.cli import tracker
from tracker.cli.sections import Sections

NARROW = 80


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """GROUP and all below it, each with the words that call it."""
    yield path, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(commands(tracker))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_is_explained(path: tuple[str, ...]) -> None:
    options = [one for one in ALL[path].params if isinstance(one, click.Option)]
    assert [one.name for one in options if not one.help] == []
    assert all(one.help.endswith(".") for one in options if one.help)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_the_first_sentence_tells_on_a_narrow_screen_what_a_command_does(path: tuple[str, ...]) -> None:
    said = cleandoc(ALL[path].help or "")
    first, _, rest = said.partition("\n\n")
    assert first.count(".") == 1 or not path
    assert first.endswith(".")
    assert not rest or rest.endswith(".")
    if isinstance(ALL[path], click.Group):
        context = click.Context(ALL[path], info_name="tracker", terminal_width=NARROW)
        assert "..." not in ALL[path].get_help(context).replace("[ARGS]...", "")


@pytest.mark.parametrize("path", [path for path, one in ALL.items() if isinstance(one, Sections)], ids=" ".join)
def test_every_command_stands_under_one_heading(path: tuple[str, ...]) -> None:
    group = ALL[path]
    assert isinstance(group, Sections)
    listed = group.list_commands(click.Context(group))
    assert sorted(listed) == sorted(group.commands)
    told = group.get_help(click.Context(group, info_name="tracker"))
    for name, command in group.commands.items():
        assert f"\n  {name} " in told
        assert (command.help or "").partition("\n\n")[0].replace("\n", " ")[:30] in told
