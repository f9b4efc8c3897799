"""Tables and the figure of `geometry.py`: JSON, Markdown and one SVG of three panels."""

from __future__ import annotations

import json
import math
from html import escape
from pathlib import Path
from typing import Any

COLOURS = {"classifier": "#c8553d", "means": "#2b7a9b"}
WIDTH, HEIGHT, GAP, LEFT, TOP = 300, 200, 60, 56, 84
MOST = 1.25


def write(out: Path, found: dict[str, Any]) -> None:
    """Write `geometry.json`, `geometry.md` and `geometry.svg`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "geometry.json").write_text(json.dumps(_rounded(found), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / "geometry.md").write_text(_page(found), encoding="utf-8")
    (out / "geometry.svg").write_text(_figure(found), encoding="utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _table(rows: list[dict[str, Any]], columns: dict[str, str]) -> list[str]:
    lines = ["| " + " | ".join(columns.values()) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_text(row[name]) for name in columns) + " |" for row in rows]
    return lines


def _text(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        return "-"
    return f"{value:.3f}" if value == 0 or 1e-3 <= abs(value) < 100 else f"{value:.1e}"


FRAMES = {
    "classifier_to_seli": "classifier to SELI",
    "means_to_seli": "means to SELI",
    "classifier_to_etf": "classifier to ETF",
    "means_to_etf": "means to ETF",
    "classifier_few_cosine": "cosine of two minority classifiers",
    "classifier_many_to_few": "majority / minority classifier norm",
}


def _page(found: dict[str, Any]) -> str:
    last = [{"weight_decay": one["weight_decay"], **one["points"][-1]} for one in found["networks"]]
    exact = {"classifier_to_exact": "classifier to exact", "means_to_exact": "means to exact"}
    measured = {"weight_decay": "weight decay", "epoch": "epoch", "error": "training error", "nc1": "NC1", "nc4": "NC4"}
    return "\n".join([
        "# Geometry under a STEP of 10 to 1",
        "",
        f"`{found['command']}`",
        "",
        "Distances are of Gram matrices scaled to norm 1: 0 for the same shape. Ridges are shares of the one at which minority",
        f"classes become one, sqrt(n_min)/N = {found['collapse_ridge']:.5f} for the counts {found['class_counts']}.",
        "",
        "![distances to SELI](geometry.svg)",
        "",
        "## The unconstrained-features model, exactly",
        "",
        *_table(found["exact"], {"share": "ridge / collapse ridge", **FRAMES}),
        "",
        "## The same, trained from a random start with an embedding for every row",
        "",
        *_table(found["trained"], {"share": "ridge / collapse ridge", "objective_less_exact": "objective less exact", **exact}),
        "",
        "## Gradient descent, without a ridge and with a tenth of the collapse ridge",
        "",
        *_table(found["descent"], {"share": "ridge / collapse ridge", "steps": "steps", "loss": "loss", **FRAMES}),
        "",
        "## A network on digits, last epoch",
        "",
        f"Training rows {found['networks'][0]['class_counts']}; features of either sign, a classifier without bias.",
        "",
        *_table(last, measured | FRAMES),
        "",
    ])  # fmt: skip


def _label(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(text)}</text>'


def _figure(found: dict[str, Any]) -> str:
    wide, high = LEFT + 3 * (WIDTH + GAP), TOP + HEIGHT + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#222" role="img" '
        'aria-label="Distance of classifier and class means to SELI against ridge, steps and epochs">',
        f'<rect width="{wide}" height="{high}" fill="#fff"/>',
        *_legend(),
    ]
    exact = [(-math.log10(row["share"]), row) for row in found["exact"] if row["share"] >= 1e-12]
    parts += _panel(0, "exact, ridge shrinking", "-log10(ridge / collapse ridge)", [(exact, "")])
    runs = [([(math.log10(row["steps"]), row) for row in found["descent"] if row["share"] == share], dash)
            for share, dash in ((0.0, ""), (0.1, "5 4"))]  # fmt: skip
    parts += _panel(1, "gradient descent (dashed: with ridge)", "log10(steps)", runs)
    styles = ("", "2 3", "7 4")
    runs = [([(float(point["epoch"]), point) for point in one["points"]], dash)
            for one, dash in zip(found["networks"], styles * len(found["networks"]), strict=False)]  # fmt: skip
    decays = ", ".join(f"{one['weight_decay']:g}" for one in found["networks"])
    parts += _panel(2, f"network (decay {decays}: full, dotted, dashed)", "epochs", runs)
    return "\n".join([*parts, "</svg>", ""])


def _legend() -> list[str]:
    parts = []
    for k, (name, colour) in enumerate(COLOURS.items()):
        x = LEFT + 120 * k
        parts.append(f'<line x1="{x}" x2="{x + 22}" y1="20" y2="20" stroke="{colour}" stroke-width="2"/>')
        parts.append(_label(x + 28, 24, name))
    return [*parts, _label(LEFT + 240, 24, "distance to SELI; 0 is the same shape")]


def _panel(number: int, title: str, below: str, runs: list[tuple[list[tuple[float, dict[str, Any]]], str]]) -> list[str]:
    x0 = LEFT + number * (WIDTH + GAP)
    ends = [x for run, _ in runs for x, _ in run]
    first, last = min(ends), max(ends)
    parts = [
        _label(x0 + WIDTH / 2, TOP - 14, title, 'text-anchor="middle" font-weight="600"'),
        f'<rect x="{x0}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#bbb"/>',
        _label(x0 + WIDTH / 2, TOP + HEIGHT + 34, below, 'text-anchor="middle"'),
    ]
    for value in (0, 0.25, 0.5, 0.75, 1):
        y = TOP + HEIGHT * (1 - value / MOST)
        parts.append(f'<line x1="{x0}" x2="{x0 + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e5e5"/>')
        parts.append(_label(x0 - 6, y + 4, f"{value:g}", 'text-anchor="end" font-size="10"'))
    for k in range(5):
        value = first + (last - first) * k / 4
        at = x0 + WIDTH * k / 4
        parts.append(_label(at, TOP + HEIGHT + 15, f"{value:.3g}", 'text-anchor="middle" font-size="10"'))

    def spot(x: float, value: float) -> str:
        return f"{x0 + WIDTH * (x - first) / (last - first or 1):.1f},{TOP + HEIGHT * (1 - min(value, MOST) / MOST):.1f}"

    for run, dash in runs:
        for name, colour in COLOURS.items():
            line = " ".join(spot(x, row[f"{name}_to_seli"]) for x, row in run)
            parts.append(
                f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8" stroke-dasharray="{dash}"/>'
            )
    return parts
