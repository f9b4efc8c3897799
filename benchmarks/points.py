"""Time of the geodesic decomposition, and of the features, against the number of points: does it grow in proportion?

    python benchmarks/points.py --most 10000000 --seconds 120

The points are a scan of a forest: the synthetic one, repeated side by side. Prints a line a size, and the growth of the time
over the growth of the points (1 is proportional).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from _results import write
from steelyard.data.clouds import forest
from steelyard.tasks.points.geodesic import decompose
from steelyard.tasks.points.geometry import geometric_features


def plot_of(points: int) -> np.ndarray:
    """About so many points `[N, 3]`: a hectare after another, 100 trees each with 1000 points and ground."""
    one = forest(100, points_per_tree=1000)
    local, _ = one.local()
    copies = max(round(points / len(local)), 1)
    side = int(np.ceil(np.sqrt(copies)))
    width = local[:, :2].max() + 0.3
    parts = [local + np.array([width * (i % side), width * (i // side), 0.0]) for i in range(copies)]
    return np.concatenate(parts)


def timed(function: Callable[[np.ndarray], Any], xyz: np.ndarray) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    function(xyz)
    return time.perf_counter() - started


def main() -> None:
    """Double the points until the time or the largest size is reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--least", type=int, default=100_000)
    parser.add_argument("--most", type=int, default=10_000_000)
    parser.add_argument("--seconds", type=float, default=120.0, help="stop after the size that goes beyond this")
    parser.add_argument("--out", type=Path, help="also write the lines as JSON, such as benchmarks/results/points.json")
    parser.add_argument("--features", action="store_true", help="time the geometric features too (grain 0.1)")
    asked = parser.parse_args()
    parts: dict[str, Callable[[np.ndarray], Any]] = {"decompose": decompose}
    if asked.features:
        parts["features"] = lambda xyz: geometric_features(xyz, grain=0.1)
    before: dict[str, tuple[int, float]] = {}
    size, spent = asked.least, 0.0
    lines: list[dict[str, Any]] = []
    print("points      part        seconds   us/point  growth of time / growth of points")
    while size <= asked.most and spent < asked.seconds:
        xyz = plot_of(size)
        for name, function in parts.items():
            seconds = timed(function, xyz)
            spent += seconds
            ratio = ""
            if name in before:
                points, earlier = before[name]
                ratio = f"{(seconds / earlier) / (len(xyz) / points):.2f}"
            before[name] = len(xyz), seconds
            lines.append({"points": len(xyz), "part": name, "seconds": round(seconds, 3)})
            print(f"{len(xyz):<11,} {name:<11} {seconds:8.2f}  {1e6 * seconds / len(xyz):8.2f}   {ratio}", flush=True)
        size *= 10 if size * 10 <= asked.most else max(2, -(-asked.most // size))
    if asked.out is not None:
        write(asked.out, "1 thread", {"command": "python benchmarks/points.py", "lines": lines})


if __name__ == "__main__":
    main()
