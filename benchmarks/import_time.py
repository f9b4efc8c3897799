"""Cost of `import steelyard`, and of the names that a hand-written loop uses, against `import torch` alone.

Each import runs in a fresh interpreter, the variants interleaved. Prints ratios of medians and writes them as JSON::

    python benchmarks/import_time.py [--repeats 15] [--out benchmarks/results/import_time.json]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path

TARGET = 1.1

VARIANTS = {
    "torch": "import torch",
    "steelyard": "import steelyard",
    "steelyard, torch": "import torch, steelyard",
    "steelyard.losses": "import steelyard; steelyard.losses.LogitAdjusted",
}


def seconds(statement: str) -> float:
    """Wall-clock time of a statement in a fresh interpreter, without the interpreter's own start."""
    code = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Measure all variants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="interpreters started for each variant")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/import_time.json"))
    options = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for repeat in range(options.repeats + 1):
        for name, statement in VARIANTS.items():
            value = seconds(statement)
            if repeat:  # the first round fills the caches
                times[name].append(value)
    base = statistics.median(times["torch"])
    results = {
        name: {"seconds": statistics.median(values), "ratio": statistics.median(values) / base, "target": TARGET}
        for name, values in times.items()
    }
    for name, result in results.items():
        print(f"{name:20s} {result['seconds']:.3f} s  {result['ratio']:.3f}x import torch (target <= {TARGET}x)")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"python": platform.python_version(), "imports": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
