"""Make up the folder of a comparison: plausible numbers from a seed, in the store's layout, without any training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

METHODS = {
    # name: (log-odds of recall at one row, its slope in log10 of the class size, cost, control, overconfidence, words)
    "ce": (-4.4, 1.75, 1.0, True, 0.13, {"loss": "cross_entropy"}),
    "cb-drw": (-3.1, 1.4, 1.01, True, 0.12, {"weighting": "Deferred(EffectiveNumber)"}),
    "la": (-1.3, 0.85, 1.02, True, 0.05, {"loss": "LogitAdjusted"}),
    "mixup-bs": (-1.0, 0.8, 1.21, True, -0.04, {"loss": "BalancedSoftmax", "transform": "Mixup"}),
    "focal": (-4.2, 1.69, 1.03, False, 0.04, {"loss": "Focal"}),
    "ldam-drw": (-2.1, 1.1, 1.06, False, 0.1, {"loss": "LDAM", "weighting": "Deferred"}),
    "imbsam": (-0.9, 0.79, 2.04, False, 0.03, {"descent": "ImbSAM", "loss": "LogitAdjusted"}),
    "rdr": (-1.2, 0.84, 1.06, False, 0.06, {"weighting": "DensityRatio"}),
    "cmw-net": (-1.5, 0.92, 3.31, False, 0.08, {"weighting": "ClassAwareMetaWeightNet"}),
}
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def fabricate(
    out: Path,
    *,
    classes: int = 10,
    methods: int = 7,
    seeds: int = 3,
    epochs: int = 30,
    n_max: int = 5000,
    factor: float = 100.0,
    unfinished: tuple[tuple[str, int], ...] = (),
    validation: bool = True,
    class_names: tuple[str, ...] | None = None,
    command: str = "steelyard compare cifar10 --factor 100 --methods ce,cb-drw,la,mixup-bs,focal,imbsam --seeds 3 --out runs/x",
    weighted: bool = True,
    pictured: bool = False,
    seed: int = 0,
) -> Path:
    """Write comparison.json, leaderboard.json and the runs; `unfinished` runs have a log but no result.

    Without `weighted` neither weights nor what was learnt is stored, as in folders from before they were; with `pictured` runs
    hand over pictures of every form.
    """
    rng = np.random.default_rng(seed)
    counts = [int(n_max * factor ** (-c / max(1, classes - 1))) for c in range(classes)]
    test = [max(2, min(1000, 20000 // classes))] * classes
    names = class_names or tuple(NAMES[c] if classes == 10 else f"class {c}" for c in range(classes))
    table = _methods(methods)
    groups = _groups(counts)
    _write(out / "comparison.json", _comparison(table, counts, test, names, groups, seeds, epochs, command, validation))
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in table}
    for name, spec in table.items():
        for run_seed in range(seeds):
            folder = out / "runs" / f"{name}-{run_seed}"
            stop = epochs // 2 if (name, run_seed) in unfinished else epochs
            weights = _weights(name, run_seed, counts, epochs) if weighted and "weighting" in spec[5] else None
            _log(folder, rng, spec, stop, epochs, validation, weights)
            if (name, run_seed) not in unfinished:
                result = _result(rng, name, run_seed, spec, counts, test, groups, validation)
                if weighted:
                    result["explanations"] = _explanations(run_seed) if name == "cmw-net" else {}
                _write(folder / "result.json", result)
                if pictured:
                    _write(folder / "figures.json", _figures(names, run_seed, clustered=not spec[3]))
                results[name].append(result)
    _write(out / "leaderboard.json", _leaderboard(table, results, groups, seeds))
    return out


def _methods(number: int) -> dict[str, tuple[Any, ...]]:
    table: dict[str, tuple[Any, ...]] = dict(list(METHODS.items())[:number])
    rng = np.random.default_rng(number)
    for index in range(len(table), number):
        offset = rng.uniform(-4, -0.6)
        table[f"method-{index}(tau={index / 10})"] = (
            offset,
            0.6 - 0.27 * offset,
            1 + rng.exponential(0.4),
            False,
            0.05,
            {"loss": "X"},
        )
    return table


def _groups(counts: list[int]) -> dict[str, Any]:
    thirds = np.array_split(np.argsort(-np.asarray(counts), kind="stable"), 3) if len(counts) > 2 else ([0], [], [1])
    sizes = [[int(c) for c in part] for part in thirds]
    return {
        "rule": "thirds of the classes by training rows, largest first",
        "many": sizes[0],
        "medium": sizes[1],
        "few": sizes[2],
    }


def _comparison(
    table: dict[str, tuple[Any, ...]],
    counts: list[int],
    test: list[int],
    names: tuple[str, ...],
    groups: dict[str, Any],
    seeds: int,
    epochs: int,
    command: str,
    validation: bool,
) -> dict[str, Any]:
    rows = {"train": sum(counts), "test": sum(test)} | ({"valid": 500} if validation else {})
    about = [
        {
            "name": name,
            "summary": f"What {name} does, in one line.",
            "source": "A paper, 2020",
            "words": spec[5],
            "control": spec[3],
        }
        for name, spec in table.items()
    ]
    return {
        "name": "cifar10-lt-100",
        "command": command,
        "created": "2026-03-04T15:06:07+00:00",
        "task": "images",
        "data": {
            "name": "cifar10, exp profile",
            "kind": "images",
            "rows": rows,
            "class_names": list(names),
            "counts": {"train": counts, "test": test},
            "imbalance_factor": max(counts) / max(1, min(counts)),
            "features": "3 x 32 x 32",
            "notes": ["The validation split is cut from the training rows, stratified by class."] if validation else [],
        },
        "model": {"name": "resnet32", "parameters": 464154},
        "regime": {"epochs": epochs, "batch_size": 128, "optimizer": "sgd", "lr": 0.1, "schedule": "cosine", "ema": None},
        "methods": about,
        "seeds": list(range(seeds)),
        "groups": groups,
        "metric": "balanced_accuracy",
        "select": "last",
        "versions": {"steelyard": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6"},
        "git_commit": "3f2c9d1",
        "device": "cpu",
        "jobs": 2,
        "threads": 1,
        "runs": [f"{name}-{seed}" for name in table for seed in range(seeds)],
    }


def _weights(name: str, seed: int, counts: list[int], epochs: int) -> list[list[float | None]]:
    """Mean weight of each class by epoch: deferred and constant, or drifting from 1 to where a learned weighting ends."""
    rng = np.random.default_rng([seed, len(name)])
    size = np.maximum(np.asarray(counts, dtype=float), 1)
    lines: list[list[float | None]] = []
    for epoch in range(epochs):
        progress = (epoch + 1) / epochs
        if name.endswith("drw"):
            power = 0.0 if progress <= 0.8 else 0.75
            noise = np.ones(len(size))
        else:
            power = 0.62 * (1 - np.exp(-5 * progress)) if name == "rdr" else 0.5 * progress * np.exp(1 - progress)
            noise = np.exp(rng.normal(0, 0.05, len(size)) * (1 + 6 / np.sqrt(size)))
        weight = (size.max() / size) ** power * noise
        weight = weight * size.sum() / (weight * size).sum() if name == "rdr" else weight / weight.mean()
        lines.append([round(float(w), 6) for w in weight])
    if len(size) > 5:
        lines[0][-1] = None  # no row of the smallest class was drawn
    return lines


def _explanations(seed: int) -> dict[str, Any]:
    """What a weight net with three heads may have learnt."""
    rng = np.random.default_rng(seed)
    loss = np.linspace(0, 7 + rng.uniform(0, 2), 50)
    heads = {"classes 0, 1, 2": (0.3, 0.35), "classes 3, 4, 5, 6": (0.5, 0.55), "classes 7, 8, 9": (0.62, 1.1)}
    lines = {}
    for label, (base, slope) in heads.items():
        raw = np.log(base / (1 - base)) + slope * (1 + rng.normal(0, 0.15)) * loss / (1 + 0.25 * loss)
        lines[label] = (1 / (1 + np.exp(-raw))).round(6).tolist()
    return {"objective.weighting": {"loss": loss.round(6).tolist(), "weight": lines}}


def _figures(names: tuple[str, ...], seed: int, clustered: bool) -> dict[str, Any]:
    """An audit that is the same in all runs, numbers of methods side by side, a cloud; and clusters, of some methods."""
    rng = np.random.default_rng([seed, 7])
    share = rng.dirichlet(np.ones(len(names)))
    rules = ["1-NN <b>", "cosine, normalised prototypes"]
    audit = {"1 shot": ([0.1, 0.5], [0.1, None]), "9 shots": ([0.9, 0.5], [0.9, None])}
    xyz = np.stack([500 + np.arange(30) % 5, 90 + np.arange(30) // 5, np.sqrt(np.arange(30))], 1)
    true = np.arange(30) % len(names)
    decided = np.where(rng.random(30) < 0.3, (true + 1) % len(names), true)

    def panel(label: str, percent: bool, level: float | None, **series: tuple[Any, Any]) -> dict[str, Any]:
        made = [{"name": name, "values": list(v), "expected": e} for name, (v, e) in series.items()]
        return {"label": label, "percent": percent, "level": level, "series": made}

    def bars(title: str, categories: list[str], by_method: bool, *panels: dict[str, Any]) -> dict[str, Any]:
        about = {"form": "bars", "title": title, "note": f"About {title}.", "x": "category", "by_method": by_method}
        return about | {"categories": categories, "panels": list(panels)}

    found = {
        "audit": bars("The bias <i>audit</i>", rules, False, panel("decisions", True, 0.5, **audit)),
        "decided": bars("Decided", list(names), True, panel("decisions", True, 1 / len(names), **{"": (share.tolist(), None)})),
        "cloud": {
            "form": "cloud", "title": "A cloud", "note": "Of points.", "xyz": xyz.tolist(), "classes": list(names),
            "true": true.tolist(), "decided": decided.tolist(), "whole": 900,
        },
    }  # fmt: skip
    if clustered:
        sizes = [[3.0, 2.0, 1.0][: 2 + seed % 2], None]
        purity = [rng.random(2 + seed % 2).tolist(), None]
        clusters = [str(number) for number in range(1, 3 + seed % 2)]
        own = (panel("rows", False, None, **{"": sizes}), panel("purity", True, 0.5, **{"": purity}))
        found["clusters"] = bars("Clusters", clusters, False, *own)
    return found


def _log(
    folder: Path,
    rng: np.random.Generator,
    spec: tuple[Any, ...],
    stop: int,
    epochs: int,
    validation: bool,
    weights: list[list[float | None]] | None,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "run.json", {"method": folder.name.rsplit("-", 1)[0]})
    target = 1 / (1 + np.exp(-(spec[0] + spec[1] * 2.6)))
    lines = []
    for epoch in range(1, stop + 1):
        progress = 1 - np.exp(-4 * epoch / epochs)
        line = {"stage": 0 if epoch <= 0.8 * epochs else 1, "epoch": epoch, "step": 97 * epoch, "lr": 0.1, "seconds": 3.1}
        line["train_loss"] = 2.3 * (1 - 0.93 * progress) + rng.normal(0, 0.02)
        if validation:
            line["valid_balanced_accuracy"] = float(np.clip(target * progress + rng.normal(0, 0.012), 0, 1))
            line["valid_loss"] = 2.3 - 1.2 * progress + rng.normal(0, 0.03)
        if weights is not None:
            line["class_weights"] = weights[epoch - 1]
        lines.append(json.dumps(line))
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _result(
    rng: np.random.Generator,
    name: str,
    seed: int,
    spec: tuple[Any, ...],
    counts: list[int],
    test: list[int],
    groups: dict[str, Any],
    validation: bool,
) -> dict[str, Any]:
    size = np.asarray(counts, dtype=float)
    classes = len(counts)
    odds = spec[0] + spec[1] * np.log10(np.maximum(size, 1)) + rng.normal(0, 0.22, classes) + rng.normal(0, 0.05)
    recall = 1 / (1 + np.exp(-odds))
    pull = (size / size.sum()) ** (0.15 + 0.4 * spec[1])
    confusion = np.zeros((classes, classes), dtype=int)
    for c in range(classes):
        wrong = pull * rng.gamma(1.0, 1.0, classes)
        wrong[c] = 0
        share = (1 - recall[c]) * wrong / wrong.sum()
        share[c] = recall[c]
        confusion[c] = rng.multinomial(test[c], share / share.sum())
    scores, per_class = _scores(rng, confusion, groups, spec[4])
    selected = {key: value + rng.normal(0, 0.004) for key, value in scores.items()}
    centres = np.linspace(0.05, 0.95, 10)
    accuracy = np.clip(centres - spec[4] * np.sin(np.pi * centres) * 1.4 + rng.normal(0, 0.012, 10), 0, 1)
    bins = {"bin_low": (centres - 0.05).tolist(), "bin_high": (centres + 0.05).tolist(), "confidence": centres.tolist()}
    bins |= {"count": [0, *[int(x) for x in 2000 * centres[1:] ** 2]], "accuracy": [float("nan"), *accuracy[1:].tolist()]}
    return {
        "run_id": f"{name}-{seed}",
        "method": name,
        "seed": seed,
        "settings": {"regime.batch_size": 128, "regime.lr": 0.1},
        "metrics": scores,
        "selected_metrics": selected if validation else None,
        "seconds": 94.0 * spec[2],
        "peak_memory_mb": 412.0,
        "finished_at": "2026-03-04T15:10:00+00:00",
        "per_class": per_class,
        "confusion": confusion.tolist(),
        "reliability": bins,
        "selected_epoch": 27,
        "warnings": ["the loss of 3 batches was clipped"] if name == "ldam-drw" else [],
    }


def _scores(
    rng: np.random.Generator, confusion: np.ndarray, groups: dict[str, Any], overconfidence: float
) -> tuple[dict[str, float], dict[str, list[float]]]:
    right = np.diag(confusion).astype(float)
    recall = right / np.maximum(confusion.sum(1), 1)
    precision = right / np.maximum(confusion.sum(0), 1)
    f1 = 2 * recall * precision / np.maximum(recall + precision, 1e-9)
    balanced = float(recall.mean())
    scores = {"accuracy": float(right.sum() / confusion.sum()), "balanced_accuracy": balanced, "macro_f1": float(f1.mean())}
    scores |= {"g_mean": float(np.exp(np.log(np.maximum(recall, 1e-3)).mean())), "mcc": 1.1 * balanced - 0.1}
    scores |= {"worst_recall": float(recall.min())}
    for group in ("many", "medium", "few"):
        scores[f"{group}_recall"] = float(recall[groups[group]].mean()) if groups[group] else float("nan")
    scores |= {"auroc": 0.75 + 0.22 * balanced, "auprc": 0.2 + 0.7 * balanced}
    scores |= {
        "ece": abs(overconfidence) + abs(rng.normal(0, 0.008)),
        "classwise_ece": abs(overconfidence) / 3,
        "brier": 0.6 - 0.5 * balanced,
    }
    scores |= {"log_loss": 2.0 - 1.6 * balanced, "zero_recall_classes": float((recall == 0).sum())}
    return scores, {"recall": recall.tolist(), "precision": precision.tolist(), "f1": f1.tolist()}


def _leaderboard(
    table: dict[str, tuple[Any, ...]], results: dict[str, list[dict[str, Any]]], groups: dict[str, Any], seeds: int
) -> dict[str, Any]:
    rows = []
    for name, runs in results.items():
        if not runs:
            continue
        row = {"method": name, "summary": f"What {name} does, in one line.", "control": table[name][3], "n_seeds": len(runs)}
        row |= {"cost_ratio": table[name][2], "seconds_mean": 94.0 * table[name][2], "peak_memory_mb": 412.0}
        row["metrics"] = {key: _estimate([run["metrics"][key] for run in runs]) for key in runs[0]["metrics"]}
        chosen = runs[0]["selected_metrics"]
        row["selected_metrics"] = (
            {key: _estimate([run["selected_metrics"][key] for run in runs]) for key in chosen} if chosen else {}
        )
        row["versus_ce"] = None if name == "ce" else _versus(runs, results.get("ce", []), len(table))
        rows.append(row)
    rows.sort(key=lambda row: -row["metrics"]["balanced_accuracy"]["mean"])
    for rank, row in enumerate(rows, start=1):
        row["rank"] = rank
    near = [row["method"] for row in rows[1:] if _near(results[row["method"]], results[rows[0]["method"]])]
    notes = [] if seeds > 1 else ["one seed shows neither an interval nor a test"]
    return {
        "metric": "balanced_accuracy",
        "select": "last",
        "groups_rule": groups["rule"],
        "seeds": list(range(seeds)),
        "reference": "ce",
        "level": 0.95,
        "near_best": near,
        "rows": rows,
        "notes": notes,
    }


def _estimate(values: list[float]) -> dict[str, Any]:
    mean = float(np.mean(values))
    if len(values) < 2:
        return {"mean": mean, "low": None, "high": None, "values": values}
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return {"mean": mean, "low": mean - half, "high": mean + half, "values": values}


def _versus(runs: list[dict[str, Any]], baseline: list[dict[str, Any]], methods: int) -> dict[str, Any]:
    by_seed = {run["seed"]: run for run in baseline}
    pairs = [(run, by_seed[run["seed"]]) for run in runs if run["seed"] in by_seed]
    result = {}
    for key in runs[0]["metrics"]:
        gaps = [mine["metrics"][key] - theirs["metrics"][key] for mine, theirs in pairs]
        if not gaps:
            continue
        value = _estimate(gaps)
        spread = float(np.std(gaps, ddof=1) / np.sqrt(len(gaps))) if len(gaps) > 1 else 0.0
        p = 2 * float(stats.t.sf(abs(value["mean"]) / spread, len(gaps) - 1)) if spread > 1e-12 else None
        result[key] = {"difference": value["mean"], "low": value["low"], "high": value["high"], "p": p}
        result[key] |= {
            "p_holm": None if p is None else min(1.0, p * (methods - 1)),
            "test": "paired t",
            "p_t": p,
            "n": len(gaps),
        }
    return result


def _near(runs: list[dict[str, Any]], best: list[dict[str, Any]]) -> bool:
    entry = _versus(runs, best, 2).get("balanced_accuracy", {})
    return entry.get("low") is None or entry["low"] <= 0 <= entry["high"]


def _write(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
