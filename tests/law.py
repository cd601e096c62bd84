"""Prints which test shows each requirement of the law (R1 to R67), or what is not built and why.

A test shows a requirement when its docstring begins with it (`R13: ...`, `R37, R59: ...`) or its name does
(`test_r13_...`). `law.toml` holds the requirements in short and, where something is open, what and in which issue.
Exits 1 when a requirement is neither shown nor explained, or a test names one that does not exist.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
WIDTH = 118
_NUMBERS = re.compile(r"R\d+(?:(?:, | and )R\d+)*(?=[:. ])")
_NAME = re.compile(r"test((?:_r\d+)+)(?:_|$)")


@dataclass(frozen=True)
class Requirement:
    """What the law asks for, in short."""

    number: int
    says: str
    open: str = ""
    """What of it is not built, and why, whether or not tests show the rest; empty: nothing."""
    issue: int | None = None


def requirements(file: Path = FOLDER / "law.toml") -> dict[int, Requirement]:
    """The requirements by number."""
    found = tomllib.loads(file.read_text(encoding="utf-8"))
    return {int(name[1:]): Requirement(int(name[1:]), **values) for name, values in found.items()}


def shown(folder: Path = FOLDER) -> dict[int, list[str]]:
    """Number → the tests below FOLDER that show it, as pytest names them."""
    tests: dict[int, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("test_*.py")):
        for test in _tests(ast.parse(path.read_text(encoding="utf-8"))):
            for number in _named(test):
                tests[number].append(f"{path.relative_to(folder).as_posix()}::{test.name}")
    return tests


def _tests(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield node


def _named(test: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    in_text = _NUMBERS.match(ast.get_docstring(test) or "")
    in_name = _NAME.match(test.name)
    texts = (in_text[0] if in_text else "", in_name[1] if in_name else "")
    return {int(number) for text in texts for number in re.findall(r"\d+", text)}


def table(asked: Mapping[int, Requirement], tests: Mapping[int, Sequence[str]]) -> Iterator[str]:
    """The lines of the table."""
    for number, requirement in sorted(asked.items()):
        yield from textwrap.wrap(f"R{number:<3} {requirement.says}", WIDTH, subsequent_indent="     ")
        for line in _state(requirement, tests.get(number, ())):
            yield from textwrap.wrap(line, WIDTH, initial_indent="     ", subsequent_indent="     ")


def _state(requirement: Requirement, tests: Sequence[str]) -> Iterator[str]:
    where = f" (issue {requirement.issue})" if requirement.issue else ""
    if tests:
        yield f"shown by {tests[0]}" + (f" (and {len(tests) - 1} more)" if len(tests) > 1 else "")
        if requirement.open:
            yield f"still open: {requirement.open}{where}"
    elif requirement.open:
        yield f"not built: {requirement.open}{where}"
    else:
        yield "NEITHER SHOWN NOR EXPLAINED"


def faults(asked: Mapping[int, Requirement], tests: Mapping[int, Sequence[str]]) -> list[str]:
    """What is wrong with the table."""
    wrong = [
        f"R{number} is neither shown nor explained"
        for number, requirement in asked.items()
        if not (tests.get(number) or requirement.open)
    ]
    return wrong + [
        f"{test} names R{number}, which does not exist"
        for number in tests.keys() - asked.keys()
        for test in tests[number]
    ]


def main() -> None:
    """Print the table; exit 1 when something is wrong with it."""
    asked, tests = requirements(), shown()
    for line in table(asked, tests):
        print(line)
    unbuilt = sum(not tests.get(number) for number in asked)
    print(f"\n{len(asked) - unbuilt} of {len(asked)} requirements are shown by tests; {unbuilt} are not built.")
    wrong = faults(asked, tests)
    for fault in wrong:
        print(fault, file=sys.stderr)
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
