"""From a file to a judged model and all that a report says about it: what `steelyard fit` does."""

from __future__ import annotations

import datetime
import shlex
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from steelyard.core.regime import Regime
from steelyard.core.seeds import derive
from steelyard.data.encoder import TableEncoder
from steelyard.data.splits import thin
from steelyard.estimator.deciding import Decision
from steelyard.estimator.importance import permutation_importance
from steelyard.estimator.judge import alerts, judge, precision_recall
from steelyard.estimator.reading import FileRequest, FileTable, read_for_training
from steelyard.estimator.scoring import Judge, metric_of
from steelyard.estimator.splitting import Split, choose_split
from steelyard.estimator.table import Table
from steelyard.estimator.table_model import TableModel
from steelyard.estimator.training import TREATMENT, train_encoded
from steelyard.estimator.usual import usual_network
from steelyard.metrics.scores import METRICS
from steelyard.tasks.models import Model
from steelyard.tasks.tables import embeds_categories

IMPORTANCE_ROWS = 2000
"""Test rows on which the importance of columns is measured, drawn by class."""
SHUFFLED_CELLS = 4_000_000
"""Rows times columns times shuffles up to which importance is measured with the usual number of shuffles."""
PACKAGES = ("steelyard", "torch", "numpy", "scikit-learn", "pandas")

Json = dict[str, Any]
Say = Callable[[str], None]


def fit_file(
    request: FileRequest,
    table: FileTable | None = None,
    *,
    method: str = "auto",
    regime: str | Regime = "auto",
    model: Model = "auto",
    metric: str | Judge = "balanced_accuracy",
    decision: Decision | Any = "auto",
    decision_words: str | None = None,
    members: int = 1,
    importance: bool = True,
    device: str = "auto",
    seed: int = 0,
    say: Say = lambda text: None,
) -> tuple[TableModel, Json]:
    """Read, split, encode, choose, train, calibrate, decide, and judge on test rows.

    Args:
        request: the file and how its rows are split.
        table: what `read_for_training` made of the request; None to read it now.
        method: as for `steelyard.estimator.training.train_table`.
        regime: as there.
        model: as there.
        metric: as there.
        decision: as there.
        decision_words: what the decision is called, for one that is a function.
        members: how many are trained (`n_seeds`).
        importance: measure what the columns matter.
        device: where to train.
        seed: of everything that is drawn but the split.
        say: told what is going on, a line at a time.

    Returns:
        The model, and what is known about it as JSON values (see `steelyard.report.model_page`).

    Raises:
        SteelyardError: anything wrong with the file, names or settings, in one sentence.
    """
    began = time.perf_counter()
    table = read_for_training(request, say) if table is None else table
    split = _training_split(table, seed)
    say(f"encoding {len(table.features)} columns of {len(table.target):,} rows")
    found = table.files[0].kinds
    kinds = {name: found[name] for name in table.features}
    encoder = TableEncoder.fit_chunks(table.of(split.train), kinds=kinds, seed=derive(seed, "encoder"), **TREATMENT)
    inputs = table.encode(encoder, onehot=not embeds_categories(model))
    say(f"training on {len(split.train):,} rows")
    network = usual_network(model, len(split.train), encoder.width)
    encoded = Table(encoder, inputs, table.target, table.class_names, split, None, *network)
    fitted = train_encoded(
        encoded, table.classes, method=method, regime=regime, metric=metric, decision=decision, n_seeds=members, device=device,
        seed=seed, say=say,
    )  # fmt: skip
    if decision_words is not None:
        fitted.facts["decision"]["words"] = decision_words
    say(f"judging on {len(table.test):,} test rows")
    facts = _facts(request, table, fitted)
    facts |= _judged(table, fitted, metric, _rows(inputs, table.test), seed)
    if importance:
        facts |= _importance(table, fitted, inputs, seed)
    facts["seconds"] = time.perf_counter() - began
    schema = table.files[0].schema()
    fitted.facts["schema"] = {name: schema[name] for name in encoder.columns()}
    fitted.facts["target"] = request.target
    known = {*encoder.columns(), request.target}
    fitted.facts["unused"] = [name for name in (*table.files[0].columns, *request.drop) if name not in known]
    return fitted, facts


def _training_split(table: FileTable, seed: int) -> Split:
    """The rows to learn from and to calibrate on, none of them a test row."""
    if table.valid is not None:
        return Split(table.train, table.valid)
    cut = choose_split(table.target[table.train], "auto", seed=seed)
    return Split(table.train[cut.train], table.train[cut.valid], cut.folds)


def _facts(request: FileRequest, table: FileTable, model: TableModel) -> Json:
    facts, counts = model.facts, table.counts()
    rows = {name: int(sum(sizes)) for name, sizes in counts.items()}
    about = {
        "path": str(request.path),
        "target": request.target,
        "split": table.split,
        "rows": rows,
        "class_names": list(table.class_names),
        "counts": counts,
        "columns": table.columns(model.encoder),
        "notes": list(dict.fromkeys([*table.notes, *facts["notes"]])),
    }
    return {
        "name": request.path.name.split(".")[0],
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in PACKAGES},
        "data": about,
        "alerts": [],
        "importance": [],
        "importance_metric": "",
        "precision_recall": {},
        "prevalence": None,
    } | {
        key: facts[key] for key in ("metric", "members", "method", "regime", "network", "calibration", "decision", "candidates")
    }


def _judged(table: FileTable, model: TableModel, metric: str | Judge, inputs: Any, seed: int) -> Json:
    """Scores on the test rows, that of the metric which was asked for among them."""
    proba = model.proba_of(inputs)
    decided = model.decided(proba)
    target, counts = table.target[table.test].numpy(), table.counts()["train"]
    found: Json = {"test": judge(proba, decided, target, counts, seed=derive(seed, "judge"))}
    named = metric_of(metric, None if model.thresholds.cost is None else model.thresholds.cost.numpy())
    if named.name not in found["test"]["metrics"]:
        value, *ends = named.estimated(proba, decided, target, None, derive(seed, "judge"))
        found["test"]["metrics"][named.name], found["test"]["intervals"][named.name] = value, ends
    if len(counts) == 2:
        one = int(np.argmin(counts)) if counts[0] != counts[1] else 1
        found["precision_recall"] = precision_recall(proba[:, one], target == one, decided == one)
        found["alerts"] = alerts(proba[:, one], target == one)
        found["prevalence"] = float((target == one).mean())
    return found


def _importance(table: FileTable, model: TableModel, inputs: Any, seed: int) -> Json:
    """What the columns matter on some test rows."""
    chosen = table.test[thin(table.target[table.test], IMPORTANCE_ROWS, seed=derive(seed, "importance"))]
    metric = model.facts["metric"]
    if metric not in METRICS:
        metric = "auprc" if len(table.classes) == 2 else "balanced_accuracy"
    cells = len(chosen) * len(model.encoder.columns())
    repeats = int(np.clip(SHUFFLED_CELLS // max(cells * 5, 1), 2, 5))

    def predict(rows: Any) -> tuple[np.ndarray, np.ndarray]:
        proba = model.proba_of(rows)
        return proba, model.decided(proba)

    lines = permutation_importance(
        predict, model.encoder, _rows(inputs, chosen), table.target[chosen].numpy(), table.counts()["train"], metric,
        seed=seed, repeats=repeats,
    )  # fmt: skip
    return {"importance": lines, "importance_metric": metric}


def _rows(inputs: Tensor | dict[str, Tensor], rows: Tensor) -> Tensor | dict[str, Tensor]:
    if isinstance(inputs, Tensor):
        return inputs[rows]
    return {name: values[rows] for name, values in inputs.items()}


def command_to_predict(folder: Path) -> str:
    """How to use the model in a folder, as a line for a shell."""
    return f"steelyard predict {shlex.quote(str(folder))} new.csv --out scored.parquet"
