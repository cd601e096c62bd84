"""Prints the benchmark tables: ratios in this run, each with its yardstick and what is aimed at."""

from __future__ import annotations

from tests.bench import rewriting, serving, workers


def main() -> None:
    """Measure and print."""
    for title, table in (("Rewriting", rewriting.table), ("Serving", serving.table), ("Workers", workers.table)):
        print(f"\n{title}")
        for what, ratio, yardstick, aim in table():
            print(f"  {what:62} {ratio:>15}  of {yardstick:24} aim {aim}", flush=True)


if __name__ == "__main__":
    main()
