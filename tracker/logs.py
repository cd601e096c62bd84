"""Lets only our own words into the log; of what libraries say, and of every exception, only the place.

The law: nothing reaches the stream but through `tracker.log_lines`, which says what a line may hold.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TextIO

from tracker.log_lines import FIELDS, OURS, LineFormatter, kind_of, quoted, short_path

uncaught = logging.getLogger("tracker.uncaught")


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines; a record that cannot be formatted is reported by its place, never by its content."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.setFormatter(LineFormatter())

    def handleError(self, record: logging.LogRecord) -> None:
        """Instead of the standard library's report, which prints message and arguments."""
        error = sys.exc_info()[1]
        place = f"{short_path(record.pathname)}:{record.lineno}"
        kind = "unknown" if error is None else kind_of(error)
        try:
            self.stream.write(f"level=error logger=tracker.logs error={quoted(kind)} at={quoted(place)}\n")
            self.flush()
        except (OSError, ValueError):
            return  # nowhere left to say it


@dataclass(frozen=True)
class Restore:
    """Puts back what `configure` replaced; tests and the demo use it."""

    steps: tuple[Callable[[], None], ...]

    def __call__(self) -> None:
        """Put everything back."""
        for step in reversed(self.steps):
            step()


def configure(stream: TextIO, level: int = logging.INFO) -> Restore:
    """Send every record to STREAM, ours from LEVEL on and those of libraries from WARNING on, and nothing elsewhere.

    Uncaught exceptions, also in threads and finalisers, and warnings go the same way. For an event loop set
    `loop.set_exception_handler(report_loop_error)`.
    """
    root, ours = logging.getLogger(), logging.getLogger(OURS)
    restore = Restore(
        (
            *(_restorer(logger) for logger in (root, *_known_loggers())),
            _setter(sys, "excepthook", sys.excepthook),
            _setter(sys, "unraisablehook", sys.unraisablehook),
            _setter(threading, "excepthook", threading.excepthook),
            _setter(warnings, "showwarning", warnings.showwarning),
        )
    )
    for logger in _known_loggers():  # handlers that a library brought along would write its words
        logger.handlers.clear()
        logger.propagate = True
    root.handlers[:] = [LineHandler(stream)]
    root.setLevel(logging.WARNING)
    ours.setLevel(level)
    sys.excepthook = _report_crash
    sys.unraisablehook = _report_unraisable
    threading.excepthook = _report_thread
    warnings.showwarning = _report_warning
    return restore


def report_loop_error(_loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """An event loop's exception handler: the context's message and objects may show what was being read."""
    error = context.get("exception")
    uncaught.error("an error reached the event loop", exc_info=error if isinstance(error, BaseException) else None)


# --- who else speaks ---------------------------------------------------------------------------


def _report_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    uncaught.critical("an error ended the program", exc_info=(kind, error, trace))


def _report_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        uncaught.error("an error ended a thread", exc_info=args.exc_value)


def _report_unraisable(args: sys.UnraisableHookArgs) -> None:
    uncaught.error("an error could not be raised", exc_info=args.exc_value)


def _report_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    # What is said and the source line are dropped: a warning may quote a value.
    fields = {"category": category.__name__, "at": f"{short_path(filename)}:{lineno}"}
    logging.getLogger("tracker.warnings").warning("a warning", extra={FIELDS: fields})


def _known_loggers() -> list[logging.Logger]:
    return [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]


def _restorer(logger: logging.Logger) -> Callable[[], None]:
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate

    def restore() -> None:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate

    return restore


def _setter(owner: object, name: str, value: object) -> Callable[[], None]:
    return lambda: setattr(owner, name, value)
