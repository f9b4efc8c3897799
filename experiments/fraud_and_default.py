"""Card fraud and loan default: methods for imbalance through `SteelyardClassifier`, and two strong simple opponents.

Fraud is split by time, as whoever fights it would have to: a week of transactions to train on, a week in which frauds come to
light, a week to test on. Clients of a bank are split at random, anew for each seed. Both files are public: transactions of the
Fraud Detection Handbook with its aggregated features, and "default of credit card clients" of UCI::

    python experiments/fraud_and_default.py --fraud transactions.parquet --default default.parquet

Trained is on `--rows` rows: of the fraud week all frauds and some genuine transactions, drawn anew for each seed, and of the
clients a random part. All probabilities are then put to the class mix of all rows that could have been trained on. Every method
has the same network, recipe and held-out rows for its threshold; the opponents weigh classes equally and decide at one half.
MetaBalance is what its abstract tells, a step on batches as they are inside and balanced batches outside; `balanced-sampling`
is the same without the inner step. Writes `fraud_and_default.json` and `.md` to `experiments/results`, and goes on where it
was.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from seed_tables import FOOT, summary, table
from steelyard import SteelyardClassifier
from steelyard.core.errors import DataError
from steelyard.core.seeds import derive
from steelyard.metrics import auprc, auroc, balanced_accuracy, brier, g_mean

HERE = Path(__file__).parent
METHODS = (
    "ce", "la", "focal", "class-balanced", "ldam-drw", "rdr", "cdb", "mw-net", "balanced-sampling", "metabalance",
    "metabalance(first_order=true)", "sam", "imb-sam", "auto", "logistic regression", "gradient boosting",
    "gradient boosting, all rows",
)  # fmt: skip
METRICS = ("auprc", "auroc", "balanced_accuracy", "g_mean", "brier", "recall_at_1%")
ALERTS = 0.01
"""Share of the test rows that can be looked at."""
NOT_FEATURES = {"TRANSACTION_ID", "CUSTOMER_ID", "TERMINAL_ID", "TX_DATETIME", "TX_TIME_SECONDS", "TX_TIME_DAYS"}
NOT_FEATURES |= {"TX_FRAUD", "TX_FRAUD_SCENARIO", "ID", "DEFAULT"}

OPPONENTS: dict[str, Callable[[int], Any]] = {
    "logistic regression": lambda seed: make_pipeline(
        StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000)
    ),
    "gradient boosting": lambda seed: HistGradientBoostingClassifier(class_weight="balanced", random_state=seed),
}
EVERY = ", all rows"
"""What follows the name of an opponent that is given all rows which could be trained on."""


@dataclass(frozen=True)
class Split:
    """Rows of one seed.

    Attributes:
        X: features to train on.
        y: 0 and 1 `[N]`.
        test_X: features to test on.
        test_y: 0 and 1 `[M]`.
        all_X: features of all rows that could have been trained on.
        all_y: 0 and 1.
    """

    X: pd.DataFrame
    y: np.ndarray
    test_X: pd.DataFrame
    test_y: np.ndarray
    all_X: pd.DataFrame
    all_y: np.ndarray


def fraud(path: Path, rows: int, seed: int) -> Split:
    """The first week, of which all frauds are kept, and the third."""
    frame = pd.read_parquet(path)
    day = (frame["TX_DATETIME"] - frame["TX_DATETIME"].min().normalize()).dt.days
    y = frame["TX_FRAUD"].to_numpy().astype(int)
    first, last = np.flatnonzero(day < 7), np.flatnonzero((day >= 14) & (day < 21))
    if len(last) == 0:
        raise DataError(f"{path.name}: three weeks of transactions are needed, and there are {int(day.max()) + 1} days")
    positives, negatives = first[y[first] == 1], first[y[first] == 0]
    drawn = np.random.default_rng(derive(seed, "rows")).permutation(negatives)[: max(rows - len(positives), 1)]
    train = np.sort(np.concatenate([positives, drawn]))
    X = features(frame)
    return Split(X.iloc[train], y[train], X.iloc[last], y[last], X.iloc[first], y[first])


def default(path: Path, rows: int, seed: int) -> Split:
    """A random part of the clients, and as many others as there are left."""
    frame = pd.read_parquet(path)
    y = frame["DEFAULT"].to_numpy().astype(int)
    order = np.random.default_rng(derive(seed, "rows")).permutation(len(frame))
    half, test = order[: len(frame) // 2], order[len(frame) // 2 :]
    train, X = half[:rows], features(frame)
    return Split(X.iloc[train], y[train], X.iloc[test], y[test], X.iloc[half], y[half])


def features(frame: pd.DataFrame) -> pd.DataFrame:
    """What may be learnt from, as numbers: no names, no raw times, not what was done with the answer known."""
    found: pd.DataFrame = frame[[name for name in frame.columns if name not in NOT_FEATURES]].astype(np.float32)
    return found


def one(split: Split, method: str, seed: int, epochs: int | None) -> dict[str, Any]:
    """The numbers of a method on the test rows."""
    started, told, share = time.process_time(), {}, float(split.all_y.mean())
    opponent = OPPONENTS.get(method.removesuffix(EVERY))
    if opponent is not None:
        rows = (split.all_X, split.all_y) if method.endswith(EVERY) else (split.X, split.y)
        model = opponent(seed).fit(*rows)
        score = model.predict_proba(split.test_X)[:, 1]
        decided = (score >= 0.5).astype(int)
        odds = score / np.maximum(1 - score, 1e-12) * share / (1 - share)  # both classes weighed the same
        proba = odds / (1 + odds)
    else:
        regime = "auto" if epochs is None else f"tables(epochs={epochs})"
        model = SteelyardClassifier(method, regime=regime, validation=0.15, random_state=seed).fit(split.X, split.y)
        proba = model.predict_proba(split.test_X, prior=[1 - share, share])[:, 1]
        decided = model.predict(split.test_X)
        told = {"chosen": model.method_} if method == "auto" else {}
    seconds = time.process_time() - started
    both = np.stack([1 - proba, proba], 1)
    return {
        "auprc": auprc(both, split.test_y),
        "auroc": auroc(both, split.test_y),
        "balanced_accuracy": balanced_accuracy(decided, split.test_y),
        "g_mean": g_mean(decided, split.test_y),
        "brier": brier(both, split.test_y),
        "recall_at_1%": caught(proba, split.test_y),
        "seconds": seconds,
        **told,
    }


def caught(score: np.ndarray, target: np.ndarray) -> float:
    """Share of the positives among the highest-scored 1 % of the rows; of equal scores at the border, what chance finds."""
    rows = max(round(ALERTS * len(score)), 1)
    border = np.sort(score)[-rows]
    above, at = score > border, score == border
    return float((target[above].sum() + target[at].sum() * (rows - above.sum()) / at.sum()) / target.sum())


def page(about: dict[str, Any], runs: list[dict[str, Any]], methods: list[str]) -> str:
    """The results as Markdown."""
    lines = [f"`{about['command']}`", ""]
    for name, facts in about["data"].items():
        own = [run for run in runs if run["data"] == name]
        lines += [
            f"## {name}",
            "",
            f"{facts['train']:,} of {facts['all']:,} rows to train on, {facts['positives']:,} of them positive; "
            f"{facts['test']:,} to test on, "
            f"{100 * facts['test_share']:.2f} % positive; {about['seeds']} seeds.",
            "",
            *table(summary(own, methods, METRICS), METRICS),
            "",
        ]
    chosen = ", ".join(f"{run['chosen']} ({run['data']}, seed {run['seed']})" for run in runs if run.get("chosen"))
    lines += [FOOT + " Less is better for `brier`, the sum over both classes."]
    return "\n".join([*lines, *(["", f"`auto` chose {chosen}."] if chosen else []), ""])


def main(arguments: list[str] | None = None) -> int:
    """Run what is not there yet, and write tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fraud", type=Path, help="transactions.parquet")
    parser.add_argument("--default", type=Path, help="default.parquet")
    parser.add_argument("--rows", type=int, default=8000, help="to train on")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="of every method; the usual recipe by default")
    parser.add_argument("--methods", default=";".join(METHODS), help="separated by semicolons")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    given = {
        name: (load, path) for name, load, path in (("fraud", fraud, options.fraud), ("default", default, options.default))
    }
    given = {name: (load, path) for name, (load, path) in given.items() if path is not None}
    methods = options.methods.split(";")
    if not given or "ce" not in methods or options.seeds < 2:
        parser.error("give --fraud, --default or both, at least 2 seeds, and 'ce' among the methods")
    told = shlex.join(sys.argv[1:] if arguments is None else arguments)
    about: dict[str, Any] = {"command": f"python experiments/fraud_and_default.py {told}", "seeds": options.seeds, "data": {}}
    file = options.results / "fraud_and_default.json"
    settings = {"rows": options.rows, "epochs": options.epochs}
    before = json.loads(file.read_text()) if file.exists() else {}
    runs: list[dict[str, Any]] = before.get("runs", []) if before.get("settings") == settings else []
    done = {(run["data"], run["method"], run["seed"]) for run in runs}
    options.results.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds):
        for name, (load, path) in given.items():
            split = load(path, options.rows, seed)
            about["data"][name] = {
                "all": len(split.all_y),
                "train": len(split.y),
                "positives": int(split.y.sum()),
                "test": len(split.test_y),
                "test_share": float(split.test_y.mean()),
            }
            for method in methods:
                if (name, method, seed) in done:
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = one(split, method, seed, options.epochs)
                runs.append({"data": name, "method": method, "seed": seed, **found})
                print(name, method, seed, found, flush=True)
                file.write_text(json.dumps({"settings": settings, **about, "runs": runs}, indent=1) + "\n")
    file.write_text(json.dumps({"settings": settings, **about, "runs": runs}, indent=1) + "\n")
    wanted = [run for run in runs if run["data"] in given and run["method"] in methods and run["seed"] < options.seeds]
    file.with_suffix(".md").write_text(page(about, wanted, methods))
    return 0


if __name__ == "__main__":
    sys.exit(main())
