"""`steelyard segment`: every point of a cloud, labelled by a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steelyard.cli.options import command_line, key_value
from steelyard.core.errors import ArgumentError, DataError

if TYPE_CHECKING:
    import numpy as np

    from steelyard.data.clouds import Cloud
    from steelyard.tasks.points.segmenter import Segmented, Segmenter


@click.command(short_help="Label every point of a cloud with a trained model.")
@click.argument("cloud", type=click.Path(path_type=Path))
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of a comparison of point clouds (its best method is taken), of one of its runs, or of a saved segmenter.",
)
@click.option("--method", metavar="NAME", help="Of a comparison: the method to take in place of the best.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="LAS, LAZ, PLY or text file to write.")
@click.option("--leave-out", metavar="COL=VALUE", help="Points to leave alone, such as the ground: classification=2.")
@click.option("--votes", type=int, default=1, show_default=True, help="Predictions that are averaged, by different samples.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ...")
@click.option("--report/--no-report", "report", default=True, show_default=True, help="Write a page with pictures beside OUT.")
def segment(cloud: Path, **options: Any) -> None:
    """Label every point of CLOUD (LAS, LAZ, PLY or text) with a model that `steelyard compare --task points` trained.

    Written are all the points, in their order and with all their columns, and "predicted_label" and "probability_NAME" for each
    class. Points that are left out get the label 255.
    """
    from steelyard.console import open_console
    from steelyard.data.clouds import read_cloud, write_cloud
    from steelyard.data.clouds.files import check_writable
    from steelyard.tasks.points.storing import load_segmenter

    console = open_console()
    check_writable(options["out"])
    segmenter, origin = load_segmenter(options["model"], options["method"])
    points = read_cloud(cloud)
    left_out = _left_out(points, options["leave_out"])
    console.print(f"{len(points):,} points of {points.name}, by {origin}", markup=False, soft_wrap=True)
    found = segmenter.segment(points, votes=options["votes"], left_out=left_out, device=options["device"])
    written = write_cloud(options["out"], segmenter.labelled(points, found))
    said = ", ".join(
        f"{int((found.classes == number).sum()):,} {name} ({value})"
        for number, (name, value) in enumerate(zip(segmenter.class_names, segmenter.values.tolist(), strict=True))
    )
    console.print(f"labelled: {said}{'' if left_out is None else f', {int(left_out.sum()):,} left out (255)'}", markup=False)
    numbers = _numbers(segmenter, points, found)
    for name, value in numbers.items():
        console.print(f"  {name.replace('_', ' ')} {value:.4f}", markup=False)
    console.print(f"written: {written}", markup=False, soft_wrap=True)
    if options["report"]:
        page = _page(segmenter, points, found, origin, written, numbers)
        console.print(f"report: {page}", markup=False, soft_wrap=True)


def _left_out(cloud: Cloud, text: str | None) -> np.ndarray | None:
    """The points of COL=VALUE."""
    import numpy as np

    if text is None:
        return None
    column, value = key_value("--leave-out", text, "classification=2")
    if column not in cloud.columns:
        known = ", ".join(cloud.columns) or "none"
        raise DataError(f"{cloud.name} has no column '{column}' to leave points out by; it has: {known}")
    values = cloud.columns[column]
    if values.dtype.kind in "biuf":
        try:
            return np.asarray(values == float(value))
        except ValueError:
            raise ArgumentError("--leave-out", f"a number, as column '{column}' has", repr(value)) from None
    return np.asarray(values.astype(str) == value)


def _numbers(segmenter: Segmenter, cloud: Cloud, found: Segmented) -> dict[str, float]:
    """Recall, specificity, ... of the positive class against the labels that the cloud has; none without such labels."""
    import numpy as np

    from steelyard.tasks.points.labels import Labels
    from steelyard.tasks.points.numbers import numbers_of

    recipe = segmenter.recipe
    if recipe.get("column") not in cloud.columns:
        return {}
    truth, _ = Labels(recipe["column"], tuple(recipe["values"]), segmenter.class_names).of(cloud)
    both = (truth >= 0) & (found.classes >= 0)
    if not both.any():
        return {}
    positive = recipe["positive"]
    numbers = numbers_of(found.proba[both].astype(np.float64), truth[both], segmenter.class_names.index(positive))
    return {f"{positive}_{name}": value for name, value in numbers.items()}


def _page(segmenter: Segmenter, cloud: Cloud, found: Segmented, origin: str, written: Path, numbers: dict[str, float]) -> Path:
    from steelyard.report.cloud_page import Labelled, write_cloud_report

    return write_cloud_report(
        written.with_suffix(".html"),
        Labelled(
            cloud.name,
            cloud.xyz,
            found.classes,
            found.proba,
            segmenter.class_names,
            origin,
            command_line(),
            numbers,
            [("Written to", str(written)), ("Network", str(segmenter.recipe["model"]))],
        ),
    )
