"""Tables and the figure of `few_shot.py`: JSON, Markdown and one SVG."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from steelyard.tasks.episodes import paired_episodes
from steelyard.tasks.episodes.audit import Audit
from steelyard.tasks.episodes.scores import interval

REFERENCE = "ce"
COLOURS = ("#c8553d", "#d98c5f", "#a9a9a9", "#5f93b0", "#2b5f7a")
"""From the rarest class to the most frequent one."""
BAR, PANEL, HEIGHT, LEFT, TOP, COLUMNS = 16, 120, 110, 44, 84, 6
IMBALANCED = "linear 1-9"

Json = dict[str, Any]
Cells = dict[tuple[str, str], list[Json]]


def write(out: Path, lines: list[Json], profiles: Sequence[str], about: Json, audit: Audit) -> None:
    """Write `few_shot.json`, `few_shot.md` and `few_shot.svg`."""
    out.mkdir(parents=True, exist_ok=True)
    cells = cells_of(lines)
    methods = list(dict.fromkeys(line["method"] for line in lines))
    found = {method: summary(cells, method, profiles) for method in methods}
    kept = {
        "about": about,
        "audit": {"shots": audit.shots, "queries": audit.queries, "shares": audit.shares, "expected": audit.expected},
        "methods": found,
        "seconds": {method: seconds(lines, method) for method in methods},
    }
    (out / "few_shot.json").write_text(json.dumps(_rounded(kept), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / "few_shot.md").write_text(_page(found, profiles, about, audit, kept["seconds"]), encoding="utf-8")
    (out / "few_shot.svg").write_text(_figure(found, audit), encoding="utf-8")
    print(f"wrote few_shot.json, few_shot.md and few_shot.svg to {out}")


def cells_of(lines: list[Json]) -> Cells:
    """What was found, by method and by profile with treatment, a seed each."""
    cells: Cells = {}
    for line in lines:
        for place, found in line["found"].items():
            cells.setdefault((line["method"], place), []).append(found)
    return cells


def accuracies(cells: Cells, method: str, place: str) -> Tensor:
    """Accuracy of each episode `[T]`, the mean over seeds."""
    return torch.tensor([found["accuracies"] for found in cells[method, place]], dtype=torch.float64).mean(0)


def seconds(lines: list[Json], method: str) -> float:
    """Processor time of a training, the mean over seeds."""
    own = [line["seconds"] for line in lines if line["method"] == method]
    return sum(own) / len(own)


def summary(cells: Cells, method: str, profiles: Sequence[str]) -> Json:
    """Numbers of a method under each profile; differences are paired by episode."""
    found: Json = {}
    for profile in profiles:
        own = accuracies(cells, method, f"{profile}|none")
        mean, half = interval(own)
        entry: Json = {"accuracy": mean, "half": half}
        for name in ("recall", "share"):
            each = [one[name] for one in cells[method, f"{profile}|none"]]
            entry[name] = torch.tensor(each, dtype=torch.float64).mean(0).tolist()
        entry["versus_reference"] = _paired(own, cells, REFERENCE, f"{profile}|none") if method != REFERENCE else None
        entry["imbalance"] = _paired(own, cells, method, f"{profiles[0]}|none") if profile != profiles[0] else None
        entry["oversampled"] = None
        if (method, f"{profile}|ros") in cells:
            treated = accuracies(cells, method, f"{profile}|ros")
            entry["oversampled"] = _paired(treated, cells, method, f"{profile}|none")
        found[profile] = entry
    return found


def _paired(own: Tensor, cells: Cells, method: str, place: str) -> Json | None:
    if (method, place) not in cells:
        return None
    result = paired_episodes(own, accuracies(cells, method, place))
    return {"difference": result.difference, "low": result.low, "high": result.high, "unpaired": result.unpaired}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def _page(found: Json, profiles: Sequence[str], about: Json, audit: Audit, cost: Json) -> str:
    counted = ", ".join(f"{count} for {split}" for split, count in about["classes"].items())
    lines = [
        "# Few-shot learners and unequal support",
        "",
        f"Omniglot's two small background sets, characters as classes ({counted}), 5-way, 10 queries a class;",
        f"{about['train']} training episodes (or as many batches of 50 images), {about['test']} test episodes of each profile,",
        f"the same for all methods, profiles and seeds; {about['seeds']} seeds; Conv4 with {about['width']} channels.",
        "Accuracies are means over seeds, then over episodes; intervals are 1.96 sd / sqrt(T) with the episode as unit.",
        "Differences are paired by episode: in points of accuracy, with their 95 % interval. So small a budget ranks these",
        "implementations after a short training, and says nothing of the methods at their published budgets.",
        "",
        "## Accuracy",
        "",
        _row("method", *profiles, "seconds to train"),
        "|---" * (len(profiles) + 2) + "|",
    ]
    for method, own in found.items():
        cells = [f"{100 * own[p]['accuracy']:.1f} ±{100 * own[p]['half']:.1f}" for p in profiles]
        lines.append(_row(f"`{method}`", *cells, f"{cost[method]:.0f}"))
    lines += ["", "## Against plain Prototypical Networks (`ce`), paired", "", *_table(found, profiles, "versus_reference")]
    lines += ["", f"## What imbalance costs: against {profiles[0]}, paired", "", *_table(found, profiles[1:], "imbalance")]
    lines += ["", "## What oversampling at inference adds, paired", "", *_table(found, profiles, "oversampled")]
    head = [f"rank {rank}" for rank in range(1, 6)]
    lines += [
        "",
        f"## Recall of the class with least support, and share of all decisions by rank, {IMBALANCED}",
        "",
        "Rank 1 has most support. Every share would be 0.2 for a learner without bias.",
        "",
        _row("method", "recall of rank 5", *head),
        "|---" * 7 + "|",
    ]
    for method, own in found.items():
        shares = [f"{share:.3f}" for share in own[IMBALANCED]["share"]]
        lines.append(_row(f"`{method}`", f"{own[IMBALANCED]['recall'][-1]:.3f}", *shares))
    lines += [
        "",
        "## Bias audit: shares of decisions on features that say nothing",
        "",
        f"{audit.queries:,} decisions on draws from N(0, I) in 64 dimensions.",
        "",
        audit.table(),
        "",
        "![shares of decisions](few_shot.svg)",
        "",
    ]
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _table(found: Json, profiles: Sequence[str], name: str) -> list[str]:
    lines = [_row("method", *profiles), "|---" * (len(profiles) + 1) + "|"]
    for method, own in found.items():
        entries = [own[profile][name] for profile in profiles]
        if any(entry is not None for entry in entries):
            lines.append(_row(f"`{method}`", *(_difference(entry) for entry in entries)))
    return lines


def _difference(entry: Json | None) -> str:
    if entry is None:
        return "-"
    return f"{100 * entry['difference']:+.1f} ({100 * entry['low']:+.1f} to {100 * entry['high']:+.1f})"


def _figure(found: Json, audit: Audit) -> str:
    """Bars of the shares of decisions: above of rules on noise, below of trained learners."""
    trained = {name.partition("(")[0]: own for name, own in found.items() if "training" not in name}
    groups = [
        ("On features that say nothing: supports of " + ", ".join(map(str, audit.shots)), dict(audit.shares)),
        (f"Trained on Omniglot: {IMBALANCED}", {name: own[IMBALANCED]["share"][::-1] for name, own in trained.items()}),
    ]
    parts, y = list[str](), TOP
    for title, panels in groups:
        parts.append(f'<text x="{LEFT}" y="{y - 22}" class="title">{escape(title)}</text>')
        for number, (name, shares) in enumerate(panels.items()):
            row, column = divmod(number, COLUMNS)
            parts += _panel(LEFT + column * PANEL, y + row * (HEIGHT + 46), name, shares)
        y += -(-len(panels) // COLUMNS) * (HEIGHT + 46) + 46
    width, height = LEFT + COLUMNS * PANEL + 10, y
    style = "text{font:11px sans-serif;fill:#333}.title{font-size:13px;font-weight:bold}.small{font-size:9px}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    key = "share of decisions by support, least (red) to most (blue); the dashed line is 0.2"
    return "\n".join(
        [head, f"<style>{style}</style>", f'<rect width="{width}" height="{height}" fill="#fff"/>',
         f'<text x="{LEFT}" y="20" class="title">Which class is decided for</text><text x="{LEFT}" y="34">{key}</text>',
         *parts, "</svg>", ""]
    )  # fmt: skip


def _panel(x: int, y: int, name: str, shares: Sequence[float]) -> list[str]:
    scale = HEIGHT / 0.6
    found = [f'<line x1="{x}" x2="{x + 5 * (BAR + 2)}" y1="{y + HEIGHT}" y2="{y + HEIGHT}" stroke="#888"/>']
    for place, share in enumerate(shares):
        tall = min(share, 0.6) * scale
        left = x + place * (BAR + 2)
        found.append(
            f'<rect x="{left}" y="{y + HEIGHT - tall:.1f}" width="{BAR}" height="{tall:.1f}" fill="{COLOURS[place]}"/>'
            f'<text x="{left}" y="{y + HEIGHT - tall - 2:.1f}" class="small">{share:.2f}</text>'
        )
    even = y + HEIGHT - 0.2 * scale
    found.append(f'<line x1="{x}" x2="{x + 5 * (BAR + 2)}" y1="{even}" y2="{even}" stroke="#333" stroke-dasharray="3 2"/>')
    words = name.split(", ")
    return found + [f'<text x="{x}" y="{y + HEIGHT + 14 + 12 * n}">{escape(word)}</text>' for n, word in enumerate(words)]
