"""`steelyard fit`: from a file to a calibrated model with a decision, a model card and a report."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steelyard.cli.options import command_line, names_of, parts_of
from steelyard.core.errors import ArgumentError, SteelyardError, UnknownName

if TYPE_CHECKING:
    import numpy as np

    from steelyard.decisions import Thresholds

MOST_COSTS = 50
"""Classes for which costs can be typed."""


@click.command(short_help="Fit a model to a table, ready to use.")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--target", metavar="COL", help="Column with the class labels.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the model.  [default: models/DATA]")
@click.option(
    "--method", default="auto", show_default=True, metavar="NAME",
    help="auto chooses by --metric among a short list; or a method as in `compare`.",
)  # fmt: skip
@click.option("--metric", default="balanced_accuracy", show_default=True, help="What method and decision should be best for.")
@click.option("--members", type=click.IntRange(min=1), default=5, show_default=True, help="Networks that are averaged.")
@click.option("--regime", default="auto", show_default=True, help="Training recipe by name; auto chooses one for the rows.")
@click.option("--model", default="auto", show_default=True, help="Network: auto, mlp, table-net, ...")
@click.option(
    "--split", default="random", show_default=True, metavar="RULE",
    help="How test rows are cut: random (by class), time:COL (the last ones; keep-time:COL keeps COL as feature) or group:COL "
    "(no group in two splits).",
)  # fmt: skip
@click.option("--test", type=click.Path(path_type=Path), help="File with the test rows, instead of cutting them from DATA.")
@click.option("--test-fraction", type=float, default=0.2, show_default=True, help="Of the rows, where they are cut.")
@click.option("--drop", metavar="COLS", help="Columns to leave out, separated by commas.")
@click.option(
    "--costs", metavar="TRUE:DECIDED=COST,...", help="Decide for the least expected cost; others are 0 (right) and 1."
)
@click.option("--recall", metavar="CLASS=SHARE", help="Decide so that this share of a class is found, e.g. fraud=0.9.")
@click.option(
    "--alerts", metavar="CLASS=SHARE", help="Decide for a class for this share of the rows; 50/2000: 50 a day of 2000."
)
@click.option("--importance/--no-importance", default=True, show_default=True, help="Measure what the columns matter.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the split and of training.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ...")
def fit(data: Path, **options: Any) -> None:
    """Fit a model to DATA, a CSV, TSV or Parquet file of any size, and judge it on rows that it has not seen.

    Columns are understood and prepared, test rows are cut, a method is chosen on training rows, several networks are trained
    and averaged, probabilities are calibrated, and the decision is chosen for --metric, for --costs, for a floor of --recall,
    or for a budget of --alerts. The folder holds the model (no pickle), a model card and report.html; `steelyard predict` uses
    it.
    """
    from steelyard.console import open_console
    from steelyard.core.world import local_device
    from steelyard.estimator.fitting import command_to_predict, fit_file
    from steelyard.estimator.folder import save_model
    from steelyard.estimator.reading import FileRequest, read_for_training
    from steelyard.settings import resolve_method, resolve_regime

    console = open_console()
    if options["target"] is None:
        _refuse_no_target(data)
    if options["method"] != "auto":
        resolve_method(options["method"])
    if options["regime"] != "auto":
        resolve_regime(options["regime"])
    local_device(options["device"])
    _check_metric(options)
    out = options["out"] or Path("models") / data.name.split(".")[0]
    _check_folder(out)
    request = FileRequest(
        data, options["target"], options["test"], options["split"], options["test_fraction"], names_of(options["drop"]),
        options["seed"],
    )  # fmt: skip
    _check_decision(options)

    def say(text: str) -> None:
        console.print(text, style="dim", markup=False)

    table = read_for_training(request, say)
    for note in table.notes:
        console.print(f"note: {note}", style="yellow", markup=False)
    decision, words = _decision(options, table.class_names)
    model, facts = fit_file(
        request, table, method=options["method"], regime=options["regime"], model=options["model"], metric=options["metric"],
        decision=decision, decision_words=words, members=options["members"], importance=options["importance"],
        device=options["device"], seed=options["seed"], say=say,
    )  # fmt: skip
    facts |= {"command": command_line(), "predict": command_to_predict(out)}
    save_model(model, out, facts)
    _show(console, facts, out)


def _show(console: Any, facts: dict[str, Any], out: Path) -> None:
    from rich.table import Table

    from steelyard.report.model_page import context

    shown = context(facts)
    table = Table(box=None, pad_edge=False)
    for heading in ("test rows", "", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "test rows" else "right")
    for line in shown["scores"]:
        table.add_row(line["label"], line["value"], line["interval"])
    console.print(table)
    console.print(shown["verdict"], style="bold", markup=False)
    console.print(shown["trust"], markup=False)
    console.print(f"model, card and report: {out}/", markup=False, soft_wrap=True)
    console.print(f"use it: {facts['predict']}", markup=False)


def _refuse_no_target(data: Path) -> None:
    from steelyard.data.table_file import TableFile

    columns = TableFile(data, like={}).columns
    shown = ", ".join(columns if len(columns) <= 15 else [*columns[:10], "...", *columns[-3:]])
    raise ArgumentError("--target", f"the column of classes in {data}, one of: {shown}", "nothing")


def _check_folder(out: Path) -> None:
    """The folder must be new, empty, or hold a model."""
    if out.exists() and not out.is_dir():
        raise SteelyardError(f"cannot write a model into {out}: it is a file; name another folder with --out")
    if out.is_dir() and any(out.iterdir()) and not (out / "model.json").exists():
        raise SteelyardError(f"{out} holds other files and no model: name another folder with --out")
    absent = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:  # now, not after all the training
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise SteelyardError(
            f"cannot write a model into {out} ({error.strerror or error}): name another folder with --out"
        ) from error
    finally:
        for folder in absent:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _check_metric(options: dict[str, Any]) -> None:
    """A wrong metric is said before the file is read."""
    import numpy as np

    from steelyard.estimator.scoring import metric_of

    if options["metric"] == "expected_cost" and options["costs"] is None:
        raise ArgumentError("--costs", "given, for --metric expected_cost", "nothing")
    metric_of(options["metric"], np.zeros((2, 2)))


def _check_decision(options: dict[str, Any]) -> None:
    given = [f"--{name}" for name in ("costs", "recall", "alerts") if options[name] is not None]
    if len(given) > 1:
        raise ArgumentError(given[1], f"left out, as {given[0]} decides already", "both")


def _decision(options: dict[str, Any], class_names: tuple[str, ...]) -> tuple[Any, str | None]:
    """The decision for `train_table`, and what to call it."""
    if options["costs"] is not None:
        return _costs(options["costs"], class_names), f"least expected cost ({options['costs']})"
    if options["recall"] is not None:
        label, share = _of_class("--recall", options["recall"], class_names)
        recall = _share("--recall", share)
        return _for_recall(label, recall), f"finds {100 * recall:g} % of '{class_names[label]}'"
    if options["alerts"] is not None:
        label, share = _of_class("--alerts", options["alerts"], class_names)
        part = _budget(share)
        return _for_alerts(label, part), f"'{class_names[label]}' for {100 * part:.3g} % of the rows"
    return "auto", None


def _for_recall(label: int, recall: float) -> Callable[[np.ndarray, np.ndarray], Thresholds]:
    def choose(proba: np.ndarray, target: np.ndarray) -> Thresholds:
        from steelyard.decisions import Thresholds

        return Thresholds.for_recall(proba, target, label, recall)

    return choose


def _for_alerts(label: int, share: float) -> Callable[[np.ndarray, np.ndarray], Thresholds]:
    def choose(proba: np.ndarray, target: np.ndarray) -> Thresholds:
        from steelyard.decisions import Thresholds

        return Thresholds.for_alerts(proba, share=share, positive=label)

    return choose


def _of_class(option: str, text: str, class_names: tuple[str, ...]) -> tuple[int, str]:
    name, sign, value = text.rpartition("=")
    if not sign:
        raise ArgumentError(option, "CLASS=SHARE, such as fraud=0.9", repr(text))
    return _class(name, class_names), value


def _class(name: str, class_names: tuple[str, ...]) -> int:
    if name not in class_names:
        raise UnknownName("class", name, class_names)
    return class_names.index(name)


def _share(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise ArgumentError(option, "a share above 0, at most 1", repr(text))
    return value


def _budget(text: str) -> float:
    """`0.01`, or `50/2000`."""
    alerts, sign, rows = text.partition("/")
    if not sign:
        return _share("--alerts", text)
    try:
        return _share("--alerts", str(float(alerts) / float(rows)))
    except (ValueError, ZeroDivisionError):
        raise ArgumentError("--alerts", "CLASS=SHARE or CLASS=ALERTS/ROWS, such as fraud=50/2000", repr(text)) from None


def _costs(text: str, class_names: tuple[str, ...]) -> np.ndarray:
    """cost[true, decided]: 0 where right, 1 where wrong, but for what was typed."""
    import numpy as np

    if len(class_names) > MOST_COSTS:
        raise ArgumentError("--costs", f"left out for more than {MOST_COSTS} classes; in Python, decision=cost matrix", text)
    table = 1.0 - np.eye(len(class_names))
    said = set[tuple[int, int]]()
    for part in parts_of(text):
        pair, sign, value = part.rpartition("=")
        try:
            cost = float(value)
        except ValueError:
            cost = float("nan")
        if not (sign and ":" in pair and np.isfinite(cost)):
            raise ArgumentError("--costs", "TRUE:DECIDED=COST, such as fraud:honest=100", repr(part))
        cell = _mistake(pair, class_names)
        if cell in said:
            raise ArgumentError("--costs", "one cost for each kind of decision", f"two for {pair.strip()!r}")
        said.add(cell)
        table[cell] = cost
    return table


def _mistake(pair: str, class_names: tuple[str, ...]) -> tuple[int, int]:
    """The classes of TRUE:DECIDED, whose names may hold colons too."""
    halves = [(pair[:at].strip(), pair[at + 1 :].strip()) for at, sign in enumerate(pair) if sign == ":"]
    true, decided = next((both for both in halves if set(both) <= set(class_names)), halves[0])
    return _class(true, class_names), _class(decided, class_names)
