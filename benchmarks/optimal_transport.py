"""Cost of optimal-transport weights: a step against plain cross-entropy on ResNet-32, and the solver against POT.

Steps of all cases are taken in turn, one right after the other; what counts is the median of the ratios to the plain step of
the same turn. Printed, and written as JSON::

    python benchmarks/optimal_transport.py [--repeats 15] [--quick] [--threads 1] [--out RESULTS.json]

`--quick` takes a small network and few turns, to see that it runs, and writes nothing unless `--out` is given.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from _results import with_threads, write
from steelyard.core.descent import plain
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool
from steelyard.core.roles import playing
from steelyard.core.rows import Batch, Clock, Rows
from steelyard.data import ResidentSource
from steelyard.data.profiles import imbalance_profile
from steelyard.nets.resnet32 import ResNet32
from steelyard.numeric.sinkhorn import nearest_masses, sinkhorn
from steelyard.weightings import OptimalTransport, TransportOptions

SIZES = ((10, 100), (100, 100), (1000, 128), (1000, 1024))
RESULTS = Path("benchmarks/results/optimal_transport.json")
EPOCH = 100
"""Steps an epoch, after each of which the meta set is looked at: about that of CIFAR-10-LT at imbalance 100."""


def score(model: nn.Module, batch: Batch) -> Rows:
    """Logits of a batch."""
    return Rows(model(batch.inputs), batch.target, index=batch.index)


def stepper(weighting: OptimalTransport | None, build: Callable[[], nn.Module], batch: Batch) -> Callable[[], None]:
    """A training step with these weights (None: unweighted)."""
    torch.manual_seed(0)
    model = build().train()
    objective = Objective() if weighting is None else Objective(weighting=weighting)
    oracle = Oracle(model, score, objective)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    heard = playing([objective])

    def step() -> None:
        # In the middle of an epoch: looks at the meta set are measured by themselves.
        oracle.clock = Clock(step=1, position=1, batches=EPOCH)
        for part in heard.preparing:
            part.prepare(oracle, batch)
        optimizer.zero_grad()
        plain(oracle, batch)
        optimizer.step()

    return step


def seconds(action: Callable[[], Any]) -> float:
    """How long it takes, once."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def in_turns(actions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Times of all, in alternating order; a first turn warms up."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(repeats + 1):
        names = list(actions) if turn % 2 == 0 else list(actions)[::-1]
        for name in names:
            spent = seconds(actions[name])
            if turn:
                times[name].append(spent)
    return times


def steps(repeats: int, build: Callable[[], nn.Module], shape: tuple[int, ...]) -> dict[str, Any]:
    """Steps of each kind, as ratios to plain ones; with the part of a look at 100 meta rows that falls to a step."""
    counts = imbalance_profile(5000, 10, 100)
    stream = torch.Generator().manual_seed(0)
    index = torch.randperm(int(counts.sum()), generator=stream)[:100]
    target = torch.repeat_interleave(torch.arange(10), counts)[index]
    batch = Batch(torch.randn(100, *shape, generator=stream), target, index)
    meta = RowPool(ResidentSource(torch.randn(100, *shape, generator=stream), torch.arange(10).repeat(10)))
    whole = TransportOptions(points="whole")
    cases = {
        "plain": None,
        "label": OptimalTransport(counts, meta, cost="label"),
        "sinkhorn": OptimalTransport(counts, meta),
        "sinkhorn, whole meta set": OptimalTransport(counts, meta, options=whole),
        "closed_form": OptimalTransport(counts, meta, method="closed_form"),
    }
    actions = {name: stepper(weighting, build, batch) for name, weighting in cases.items()}
    times = in_turns(actions, repeats)
    look = look_seconds(build, batch, meta)
    found = {}
    for name, own in times.items():
        ratios = [mine / base for mine, base in zip(own, times["plain"], strict=True)]
        share = look / EPOCH / statistics.median(times["plain"]) if name not in ("plain", "label") else 0.0
        found[name] = {
            "ratio": statistics.median(ratios),
            "ratio_with_look": statistics.median(ratios) + share,
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
            "seconds": statistics.median(own),
        }
        print(
            f"  {name:26s} {found[name]['ratio']:5.2f}x  with the look {found[name]['ratio_with_look']:5.2f}x  "
            f"(turns from {min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )
    return {"steps": found, "look_seconds": look, "steps_an_epoch": EPOCH}


def look_seconds(build: Callable[[], nn.Module], batch: Batch, meta: RowPool) -> float:
    """One pass over the meta set, without gradient."""
    model = build().eval()
    inputs = torch.cat([inputs for _, inputs in meta.source.stream([torch.arange(len(meta))])])
    with torch.no_grad():
        return min(seconds(lambda: model(inputs)) for _ in range(5))


def solvers(repeats: int) -> dict[str, Any]:
    """Our Sinkhorn and POT's at eps 0.1, both to a marginal error of 1e-6, and the closed form; nothing without POT."""
    try:
        import ot
    except ImportError:
        print("POT is not installed: no comparison of solvers")
        return {}
    found: dict[str, Any] = {}
    for points, rows in SIZES:
        stream = torch.Generator().manual_seed(0)
        cost = torch.rand(points, rows, generator=stream)
        mu, nu = torch.full((points,), 1 / points), torch.softmax(torch.randn(rows, generator=stream), 0)

        def pot(method: str, cost: Tensor = cost, mu: Tensor = mu, nu: Tensor = nu) -> Tensor:
            plan: Tensor = ot.sinkhorn(mu, nu, cost, 0.1, method=method, stopThr=1e-6, numItermax=1000, warn=False)
            return plan

        actions = {
            "ours": lambda cost=cost, mu=mu, nu=nu: sinkhorn(cost, mu, nu, 0.1, iterations=1000, tolerance=1e-6).plan,
            "ours, 20 iterations": lambda cost=cost, mu=mu, nu=nu: sinkhorn(cost, mu, nu, 0.1, iterations=20).plan,
            "POT, logarithms": lambda: pot("sinkhorn_log"),
            "POT, exponentials": lambda: pot("sinkhorn"),
            "closed form": lambda cost=cost, mu=mu: nearest_masses(cost, mu, 0.1),
        }
        times = in_turns(actions, repeats)
        error = float((actions["ours"]() - actions["POT, logarithms"]()).abs().max())
        found[f"{points}x{rows}"] = {name: statistics.median(own) for name, own in times.items()} | {"difference": error}
        text = ", ".join(f"{name} {1e3 * statistics.median(own):.2f} ms" for name, own in times.items())
        print(f"  [{points}, {rows}] {text}; plans differ by {error:.0e}", flush=True)
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="turns")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a small network, few turns")
    parser.add_argument("--out", type=Path, help=f"default: {RESULTS}, and nothing with --quick")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    repeats = min(options.repeats, 3) if options.quick else options.repeats
    small = lambda: nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10))  # noqa: E731
    build, shape = (small, (32,)) if options.quick else (lambda: ResNet32(num_classes=10), (3, 32, 32))
    print(f"steps of 100 rows, {options.threads} thread(s), median of {repeats} turns")
    result = steps(repeats, build, shape)
    print("solvers")
    result["solvers"] = solvers(repeats)
    out = options.out if options.out or options.quick else RESULTS
    if out is not None:
        write(out, with_threads(options.threads), {"turns": repeats} | result)


if __name__ == "__main__":
    main()
