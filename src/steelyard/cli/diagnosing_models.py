"""`steelyard diagnose FOLDER`: what went right and wrong inside the models of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from steelyard.core.errors import ArgumentError, SteelyardError, said_of

if TYPE_CHECKING:
    from rich.console import Console

    from steelyard.bench.trained import Trained
    from steelyard.core.task import Task
    from steelyard.diagnosis import Judged

Column: TypeAlias = tuple[str, str, str]

NOTES = 8
"""Notes that are printed; the report has all."""

OF_DATA = {"target": None, "drop": None, "metric": None, "factor": None, "max_rows": None, "features": None, "noise": False}
"""Options that are about data, by what they are where nobody gave them."""


def diagnose_folder(path: Path, options: dict[str, Any], console: Console) -> dict[str, Any]:
    """The facts of the trained models in the folder of a comparison, or of one run in it.

    Args:
        path: the folder.
        options: of the command line; those about data must be left out.
        console: told what is going on.
    """
    from steelyard.bench.trained import finished, seeds_of, task_of
    from steelyard.report.models_page import numbers_of
    from steelyard.report.over_seeds import over_seeds
    from steelyard.settings import resolve_method, split_list

    for name, usual in OF_DATA.items():
        if options[name] != usual:
            raise ArgumentError(f"--{name.replace('_', '-')}", f"left out, as {path} is a comparison", repr(options[name]))
    if options["curvature"]:
        _check_curvlinops()
    asked = options["methods"]
    methods = None if asked is None else [resolve_method(text).name for text in split_list(asked)]
    if options["all_seeds"] and options["seed"] is not None:
        raise ArgumentError("--seed", "left out with --all-seeds", options["seed"])
    seeds = seeds_of(path) if options["all_seeds"] else [options["seed"]]
    chosen = [finished(path, seed=seed, methods=methods) for seed in seeds]
    task = task_of(chosen[0][0][0].run)  # the same for every run of a comparison
    found = [{"comparison": str(path)} | _of_seed(task, *of_seed, options, console) for of_seed in chosen]
    return over_seeds(found, numbers_of) if options["all_seeds"] else found[0]


def _of_seed(
    task: Task, runs: list[Trained], missing: Sequence[str], options: Mapping[str, Any], console: Console
) -> dict[str, Any]:
    """The facts of the models of one seed."""
    from steelyard.bench.trained import rebuild
    from steelyard.diagnosis import diagnose_models

    console.print(f"{task.name}: {len(runs)} trained models, seed {runs[0].run.seed}", markup=False)
    judged, failed = _rebuilt(task, runs, rebuild)
    if not judged:
        raise SteelyardError(f"no model could be made again; {failed[0][0]}: {failed[0][1]}")
    groups = str(runs[0].run.settings.get("groups", "auto"))
    facts = diagnose_models(task, judged, groups=groups, curved=options["curvature"], device=options["device"])
    facts["notes"] = [*missing, *(f"{name}: {why}" for name, why in failed), *facts["notes"]]
    return {"seed": runs[0].run.seed, "regime": runs[0].run.regime} | facts


def _rebuilt(task: Task, runs: list[Trained], rebuild: Any) -> tuple[list[Judged], list[tuple[str, str]]]:
    """The models that could be made again, and why others could not."""
    from steelyard.diagnosis import Judged

    found: list[Judged] = []
    failed: list[tuple[str, str]] = []
    for trained in runs:
        try:
            found.append(Judged(trained.run.method, rebuild(task, trained), trained.log()))
        except Exception as error:  # a task may raise anything, and the others are measured all the same
            failed.append((trained.run.method, said_of(error)))
    return found, failed


def _check_curvlinops() -> None:
    """Before anything costly is done."""
    from importlib.util import find_spec

    if find_spec("curvlinops") is None:
        raise SteelyardError("--curvature needs curvlinops: pip install 'steelyard[diagnosis]', or leave it out")


def show_models(console: Console, facts: dict[str, Any]) -> None:
    """The short form of the report."""
    from rich.table import Table
    from rich.text import Text

    from steelyard.report.models_page import COLUMNS, model_lines, verdict

    for note in facts["notes"][:NOTES]:
        console.print(f"note: {note}", style="yellow", markup=False)
    lines = model_lines(facts)
    columns = _that_fit(COLUMNS, lines, console.width)
    table = Table(box=None, pad_edge=False)
    for number, (_, heading, _) in enumerate(columns):
        table.add_column(heading, justify="right" if number else "left")
    for line in lines:
        table.add_row(*(Text(line[key]) for key, _, _ in columns))
    console.print(table)
    if len(columns) < len(COLUMNS):
        console.print(f"{len(COLUMNS) - len(columns)} further columns are in the report (--out)", style="dim", markup=False)
    for said in verdict(facts):
        console.print(said, style="bold", markup=False)
    flat = [f"{one['method']}: {note}" for one in facts["models"] for note in one["notes"] if note.startswith("no curvature")]
    for note in flat[:NOTES]:
        console.print(note, style="yellow", markup=False)
    if not flat and not any(model["curvature"] for model in facts["models"]):
        console.print("curvature was not measured: --curvature does", style="dim", markup=False)


def _that_fit(columns: Sequence[Column], lines: Sequence[Mapping[str, str]], width: int) -> list[Column]:
    """The first columns, as many as there is room for side by side, a heading on as many lines as it has words."""
    shown: list[Column] = []
    for column in columns:
        words = [*column[1].split(), *(line[column[0]] for line in lines)]
        width -= max(map(len, words)) + 2
        if width < 0 and shown:
            break
        shown.append(column)
    return shown
