"""Several labels an example: which methods help the rare labels, and how much of that is just the threshold?

Two sets, one of photographed digits and one of tables::

    python experiments/multi_label.py                                   # pictures of several digits
    python experiments/multi_label.py --credit default.parquet          # and the clients of a bank

`digits`: pictures of 16x16 pixels, four cells of which one to four hold a handwritten digit of scikit-learn's set; the digits
are drawn with a long tail, so label 9 is present in about one picture in 28. The handwritten digits are real, the pictures
composed; test pictures are made of digits that no training picture has. `credit`: credit card clients (UCI, Yeh and Lien 2009);
labels are a payment two months late or more in each of six months, and default in the month after; features are all columns
but those.

Every method trains the same network with the same seeds. Numbers are of the last epoch, on test examples; "tuned" decides by
thresholds that have the best F1 of each label on validation examples. Writes `multi_label.json` and `multi_label.md`.
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

from seed_tables import FOOT, summary, table
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.task import Task
from steelyard.problems import load
from steelyard.settings import resolve_method

HERE = Path(__file__).parent
METHODS = (
    "ce", "la", "inverse-frequency", "drw", "focal", "balanced-sampling", "asymmetric", "distribution-balanced",
    "distribution-balanced+balanced-sampling", "mixup",
)  # fmt: skip
SHOWN = ("map", "few_label_recall", "label_f1", "tuned_label_f1", "tuned_micro_f1")
FACTOR = 20.0
"""How many times as often digit 0 is drawn as digit 9."""
REGIMES = {
    "digits": Regime(epochs=15, batch_size=64, optimizer="adamw", lr=3e-3, weight_decay=1e-2, warmup_epochs=1, clip_norm=1.0),
    "credit": Regime(epochs=8, batch_size=256, optimizer="adamw", lr=2e-3, weight_decay=1e-2, warmup_epochs=1, clip_norm=1.0),
}

Json = dict[str, Any]


def pictures(count: int, seed: int, images: np.ndarray, digits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures `[N, 16, 16]` uint8 and the digits in them `[N, 10]`."""
    draws = np.random.default_rng(seed)
    odds = FACTOR ** -(np.arange(10) / 9)
    by_digit = [np.flatnonzero(digits == digit) for digit in range(10)]
    X, Y = np.zeros((count, 16, 16), np.uint8), np.zeros((count, 10), np.int64)
    for row in range(count):
        for cell in draws.choice(4, draws.integers(1, 5), replace=False):
            digit = draws.choice(10, p=odds / odds.sum())
            top, left = 8 * (cell // 2), 8 * (cell % 2)
            X[row, top : top + 8, left : left + 8] = images[draws.choice(by_digit[digit])]
            Y[row, digit] = 1
    noise = draws.normal(0, 40, X.shape)
    return np.clip(X + noise, 0, 255).astype(np.uint8), Y


def digits_task(examples: int) -> Task:
    """Pictures of several digits."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images, digits = np.round(found.images * 255 / 16).astype(np.uint8), found.target
    order = np.random.default_rng(0).permutation(len(digits))
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    data = {
        "train": pictures(examples, 1, images[first], digits[first]),
        "test": pictures(2 * examples, 2, images[second], digits[second]),
    }
    return load(data, task="multi-label(labels=0;1;2;3;4;5;6;7;8;9)", valid_fraction=0.2)


def credit_task(path: Path, examples: int) -> Task:
    """Clients of a bank."""
    import pandas as pd

    frame = pd.read_parquet(path)
    late = [name for name in frame.columns if name.startswith("PAY_") and not name.startswith("PAY_AMT")]
    labels = pd.DataFrame({f"late {name[4:]}": (frame[name] >= 2).astype(int) for name in late})
    labels["default"] = frame["DEFAULT"].astype(int)
    features = frame.drop(columns=[*late, "DEFAULT", "ID"], errors="ignore").astype(float)
    chosen = np.random.default_rng(0).permutation(len(frame))[: 4 * examples]
    return load((features.iloc[chosen].reset_index(drop=True), labels.iloc[chosen].reset_index(drop=True)), task="multi-label")


def trained(task: Task, name: str, method: str, seed: int, epochs: int | None) -> Json:
    """Numbers of one run on the test examples."""
    regime = REGIMES[name] if epochs is None else REGIMES[name].replace(epochs=epochs)
    started = time.process_time()
    fitted = fit(task, resolve_method(method), regime, seed=seed, device="cpu")
    numbers = task.further_metrics(fitted.model, "test", torch.device("cpu"))
    return {"method": method, "seed": seed, "seconds": time.process_time() - started, **numbers}


def markdown(found: Json) -> str:
    """The tables."""
    text = ["# Several labels an example", "", f"Made by `{found['command']}`; {found['seeds']} seeds.", ""]
    for name, part in found["sets"].items():
        about = part["about"]
        present = ", ".join(f"{label} {share:.1%}" for label, share in about["present"].items())
        text += [f"## {name}", "", f"{about['rows']['train']} training examples; labels present in: {present}.", ""]
        text += [*table(part["lines"], SHOWN), ""]
    return "\n".join([*text, FOOT, ""])


def main(arguments: list[str] | None = None) -> int:
    """Train, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--credit", type=Path, help="the Parquet file of credit card clients")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--examples", type=int, default=2000, help="training examples, about")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    methods = list(dict.fromkeys(["ce", *chosen.methods.split(",")]))
    tasks = {"digits": digits_task(chosen.examples)}
    if chosen.credit is not None:
        tasks["credit"] = credit_task(chosen.credit, chosen.examples)
    sets: Json = {}
    for name, task in tasks.items():
        runs = []
        for seed in range(chosen.seeds):
            for method in methods:
                runs.append(trained(task, name, method, seed, chosen.epochs))
                print(f"{name} {method} seed {seed}: map {runs[-1]['map']:.4f}", flush=True)
        pairs = task.counts.view(-1, 2).double()
        shares = (pairs[:, 1] / pairs.sum(1)).tolist()
        about = task.describe()
        about["present"] = dict(zip(about["labels"], shares, strict=True))
        sets[name] = {"about": about, "lines": summary(runs, methods, SHOWN), "runs": runs}
    command = "python experiments/multi_label.py" + (" --credit default.parquet" if chosen.credit else "")
    options = {"methods": ",".join(METHODS), "seeds": 3, "examples": 2000, "epochs": None}
    changed = [f"--{key} {value}" for key, usual in options.items() if (value := getattr(chosen, key)) != usual]
    found = {"command": " ".join([command, *changed]), "seeds": chosen.seeds, "sets": sets}
    chosen.results.mkdir(parents=True, exist_ok=True)
    (chosen.results / "multi_label.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (chosen.results / "multi_label.md").write_text(markdown(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
