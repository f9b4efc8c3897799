"""Does debLoRA help a tail that LoRA has already been fine-tuned on? A small backbone, a long-tailed target, and its controls.

A small network is pre-trained by self-supervision on images without their labels, once; then an adapter on it is fine-tuned on
a long-tailed part of another data set::

    python experiments/adapters.py --pretrain cifar100/ --target cifar10/

Both are anything that `steelyard` reads images from; "attributes" makes images here, of classes that share attributes::

    python experiments/adapters.py --pretrain attributes --target attributes --pretrain-rows 4000 --seeds 5

Every method trains the same adapter on the same rows with the same recipe; each seed draws its own training rows, and all are
judged on the same balanced test rows. Beside debLoRA are: LoRA with plain and with adjusted logits, before (`la`) and after
training (`posthoc-la`); LoRA with a classifier trained again on balanced rows (`crt`); and debLoRA with its aim taken away:
towards the class's own mean, in random directions, and nowhere (`strength=0`, a second adapter that copies the first). Writes
`adapters_<target>.json` and `.md` to `experiments/results`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from steelyard.core.fit import fit
from steelyard.core.measure import further_metrics, predict_proba
from steelyard.core.seeds import derive
from steelyard.core.task import Task
from steelyard.data.encoded import decode
from steelyard.data.profiles import imbalance_profile
from steelyard.data.read import read_path
from steelyard.metrics import evaluate
from steelyard.problems import load
from steelyard.settings import resolve_method, resolve_regime

HERE = Path(__file__).parent
ATTRIBUTES = "attributes"
METHODS = (
    "ce", "posthoc-la", "la", "crt", "deblora", "deblora(towards=own-mean)", "deblora(towards=random)", "deblora(strength=0)",
    "deblora(probe=balanced)", "deblora(towards=own-mean,probe=balanced)", "deblora(adapter_rows=balanced,probe=balanced)",
    "deblora(towards=own-mean,adapter_rows=balanced,probe=balanced)",
)  # fmt: skip
CONTROLS_OF = {
    "deblora": ("deblora(towards=own-mean)", "deblora(towards=random)", "deblora(strength=0)"),
    "deblora(probe=balanced)": ("deblora(towards=own-mean,probe=balanced)",),
    "deblora(adapter_rows=balanced,probe=balanced)": ("deblora(towards=own-mean,adapter_rows=balanced,probe=balanced)",),
}
"""What a variant must beat before its clusters can be credited."""
SHARED = ("posthoc-la", "la", "crt")
SHOWN = ("macro_f1", "head_f1", "middle_f1", "tail_f1", "balanced_accuracy")


class Images:
    """Encoded images of one split, of which some are decoded."""

    def __init__(self, path: Path, split: str) -> None:
        part = read_path(path).parts[split]
        self.inputs = part.inputs
        self.names, self.labels = np.unique(part.labels, return_inverse=True)

    def take(self, counts: Sequence[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
        """So many images of each class, drawn by `seed`."""
        rng = np.random.default_rng(derive(seed, "rows"))
        rows = np.concatenate(
            [rng.permutation(np.flatnonzero(self.labels == label))[:count] for label, count in enumerate(counts)]
        )
        pixels = self.inputs[rows] if isinstance(self.inputs, np.ndarray) else decode(self.inputs, rows.tolist()).pixels.numpy()
        return pixels, self.labels[rows]


class Attributes:
    """Images of 12x12 pixels that show attributes, each of which is a fixed pattern; made here.

    Ten classes have three of twelve attributes each, so every attribute of a small class is one of larger classes too. An image
    adds the patterns of its class, each with a strength of its own, those of chance attributes, and noise.

    Args:
        split: of "train", "test" and "pretrain", for other images.
    """

    side, attributes, classes = 12, 12, 10

    def __init__(self, split: str) -> None:
        self.split = split
        self.names = np.array([f"class {label}" for label in range(self.classes)])
        rng = np.random.default_rng(derive(0, "attributes"))
        self.patterns = np.abs(np.kron(rng.normal(size=(self.attributes, 3, 6, 6)), np.ones((1, 1, 2, 2))))
        sets = list(combinations(range(self.attributes), 3))
        self.of = np.zeros((self.classes, self.attributes))
        for label, pick in enumerate(rng.permutation(len(sets))[: self.classes]):
            self.of[label, list(sets[pick])] = 1

    def take(self, counts: Sequence[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
        """So many images of each class, drawn by `seed`."""
        rng = np.random.default_rng(derive(seed, "images", self.split))
        y = np.repeat(np.arange(self.classes), counts)
        shown = self.of[y] * rng.uniform(0.3, 1.0, (len(y), self.attributes))
        shown += (rng.random(shown.shape) < 0.15) * rng.uniform(0.2, 0.6, shown.shape)
        values = np.tensordot(shown, self.patterns, 1) + 0.6 * np.abs(rng.normal(size=(len(y), 3, self.side, self.side)))
        return (values * 45).clip(0, 255).astype(np.uint8), y


def task_of(options: argparse.Namespace, train: Images | Attributes, test: Images | Attributes, seed: int) -> Task:
    """The long-tailed target of a seed, seen through the pre-trained network."""
    classes = len(train.names)
    counts = imbalance_profile(options.rows, classes, options.factor, "exp").tolist()
    adapter = (
        f"adapters(backbone={options.backbone},targets={options.targets},rank={options.rank},pretrain={options.pretrain},"
        f"pretrain_rows={options.pretrain_rows},pretrain_epochs={options.pretrain_epochs},groups=terciles)"
    )
    held = {"train": train.take(counts, seed), "test": test.take([options.test_rows] * classes, 0)}
    return load(held, task=adapter, valid_fraction=0.0)


def one(task: Task, method: str, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Numbers of a method on a task's test rows."""
    regime = resolve_regime("adapters", epochs=options.epochs, batch_size=options.batch_size, lr=options.lr)
    fitted = fit(task, resolve_method(method), regime, seed=seed, device="cpu")
    proba, target = predict_proba(task, fitted.model, "test", "cpu")
    values = evaluate(proba, target, class_counts=task.counts).values | further_metrics(task, fitted.model, "test", "cpu")
    told = fitted.explanations.get("objective.loss")
    return {"metrics": {name: values[name] for name in SHOWN}, "seconds": fitted.seconds, "found": told}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval (Student's t)."""
    n = len(values)
    if n < 2:
        return float(np.mean(values)), math.nan
    return float(np.mean(values)), float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n))


def compared(runs: dict[str, list[dict[str, Any]]], metric: str) -> list[dict[str, Any]]:
    """Paired differences of the variants of debLoRA from their controls and from the simple methods."""
    found = []
    for method, controls in CONTROLS_OF.items():
        for control in (*controls, *SHARED):
            if method in runs and control in runs:
                pairs = zip(runs[method], runs[control], strict=True)
                mean, half = interval([a["metrics"][metric] - b["metrics"][metric] for a, b in pairs])
                found.append({"method": method, "than": control, "metric": metric, "difference": mean, "half": half})
    return found


def verdict(differences: list[dict[str, Any]]) -> list[str]:
    """A sentence a variant: is it better than each control by more than chance?"""
    lines = []
    for method in dict.fromkeys(entry["method"] for entry in differences):
        mine = [entry for entry in differences if entry["method"] == method]
        sure = [entry["than"] for entry in mine if entry["difference"] - entry["half"] > 0]
        worse = [entry["than"] for entry in mine if entry["difference"] + entry["half"] < 0]
        rest = [entry["than"] for entry in mine if entry["than"] not in (*sure, *worse)]
        parts = [
            f"{words} {', '.join(f'`{name}`' for name in names)}"
            for words, names in (("better than", sure), ("worse than", worse), ("not told apart from", rest))
            if names
        ]
        claim = "beats all of its controls" if not rest and not worse else "does not beat all of its controls"
        lines.append(
            f"`{method}` {claim} by {mine[0]['metric']} (95 % intervals of paired differences): " + "; ".join(parts) + "."
        )
    return lines


def page(facts: dict[str, Any], runs: dict[str, list[dict[str, Any]]]) -> str:
    """The results as Markdown."""
    lines = [
        f"`{facts['command']}`",
        "",
        f"{facts['rows']} training rows of {facts['classes']} classes, {facts['most']} to {facts['least']} a class, "
        f"{facts['test']} test rows, {len(facts['seeds'])} seeds; backbone {facts['backbone']} ({facts['weights']}), "
        f"{facts['adapter']} of rank {facts['rank']}, {facts['trained']:,} of {facts['parameters']:,} parameters trained.",
        "",
        "| method | " + " | ".join(name.replace("_", " ") for name in SHOWN) + " | seconds |",
        "|---|" + "---|" * (len(SHOWN) + 1),
    ]
    for method, results in runs.items():
        cells = []
        for name in SHOWN:
            mean, half = interval([100 * result["metrics"][name] for result in results])
            cells.append(f"{mean:.1f}" if half != half else f"{mean:.1f} ± {half:.1f}")
        lines.append(f"| `{method}` | " + " | ".join(cells) + f" | {np.mean([r['seconds'] for r in results]):.0f} |")
    lines += ["", *[line for metric in ("macro_f1", "tail_f1") for line in verdict(compared(runs, metric))]]
    told = [result["found"] for result in runs.get("deblora", []) if result["found"]]
    if told:
        purity = np.mean([found["purity"] for found in told])
        tail = [found["own_share"][name] for found in told for name in facts["tail"]]
        spread = [math.exp(found["entropy"][name]) for found in told for name in facts["tail"]]
        lines += [
            "",
            f"Clusters: {told[0]['clusters']}, purity {purity:.2f}. Of the clusters of a tail class, {100 * np.mean(tail):.0f} "
            f"% of the rows are its own; its rows lie in {np.mean(spread):.1f} clusters (exponential of the entropy).",
        ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pretrain", required=True, help="images to pre-train on; their labels are not looked at")
    parser.add_argument("--target", type=Path, required=True, help="images with train and test rows")
    parser.add_argument("--backbone", default="small-cnn")
    parser.add_argument("--targets", default="conv")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--pretrain-rows", type=int, default=15_000)
    parser.add_argument("--pretrain-epochs", type=int, default=8)
    parser.add_argument("--rows", type=int, default=200, help="of the largest class")
    parser.add_argument("--factor", type=float, default=50.0)
    parser.add_argument("--test-rows", type=int, default=100, help="a class")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", default=";".join(METHODS), help="separated by semicolons")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    options = parser.parse_args(arguments)
    given = sys.argv[1:] if arguments is None else list(arguments)
    with tempfile.TemporaryDirectory() as folder:
        return run(options, given, Path(folder))


def run(options: argparse.Namespace, given: Sequence[str], scratch: Path) -> int:
    """All seeds and methods; `scratch` takes images that are made here."""
    if options.pretrain == ATTRIBUTES:
        pixels, nothing = Attributes("pretrain").take([options.pretrain_rows // Attributes.classes] * Attributes.classes, 0)
        options.pretrain = str(scratch / "attributes.npz")
        np.savez(options.pretrain, X=pixels, y=nothing)
    made = options.target == Path(ATTRIBUTES)
    train, test = (Attributes(split) if made else Images(options.target, split) for split in ("train", "test"))
    methods = [name.strip() for name in options.methods.split(";")]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in methods}
    facts: dict[str, Any] = {}
    name = f"adapters_{options.target.stem}"
    for seed in range(options.seeds):
        task = task_of(options, train, test, seed)
        facts = facts or facts_of(task, options, train, given)
        done = finished(options.results / f"{name}.json", facts)
        for method in methods:
            if method in done:
                runs[method] = done[method]
                continue
            started = time.perf_counter()
            runs[method].append(one(task, method, options, seed))
            numbers = ", ".join(f"{name} {100 * value:.1f}" for name, value in runs[method][-1]["metrics"].items())
            print(f"seed {seed}  {method}: {numbers}  ({time.perf_counter() - started:.0f} s)", flush=True)
    options.results.mkdir(parents=True, exist_ok=True)
    text = page(facts, runs)
    differences = [entry for metric in ("macro_f1", "tail_f1") for entry in compared(runs, metric)]
    (options.results / f"{name}.md").write_text(text)
    (options.results / f"{name}.json").write_text(
        json.dumps({"facts": facts, "runs": runs, "differences": differences}, indent=1) + "\n"
    )
    print(text)
    return 0


def finished(file: Path, facts: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Methods that an earlier call has done on the same data with the same recipe: they are not done again."""
    if not file.is_file():
        return {}
    found = json.loads(file.read_text())
    alike = {key: value for key, value in found["facts"].items() if key != "command"}
    return dict(found["runs"]) if alike == {key: value for key, value in facts.items() if key != "command"} else {}


def facts_of(task: Task, options: argparse.Namespace, train: Images | Attributes, given: Sequence[str]) -> dict[str, Any]:
    """What a reader has to know about the runs; paths without their folders."""
    about, counts = task.describe(), task.counts.tolist()
    words = [Path(word).name if "/" in word else word for word in given]
    order = sorted(range(len(counts)), key=lambda label: counts[label])
    return {
        "command": " ".join(["python experiments/adapters.py", *words]),
        "rows": sum(counts),
        "classes": len(counts),
        "most": max(counts),
        "least": min(counts),
        "test": about["rows"]["test"],
        "seeds": list(range(options.seeds)),
        "tail": [task.class_names[label] for label in order[: len(counts) - round(2 * len(counts) / 3)]],
        "labels": [str(name) for name in train.names],
        "backbone": about["adapter"]["backbone"],
        "weights": about["adapter"]["weights"],
        "adapter": about["adapter"]["kind"],
        "rank": options.rank,
        "recipe": [options.epochs, options.batch_size, options.lr],
        "trained": about["adapter"]["trained"],
        "parameters": about["adapter"]["parameters"],
    }


if __name__ == "__main__":
    sys.exit(main())
