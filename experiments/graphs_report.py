"""The tables of `experiments/graphs.py`: means over seeds, paired differences, and the published numbers beside them."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean
from typing import Any

from steelyard.metrics.paired import paired_test

Json = dict[str, Any]

SHOWN = {"accuracy": "acc", "balanced_accuracy": "bacc", "macro_f1": "macro-F1", "auroc": "AUROC"}
ANCHORS = {
    "cora": {
        "ce": (68.3, 62.3, 61.6),
        "inverse-frequency": (72.7, 67.2, 67.9),
        "node-oversample": (67.0, 60.8, 59.8),
        "renode": (70.2, 64.2, 64.4),
        "graphsmote(space=features)": (67.2, 60.2, 59.3),
        "graphsmote": (74.5, 69.1, 69.4),
        "graphens": (74.1, 70.2, 69.4),
        "bat": (71.8, 67.1, 65.8),
    }
}
"""acc / bacc / macro-F1 of a GCN on Cora, step 10, two runs of 100 epochs, from a table in the repository of BAT."""


def summary(lines: list[Json]) -> list[Json]:
    """For each data set and method: means of the best validation epoch and of the last, and the paired difference to ce."""
    rows = []
    for name in dict.fromkeys(line["name"] for line in lines):
        mine = [line for line in lines if line["name"] == name]
        plain = {line["seed"]: line["best_valid"]["balanced_accuracy"] for line in mine if line["method"] == "ce"}
        for method in dict.fromkeys(line["method"] for line in mine):
            found = sorted((line for line in mine if line["method"] == method), key=lambda line: line["seed"])
            row: Json = {
                "name": name,
                "method": method,
                "seeds": len(found),
                "seconds": mean(line["seconds"] for line in found),
            }
            for which in ("best_valid", "last"):
                row[which] = {metric: mean(line[which][metric] for line in found) for metric in SHOWN}
            pairs = [(line["best_valid"]["balanced_accuracy"], plain[line["seed"]]) for line in found if line["seed"] in plain]
            if method != "ce" and len(pairs) > 1:
                test = paired_test([one for one, _ in pairs], [other for _, other in pairs], 0.95, 1)
                row["versus_ce"] = {"difference": test.difference} | {
                    end: _finite(getattr(test, end)) for end in ("low", "high")
                }
            if any("idle" in line for line in found):
                row["idle"] = mean(line.get("idle", 0) for line in found)
            rows.append(row)
    return rows


def write(folder: Path, lines: list[Json], about: Json) -> None:
    """`graphs.json` and `graphs.md`."""
    rows = summary(lines)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "graphs.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    (folder / "graphs.md").write_text(text(rows, about), encoding="utf-8")


def text(rows: list[Json], about: Json) -> str:
    """The page."""
    part = "" if about["part"] == "both" else f" --part {about['part']}"
    parts = [
        "# Nodes of imbalanced graphs",
        f"`python experiments/graphs.py --data FOLDER{part} --seeds {about['seeds']} --epochs {about['epochs']}`",
        "Test nodes, in percent, means over seeds; each seed draws its own training nodes. The epoch is the best one by "
        "balanced accuracy of the validation nodes, with the last epoch's balanced accuracy beside it. The difference to `ce` "
        "is paired by seed, of the balanced accuracy, with its 95 % interval. Published numbers are those of a table in the "
        "repository of BAT: acc / bacc / macro-F1 of a GCN on Cora, step 10, two runs of 100 epochs; other splits, network and "
        "weight decay.",
    ]
    for name in dict.fromkeys(row["name"] for row in rows):
        mine = sorted((row for row in rows if row["name"] == name), key=lambda row: -row["best_valid"]["balanced_accuracy"])
        anchors = ANCHORS.get(name, {})
        head = ["method", *SHOWN.values(), "bacc, last epoch", "vs ce", "CPU s", *(["published"] if anchors else [])]
        table = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for row in mine:
            cells = [f"`{row['method']}`", *(f"{100 * row['best_valid'][metric]:.1f}" for metric in SHOWN)]
            cells += [f"{100 * row['last']['balanced_accuracy']:.1f}", _versus(row), f"{row['seconds']:.1f}"]
            if anchors:
                cells.append(" / ".join(map(str, anchors[row["method"]])) if row["method"] in anchors else "")
            table.append("| " + " | ".join(cells) + " |")
        parts += [f"## {name}", "\n".join(table)]
    idle = [f"{row['idle']:.1f} for `{row['method']}` on {row['name']}" for row in rows if "idle" in row]
    if idle:
        parts.append(f"Steps in which no node weighed anything, of {about['epochs']}: {', '.join(idle)}.")
    return "\n\n".join(parts) + "\n"


def _finite(value: float) -> float | None:
    """A number for JSON, which has no NaN."""
    return value if value == value else None


def _versus(row: Json) -> str:
    versus = row.get("versus_ce")
    if versus is None:
        return ""
    if versus["low"] is None:  # all seeds agree
        return f"{100 * versus['difference']:+.1f}"
    return f"{100 * versus['difference']:+.1f} ({100 * versus['low']:+.1f} to {100 * versus['high']:+.1f})"
