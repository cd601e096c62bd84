"""Every requirement of the law is shown by a test or explained, and the table of `make law` says which."""

from __future__ import annotations

from pathlib import Path

from tests.law import Requirement, faults, requirements, shown, table

TESTS = '''
def test_r2_r5_by_name():
    assert True

async def test_by_text():
    """R7, R8 and R9: something."""

class TestGroup:
    def test_in_a_class(self):
        """R7: something else."""

def test_that_only_mentions_one():
    """Shows nothing of R1: it mentions it."""

def helper():
    """R6: no test."""
'''


def test_every_requirement_is_shown_or_explained() -> None:
    assert not faults(requirements(), shown())


def test_all_of_them_are_listed_in_order() -> None:
    assert list(requirements()) == list(range(1, 68))
    assert all(one.issue or not one.open or one.number in (39, 50, 52) for one in requirements().values())


def test_tests_are_found_by_name_and_by_docstring(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(TESTS)
    found = shown(tmp_path)
    assert sorted(found) == [2, 5, 7, 8, 9]
    assert found[7] == ["test_x.py::test_by_text", "test_x.py::test_in_a_class"]


def test_a_gap_and_a_number_that_does_not_exist_are_faults() -> None:
    asked = {
        1: Requirement(1, "a"),
        2: Requirement(2, "b", open="c", issue=8),
        3: Requirement(3, "d", open="e"),
    }
    tests = {3: ["x::test"], 70: ["y::test"]}
    assert faults(asked, tests) == ["R1 is neither shown nor explained", "y::test names R70, which does not exist"]
    lines = "\n".join(table(asked, tests))
    assert "not built: c (issue 8)" in lines
    assert "shown by x::test\n     still open: e" in lines
    assert "NEITHER" in lines
