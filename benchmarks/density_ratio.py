"""What density ratios cost: a training step against plain cross-entropy, and time and memory as classes become a million.

The first table pairs a step of plain training with one of RDR on ResNet-32, batch 100, one right after the other in alternating
order; what counts is the median of the pairs' ratios. The second weighs and observes batches of 100 rows of C classes, each
case in a process of its own, first with few of the classes seen and then with all; the memory is what the store holds and
what the process grew by at its peak. Printed, and written as JSON::

    python benchmarks/density_ratio.py [--pairs 25] [--quick] [--threads 1] [--out benchmarks/results/density_ratio.json]

`--quick` takes few pairs and few classes, to see that it runs, and writes nothing unless `--out` is given.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from _results import with_threads, write
from steelyard.core.descent import plain
from steelyard.core.memory import peak_mb, release, reset_peak
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Evidence, Rows
from steelyard.core.weighting import Uniform, Weighting
from steelyard.data.profiles import imbalance_profile
from steelyard.nets.resnet32 import ResNet32
from steelyard.weightings import DensityRatio

BATCH = 100
TARGET = 1.08
CPU = torch.device("cpu")
RESULTS = Path("benchmarks/results/density_ratio.json")
CLASSES = (100, 1000, 10_000, 100_000, 1_000_000)


def trainer(weighting: Weighting, classes: int) -> Callable[[Tensor, Tensor], float]:
    """A training step as a function of images and classes that returns its seconds."""
    torch.manual_seed(0)
    model = ResNet32(classes)
    oracle = Oracle(model, lambda m, b: Rows(m(b.inputs), b.target), Objective(weighting=weighting))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step(inputs: Tensor, target: Tensor) -> float:
        started = time.perf_counter()
        batch = Batch(inputs, target, torch.arange(len(target)))
        optimizer.zero_grad()
        evaluation = plain(oracle, batch)
        optimizer.step()
        if isinstance(weighting, DensityRatio):
            weighting.observe(evaluation.evidence())
        return time.perf_counter() - started

    return step


def step_cost(classes: int, pairs: int) -> dict[str, float]:
    """RDR with its weights active, from the first step on, against plain training."""
    counts = imbalance_profile(5000, classes, 100)
    stream = torch.Generator().manual_seed(0)
    steps = trainer(Uniform(), classes), trainer(DensityRatio(counts), classes)
    seconds: tuple[list[float], list[float]] = ([], [])
    for pair in range(pairs + 2):
        images = torch.randn(BATCH, 3, 32, 32, generator=stream)
        target = torch.multinomial(counts.float(), BATCH, True, generator=stream)
        for which in (0, 1) if pair % 2 else (1, 0):
            taken = steps[which](images, target)
            if pair >= 2:  # the first two warm up
                seconds[which].append(taken)
    ratios = [ours / base for base, ours in zip(*seconds, strict=True)]
    return {
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "ratio_of_minima": min(seconds[1]) / min(seconds[0]),
        "plain_seconds": statistics.median(seconds[0]),
        "rdr_seconds": statistics.median(seconds[1]),
        "target": TARGET,
    }


def scale_cost(classes: int, width: int, store: str, steps: int, threads: int) -> dict[str, Any]:
    """Weighing and observing alone, of batches drawn from a long tail of classes and then with every class seen."""
    torch.set_num_threads(threads)
    counts = imbalance_profile(5000, classes, 100)
    stream = torch.Generator().manual_seed(0)
    cumulative = counts.double().cumsum(0)

    def batch() -> Evidence:
        draws = torch.rand(BATCH, generator=stream, dtype=torch.float64) * cumulative[-1]
        features = torch.randn(BATCH, width, generator=stream).relu()
        return Evidence(torch.searchsorted(cumulative, draws).clamp_max(classes - 1), features=features)

    release()
    reset_peak(CPU)
    before = peak_mb(CPU)
    with tempfile.TemporaryDirectory() as folder:
        weigh = DensityRatio(counts, store=folder if store == "mapped" else store)
        few = timed(weigh, batch, steps)
        held = {"seen_few": held_mb(weigh), "classes_few": seen(weigh)}
        for part in torch.randperm(classes, generator=stream).split(1000):
            weigh.prototypes.update(torch.randn(len(part), width, generator=stream).relu(), part)
        every = timed(weigh, batch, steps)
    peak = peak_mb(CPU) - before
    return {
        "ms_few": few,
        "ms_all": every,
        "classes_few": held["classes_few"],
        "held_mb_few": held["seen_few"],
        "held_mb_all": held_mb(weigh),
        "process_mb": peak,
    }


def timed(weigh: DensityRatio, batch: Callable[[], Evidence], steps: int) -> float:
    """Median milliseconds of weighing and observing a batch."""
    taken = []
    for _ in range(steps):
        evidence = batch()
        started = time.perf_counter()
        weigh(evidence)
        weigh.observe(evidence)
        taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken)


def seen(weigh: DensityRatio) -> int:
    return int((weigh.prototypes.slot > 0).sum())


def held_mb(weigh: DensityRatio) -> float:
    """Memory of the prototypes; of a file, the size of the pages in use is the system's affair, and its full size is given."""
    return sum(value.numel() * value.element_size() for value in weigh.prototypes.buffers()) / 2**20


def in_a_process(*arguments: Any) -> dict[str, Any]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(scale_cost, arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=25, help="pairs of training steps")
    parser.add_argument("--steps", type=int, default=200, help="steps for each number of classes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="few pairs, few classes")
    parser.add_argument("--out", type=Path, help=f"default: {RESULTS}, and nothing with --quick")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pairs = min(options.pairs, 3) if options.quick else options.pairs
    steps = min(options.steps, 10) if options.quick else options.steps
    results: dict[str, Any] = {"pairs": pairs, "steps": steps, "batch": BATCH, "resnet32": {}, "scale": {}}
    print(f"a training step, ResNet-32, batch {BATCH}, {options.threads} thread(s), against plain cross-entropy")
    for classes in (10,) if options.quick else (10, 100):
        found = results["resnet32"][str(classes)] = step_cost(classes, pairs)
        spread = f"pairs from {found['ratio_min']:.2f} to {found['ratio_max']:.2f}, fastest {found['ratio_of_minima']:.3f}"
        print(f"  {classes:4d} classes {found['ratio']:.3f}x  target <= {TARGET}x  ({spread})", flush=True)
    print("weighing and observing a batch: few of the classes seen, then all")
    for classes in CLASSES[:2] if options.quick else CLASSES:
        for width, store in ((64, "dense"), (64, "compact"), (64, "mapped"), (512, "compact")):
            found = in_a_process(classes, width, store, steps, options.threads)
            results["scale"][f"{classes} classes, d={width}, {store}"] = found
            print(
                f"  C={classes:<8d} d={width:<4d}{store:8s} {found['ms_few']:6.2f} ms with {found['classes_few']} seen, "
                f"{found['held_mb_few']:7.1f} MB;  {found['ms_all']:6.2f} ms with all, {found['held_mb_all']:7.1f} MB, "
                f"process +{found['process_mb']:.0f} MB",
                flush=True,
            )
    out = options.out if options.out or options.quick else RESULTS
    if out is not None:
        write(out, with_threads(options.threads), results)


if __name__ == "__main__":
    main()
