"""Cost of drawing an epoch with replacement by class, against torch's `WeightedRandomSampler` over the same rows.

Both are measured alternately in one process; what is printed and written as JSON are medians and their ratios::

    python benchmarks/samplers.py [--rows 10000000] [--repeats 3] [--out benchmarks/results/samplers.json]
    python benchmarks/samplers.py --rows 100000000      # only ours, with the memory: torch takes at most 2^24 rows
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, WeightedRandomSampler

from steelyard.core.sampler import ShuffledSampler
from steelyard.data.profiles import imbalance_profile
from steelyard.samplers import BalancedSampler, PowerSampler

MOST_OF_TORCH = 2**24
BATCH = 256


def long_tail(rows: int, classes: int) -> Tensor:
    """Labels `[rows]`, int64, of a long tail with imbalance factor 100, in no order; built in pieces to spare memory."""
    share = imbalance_profile(10**9, classes, 100).double()
    borders = (share.cumsum(0) / share.sum())[:-1]
    stream = torch.Generator().manual_seed(0)
    labels = torch.empty(rows, dtype=torch.int64)
    for piece in torch.split(labels, 1 << 20):
        piece.copy_(torch.searchsorted(borders, torch.rand(len(piece), dtype=torch.float64, generator=stream)))
    return labels


def exhaust(rows: Iterable[Any]) -> None:
    for _ in rows:
        pass


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(labels: Tensor, repeats: int) -> dict[str, Any]:
    """An epoch, row by row and as batches, of both."""
    ours = BalancedSampler(labels)
    power, shuffled = PowerSampler(labels, power=0.5), ShuffledSampler(labels)
    theirs = WeightedRandomSampler((1.0 / ours.class_counts.double())[labels], len(labels))  # type: ignore[arg-type]
    cases: dict[str, Callable[[], object]] = {
        "WeightedRandomSampler, rows": lambda: exhaust(theirs),
        "BalancedSampler, rows": lambda: exhaust(ours),
        "WeightedRandomSampler, batches": lambda: exhaust(BatchSampler(theirs, BATCH, drop_last=False)),
        "BalancedSampler, batches": lambda: exhaust(ours.batches(BATCH)),
        "PowerSampler, batches": lambda: exhaust(power.batches(BATCH)),
        "ShuffledSampler, batches": lambda: exhaust(shuffled.batches(BATCH)),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, work in cases.items():
            times[name].append(seconds(work))
    median = {name: statistics.median(values) for name, values in times.items()}
    ratios = {
        "row by row": median["WeightedRandomSampler, rows"] / median["BalancedSampler, rows"],
        "batches": median["WeightedRandomSampler, batches"] / median["BalancedSampler, batches"],
        "batches, square root": median["WeightedRandomSampler, batches"] / median["PowerSampler, batches"],
    }
    setup = seconds(lambda: BalancedSampler(labels))
    return {"setup_seconds": setup, "seconds": median, "all_seconds": times, "times_faster": ratios}


def peak_mb() -> float:
    """The most memory this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / (1 << 10)


def alone(labels: Tensor) -> dict[str, Any]:
    """An epoch of ours, and the memory that it takes beside the labels."""
    before = peak_mb()
    started = time.perf_counter()
    sampler = BalancedSampler(labels)
    setup = time.perf_counter() - started
    after_setup = peak_mb()
    by_batch = seconds(lambda: exhaust(sampler.batches(BATCH)))
    by_row = seconds(lambda: exhaust(sampler))
    return {
        "setup_seconds": setup,
        "seconds": {"BalancedSampler, rows": by_row, "BalancedSampler, batches": by_batch},
        "labels_mb": labels.numel() * labels.element_size() / (1 << 20),
        "peak_mb": peak_mb(),
        "beside_labels_mb": peak_mb() - before,
        "epoch_beside_setup_mb": peak_mb() - after_setup,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/samplers.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    labels = long_tail(options.rows, options.classes)
    result = compare(labels, options.repeats) if options.rows <= MOST_OF_TORCH else alone(labels)
    print(f"{options.rows:,} rows, {options.classes} classes, batches of {BATCH}, {options.threads} thread(s)")
    print(f"{'set-up of BalancedSampler':34s} {result['setup_seconds']:8.2f} s")
    for name, value in result["seconds"].items():
        print(f"{name:34s} {value:8.2f} s {value / options.rows * 1e9:8.1f} ns a row")
    for name, value in result.get("times_faster", {}).items():
        print(f"{name:34s} {value:8.1f} times faster than WeightedRandomSampler")
    if "peak_mb" in result:
        print(
            f"peak {result['peak_mb']:,.0f} MB: {result['beside_labels_mb']:,.0f} MB beside labels and torch itself, of which"
        )
        print(f"     drawing took {result['epoch_beside_setup_mb']:,.0f} MB; the labels are {result['labels_mb']:,.0f} MB")
    write(options, result)


def write(options: argparse.Namespace, result: dict[str, Any]) -> None:
    """Put the result under its number of rows, beside those of other sizes."""
    stored: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    machine = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "threads": options.threads,
    }
    stored[str(options.rows)] = {"rows": options.rows, "classes": options.classes, "batch": BATCH, **machine, **result}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(stored, indent=1) + "\n")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
