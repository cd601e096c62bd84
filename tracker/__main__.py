"""Lets `python -m tracker` do what `tracker` does."""

from tracker.cli import main

main()
