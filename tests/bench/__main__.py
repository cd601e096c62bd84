"""Prints the benchmark tables: ratios in this run, each with its yardstick and whether it reaches what is aimed at.

`python -m tests.bench hits workers` measures those tables alone. With `--strict` the exit status is 1 where an aim was
missed or a row not measured; without, only where a table could not be measured at all: a small machine is no fault.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from tests.bench import driver, figures, growth, hits, relaying, rewriting, serving, sweeping, workers
from tests.bench.verdict import Row, is_complete, line, summary, unmeasured

Table = Callable[[], Iterable[Row]]
TABLES: Final[Mapping[str, Table]] = {
    "rewriting": rewriting.table,
    "serving": serving.table,
    "hits": hits.table,
    "workers": workers.table,
    "sweeping": sweeping.table,
    "figures": figures.table,
    "growth": growth.table,
    "relaying": relaying.table,
}


def main(words: Sequence[str], tables: Mapping[str, Table] = TABLES) -> int:
    """Measure and print those of TABLES that WORDS name, or all; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures and prints tables of ratios.")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(tables)}; none: all")
    parser.add_argument("--strict", action="store_true", help="exit 1 where an aim is missed or a row not measured")
    asked = parser.parse_args(words)
    if unknown := set(asked.tables).difference(tables):
        parser.error(f"there is no table {', '.join(sorted(unknown))}: there are {', '.join(tables)}")
    print(_machine())
    rows: list[tuple[str, Row]] = []
    broken = False
    for name in asked.tables or tables:
        print(f"\n{name.capitalize()}", flush=True)
        try:
            for row in tables[name]():
                print(line(row), flush=True)
                rows.append((name.capitalize(), row))
        except Exception as error:  # the other tables are measured and judged nevertheless
            traceback.print_exc()
            row = ("this table, or the rest of it", unmeasured(type(error).__name__), "", "")
            print(line(row), flush=True)
            rows.append((name.capitalize(), row))
            broken = True
    print("\nSummary", *summary(rows), sep="\n", flush=True)
    return 1 if broken or (asked.strict and not is_complete(rows)) else 0


def _machine() -> str:
    """What the figures are of."""
    cores, (load, _, _) = len(os.sched_getaffinity(0)), os.getloadavg()
    busy = f"; it has other work (load {load:.1f}), which makes ratios uneven" if load > cores / 2 else ""
    return f"Cores: {cores}; Python {platform.python_version()}; hits by {driver.name()}{busy}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
