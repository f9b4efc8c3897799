"""Is the advice good? How often is its first method within the best two, against always the same method.

Problems are a grid of two Gaussian classes (eta, kappa, delta, label noise) and tables as they are found; every method of the
short list trains the same small network on each, and is judged on rows that it has not seen::

    python experiments/advice.py --data FOLDER                        # tables of `benchmarks/tables/sets.py` that need files
    python experiments/advice.py --part development --data FOLDER     # the problems that the rules were written with

The rules in `steelyard.diagnosis.advice` were written with the development problems in sight, and the table is of the others.
Each training is noted in `--out` when it ends: stopped, the command goes on where it was. Writes `advice.json` and `advice.md`
to `experiments/results`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from advice_problems import Missing, Planned, Problem, planned
from advice_report import write
from steelyard.core.errors import SteelyardError
from steelyard.core.fit import fit
from steelyard.core.measure import predict_proba
from steelyard.core.regime import Regime
from steelyard.core.seeds import derive
from steelyard.diagnosis import taxonomy
from steelyard.diagnosis.advice import SHORT_LIST, measured
from steelyard.problems import load
from steelyard.settings import resolve_method

HERE = Path(__file__).parent
STEPS = 200
"""Of a training, about."""

Json = dict[str, Any]


def recalls(problem: Problem, method: str, seed: int) -> list[float]:
    """Share of each class's test rows that one network trained by the method finds."""
    task = load({"train": problem.train, "test": problem.test}, task="arrays", valid_fraction=0.0)
    rows = len(problem.train[1])
    batch = 64 if rows < 2000 else 128
    epochs = max(round(STEPS * batch / rows), 1)
    regime = Regime(
        epochs=epochs, batch_size=batch, optimizer="adamw", lr=3e-3, weight_decay=1e-2, warmup_epochs=epochs / 20, clip_norm=1.0
    )
    trained = fit(task, resolve_method(method), regime, seed=derive(seed, problem.name), device="cpu")
    proba, target = predict_proba(task, trained.model, "test", "cpu")
    found, own = np.asarray(proba).argmax(1) == np.asarray(target), np.asarray(target)
    return [float(found[own == c].mean()) for c in range(task.num_classes)]


def run(plan: Planned, seed: int, methods: list[str], known: dict[tuple[str, int], Json], file: Path) -> None:
    """Train what is not known yet of a problem, and note it."""
    line = known.get((plan.name, seed))
    if line is not None and "shares" in line and set(methods) <= set(line["recalls"]):
        return
    problem = plan.make(seed)
    started = time.process_time()
    line = line or {"name": plan.name, "kind": plan.kind, "seed": seed, "settings": dict(problem.settings), "recalls": {}}
    line["shares"] = (np.bincount(problem.train[1]) / len(problem.train[1])).tolist()
    line["measured"] = measured(taxonomy(*problem.train, seed=seed)).to_dict()
    for method in methods:
        if method not in line["recalls"]:
            line["recalls"][method] = recalls(problem, method, seed)
    line["seconds"] = line.get("seconds", 0.0) + time.process_time() - started
    known[plan.name, seed] = line
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")
    means = {method: float(np.mean(values)) for method, values in line["recalls"].items()}
    best = max(means, key=means.__getitem__)
    print(f"{plan.name} (split {seed}): best {best} {means[best]:.3f}, ce {means['ce']:.3f}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run what is left, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("development", "test"), default="test")
    parser.add_argument("--data", type=Path, help="folder of tables that no package carries")
    parser.add_argument("--splits", type=int, default=2, help="of a real table")
    parser.add_argument("--draws", type=int, default=1, help="of a synthetic problem")
    parser.add_argument("--methods", default=",".join(SHORT_LIST))
    parser.add_argument("--only", default="", help="problems whose name contains this")
    parser.add_argument("--out", type=Path, default=Path("runs/advice"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    chosen.out.mkdir(parents=True, exist_ok=True)
    file = chosen.out / f"{chosen.part}.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    known = {(line["name"], line["seed"]): line for line in lines}
    methods = chosen.methods.split(",")
    plans = [plan for plan in planned(chosen.part, chosen.data) if chosen.only in plan.name]
    left_out: dict[str, str] = {}
    wanted = [(plan, seed) for plan in plans for seed in range(chosen.draws if plan.kind == "synthetic" else chosen.splits)]
    for plan, seed in sorted(wanted, key=lambda pair: pair[1]):
        if plan.name not in left_out:
            try:
                run(plan, seed, methods, known, file)
            except (Missing, SteelyardError) as reason:
                left_out[plan.name] = str(reason)
                print(f"left out: {plan.name}: {reason}", file=sys.stderr)
    done = [known[plan.name, seed] for plan, seed in wanted if (plan.name, seed) in known]
    about = {"part": chosen.part, "splits": chosen.splits, "draws": chosen.draws, "steps": STEPS, "left_out": left_out}
    write(chosen.results, done, methods, about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
