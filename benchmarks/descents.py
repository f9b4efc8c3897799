"""Cost of a step of each sharpness-aware descent against a plain one: ResNet-32, batches of 100 images of 32x32.

A pair is one plain step and one of the descent on the same batch, one right after the other, in alternating order; what counts
is the median of the pairs' ratios. ImbSAM is measured with several shares of tail rows. Printed, and written as JSON::

    python benchmarks/descents.py [--repeats 15] [--threads 1] [--device cpu] [--quick] [--out benchmarks/results/descents.json]

`--quick` takes few pairs of small batches, to see that it runs, and writes nothing unless `--out` is given. Ratios of processor
time are written beside those of wall time: on a machine with other work they vary less.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from _machine import keep_memory
from _results import write
from steelyard.core.descent import Descent, plain
from steelyard.core.objective import Evaluation, Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Rows
from steelyard.descents import SAM, AdversarialFeatures, AsymmetricSAM, ClassConditionalSAM, ImbSAM
from steelyard.nets.resnet32 import ResNet32

COUNTS = (1000,) * 9 + (10,)
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
RESULTS = Path("benchmarks/results/descents.json")


def twice(oracle: Oracle, batch: Batch) -> Evaluation:
    """Two plain steps: what two passes cost at least, and how far the machine is to be trusted."""
    plain(oracle, batch)
    return plain(oracle, batch)


def cases() -> dict[str, tuple[Descent, float, float | None]]:
    """Each descent with the share of tail rows in its batches, and the ratio that it should stay below where there is one."""
    found: dict[str, tuple[Descent, float, float | None]] = {
        "two plain steps": (twice, 0.1, None),
        "SAM": (SAM(), 0.1, 2.1),
        "SAM, adaptive": (SAM(adaptive=True), 0.1, None),
        "AsymmetricSAM, released": (AsymmetricSAM(COUNTS, form="released"), 0.1, None),
        "AsymmetricSAM, described": (AsymmetricSAM(COUNTS), 0.1, None),
        "ClassConditionalSAM": (ClassConditionalSAM(COUNTS), 0.1, None),
        "AdversarialFeatures": (AdversarialFeatures(COUNTS), 0.1, None),
    }
    for share in SHARES:
        found[f"ImbSAM, tail {share:.0%}"] = (ImbSAM(COUNTS, tail=20), share, 1 + 1.2 * share + 0.2)
    found["ImbSAM, whole, tail 10%"] = (ImbSAM(COUNTS, tail=20, whole=True), 0.1, None)
    return found


def drawn(size: int, share: float, seed: int, device: torch.device) -> Batch:
    """Random images, of which a share belongs to the last class."""
    stream = torch.Generator().manual_seed(seed)
    tail = round(size * share)
    target = torch.randint(0, 9, (size,), generator=stream)
    target[torch.randperm(size, generator=stream)[:tail]] = 9
    return Batch(
        torch.randn(size, 3, 32, 32, generator=stream).to(device), target.to(device), torch.arange(size, device=device)
    )


class Bench:
    """A network that descents are timed on."""

    def __init__(self, device: torch.device, size: int) -> None:
        torch.manual_seed(0)
        self.device, self.size = device, size
        self.model = ResNet32(10).to(device)
        self.oracle = Oracle(self.model, lambda model, batch: Rows(model(batch.inputs), batch.target), Objective())

    def seconds(self, descent: Descent, batch: Batch) -> tuple[float, float]:
        """Wall and processor time of one step without the optimiser."""
        self.model.zero_grad()
        self.wait()
        started, worked = time.perf_counter(), time.process_time()
        descent(self.oracle, batch)
        self.wait()
        return time.perf_counter() - started, time.process_time() - worked

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def pair(self, descent: Descent, share: float, number: int) -> tuple[float, float]:
        """Ratios of a descent's step to a plain one."""
        batch = drawn(self.size, share, number, self.device)
        order: list[Callable[..., Any]] = [plain, descent] if number % 2 else [descent, plain]
        found = {id(each): self.seconds(each, batch) for each in order}
        (own, own_work), (base, base_work) = found[id(descent)], found[id(plain)]
        return own / base, own_work / max(base_work, 1e-9)


def measure(device: torch.device, repeats: int, size: int) -> dict[str, dict[str, Any]]:
    """Every descent in turn, again and again, so that what else the machine does hits all of them."""
    bench, every = Bench(device, size), cases()
    ratios: dict[str, list[tuple[float, float]]] = {name: [] for name in every}
    for number in range(repeats + 1):
        for name, (descent, share, _) in every.items():
            pair = bench.pair(descent.to(device) if isinstance(descent, torch.nn.Module) else descent, share, number)
            if number:  # the first warms up
                ratios[name].append(pair)
    results = {}
    for name, (_, share, most) in every.items():
        wall, work = ([pair[kind] for pair in ratios[name]] for kind in (0, 1))
        results[name] = {
            "ratio": statistics.median(wall),
            "ratio_min": min(wall),
            "ratio_max": max(wall),
            "ratio_of_processor_time": statistics.median(work),
            "tail_share": share,
        }
        if most is not None:
            results[name] |= {"target": most, "met": results[name]["ratio"] <= most}
        verdict = "" if most is None else f"target <= {most:.2f}x" + ("" if results[name]["met"] else "  MISSED")
        spread = f"pairs from {min(wall):.2f} to {max(wall):.2f}, processor time {statistics.median(work):.2f}x"
        print(f"  {name:26s} {results[name]['ratio']:5.2f}x  {verdict:24s} ({spread})", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="pairs a descent")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="few pairs of small batches")
    parser.add_argument("--out", type=Path, help=f"default: {RESULTS}, and nothing with --quick")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_memory()
    device, size = torch.device(options.device), 20 if options.quick else 100
    repeats = min(options.repeats, 2) if options.quick else options.repeats
    print(f"ResNet-32, batches of {size}, {options.device}, {options.threads} thread(s), median of {repeats} pairs")
    found = measure(device, repeats, size)
    out = options.out if options.out or options.quick else RESULTS
    if out is not None:
        write(
            out,
            f"{options.device}, {options.threads} thread{'s' * (options.threads > 1)}",
            {"pairs": repeats, "descents": found},
        )


if __name__ == "__main__":
    main()
