"""`steelyard tune`: settings of one method and its regime, chosen on validation rows."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steelyard.cli.options import (
    DATA,
    REGIME,
    announce,
    changes_of,
    command_line,
    key_value,
    metric_for,
    now,
    prepare,
    problem_of,
    seeds_of,
    with_options,
)

if TYPE_CHECKING:
    from rich.console import Console

    from steelyard.bench.search import Tunable
    from steelyard.bench.trial import Tuning
    from steelyard.core.regime import Regime
    from steelyard.problems import ProblemSettings

NEW_SEEDS = 5
"""Seeds of the comparison that is suggested; none of them was trained with while choosing."""


@click.command(short_help="Choose a method's settings on validation rows.")
@click.argument("data")
@click.option("--method", required=True, metavar="NAME", help="Method, as in `compare`: la, ldam+drw, 'loss=focal', ...")
@click.option("--trials", type=int, default=30, show_default=True, metavar="N", help="Settings to try, the default ones first.")
@click.option(
    "--search", "searched", multiple=True, metavar="KEY=RANGE",
    help="A range in place of the declared one, or for a further setting: tau=0.5..2, 'lr=log(1e-3..1)', 'batch_size=16|32', "
    "'lr=log(0.1x..10x)' for multiples; one value fixes a setting. Repeatable.",
)  # fmt: skip
@click.option(
    "--over", type=click.Choice(["both", "method", "regime"]), default="both", show_default=True,
    help="Whose declared ranges to search.",
)  # fmt: skip
@click.option(
    "--metric", metavar="NAME", help="Of the validation rows, to choose by.  [default: the task's own, or balanced_accuracy]"
)
@click.option("--seeds", default="1", show_default=True, metavar="N|LIST", help="Each trial's value is the mean over these.")
@click.option(
    "--pruner", type=click.Choice(["median", "hyperband", "none"]), default="median", show_default=True,
    help="Ends trials early that look hopeless.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of what the trials try.")
@with_options(REGIME, DATA)
@click.option("--groups", default="auto", show_default=True, help="Many/Medium/Few: thresholds, terciles, index:a,b or auto.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ...")
@click.option("--jobs", type=click.IntRange(min=0), default=0, help="Trials at a time; 0 for one a core.  [default: 0]")
@click.option(
    "--checkpoint-seconds", type=click.FloatRange(min=0), default=10.0, show_default=True, help="Between checkpoints."
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for everything written.  [default: runs/tune-DATA-NAME]")
def tune(data: str, **options: Any) -> None:
    """Try settings of a method and of its regime on DATA, and say which are best on the validation rows.

    The test rows are not looked at. What is declared beside a method and for its regime is searched; what you set yourself
    (as in --method "la(tau=1.5)" or --lr 0.1) stays as it is. Interrupt at any moment and run the same command again:
    finished trials are kept and the unfinished one goes on. A larger --trials adds to them.

    At the end stands the `steelyard compare` command that judges the best settings beside the default ones on test rows.
    """
    from rich.markup import escape

    from steelyard.bench.rehearsal import check_kinds, rehearse
    from steelyard.bench.runner import Machine, check_folder
    from steelyard.bench.search import space_of
    from steelyard.bench.study import optuna
    from steelyard.bench.trial import blind, check_metric
    from steelyard.console import open_console
    from steelyard.metrics import METRICS
    from steelyard.problems import kind_of
    from steelyard.settings import resolve_method

    console = open_console()
    method, problem = resolve_method(options["method"]).name, problem_of(options)
    searched = [key_value("--search", text, "tau=0.5..2") for text in options["searched"]]
    _check_words(options)
    optuna()
    if options["regime"] != "auto":
        space_of(_tunable(method, options["regime"], None, options), options["over"], searched)
    out = options["out"] or Path("runs") / f"tune-{Path(data).stem}-{_as_name(method)}"
    check_folder(out, "trials")
    check_kinds([method], kind_of(problem.task))
    task, regime_name, regime = prepare(data, problem, options)
    seen = blind(task)
    options["metric"] = metric_for(seen, options["metric"], METRICS)
    plan = _plan(data, method, problem, options, regime_name, regime, searched)
    check_metric(seen, plan)
    rehearse(seen, [method], plan.seeds[0])
    announce(console, seen)
    console.print(f"{plan.trials} trials of {escape(method)}, regime {regime_name}, into {escape(str(out))}")
    for key, found in plan.space.items():
        owner = "regime" if plan.tunable.settings[key].regime else "method"
        console.print(f"  {key} = {found.text}  ({owner})", markup=False)
    _tune(console, plan, out, Machine(options["jobs"], checkpoint_seconds=options["checkpoint_seconds"]), options)


def _check_words(options: Mapping[str, Any]) -> None:
    """What needs no data to be found wrong."""
    from steelyard.core.errors import ArgumentError

    if options["trials"] < 1:
        raise ArgumentError("--trials", "1 or more", options["trials"])
    seeds_of(options["seeds"])


def _as_name(method: str) -> str:
    return re.sub(r"[^\w.-]+", "-", method).strip("-")[:60]


def _tunable(method: str, regime_name: str, regime: Regime | None, options: dict[str, Any]) -> Tunable:
    """Method and regime as settings; those that the user has set are not searched unless a range is given for them."""
    from steelyard.bench.search import Tunable
    from steelyard.settings import parse_call, resolve_regime

    changes = {key: value for key, value in changes_of(options).items() if value is not None}
    in_name = parse_call(regime_name)[1]
    found = resolve_regime(regime_name, **changes) if regime is None else regime
    return Tunable(method, found, regime_name, [*changes, *in_name])


def _plan(
    data: str,
    method: str,
    problem: ProblemSettings,
    options: dict[str, Any],
    regime_name: str,
    regime: Regime,
    searched: list[tuple[str, str]],
) -> Tuning:
    from steelyard.bench.search import space_of
    from steelyard.bench.trial import Tuning
    from steelyard.problems import fingerprint

    return Tuning(
        data=data,
        method=method,
        regime=regime,
        regime_name=regime_name,
        space=space_of(_tunable(method, regime_name, regime, options), options["over"], searched),
        trials=options["trials"],
        seeds=seeds_of(options["seeds"]),
        metric=options["metric"],
        problem=problem.to_json(),
        fingerprint=fingerprint(data, problem.replace(test=None)),  # test rows are not looked at
        groups=options["groups"],
        pruner=options["pruner"],
        seed=options["seed"],
        device=options["device"],
    )


def _tune(console: Console, plan: Tuning, out: Path, machine: Any, options: dict[str, Any]) -> None:
    from steelyard.bench.records import write_json
    from steelyard.bench.tune import check_finished
    from steelyard.bench.tune import tune as run
    from steelyard.console import TrialsDisplay
    from steelyard.report.trials import trials_in_words, trials_table

    try:
        with TrialsDisplay(console, plan.metric, plan.minimise) as display:
            summary = run(plan, out, machine=machine, display=display)
    except KeyboardInterrupt:
        console.print("interrupted; finished trials are kept: run the same command again to go on", style="yellow")
        sys.exit(130)
    commands = [] if summary["best"] is None else compare_commands(plan, summary["best"], options)
    write_json(out / "tune.json", summary | {"command": command_line(), "created": now(), "compare": commands})
    console.print(trials_table(summary))
    for sentence in trials_in_words(summary):
        console.print(f"note: {sentence}", style="dim", markup=False)
    if commands:
        console.print("on the test rows, beside the default settings and with seeds that no trial has seen:")
        for command in commands:
            console.print(f"  {command}", soft_wrap=True, markup=False, style="bold")
    check_finished(summary)


def compare_commands(plan: Tuning, best: Mapping[str, Any], options: Mapping[str, Any]) -> list[str]:
    """The commands that judge the best settings beside the default ones: under the regime chosen, and under that of before.

    Args:
        plan: the study.
        best: its best trial, as in `tune.json`.
        options: as given to `tune`.
    """
    from steelyard.settings.text import format_value

    first = max(plan.seeds) + 1
    seeds = ",".join(str(seed) for seed in range(first, first + NEW_SEEDS))
    shared = ["steelyard", "compare", plan.data, *data_arguments(options), "--metric", _ranked_by(plan.metric)]
    given = {key: value for key, value in changes_of(dict(options)).items() if value is not None}
    out = Path("runs") / f"{Path(plan.data).stem}-{_as_name(plan.method)}-tuned"
    commands: list[str] = []
    for changes, folder in ((best["regime_changes"], out), ({}, out.with_name(f"{out.name}-before"))):
        if commands and not best["regime_changes"]:
            break  # one regime, one command
        regime = given | dict(changes)
        methods = dict.fromkeys(["ce", plan.method, best["written"]] if not commands else ["ce", plan.method])
        words = [*shared, "--methods", ",".join(methods), "--regime", plan.regime_name]
        for key, value in regime.items():
            option = {"epochs": "--epochs", "batch_size": "--batch-size", "lr": "--lr"}.get(key)
            text = value if isinstance(value, str) else format_value(value)
            words += ["--set", f"{key}={text}"] if option is None else [option, text]
        commands.append(shlex.join([*words, "--seeds", seeds, "--out", str(folder)]))
    return commands


def _ranked_by(metric: str) -> str:
    from steelyard.cli.comparing import METRICS
    from steelyard.metrics import METRICS as OF_ANY_DATA

    return METRICS[0] if metric in OF_ANY_DATA and metric not in METRICS else metric


def data_arguments(options: Mapping[str, Any]) -> list[str]:
    """The options of the data that are not at their defaults, and those that decide where and how runs are judged."""
    words = []
    for parameter in tune.params:
        if not isinstance(parameter, click.Option) or parameter.name not in DATA_KEYS:
            continue
        value = options[parameter.name]
        if value is not None and value != parameter.default:
            words += [parameter.opts[0], str(value)]
    return words


DATA_KEYS = (
    "target", "task", "factor", "profile", "class_order", "noise", "noise_kind", "model", "test", "drop", "missing", "resize",
    "max_rows", "test_fraction", "valid_fraction", "split_seed", "groups", "device",
)  # fmt: skip
