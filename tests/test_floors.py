"""Shows that each module imports only from its own floor or from floors below it, and that core stays pure."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "tracker"
FLOORS = ["model", "core", "store", "flows", "doors", "service"]
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))

IMPURE = {
    "asyncio", "http", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "shutil", "socket",
    "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib.request",
    "aiohttp", "aiosqlite", "alembic", "prometheus_client", "pydantic", "sqlalchemy", "uvloop",
}  # fmt: skip
SQL = {"sqlalchemy", "alembic", "aiosqlite", "sqlite3", "asyncpg"}
HTTP_AND_HTML = {"aiohttp", "jinja2", "markupsafe", "babel", "multidict", "yarl"}


def floor_of(module: str) -> str:
    """The floor that the dotted MODULE stands on; what is not in a floor's folder stands on top."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else "service"


def imports_of(path: Path) -> list[tuple[str, int]]:
    """Every module that PATH imports, with the column of the statement."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.col_offset) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append((node.module or "", node.col_offset))
    return found


def name_of(path: Path) -> str:
    return ".".join(["tracker", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_downwards_only(path: Path) -> None:
    own = FLOORS.index(floor_of(name_of(path)))
    for module, _ in imports_of(path):
        if module.split(".")[0] == "tracker" and module != "tracker":
            assert FLOORS.index(floor_of(module)) <= own, f"{name_of(path)} imports {module} from a floor above"


@pytest.mark.parametrize(
    "path", [path for path in MODULES if floor_of(name_of(path)) in ("model", "core")], ids=name_of
)
def test_core_is_pure(path: Path) -> None:
    modules = {module for module, _ in imports_of(path)}
    assert not {module for module in modules if module in IMPURE or module.split(".")[0] in IMPURE}
    tree = ast.parse(path.read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    clocks = {"now", "today", "utcnow"}
    calls = [
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    assert not clocks & set(calls)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_store_knows_sql_and_only_doors_know_http(path: Path) -> None:
    floor = floor_of(name_of(path))
    roots = {module.split(".")[0] for module, _ in imports_of(path)}
    if floor != "store":
        assert not roots & SQL
    if floor in ("model", "core", "store", "flows"):
        assert not roots & HTTP_AND_HTML


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_stand_at_the_head_of_the_module(path: Path) -> None:
    assert not [module for module, column in imports_of(path) if column], "an import hidden inside a function"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_module_opens_with_one_sentence_on_its_duty(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, "no docstring"
    assert docstring.splitlines()[0].endswith((".", ":")) or ":" in docstring.partition("\n\n")[0]
