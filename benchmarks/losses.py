"""Cost of each loss, forward and backward, against `F.cross_entropy` on the same logits.

A pair is one step of cross-entropy and one of the loss, one right after the other, in alternating order. What counts is the
median of the pairs' ratios: what else the machine does then hits both. Printed, and written as JSON::

    python benchmarks/losses.py [--repeats 40] [--quick] [--threads 1] [--out benchmarks/results/losses.json]

`--quick` takes small matrices and few pairs, to see that it runs, and writes nothing unless `--out` is given.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from _results import with_threads, write
from steelyard import losses
from steelyard.data.profiles import imbalance_profile

SHAPES = ((4096, 1000), (256, 100_000))
SMALL = ((128, 10), (64, 1000))
RESULTS = Path("benchmarks/results/losses.json")


def cases(counts: Tensor) -> dict[str, tuple[losses.Loss, float]]:
    """Each loss with the ratio that it should stay below."""
    margins = (counts / counts.max()) ** 0.25
    return {
        "CrossEntropy": (losses.CrossEntropy(), 1.3),
        "LogitAdjusted": (losses.LogitAdjusted(counts), 1.3),
        "BalancedSoftmax": (losses.BalancedSoftmax(counts), 1.3),
        "ARB, given counts": (losses.ARB(counts), 1.3),
        "ARB, batch counts": (losses.ARB(), 1.3),
        "GeneralizedLogitAdjusted, q=0": (losses.GeneralizedLogitAdjusted(counts), 1.3),
        "GeneralizedLogitAdjusted, q=0.5": (losses.GeneralizedLogitAdjusted(counts, q=0.5), 1.3),
        "GeneralizedClassAware, q=0": (losses.GeneralizedClassAware(counts), 1.3),
        "GeneralizedClassAware, q=0.5, margins": (losses.GeneralizedClassAware(counts, q=0.5, margins=margins), 1.3),
        "ClassSmoothing, head": (losses.ClassSmoothing(counts, 0.1, 0.4, "head"), 1.3),
        "ClassSmoothing, tail": (losses.ClassSmoothing(counts, 0.1, 0.4, "tail"), 1.3),
        "Focal, gamma=2": (losses.Focal(2.0), 1.6),
        "Focal, gamma=0.5": (losses.Focal(0.5), 1.6),
        "LDAM": (losses.LDAM(counts), 1.6),
    }


def step(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor) -> float:
    """Seconds of one forward and backward pass."""
    logits.grad = None
    started = time.perf_counter()
    loss(logits, target).backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - started


def compare(loss: losses.Loss, logits: Tensor, target: Tensor, repeats: int) -> dict[str, float]:
    """Ratios of pairs, and the medians of both times."""
    ours, theirs = [], []
    for repeat in range(repeats + 2):
        first = repeat % 2 == 0
        before = step(F.cross_entropy, logits, target) if first else 0.0
        own = step(loss, logits, target)
        base = before if first else step(F.cross_entropy, logits, target)
        if repeat >= 2:  # the first two warm up
            ours.append(own)
            theirs.append(base)
    ratios = [own / base for own, base in zip(ours, theirs, strict=True)]
    return {
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "ratio_of_minima": min(ours) / min(theirs),
        "loss_seconds": statistics.median(ours),
        "cross_entropy_seconds": statistics.median(theirs),
    }


def measure(rows: int, classes: int, repeats: int, judged: bool) -> dict[str, Any]:
    """Every loss at one size, printed as it comes; targets are for the large sizes, not for the quick ones."""
    stream = torch.Generator().manual_seed(0)
    counts = imbalance_profile(5000, classes, 100)
    # Cosines are what LDAM takes; the others get the logits of a network in training. Times differ little.
    cosines = 2 * torch.rand(rows, classes, generator=stream) - 1
    logits = 3 * torch.randn(rows, classes, generator=stream)
    target = torch.randint(classes, (rows,), generator=stream)
    print(f"[{rows}, {classes}]")
    results = {}
    for name, (loss, most) in cases(counts).items():
        scores = (cosines if isinstance(loss, losses.LDAM) else logits).requires_grad_()
        result = compare(loss, scores, target, repeats)
        met = result["ratio"] <= most
        results[name] = result | {"target": most, "met": met}
        verdict = f"target <= {most}x" + ("" if met else "  MISSED") if judged else ""
        spread = f"pairs from {result['ratio_min']:.2f} to {result['ratio_max']:.2f}, fastest {result['ratio_of_minima']:.2f}"
        print(f"  {name:38s} {result['ratio']:5.2f}x  {verdict:16s} ({spread})", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40, help="pairs a loss")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="small matrices, few pairs")
    parser.add_argument("--out", type=Path, help=f"default: {RESULTS}, and nothing with --quick")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    repeats = min(options.repeats, 5) if options.quick else options.repeats
    shapes = SMALL if options.quick else SHAPES
    print(f"forward and backward against F.cross_entropy, {options.threads} thread(s), median of {repeats} pairs")
    found = {f"{rows}x{classes}": measure(rows, classes, repeats, not options.quick) for rows, classes in shapes}
    out = options.out if options.out or options.quick else RESULTS
    if out is not None:
        write(out, with_threads(options.threads), {"pairs": repeats, "shapes": found})


if __name__ == "__main__":
    main()
