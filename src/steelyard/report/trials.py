"""The trials of a study in a terminal: the best of them, and which settings mattered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from steelyard.report.store import Json

if TYPE_CHECKING:
    from rich.table import Table

ROWS = 10


def trials_table(study: Json, rows: int = ROWS) -> Table:
    """The best trials of a study as a table for the terminal; the trial of the default settings stands out.

    Args:
        study: the parsed tune.json.
        rows: how many trials to show; that of the default settings is always among them.

    Returns:
        A `rich.table.Table`.

    Example:
        >>> trial = {"number": 0, "state": "complete", "value": 0.8, "settings": {"tau": 1.0}, "default": True, "seconds": 2.0}
        >>> trials_table({"metric": "accuracy", "minimise": False, "space": {"tau": "0.5..2.0"}, "trials": [trial]}).row_count
        1
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    complete = _ranked(study)
    shown = [row for place, row in enumerate(complete) if place < rows or row["default"]]
    ended = {state: sum(row["state"] == state for row in study["trials"]) for state in ("pruned", "failed", "unfinished")}
    others = ", ".join(f"{count} {state}" for state, count in ended.items() if count)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False, title_justify="left", caption_justify="left")
    title = f"{study['metric'].replace('_', ' ')} on validation rows: {len(complete)} trials to their end"
    table.title = Text(f"{title}, {others}" if others else title)
    for heading in ("#", "trial", study["metric"].replace("_", " "), *study["space"], "seconds"):
        table.add_column(Text(heading), justify="right")
    for row in shown:
        cells = [str(complete.index(row) + 1), f"{row['number']} (default)" if row["default"] else str(row["number"])]
        cells += [f"{row['value']:.4f}", *(_written(row["settings"].get(key)) for key in study["space"])]
        cells.append("" if row["seconds"] is None else f"{row['seconds']:.1f}")
        table.add_row(*(Text(cell, style="bold" if row["default"] else "") for cell in cells))
    return table


def trials_in_words(study: Json) -> Iterator[str]:
    """What a reader of the table must know, a sentence each.

    Example:
        >>> study = {"importances": {"tau": 0.75, "lr": 0.25}, "best": None, "default": None}
        >>> list(trials_in_words(study))[0]
        'share of the variance of the values, by setting (fANOVA): tau 75 %, lr 25 %'
    """
    if study["importances"]:
        shares = ", ".join(f"{key} {share * 100:.0f} %" for key, share in study["importances"].items())
        yield f"share of the variance of the values, by setting (fANOVA): {shares}"
    best, default = study["best"], study["default"]
    if best is None:
        return
    if default is None:
        yield "no trial had the default settings to its end, so the gain over them is not known"
    elif best["number"] == default["number"]:
        yield "no trial was better than the default settings"
    else:
        gain = abs(best["value"] - default["value"])
        yield (
            f"the best trial is {gain:.4f} better than the default settings on the validation rows that it was chosen by, "
            "which flatters it: the comparison below judges both on test rows"
        )
    if best["regime_changes"]:
        yield (
            f"the regime was chosen for {study['method']} alone: a comparison under it is fair to another method only where "
            "that one has been tuned, too"
        )


def _ranked(study: Json) -> list[Any]:
    sign = 1 if study["minimise"] else -1
    complete = [row for row in study["trials"] if row["state"] == "complete"]
    return sorted(complete, key=lambda row: (sign * row["value"], row["number"]))


def _written(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
