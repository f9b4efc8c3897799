"""The scikit-learn face: a classifier for imbalanced tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeAlias

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from steelyard.core.regime import Regime
from steelyard.core.stage import Steps
from steelyard.estimator.deciding import Decision
from steelyard.estimator.inputs import TakesTables, labels_of, weights_of
from steelyard.estimator.scoring import Judge
from steelyard.estimator.table_model import Prior, TableModel
from steelyard.estimator.training import Progress, train_table
from steelyard.tasks.models import Model

Array: TypeAlias = "np.ndarray"


class SteelyardClassifier(TakesTables, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A neural classifier for imbalanced tables: calibrated probabilities, and decisions for the metric that you name.

    Columns of a DataFrame are taken by their type: numbers, dates and truth values as numbers; categories, text and objects as
    categories. Missing values are allowed. Members are trained by the method and averaged; rows that a member did not learn
    from calibrate the probabilities and set the thresholds.

    Args:
        method: a method by name ("la", "metabalance", "la(tau=1.5)", "ldam+drw"), a generator function of stages, or "auto":
            the best of a short list by `metric`.
        regime: a training recipe by name ("tables", "tables(epochs=10)"), a `Regime`, or "auto": the usual one for so many
            rows.
        model: a network by name, a `torch.nn.Module`, a function that makes one, or "auto".
        metric: what method and decision should be best for: "balanced_accuracy", "auprc", "auroc", "f1", "macro_f1", "g_mean",
            "mcc", "worst_recall", "accuracy", "log_loss", "brier", "expected_cost", or a function of probabilities `[N, C]` and
            classes `[N]` (0 to C-1), the higher the better, that is given `sample_weight=` too if it takes that.
        decision: "auto" follows the metric; else "argmax", the name of a metric, a cost matrix `[C, C]` (cost[true, decided]),
            `Thresholds`, or a function of held-out probabilities and classes (and `sample_weight=`, if it takes that) that
            returns `Thresholds`.
        n_seeds: members, trained at once where the method allows it; with folds there are at least as many as folds.
        validation: a fraction of the rows to hold out, a number of folds, or "auto": 5 folds up to 20,000 rows, else 15 %.
        device: "auto", "cpu", "cuda", ...; predictions are made on the CPU.
        random_state: seed, generator or None, as everywhere in scikit-learn.
        verbose: 1 prints a line an epoch.

    Attributes:
        classes_: labels in ascending order `[C]`.
        n_features_in_: columns.
        feature_names_in_: their names, where X had any.
        n_iter_: epochs.
        method_: name of the method in use.
        candidates_: what "auto" tried: a mapping each, with method, score, low, high, rounds, seconds, chosen, note.
        estimate_: `metric` on rows that were not learnt from, with a 95 % interval; None where there were none.
        prior_: share of each class that probabilities answer for `[C]`.
        model_: the `TableModel`, which needs no scikit-learn.

    Example:
        >>> from sklearn.datasets import make_classification
        >>> X, y = make_classification(300, weights=[0.9], random_state=0)
        >>> model = SteelyardClassifier("la", regime="tables(epochs=3)", random_state=0).fit(X, y)
        >>> model.predict_proba(X).shape, model.method_
        ((300, 2), 'la')
    """

    def __init__(
        self,
        method: str | Callable[..., Steps] = "auto",
        *,
        regime: str | Regime = "auto",
        model: Model = "auto",
        metric: str | Judge = "balanced_accuracy",
        decision: Decision = "auto",
        n_seeds: int = 1,
        validation: str | int | float = "auto",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.method = method
        self.regime = regime
        self.model = model
        self.metric = metric
        self.decision = decision
        self.n_seeds = n_seeds
        self.validation = validation
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from rows.

        Args:
            X: features `[N, d]`: an array, or a DataFrame of pandas or polars.
            y: labels `[N]`.
            sample_weight: `[N]`, 0 or more; a row of weight 2 counts as if it were there twice, one of 0 as if it were not
                there.

        Raises:
            ValueError: data, names or settings that cannot be used; the message says what to do.
        """
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        frame = self._features(X, reset=True)
        classes, codes = labels_of(y)
        check_consistent_length(frame, codes)
        weights = weights_of(sample_weight, len(codes))
        if weights is not None and not weights.all():
            kept = weights > 0
            frame, weights = frame[kept].reset_index(drop=True), weights[kept]
            present, codes = np.unique(codes[kept], return_inverse=True)
            classes = classes[present]
            weights = None if bool((weights == weights[0]).all()) else weights
        self.classes_ = classes
        self.model_ = train_table(
            frame,
            codes,
            classes,
            method=self.method,
            regime=self.regime,
            model=self.model,
            metric=self.metric,
            decision=self.decision,
            n_seeds=self.n_seeds,
            validation=self.validation,
            sample_weight=weights,
            device=self.device,
            seed=seed,
            listeners=[Progress()] if self.verbose else [],
        )
        facts = self.model_.facts
        self.method_: str = facts["method"]["name"]
        self.candidates_: list[dict[str, Any]] = facts["candidates"]
        self.estimate_: dict[str, Any] | None = facts["estimate"]
        self.n_iter_: int = facts["epochs"]
        self.prior_ = self.model_.prior
        return self

    def predict_proba(self, X: Any, prior: Prior = None) -> Array:
        """Calibrated probabilities `[N, C]`, in the order of `classes_`.

        Args:
            X: features.
            prior: share of each class where the model is used: `[C]`, or a mapping from labels; "em" to estimate it from these
                rows taken together; None for that of training.
        """
        model = self._fitted()
        return model.predict_proba(self._features(X, reset=False), prior)

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithm of `predict_proba`."""
        logs: Array = np.log(self.predict_proba(X))
        return logs

    def predict(self, X: Any, prior: Prior = None) -> Array:
        """Labels `[N]`: decided for the metric, so not always those of the largest probability.

        Args:
            X: features.
            prior: as for `predict_proba`. Least expected cost and the largest probability go by the probabilities for that
                mix; thresholds stay as they are on those for the mix of training.
        """
        model = self._fitted()
        frame = self._features(X, reset=False)
        if prior is None:
            return model.predict(frame)
        proba = model.predict_proba(frame)
        labels: Array = model.classes[model.decided(proba, model.prior_shift(prior, proba))]
        return labels

    def decision_function(self, X: Any) -> Array:
        """How clear decisions are.

        Of two classes `[N]`: log-odds of the second beyond those that the decision asks for, above 0 where it is decided for.
        Of more classes scores `[N, C]`, of which the largest decides.
        """
        model = self._fitted()
        return model.decision_function(self._features(X, reset=False))

    def predict_spread(self, X: Any) -> Array:
        """Standard deviation of the members' probabilities `[N, C]`: how much a probability depends on the training run."""
        model = self._fitted()
        return model.spread(self._features(X, reset=False))

    def _fitted(self) -> TableModel:
        check_is_fitted(self, "model_")
        model: TableModel = self.model_
        return model
