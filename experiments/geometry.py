"""Which geometry do classifier and embeddings end in? Theory, the unconstrained-features model and a network, ridge on and off.

Half of ten classes have ten times as many rows as the other half::

    python experiments/geometry.py               # about a minute and a half on one core
    python experiments/geometry.py --epochs 1000 # the network for longer

1. The exact solution of the unconstrained-features model, from the ridge at which minorities collapse down to none at all.
2. The model trained: to its optimum with a ridge, and by gradient descent with and without one.
3. A small network trained to zero training error on digits, with weight decay and without.

Distances are of Gram matrices scaled to norm 1, from 0 to sqrt(2). Writes `experiments/results/geometry.json`, `geometry.md`
and the figure `geometry.svg`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import steelyard as sy
from geometry_report import write
from steelyard.core.regime import Regime
from steelyard.core.task import Task
from steelyard.diagnosis import (
    GeometryTrajectory,
    Grams,
    collapse_ridge,
    descend_unconstrained,
    etf,
    gram_distance,
    seli,
    train_unconstrained,
    unconstrained_step,
)
from steelyard.problems import load

HERE = Path(__file__).parent
RATIO = 10
COUNTS = [RATIO * 10] * 5 + [10] * 5
SHARES = (1.5, 1.0, 0.5, 0.1, 1e-2, 1e-3, 1e-6, 1e-12, 1e-100)
"""Ridges over the one at which minorities collapse."""

TRAINED = (0.8, 0.5, 0.1, 1e-2)
STEPS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
DECAYS = (0.0, 5e-4, 5e-3)
SHOWN = (
    "error", "train_loss", "nc1", "nc3", "nc4", "classifier_to_seli", "classifier_to_etf", "means_to_seli", "means_to_etf",
    "product_to_seli", "classifier_few_cosine", "classifier_many_to_few", "means_many_to_few",
)  # fmt: skip


def distances(grams: Grams, counts: list[int]) -> dict[str, float]:
    """Of classifier and means from SELI and from the ETF, and what minority collapse shows in."""
    limit, even = seli(counts), etf(len(counts))
    lengths = np.sqrt(np.diag(grams.classifier))
    return {
        "classifier_to_seli": gram_distance(grams.classifier, limit.classifier),
        "means_to_seli": gram_distance(grams.means, limit.means),
        "classifier_to_etf": gram_distance(grams.classifier, even.classifier),
        "means_to_etf": gram_distance(grams.means, even.means),
        "classifier_few_cosine": float(grams.classifier[-1, -2] / lengths[-1] / lengths[-2]),
        "classifier_many_to_few": float(lengths[0] / lengths[-1]),
    }


def exact() -> list[dict[str, Any]]:
    """The exact solution at ridges from collapse down to the limit."""
    least = float(np.log(collapse_ridge(COUNTS).min()))
    found = [
        {"share": share, **distances(unconstrained_step(COUNTS, log_ridge=least + np.log(share)).grams, COUNTS)}
        for share in SHARES
    ]
    return [*found, {"share": 0.0, **distances(seli(COUNTS), COUNTS)}]


def trained() -> list[dict[str, Any]]:
    """Trained from a random start to the optimum: every row has an embedding of its own."""
    found = []
    for share in TRAINED:
        ridge = share * float(collapse_ridge(COUNTS).min())
        state, truth = train_unconstrained(COUNTS, ridge), unconstrained_step(COUNTS, ridge)
        found.append({
            "share": share,
            "objective_less_exact": state.objective - truth.objective,
            "classifier_to_exact": gram_distance(state.grams.classifier, truth.grams.classifier),
            "means_to_exact": gram_distance(state.grams.means, truth.grams.means),
            **distances(state.grams, COUNTS),
        })  # fmt: skip
    return found


def descended() -> list[dict[str, Any]]:
    """Gradient descent with a ridge and without."""
    least = float(collapse_ridge(COUNTS).min())
    return [
        {"share": share, "steps": steps, "loss": state.loss, **distances(state.grams, COUNTS)}
        for share in (0.0, 0.1)
        for steps, state in descend_unconstrained(COUNTS, share * least, at=STEPS, shared=True)
    ]


def network() -> nn.Module:
    """Four hidden layers, then a linear layer to 32 features of either sign, and a classifier without bias."""
    layers: list[nn.Module] = [nn.Flatten()]
    for width in (64, 256, 256, 256):
        layers += [nn.Linear(width, 256), nn.BatchNorm1d(256), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(256, 32, bias=False), nn.Linear(32, 10, bias=False))


def digits() -> Task:
    """Digits, all of what is left for training, with a step."""
    return load("digits", factor=float(RATIO), profile="step", valid_fraction=0.0, model=network)


def networks(epochs: int) -> list[dict[str, Any]]:
    """A network with each weight decay, measured on its training rows over training."""
    found = []
    for decay in DECAYS:
        task = digits()
        listener = GeometryTrajectory(task, every=max(epochs // 15, 1))
        recipe = Regime(epochs=epochs, batch_size=128, lr=0.05, weight_decay=decay)
        sy.fit(task, method="ce", regime=recipe, listeners=[listener])
        points = [{"epoch": point["epoch"], **{name: point[name] for name in SHOWN}} for point in listener.points]
        found.append({"weight_decay": decay, "class_counts": task.counts.tolist(), "points": points})
        print(f"network, weight decay {decay:g}: error {points[-1]['error']:.3f} on the training rows", flush=True)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run it; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=300, help="of the network, 300 unless said")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the results")
    asked = parser.parse_args(arguments)
    if asked.epochs < 1:
        parser.error("--epochs should be at least 1")
    found = {
        "command": f"python experiments/geometry.py --epochs {asked.epochs}",
        "class_counts": COUNTS,
        "collapse_ridge": float(collapse_ridge(COUNTS).min()),
        "exact": exact(),
        "trained": trained(),
        "descent": descended(),
        "networks": networks(asked.epochs),
    }
    write(asked.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
