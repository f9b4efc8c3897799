"""The shape of the tree: small files, short functions, few constructor arguments, a docstring and a test for everything."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 60
CONSTRUCTOR_PARAMETERS = 7

COVERED_BY = {
    "methods": "tests/laws/test_methods.py",
    "regimes": "tests/laws/test_regimes.py",
}
"""Rooms whose files are all alike: one law goes through every one of them, so each needs no test file of its own."""

NOT_MIRRORED: dict[str, str] = {}
"""Modules that no test names, and why that is right."""

MANY_PARAMETERS: dict[str, str] = {
    "estimator/classifier.SteelyardClassifier": "scikit-learn searches over constructor parameters and nothing else",
    "estimator/multi_label.SteelyardMultiLabelClassifier": "as SteelyardClassifier",
    "losses/distribution_balanced.DistributionBalanced": "numbers of the paper, each to be written on the command line",
    "weightings/class_aware_meta_weight_net.ClassAwareMetaWeightNet": "those of MetaWeightNet and what groups classes",
    "weightings/density_ratio.DensityRatio": "options of the paper, of its code and of what corrects them; plain values, "
    "so that each can be written on the command line",
}
"""Constructors with more parameters than the rest, and why."""


def package(repo: Path) -> Path:
    return repo / "src" / "steelyard"


def parsed(repo: Path) -> Iterator[tuple[str, ast.Module]]:
    """Name (`core/rows`) and syntax tree of every module."""
    root = package(repo)
    for path in sorted(root.rglob("*.py")):
        yield path.relative_to(root).with_suffix("").as_posix(), ast.parse(path.read_text())


def is_public(name: str) -> bool:
    return not any(part.startswith("_") and part not in ("__init__", "__main__") for part in name.split("/"))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the signature to the end, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def defines_something(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in tree.body)


def test_files_are_small(repo: Path) -> None:
    files = [path for folder in ("src", "tests", "benchmarks", "experiments") for path in (repo / folder).rglob("*.py")]
    sizes = {path.relative_to(repo).as_posix(): len(path.read_text().splitlines()) for path in files}
    large = {name: size for name, size in sizes.items() if size > FILE_LINES}
    assert not large, f"more than {FILE_LINES} lines: {large}"


def test_functions_are_short(repo: Path) -> None:
    sizes = {f"{name}:{found.name}": code_lines(found) for name, tree in parsed(repo) for found in functions(tree)}
    long = {name: size for name, size in sizes.items() if size > FUNCTION_LINES}
    assert not long, f"more than {FUNCTION_LINES} lines: {long}"


def test_constructors_have_few_parameters(repo: Path) -> None:
    wrong = {}
    for name, tree in parsed(repo):
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef):
                continue
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    given = len(method.args.posonlyargs + method.args.args + method.args.kwonlyargs) - 1
                    if given > CONSTRUCTOR_PARAMETERS and f"{name}.{node.name}" not in MANY_PARAMETERS:
                        wrong[f"{name}.{node.name}"] = given
    assert not wrong, f"more than {CONSTRUCTOR_PARAMETERS}: {wrong}"


def test_public_modules_have_a_docstring(repo: Path) -> None:
    bare = [name for name, tree in parsed(repo) if is_public(name) and len(ast.get_docstring(tree) or "") < 10]
    assert not bare, f"say in a sentence what the module is for: {bare}"


def imported_by_tests(repo: Path) -> set[str]:
    """Names (`core/rows`) of the modules that some test file imports from."""
    found = set()
    for path in (repo / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("steelyard."):
                origin = str(node.module).removeprefix("steelyard.").replace(".", "/")
                found.update((origin, *(f"{origin}/{alias.name}" for alias in node.names)))
            elif isinstance(node, ast.Import):
                found.update(alias.name.removeprefix("steelyard.").replace(".", "/") for alias in node.names)
    return found


def test_every_module_has_a_test(repo: Path) -> None:
    """A test file at the mirrored place, one that imports the module by its name, or a law that goes through its room."""
    untested = []
    named = imported_by_tests(repo)
    for name, tree in parsed(repo):
        room, _, file = name.rpartition("/")
        if file == "__init__" or not defines_something(tree) or name in NOT_MIRRORED or name in named:
            continue
        law = COVERED_BY.get(name.partition("/")[0])
        mirror = repo / "tests" / "unit" / room / f"test_{file.lstrip('_')}.py"
        if not mirror.is_file() and not (law and (repo / law).is_file()):
            untested.append(name)
    assert not untested, f"these want tests/unit/<room>/test_<file>.py: {untested}"


def test_exceptions_are_still_needed(repo: Path) -> None:
    """A reason that outlived its module, or a law that is gone, must not hide anything."""
    names = {name for name, _ in parsed(repo)}
    assert set(NOT_MIRRORED) <= names
    assert {name.partition(".")[0] for name in MANY_PARAMETERS} <= names
    assert all((repo / law).is_file() for law in COVERED_BY.values())


def test_a_method_is_one_generator_named_like_its_file(repo: Path) -> None:
    wrong = []
    for path in sorted((package(repo) / "methods").glob("[!_]*.py")):
        public = [
            node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef) and node.name[0] != "_"
        ]
        methods = [node for node in public if any(isinstance(inner, ast.Yield | ast.YieldFrom) for inner in ast.walk(node))]
        if [node.name for node in methods] != [path.stem]:
            wrong.append(path.name)
    assert not wrong, f"methods/NAME.py holds one public generator function, NAME: {wrong}"


def test_a_regime_is_one_function_named_like_its_file(repo: Path) -> None:
    wrong = []
    for path in sorted((package(repo) / "regimes").glob("[!_]*.py")):
        public = [
            node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef) and node.name[0] != "_"
        ]
        if public != [path.stem]:
            wrong.append(path.name)
    assert not wrong, f"regimes/NAME.py holds one public function, NAME: {wrong}"


def test_nothing_asks_for_attributes(repo: Path) -> None:
    """A part says by its type what it can do; `hasattr` would be a second, hidden interface."""
    asking = [
        name
        for name, tree in parsed(repo)
        if any(isinstance(node, ast.Call) and getattr(node.func, "id", "") == "hasattr" for node in ast.walk(tree))
    ]
    assert not asking, f"use a type or a protocol instead: {asking}"
