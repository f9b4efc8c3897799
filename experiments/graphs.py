"""Nodes of imbalanced graphs: what do graph methods add to a shifted loss?

Cora and CiteSeer with the step imbalance of GraphENS, and two tables whose rows are linked by a column (Diabetes, Haberman)::

    python experiments/graphs.py --data FOLDER                      # holds planetoid/ and metagcn_tables/
    python experiments/graphs.py --data FOLDER --part citation --seeds 2

Every seed draws its own training nodes, and all methods of a seed share them, the initial weights and the recipe. The epoch is
the one with the best balanced accuracy on the validation nodes. Each training is noted in `--out` when it ends: stopped, the
command goes on where it was. Writes `graphs.json` and `graphs.md` to `experiments/results`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from graphs_report import write
from steelyard.core.fit import fit
from steelyard.core.measure import predict_proba
from steelyard.metrics import evaluate
from steelyard.problems import load
from steelyard.settings import resolve_method, resolve_regime

HERE = Path(__file__).parent
CITATION = (
    "ce", "inverse-frequency", "la", "node-oversample", "graphsmote(space=features)", "graphsmote", "renode", "tam",
    "graphens", "bat", "bat+la", "l2rw", "meta-gcn", "meta-gcn(meta_from=train)", "graphsmote(index=released)",
)  # fmt: skip
TABLES = ("ce", "inverse-frequency", "la", "renode", "tam", "graphens", "bat", "l2rw", "meta-gcn", "meta-gcn(meta_from=train)")
RULES = {"diabetes": ("Outcome", "Glucose", 4), "haberman": ("Survival", "Lymph Nodes", 2)}
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc")

Json = dict[str, Any]


def cases(part: str, folder: Path, seeds: int) -> list[tuple[str, str, dict[str, Any], str]]:
    """What is trained: name, data, settings of the problem, and method."""
    found: list[tuple[str, str, dict[str, Any], str]] = []
    if part in ("citation", "both"):
        for name in ("cora", "citeseer"):
            settings = {"task": "graphs(protocol=graphens-step10)"}
            found += [(name, str(folder / "planetoid" / name), settings, method) for method in CITATION]
    if part in ("tables", "both"):
        for name, (target, column, threshold) in RULES.items():
            data = str(folder / "metagcn_tables" / f"{name}.csv")
            rule = f"edge_column={column},edge_threshold={threshold}"
            graph = {"task": f"graphs({rule})", "target": target, "model": "gcn(hidden=16)"}
            found += [(name, data, graph, method) for method in TABLES]
            control = {"task": f"graphs({rule},keep_edge_column=true)", "target": target, "model": "mlp(hidden=16)"}
            found += [(f"{name} without the graph", data, control, method) for method in ("ce", "la")]
    return [(name, data, settings | {"seed": seed}, method) for seed in range(seeds) for name, data, settings, method in found]


def run(data: str, settings: dict[str, Any], method: str, epochs: int) -> Json:
    """One training: numbers of the best validation epoch and of the last one on the test nodes."""
    task = load(data, **settings)
    started = time.process_time()
    fitted = fit(task, resolve_method(method), resolve_regime("graphs", epochs=epochs), seed=settings["seed"], device="cpu")
    line: Json = {"seconds": time.process_time() - started}
    for which in ("best_valid", "last"):
        proba, target = predict_proba(task, fitted.use(which), "test", "cpu")
        values = evaluate(proba, target, class_counts=task.counts).values
        line[which] = {name: float(values[name]) for name in METRICS}
    idle = [found["steps_without_weight"] for found in fitted.explanations.values() if "steps_without_weight" in found]
    return line | ({"idle": idle[0]} if idle else {})


def main(arguments: list[str] | None = None) -> int:
    """Run what is left, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with planetoid/ and metagcn_tables/")
    parser.add_argument("--part", choices=("citation", "tables", "both"), default="both")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--methods", default="", help="only these, separated by semicolons")
    parser.add_argument("--out", type=Path, default=Path("runs/graphs"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    chosen.out.mkdir(parents=True, exist_ok=True)
    file = chosen.out / "graphs.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    known = {(line["name"], line["method"], line["seed"], line["epochs"]): line for line in lines}
    only = set(filter(None, chosen.methods.split(";")))
    done = []
    for name, data, settings, method in cases(chosen.part, chosen.data, chosen.seeds):
        if only and method not in only:
            continue
        key = (name, method, settings["seed"], chosen.epochs)
        if key not in known:
            line = dict(zip(("name", "method", "seed", "epochs"), key, strict=True)) | run(
                data, settings, method, chosen.epochs
            )
            known[key] = line
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(line) + "\n")
            print(f"{name} seed {settings['seed']} {method}: {line['best_valid']['balanced_accuracy']:.3f}", flush=True)
        done.append(known[key])
    write(chosen.results, done, {"part": chosen.part, "seeds": chosen.seeds, "epochs": chosen.epochs})
    return 0


if __name__ == "__main__":
    sys.exit(main())
