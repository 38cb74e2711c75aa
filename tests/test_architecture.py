"""The house holds: floors, one gate to the array libraries, no cycles, pages of readable length, doctests that run."""

from __future__ import annotations

import ast
import doctest
import graphlib
import importlib.util
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from minigrad import Op

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "minigrad"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 400
LONGER = {"tensor.py": 600}  # NumPy's operators at one line each

# The floor of each file or folder; a file imports from its own floor and those below.
FLOORS = {
    "backend": 0, "files": 0, "settings": 0, "replay": 0,
    "kernels": 1, "random": 1,
    "grad_mode": 2, "tape": 2,
    "ops": 3, "anomaly": 3,
    "tensor": 4, "protocols": 4,
    "data": 5, "draw": 5, "functional": 5, "variable": 5, "config": 5,
    "gradcheck": 6, "initializers": 6, "regularizers": 6, "constraints": 6, "activations": 6, "losses": 6, "metrics": 6,
    "layers": 7, "models": 7, "optimizers": 7, "plot": 7, "saving": 7, "distributed": 7,
    "callbacks": 7, "training": 7, "recording": 7, "cuda": 7,
    "__init__": 8,
}  # fmt: skip


def name_of(path: Path) -> str:
    """The module of a file, such as minigrad.ops.linalg."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in FILES}


def floor_of(module: str) -> int:
    part = module.split(".")[1] if "." in module else "__init__"
    assert part in FLOORS, f"{module}: give it a floor"
    return FLOORS[part]


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """The modules that a file imports, and whether at its top level. Imports for type checkers alone do not count."""
    tree = ast.parse(path.read_text())
    for statement in tree.body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            continue
        for node in ast.walk(statement):
            top = node is statement or (isinstance(statement, ast.Try) and node in statement.body)
            if isinstance(node, ast.Import):
                yield from ((alias.name, top) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path.name}: imports are absolute"
                module = node.module or ""
                for alias in node.names:
                    inner = f"{module}.{alias.name}"
                    yield (inner if inner in MODULES else module), top


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    for target, _ in imported(MODULES[module]):
        if target.startswith("minigrad"):
            assert floor_of(target) <= floor_of(module), f"{module} imports {target}, which lives above it"


@pytest.mark.parametrize("module", MODULES)
def test_one_file_imports_array_libraries(module: str) -> None:
    libraries = {target.split(".")[0] for target, _ in imported(MODULES[module])} & {"numpy", "cupy"}
    assert not libraries or module == "minigrad.backend"


@pytest.mark.parametrize("module", MODULES)
def test_imports_stand_at_the_top(module: str) -> None:
    """Only libraries that a user may lack are imported where they are used."""
    for target, top in imported(MODULES[module]):
        assert top or not (target.startswith("minigrad") or target.split(".")[0] in sys.stdlib_module_names), target


def test_no_cycles() -> None:
    graph = {
        module: {target for target, _ in imported(path) if target in MODULES} - {module, "minigrad"}
        for module, path in MODULES.items()
    }
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_pages(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= LONGER.get(str(path.relative_to(PACKAGE)), LONGEST)


@pytest.mark.parametrize("library", ["cuda", "cupy", "numpy", "torch", "jax", "keras", "tqdm", "matplotlib"])
def test_no_folder_hides_a_library(library: str) -> None:
    """CuPy finds its libraries by the namespace package ``cuda``; a folder of that name on the path would hide it."""
    places = [str(ROOT), str(ROOT / "examples")]
    assert set(places) <= set(sys.path)  # as pyproject.toml has it
    assert PathFinder.find_spec(library, places) is None
    assert importlib.util.find_spec("tests").origin == str(ROOT / "tests" / "__init__.py")


def test_tests_leave_the_path_alone() -> None:
    """A folder put first on the path decides what every later import finds."""
    files = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    assert [path.name for path in files if "sys.path." in path.read_text()] == []


def test_the_checks_can_fail(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    import numpy\n    from minigrad.layers import layer\n    from minigrad import ops\n")
    assert list(imported(bad)) == [("numpy", False), ("minigrad.layers.layer", False), ("minigrad.ops", False)]
    assert floor_of("minigrad.ops.linalg") < floor_of("minigrad.layers.layer")


@pytest.mark.parametrize("module", [m for m in MODULES if not m.endswith("__main__")])
def test_docstrings_run(module: str) -> None:
    failures, _ = doctest.testmod(importlib.import_module(module))
    assert failures == 0


def test_docstrings_of_ops_are_collected() -> None:
    """An Op is no function, but doctest sees through it."""
    ops = [op for op in Op.registry.values() if op.compute.__module__.startswith("minigrad.")]
    for op in ops:
        finder = doctest.DocTestFinder(exclude_empty=False)
        found = {test.name: test for test in finder.find(importlib.import_module(op.compute.__module__))}
        assert f"{op.compute.__module__}.{op.name}" in found
    assert sum(">>>" in (op.__doc__ or "") for op in ops) >= 30
