"""Pictures that a task or a method hands to the report, as values that JSON can hold.

The report draws these forms and knows no task; a task or a method fills them and knows no page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from steelyard.core.errors import ArgumentError

Figure: TypeAlias = dict[str, Any]
Numbers: TypeAlias = Sequence[float | None]


@dataclass(frozen=True)
class Panel:
    """Bars over the categories of a figure, on an axis of their own.

    Attributes:
        label: of the axis.
        series: by name, a number a category each; None or NaN where there is none. `{"": values}` where there is but one.
        expected: by the name of a series, what theory says of it.
        level: a dotted line across all categories; None for none.
        percent: the numbers are shares in [0, 1], to be shown in percent.
    """

    label: str
    series: Mapping[str, Numbers]
    expected: Mapping[str, Numbers] = field(default_factory=dict)
    level: float | None = None
    percent: bool = False


def bars(
    title: str, note: str, *, x: str, categories: Sequence[str], panels: Sequence[Panel], by_method: bool = False
) -> Figure:
    """Bars over categories, in one panel or several below each other.

    Args:
        title: heading.
        note: a sentence or two below it: what is shown and how to read it.
        x: what the categories are.
        categories: their names, in order.
        panels: at least one.
        by_method: methods stand side by side, each with the mean over its seeds. All runs then have the same categories, and
            a panel has one series, named "", and nothing expected. Otherwise one run is shown at a time, and the reader chooses
            which; a figure that is the same in all runs is shown once.

    Raises:
        ArgumentError: no panel or category, not a number a category, or more than one series a method.

    Example:
        >>> made = bars("Share", "Of all.", x="class", categories=["a", "b"], panels=[Panel("rows", {"": [3, 1]})])
        >>> made["form"], made["panels"][0]["series"][0]["values"]
        ('bars', [3, 1])
    """
    for name, given in (("categories", categories), ("panels", panels)):
        if not given:
            raise ArgumentError(name, "at least one", "none")
    for panel in panels:
        for name, values in [*panel.series.items(), *panel.expected.items()]:
            if len(values) != len(categories):
                raise ArgumentError("panels", f"{len(categories)} numbers a series", f"{len(values)} in '{name}'")
        if strangers := set(panel.expected) - set(panel.series):
            raise ArgumentError("panels", "expected numbers of a series that is there", ", ".join(sorted(strangers)))
        if not panel.series:
            raise ArgumentError("panels", "panels with a series", "one without")
        if by_method and (set(panel.series) != {""} or panel.expected):
            raise ArgumentError("panels", 'one series named "", and nothing expected, where methods stand side by side', panel)
    return {
        "form": "bars",
        "title": title,
        "note": note,
        "x": x,
        "categories": list(categories),
        "by_method": by_method,
        "panels": [_panel(panel) for panel in panels],
    }


def _panel(panel: Panel) -> dict[str, Any]:
    series = [
        {"name": name, "values": list(values), "expected": list(panel.expected[name]) if name in panel.expected else None}
        for name, values in panel.series.items()
    ]
    return {"label": panel.label, "percent": panel.percent, "level": panel.level, "series": series}


def cloud(
    title: str,
    note: str,
    *,
    xyz: Sequence[Sequence[float]],
    classes: Sequence[str],
    true: Sequence[int],
    decided: Sequence[int],
    whole: int,
) -> Figure:
    """Points in space with their true and their decided classes: three pictures side by side, the third of the errors.

    Args:
        title: heading.
        note: below it.
        xyz: coordinates `[n, 3]` in metres, the third upwards. A few thousand: every run stores them.
        classes: names of class 0, 1, ...
        true: class of each point `[n]`.
        decided: what the model says of each point `[n]`.
        whole: number of points that these were chosen from.

    Raises:
        ArgumentError: no points, lengths that differ, or a class that has no name.

    Example:
        >>> cloud("Trees", "", xyz=[[0.0, 0.0, 1.0]], classes=["leaf"], true=[0], decided=[0], whole=9)["whole"]
        9
    """
    if not len(xyz) == len(true) == len(decided) or not len(xyz):
        found = f"{len(xyz)}, {len(true)} and {len(decided)}"
        raise ArgumentError("xyz", "at least one point, and as many points as true and decided classes", found)
    if not all(0 <= number < len(classes) for number in (*true, *decided)):
        raise ArgumentError("true", f"classes from 0 to {len(classes) - 1}", sorted({*true, *decided}))
    return {
        "form": "cloud",
        "title": title,
        "note": note,
        "xyz": [list(point) for point in xyz],
        "classes": list(classes),
        "true": list(true),
        "decided": list(decided),
        "whole": whole,
    }
