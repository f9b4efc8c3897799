"""How sharp is the loss of rare classes after training? Cross-entropy, density ratios, sharpness-aware minimisation, and both.

Digits with a long tail, three seeds, one recipe; the Hessian of each of the three rarest classes' mean loss on its training
rows, in evaluation mode and without augmentation::

    python experiments/curvature.py              # some three minutes on one core
    python experiments/curvature.py --seeds 1

The table is the one of the RDR paper (NeurIPS 2024, Table 3, CIFAR-10-LT), on data and a network of another size: compare rows,
not numbers. Writes `experiments/results/curvature.json` and `curvature.md`. Needs `steelyard[diagnosis]`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t
from torch import nn

import steelyard as sy
from steelyard.core.measure import predict_logits, recall_of
from steelyard.core.regime import Regime
from steelyard.core.task import Part, Task
from steelyard.diagnosis import Effort, curvature
from steelyard.losses import CrossEntropy
from steelyard.problems import load
from steelyard.settings import resolve_regime

HERE = Path(__file__).parent
METHODS = {"ce": "CE", "rdr": "RDR", "sam": "SAM", "rdr+sam": "RDR+SAM"}
GROUPS = "index:3,7"
"""Few are the last three of ten classes, as in the paper."""

PAPER = {
    "ce": (-76.24, 110.78, 286.84), "rdr": (-38.73, 45.95, 126.96),
    "sam": (-14.42, 74.82, 242.86), "rdr+sam": (-13.33, 25.36, 82.57),
}  # fmt: skip
"""Means over Few classes in the paper: smallest and largest eigenvalue, trace."""

KEPT = ("name", "rows", "lambda_min", "lambda_max", "trace", "intervals", "converged")
COLUMNS = {
    "lambda_min": "λ min",
    "lambda_max": "λ max",
    "trace": "trace",
    "scaled": "λ max · ‖θ‖²",
    "loss": "loss",
    "few_recall": "Few recall (test)",
}


def few_rows(task: Task) -> Part:
    """The training rows of the rarest classes."""
    source = task.splits["train"]
    return Part(source, (source.target >= 7).nonzero().flatten())


def measured(task: Task, model: nn.Module) -> dict[str, Any]:
    """Curvature of the rare classes in a trained model, and their recall on test rows."""
    found = curvature(
        model,
        CrossEntropy(),
        few_rows(task),
        task=task,
        class_counts=task.counts,
        groups=GROUPS,
        effort=Effort(steps=40, starts=2),
    )
    mean = found.mean("few")
    logits, target = predict_logits(task, model, task.splits["test"])
    recall, _ = recall_of(logits.argmax(1), target, task.num_classes)
    return {
        **{name: mean[name] for name in ("lambda_min", "lambda_max", "trace")},
        "intervals": mean["intervals"],
        "scaled": mean["lambda_max"] * found.parameter_norm**2,
        "loss": float(np.mean([part.loss for part in found.parts])),
        "few_recall": 100 * float(recall[7:].mean()),
        "converged": found.converged,
        "classes": [{name: one[name] for name in KEPT} for one in found.to_dict()["parts"]],
        "parameters": found.parameters,
    }  # fmt: skip


def run(seeds: int, recipe: Regime) -> dict[str, list[dict[str, Any]]]:
    """Every method with every seed."""
    found: dict[str, list[dict[str, Any]]] = {method: [] for method in METHODS}
    for seed in range(seeds):
        task = load("digits", factor=50.0, seed=seed)
        for method in METHODS:
            model = sy.fit(task, method=method, regime=recipe, seed=seed).model
            found[method].append(measured(task, model))
            print(
                f"{method}, seed {seed}: " + ", ".join(f"{name} {found[method][-1][name]:.4g}" for name in COLUMNS), flush=True
            )
    return found


def summary(values: list[float]) -> dict[str, float]:
    """Mean over seeds and the half width of its 95 % interval."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return {"mean": float(np.mean(values)), "half": spread / len(values) ** 0.5 * float(t.ppf(0.975, max(len(values) - 1, 1)))}


def page(found: dict[str, Any]) -> str:
    """The tables."""
    lines = [
        "# Curvature of rare classes",
        "",
        f"{found['data']}; {found['parameters']:,} parameters; {found['seeds']} seeds, mean ± 95 % interval over seeds. "
        f"Means over the three rarest classes, each by itself, on their training rows. Written by `{found['command']}`.",
        "",
        "| method | " + " | ".join(COLUMNS.values()) + " |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    for method, name in METHODS.items():
        cells = [f"{one['mean']:.3g} ± {one['half']:.2g}" for one in found["methods"][method]["summary"].values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "Beside it the paper's numbers (CIFAR-10-LT, imbalance factor 100, means over Few classes):", ""]
    lines += ["| method | λ min | λ max | trace |", "|---|---|---|---|"]
    lines += [
        f"| {METHODS[method]} | " + " | ".join(f"{value:.2f}" for value in values) + " |" for method, values in PAPER.items()
    ]
    return "\n".join([*lines, ""])


def main(arguments: list[str] | None = None) -> int:
    """Run it; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="3 unless said")
    parser.add_argument("--epochs", type=int, default=40, help="40 unless said")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the results")
    asked = parser.parse_args(arguments)
    if min(asked.seeds, asked.epochs) < 1:
        parser.error("--seeds and --epochs should be at least 1")
    runs = run(asked.seeds, resolve_regime("digits", epochs=asked.epochs))
    counts = load("digits", factor=50.0).counts.tolist()
    found = {
        "command": f"python experiments/curvature.py --seeds {asked.seeds} --epochs {asked.epochs}",
        "data": f"digits, training rows {', '.join(map(str, counts))}",
        "seeds": asked.seeds,
        "parameters": runs["ce"][0]["parameters"],
        "methods": {
            method: {"summary": {name: summary([one[name] for one in done]) for name in COLUMNS}, "runs": done}
            for method, done in runs.items()
        },
        "paper": {
            method: dict(zip(("lambda_min", "lambda_max", "trace"), values, strict=True)) for method, values in PAPER.items()
        },
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    plain = json.loads(json.dumps(found), parse_float=lambda text: float(f"{float(text):.6g}"), parse_constant=lambda _: None)
    (asked.out / "curvature.json").write_text(json.dumps(plain, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (asked.out / "curvature.md").write_text(page(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
