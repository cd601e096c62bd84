"""Lists the commands of a group under headings, in the order in which one comes to need them."""

from __future__ import annotations

from typing import Any

import click


class Sections(click.Group):
    """A group whose help has sections."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._sections: dict[str, tuple[str, ...]] = {}

    def section(self, heading: str, *commands: click.Command) -> None:
        """Add COMMANDS, under HEADING."""
        for command in commands:
            self.add_command(command)
        self._sections[heading] = tuple(command.name or "" for command in commands)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, section by section."""
        return [name for names in self._sections.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each section as a list of its own, all with the same columns."""
        widest = max(map(len, self.list_commands(ctx)))
        room = formatter.width - 6 - widest
        for heading, names in self._sections.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(f"{name:{widest}}", self.commands[name].get_short_help_str(room)) for name in names]
                )
