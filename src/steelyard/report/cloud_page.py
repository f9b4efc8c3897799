"""The page of a labelled cloud: what was found, pictures, and the points to turn around."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.report.cloud_picture import colours_of, pictures
from steelyard.report.html import render, write_page
from steelyard.report.vocabulary import DASH

Json = dict[str, Any]
SCRIPTS = ("base.js", "cloud.js")
MOST_POINTS = 30_000
"""Points that can be turned around; evenly chosen from more."""


@dataclass(frozen=True)
class Labelled:
    """A cloud with what a model says about it.

    Attributes:
        name: of the cloud.
        xyz: coordinates `[N, 3]`, float64.
        classes: class of each point `[N]`; -1 for one that was left out.
        proba: probability of each class `[N, C]`.
        names: of the classes.
        model: where the model comes from, in words.
        command: how to do it again.
        numbers: against labels that the cloud has, by name; empty without.
        facts: further lines.
    """

    name: str
    xyz: np.ndarray
    classes: np.ndarray
    proba: np.ndarray
    names: tuple[str, ...]
    model: str
    command: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    facts: Sequence[tuple[str, str]] = ()


def write_cloud_report(path: Path, found: Labelled) -> Path:
    """Write the page: one offline file.

    Raises:
        SteelyardError: it cannot be written there.
    """
    return write_page(path, render("cloud.html", SCRIPTS, context(found)))


def context(found: Labelled) -> Json:
    """What the template shows, and the points that the script draws."""
    asked = found.classes >= 0
    counts = np.bincount(found.classes[asked], minlength=len(found.names))
    share = counts / max(int(counts.sum()), 1)
    order = np.argsort(-counts)
    said = ", ".join(f"{100 * share[c]:.3g} % {found.names[c]}" for c in order)
    unsure = float((found.proba[asked].max(1) < 0.75).mean()) if asked.any() else 0.0
    colours = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in colours_of(found.names)]
    return {
        "title": found.name,
        "verdict": f"{int(counts.sum()):,} points: {said}.",
        "trust": f"By {found.model}. Of {100 * unsure:.3g} % of the points the model is less than 75 % sure.",
        "facts": [*_extent(found), *found.facts],
        "classes": [
            {"name": name, "colour": colour, "points": f"{int(n):,}", "share": f"{100 * s:.3g} %"}
            for name, colour, n, s in zip(found.names, colours, counts, share, strict=True)
        ],
        "left_out": int((~asked).sum()),
        "numbers": [
            (name.replace("_", " "), DASH if value != value else f"{value:.4f}") for name, value in found.numbers.items()
        ],
        "pictures": pictures(found.xyz, found.classes, found.names),
        "command": found.command,
        "data": _points(found, colours),
    }


def _extent(found: Labelled) -> list[tuple[str, str]]:
    size = found.xyz.max(0) - found.xyz.min(0)
    return [
        ("Points", f"{len(found.xyz):,}"),
        ("Extent", " x ".join(f"{value:.1f}" for value in size) + " m"),
        ("Lowest corner", ", ".join(f"{value:,.2f}" for value in found.xyz.min(0))),
    ]


def _points(found: Labelled, colours: list[str]) -> Json:
    """Evenly chosen points, in metres from the lowest corner; in lists a class."""
    shown = np.unique(np.linspace(0, len(found.xyz) - 1, min(len(found.xyz), MOST_POINTS)).astype(np.int64))
    local = np.round(found.xyz[shown] - found.xyz.min(0), 2)
    groups = []
    for number, (name, colour) in enumerate(zip(found.names, colours, strict=True)):
        rows = found.classes[shown] == number
        x, y, z = local[rows].T.tolist()
        sure = np.round(found.proba[shown][rows, number].astype(np.float64), 2).tolist()
        groups.append({"name": name, "colour": colour, "x": x, "y": y, "z": z, "sure": sure})
    return {"methods": [], "shown": [], "epoch": "last", "groups": groups, "cut": len(found.xyz) > len(shown)}
