"""Few-shot learners on Omniglot with unequal support: what imbalance costs, and what helps, over common episodes.

Every learner is trained on 5-way episodes of 28x28 characters, with equal ("standard") or random support, and judged on the
same test episodes under four profiles of support: balanced 5-5, linear 1-9, a step of 1-9 with one minority class (37
examples in all), and the matched step of 1-6, which has 25 as the first two have. Queries are the same under all of them::

    python experiments/few_shot.py --data FOLDER_WITH_OMNIGLOT_ZIPS

Each training is noted in `--out` when it ends: stopped, the command goes on where it was. Writes `few_shot.json`, `few_shot.md`
and `few_shot.svg` to `experiments/results`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from few_shot_report import write
from steelyard.core.fit import fit
from steelyard.core.measure import predict_logits
from steelyard.core.task import Task
from steelyard.nets.episodic import FewShotLearner, Rebalance
from steelyard.nets.episodic.adapting import Adapting
from steelyard.problems import ProblemSettings, load
from steelyard.settings import resolve_method, resolve_regime
from steelyard.tasks.episodes import bias_audit
from steelyard.tasks.episodes.scores import episode_accuracies

HERE = Path(__file__).parent
WAY, QUERIES = 5, 10
PROFILES = {
    "balanced 5-5": "shots=5-5,profile=balanced",
    "linear 1-9": "shots=1-9,profile=linear",
    "step 1-9": "shots=1-9,profile=step,minority=0.2",
    "step 1-6": "shots=1-6,profile=step,minority=0.2",
}
TREATMENTS = ("none", "ros")
"""At inference, without training again."""
METHODS = (
    "ce",
    "cosine-prototypes",
    "matchingnet",
    "relationnet",
    "dkt",
    "simpleshot",
    "knn",
    "baseline",
    "baseline-pp",
    "maml(inner_steps=3)",
    "proto-maml(inner_steps=3,inner_lr=0.05)",
    "protonet(training=random-shot)",
    "protonet(training=random-shot,rebalance=ros)",
    "protonet(training=random-shot,rebalance=weighted)",
    "maml(training=random-shot,rebalance=weighted,inner_steps=3)",
)

Json = dict[str, Any]


@dataclass(frozen=True)
class Budget:
    """How much is done.

    Attributes:
        train: training episodes.
        test: test episodes of each profile.
        width: channels of the backbone.
        resize: pixels a side; None for images as they are.
    """

    train: int
    test: int
    width: int
    resize: int | None = 28


def tasks_of(data: Any, budget: Budget) -> dict[str, Task]:
    """The task under each profile: the same classes, backbone, training images and queries."""
    made = {}
    for name, shots in PROFILES.items():
        text = f"episodes(way={WAY},{shots},queries={QUERIES},episodes={budget.train},test_episodes={budget.test})"
        problem = ProblemSettings(task=text, model="conv4", model_settings={"width": budget.width}, resize=budget.resize)
        made[name] = load(data, problem.replace(valid_fraction=0.0))
    return made


def judged(task: Task, model: nn.Module) -> Json:
    """Accuracy of every test episode, and by rank of support the recall and the share of decisions."""
    logits, target = predict_logits(task, model, task.splits["test"])
    said = logits.argmax(1)
    by_rank = [target == rank for rank in range(WAY)]
    return {
        "accuracies": [round(value, 4) for value in episode_accuracies(logits, target, WAY * QUERIES).tolist()],
        "recall": [float((said == target)[members].double().mean()) for members in by_rank],
        "share": _shares(said),
    }


def _shares(said: Tensor) -> list[float]:
    return (torch.bincount(said, minlength=WAY) / len(said)).tolist()


def run(method: str, seed: int, tasks: dict[str, Task]) -> Json:
    """Train once and judge under all profiles, without and with oversampling at inference."""
    training = tasks["linear 1-9"]  # its low and high are those of random-shot training; standard is 5-5
    started = time.process_time()
    fitted = fit(training, resolve_method(method), resolve_regime("episodes", epochs=1), seed=seed, device="cpu")
    trained = time.process_time() - started
    model, found = fitted.model, {}
    assert isinstance(model, FewShotLearner)  # what every method here trains
    own = model.rebalance
    for name, task in tasks.items():
        for kind in (
            TREATMENTS[:1] if isinstance(model, Adapting) else TREATMENTS
        ):  # adapting twice would take half the time of all
            model.rebalance = Rebalance("ros") if kind == "ros" else Rebalance() if own.kind == "ros" else own
            found[f"{name}|{kind}"] = judged(task, model)
    line = {"method": method, "seed": seed, "seconds": trained, "episodes": fitted.steps, "found": found}
    worst = {name: sum(found[f"{name}|none"]["accuracies"]) / len(found[f"{name}|none"]["accuracies"]) for name in tasks}
    print(
        f"{method}, seed {seed}: {trained:.0f} s; " + ", ".join(f"{name} {value:.3f}" for name, value in worst.items()),
        flush=True,
    )
    return line


def main(arguments: list[str] | None = None) -> int:
    """Train, judge, and write the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of Omniglot's zip archives, or any images by class")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", type=int, default=150, help="training episodes")
    parser.add_argument("--test", type=int, default=60, help="test episodes of each profile")
    parser.add_argument("--width", type=int, default=16, help="channels of the backbone")
    parser.add_argument("--resize", type=int, default=28, help="pixels a side; 0 for images as they are")
    parser.add_argument("--queries", type=int, default=20_000, help="decisions of the bias audit")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--out", type=Path, default=Path("runs/few_shot"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    chosen.out.mkdir(parents=True, exist_ok=True)
    budget = Budget(chosen.train, chosen.test, chosen.width, chosen.resize or None)
    file = chosen.out / f"few_shot-{budget.train}-{budget.test}-{budget.width}.jsonl"
    lines = [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    known = {(line["method"], line["seed"]): line for line in lines}
    tasks = tasks_of(chosen.data, budget)
    for seed in range(chosen.seeds):
        for method in chosen.methods:
            if (method, seed) not in known:
                known[method, seed] = run(method, seed, tasks)
                with file.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(known[method, seed]) + "\n")
    done = [known[method, seed] for method in chosen.methods for seed in range(chosen.seeds)]
    facts = tasks["linear 1-9"].describe()
    about = {
        "train": budget.train,
        "test": budget.test,
        "width": budget.width,
        "seeds": chosen.seeds,
        "classes": facts["classes"],
    }
    write(chosen.results, done, list(PROFILES), about, bias_audit(queries=chosen.queries))
    return 0


if __name__ == "__main__":
    sys.exit(main())
