"""Cost of eight members trained at once against one seed.

First what a user pays: `SteelyardClassifier(n_seeds=8).fit` against `n_seeds=1`, with all that is done once, on made-up tables
of 15 columns. Then training alone, in small batches: `fit_members` and `fit` on the same table, `tables` regime, without the
first epoch; beside it stands the ratio of the matrix products alone, eight of every layer's, to a step of one seed: what no
sharing of work can go below at that width.

A pair is one run of each, one right after the other, in alternating order; what counts is the median of the pairs' ratios.
Printed, and written as JSON::

    python benchmarks/members.py [--repeats 9] [--threads 2] [--members 8] [--quick] [--out benchmarks/results/members.json]

`--threads 0`, the default, leaves torch's own number. `--quick` takes few pairs of few rows, to see that it runs, and writes
nothing unless `--out` is given. Ratios of processor time are written beside those of wall time: on a machine with other work
they vary less.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from _results import with_threads, write
from steelyard.core.fit import fit
from steelyard.core.measure import Report
from steelyard.core.members import fit_members
from steelyard.core.roles import Assesses
from steelyard.data import ResidentSource
from steelyard.estimator import SteelyardClassifier
from steelyard.methods.ce import ce
from steelyard.nets import MLP
from steelyard.nets.table_net import TableNet
from steelyard.regimes.tables import tables
from steelyard.tasks.arrays import ArrayTask

MOST = 3.0
RESULTS = Path("benchmarks/results/members.json")
WARM = 1
EPOCHS = 3
FIT_PAIRS = {5_000: 5, 20_000: 5, 50_000: 11, 100_000: 11, 200_000: 11}
"""Of whole fits, by rows. On a shared machine pairs of larger tables vary by a fifth, and the median of three by a tenth."""
FITS = tuple((method, rows) for method in ("auto", "ce", "la") for rows in FIT_PAIRS)
"""Methods and rows of whole fits; the first is the estimator's own choice."""


def cases() -> dict[str, tuple[Callable[[], nn.Module], int, int]]:
    """Each network with its columns and the batch size."""
    found: dict[str, tuple[Callable[[], nn.Module], int, int]] = {}
    for columns in (15, 30):
        for hidden in ((256, 128), (128, 64), (64, 32)):
            make = functools.partial(MLP, 2, columns, hidden=hidden)
            found[f"MLP {hidden}, {columns} columns"] = (make, columns, 256)
        for embedding in ("periodic", "piecewise"):
            net = functools.partial(TableNet, 2, columns, embedding=embedding)
            found[f"TableNet {embedding}, {columns} columns"] = (net, columns, 256)
    return found


def task_of(make: Callable[[], nn.Module], columns: int, rows: int) -> ArrayTask:
    """Random rows, a tenth of them positive."""
    stream = torch.Generator().manual_seed(0)
    inputs = torch.randn(rows, columns, generator=stream)
    target = (torch.rand(rows, generator=stream) < 0.1).long()
    return ArrayTask("random", ("no", "yes"), {"train": ResidentSource(inputs, target)}, model=make)


class Watch(Assesses):
    """Notes wall and processor time at the end of each epoch."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def assess(self, report: Report) -> None:
        self.times.append((time.perf_counter(), time.process_time()))


def measured(run: Callable[[Watch], Any]) -> tuple[float, float]:
    """Wall and processor seconds of a run after its first epoch, so that setting up does not count."""
    watch = Watch()
    run(watch)
    (wall, processor), (last_wall, last_processor) = watch.times[0], watch.times[-1]
    return last_wall - wall, last_processor - processor


def products(make: Callable[[], nn.Module], members: int, batch: int, repeats: int) -> float:
    """Seconds of `members` times the matrix products of all linear layers, forward and back, as batched products."""
    pairs = []
    for layer in make().modules():
        if isinstance(layer, nn.Linear):
            shape = members, batch
            pairs.append(
                (torch.randn(*shape, layer.in_features), torch.randn(members, layer.in_features, layer.out_features), layer)
            )
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        for number, (inputs, weight, _) in enumerate(pairs):
            outputs = torch.bmm(inputs, weight)
            torch.bmm(inputs.transpose(1, 2), outputs)
            if number:  # nobody asks for the gradient of the data
                torch.bmm(outputs, weight.transpose(1, 2))
        best = min(best, time.perf_counter() - started)
    return best


def compare(make: Callable[[], nn.Module], columns: int, batch: int, members: int, rows: int, repeats: int) -> dict[str, float]:
    """Ratios of pairs, and the medians of both times a step."""
    task, regime = task_of(make, columns, rows), tables(epochs=EPOCHS, batch_size=batch)
    steps = (EPOCHS - 1) * (rows // batch)
    runs = (
        lambda watch: fit(task, ce, regime, device="cpu", listeners=[watch]),
        lambda watch: fit_members(task, ce, regime, seeds=range(members), device="cpu", listeners=[watch]),
    )
    times: tuple[list[tuple[float, float]], ...] = ([], [])
    for repeat in range(repeats + WARM):
        order = (0, 1) if repeat % 2 else (1, 0)
        for which in order:
            found = measured(runs[which])
            if repeat >= WARM:
                times[which].append(found)
    ratios = [many[0] / one[0] for one, many in zip(*times, strict=True)]
    one, many = (statistics.median(seconds for seconds, _ in kind) / steps for kind in times)
    return {
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "ratio_of_minima": min(times[1])[0] / min(times[0])[0],
        "processor_ratio": statistics.median(many[1] / one[1] for one, many in zip(*times, strict=True)),
        "products_ratio": products(make, members, batch, 20) / (min(times[0])[0] / steps),
        "one_step_seconds": one,
        "members_step_seconds": many,
    }


def table(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Fifteen columns, of which three matter; some 8 % positives."""
    stream = np.random.default_rng(0)
    columns = stream.normal(size=(rows, 15)).astype(np.float32)
    score = columns[:, 0] * columns[:, 1] + columns[:, 2] + stream.normal(size=rows)
    return columns, (score > 2.5).astype(int)


def whole_fits(method: str, rows: int, members: int, repeats: int) -> dict[str, Any]:
    """Ratio of whole fits, and the median of both times."""
    columns, target = table(rows)
    times: dict[int, list[float]] = {1: [], members: []}
    for repeat in range(repeats):
        for seeds in sorted(times, reverse=repeat % 2 == 1):
            started = time.perf_counter()
            SteelyardClassifier(method=method, n_seeds=seeds, random_state=repeat).fit(columns, target)
            times[seeds].append(time.perf_counter() - started)
    ratios = [many / one for one, many in zip(times[1], times[members], strict=True)]
    one, many = (statistics.median(found) for found in times.values())
    ratio = statistics.median(ratios)
    found = {"ratio": ratio, "ratio_min": min(ratios), "ratio_max": max(ratios), "one_seconds": one, "members_seconds": many}
    return found | {"pairs": repeats}


def against_target(found: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """With the target and whether it is met, and a mark to print where it is not."""
    met = found["ratio"] <= MOST
    return found | {"target": MOST, "met": met}, "" if met else "  MISSED"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9, help="pairs a network")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="few rows, few pairs")
    parser.add_argument("--out", type=Path, help=f"default: {RESULTS}, and nothing with --quick")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    repeats, rows = (2, 1024) if options.quick else (options.repeats, 5120)
    threads = torch.get_num_threads()
    print(f"{options.members} members against one seed, {threads} thread(s), median of {repeats} pairs")
    whole_fits("ce", 2_000, options.members, 1)  # what is imported on the way does not count
    fits: dict[str, Any] = {}
    for method, size in (("ce", rows),) if options.quick else FITS:
        name = f"{method}, {size:,} rows"
        pairs = 1 if options.quick else FIT_PAIRS[size]
        fits[name], missed = against_target(whole_fits(method, size, options.members, pairs))
        print(
            "  fit, {name:24s} {ratio:5.2f}x  target <= {target}x{missed} ({pairs} pairs from {ratio_min:.2f} to "
            "{ratio_max:.2f}; one seed {one_seconds:.1f} s)".format(name=name, missed=missed, **fits[name]),
            flush=True,
        )
    found: dict[str, Any] = {}
    for name, (make, columns, batch) in cases().items():
        result, missed = against_target(compare(make, columns, batch, options.members, rows, repeats))
        found[name] = result
        print(
            f"  {name:30s} {result['ratio']:5.2f}x  target <= {MOST}x{missed} (pairs from "
            f"{result['ratio_min']:.2f} to {result['ratio_max']:.2f}, fastest {result['ratio_of_minima']:.2f}, processor "
            f"{result['processor_ratio']:.2f}, products alone {result['products_ratio']:.2f}; a step of one "
            f"{1e3 * result['one_step_seconds']:.2f} ms)",
            flush=True,
        )
    out = options.out if options.out or options.quick else RESULTS
    if out is not None:
        write(out, with_threads(threads), {"members": options.members, "pairs": repeats, "fits": fits, "networks": found})


if __name__ == "__main__":
    main()
