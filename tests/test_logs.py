"""Shows that an address never reaches the log through a library or an exception, and that each record is one line."""

from __future__ import annotations

import asyncio
import io
import logging
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from sqlalchemy import create_engine, text

from tracker.log_lines import FIELDS, LineFormatter
from tracker.logs import configure, report_loop_error

CANARY = "anna.canary@example.org"
LIBRARIES = [
    "aiohttp.server",
    "asyncio",
    "sqlalchemy.engine",
    "alembic",
    "pydantic",
    "aiosqlite",
    "py.warnings",
    "root",
]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What reaches the log while a test runs."""
    stream = io.StringIO()
    restore = configure(stream)
    yield stream
    restore()


class CanaryError(Exception):
    """An error whose text holds an address, as those of libraries do."""


def fail(*, cause: bool = False) -> None:
    try:
        raise CanaryError(f"cannot read <{CANARY}>", CANARY)
    except CanaryError as error:
        if not cause:
            raise
        error.add_note(CANARY)
        raise ValueError(CANARY) from error


def raised(by: Callable[[], object]) -> BaseException:
    try:
        by()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


# --- ours --------------------------------------------------------------------------------------


def test_our_own_words_are_written_as_they_are(log: io.StringIO) -> None:
    logging.getLogger("tracker.service").info("serving %d listeners", 2, extra={FIELDS: {"port": 8080}})
    line = log.getvalue()
    assert re.match(r"time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=info logger=tracker.service ", line)
    assert line.endswith('message="serving 2 listeners" port=8080\n')


def test_a_name_that_only_begins_like_ours_is_not_ours(log: io.StringIO) -> None:
    logging.getLogger("trackers").error(CANARY)
    assert CANARY not in log.getvalue()


def test_of_our_own_exceptions_too_only_type_and_place_are_written(log: io.StringIO) -> None:
    try:
        fail()
    except CanaryError:
        logging.getLogger("tracker.flows.send").exception("a message left untouched")
    line = log.getvalue()
    assert "canary@" not in line
    assert 'message="a message left untouched"' in line
    assert re.search(r"error=\S*CanaryError at=test_logs.py:\d+\n", line)


@given(st.text())
def test_a_record_is_one_line_of_printable_text(words: str) -> None:
    record = logging.LogRecord("tracker.x", logging.INFO, "x.py", 1, words, None, None)
    record.fields = {"field": words}
    line = LineFormatter().format(record)
    assert line.isprintable()
    assert line.splitlines() == [line]


def test_line_ends_and_quotes_are_escaped(log: io.StringIO) -> None:
    """R61: CR, LF and NUL never reach a log."""
    logging.getLogger("tracker").warning('a\r\nlevel=critical b="c"\0\u2028\u202e\\')
    assert log.getvalue().endswith(r'message="a\r\nlevel=critical b=\"c\"\u0000\u2028\u202e\\"' + "\n")


# --- libraries ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIBRARIES)
def test_what_a_library_says_is_not_written(log: io.StringIO, name: str) -> None:
    logger = logging.getLogger(None if name == "root" else name)
    logger.error("Error handling request from %s: %r", CANARY, {"to": CANARY})
    logger.warning(CANARY, stack_info=True, extra={"address": CANARY})
    lines = log.getvalue().splitlines()
    assert "canary" not in log.getvalue()
    assert len(lines) == 2
    assert re.search(rf"level=error logger={name} at=test_logs.py:\d+$", lines[0])


@pytest.mark.parametrize("cause", [False, True])
def test_of_a_librarys_exception_type_and_place_are_written(log: io.StringIO, cause: bool) -> None:
    try:
        fail(cause=cause)
    except Exception:
        logging.getLogger("aiohttp.server").exception("for %s", CANARY)
    line = log.getvalue()
    assert "canary@" not in line
    assert re.search(r"error=\S+ at=test_logs.py:\d+", line)
    assert ("CanaryError@test_logs.py:" in line) == cause


def test_chains_and_groups_are_named_and_end(log: io.StringIO) -> None:
    first, second = raised(fail), raised(lambda: fail(cause=True))
    first.__context__ = second  # a circle: second was raised from an error like the first
    second.__cause__ = first
    group = BaseExceptionGroup(CANARY, [second])
    logging.getLogger("asyncio").error(CANARY, exc_info=group)
    line = log.getvalue()
    assert "canary@" not in line
    assert "error=ExceptionGroup at=nowhere cause=ValueError@test_logs.py:" in line
    assert len(line.splitlines()) == 1


def test_the_place_in_our_own_code_is_named_too(log: io.StringIO) -> None:
    error = raised(lambda: LineFormatter().format(None))  # type: ignore[arg-type]
    logging.getLogger("asyncio").error("x", exc_info=error)
    assert re.search(r"error=AttributeError at=tracker/log_lines.py:\d+\n", log.getvalue())
    record = logging.LogRecord("tracker.x", logging.INFO, "x.py", 1, "%d", ("x",), None)
    logging.getLogger("asyncio").error("x", exc_info=raised(lambda: LineFormatter().format(record)))
    assert re.search(r"error=TypeError at=logging/__init__.py:\d+ via=tracker/log_lines.py:\d+\n", log.getvalue())


def test_a_librarys_chatter_is_not_written_at_all(log: io.StringIO) -> None:
    logging.getLogger("sqlalchemy.engine").info("SELECT %s", CANARY)
    assert log.getvalue() == ""


def test_handlers_that_a_library_brought_along_are_taken_off() -> None:
    own, stream = io.StringIO(), io.StringIO()
    library = logging.getLogger("library.with.handler")
    handler = logging.StreamHandler(own)
    library.addHandler(handler)
    library.propagate = False
    restore = configure(stream)
    library.error(CANARY)
    restore()
    assert own.getvalue() == ""
    assert "logger=library.with.handler" in stream.getvalue()
    assert library.handlers == [handler]
    assert not library.propagate


def test_a_statements_parameters_are_not_written(log: io.StringIO) -> None:
    engine = create_engine("sqlite://")
    try:
        with engine.connect() as connection:
            connection.execute(text("INSERT INTO nowhere VALUES (:address)"), {"address": CANARY})
    except Exception:
        logging.getLogger("tracker.store").exception("the store cannot be written")
    engine.dispose()
    assert "canary@" not in log.getvalue()
    assert "error=sqlalchemy.exc.OperationalError" in log.getvalue()
    assert "cause=sqlite3.OperationalError@sqlalchemy/engine/" in log.getvalue()


def test_the_input_that_pydantic_quotes_is_not_written(log: io.StringIO) -> None:
    class Body(BaseModel):
        count: int

    try:
        Body.model_validate({"count": CANARY})
    except ValueError:
        logging.getLogger("tracker.doors").exception("a body was refused")
    assert "canary@" not in log.getvalue()
    assert "ValidationError" in log.getvalue()


def test_a_record_that_cannot_be_formatted_gives_nothing_away(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    restore = configure(stream)  # here, so that pytest's own handlers are aside
    logging.getLogger("tracker.x").info("%d recipients", CANARY)
    restore()
    assert re.fullmatch(r"level=error logger=tracker.logs error=TypeError at=test_logs.py:\d+\n", stream.getvalue())
    assert capsys.readouterr().err == ""


def test_a_closed_stream_is_borne_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    restore = configure(stream)
    stream.close()
    logging.getLogger("tracker.x").info(CANARY)
    restore()
    assert capsys.readouterr().err == ""


# --- who else speaks ---------------------------------------------------------------------------


def test_a_warning_tells_its_kind_and_place_only(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure(log)  # again, for catch_warnings put the hook aside
        warnings.warn(f"deprecated for {CANARY}", DeprecationWarning, stacklevel=1)
    assert "canary" not in log.getvalue() + capsys.readouterr().err
    assert re.search(r"category=DeprecationWarning at=test_logs.py:\d+\n", log.getvalue())


def test_an_uncaught_exception_in_a_thread_is_reduced(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    thread = threading.Thread(target=fail, name=CANARY)
    thread.start()
    thread.join()
    assert "canary@" not in log.getvalue() + capsys.readouterr().err
    assert "CanaryError at=test_logs.py:" in log.getvalue()


def test_an_exception_in_a_finaliser_is_reduced(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    class Careless:
        def __repr__(self) -> str:
            return CANARY

        def __del__(self) -> None:
            fail()

    careless: Careless | None = Careless()
    assert careless is not None
    careless = None
    assert "canary@" not in log.getvalue() + capsys.readouterr().err
    assert "CanaryError at=test_logs.py:" in log.getvalue()


@pytest.mark.parametrize("ours", [True, False])
async def test_an_exception_that_reaches_the_loop_is_reduced(log: io.StringIO, ours: bool) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(report_loop_error if ours else None)
    loop.call_soon(fail)
    await asyncio.sleep(0)
    loop.call_exception_handler({"message": CANARY, "address": CANARY})
    assert "canary@" not in log.getvalue()
    assert "CanaryError at=test_logs.py:" in log.getvalue()
    assert len(log.getvalue().splitlines()) == 2


def test_an_exception_that_ends_the_program_is_reduced() -> None:
    program = (
        "import sys; from tracker.logs import configure; configure(sys.stderr)\n"
        f"raise ValueError({CANARY!r}) from KeyError({CANARY!r})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "canary" not in done.stdout + done.stderr
    assert 'message="an error ended the program" error=ValueError at=<string>:2 cause=KeyError@nowhere' in done.stderr


def test_everything_is_put_back() -> None:
    def state() -> list[object]:
        root = logging.getLogger()
        hooks = [sys.excepthook, sys.unraisablehook, threading.excepthook, warnings.showwarning]
        return [*hooks, list(root.handlers), root.level, logging.getLogger("tracker").level]

    before = state()
    restore = configure(io.StringIO(), logging.DEBUG)
    assert state() != before
    restore()
    assert state() == before
