"""What all commands share: the settings, the event loop, addresses from stdin, and how errors are told."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

import click
import uvloop

from tracker.config import Settings, load
from tracker.model import Language, TrackerError

T = TypeVar("T")

LANGUAGES: Final = click.Choice([one.value for one in Language])
LANGUAGE: Final = click.option("--language", type=LANGUAGES, help="Default: that of the settings.")
CASE: Final = click.option("--case", metavar="N", help="Your number of the letter or call, for the audit trail.")


@dataclass(frozen=True, slots=True)
class Context:
    """What stands before the command's name."""

    config: Path | None

    def settings(self) -> Settings:
        """The effective settings. Raises BadSetting."""
        return load(self.config, os.environ)


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of WORK, on a loop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def address_given(argument: str | None) -> str:
    """The address: the command's ARGUMENT, or a line on stdin where it is absent or '-'."""
    if argument is None or argument == "-":
        return sys.stdin.readline().strip()
    return argument


def spoken(language: str | None, settings: Settings) -> Language:
    """The LANGUAGE that was given, or that of the settings."""
    return settings.language if language is None else Language(language)


@contextmanager
def new_file(path: Path) -> Iterator[TextIO]:
    """A file that is not there yet, to be written. Raises click.BadParameter, and overwrites nothing."""
    try:
        file = path.open("x", encoding="utf-8", newline="")
    except FileExistsError:
        raise click.BadParameter("the file is there already; nothing was overwritten", param_hint="--output") from None
    except OSError as error:
        raise click.BadParameter(f"cannot be written: {error.strerror}", param_hint="--output") from None
    with file:
        yield file


def explain(error: TrackerError) -> None:
    """Print what happened, what it means and what to do."""
    click.echo(error.explanation, err=True)
