"""Leaf or wood: does the rebalanced loss find more wood than a plain model whose threshold is moved?

A small PointNet++ is trained on the synthetic forest (`steelyard compare trees`) by each method; a seed draws which trees are
held out, the initial weights and the order. Beside the methods stand two controls that cost nothing: the plain model with its
scores shifted by the log-prior, and with the threshold that has the best G-mean on the validation trees::

    python experiments/points.py --seeds 3 --epochs 12

Positive is leaf: specificity is the recall of wood. Each training is noted in `--out` when it ends: stopped, the command goes
on where it was. Writes `points.json` and `points.md` to `experiments/results`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from steelyard.core.fit import Fitted, fit
from steelyard.core.measure import predict_proba
from steelyard.core.task import Task
from steelyard.data.clouds import forest
from steelyard.problems import load
from steelyard.regimes.points import points as regime_of_points
from steelyard.settings import resolve_method
from steelyard.tasks.points.numbers import NUMBERS, numbers_of

HERE = Path(__file__).parent
METHODS = ("ce", "la", "inverse-frequency", "focal(gamma=2)", "soul", "soul(subsample=false)")
SHIFTED, MOVED = "ce, shifted by the log-prior (posthoc-la)", "ce, threshold from the validation trees"
WORDS = {
    "specificity": "wood recall", "recall": "leaf recall", "g_mean": "G-mean", "mcc": "MCC", "auroc": "AUROC",
}  # fmt: skip
Json = dict[str, Any]


def by_threshold(proba: np.ndarray, threshold: float) -> np.ndarray:
    """Probabilities that are decided at one half as `proba[:, 1]` is at the threshold; their order is kept."""
    odds = proba / np.array([1 - threshold, threshold])
    return odds / odds.sum(1, keepdims=True)


def best_threshold(proba: np.ndarray, target: np.ndarray) -> float:
    """Threshold on the probability of class 1 with the highest G-mean."""
    candidates = np.unique(np.quantile(proba[:, 1], np.linspace(0.005, 0.995, 199)))
    candidates = candidates[(candidates > 0) & (candidates < 1)]
    return float(max(candidates, key=lambda t: numbers_of(by_threshold(proba, t), target, 1)["g_mean"]))


def judged(task: Task, fitted: Fitted, method: str) -> dict[str, Json]:
    """Numbers on the test trees; of the plain model also under the two controls."""
    proba, target = predict_proba(task, fitted.model, "test", "cpu")
    found = {method: numbers_of(proba, target, 1)}
    if method == "ce":
        prior = (task.counts.double() / task.counts.sum()).numpy()
        shifted = proba / prior
        found[SHIFTED] = numbers_of(shifted / shifted.sum(1, keepdims=True), target, 1)
        threshold = best_threshold(*predict_proba(task, fitted.model, "valid", "cpu"))
        found[MOVED] = numbers_of(by_threshold(proba, threshold), target, 1)
    return found


def run(method: str, seed: int, epochs: int, data: Any) -> Json:
    """One training and its numbers."""
    task = load(data, task="points(classes=(1:wood,2:leaf,0:ground))", seed=seed, valid_fraction=0.2)
    started = time.process_time()
    fitted = fit(task, resolve_method(method), regime_of_points(epochs=epochs), seed=seed, device="cpu")
    return {
        "method": method,
        "seed": seed,
        "epochs": epochs,
        "counts": task.describe()["counts"],
        "numbers": judged(task, fitted, method),
        "cpu_seconds": time.process_time() - started,
    }


def table(lines: list[Json], methods: list[str]) -> Json:
    """Mean and standard deviation of each number by method, and the paired differences from the moved threshold."""
    seeds = sorted({line["seed"] for line in lines})
    known = {(name, line["seed"]): numbers for line in lines for name, numbers in line["numbers"].items()}
    order = [name for method in methods for name in ([method, SHIFTED, MOVED] if method == "ce" else [method])]
    rows = []
    for name in order:
        there = [seed for seed in seeds if (name, seed) in known]
        if not there:
            continue
        values = {number: [known[name, seed][number] for seed in there] for number in NUMBERS}
        row: Json = {"method": name, "seeds": there, "values": values}
        row["mean"] = {number: float(np.mean(v)) for number, v in values.items()}
        row["sd"] = {number: float(np.std(v, ddof=1)) if len(v) > 1 else None for number, v in values.items()}
        paired = [seed for seed in there if (SHIFTED, seed) in known]
        row["versus_shifted"] = {n: [known[name, s][n] - known[SHIFTED, s][n] for s in paired] for n in ("g_mean", "auroc")}
        rows.append(row)
    return {"seeds": seeds, "rows": rows}


def markdown(found: Json, command: str, counts: Json) -> str:
    """The table as a page."""
    lines = [
        f"`{command}`: {len(found['seeds'])} seeds; training points {counts['train'][0]} wood and {counts['train'][1]} leaf "
        "with the first. Mean (standard deviation over seeds). Positive is leaf: specificity is wood recall.",
        "",
        "| method | " + " | ".join(WORDS.values()) + " | G-mean above the shifted plain model, by seed |",
        "|---|" + "---:|" * (len(WORDS) + 1),
    ]
    for row in found["rows"]:
        cells = [f"{row['mean'][n]:.3f}" + (f" ({row['sd'][n]:.3f})" if row["sd"][n] is not None else "") for n in WORDS]
        above = ", ".join(f"{d:+.3f}" for d in row["versus_shifted"]["g_mean"]) or "-"
        lines.append(f"| {row['method']} | {' | '.join(cells)} | {above} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Train what is left, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--methods", default=";".join(METHODS), help="separated by semicolons")
    parser.add_argument("--trees", type=int, default=16)
    parser.add_argument("--points-per-tree", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path("runs/points.jsonl"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    methods = [name.strip() for name in asked.methods.split(";")]
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    size = {"trees": asked.trees, "points_per_tree": asked.points_per_tree}
    lines = [json.loads(text) for text in asked.out.read_text().splitlines()] if asked.out.exists() else []
    lines = [line for line in lines if line["epochs"] == asked.epochs and line["size"] == size and line["seed"] < asked.seeds]
    done = {(line["method"], line["seed"]) for line in lines}
    data = forest(asked.trees, points_per_tree=asked.points_per_tree)
    for seed in range(asked.seeds):
        for method in methods:
            if (method, seed) in done:
                continue
            line = run(method, seed, asked.epochs, data) | {"size": size}
            lines.append(line)
            with asked.out.open("a", encoding="utf-8") as out:
                out.write(json.dumps(line) + "\n")
            print(f"{method} (seed {seed}): G-mean {line['numbers'][method]['g_mean']:.3f}", flush=True)
    found = table([line for line in lines if line["method"] in methods], methods)
    command = f"python experiments/points.py --seeds {asked.seeds} --epochs {asked.epochs}"
    asked.results.mkdir(parents=True, exist_ok=True)
    (asked.results / "points.json").write_text(json.dumps(found | {"command": command, "size": size}, indent=1) + "\n")
    text = markdown(found, command, lines[0]["counts"])
    (asked.results / "points.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
