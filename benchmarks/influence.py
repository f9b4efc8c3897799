"""Cost of a step with meta-learned weights against a plain one, and against differentiating through the step twice.

Every step is timed between two plain ones; what counts is the median of the ratios to their mean. Processor time on a CPU. Peak
memory is that of a process of its own, once with what a step needs (freed memory is given back at once), once as the allocator
does it by default. Printed, and written as JSON::

    python benchmarks/influence.py [--repeats 9] [--threads N] [--device cpu] [--out benchmarks/results/influence.json]

The process keeps what memory it frees, as those of `steelyard compare` do; `--no-keep-memory` leaves it to the allocator, where
taking memory anew slows all steps that need more than a plain one, double backward most.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import statistics
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from _machine import GIVE_BACK, keep_memory, worked
from steelyard.core.memory import peak_mb, release, reset_peak
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool
from steelyard.core.roles import Follows, Prepares
from steelyard.core.rows import Batch, Clock, Rows
from steelyard.core.weighting import Weighting
from steelyard.nets import ResNet32
from steelyard.weightings import LearnToReweight, Lookahead, MetaClassWeights, MetaWeightNet

BATCH = 100
TARGETS = {
    "mw-net ahead": 3.8,
    "mw-net online": 3.0,
    "mw-net ahead, head": 1.6,
    "mw-net ahead, every 10": 1.3,
}
Step = Callable[[], None]


class Held:
    """Tensors in memory as a split."""

    def __init__(self, inputs: Tensor, target: Tensor) -> None:
        self.inputs, self.target = inputs, target

    def __len__(self) -> int:
        return len(self.target)

    def to(self, device: torch.device) -> Held:
        return Held(self.inputs.to(device), self.target)

    def stream(self, batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Any]]:
        for index in batches:
            yield index, self.inputs[index.to(self.inputs.device)]


def forward(model: nn.Module, batch: Batch) -> Rows:
    return Rows(model(batch.inputs), batch.target, index=batch.index)


def problem(name: str, layout: str, device: str) -> tuple[nn.Module, Tensor, Tensor, Held]:
    """Model, a batch, and a meta set of a batch's size."""
    torch.manual_seed(0)
    if name == "resnet32":
        model: nn.Module = ResNet32(10)
        shape: tuple[int, ...] = (3, 32, 32)
    else:
        model = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
        shape = (32,)
    x, meta = torch.randn(BATCH, *shape), torch.randn(BATCH, *shape)
    if layout == "channels_last":
        model = model.to(memory_format=torch.channels_last)
        x, meta = (value.to(memory_format=torch.channels_last) for value in (x, meta))
    labels = torch.randint(0, 10, (2, BATCH))
    return model.to(device), x.to(device), labels[0].to(device), Held(meta, labels[1])


def ours(name: str, layout: str, device: str, make: Callable[[RowPool], Weighting] | None) -> Step:
    """A step of this package with a weighting; None for plain cross-entropy."""
    model, x, y, held = problem(name, layout, device)
    weighting = None if make is None else make(RowPool(held, batch_size=BATCH)).to(device)
    oracle = Oracle(model, forward, Objective(weighting=weighting))
    oracle.optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
    index, step = torch.arange(BATCH, device=device), 0

    def run() -> None:
        nonlocal step
        oracle.clock = Clock(step=step, batches=10**6)
        batch = Batch(x, y, index)
        if isinstance(weighting, Prepares):
            weighting.prepare(oracle, batch)
        assert oracle.optimizer is not None
        oracle.optimizer.zero_grad()
        oracle(batch).loss.backward()
        oracle.optimizer.step()
        if isinstance(weighting, Follows):
            weighting.follow(oracle, batch)
        step += 1

    return run


def double_backward(name: str, layout: str, device: str) -> Step:
    """Meta-Weight-Net as usually written: the step is made with a graph, and the meta loss differentiated through it."""
    model, x, y, held = problem(name, layout, device)
    net = nn.Sequential(nn.Linear(1, 100), nn.ReLU(), nn.Linear(100, 1), nn.Sigmoid()).to(device)
    meta_x, meta_y = held.inputs.to(device), held.target.to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
    teacher = torch.optim.Adam(net.parameters(), lr=1e-3)

    def weights(losses: Tensor) -> Tensor:
        raw = net(losses.detach()[:, None])[:, 0]
        return raw / raw.mean()

    def run() -> None:
        params = dict(model.named_parameters())
        buffers = {key: value.clone() for key, value in model.named_buffers()}
        losses = F.cross_entropy(functional_call(model, params | buffers, (x,)), y, reduction="none")
        inner = (weights(losses) * losses).mean()
        gradients = torch.autograd.grad(inner, list(params.values()), create_graph=True)
        moved = {key: value - 1e-3 * g for (key, value), g in zip(params.items(), gradients, strict=True)}
        meta = F.cross_entropy(functional_call(model, moved | buffers, (meta_x,)), meta_y)
        for value, gradient in zip(net.parameters(), torch.autograd.grad(meta, list(net.parameters())), strict=True):
            value.grad = gradient
        teacher.step()
        losses = F.cross_entropy(model(x), y, reduction="none")
        optimizer.zero_grad()
        (weights(losses).detach() * losses).mean().backward()
        optimizer.step()

    return run


def cases(name: str, layout: str, device: str) -> dict[str, Callable[[], Step]]:
    """Steps to be measured, by name."""

    def net(**settings: Any) -> Callable[[], Step]:
        make = functools.partial(MetaWeightNet, lookahead=Lookahead(**settings))
        return functools.partial(ours, name, layout, device, make)

    return {
        "plain": functools.partial(ours, name, layout, device, None),
        "mw-net ahead": net(),
        "mw-net online": net(order="online"),
        "mw-net ahead, two backward passes": net(estimator="reverse"),
        "mw-net ahead, head": net(scope="head"),
        "mw-net ahead, every 10": net(every=10),
        "l2rw": functools.partial(ours, name, layout, device, LearnToReweight),
        "meta-class-weights online": functools.partial(
            ours, name, layout, device, lambda pool: MetaClassWeights(pool, 10, lookahead=Lookahead(order="online"))
        ),
        "double backward": functools.partial(double_backward, name, layout, device),
    }


def seconds(step: Step, times: int, device: str) -> float:
    started = worked(torch.device(device))
    for _ in range(times):
        step()
    return (worked(torch.device(device)) - started) / times


def compare(name: str, layout: str, device: str, repeats: int) -> dict[str, dict[str, float]]:
    """Each step's time over that of the plain step, the two measured next to each other."""
    steps = {key: make() for key, make in cases(name, layout, device).items()}
    ratios: dict[str, list[float]] = {key: [] for key in steps}
    plain_seconds = []
    for repeat in range(repeats + 1):
        for key, step in steps.items():
            if key == "plain":
                continue
            times = 10 if "every" in key else 2
            times = times if name == "resnet32" else 20 * times
            before = seconds(steps["plain"], times, device)
            mine = seconds(step, times, device)
            after = seconds(steps["plain"], times, device)
            if repeat:  # the first is a warm-up
                ratios[key].append(2 * mine / (before + after))
                plain_seconds.append((before + after) / 2)
    return {
        key: {"ratio": statistics.median(values), "ratio_min": min(values), "ratio_max": max(values)}
        for key, values in ratios.items()
        if values
    } | {"plain": {"seconds": statistics.median(plain_seconds)}}


def _peak(name: str, key: str, device: str, answer: Any) -> None:
    torch.set_num_threads(1)
    step = cases(name, "default", device)[key]()
    where = torch.device(device)
    release()
    reset_peak(where)
    before = peak_mb(where)
    for _ in range(4):
        step()
    peak = peak_mb(where)
    answer.put((peak - (before if device == "cpu" else 0), peak))


def memory(name: str, device: str) -> dict[str, dict[str, float]]:
    """Peak memory of a few steps in MiB, each in a process of its own.

    "needed" is beside what the process held before the first step, with freed memory given back at once; "by default" the same
    as the allocator does it unasked, with holes between; "process" all that the process has in the latter case.
    """
    context, found = multiprocessing.get_context("spawn"), {}
    for key in ("plain", "mw-net ahead", "mw-net online", "double backward"):
        peaks = []
        for added in (GIVE_BACK, {}):
            answer = context.Queue()
            with patch.dict(os.environ, added):
                process = context.Process(target=_peak, args=(name, key, device, answer))
                process.start()
            peaks.append(answer.get())
            process.join()
        found[key] = {"needed": peaks[0][0], "by default": peaks[1][0], "process": peaks[1][1]}
    return found


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/influence.json"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--keep-memory", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.keep_memory:
        keep_memory()
    results: dict[str, Any] = {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": options.device}
    results["keeps memory"] = options.keep_memory
    for name, layout in (("resnet32", "default"), ("resnet32", "channels_last"), ("mlp", "default")):
        print(f"{name}, {layout} layout, batch {BATCH}", flush=True)
        found = compare(name, layout, options.device, options.repeats)
        results[f"{name} {layout}"] = found
        double = found["double backward"]["ratio"]
        for key, row in found.items():
            if key == "plain":
                continue
            goal = f"; target <= {TARGETS[key]}x" if key in TARGETS and name == "resnet32" else ""
            gain = f"; {double / row['ratio']:.2f}x faster than double backward" if key.startswith("mw-net") else ""
            print(
                f"  {key:36s} {row['ratio']:.2f}x plain (from {row['ratio_min']:.2f} to {row['ratio_max']:.2f}{goal}{gain})",
                flush=True,
            )
    results["resnet32 peak MiB"] = found = memory("resnet32", options.device)
    print("peak memory over that of plain, ResNet-32:")
    for key, row in found.items():
        shown = ", ".join(f"{kind} {value / found['plain'][kind]:.2f}x ({value:.0f} MiB)" for kind, value in row.items())
        print(f"  {key:20s} {shown}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
