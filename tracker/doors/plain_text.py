"""Writes one of our own pages as plain text, for terminals and files; it knows only the elements that they use."""

from __future__ import annotations

import textwrap
from html.parser import HTMLParser
from typing import Final

WIDTH: Final = 100
_BLOCKS: Final = frozenset({"h1", "h2", "h3", "p", "li", "dt", "dd"})
_LEFT_OUT: Final = frozenset({"head", "nav"})


def plain_text(page: str) -> str:
    """The text of PAGE."""
    writer = _Writer()
    writer.feed(page)
    writer.close()
    return "\n".join(writer.lines).strip("\n") + "\n"


class _Writer(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._left_out = 0
        self._words: list[str] = []
        self._number: int | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _LEFT_OUT:
            self._left_out += 1
        if tag in ("ol", "ul"):
            self._number = 0 if tag == "ol" else None
        if tag in _BLOCKS:
            self._words = []

    def handle_endtag(self, tag: str) -> None:
        if tag in _LEFT_OUT:
            self._left_out -= 1
        if tag in _BLOCKS and not self._left_out:
            self._write(tag, " ".join("".join(self._words).split()))

    def handle_data(self, data: str) -> None:
        if not self._left_out:
            self._words.append(data)

    def _write(self, tag: str, text: str) -> None:
        if tag in ("h1", "h2"):
            rule = {"h1": "=", "h2": "-"}[tag] * min(len(text), WIDTH)
            self.lines += ["", *textwrap.wrap(text, WIDTH), rule, ""]
        elif tag == "li" and self._number is not None:
            self._number += 1
            self.lines += self._wrapped(text, f"{self._number}. ")
        elif tag in ("li", "dt"):
            self.lines += self._wrapped(text, "- ")
        elif tag == "dd":
            self.lines += textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")
        else:
            self.lines += ["", *textwrap.wrap(text, WIDTH), ""]

    def _wrapped(self, text: str, mark: str) -> list[str]:
        indent = " " * len(mark)
        return textwrap.wrap(text, WIDTH, initial_indent=mark, subsequent_indent=indent, break_on_hyphens=False)
