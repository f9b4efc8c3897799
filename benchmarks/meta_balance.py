"""Cost of a MetaBalance step as a ratio to a plain cross-entropy step, on ResNet-32 and on a small network, batch 100.

Second order with our operators (inner batch 100, and 64 as the method has it), second order with torch's own formulas, and
first order. Every step is timed between two plain ones; what counts is the median of the ratios to their mean. On a CPU that is
processor time::

    python benchmarks/meta_balance.py [--repeats 15] [--threads 1] [--out benchmarks/results/meta_balance.json]
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import torch
from torch import nn

import steelyard.descents.meta_balance as module
from _machine import keep_memory, worked
from steelyard.core.descent import Descent, plain
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool
from steelyard.core.rows import Batch, Clock, Rows
from steelyard.data import ResidentSource
from steelyard.descents.meta_balance import MetaBalance
from steelyard.nets.mlp import MLP
from steelyard.nets.resnet32 import ResNet32

BATCH, CLASSES = 100, 10
TARGET = 4.0


class ByTorch(MetaBalance):
    """Second order with the formulas that torch has for differentiating twice."""

    def forward(self, oracle: Oracle, batch: Batch) -> module.Evaluation:
        """The same step without our operators."""
        with mock.patch.object(module, "twice_differentiable", nullcontext):
            return super().forward(oracle, batch)


def cases() -> dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]]:
    """Models and the shape of their inputs."""
    return {
        "resnet32": (lambda: ResNet32(CLASSES), (3, 32, 32)),
        "mlp": (lambda: MLP(CLASSES, 32, norm="batch"), (32,)),
    }


def measure(
    build: Callable[[], nn.Module], shape: tuple[int, ...], repeats: int, device: torch.device
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Median seconds of a whole step (gradient and optimiser) by descent, and its ratios to plain ones."""
    torch.manual_seed(0)
    source = ResidentSource(torch.randn(10 * BATCH, *shape), torch.randint(CLASSES, (10 * BATCH,)))
    pool, fewer = RowPool(source, batch_size=BATCH), RowPool(source, batch_size=64)
    descents: dict[str, Descent] = {
        "plain": plain,
        "second_order": MetaBalance(0.01, inner=pool),
        "second_order_64_inner": MetaBalance(0.01, inner=fewer),
        "first_order": MetaBalance(0.01, inner=pool, first_order=True),
        "second_order_by_torch": ByTorch(0.01, inner=pool),
    }
    model = build().to(device).train()
    oracle = Oracle(model, lambda model, batch: Rows(model(batch.inputs), batch.target), Objective())
    optimizer = oracle.optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    batch = Batch(source.inputs[:BATCH].to(device), source.target[:BATCH].to(device), torch.arange(BATCH, device=device))

    def step(name: str) -> float:
        started = worked(device)
        optimizer.zero_grad()
        descents[name](oracle, batch)
        optimizer.step()
        return worked(device) - started

    seconds: dict[str, list[float]] = {name: [] for name in descents}
    ratios: dict[str, list[float]] = {name: [] for name in descents if name != "plain"}
    for repeat in range(repeats + 2):
        oracle.clock = Clock(step=repeat)
        for name in ratios:
            before, own, after = step("plain"), step(name), step("plain")
            if repeat >= 2:  # the first ones warm up
                seconds["plain"].append((before + after) / 2)
                seconds[name].append(own)
                ratios[name].append(2 * own / (before + after))
    return {name: statistics.median(values) for name, values in seconds.items()}, ratios


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/meta_balance.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_memory()
    device = torch.device(options.device)
    results: dict[str, object] = {"torch": torch.__version__, "device": str(device), "threads": torch.get_num_threads()}
    for name, (build, shape) in cases().items():
        seconds, ratios = measure(build, shape, options.repeats, device)
        found = {key: statistics.median(values) for key, values in ratios.items()}
        spread = {key: [min(values), max(values)] for key, values in ratios.items()}
        results[name] = {"seconds": seconds, "ratio_to_plain": found, "from_to": spread, "target": TARGET}
        shown = ", ".join(
            f"{key} {value:.2f}x ({min(ratios[key]):.2f} to {max(ratios[key]):.2f})" for key, value in found.items()
        )
        print(f"{name:10s} {shown}; target of second order <= {TARGET}x", flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
