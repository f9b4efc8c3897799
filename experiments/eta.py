"""What happens when only the ratio of classes changes? Predicted against measured, for six models, on gene expression data.

Training rows (n), features (d) and the two populations stay the same, so kappa = n/d and the separability are fixed; only
eta = majority rows / minority rows grows. This repeats the experiment that the abstract of arXiv:2601.04149 describes::

    python experiments/eta.py --data genomics/                # a folder of tables, or one: last column or `label` is the class
    python experiments/eta.py --data genomics/ --repeats 10   # quicker

Predictions know nothing of the unbalanced runs. Each model's separability is read off its area under the ROC curve at eta = 1,
and what unequal counts do is then a formula. `bayes` moves the threshold by log(eta); `finite sample` also has the count bias
and the noise of the class means, with the constants of shrinkage LDA on the balanced training rows. A Gaussian control with a
known distance of the class means runs beside the data. Writes `eta.json`,
`eta.md` and the figure `eta.svg` to `experiments/results`.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from eta_report import write
from steelyard.core.errors import DataError
from steelyard.core.seeds import derive
from steelyard.diagnosis import Equivalents, abstract_rule, average_precision, bayes, delta_of_auroc
from steelyard.diagnosis.prepare import within
from steelyard.diagnosis.shrinkage import shrunk

HERE = Path(__file__).parent
LEAST_TEST = 9
"""Minority rows that are always held out."""

MODELS: dict[str, Callable[[int], Any]] = {
    "LDA": lambda seed: LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    "logistic regression": lambda seed: LogisticRegression(max_iter=500),
    "SVM": lambda seed: SVC(kernel="linear", C=1.0),
    "k-NN": lambda seed: KNeighborsClassifier(n_neighbors=5),
    "random forest": lambda seed: RandomForestClassifier(n_estimators=100, random_state=seed % 2**32),
    "MLP": lambda seed: MLPClassifier((32,), solver="lbfgs", alpha=1.0, max_iter=200, random_state=seed % 2**32),
}

RATES = ("recall", "false_alarms", "auroc", "pr_auc", "pr_auc_natural")


@dataclass(frozen=True)
class Case:
    """Training and test rows for any minority count.

    Args:
        name: of the data.
        n: training rows.
        d: features.
        minority: minority training rows, from balanced to rare.
        draw: (minority rows, generator) -> training X, y, test X, y, with y 1 in the minority.
        test_share: test rows to one training row where repeats share rows, else 0; widens the intervals.
        delta: distance of the class means where it is known.
    """

    name: str
    n: int
    d: int
    minority: tuple[int, ...]
    draw: Callable[[int, np.random.Generator], tuple[np.ndarray, ...]]
    test_share: float
    delta: float | None = None


def levels(n: int) -> tuple[int, ...]:
    """Minority counts of n rows at ratios of about 1, 2, 3, 5, 7, 10 and 15 to 1, at least two rows."""
    return tuple(dict.fromkeys(max(2, round(n / (1 + eta))) for eta in (1, 2, 3, 5, 7, 10, 15)))


def table(path: Path, features: int) -> Case:
    """A table of two classes with as many features as asked for, those that vary most (labels are not looked at)."""
    import pandas as pd

    frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    target = "label" if "label" in frame else frame.columns[-1]
    labels, y = np.unique(frame[target], return_inverse=True)
    if labels.size != 2:
        raise DataError(f"{path.name}: this experiment wants two classes; `{target}` has {labels.size}")
    y = (y == np.bincount(y).argmin()).astype(int)
    X = frame.drop(columns=[target]).to_numpy(np.float64)
    X = X[:, np.sort(np.argsort(-X.var(0), kind="stable")[:features])]
    n = 2 * (int(y.sum()) - LEAST_TEST)
    if n < 8:
        raise DataError(f"{path.name}: {int(y.sum())} minority rows are too few; {LEAST_TEST + 4} are needed")
    most = n - min(levels(n))

    def draw(n1: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        small, large = rng.permutation(np.flatnonzero(y == 1)), rng.permutation(np.flatnonzero(y == 0))
        # The test rows are the same for every ratio of a repeat.
        train = np.concatenate([small[LEAST_TEST:][:n1], large[-most:][: n - n1]])
        test = np.concatenate([small[:LEAST_TEST], large[:-most]])
        return X[train], y[train], X[test], y[test]

    share = (LEAST_TEST + int((y == 0).sum()) - most) / n
    return Case(path.stem, n, X.shape[1], levels(n), draw, share)


def gaussian(n: int = 200, d: int = 40, delta: float = 3.0, test: int = 2000) -> Case:
    """Two Gaussian classes with a known distance."""

    def draw(n1: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        counts = (n1, n - n1, test, test)
        rows = [rng.normal(size=(count, d)) + delta / np.sqrt(d) * (k % 2 == 0) for k, count in enumerate(counts)]
        marks = [np.full(count, int(k % 2 == 0)) for k, count in enumerate(counts)]
        return np.concatenate(rows[:2]), np.concatenate(marks[:2]), np.concatenate(rows[2:]), np.concatenate(marks[2:])

    return Case("gaussian", n, d, levels(n), draw, 0.0, delta)


def scored(model: Any, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the minority, and decisions."""
    if isinstance(model[-1], SVC):
        return model.decision_function(X), model.predict(X)
    return model.predict_proba(X)[:, 1], model.predict(X)


def judge(score: np.ndarray, said: np.ndarray, y: np.ndarray, eta: float) -> list[float]:
    """`RATES` of one model on test rows, the areas under PR curves at equal and at the natural ratio of classes."""
    even = np.where(y == 1, 1 / y.sum(), 1 / (1 - y).sum())
    natural = even * np.where(y == 1, 1.0, eta)
    areas = [average_precision_score(y, score, sample_weight=weights) for weights in (even, natural)]
    return [said[y == 1].mean(), said[y == 0].mean(), roc_auc_score(y, score), *areas]


def constants(X: np.ndarray, y: np.ndarray) -> list[float]:
    """A, B, C and D of shrinkage LDA on balanced training rows."""
    found = within(StandardScaler().fit_transform(X), y, 2)
    e = shrunk(found, np.bincount(y).astype(np.float64), X.shape[1]).equivalents
    return [float(value) for value in (e.a[1, 0], e.b, e.c[1, 0], e.d)]


def measure(case: Case, repeats: int) -> tuple[np.ndarray, Equivalents]:
    """Rates `[ratios, models, repeats, RATES]`, and what shrinkage LDA's are at equal counts."""
    rates = np.zeros((len(case.minority), len(MODELS), repeats, len(RATES)))
    known = []
    started = time.monotonic()
    for repeat in range(repeats):
        for i, n1 in enumerate(case.minority):
            rng = np.random.default_rng(derive(0, case.name, repeat))
            X, y, X_test, y_test = case.draw(n1, rng)
            if i == 0:
                known.append(constants(X, y))
            for j, make in enumerate(MODELS.values()):
                model = make_pipeline(StandardScaler(), make(derive(0, case.name, repeat, n1)))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    model.fit(X, y)
                rates[i, j, repeat] = judge(*scored(model, X_test), y_test, (case.n - n1) / n1)
        if (repeat + 1) % 10 == 0:
            print(f"{case.name}: {repeat + 1}/{repeats} repeats, {time.monotonic() - started:.0f} s", flush=True)
    return rates, Equivalents(*np.mean(known, axis=0))


def metrics(rates: np.ndarray, eta: float) -> dict[str, float]:
    """Mean rates `[RATES]` as the metrics that are compared; precision and F1 at equal ("") and natural ratio of test rows."""
    recall, alarms, auroc, pr, pr_natural = rates.tolist()
    values = {"recall": recall, "auroc": auroc, "pr_auc": pr, "pr_auc_natural": pr_natural}
    for suffix, ratio in (("", 1.0), ("_natural", eta)):
        said = recall + ratio * alarms
        values[f"precision{suffix}"] = recall / said if said > 0 else float("nan")
        values[f"f1{suffix}"] = 2 * recall / (1 + said)
    return values


def measured(rates: np.ndarray, eta: float, test_share: float) -> dict[str, dict[str, float]]:
    """Each metric of mean rates with a 95 % interval from the repeats `[repeats, RATES]`.

    Pseudo-values of the jackknife give the spread between repeats; rows shared by repeats widen the interval as Nadeau and
    Bengio do it, by the number of test rows to a training row.
    """
    from scipy.stats import t

    repeats = rates.shape[0]
    whole = metrics(rates.mean(0), eta)
    without = [metrics((rates.sum(0) - one) / (repeats - 1), eta) for one in rates]
    found = {}
    for name, value in whole.items():
        pseudo = np.array([repeats * value - (repeats - 1) * one[name] for one in without])
        half = float(t.ppf(0.975, repeats - 1)) * pseudo.std(ddof=1) * np.sqrt(1 / repeats + test_share)
        found[name] = {"value": value, "low": max(0.0, value - half), "high": min(1.0, value + half)}
    return found


def predicted(delta: float, lda: Equivalents, n: int, n1: int) -> dict[str, dict[str, float]]:
    """Metrics by both predictions, from the separability that the model has at eta = 1."""
    eta = (n - n1) / n1
    limit = bayes(eta, delta)
    # The scores' spread at equal counts is LDA's, and their means are as far apart as the model's are.
    own = Equivalents(delta * lda.recalls(n / 2, n / 2).sd, lda.b, lda.c, lda.d)
    finite = own.recalls(n - n1, n1)
    found = {}
    for name, recall, majority, reached in (
        ("bayes", limit.minority_recall, limit.majority_recall, delta),
        ("finite_sample", finite.minority, finite.majority, float(finite.delta_eff)),
    ):
        areas = [average_precision(ratio, reached) for ratio in (1.0, eta)]
        rates = np.array([recall, 1 - majority, float(bayes(1.0, reached).auroc), *areas], dtype=np.float64)
        found[name] = metrics(rates, eta)
    return found


def points(case: Case, rates: np.ndarray, lda: Equivalents) -> Iterator[dict[str, Any]]:
    """Model by model and ratio by ratio: measured, predicted, and what the abstract's rule says."""
    for j, model in enumerate(MODELS):
        start = measured(rates[0, j], 1.0, case.test_share)["auroc"]
        top = 1 - 1e-4
        deltas = [max(float(delta_of_auroc(min(start[key], top))), 0.0) for key in ("value", "low", "high")]
        for i, n1 in enumerate(case.minority):
            eta = (case.n - n1) / n1
            ranges = [predicted(delta, lda, case.n, n1) for delta in deltas]
            yield {
                "data": case.name,
                "model": model,
                "eta": eta,
                "minority_rows": n1,
                "delta_eff": dict(zip(("value", "low", "high"), deltas, strict=True)),
                "measured": measured(rates[i, j], eta, case.test_share),
                "predicted": ranges[0],
                "predicted_at_low_delta": ranges[1],
                "predicted_at_high_delta": ranges[2],
                "abstract_ratio": float(abstract_rule(eta, case.n / case.d, deltas[0]).ratio),
            }


def main(arguments: list[str] | None = None) -> int:
    """Run it; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a Parquet or CSV file of two classes, or a folder of them")
    parser.add_argument("--features", type=int, default=200, help="features that vary most, 200 unless said")
    parser.add_argument("--repeats", type=int, default=40, help="random splits, 40 unless said; at least 3")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the results")
    asked = parser.parse_args(arguments)
    if asked.repeats < 3:
        parser.error("--repeats should be at least 3")
    files = sorted(p for p in asked.data.iterdir() if p.suffix in (".parquet", ".csv")) if asked.data.is_dir() else [asked.data]
    try:
        cases = [gaussian(), *(table(path, asked.features) for path in files)]
    except (DataError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    found = []
    for case in cases:
        rates, lda = measure(case, asked.repeats)
        found.append({
            "name": case.name, "n": case.n, "d": case.d, "kappa": case.n / case.d, "delta": case.delta,
            "constants": {name: float(getattr(lda, name)) for name in "abcd"},
            "points": list(points(case, rates, lda)),
        })  # fmt: skip
    write(
        asked.out,
        found,
        list(MODELS),
        f"python experiments/eta.py --data FOLDER --features {asked.features} --repeats {asked.repeats}",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
