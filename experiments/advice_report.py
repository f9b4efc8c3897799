"""Tables of `advice.py`: JSON and Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.diagnosis.advice import Measured, advise

KINDS = {"synthetic": "Gaussian classes", "real": "tables"}
METRICS = {"balanced_accuracy": "balanced accuracy", "accuracy": "accuracy at the class shares of the training rows"}
RESAMPLES = 4000
BEST = 2
"""A choice is good within the best two."""

Json = dict[str, Any]
Policy = Callable[[Json], str]


def write(out: Path, lines: list[Json], methods: list[str], about: Json) -> None:
    """Write `advice.json` and `advice.md`."""
    out.mkdir(parents=True, exist_ok=True)
    found = {metric: summary(lines, methods, metric) for metric in METRICS}
    kept = {"about": about, "methods": methods, "summary": found, "problems": [_problem(line, methods) for line in lines]}
    (out / "advice.json").write_text(json.dumps(_rounded(kept), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / "advice.md").write_text(_page(lines, methods, about, found), encoding="utf-8")
    print(f"wrote advice.json and advice.md to {out}")


def advised(line: Json, metric: str) -> str:
    """The first recommendation for a problem."""
    values = {key: math.nan if value is None and key != "noise" else value for key, value in line["measured"].items()}
    return advise(Measured(**values), metric=metric).methods[0].method


def score(recalls: list[float], shares: list[float], metric: str) -> float:
    """Of the recalls of each class."""
    weights = [1 / len(recalls)] * len(recalls) if metric == "balanced_accuracy" else shares
    return float(np.dot(recalls, weights))


def summary(lines: list[Json], methods: list[str], metric: str) -> Json:
    """For the advice and for each method taken always: how often within the best two, and what is lost to the best.

    A problem counts once: its splits are averaged. Equal scores share their place. Intervals: problems resampled.
    """
    policies: dict[str, Policy] = {"advice": lambda line: advised(line, metric)}
    policies |= {f"always {name}": lambda line, name=name: name for name in methods}
    found: Json = {}
    for kind in ("all", *KINDS):
        chosen = [line for line in lines if kind in ("all", line["kind"])]
        names = sorted({line["name"] for line in chosen})
        if not names:
            continue
        hits = {policy: np.zeros(len(names)) for policy in policies}
        losses = {policy: np.zeros(len(names)) for policy in policies}
        for i, name in enumerate(names):
            parts = [line for line in chosen if line["name"] == name]
            for policy, choose in policies.items():
                one = [_judge(line, choose(line), methods, metric) for line in parts]
                hits[policy][i] = np.mean([hit for hit, _ in one])
                losses[policy][i] = np.mean([loss for _, loss in one])
        draws = np.random.default_rng(0).integers(0, len(names), (RESAMPLES, len(names)))
        found[kind] = {"problems": len(names)} | {
            policy: {
                "best_two": _mean(hits[policy], draws),
                "lost": _mean(losses[policy], draws),
                "advice_less_this": _mean(hits["advice"] - hits[policy], draws),
            }
            for policy in policies
        }
    return found


def _judge(line: Json, method: str, methods: list[str], metric: str) -> tuple[bool, float]:
    """Whether a method is within the best two of a split, and how far it is from the best."""
    shares = line["shares"]
    scores = {name: score(line["recalls"][name], shares, metric) for name in methods}
    ranked = sorted(scores.values(), reverse=True)
    return scores[method] >= ranked[BEST - 1] - 1e-12, ranked[0] - scores[method]


def _mean(values: np.ndarray, draws: np.ndarray) -> list[float]:
    """Mean, and its 95 % interval."""
    low, high = np.quantile(values[draws].mean(1), (0.025, 0.975))
    return [float(values.mean()), float(low), float(high)]


def _problem(line: Json, methods: list[str]) -> Json:
    scores = {name: score(line["recalls"][name], line["shares"], "balanced_accuracy") for name in methods}
    keys = ("name", "kind", "seed", "measured")
    first = {metric: advised(line, metric) for metric in METRICS}
    return {key: line[key] for key in keys} | {"advice": first, "balanced_accuracy": scores, "recalls": line["recalls"]}


def _page(lines: list[Json], methods: list[str], about: Json, found: Mapping[str, Json]) -> str:
    splits = f"{about['draws']} draw of each synthetic problem" if about["draws"] == 1 else f"{about['draws']} draws"
    page = [
        "# Is the advice good?",
        "",
        f"Problems of the part `{about['part']}`: {splits}, {about['splits']} splits of each table. One network a training (an",
        f"MLP, about {about['steps']} steps), so the scores of close methods are within chance of each other. In brackets:",
        "95 % intervals over problems. *Best two*: how often the choice is within the best two of "
        + ", ".join(f"`{name}`" for name in methods)
        + ".",
        "*Lost*: points to the best method, on average.",
        "",
    ]
    if about["part"] == "test":
        page += ["No problem here was looked at when the rules were written; development problems are others.", ""]
    for metric, title in METRICS.items():
        page += [f"## By {title}", ""]
        for kind, numbers in found[metric].items():
            page += [f"### {'All' if kind == 'all' else KINDS[kind].capitalize()}: {numbers['problems']} problems", ""]
            page += _table(numbers)
    page += ["## Each problem, by balanced accuracy", "", *_problems(lines, methods)]
    if about["left_out"]:
        page += ["", "Left out:", "", *(f"- {name}: {why}" for name, why in about["left_out"].items())]
    return "\n".join(page) + "\n"


def _table(numbers: Json) -> list[str]:
    rows = ["| choice | best two, % | lost, points | advice is within the best two more often by |", "|---|---|---|---|"]
    for policy, one in numbers.items():
        if policy != "problems":
            more = "" if policy == "advice" else _percent(one["advice_less_this"])
            rows.append(f"| {policy} | {_percent(one['best_two'])} | {_percent(one['lost'], 1)} | {more} |")
    return [*rows, ""]


def _problems(lines: list[Json], methods: list[str]) -> list[str]:
    rows = [f"| problem | advice | {' | '.join(methods)} |", "|---|---|" + "---|" * len(methods)]
    for name in dict.fromkeys(line["name"] for line in lines):
        parts = [line for line in lines if line["name"] == name]
        scores = [np.mean([score(line["recalls"][method], [], "balanced_accuracy") for line in parts]) for method in methods]
        best = sorted(scores, reverse=True)[BEST - 1]
        shown = [f"**{100 * one:.1f}**" if one >= best else f"{100 * one:.1f}" for one in scores]
        first = ", ".join(dict.fromkeys(advised(line, "balanced_accuracy") for line in parts))
        rows.append(f"| {name} | {first} | {' | '.join(shown)} |")
    return rows


def _percent(values: list[float], digits: int = 0) -> str:
    middle, low, high = (f"{100 * value:.{digits}f}" for value in values)
    return f"{middle} ({low} to {high})"


def _rounded(value: Any) -> Any:
    """Five digits, and None for NaN."""
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value
