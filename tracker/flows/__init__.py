"""One file for each thing that happens, readable top to bottom."""
