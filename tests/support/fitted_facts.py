"""What `steelyard fit` notes about a model, for tests of the pages made of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from steelyard.estimator.judge import alerts, judge, precision_recall


def facts_of_a_model(class_names: tuple[str, ...] = ("no", "yes"), rows: int = 400, seed: int = 0) -> dict[str, Any]:
    """Plausible numbers of a model that is right more often than not; class c is rarer the larger c."""
    draw = np.random.default_rng(seed)
    classes = len(class_names)
    share = 0.5 ** np.arange(classes)
    target = np.sort(draw.choice(classes, rows, p=share / share.sum()))
    scores = draw.normal(size=(rows, classes)) + 2 * np.eye(classes)[target]
    proba = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    decided = proba.argmax(1)
    counts = [int(n) for n in 3 * np.bincount(target, minlength=classes)]
    binary = classes == 2
    return {
        "name": "loans",
        "command": "steelyard fit loans.csv --target paid --out models/loans",
        "predict": "steelyard predict models/loans new.csv --out scored.parquet",
        "created": "2026-01-01T00:00:00+00:00",
        "versions": {"steelyard": "0.1.0", "torch": "2.6.0"},
        "seconds": 12.5,
        "metric": "balanced_accuracy",
        "members": 5,
        "method": {"name": "la", "summary": "Logit adjustment.", "source": "Menon et al. 2021"},
        "regime": {"epochs": 30, "batch_size": 256},
        "network": {"name": "mlp", "parameters": 12345},
        "calibration": {"temperature": 1.25, "bias": [0.1, -0.1]},
        "decision": {"words": "largest probability over class share", "thresholds": [1 / classes] * classes},
        "candidates": [
            {"method": "la", "score": 0.81, "low": 0.78, "high": 0.84, "seconds": 3.0, "note": "", "chosen": True},
            {
                "method": "ce",
                "score": 0.79,
                "low": None,
                "high": None,
                "seconds": 1.0,
                "note": "out after round 1",
                "chosen": False,
            },
        ],
        "data": {
            "path": "loans.csv",
            "target": "paid",
            "split": "random, by class",
            "rows": {"train": sum(counts), "test": rows},
            "class_names": list(class_names),
            "counts": {"train": counts, "test": np.bincount(target, minlength=classes).tolist()},
            "columns": [
                {"name": "income", "kind": "number", "missing": 0.25, "used": True, "note": ""},
                {"name": "client_id", "kind": "number", "missing": 0.0, "used": False, "note": "names a row"},
            ],
            "notes": ["client_id was left out"],
        },
        "test": judge(proba, decided, target, counts),
        "precision_recall": precision_recall(proba[:, 1], target == 1, decided == 1) if binary else {},
        "alerts": alerts(proba[:, 1], target == 1) if binary else [],
        "prevalence": float((target == 1).mean()) if binary else None,
        "importance": [{"column": "income", "drop": 0.2, "low": 0.18, "high": 0.23}],
        "importance_metric": "auprc",
    }
