"""`steelyard predict`: every row of a file, scored by a fitted model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steelyard.cli.options import names_of, parts_of
from steelyard.core.errors import ArgumentError

if TYPE_CHECKING:
    from steelyard.estimator.table_model import TableModel

ROUNDING = 1e-3
"""How far shares may sum from 1."""


@click.command(short_help="Score a file with a fitted model.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="CSV or Parquet file to write.")
@click.option(
    "--prior", metavar="CLASS=SHARE,...|em",
    help="The class mix of these rows: shares that sum to 1 (one class may be left out), or em to estimate them.",
)  # fmt: skip
@click.option("--keep", metavar="COLS|all", help="Columns of DATA to write too, separated by commas.")
@click.option("--spread", is_flag=True, help="Write how far the members of the model disagree.")
def predict(model: Path, data: Path, **options: Any) -> None:
    """Score every row of DATA with the model in the folder MODEL, which `steelyard fit` wrote.

    Written are the decision ("prediction") and the probability of each class; rows stay in order. The file may be larger than
    memory. Columns that the model does not know are ignored; a category that it has not seen counts as unknown.
    """
    from steelyard.console import open_console
    from steelyard.estimator.folder import load_model
    from steelyard.estimator.predicting import predict_file

    console = open_console()
    loaded = load_model(model)
    keep = ("*",) if options["keep"] == "all" else names_of(options["keep"])
    done = predict_file(
        loaded, data, options["out"], prior=_prior(options["prior"], loaded), keep=keep, spread=options["spread"],
        say=lambda text: console.print(text, style="dim", markup=False),
    )  # fmt: skip
    for name, count in done.unseen.items():
        console.print(
            f"note: column '{name}' has {count:,} values that training rows did not have", style="yellow", markup=False
        )
    if done.absent:
        named = ", ".join(map(repr, done.absent[:8])) + (", ..." if len(done.absent) > 8 else "")
        console.print(f"note: {data} lacks {named}, which the model does not use", style="yellow", markup=False, soft_wrap=True)
    if options["prior"] is not None:
        shares = ", ".join(f"{name} {100 * share:.3g} %" for name, share in zip(done.decided, done.prior, strict=True))
        console.print(f"class mix: {shares}", markup=False)
    decided = ", ".join(f"{count:,} {name}" for name, count in done.decided.items())
    console.print(f"{done.rows:,} rows, decided: {decided}", markup=False)
    console.print(f"written: {options['out']}", markup=False, soft_wrap=True)


def _prior(text: str | None, model: TableModel) -> Any:
    """Class shares as typed; the one that is left out gets the rest."""
    from steelyard.data.labels import label_name

    if text is None or text == "em":
        return text
    labels = {label_name(label): label for label in model.classes.tolist()}
    shares: dict[Any, float] = {}
    for part in parts_of(text):
        name, sign, value = (piece.strip() for piece in part.rpartition("="))
        if not (sign and name):
            raise ArgumentError("--prior", "CLASS=SHARE, such as fraud=0.01, or em", repr(part))
        if name not in labels:
            raise ArgumentError("--prior", f"shares of the classes {', '.join(labels)}", f"'{name}'")
        if labels[name] in shares:
            raise ArgumentError("--prior", "one share for each class", f"two for '{name}'")
        shares[labels[name]] = _share(value, part)
    left = [label for label in labels.values() if label not in shares]
    total = sum(shares.values())
    if left[1:]:
        raise ArgumentError("--prior", "shares of all classes but at most one", f"{len(left)} classes without")
    if total > 1 + ROUNDING or (not left and total < 1 - ROUNDING):
        raise ArgumentError("--prior", "shares that sum to 1", f"{text!r}, which sums to {total:g}")
    return shares | {label: max(1 - total, 0.0) for label in left}


def _share(text: str, part: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ArgumentError("--prior", "CLASS=SHARE with a share from 0 to 1, such as fraud=0.01", repr(part))
    return share
