"""Cost of the training loop against a loop written by hand: the same model, optimiser, batches and number of steps.

Prints the ratio of medians over interleaved repetitions and writes it as JSON::

    python benchmarks/loop.py [--repeats 7] [--out benchmarks/results/loop.json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import Task, TaskView


class Rows:
    """Tensors in memory as a split."""

    def __init__(self, inputs: Tensor, target: Tensor) -> None:
        self.inputs, self.target = inputs, target

    def __len__(self) -> int:
        return len(self.target)

    def to(self, device: torch.device) -> Rows:
        return self

    def stream(self, batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Any]]:
        for index in batches:
            yield index, self.inputs[index]


class Bench(Task):
    """A task around a model factory."""

    def __init__(self, rows: Rows, classes: int, build: Callable[[], nn.Module]) -> None:
        super().__init__("bench", [str(c) for c in range(classes)], {"train": rows})
        self.build = build

    def model(self) -> nn.Module:
        return self.build()


def plain_ce(task: TaskView) -> Steps:
    """Cross-entropy."""
    yield Stage()


def by_hand(rows: Rows, model: nn.Module, regime: Regime) -> float:
    """The loop that one would write; returns seconds."""
    optimizer = torch.optim.SGD(model.parameters(), lr=regime.lr, momentum=regime.momentum, weight_decay=regime.weight_decay)
    steps = regime.epochs * -(-len(rows) // regime.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    started = time.perf_counter()
    for _ in range(regime.epochs):
        for index in torch.randperm(len(rows)).split(regime.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(model(rows.inputs[index]), rows.target[index]).backward()
            optimizer.step()
            schedule.step()
    return time.perf_counter() - started


def mlp_case() -> tuple[Rows, int, Callable[[], nn.Module], Regime]:
    """A small table: 6,400 rows, 32 columns, MLP 32-128-128-10, batch 128."""
    rows = Rows(torch.randn(6400, 32), torch.randint(0, 10, (6400,)))
    build = lambda: nn.Sequential(  # noqa: E731
        nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    return rows, 10, build, Regime(epochs=10, batch_size=128, lr=0.05)


def resnet_case() -> tuple[Rows, int, Callable[[], nn.Module], Regime]:
    """CIFAR-sized images through ResNet-32, batch 128."""
    from steelyard.nets.resnet32 import ResNet32

    rows = Rows(torch.randn(1536, 3, 32, 32), torch.randint(0, 10, (1536,)))
    return rows, 10, lambda: ResNet32(10), Regime(epochs=1, batch_size=128, lr=0.05)


def compare(case: tuple[Rows, int, Callable[[], nn.Module], Regime], repeats: int) -> dict[str, float]:
    """Median ratio of the loop to the loop by hand, the two interleaved."""
    rows, classes, build, regime = case
    ratios, ours, theirs = [], [], []
    for repeat in range(repeats + 1):
        hand = by_hand(rows, build(), regime)
        loop = fit(Bench(rows, classes, build), plain_ce, regime, device="cpu").seconds
        if repeat:  # the first is a warm-up
            ratios.append(loop / hand)
            ours.append(loop)
            theirs.append(hand)
    return {
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "loop_seconds": statistics.median(ours),
        "hand_seconds": statistics.median(theirs),
    }


def main() -> None:
    """Run both cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/loop.json"))
    parser.add_argument("--cases", default="mlp,resnet32")
    options = parser.parse_args()
    cases = {"mlp": (mlp_case, 1.25), "resnet32": (resnet_case, 1.03)}
    results: dict[str, Any] = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    for name in options.cases.split(","):
        make, target = cases[name]
        result = compare(make(), options.repeats)
        results[name] = result | {"target": target}
        spread = f"from {result['ratio_min']:.3f} to {result['ratio_max']:.3f}"
        print(f"{name:10s} {result['ratio']:.3f}x ({spread}; target <= {target}x)")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
