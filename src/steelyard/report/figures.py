"""Pictures that tasks and methods handed over with their runs, put together for the page.

What they are is said in `steelyard.core.figure`; here nothing is known of tasks. Numbers from a disk may be anything: a picture
that is not of a known form is left out, with a note.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from steelyard.report.aggregate import over_seeds, tidy
from steelyard.report.cloud_picture import colours_of
from steelyard.report.store import Json, Run, mapping
from steelyard.report.vocabulary import listed, number

PACKED = 3_000_000
"""Characters that the classes of all clouds of a page may take; beyond them only the first seed of each method is shown."""


def figures(runs: Sequence[Run]) -> tuple[list[Json], list[str]]:
    """The pictures of a comparison, each once, and notes about those that cannot be drawn.

    Args:
        runs: in the order of the page.

    Returns:
        `{"form", "title", "note", ...}` for each, in the order in which they are met: "bars" and "cloud" with "views", one for
        each run that can be chosen (a single one without a method where all runs agree); "methods" with the means over the
        seeds of each method side by side.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.figures))
    found, notes = [], list[str]()
    for name in names:
        held = [(run, mapping(run.figures[name])) for run in runs if name in run.figures]
        sound = [(run, figure) for run, figure in held if _is_bars(figure) or _is_cloud(figure)]
        kept = [(run, figure) for run, figure in sound if _frame(figure) == _frame(sound[0][1])]
        if len(kept) < len(held):
            others = [f"{run.method} (seed {run.seed})" for run, figure in held if (run, figure) not in kept]
            notes.append(f"The picture '{name}' of {listed(others)} cannot be drawn, or not with the others, and is left out.")
        if kept:
            found.append(_drawn(kept))
    return found, notes


def _drawn(kept: list[tuple[Run, Json]]) -> Json:
    first = kept[0][1]
    figure: Json = {"title": str(first.get("title", "")), "note": str(first.get("note", ""))}
    if first["form"] == "cloud":
        return figure | _clouds(kept)
    if first.get("by_method"):
        return figure | _side_by_side(kept)
    if all(other == first for _, other in kept):
        views = [_view(None, first)]
    else:
        views = [_view(run, each) for run, each in kept]
    return figure | {"form": "bars", "x": str(first.get("x", "")), "size": _size(first), "views": views}


def _size(figure: Json) -> int:
    """Panels below each other."""
    return len(figure["panels"])


def _frame(figure: Json) -> Any:
    """What pictures must have in common to be shown as one."""
    if figure["form"] == "cloud":
        return "cloud", figure["classes"]
    panels = [(panel.get("label"), panel.get("percent")) for panel in figure["panels"]]
    by_method = bool(figure.get("by_method"))
    return "bars", by_method, panels, figure["categories"] if by_method else None


def _view(run: Run | None, figure: Json) -> Json:
    """The bars of one run."""
    panels = [
        {
            **_about(panel),
            "series": [
                {"name": str(one.get("name", "")), "values": _tidy(one["values"]), "expected": _tidy(one.get("expected"))}
                for one in panel["series"]
            ],
        }
        for panel in figure["panels"]
    ]
    who = {"method": None, "seed": None} if run is None else {"method": run.method, "seed": run.seed}
    return {**who, "categories": [str(name) for name in figure["categories"]], "panels": panels}


def _side_by_side(kept: list[tuple[Run, Json]]) -> Json:
    """Means over the seeds of each method, with the lowest and the highest seed."""
    first = kept[0][1]
    panels = [_about(panel) for panel in first["panels"]]
    methods: Json = {}
    for name in dict.fromkeys(run.method for run, _ in kept):
        own = [figure for run, figure in kept if run.method == name]
        methods[name] = [
            over_seeds(np.array([_numbers(figure["panels"][place]["series"][0]["values"]) for figure in own]))
            for place in range(len(panels))
        ]
    categories = [str(name) for name in first["categories"]]
    x = str(first.get("x", ""))
    return {"form": "methods", "x": x, "categories": categories, "size": len(panels), "panels": panels, "methods": methods}


def _clouds(kept: list[tuple[Run, Json]]) -> Json:
    """Each cloud once, and what each run decided on it: two bytes a point, in base 64."""
    if sum(len(_packed(figure["decided"])) for _, figure in kept) > PACKED:
        kept = list({run.method: (run, figure) for run, figure in reversed(kept)}.values())[::-1]
    clouds, views = list[Json](), list[Json]()
    for run, figure in kept:
        cloud = {"xyz": figure["xyz"], "true": figure["true"], "whole": figure.get("whole")}
        if cloud not in clouds:
            clouds.append(cloud)
        views.append(
            {"method": run.method, "seed": run.seed, "cloud": clouds.index(cloud), "decided": _packed(figure["decided"])}
        )
    names = [str(name) for name in kept[0][1]["classes"]]
    colours = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in colours_of(names)]
    return {"form": "cloud", "classes": names, "colours": colours, "clouds": [_cloud(c) for c in clouds], "views": views}


def _cloud(cloud: Json) -> Json:
    """Coordinates from the middle of the cloud's box, to the centimetre."""
    xyz = np.asarray(cloud["xyz"], np.float64)
    x, y, z = np.round(xyz - (xyz.min(0) + xyz.max(0)) / 2, 2).T.tolist()
    whole = number(cloud["whole"])
    return {
        "x": x,
        "y": y,
        "z": z,
        "true": _packed(cloud["true"]),
        "whole": len(xyz) if whole is None else int(whole),
    }


def _packed(classes: Sequence[int]) -> str:
    return base64.b64encode(np.asarray(classes, "<u2").tobytes()).decode()


def _about(panel: Json) -> Json:
    level = number(panel.get("level"))
    return {"label": str(panel.get("label", "")), "percent": panel.get("percent") is True, "level": level}


def _numbers(values: Sequence[Any]) -> list[float]:
    return [np.nan if (x := number(value)) is None else x for value in values]


def _tidy(values: Sequence[Any] | None) -> list[float | None] | None:
    return None if values is None else tidy(np.array(_numbers(values)))


def _is_bars(figure: Json) -> bool:
    categories, panels = figure.get("categories"), figure.get("panels")
    if figure.get("form") != "bars" or not isinstance(categories, list) or not isinstance(panels, list) or not panels:
        return False
    by_method = bool(figure.get("by_method"))
    return len(categories) > 0 and all(_is_panel(mapping(panel), len(categories), by_method) for panel in panels)


def _is_panel(panel: Json, length: int, by_method: bool) -> bool:
    series = panel.get("series")
    if not isinstance(series, list) or not series or (by_method and len(series) > 1):
        return False
    lists = [mapping(one).get("values") for one in series]
    lists += [expected for one in series if (expected := mapping(one).get("expected")) is not None]
    return all(isinstance(values, list) and len(values) == length for values in lists)


def _is_cloud(figure: Json) -> bool:
    names, xyz, true, decided = (figure.get(key) for key in ("classes", "xyz", "true", "decided"))
    if figure.get("form") != "cloud" or not all(isinstance(each, list) and each for each in (names, xyz, true, decided)):
        return False
    assert isinstance(names, list) and isinstance(xyz, list) and isinstance(true, list) and isinstance(decided, list)
    if not len(xyz) == len(true) == len(decided):
        return False
    points = all(isinstance(p, list) and len(p) == 3 and all(number(v) is not None for v in p) for p in xyz)
    return points and all(isinstance(c, int) and 0 <= c < len(names) for c in (*true, *decided))
