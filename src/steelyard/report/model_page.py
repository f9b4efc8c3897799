"""The report of one fitted model: what it finds, at what price, how honest its probabilities are, and what they rest on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from steelyard.core.errors import DataError
from steelyard.report.html import render, write_page
from steelyard.report.vocabulary import DASH, in_words, listed, metric_of, number

Json = dict[str, Any]
SCRIPTS = ("base.js", "model.js")
SHOWN = (
    "balanced_accuracy", "auprc", "auroc", "macro_f1", "g_mean", "mcc", "accuracy", "worst_recall", "brier", "log_loss", "ece",
)  # fmt: skip
"""Metrics of the table of test scores, in order."""
MOST_CLASSES = 30
"""Classes that the confusion matrix and the table of classes show; of more, the smallest."""


def write_model_report(folder: Path) -> Path:
    """Write FOLDER/report.html from the fit.json that `steelyard fit` left there.

    Raises:
        DataError: there is no readable fit.json.
        SteelyardError: the page cannot be written.
    """
    facts = read_facts(folder)
    return write_page(Path(folder) / "report.html", render("model.html", SCRIPTS, context(facts)))


def read_facts(folder: Path) -> Json:
    """What `steelyard fit` noted about the model in a folder.

    Raises:
        DataError: missing or not JSON.
    """
    path = Path(folder) / "fit.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"there is no {path}: fit a model into {folder} with `steelyard fit`") from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path} ({error}): fit the model again") from None
    if not isinstance(found, dict):
        raise DataError(f"cannot read {path} (it holds no JSON object): fit the model again")
    return found


def context(facts: Json) -> Json:
    """What the template shows, numbers as text; the scripts get the numbers."""
    test = facts["test"]
    shown = SHOWN if facts["metric"] in SHOWN else (facts["metric"], *SHOWN)
    return {
        "title": facts["name"],
        "verdict": verdict(facts),
        "trust": trust(facts),
        "facts": headline_facts(facts),
        "scores": [_score(name, test) for name in shown if number(test["metrics"].get(name)) is not None],
        "classes": _classes(facts),
        "cut": len(facts["data"]["class_names"]) > MOST_CLASSES,
        "candidates": [_candidate(entry, facts["metric"]) for entry in facts["candidates"]],
        "metric": metric_of(facts["metric"]),
        "decision": facts["decision"]["words"],
        "columns": [_column(column) for column in facts["data"]["columns"]],
        "notes": facts["data"]["notes"],
        "command": facts["command"],
        "predict": facts["predict"],
        "settings": [(title, [(key, _plain(value)) for key, value in values.items()]) for title, values in _settings(facts)],
        "alerts": [_alert(entry) for entry in facts["alerts"]],
        "positive": positive(facts),
        "has": {
            "curve": bool(facts["precision_recall"]),
            "importance": bool(facts["importance"]),
            "confusion": True,
            "candidates": len(facts["candidates"]) > 1,
        },
        "rows": sum(test["per_class"]["support"]),
        "data": _payload(facts),
        "dash": DASH,
    }


def positive(facts: Json) -> str | None:
    """Of two classes, the name of the rarer one."""
    names, counts = facts["data"]["class_names"], facts["data"]["counts"]["train"]
    return str(names[rare(counts)]) if len(names) == 2 else None


def rare(counts: list[int]) -> int:
    """The smallest class; of two equal ones the second."""
    return min(range(len(counts)), key=lambda c: (counts[c], -c))


def verdict(facts: Json) -> str:
    """What the model does on rows that it has not seen, in one sentence."""
    test, names = facts["test"], facts["data"]["class_names"]
    rows = int(sum(test["per_class"]["support"]))
    metric = metric_of(facts["metric"])
    value = metric.text(number(test["metrics"].get(facts["metric"])))
    score = f"{in_words(metric)} {value}{metric.unit}{_interval(facts['metric'], test)}"
    absent = [f"'{name}'" for name, n in zip(names, test["per_class"]["support"], strict=True) if not n]
    judged = f"{rows:,} test rows"
    if absent:
        judged += f", none of them of {listed(absent)}, which is not judged"
    elif len(names) > 2:
        judged += f" of {len(names)} classes"
    if len(names) == 2:
        one = rare(facts["data"]["counts"]["train"])
        recall, precision = (number(test["per_class"][kind][one]) for kind in ("recall", "precision"))
        if recall is not None:
            right = f"; {_percent(precision)} of those it names are right" if precision is not None else "; it names no row"
            return f"Finds {_percent(recall)} of '{names[one]}'{right}. On {judged}: {score}."
    worst = number(test["metrics"].get("worst_recall"))
    tail = f"; the worst class has a recall of {_percent(worst)}" if worst is not None else ""
    return f"On {judged}: {score}{tail}."


def trust(facts: Json) -> str:
    """Where the model comes from, and whether its probabilities can be taken at their word."""
    method, ece = facts["method"]["name"], number(facts["test"]["metrics"].get("ece"))
    tried = len(facts["candidates"])
    chosen = f"Method {method}, chosen among {tried} on training rows alone" if tried > 1 else f"Method {method}"
    honest = f"; its probabilities are off by {_percent(ece)} on average (calibration error)" if ece is not None else ""
    return f"{chosen}{honest}. No test row took part in training, calibration or the choice of the decision."


def headline_facts(facts: Json) -> list[tuple[str, str]]:
    """The grid under the headline."""
    data = facts["data"]
    counts = data["counts"]["train"]
    seen = [n for n in counts if n]
    rows = ", ".join(f"{n:,} {split}" for split, n in data["rows"].items())
    found = [
        ("Rows", rows),
        ("Split", data["split"]),
        ("Target", f"{data['target']}: {len(counts)} classes"),
        ("Imbalance factor", f"{max(seen) / min(seen):,.4g} to 1"),
    ]
    name = positive(facts)
    if name is not None:
        found.append(("Rarer class", f"{name}, {100 * min(counts) / sum(counts):.3g} % of the training rows"))
    found += [
        ("Features", f"{sum(1 for column in data['columns'] if column['used'])} of {len(data['columns'])} columns"),
        ("Members", str(facts["members"])),
        ("Decision", facts["decision"]["words"]),
    ]
    return found


def _score(name: str, test: Json) -> Json:
    metric = metric_of(name)
    return {
        "label": metric.label,
        "meaning": metric.meaning,
        "value": metric.text(number(test["metrics"][name])) + metric.unit,
        "interval": _interval(name, test).strip(" ()").removeprefix("95 % interval "),
    }


def _interval(name: str, test: Json) -> str:
    metric = metric_of(name)
    low, high = (number(value) for value in test["intervals"].get(name, (None, None)))
    return "" if low is None or high is None else f" (95 % interval {metric.text(low)} to {metric.text(high)})"


def _classes(facts: Json) -> list[Json]:
    """A line a class, the smallest first."""
    names, counts, test = facts["data"]["class_names"], facts["data"]["counts"]["train"], facts["test"]["per_class"]
    order = sorted(range(len(names)), key=lambda c: counts[c])[:MOST_CLASSES]
    lines = []
    for c in order:
        low, high = number(test["recall_low"][c]), number(test["recall_high"][c])
        span = f" ({100 * low:.1f} to {100 * high:.1f})" if low is not None and high is not None else ""
        lines.append(
            {
                "name": names[c],
                "train": f"{counts[c]:,}",
                "test": f"{int(test['support'][c]):,}",
                "recall": _percent(number(test["recall"][c])) + span,
                "precision": _percent(number(test["precision"][c])),
                "threshold": _threshold(facts, c),
            }
        )
    return lines


def _threshold(facts: Json, label: int) -> str:
    thresholds = facts["decision"]["thresholds"]
    return DASH if thresholds is None else f"{thresholds[label]:.4g}"


def _candidate(entry: Json, metric: str) -> Json:
    shown = metric_of(metric)
    low, high = number(entry.get("low")), number(entry.get("high"))
    return {
        "method": entry["method"],
        "score": shown.text(number(entry.get("score"))),
        "interval": f"{shown.text(low)} to {shown.text(high)}" if low is not None and high is not None else DASH,
        "seconds": f"{entry['seconds']:.1f} s" if number(entry.get("seconds")) is not None else DASH,
        "note": str(entry.get("note") or ""),
        "chosen": bool(entry.get("chosen")),
    }


def _column(column: Json) -> Json:
    share = number(column.get("missing")) or 0.0
    return {
        "name": column["name"],
        "kind": column["kind"],
        "missing": _percent(share) if share else "none",
        "use": "used" if column["used"] else "left out",
        "note": str(column.get("note") or ""),
    }


def _alert(entry: Json) -> Json:
    return {
        "share": _percent(number(entry["share"])),
        "rows": f"{int(entry['rows']):,}",
        "threshold": f"{entry['threshold']:.4g}",
        "recall": _percent(number(entry["recall"])),
        "precision": _percent(number(entry["precision"])),
    }


def _settings(facts: Json) -> list[tuple[str, Json]]:
    titled = [
        ("Method", {key: value for key, value in facts["method"].items() if value}),
        ("Regime", facts["regime"]),
        ("Network", facts["network"]),
        ("Calibration", facts["calibration"]),
        ("Versions", facts["versions"]),
    ]
    return [(title, values) for title, values in titled if values]


def _payload(facts: Json) -> Json:
    """What the scripts draw. `methods`, `shown` and `epoch` are what the shared scripts expect of any page."""
    names = facts["data"]["class_names"]
    counts = facts["data"]["counts"]["train"]
    order = sorted(range(len(names)), key=lambda c: -counts[c])[-MOST_CLASSES:]
    table = facts["test"]["confusion"]
    return {
        "methods": [],
        "shown": [],
        "epoch": "last",
        "classes": [str(names[c]) for c in order],
        "confusion": [[table[c][d] for d in order] for c in order],
        "supports": [int(sum(table[c])) for c in order],
        "reliability": facts["test"]["reliability"],
        "curve": facts["precision_recall"],
        "prevalence": facts.get("prevalence"),
        "importance": facts["importance"],
        "importanceMetric": metric_of(facts["importance_metric"]).label if facts["importance"] else "",
        "positive": positive(facts),
    }


def _percent(value: float | None) -> str:
    if value is None:
        return DASH
    return f"{100 * value:.1f} %" if value == 0 or value >= 0.001 else f"{100 * value:.2g} %"


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)
