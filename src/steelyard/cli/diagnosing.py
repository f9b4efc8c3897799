"""`steelyard diagnose`: what kind of imbalance data have, what it will cost, and what to try."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steelyard.cli.options import command_line, names_of
from steelyard.core.errors import ArgumentError, SteelyardError

if TYPE_CHECKING:
    from rich.console import Console

    from steelyard.diagnosis.sources import Source

SHOWN = 10
"""Classes that are printed; of more, those with the lowest predicted recall."""
MOST_INPUTS = 20_000
"""Images that are read at most."""
NOTES = 8
"""Notes that are printed; the report has all."""


@click.command(short_help="Tell what imbalance data have and what it costs, or what happened inside trained models.")
@click.argument("data")
@click.option("--target", metavar="COL", help="Column with the class labels, for tables.")
@click.option("--drop", metavar="COLS", help="Columns to leave out, separated by commas.")
@click.option(
    "--metric", type=click.Choice(["balanced_accuracy", "accuracy"]),
    help="What the model will be judged by; the advice follows it.  [default: balanced_accuracy]",
)  # fmt: skip
@click.option("--factor", type=float, help="Make a built-in data set long-tailed: largest over smallest class.")
@click.option("--max-rows", type=click.IntRange(min=2), help="Rows to measure at most.  [default: 100000]")
@click.option("--features", type=click.IntRange(min=1), help="Features to measure at most, drawn by chance.  [default: all]")
@click.option("--noise", is_flag=True, help="Estimate how many labels are wrong (trains classifiers; needs cleanlab).")
@click.option("--methods", metavar="LIST", help="Of a comparison: only these methods, separated by commas.  [default: all]")
@click.option(
    "--all-seeds", is_flag=True, help="Of a comparison: the models of all finished seeds; the table shows means and intervals."
)
@click.option("--curvature", is_flag=True, help="Of a comparison: the Hessian of each class too (needs curvlinops).")
@click.option("--device", default="auto", show_default=True, help="Of a comparison: auto, cpu, cuda, ...")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for report.html and diagnosis.json.")
@click.option("--json", "as_json", is_flag=True, help="Print diagnosis.json and nothing else.")
@click.option(
    "--seed", type=click.IntRange(min=0),
    help="Of samples and cross-validation; of a comparison, which of its seeds.  [default: 0, or its first]",
)  # fmt: skip
def diagnose(data: str, **options: Any) -> None:
    """Tell what kind of imbalance DATA have, or what went right and wrong inside trained models.

    DATA is a CSV, TSV or Parquet file of any size (with --target), an .npz with X and y (embeddings, say), a folder of images,
    or the name of a built-in data set. Measured are the ratio of the classes, rows to a feature and how far apart the classes
    are. From these follow the recall that a plain linear classifier would have, what adjusting it would give back, what is lost
    to few rows, and an ordered list of methods to try. Missing values are filled, and categories become 0/1 columns.

    Or DATA is the folder of a comparison (`steelyard compare --out`), or of one run in it. Then its data are loaded again, and
    each method's model is measured: geometry of classifier and embeddings beside that which the class counts imply, recall and
    what it was lost to, weights over training, and with --curvature the Hessian of each class.
    """
    from steelyard.bench.trained import is_comparison
    from steelyard.cli.diagnosing_models import diagnose_folder, show_models
    from steelyard.console import open_console
    from steelyard.diagnosis.diagnose import diagnose as facts_of

    console = open_console(stderr=options["as_json"])
    _check_folder(options["out"])
    trained = is_comparison(Path(data))
    if trained:
        facts = diagnose_folder(Path(data), options, console)
    else:
        options = _of_data(options)
        source = _source(data, options)
        facts = facts_of(source, metric=options["metric"], noise=options["noise"], seed=options["seed"])
    facts = {"command": command_line()} | facts
    if options["as_json"]:
        click.echo(json.dumps(facts, indent=1, allow_nan=False, ensure_ascii=False))
    else:
        (show_models if trained else _show)(console, facts)
    if options["out"] is not None:
        from steelyard.report.diagnosis_page import write_diagnosis

        console.print(f"report: {write_diagnosis(options['out'], facts)}", markup=False, soft_wrap=True)


def _of_data(options: dict[str, Any]) -> dict[str, Any]:
    """The options with their defaults; those of comparisons must be left out."""
    for name, usual in (("methods", None), ("curvature", False), ("all_seeds", False), ("device", "auto")):
        if options[name] != usual:
            expected = "left out, or the folder of a comparison as DATA: nothing is trained here"
            raise ArgumentError(f"--{name.replace('_', '-')}", expected, repr(options[name]))
    usual_values = {"metric": "balanced_accuracy", "max_rows": 100_000, "seed": 0}
    return options | {name: value for name, value in usual_values.items() if options[name] is None}


def _source(data: str, options: dict[str, Any]) -> Source:
    """The rows of whatever was named."""
    from steelyard.data.files import ARRAY_SUFFIXES, TABLE_SUFFIXES, suffix_of
    from steelyard.data.parquet_images import image_column_of
    from steelyard.diagnosis.sources import read_array_source, read_table_source

    limits = {"max_rows": options["max_rows"], "features": options["features"], "seed": options["seed"]}
    path = _table_in(Path(data))
    suffix = suffix_of(path) if path.suffix and not path.is_dir() else ""
    if suffix in TABLE_SUFFIXES and (options["target"] is not None or image_column_of(path) is None):
        _refuse(options, "factor", "left out, as only built-in data sets are made long-tailed")
        if options["target"] is None:
            _refuse_no_target(path)
        return read_table_source(path, options["target"], drop=names_of(options["drop"]), **limits)
    _refuse(options, "target", "left out, as these data come with their labels")
    _refuse(options, "drop", "left out, as the data are no table")
    if suffix in ARRAY_SUFFIXES:
        _refuse(options, "factor", "left out, as only built-in data sets are made long-tailed")
        return read_array_source(path, **limits)
    return _of_task(data, options["factor"], limits)


def _table_in(path: Path) -> Path:
    """The training table of a folder with tables; any other path as it is."""
    from steelyard.data.files import TABLE_SUFFIXES, suffix_of

    if not path.is_dir():
        return path
    tables = sorted(file for file in path.iterdir() if file.is_file() and suffix_of(file) in TABLE_SUFFIXES)
    training = [file for file in tables if file.name.split(".")[0].lower() in ("train", "training")]
    return training[0] if training else tables[0] if len(tables) == 1 else path


def _refuse(options: dict[str, Any], name: str, expected: str) -> None:
    if options[name]:
        raise ArgumentError(f"--{name}", expected, repr(options[name]))


def _refuse_no_target(path: Path) -> None:
    from steelyard.data.table_file import TableFile

    columns = TableFile(path, like={}).columns
    shown = ", ".join(columns if len(columns) <= 15 else [*columns[:10], "...", *columns[-3:]])
    raise ArgumentError("--target", f"the column of classes in {path}, one of: {shown}", "nothing")


def _check_folder(out: Path | None) -> None:
    """The folder must be new, empty, or hold a diagnosis."""
    if out is None or not out.exists():
        return
    if not out.is_dir():
        raise SteelyardError(f"cannot write a report into {out}: it is a file; name another folder with --out")
    if any(out.iterdir()) and not (out / "diagnosis.json").exists():
        raise SteelyardError(f"{out} holds other files and no diagnosis: name another folder with --out")


def _of_task(data: str, factor: float | None, limits: dict[str, Any]) -> Source:
    """A built-in data set, a folder of images, or a function of one's own, as numbers as a model sees them."""
    import torch

    from steelyard.core.seeds import generator
    from steelyard.diagnosis.sources import array_source, of_all, sample
    from steelyard.problems import ProblemSettings, load

    task = load(data, ProblemSettings(factor=factor))
    # With a factor, only the training data are long-tailed.
    splits = [name for name in ("train", "valid", "test") if name in task.splits and (factor is None or name != "test")]
    target = torch.cat([task.splits[name].target for name in splits])
    kept = sample(target.numpy(), min(limits["max_rows"], MOST_INPUTS), limits["seed"])
    parts, start = [], 0
    for name in splits:
        source = task.splits[name]
        rows = torch.from_numpy(kept[(kept >= start) & (kept < start + len(source))] - start)
        start += len(source)
        for _, inputs in source.stream(iter(rows.split(1024))):
            parts.append(_flat(task.load(inputs, augment="none", generator=generator(0, "diagnose"))))
    about = task.describe()
    notes = list(about["notes"])
    if about["kind"] == "images":
        notes.append(
            "pixels were measured, of which a linear classifier makes little; for what a network makes of images, give an .npz "
            "with X and y: embeddings of rows that it was not trained on"
        )
    found = array_source(
        task.name, torch.cat(parts), target[kept], kind=about["kind"], class_names=task.class_names, notes=notes, **limits
    )
    return of_all(found, target.numpy())


def _flat(inputs: Any) -> Any:
    """Inputs of a batch as numbers `[n, d]`."""
    import torch
    from torch import Tensor

    values = [inputs] if isinstance(inputs, Tensor) else list(inputs.values())
    return torch.cat([one.reshape(len(one), -1).float() for one in values], dim=1).cpu()


def _show(console: Console, facts: dict[str, Any]) -> None:
    """The short form of the report."""
    from rich.table import Table

    from steelyard.report.diagnosis_page import class_line, headline_facts, lost_lines, trust, verdict

    for note in facts["notes"][:NOTES]:
        console.print(f"note: {note}", style="yellow", markup=False)
    if len(facts["notes"]) > NOTES:
        console.print(f"and {len(facts['notes']) - NOTES} more notes, which --out or --json show", style="yellow", markup=False)
    grid = Table(box=None, pad_edge=False, show_header=False)
    for label, value in headline_facts(facts):
        grid.add_row(*map(_plain, (label, value)))
    console.print(grid)
    classes = Table(box=None, pad_edge=False)
    for heading in ("class", "rows", "eta", "confused with", "recall now", "adjusted", "held out", "regime"):
        classes.add_column(heading, justify="left" if heading in ("class", "confused with", "regime") else "right")
    for line in facts["classes"][:SHOWN]:
        shown = class_line(line)
        keys = ("name", "rows", "eta", "confuser", "recall", "adjusted", "held_out", "regime")
        classes.add_row(*(_plain(shown[key]) for key in keys))
    console.print(classes)
    if len(facts["classes"]) > SHOWN:
        console.print(f"and {len(facts['classes']) - SHOWN:,} more classes", style="dim", markup=False)
    console.print(verdict(facts), style="bold", markup=False)
    console.print(trust(facts), markup=False)
    lost = [f"{line['share']} {line['words']}" for line in lost_lines(facts)]
    if lost:
        console.print(f"lost: {'; '.join(lost)} (the parts overlap)", markup=False)
    for number, one in enumerate(facts["advice"]["methods"], 1):
        console.print(f"{number}. {one['method']}: {one['reason']}", markup=False)
    for title, lines in (("also", facts["advice"]["also"]), ("cannot help", facts["advice"]["cannot"])):
        for line in lines:
            console.print(f"{title}: {line}", markup=False)


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text)
