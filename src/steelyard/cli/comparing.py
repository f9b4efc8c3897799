"""`steelyard compare`: which treatment works on your data, by how much, and at what cost?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steelyard.cli.options import (
    DATA,
    REGIME,
    announce,
    command_line,
    metric_for,
    now,
    prepare,
    problem_of,
    seeds_of,
    with_options,
)
from steelyard.cli.show import show
from steelyard.core.errors import SteelyardError
from steelyard.methods import CONTROLS

if TYPE_CHECKING:
    from rich.console import Console

    from steelyard.bench.plan import Comparison
    from steelyard.core.regime import Regime
    from steelyard.core.task import Task
    from steelyard.problems import ProblemSettings

DEFAULT_METHODS = (*CONTROLS, "focal", "ldam-drw")
METRICS = ("balanced_accuracy", "accuracy", "macro_f1", "g_mean", "mcc", "worst_recall", "few_recall", "auroc", "auprc")


@click.command(short_help="Compare methods on your data, honestly.")
@click.argument("data")
@click.option(
    "--methods",
    "--method",
    "methods",
    metavar="LIST",
    help="Methods, separated by commas: names (see `steelyard methods`), with settings as in la(tau=1.5), combined as in "
    f"ldam+drw or 'loss=la transform=mixup', or module:function of your own.  [default: {','.join(DEFAULT_METHODS)}]",
)
@click.option("--controls", is_flag=True, help=f"Add the controls that are missing from --methods: {', '.join(CONTROLS)}.")
@click.option("--seeds", default="3", show_default=True, metavar="N|LIST", help="How many, or which: 3 is 0,1,2; 7, is 7.")
@with_options(REGIME, DATA)
@click.option("--groups", default="auto", show_default=True, help="Many/Medium/Few: thresholds, terciles, index:a,b or auto.")
@click.option(
    "--metric",
    metavar="NAME",
    help=f"To rank by: {', '.join(METRICS)}, or one that the task has of its own.  [default: the task's own, or "
    "balanced_accuracy]",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ...")
@click.option("--jobs", type=click.IntRange(min=0), default=0, help="Runs at a time; 0 for one a core.  [default: 0]")
@click.option(
    "--ray", is_flag=False, flag_value="auto", metavar="[ADDRESS]", help="Run on a Ray cluster; `local` starts one here."
)
@click.option("--logger", "loggers", multiple=True, metavar="NAME", help="Also log to csv, tensorboard, mlflow or wandb.")
@click.option(
    "--checkpoint-seconds", type=click.FloatRange(min=0), default=10.0, show_default=True, help="Between checkpoints."
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for everything written.  [default: runs/DATA]")
@click.option("--report/--no-report", "report", default=True, show_default=True, help="Write report.html.")
def compare(data: str, **options: Any) -> None:
    """Train every method with every seed on DATA and say which works, by how much, and at what cost.

    DATA is a built-in name (see `steelyard datasets`), a CSV or Parquet file, a Parquet file of encoded images, an image
    folder (class/name.png), an .npz file with X and y, or a folder with train and test files of these kinds.

    All methods get the same regime, initial weights and data order. Interrupt at any moment and run the same command again:
    finished runs are not repeated and the unfinished one goes on from its checkpoint.
    """
    from steelyard.bench.rehearsal import check_kinds, rehearse
    from steelyard.bench.runner import check_folder
    from steelyard.console import open_console
    from steelyard.core.loggers import check_loggers
    from steelyard.problems import kind_of

    console = open_console()
    out = options["out"] or Path("runs") / Path(data).stem
    problem = problem_of(options)
    check_kinds(_methods(options["methods"], options), kind_of(problem.task))  # what may be wrong is said before data are read
    check_loggers(options["loggers"])
    check_folder(out)
    task, regime_name, regime = prepare(data, problem, options)
    options["metric"] = metric_for(task, options["metric"], METRICS)
    usual = ",".join(task.usual_methods) or None
    methods = _methods(usual if options["methods"] is None else options["methods"], options, task.without)
    rehearse(task, methods, seeds_of(options["seeds"])[0])
    plan = _plan(data, methods, problem, options, regime_name, regime)
    announce(console, task)
    _announce(console, plan, out)
    _compare(console, task, plan, out, options)


def _methods(typed: str | None, options: dict[str, Any], without: Sequence[str] = ()) -> tuple[str, ...]:
    """The methods as typed, in canonical spelling, with the missing controls where they are asked for.

    Args:
        typed: the list; None for the usual methods.
        options: of the command line.
        without: controls that such data cannot have.
    """
    from steelyard.settings import resolve_method, split_list

    asked = DEFAULT_METHODS if typed is None else split_list(typed)
    if options["controls"]:
        asked = (*(name for name in CONTROLS if name not in without), *asked)
    names = [resolve_method(text).name for text in asked]
    return tuple(dict.fromkeys(names))


def _plan(
    data: str,
    methods: tuple[str, ...],
    problem: ProblemSettings,
    options: dict[str, Any],
    regime_name: str,
    regime: Regime,
) -> Comparison:
    from steelyard.bench.plan import Comparison
    from steelyard.problems import fingerprint

    return Comparison(
        data=data,
        methods=methods,
        regime=regime,
        regime_name=regime_name,
        seeds=seeds_of(options["seeds"]),
        problem=problem.to_json(),
        fingerprint=fingerprint(data, problem),
        metric=options["metric"],
        groups=options["groups"],
        device=options["device"],
    )


def _announce(console: Console, plan: Comparison, out: Path) -> None:
    from rich.markup import escape

    runs = f"{len(plan.methods)} methods x {len(plan.seeds)} seeds"
    console.print(f"{runs}, regime {plan.regime_name}, {plan.regime.epochs} epochs, into {escape(str(out))}")


def _compare(console: Console, task: Task, plan: Comparison, out: Path, options: dict[str, Any]) -> None:
    from steelyard.bench.runner import Machine
    from steelyard.bench.runner import compare as run
    from steelyard.console import LiveDisplay
    from steelyard.facts import facts_of

    machine = Machine(options["jobs"], options["ray"], options["checkpoint_seconds"], tuple(options["loggers"]))
    facts = facts_of(task, plan) | {"name": out.name, "command": command_line(), "created": now()}
    try:
        with LiveDisplay(console, plan.metric) as display:
            result = run(plan, out, machine=machine, display=display, facts=facts)
    except KeyboardInterrupt:
        console.print("interrupted; what is finished is kept: run the same command again to go on", style="yellow")
        sys.exit(130)
    if not result.leaderboard["rows"]:
        raise SteelyardError(f"no run finished: {result.failures[0][1]}")
    show(console, out, options["report"])
    if result.failures:
        raise SteelyardError(
            f"{len(result.failures)} of {len(plan.runs())} runs failed, the first because: {result.failures[0][1]}"
        )
