"""The scikit-learn face for examples with several labels each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from steelyard.core.regime import Regime
from steelyard.core.stage import Steps
from steelyard.decisions import LabelThresholds
from steelyard.estimator.inputs import TakesTables, is_frame, to_frame
from steelyard.estimator.label_model import LabelModel, train_labels
from steelyard.tasks.models import Model

Array: TypeAlias = "np.ndarray"
Decision: TypeAlias = "str | float | Mapping[Any, float] | list[float] | np.ndarray | LabelThresholds"


class SteelyardMultiLabelClassifier(TakesTables, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A neural classifier for tables whose rows have several labels each, with a threshold for every label.

    Columns of X are taken as by `SteelyardClassifier`; missing values are allowed. One network scores all labels. Rows that it
    did not learn from, held out by iterative stratification, say when training is best and set the thresholds.

    Args:
        method: a method by name ("ce", "la", "asymmetric", "distribution-balanced", "sam+drw"), or a generator function of
            stages. "ce" is binary cross-entropy of each label.
        regime: a training recipe by name ("tables", "tables(epochs=10)"), a `Regime`, or "auto": the usual one for so many
            rows.
        model: a network by name, a `torch.nn.Module` with L or 2L outputs, a function that makes one, or "auto".
        decision: how `predict` decides: the metric of each label that its threshold shall be best for ("f1",
            "balanced_accuracy", "g_mean", "mcc", "accuracy"); a probability for all labels (0.5); or thresholds `[L]`.
        n_seeds: networks, whose probabilities are averaged, 1 or more.
        validation: share of the rows to hold out, from 0 to below 1; with 0 a metric as `decision` is refused.
        device: "auto", "cpu", "cuda", ...; predictions are made on the CPU.
        random_state: seed, generator or None, as everywhere in scikit-learn.
        verbose: 1 prints a line an epoch.

    Attributes:
        classes_: what a label can be, 0 and 1, for each label (a list of L arrays).
        label_names_: names of the labels: the columns of a DataFrame Y, else "0", "1", ...
        n_features_in_: columns.
        feature_names_in_: their names, where X had any.
        n_iter_: epochs.
        thresholds_: of each label `[L]`.
        estimate_: mean average precision and F1 of the held-out rows ("map", "label_f1", "micro_f1", decided at 0.5; thresholds
            were chosen on the same rows); None without such rows.
        model_: the `LabelModel` behind it.

    Example:
        >>> from sklearn.datasets import make_multilabel_classification
        >>> X, Y = make_multilabel_classification(200, n_classes=4, random_state=0)
        >>> model = SteelyardMultiLabelClassifier("la", regime="tables(epochs=2)", random_state=0).fit(X, Y)
        >>> model.predict_proba(X).shape, model.predict(X).shape
        ((200, 4), (200, 4))
    """

    def __init__(
        self,
        method: str | Callable[..., Steps] = "ce",
        *,
        regime: str | Regime = "auto",
        model: Model = "auto",
        decision: Decision = "f1",
        n_seeds: int = 1,
        validation: float = 0.15,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.method = method
        self.regime = regime
        self.model = model
        self.decision = decision
        self.n_seeds = n_seeds
        self.validation = validation
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, Y: Any) -> Self:
        """Learn from rows.

        Args:
            X: features `[N, d]`: an array, or a DataFrame of pandas or polars.
            Y: `[N, L]`: 1 where a label is present, 0 where it is absent, NaN where that is not known; an array or a DataFrame.

        Raises:
            ValueError: data, names or settings that cannot be used; the message says what to do.
        """
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        frame = self._features(X, reset=True)
        labels, names = _labels_of(Y)
        check_consistent_length(frame, labels)
        self.model_ = train_labels(
            frame,
            labels,
            names,
            method=self.method,
            regime=self.regime,
            model=self.model,
            decision=self.decision,
            members=self.n_seeds,
            validation=self.validation,
            device=self.device,
            seed=seed,
            verbose=bool(self.verbose),
        )
        self.label_names_ = np.array(names, dtype=object)
        self.classes_ = [np.array([0, 1]) for _ in names]
        self.thresholds_: Array = self.model_.thresholds.thresholds.numpy()
        self.estimate_: dict[str, float] | None = self.model_.facts["estimate"]
        self.n_iter_: int = self.model_.facts["epochs"]
        return self

    def predict_proba(self, X: Any) -> Array:
        """The probability of each label `[N, L]`."""
        return self._fitted().predict_proba(self._features(X, reset=False))

    def predict(self, X: Any) -> Array:
        """1 where a label reaches its threshold, else 0, `[N, L]`."""
        model = self._fitted()
        decided: Array = model.thresholds.decide(model.predict_proba(self._features(X, reset=False)))
        return decided

    def _fitted(self) -> LabelModel:
        check_is_fitted(self, "model_")
        model: LabelModel = self.model_
        return model

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        return tags


def _labels_of(Y: Any) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Labels `[N, L]` float32 and their names.

    Raises:
        ValueError: as scikit-learn's classifiers do, for what are no labels.
    """
    from steelyard.data.label_sets import indicator

    if Y is None:
        raise ValueError("SteelyardMultiLabelClassifier requires y to be passed, but the target y is None")
    frame = to_frame(Y) if is_frame(Y) else None
    values = frame.to_numpy() if frame is not None else Y.toarray() if _is_sparse(Y) else np.asarray(Y)
    if values.dtype.kind == "f" and np.isinf(values).any():
        raise ValueError("Input y contains infinity: a label is 0, 1, or NaN where it is not known")
    if values.dtype.kind == "f" and (np.nan_to_num(values) % 1).any():
        raise ValueError("Unknown label type: continuous. A label is 0, 1, or NaN where it is not known")
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(
            f"Y should be 0 and 1 of shape [N, L], a column a label; found shape {list(values.shape)}: for one class a row "
            "there is SteelyardClassifier"
        )
    if len(values) == 1:
        raise ValueError("Y has 1 sample: a label needs rows where it is present and rows where it is absent")
    if values.dtype.kind == "c":
        raise ValueError("Complex data not supported: a label is 0, 1, or NaN where it is not known")
    names = tuple(str(name) for name in (range(values.shape[1]) if frame is None else frame.columns))
    return indicator(values, names, "Y"), names


def _is_sparse(Y: Any) -> bool:
    from scipy.sparse import issparse

    return bool(issparse(Y))
