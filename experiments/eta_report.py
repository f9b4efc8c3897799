"""Tables and the figure of `eta.py`: JSON, Markdown and one SVG of small panels, a row a model and a column a metric."""

from __future__ import annotations

import json
import math
from html import escape
from pathlib import Path
from typing import Any

METRICS = {"recall": "minority recall", "precision": "precision", "f1": "F1", "pr_auc": "PR-AUC"}
COLOURS = ("#4c566a", "#c8553d", "#2b7a9b", "#7a9b2b", "#8a4f9e")
WIDTH, HEIGHT, GAP, LEFT, TOP = 190, 120, 34, 190, 74
COLLAPSE = 0.5


def write(out: Path, cases: list[dict[str, Any]], models: list[str], command: str) -> None:
    """Write `eta.json`, `eta.md` and `eta.svg`."""
    out.mkdir(parents=True, exist_ok=True)
    kept = _rounded({"command": command, "models": models, "cases": cases})
    (out / "eta.json").write_text(json.dumps(kept, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / "eta.md").write_text(_page(cases, models, command), encoding="utf-8")
    (out / "eta.svg").write_text(_figure(cases, models), encoding="utf-8")
    print(f"wrote eta.json, eta.md and eta.svg to {out}")


def _rounded(value: Any) -> Any:
    """Five digits, and None for NaN."""
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def _page(cases: list[dict[str, Any]], models: list[str], command: str) -> str:
    lines = [
        "# Only the ratio of classes changes",
        "",
        f"`{command}`",
        "",
        "Rows, features and populations are fixed; eta is majority rows to one minority row in training. Test rows count",
        "as equally many in both classes (the natural ratio is in the JSON file). Recall: measured mean with its 95 % interval",
        "over random splits, then what is predicted from the model's area under the ROC curve at eta = 1: `bayes`, the",
        "threshold moved by log(eta); and `finite sample`, count bias and noisy means as well.",
        "",
        "![predicted and measured](eta.svg)",
        "",
    ]
    for case in cases:
        known = f", distance of the class means {case['delta']:g}" if case["delta"] is not None else ""
        lines += [f"## {case['name']}: n = {case['n']}, d = {case['d']}, kappa = {case['kappa']:.3g}{known}", ""]
        lines += [*_recalls(case, models), ""]
    return "\n".join([*lines, *_errors(cases, models), "", *_collapse(cases), ""])


def _recalls(case: dict[str, Any], models: list[str]) -> list[str]:
    lines = [
        "| model | eta | measured recall | bayes | finite sample | precision | F1 | PR-AUC |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model in models:
        for point in _of(case, model):
            found, said = point["measured"], point["predicted"]
            recall = found["recall"]
            cells = [f"{recall['value']:.2f} ({recall['low']:.2f} to {recall['high']:.2f})"]
            cells += [f"{said[name]['recall']:.2f}" for name in ("bayes", "finite_sample")]
            cells += [
                f"{_text(found[name]['value'])} ({_text(said['finite_sample'][name])})"
                for name in ("precision", "f1", "pr_auc")
            ]
            lines.append(f"| {model} | {point['eta']:.2g} | " + " | ".join(cells) + " |")
    return [*lines, "", "Precision, F1 and PR-AUC: measured, and the finite-sample prediction in brackets."]


def _errors(cases: list[dict[str, Any]], models: list[str]) -> list[str]:
    """Mean absolute differences of predicted and measured values over all ratios above 1."""
    head = [f"{name}, {METRICS[metric]}" for metric in METRICS for name in ("bayes", "finite")]
    lines = [
        "## Mean absolute error of the predictions, eta > 1",
        "",
        "| data | model | " + " | ".join(head) + " |",
        "|---|---|" + "---|" * len(head),
    ]
    for case in cases:
        for model in models:
            cells = []
            for metric in METRICS:
                for rule in ("bayes", "finite_sample"):
                    gaps = [abs(p["predicted"][rule][metric] - p["measured"][metric]["value"]) for p in _of(case, model)[1:]]
                    gaps = [gap for gap in gaps if math.isfinite(gap)]
                    cells.append(f"{sum(gaps) / len(gaps):.3f}" if gaps else "-")
            lines.append(f"| {case['name']} | {model} | " + " | ".join(cells) + " |")
    return lines


def _collapse(cases: list[dict[str, Any]]) -> list[str]:
    """How often each rule says rightly whether the recall is below one half."""
    lines = [
        "## Is the minority's recall below 1/2? Settings in which a rule is right",
        "",
        "| data | settings | collapsed | abstract's rule | bayes | finite sample |",
        "|---|---|---|---|---|---|",
    ]
    for case in cases:
        points = [point for point in case["points"] if point["eta"] > 1]
        truth = [point["measured"]["recall"]["value"] < COLLAPSE for point in points]
        rules = [[point["abstract_ratio"] > 1 for point in points]]
        rules += [[point["predicted"][name]["recall"] < COLLAPSE for point in points] for name in ("bayes", "finite_sample")]
        right = [sum(a == b for a, b in zip(rule, truth, strict=True)) for rule in rules]
        lines.append(f"| {case['name']} | {len(points)} | {sum(truth)} | " + " | ".join(map(str, right)) + " |")
    return [
        *lines,
        "",
        "The abstract's rule, log(eta) > delta sqrt(kappa), takes the model's separability at eta = 1 as delta.",
    ]


def _of(case: dict[str, Any], model: str) -> list[dict[str, Any]]:
    return [point for point in case["points"] if point["model"] == model]


def _text(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"


def _label(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(text)}</text>'


def _figure(cases: list[dict[str, Any]], models: list[str]) -> str:
    wide = LEFT + len(METRICS) * (WIDTH + GAP)
    high = TOP + len(models) * (HEIGHT + GAP) + 16
    most = max(point["eta"] for case in cases for point in case["points"])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#222" role="img" '
        'aria-label="Predicted and measured recall, precision, F1 and PR-AUC against the ratio of classes">',
        f'<rect width="{wide}" height="{high}" fill="#fff"/>',
        *_legend(cases),
    ]
    for column, (metric, title) in enumerate(METRICS.items()):
        x = LEFT + column * (WIDTH + GAP)
        parts.append(_label(x + WIDTH / 2, TOP - 12, title, 'text-anchor="middle" font-weight="600"'))
        for row, model in enumerate(models):
            y = TOP + row * (HEIGHT + GAP)
            if column == 0:
                parts.append(_label(LEFT - 42, y + HEIGHT / 2, model, 'text-anchor="end" font-weight="600"'))
            parts += _axes(x, y, most)
            for case, colour in zip(cases, COLOURS * len(cases), strict=False):
                parts += _panel(_of(case, model), metric, colour, (x, y, most))
    below = "eta: majority rows to one minority row in training (test classes count equally)"
    parts.append(_label((LEFT + wide) / 2, high - 8, below, 'text-anchor="middle"'))
    return "\n".join([*parts, "</svg>", ""])


def _legend(cases: list[dict[str, Any]]) -> list[str]:
    parts = []
    for k, (case, colour) in enumerate(zip(cases, COLOURS * len(cases), strict=False)):
        x = LEFT + k * 210
        parts.append(f'<circle cx="{x}" cy="16" r="4" fill="{colour}"/>')
        parts.append(_label(x + 10, 20, f"{case['name']} (kappa {case['kappa']:.2g})"))
    text = "points and bars: measured, 95 % interval; line and band: finite-sample prediction and its interval; dashed: Bayes"
    return [*parts, _label(LEFT - 4, 42, text)]


def _axes(x: float, y: float, most: float) -> list[str]:
    parts = [f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#bbb"/>']
    for value in (0, 0.5, 1):
        at = y + HEIGHT * (1 - value)
        parts.append(f'<line x1="{x}" x2="{x + WIDTH}" y1="{at:.1f}" y2="{at:.1f}" stroke="#e5e5e5"/>')
        parts.append(_label(x - 5, at + 4, f"{value:g}", 'text-anchor="end" font-size="10"'))
    ticks = [eta for eta in (1, 2, 5, 10) if eta <= most]
    small = 'text-anchor="middle" font-size="10"'
    return parts + [_label(x + _across(eta, most), y + HEIGHT + 13, str(eta), small) for eta in ticks]


def _across(eta: float, most: float) -> float:
    return 6 + (WIDTH - 12) * math.log(eta) / math.log(most)


def _panel(points: list[dict[str, Any]], metric: str, colour: str, place: tuple[float, float, float]) -> list[str]:
    x0, y0, most = place

    def spot(eta: float, value: float) -> str:
        return f"{x0 + _across(eta, most):.1f},{y0 + HEIGHT * (1 - min(max(value, 0.0), 1.0)):.1f}"

    def line(key: str, rule: str) -> list[str]:
        values = [(point["eta"], point[key][rule][metric]) for point in points]
        return [spot(eta, value) for eta, value in values if math.isfinite(value)]

    band = line("predicted_at_low_delta", "finite_sample") + line("predicted_at_high_delta", "finite_sample")[::-1]
    parts = [
        f'<polygon points="{" ".join(band)}" fill="{colour}" opacity="0.12"/>',
        f'<polyline points="{" ".join(line("predicted", "finite_sample"))}" fill="none" stroke="{colour}" stroke-width="1.6"/>',
        f'<polyline points="{" ".join(line("predicted", "bayes"))}" fill="none" stroke="{colour}" stroke-dasharray="4 3"/>',
    ]
    for point in points:
        found = point["measured"][metric]
        if math.isfinite(found["value"]):
            at = spot(point["eta"], found["value"])
            ends = [
                spot(point["eta"], found[key] if math.isfinite(found[key]) else found["value"]).split(",")
                for key in ("low", "high")
            ]
            parts.append(f'<line x1="{ends[0][0]}" y1="{ends[0][1]}" x2="{ends[1][0]}" y2="{ends[1][1]}" stroke="{colour}"/>')
            parts.append(f'<circle cx="{at.split(",")[0]}" cy="{at.split(",")[1]}" r="2.6" fill="{colour}"/>')
    return parts
