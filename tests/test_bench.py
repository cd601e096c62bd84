"""The bench says of each row whether it reaches its aim, and of all at its end; it never goes quiet about one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import driver, figures, growth, hits
from tests.bench.__main__ import main
from tests.bench.verdict import Row, Verdict, unmeasured, verdict
from tests.deploy.files import program

REACHES: Row = ("pixel", "1.06 (0.98-1.11)", "the bare handler", ">= 0.65")
MISSES: Row = ("two workers", "0.98 (0.91-1.04)", "one worker", ">= 1.5")
UNMEASURED: Row = ("a day dropped", unmeasured("no PostgreSQL"), "DELETE", "<= 1/20")
AIMLESS: Row = ("nginx", "3.50 (3.4-3.6)", "our pixel", "")
HEADING: Row = ("hits per second", "", "bare aiohttp", "")


def words(line: str) -> list[str]:
    """What stands in the columns of LINE."""
    return [word.strip() for word in line.split("  ") if word.strip()]


@pytest.mark.parametrize(
    ("measured", "aim", "expected"),
    [
        ("0.65", ">= 0.65", Verdict.REACHED),
        ("0.64", ">= 0.65", Verdict.MISSED),
        ("1.06 (0.51-1.11)", ">= 0.65", Verdict.REACHED),  # the median counts
        ("0.59 (0.51-1.11)", ">= 0.65", Verdict.MISSED),
        ("2", "<= 2", Verdict.REACHED),
        ("2.01 (1.1-3.0)", "<= 2", Verdict.MISSED),
        ("10.5 (9-11)", ">= 8", Verdict.REACHED),
        ("1/45", "<= 1/20", Verdict.REACHED),
        ("1/20", "<= 1/20", Verdict.REACHED),
        ("1/19.6", "<= 1/20", Verdict.MISSED),
        ("1/0", "<= 1/20", Verdict.MISSED),
        ("19.9 ms", "<= 20 ms", Verdict.REACHED),
        ("20.1 ms", "<= 20 ms", Verdict.MISSED),
        ("151 characters", "<= 150", Verdict.MISSED),
        ("0.75", "0.75 to 1.25", Verdict.REACHED),
        ("0.74", "0.75 to 1.25", Verdict.MISSED),
        ("1.26", "0.75 to 1.25", Verdict.MISSED),
        ("3.50 (3.4-3.6)", "", Verdict.NO_AIM),
        (unmeasured("no PostgreSQL"), "<= 1/20", Verdict.UNMEASURED),
        (unmeasured("no nginx"), "", Verdict.UNMEASURED),
    ],
)
def test_a_figure_is_judged_by_its_aim(measured: str, aim: str, expected: Verdict) -> None:
    assert verdict(measured, aim) is expected


@pytest.mark.parametrize(
    ("measured", "aim"),
    [
        ("1.2", "> 1"),
        ("1.2", "the ceiling"),
        ("1.2", "0.65"),
        ("1.2", ">= many"),
        ("", ">= 1"),
        ("not installed", ">= 1"),
        ("inf", "<= 2"),
        ("20 s", "<= 20 ms"),
        ("0.02", "<= 20 ms"),
    ],
)
def test_what_cannot_be_judged_is_an_error_and_no_verdict(measured: str, aim: str) -> None:
    with pytest.raises(ValueError, match=r"aim|figure"):
        verdict(measured, aim)


def test_the_end_names_each_row_that_was_missed_or_not_measured(capsys: pytest.CaptureFixture[str]) -> None:
    tables = {"hits": lambda: [HEADING, REACHES, AIMLESS], "workers": lambda: [MISSES], "growth": lambda: [UNMEASURED]}
    assert main([], tables) == 0, "a small machine is no fault"
    told, _, end = capsys.readouterr().out.partition("\nSummary\n")
    marks = [words(line)[0] for line in told.splitlines() if line.startswith("  ")]
    assert marks == ["hits per second, against bare aiohttp", "reached", "no aim", "missed", "not measured"]
    first, second, last = end.splitlines()
    assert words(first) == ["not measured", "no PostgreSQL", "aim <= 1/20", "Growth: a day dropped, against DELETE"]
    assert words(second) == ["missed", MISSES[1], "aim >= 1.5", "Workers: two workers, against one worker"]
    assert last == "Aims: 1 reached, 1 missed; rows not measured: 1"


@pytest.mark.parametrize(
    ("rows", "status"), [([HEADING, REACHES, AIMLESS], 0), ([REACHES, MISSES], 1), ([REACHES, UNMEASURED], 1)]
)
def test_strict_ends_with_1_where_a_row_is_missed_or_not_measured(rows: list[Row], status: int) -> None:
    assert main(["--strict"], {"hits": lambda: rows}) == status


def test_tables_are_measured_alone_in_the_order_in_which_they_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    tables = {name: lambda name=name: [(name, "1", "itself", "")] for name in ("hits", "workers", "growth")}
    assert main(["workers", "hits"], tables) == 0
    told = [words(line)[-1] for line in capsys.readouterr().out.splitlines() if "itself" in line]
    assert told == ["workers, against itself", "hits, against itself"]


def test_a_table_that_does_not_exist_is_refused_before_any_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["hits", "hit"], {"hits": lambda: pytest.fail("measured")})
    assert "there is no table hit: there are hits" in capsys.readouterr().err


def test_a_table_that_breaks_is_told_and_the_others_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    def breaks() -> Iterator[Row]:
        yield MISSES
        raise ZeroDivisionError

    assert main([], {"workers": breaks, "hits": lambda: [REACHES]}) == 1, "even where nobody is strict"
    told = capsys.readouterr()
    assert "ZeroDivisionError" in told.err
    assert "not measured  ZeroDivisionError" in told.out
    assert told.out.splitlines()[-1] == "Aims: 1 reached, 1 missed; rows not measured: 1"


def test_without_postgresql_each_of_its_rows_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (figures, growth):
        monkeypatch.setattr(module, "programs", lambda: None)
    rows = [*figures.on_postgres(), *growth.on_postgres()]
    assert {verdict(measured, aim) for _, measured, _, aim in rows} == {Verdict.UNMEASURED}
    assert all("PostgreSQL" in what and measured == unmeasured("no PostgreSQL") for what, measured, _, _ in rows)
    assert (growth.DROP, unmeasured("no PostgreSQL"), "DELETE", "<= 1/20") in rows


def test_without_nginx_the_ceiling_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hits, "found", lambda name: None)
    assert hits.ceiling(tmp_path, "http://127.0.0.1:9", [])[1] == unmeasured("no nginx")


def test_the_wrk_that_the_tools_bring_runs() -> None:
    done = subprocess.run(
        [program("wrk"), "-v"], env=driver.environment(), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.startswith("wrk "), done.stderr
