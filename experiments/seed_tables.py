"""Tables of methods by metrics over seeds, for experiments whose runs are numbers by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from steelyard.metrics import paired_test, t_interval

Json = dict[str, Any]
FOOT = (
    "Means in per cent with half of the 95 % interval over seeds; a star marks a paired difference to `ce` whose 95 % interval "
    "(not corrected for the number of methods) leaves out 0. Cost: processor time of a run over that of `ce`."
)


def summary(runs: Sequence[Json], methods: Sequence[str], metrics: Sequence[str]) -> list[Json]:
    """A line a method: means with 95 % intervals over seeds, and differences to plain training.

    Args:
        runs: mappings with "method", "seed", "seconds" and the metrics.
        methods: in the order of the lines; "ce" is what others are compared with.
        metrics: names.
    """
    by_method = {name: sorted((run for run in runs if run["method"] == name), key=lambda run: run["seed"]) for name in methods}
    lines = []
    for method, own in by_method.items():
        line: Json = {"method": method, "seconds": float(np.median([run["seconds"] for run in own]))}
        for metric in metrics:
            values, plain = (np.array([run[metric] for run in some]) for some in (own, by_method["ce"]))
            _, low, high = t_interval(values)
            line[metric] = {"mean": float(values.mean()), "half": float(high - low) / 2}
            if method != "ce":
                found = paired_test(values, plain)
                line[metric] |= {"difference": found.difference, "low": found.low, "high": found.high}
        lines.append(line)
    return lines


def table(lines: Sequence[Json], metrics: Sequence[str]) -> list[str]:
    """The lines as a table in Markdown."""
    plain = next(line["seconds"] for line in lines if line["method"] == "ce")
    text = ["| method | " + " | ".join(metrics) + " | cost |", "|---|" + "---|" * (len(metrics) + 1)]
    for line in lines:
        cells = [_cell(line[metric]) for metric in metrics]
        text.append(f"| `{line['method']}` | " + " | ".join(cells) + f" | {line['seconds'] / plain:.1f}x |")
    return text


def _cell(number: Json) -> str:
    star = "*" if "low" in number and (number["low"] > 0 or number["high"] < 0) else ""
    return f"{100 * number['mean']:.1f} ±{100 * number['half']:.1f}{star}"
