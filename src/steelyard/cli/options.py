"""What several commands have in common: options, and what becomes of them."""

from __future__ import annotations

import csv
import datetime
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from steelyard.core.errors import ArgumentError, UnknownName

if TYPE_CHECKING:
    from rich.console import Console

    from steelyard.core.regime import Regime
    from steelyard.core.task import Task
    from steelyard.problems import ProblemSettings

PROFILES = ("exp", "step", "linear", "pareto")
MOST_SEEDS = 10_000

Function = TypeVar("Function", bound=Callable[..., Any])
Option = Callable[[Any], Any]

DATA: tuple[Option, ...] = (
    click.option("--target", metavar="COL", help="Column with the class labels, for CSV and Parquet files."),
    click.option(
        "--task",
        metavar="KIND",
        default="auto",
        show_default=True,
        help="What the data are: images, tables, arrays, or a kind with a protocol of its own and its settings, as in "
        "'graphs(protocol=igl-lt-20)' (see `steelyard tasks`); auto looks at them.",
    ),
    click.option("--factor", type=float, help="Make the training rows long-tailed: largest over smallest class, 1 or more."),
    click.option("--profile", type=click.Choice(PROFILES), default="exp", show_default=True, help="Shape of the tail."),
    click.option(
        "--class-order",
        type=click.Choice(["index", "size", "random"]),
        default="index",
        show_default=True,
        help="Which class becomes the largest: the first, the one with most rows, or any (by --split-seed).",
    ),
    click.option("--noise", type=float, default=0.0, show_default=True, help="Share of training labels to replace."),
    click.option(
        "--noise-kind",
        type=click.Choice(["symmetric", "asymmetric", "imbalance"]),
        default="symmetric",
        show_default=True,
        help="How labels are replaced.",
    ),
    click.option(
        "--model",
        default="auto",
        show_default=True,
        help="resnet32, small-cnn, mlp, timm:NAME, torchvision:NAME, your own module:function, or auto.",
    ),
    click.option("--test", metavar="PATH", help="File with the test rows; otherwise a test split is cut from DATA."),
    click.option("--drop", metavar="COLS", help="Columns to leave out, separated by commas."),
    click.option(
        "--missing",
        type=click.Choice(["error", "median", "indicator"]),
        default="error",
        show_default=True,
        help="Missing values: refuse them, fill in the median, or also say where they were.",
    ),
    click.option("--resize", type=int, help="Make images this many pixels wide and high."),
    click.option("--max-rows", type=int, help="Use at most about this many training rows, for a quick look."),
    click.option(
        "--test-fraction", type=float, default=0.25, show_default=True, help="Of the rows, where a test split is cut."
    ),
    click.option("--valid-fraction", type=float, default=0.1, show_default=True, help="Of the training rows, for validation."),
    click.option(
        "--split",
        metavar="RULE",
        default="random",
        show_default=True,
        help="How test and validation rows are cut: random, time:COL (the last ones), keep-time:COL (and COL stays a feature) "
        "or group:COL (rows of one value together).",
    ),
    click.option("--split-seed", type=int, default=0, show_default=True, help="Of the splits and the tail; not of the runs."),
)
"""The data and the model: `problem_of` reads them."""

REGIME: tuple[Option, ...] = (
    click.option("--regime", default="auto", show_default=True, help="Training recipe by name; auto chooses one for the data."),
    click.option("--epochs", type=int, help="Epochs, in place of the regime's."),
    click.option("--batch-size", type=int, help="Rows a step, in place of the regime's."),
    click.option("--lr", type=float, help="Peak learning rate, in place of the regime's."),
    click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other setting of the regime; repeatable."),
)
"""The training recipe: `changes_of` reads them."""


def with_options(*groups: Sequence[Option]) -> Callable[[Function], Function]:
    """Decorate a command with groups of options, shown in this order."""

    def decorate(function: Function) -> Function:
        for option in reversed([option for group in groups for option in group]):
            function = option(function)
        return function

    return decorate


def problem_of(options: dict[str, Any]) -> ProblemSettings:
    """The settings of the data, from the options `DATA`."""
    from steelyard.problems import ProblemSettings

    keys = (
        "target", "task", "test", "factor", "profile", "class_order", "noise", "noise_kind", "missing", "test_fraction",
        "valid_fraction", "split", "resize", "max_rows", "model",
    )  # fmt: skip
    drop = names_of(options["drop"])
    return ProblemSettings(**{key: options[key] for key in keys}, seed=options["split_seed"], drop=drop)


def changes_of(options: dict[str, Any]) -> dict[str, Any]:
    """What is set in place of the regime's own settings, from the options `REGIME`; None leaves a setting as it is."""
    changes = {"epochs": options["epochs"], "batch_size": options["batch_size"], "lr": options["lr"]}
    return changes | dict(key_value("--set", text, "weight_decay=5e-4") for text in options["settings"])


def prepare(data: str, problem: ProblemSettings, options: dict[str, Any]) -> tuple[Task, str, Regime]:
    """The task, and the regime by name and value; what may be wrong with the words is found out before data are read."""
    from steelyard.core.world import local_device
    from steelyard.problems import load
    from steelyard.settings import resolve_regime

    changes, name = changes_of(options), options["regime"]
    if name != "auto":
        resolve_regime(name, **changes)
    if options.get("ray") is None:
        local_device(options["device"])
    task = load(data, problem)
    name = task.usual_regime if name == "auto" else name
    return task, name, resolve_regime(name, **changes)


def metric_for(task: Task, name: str | None, known: Sequence[str]) -> str:
    """What to go by: as asked for, of those known and the task's own; None for what is usual for such data.

    Raises:
        UnknownName: no such metric.
    """
    if name is None:
        return task.usual_metric
    if name not in (*known, *task.own_metrics):
        raise UnknownName("metric", name, (*known, *task.own_metrics))
    return name


def announce(console: Console, task: Task) -> None:
    """A line about the data, and one for each thing that was decided about them."""
    from rich.markup import escape

    facts = task.describe()
    rows = ", ".join(f"{count:,} {split}" for split, count in facts["rows"].items())
    shape = f"{task.num_classes} classes, imbalance factor {facts['imbalance_factor']:.4g}"
    console.print(f"[bold]{escape(task.name)}[/bold]: {rows} rows, {shape}")
    for note in facts["notes"]:
        console.print(f"note: {note}", style="yellow", markup=False)


def key_value(option: str, text: str, example: str) -> tuple[str, str]:
    """The two sides of KEY=VALUE."""
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise ArgumentError(option, f"KEY=VALUE, such as {example}", repr(text))
    return key.strip(), value.strip()


def parts_of(text: str) -> tuple[str, ...]:
    """What stands between commas, as in a line of a CSV file: a part with a comma of its own stands in quotes.

    Example:
        >>> parts_of('"rare, large"=0.1, small=0.2')
        ('rare, large=0.1', 'small=0.2')
    """
    try:
        return tuple(part.strip() for part in next(csv.reader([text or " "], skipinitialspace=True)))
    except csv.Error:  # a line ends in it
        return tuple(part.strip() for part in text.split(","))


def names_of(text: str | None) -> tuple[str, ...]:
    """Names separated by commas, see `parts_of`."""
    return tuple(name for name in parts_of(text or "") if name)


def seeds_of(text: str) -> tuple[int, ...]:
    """`3` is 0, 1, 2; `4,7` is 4 and 7; `4,` is 4 alone."""
    try:
        numbers = tuple(int(part) for part in text.rstrip().removesuffix(",").split(","))
    except ValueError:
        raise ArgumentError("--seeds", "a number of seeds, or seeds separated by commas", repr(text)) from None
    if "," in text:
        if not all(0 <= number < 2**63 for number in numbers):
            raise ArgumentError("--seeds", "seeds from 0 to 2^63 - 1", text)
        return numbers
    if not 1 <= numbers[0] <= MOST_SEEDS:
        raise ArgumentError("--seeds", f"from 1 to {MOST_SEEDS:,}", numbers[0])
    return tuple(range(numbers[0]))


def command_line() -> str:
    """What was typed."""
    return "steelyard " + shlex.join(sys.argv[1:])


def now() -> str:
    """The time, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
