"""Are two drawings of one character? Metric learning where some alphabets have few characters, and characters few drawings.

On the characters of Omniglot (Lake et al. 2015)::

    python experiments/verification.py images_background_small1.zip

Half of the characters of each alphabet are trained on, as classes; pairs of the others are judged. Of the training characters
the first alphabet keeps as many as the smallest one has and the last an eighth of that, and the drawings of a character fall by
a factor of 4 from the first to the last.
Every method trains the same network with the same seeds. Writes `verification.json` and `verification.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from seed_tables import FOOT, summary, table
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.problems import load
from steelyard.settings import resolve_method

HERE = Path(__file__).parent
METHODS = (
    "ce", "la", "inverse-frequency", "balanced-sampling", "group-weights", "group-sampling", "ldam", "arcface",
    "metric-learning", "metric-learning(loss=multi-similarity)", "metabalance",
)  # fmt: skip
SHOWN = (
    "verification_accuracy", "tar_at_far_0.1", "tar_at_far_0.01", "tar_at_far_0.001", "eer_accuracy", "worst_group_tar",
)  # fmt: skip
REGIME = Regime(epochs=20, batch_size=32, optimizer="adamw", lr=2e-3, weight_decay=1e-2, warmup_epochs=2, clip_norm=1.0)
TASK = "verification(groups=folder, group_factor=8)"

Json = dict[str, Any]


def markdown(found: Json) -> str:
    """The table, and the groups."""
    about = found["about"]
    groups = [
        f"{name}: {one['training_identities']} characters, {one['training_pictures']} drawings"
        for name, one in about["groups"].items()
    ]
    pairs = about["pairs"]
    return "\n".join(
        [
            "# Verification of characters", "", f"Made by `{found['command']}`; {found['seeds']} seeds.", "",
            f"{about['rows']['train']} training drawings of {len(about['class_names'])} characters ({'; '.join(groups)}); "
            f"{pairs['genuine']} genuine and {pairs['impostor']} impostor pairs of other characters in {pairs['folds']} folds.",
            "",
            *table(found["lines"], SHOWN), "", FOOT + " `worst_group_tar`: at a false-accept rate of 0.01.", "",
        ]
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Train, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a zip archive or folder of characters, alphabet/character/name.png")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=REGIME.epochs)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    task = load(chosen.data, task=TASK, factor=4.0, resize=28)
    methods = list(dict.fromkeys(["ce", *chosen.methods.split(",")]))
    runs: list[Json] = []
    for seed in range(chosen.seeds):
        for method in methods:
            started = time.process_time()
            fitted = fit(task, resolve_method(method), REGIME.replace(epochs=chosen.epochs), seed=seed, device="cpu")
            seconds = time.process_time() - started
            numbers = task.further_metrics(fitted.model, "test", torch.device("cpu"))
            runs.append({"method": method, "seed": seed, "seconds": seconds, **numbers})
            print(f"{method} seed {seed}: accuracy {numbers['verification_accuracy']:.4f}", flush=True)
    options = {"methods": ",".join(METHODS), "seeds": 3, "epochs": REGIME.epochs}
    changed = [f"--{key} {value}" for key, usual in options.items() if (value := getattr(chosen, key)) != usual]
    command = " ".join(["python experiments/verification.py", Path(chosen.data).name, *changed])
    lines = summary(runs, methods, SHOWN)
    found = {"command": command, "seeds": chosen.seeds, "about": task.describe(), "lines": lines, "runs": runs}
    chosen.results.mkdir(parents=True, exist_ok=True)
    (chosen.results / "verification.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (chosen.results / "verification.md").write_text(markdown(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
