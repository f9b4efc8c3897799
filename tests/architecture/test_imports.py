"""What is imported when: heavy libraries only inside the functions that need them, and only declared ones."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

HEAVY = frozenset(
    [
        "pandas",
        "sklearn",
        "pyarrow",
        "duckdb",
        "plotly",
        "kornia",
        "lightning",
        "cleanlab",
        "curvlinops",
        "ray",
        "optuna",
        "scipy",
        "torchvision",
        "timm",
        "peft",
        "transformers",
        "torch_geometric",
        "laspy",
        "polars",
        "torchmetrics",
        "tensorboard",
        "PIL",
        "jinja2",
    ]
)
"""Never imported while a module of ours is loading."""

LIGHT = frozenset(("torch", "numpy", "rich", "click", "safetensors", "sklearn"))
"""May be imported at the top of a module; `import steelyard` itself loads only the first two."""

ONLY_WHERE = {
    "rich": ("console", "listing", "report"),
    "click": ("cli",),
    "sklearn": ("estimator/classifier", "estimator/multi_label"),
}
"""Rooms, or modules, that may import these at the top of a module."""

DISTRIBUTIONS = {"sklearn": "scikit-learn", "curvlinops": "curvlinops-for-pytorch", "PIL": "pillow", "markupsafe": "jinja2"}
"""Where what is declared has another name than what is imported."""


def modules(repo: Path) -> list[Path]:
    return sorted((repo / "src" / "steelyard").rglob("*.py"))


def imported(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module.partition(".")[0]]
    return []


def at_load(body: list[ast.stmt]) -> Iterator[str]:
    """Names imported when a module is loaded: not in functions, not for type checkers."""
    for node in body:
        yield from imported(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from at_load(node.orelse)
            continue
        for field in ("body", "orelse", "finalbody"):
            yield from at_load(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from at_load(handler.body)


def third_party(names: set[str]) -> set[str]:
    return names - set(sys.stdlib_module_names) - {"steelyard", "__future__"}


def test_heavy_libraries_are_imported_inside_functions(repo: Path) -> None:
    wrong = {}
    for path in modules(repo):
        found = third_party(set(at_load(ast.parse(path.read_text()).body)))
        module = path.relative_to(repo / "src" / "steelyard").with_suffix("")
        here = (module.parts[0], module.as_posix())
        bad = {name for name in found if name not in LIGHT or not {*here} & {*ONLY_WHERE.get(name, here)}}
        if bad:
            wrong[path.relative_to(repo).as_posix()] = sorted(bad)
    assert not wrong, f"import these inside the functions that need them: {wrong}"


def test_every_library_is_declared(repo: Path) -> None:
    project = tomllib.loads((repo / "pyproject.toml").read_text())["project"]
    extras = (line for name, lines in project["optional-dependencies"].items() if name not in ("dev", "docs") for line in lines)
    declared = {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower() for line in (*project["dependencies"], *extras)}
    used: set[str] = set()
    for path in modules(repo):
        used.update(*(imported(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.stmt)))
    used = {DISTRIBUTIONS.get(name, name).lower() for name in third_party(used)}
    assert used <= declared, f"name these in pyproject.toml: {used - declared}"
    base = {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower() for line in project["dependencies"]}
    assert base <= used, f"installed for the main job, and nothing imports them: {base - used}"


def loaded_by(statement: str) -> set[str]:
    """Top-level names in `sys.modules` after a statement in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_steelyard_loads_nothing_heavy() -> None:
    assert not loaded_by("import steelyard") & (HEAVY | {"rich", "click"})


def test_a_loss_in_a_hand_written_loop_loads_nothing_heavy() -> None:
    code = (
        "import torch, steelyard as sy\n"
        "sy.losses.LogitAdjusted([90, 10])(torch.zeros(1, 2), torch.tensor([0]))\n"
        "sy.weightings.InverseFrequency([90, 10]).class_weights"
    )
    # torch itself may load what it finds installed; only what comes on top of it is ours.
    assert not (loaded_by(code) - loaded_by("import torch")) & (HEAVY | {"rich", "click"})


@pytest.mark.parametrize("module", ["steelyard.report", "steelyard.metrics"])
def test_rooms_without_torch(module: str) -> None:
    assert "torch" not in loaded_by(f"import {module}")
