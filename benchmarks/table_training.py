"""Cost of training a network on a table of 200,000 rows and 15 columns, against scikit-learn on the same rows.

Encoding the table and all epochs of `TableNet` under the regime `for_table`, against as many epochs of scikit-learn's
`MLPClassifier` (batches of 200 rows, one hidden layer of 100), and against a default fit of `HistGradientBoostingClassifier`.
A pair is one right after the other, in alternating order; what counts is the median of the pairs' ratios. Printed, and written
as JSON::

    python benchmarks/table_training.py [--repeats 3] [--quick] [--threads 1] [--out benchmarks/results/table_training.json]

`--quick` takes few rows, to see that it runs, and writes nothing unless `--out` is given.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from _results import with_threads, write
from steelyard.core.fit import fit
from steelyard.methods.ce import ce
from steelyard.nets.table_net import settings_for
from steelyard.regimes.for_table import for_table
from steelyard.tasks.tables import TableTask

ROWS, COLUMNS = 200_000, 15
SETTINGS = settings_for(ROWS, COLUMNS)
RESULTS = Path("benchmarks/results/table_training.json")


def table(rows: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Numbers with a target that a linear model cannot see all of; 5 % of the rows are positive."""
    stream = np.random.default_rng(0)
    values = stream.normal(size=(rows, COLUMNS))
    score = values[:, 0] + values[:, 1] * values[:, 2] + np.abs(values[:, 3]) + stream.normal(size=rows)
    return pd.DataFrame(values, columns=[f"x{i}" for i in range(COLUMNS)]), (score > np.quantile(score, 0.95)).astype(int)


def ours(frame: pd.DataFrame, target: np.ndarray, **changes: Any) -> None:
    """Encode and train."""
    task = TableTask.of(
        "table",
        ["no", "yes"],
        {"train": frame},
        {"train": torch.from_numpy(target)},
        model="table-net",
        model_settings=SETTINGS,
    )
    fit(task, ce, for_table(rows=len(frame), **changes), device="cpu")


def theirs(frame: pd.DataFrame, target: np.ndarray, epochs: int) -> None:
    """scikit-learn's network for so many epochs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        MLPClassifier(max_iter=epochs, n_iter_no_change=epochs + 1, random_state=0).fit(frame, target)


def ratio(first: Callable[[], None], second: Callable[[], None], repeats: int) -> dict[str, float]:
    """Seconds of both, and the median of the pairs' ratios."""
    seconds: list[tuple[float, float]] = []
    for repeat in range(repeats):
        taken = {}
        for which in (0, 1) if repeat % 2 == 0 else (1, 0):
            started = time.perf_counter()
            (first, second)[which]()
            taken[which] = time.perf_counter() - started
        seconds.append((taken[0], taken[1]))
    return {
        "ours_seconds": round(statistics.median(a for a, _ in seconds), 2),
        "theirs_seconds": round(statistics.median(b for _, b in seconds), 2),
        "ratio": round(statistics.median(a / b for a, b in seconds), 2),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="pairs a ratio")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="few rows, one pair")
    parser.add_argument("--out", type=Path, help=f"default: {RESULTS}, and nothing with --quick")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows, repeats = (5000, 1) if options.quick else (ROWS, options.repeats)
    frame, target = table(rows)
    with threadpool_limits(options.threads):
        ours(*table(2000), epochs=1)  # what is loaded and set up once
        epochs = for_table(rows=rows).epochs
        equal = ratio(lambda: ours(frame, target), lambda: theirs(frame, target, epochs), repeats)
        print(f"{epochs} epochs against MLPClassifier: {equal['ratio']:.2f}x (target: at most 1)", flush=True)
        whole = ratio(
            lambda: ours(frame, target),
            lambda: void(HistGradientBoostingClassifier(random_state=0).fit(frame, target)),
            repeats,
        )
        print(f"a whole fit against HistGradientBoostingClassifier: {whole['ratio']:.2f}x (target: at most 5)")
    out = options.out if options.out or options.quick else RESULTS
    if out is not None:
        found = {"rows": rows, "columns": COLUMNS, "epochs": epochs, "mlp": equal, "trees": whole}
        write(out, with_threads(options.threads), found)


def void(_: object) -> None:
    """Throw a result away."""


if __name__ == "__main__":
    main()
