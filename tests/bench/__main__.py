"""Prints the benchmark tables: ratios in this run, each with its yardstick and what is aimed at."""

from __future__ import annotations

from tests.bench import figures, growth, hits, relaying, rewriting, serving, sweeping, workers


def main() -> None:
    """Measure and print."""
    for title, table in (
        ("Rewriting", rewriting.table),
        ("Serving", serving.table),
        ("Hits", hits.table),
        ("Workers", workers.table),
        ("Sweeping", sweeping.table),
        ("Figures", figures.table),
        ("Growth", growth.table),
        ("Relaying", relaying.table),
    ):
        print(f"\n{title}")
        for what, ratio, yardstick, aim in table():
            print(f"  {what:62} {ratio:>18}  of {yardstick:24} {aim and f'aim {aim}'}", flush=True)


if __name__ == "__main__":
    main()
