"""How many labels of each class are wrong, and which: confident learning on probabilities from other folds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from steelyard.core.errors import ArgumentError, DataError, SteelyardError
from steelyard.core.seeds import derive
from steelyard.diagnosis.prepare import _classes as labels_of
from steelyard.diagnosis.prepare import _numbers as columns_of
from steelyard.metrics.arrays import Floats, Ints, as_proba

ROWS = 5_000
"""Rows that are judged unless more are asked for."""

RARE = 20
"""Rows below which a note says that a class' share is hardly known."""

OVERLAP = 0.7
"""Balanced accuracy on rows held out below which a note says that classes overlap."""


@dataclass(frozen=True)
class ClassNoise:
    """The labels of one class.

    Args:
        label: as given.
        rows: that were judged.
        share: of them whose label seems wrong; NaN for a class that is too small to be judged.
        interval: of the share (Wilson), given the probabilities; it does not know how good those are.
        confused_with: the class that most of them seem to be of; None where none seems wrong.
        missed: share of the rows that seem to be of this class and carry another label.
        recall: of the classifier on rows held out, with the labels as given.
        suspects: rows that were picked out.
    """

    label: Any
    rows: int
    share: float
    interval: tuple[float, float]
    confused_with: Any
    missed: float
    recall: float
    suspects: int


@dataclass(frozen=True)
class LabelNoise:
    """What `label_noise` found.

    Args:
        share: of all rows whose label seems wrong, classes that were not judged left out.
        classes: one for each label, sorted.
        true_given_label: P(seems to be of class j | labelled i) `[K, K]`; NaN rows for classes that were not judged.
        suspects: row numbers whose label is most likely wrong, worst first.
        suggested: the label that each of them seems to have.
        judged: rows that were judged.
        classifier: what gave the probabilities.
        balanced_accuracy: of it on rows held out.
        notes: what to know before acting on it.
    """

    share: float
    classes: tuple[ClassNoise, ...]
    true_given_label: Floats = field(repr=False)
    suspects: Ints = field(repr=False)
    suggested: tuple[Any, ...] = field(repr=False)
    judged: int
    classifier: str
    balanced_accuracy: float
    notes: tuple[str, ...]

    def to_dict(self, most: int = 100) -> dict[str, Any]:
        """Plain values; None stands for NaN.

        Args:
            most: suspects that are listed.
        """
        return {
            "share": _plain(self.share),
            "judged": self.judged,
            "classifier": self.classifier,
            "balanced_accuracy": _plain(self.balanced_accuracy),
            "classes": [
                {
                    "label": _plain(one.label),
                    "rows": one.rows,
                    "share": _plain(one.share),
                    "interval": [_plain(end) for end in one.interval],
                    "confused_with": _plain(one.confused_with),
                    "missed": _plain(one.missed),
                    "recall": _plain(one.recall),
                    "suspects": one.suspects,
                }
                for one in self.classes
            ],
            "suspects": [
                {"row": int(row), "suggested": _plain(label)}
                for row, label in list(zip(self.suspects, self.suggested, strict=True))[:most]
            ],
            "notes": list(self.notes),
        }

    def to_json(self, indent: int | None = 2) -> str:
        """`to_dict` as JSON.

        Args:
            indent: spaces a level; None for one line.
        """
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)


def label_noise(
    X: Any,
    y: Any,
    *,
    proba: Any = None,
    classifier: Any = None,
    folds: int = 5,
    rows: int = ROWS,
    level: float = 0.95,
    seed: int = 0,
) -> LabelNoise:
    """Estimate for each class how many of its labels are wrong, by what a classifier says of rows it was not trained on.

    **Classes that overlap look like noise**: where the best classifier itself cannot tell, nobody can say from the rows alone
    whether a label is wrong. `recall` says how well classes can be told apart.

    Args:
        X: numbers `[n, d]` (encode categories first); None where `proba` is given.
        y: labels `[n]`, of any kind that sorts.
        proba: probabilities `[n, K]` of the K sorted labels, each from a model that was not trained on the row.
        classifier: of scikit-learn, with `predict_proba`; None takes the better of logistic regression and gradient
            boosting (log loss on the first fold).
        folds: of the cross-validation, 2 or more. Classes with fewer rows are not judged.
        rows: at most so many are judged, drawn class by class; a class keeps at least 200 of its rows.
        level: of the intervals, in (0, 1).
        seed: of folds, rows and classifiers.

    Returns:
        LabelNoise, with `to_json`.

    Raises:
        ArgumentError: arguments that do not fit.
        DataError: fewer than two classes have rows enough.
        SteelyardError: cleanlab is not installed.

    Reference:
        Northcutt, Jiang, Chuang. Confident learning: estimating uncertainty in dataset labels. JAIR 70, 2021; the confident
        joint and the picking of rows are cleanlab's.

    Departures:
        Shares are of the rows that are confidently of some class; intervals are ours. Classes with fewer rows than folds are
        left out before anything is estimated.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = np.repeat([0, 1], [300, 60])
        >>> X = rng.normal(size=(360, 2)) + 8 * y[:, None]
        >>> y[:15] = 1  # of class 0, labelled 1
        >>> found = label_noise(X, y)
        >>> 0.1 < found.classes[1].share < 0.3, bool(np.isin(np.arange(15), found.suspects).mean() > 0.7)
        (True, True)
    """
    if folds < 2 or rows < 1 or not 0 < level < 1:
        raise ArgumentError("folds, rows and level", "at least 2, at least 1 and in (0, 1)", f"{folds}, {rows} and {level}")
    labels, target = labels_of(y)
    counts = np.bincount(target)
    known = np.flatnonzero(counts >= folds)
    if known.size < 2:
        raise DataError(f"labels cannot be judged: fewer than two classes have {folds} rows, one for each fold")
    kept = _kept(target, known, rows, seed)
    place = np.full(len(labels), -1)
    place[known] = np.arange(known.size)
    own = place[target[kept]]
    if proba is None:
        values = columns_of(X)
        if len(values) != len(target):
            raise ArgumentError("X", f"one row for each of the {len(target)} labels in `y`", f"{len(values)} rows")
        found, name = _held_out(values[kept], own, classifier, folds, derive(seed, "noise", "folds") % 2**32)
    else:
        given = as_proba(proba)
        if given.shape != (len(target), len(labels)):
            raise ArgumentError("proba", f"of shape [{len(target)}, {len(labels)}]", list(given.shape))
        total = given[np.ix_(kept, known)].sum(1, keepdims=True)
        found, name = given[np.ix_(kept, known)] / np.where(total > 0, total, 1), "given"
    return _judge(found, own, kept, (labels, counts, known), (level, name))


def _kept(target: Ints, known: Ints, rows: int, seed: int) -> Ints:
    """Row numbers that are judged, ascending."""
    rng = np.random.default_rng(derive(seed, "noise", "rows"))
    there = int(np.isin(target, known).sum())
    chosen = []
    for label in known:
        own = np.flatnonzero(target == label)
        most = len(own) if there <= rows else min(len(own), max(200, round(rows * len(own) / there)))
        chosen.append(rng.choice(own, most, replace=False) if most < len(own) else own)
    return np.sort(np.concatenate(chosen))


def _held_out(values: Any, target: Ints, classifier: Any, folds: int, seed: int) -> tuple[Floats, str]:
    """Probabilities of each row from a classifier trained on other folds, and its name."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    asked = {"given": classifier} if classifier is not None else {
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
        "gradient boosting": HistGradientBoostingClassifier(max_iter=60, early_stopping=False, random_state=seed),
    }  # fmt: skip
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    name, chosen = next(iter(asked.items()))
    if len(asked) > 1:
        # Whichever is better on the first fold; all folds with both would take twice the time.
        train, held = next(split.split(values, target))
        classes = np.unique(target)
        losses = {
            one: log_loss(target[held], model.fit(values[train], target[train]).predict_proba(values[held]), labels=classes)
            for one, model in asked.items()
        }
        name = min(losses, key=lambda one: losses[one])
        chosen = asked[name]
    proba: Floats = cross_val_predict(chosen, values, target, cv=split, method="predict_proba")
    return proba, name


def _judge(
    proba: Floats, own: Ints, kept: Ints, known: tuple[tuple[Any, ...], Ints, Ints], settings: tuple[float, str]
) -> LabelNoise:
    """From probabilities of rows held out to what seems wrong."""
    labels, counts, judged = known
    level, name = settings
    count, pick = _library()
    joint = np.asarray(count.compute_confident_joint(own, proba, calibrate=False), dtype=np.float64)
    given, wrong = joint.sum(1), joint.sum(1) - np.diag(joint)
    size = np.bincount(own, minlength=len(judged))
    shares = joint / np.where(given > 0, given, np.nan)[:, None]
    # Rows that seem to be of each class, scaled to the rows that there are.
    full = np.nan_to_num(shares) * counts[judged][:, None]
    order = pick.find_label_issues(
        own, proba, return_indices_ranked_by="self_confidence", confident_joint=_calibrated(joint, size), n_jobs=1
    )
    picked = np.bincount(own[order], minlength=len(judged))
    recall = np.bincount(own, proba.argmax(1) == own, minlength=len(judged)) / size
    place = {int(label): position for position, label in enumerate(judged)}
    classes = []
    for label, named in enumerate(labels):
        at = place.get(label)
        if at is None:
            classes.append(ClassNoise(named, 0, np.nan, (np.nan, np.nan), None, np.nan, np.nan, 0))
            continue
        others = full[:, at].sum() - full[at, at]
        partner = int(np.argmax(np.where(np.arange(len(judged)) == at, -1, joint[at])))
        classes.append(
            ClassNoise(
                named,
                int(size[at]),
                float(wrong[at] / given[at]) if given[at] else float("nan"),
                _wilson(wrong[at], given[at], level),
                labels[judged[partner]] if wrong[at] else None,
                float(others / full[:, at].sum()) if full[:, at].sum() else float("nan"),
                float(recall[at]),
                int(picked[at]),
            )
        )
    matrix = np.full((len(labels), len(labels)), np.nan)
    matrix[judged] = 0.0
    matrix[np.ix_(judged, judged)] = shares
    total = float(np.nansum(np.where(given > 0, wrong / np.maximum(given, 1), np.nan) * counts[judged]) / counts[judged].sum())
    suggested = tuple(labels[judged[position]] for position in proba[order].argmax(1))
    accuracy = float(recall.mean())
    notes = _notes(classes, len(own), int(counts.sum()), accuracy)
    return LabelNoise(total, tuple(classes), matrix, kept[order], suggested, len(own), name, accuracy, notes)


def _calibrated(joint: Floats, size: Ints) -> Ints:
    """The joint with the rows of each label as its row sums, in whole rows."""
    total = joint.sum(1, keepdims=True)
    even = np.where(total > 0, joint / np.where(total > 0, total, 1), np.eye(len(joint))) * size[:, None]
    whole = np.floor(even)
    # What is left over stays with the label that was given.
    whole[np.diag_indices(len(joint))] += size - whole.sum(1)
    return whole.astype(np.int64)


def _notes(classes: list[ClassNoise], judged: int, available: int, accuracy: float) -> tuple[str, ...]:
    notes = []
    small = [str(one.label) for one in classes if one.rows == 0]
    if small:
        notes.append(f"Not judged, for too few rows: {', '.join(small[:10])}{', ...' if len(small) > 10 else ''}.")
    rare = [str(one.label) for one in classes if 0 < one.rows < RARE]
    if rare:
        notes.append(f"Hardly known, below {RARE} rows: {', '.join(rare[:10])}{', ...' if len(rare) > 10 else ''}.")
    if accuracy < OVERLAP:
        notes.append(
            f"On average the classifier finds {accuracy:.0%} of a class: classes overlap, and overlap looks like noise."
        )
    if judged < available:
        notes.append(f"{judged} of {available} rows were judged.")
    return tuple(notes)


def _wilson(hits: float, number: float, level: float) -> tuple[float, float]:
    """Wilson's interval of a share."""
    from scipy.stats import norm

    if number == 0:
        return float("nan"), float("nan")
    z = float(norm.ppf((1 + level) / 2))
    centre = (hits + z**2 / 2) / (number + z**2)
    half = z / (number + z**2) * np.sqrt(hits * (number - hits) / number + z**2 / 4)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def _library() -> tuple[Any, Any]:
    try:
        from cleanlab import count, filter
    except ImportError:
        raise SteelyardError("`label_noise` needs the package cleanlab: pip install 'steelyard[diagnosis]'") from None
    return count, filter


def _plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if isinstance(value, str | int | bool) or value is None else str(value)
