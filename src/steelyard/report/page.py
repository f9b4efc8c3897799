"""Write the report: one HTML file with everything inside it."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from steelyard.report.board import board, cut_anywhere, epochs_of
from steelyard.report.figures import figures
from steelyard.report.html import render, write_page
from steelyard.report.payload import minority, payload
from steelyard.report.store import Comparison, Json, mapping, read
from steelyard.report.verdict import epoch_of, facts, verdict
from steelyard.report.vocabulary import DASH, listed, metric_of

SCRIPTS = ("base.js", "table.js", "plots.js", "weights.js", "figures.js", "clouds.js", "matrices.js")


def write_report(out: Path) -> Path:
    """Write OUT/report.html from what a comparison stored in OUT, finished or not.

    The page holds its data, styles, scripts and plotting library: it makes no request, and opens from a disk, a mail or
    a web server alike. It replaces an older report in one step.

    Args:
        out: the folder that `steelyard compare --out` wrote.

    Returns:
        The path of the page.

    Raises:
        DataError: there is no readable comparison.json in `out`.
        SteelyardError: the page cannot be written there.

    Example:
        >>> import json, tempfile
        >>> out = Path(tempfile.mkdtemp())
        >>> _ = (out / "comparison.json").write_text(json.dumps({"name": "empty", "methods": [], "seeds": []}))
        >>> write_report(out).name
        'report.html'
    """
    out = Path(out)
    return write_page(out / "report.html", render("page.html", SCRIPTS, context(read(out))))


def context(comparison: Comparison) -> Json:
    """What the template shows besides the plots."""
    data = payload(comparison)
    data["figures"], undrawn = figures(comparison.runs)
    epochs = epochs_of(comparison.leaderboard)
    about = comparison.about
    headline, trust = verdict(comparison)
    over_rows = comparison.leaderboard.get("intervals_over") == "rows"
    return {
        "title": str(about.get("name") or about["data"].get("name") or "comparison"),
        "verdict": headline,
        "trust": trust,
        "facts": facts(comparison),
        "boards": [board(comparison.leaderboard, epoch) for epoch in epochs],
        "epoch": data["epoch"],
        "judged": epoch_of(comparison),
        "metric": metric_of(data["metric"]),
        "rule": str(about["groups"].get("rule") or comparison.leaderboard.get("groups_rule") or "not stated"),
        "group_sizes": {name: len(members) for name, members in data["groups"].items()},
        "cut": cut_anywhere(comparison.leaderboard),
        "over_rows": over_rows,
        "interval": _interval(len(about["seeds"]), over_rows),
        "methods": [_described(method) for method in about["methods"]],
        "looks": {method["name"]: method for method in data["methods"]},
        "shown": data["shown"],
        "seeds": len(about["seeds"]),
        "missing": _missing(comparison),
        "total": len(comparison.methods) * len(about["seeds"]),
        "finished": len(comparison.runs),
        "notes": [*_notes(comparison), *undrawn],
        "warnings": _warnings(comparison),
        "command": str(about.get("command") or ""),
        "settings": _settings(comparison),
        "minority": minority(comparison),
        "binary": _binary(comparison, data),
        "has": _present(data),
        "data": data,
        "dash": DASH,
    }


def _interval(seeds: int, over_rows: bool) -> str:
    """What the error bars of the plots are, in a caption."""
    if over_rows:
        return "Thin lines: 95 % interval over the test rows of the one run; one seed has none over seeds."
    return f"Thin lines: 95 % interval over {seeds} seeds." if seeds > 1 else "One seed: no interval."


def _described(method: Json) -> Json:
    """A method's entry with every key that the template shows."""
    words = {str(word): _plain(value) for word, value in mapping(method.get("words")).items()}
    texts = {key: str(method.get(key) or "") for key in ("name", "summary", "source")}
    return {**texts, "words": words, "control": bool(method.get("control"))}


def _present(data: Json) -> dict[str, bool]:
    """Which plots have anything to draw."""
    methods = data["methods"]
    groups = [name for name in ("many_recall", "medium_recall", "few_recall") if name in data["metrics"]]
    return {
        "sizes": bool(data["counts"]),
        "classes": any(method["perClass"] for method in methods),
        "groups": bool(groups),
        "cost": any(value is not None for value in data["cost"].values()),
        "curves": any(method["curves"] for method in methods),
        "weights": any(method["weights"] for method in methods),
        "classWeights": any(method["classWeights"] for method in methods),
        "learned": any(method["learned"] for method in methods),
        "confusion": any(method["confusion"] for method in methods),
        "reliability": any(method["reliability"] for method in methods),
    }


def _missing(comparison: Comparison) -> list[str]:
    """Unfinished runs, a line a method."""
    seeds: dict[str, list[int]] = defaultdict(list)
    for method, seed in comparison.missing:
        seeds[method].append(seed)
    return [f"{method}: seed{'s' * (len(s) > 1)} {listed([str(x) for x in s], 8)}" for method, s in seeds.items()]


def _notes(comparison: Comparison) -> list[str]:
    found = [*comparison.notes]
    about = comparison.about
    for source in (comparison.leaderboard.get("notes"), about.get("notes"), about["data"].get("notes")):
        found += [str(note) for note in source] if isinstance(source, list) else []
    # The rule of the groups stands below the table.
    rule = f"many / medium / few: {about['groups'].get('rule')}"
    return [note for note in dict.fromkeys(found) if note != rule]


def _warnings(comparison: Comparison) -> list[tuple[str, str]]:
    """Warnings of the runs, each once, with the runs that gave it."""
    where: dict[str, list[str]] = defaultdict(list)
    for run in comparison.runs:
        stored = run.result.get("warnings")
        for text in stored if isinstance(stored, list) else []:
            where[str(text)].append(f"{run.method} (seed {run.seed})")
    return [(text, listed(runs)) for text, runs in where.items()]


def _settings(comparison: Comparison) -> list[tuple[str, list[tuple[str, str]]]]:
    """Everything needed to run it again, as titled lists."""
    about = comparison.about
    machine = {
        name: about.get(name) for name in ("device", "jobs", "threads", "git_commit") if about.get(name) not in (None, "")
    }
    data = {key: value for key, value in about["data"].items() if key not in ("class_names", "counts", "notes", "rows")}
    titled: list[tuple[str, dict[str, Any]]] = [
        ("Regime", about["regime"]),
        ("Data", data),
        ("Problem", _problem(comparison)),
        ("Model", about["model"]),
        ("Machine", machine),
        ("Versions", {**about["versions"], "report written with Python": sys.version.split()[0]}),
    ]
    return [(title, [(str(k).replace("_", " "), _plain(v)) for k, v in values.items()]) for title, values in titled if values]


def _problem(comparison: Comparison) -> dict[str, Any]:
    """How the data were made and split, as the runs noted it; what was left at nothing is left out."""
    noted = mapping(comparison.runs[0].result.get("settings")) if comparison.runs else {}
    chosen = {key.removeprefix("problem."): value for key, value in noted.items() if key.startswith("problem.")}
    return {key: value for key, value in chosen.items() if value not in (None, "", "[]", "{}")}


def _plain(value: Any) -> str:
    """A setting in words."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return listed([_plain(item) for item in value], 12)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)


def _binary(comparison: Comparison, data: Json) -> list[Json]:
    """For two classes: what a precision-recall reader looks for, a row a method."""
    if len(comparison.counts) != 2:
        return []
    rare = 0 if comparison.counts[0] < comparison.counts[1] else 1
    rows = []
    for method in data["methods"]:
        stored = data["board"].get(data["epoch"], {})
        row: Json = {"name": method["name"], "light": method["light"], "dark": method["dark"], "control": method["control"]}
        for name in ("auprc", "auroc"):
            mean, low, high = stored.get(name, {}).get(method["name"], (None, None, None))
            row[name] = metric_of(name).text(mean)
            if low is not None and high is not None:
                row[name] += f" ({metric_of(name).text(low)} to {metric_of(name).text(high)})"
        for kind in ("recall", "precision", "f1"):
            values = method["perClass"].get(kind)
            row[kind] = metric_of("accuracy").text(values[rare] if values else None)
        if method["runs"]:
            rows.append(row)
    return rows
