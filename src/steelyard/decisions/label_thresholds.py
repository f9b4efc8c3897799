"""Several labels an example: when to decide that a label is present, a threshold each."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.decisions._arrays import Floats, as_array, as_floats
from steelyard.decisions._search import MetricLike
from steelyard.decisions.thresholds import Thresholds


class LabelThresholds(nn.Module):
    """Decide that a label is present where its probability reaches its threshold.

    Formula:
        `label l is present where p_l >= t_l`

    Args:
        thresholds: `[L]`, 0 or more; above 1 is for never.

    Attributes:
        thresholds: float64 `[L]`.

    Shape:
        `decide` takes probabilities `[N, L]` and returns 0 and 1 `[N, L]`.

    Raises:
        ArgumentError: not one-dimensional, empty, negative or not finite.

    Reference:
        Lipton, Elkan, Naryanaswamy: Optimal thresholding of classifiers to maximize F1 measure, ECML PKDD 2014.

    Example:
        >>> LabelThresholds([0.5, 0.2]).decide(np.array([[0.4, 0.3], [0.6, 0.1]]))
        array([[0, 1],
               [1, 0]])
    """

    thresholds: Tensor

    def __init__(self, thresholds: Any) -> None:
        super().__init__()
        values = as_floats(thresholds, "thresholds", "a number for each label [L]")
        if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all() or values.min() < 0:
            raise ArgumentError("thresholds", "a finite number, 0 or more, for each label [L]", f"{values.tolist()!r:.60}")
        self.register_buffer("thresholds", torch.from_numpy(values))

    def decide(self, proba: Any) -> Any:
        """Decisions `[N, L]`, int64: an array of an array, a tensor of a tensor.

        Raises:
            ArgumentError: not probabilities, or of another number of labels.
        """
        values = _as_label_proba(proba, len(self.thresholds))
        decided = (values >= self.thresholds.cpu().numpy()).astype(np.int64)
        return torch.from_numpy(decided).to(proba.device) if isinstance(proba, Tensor) else decided

    @classmethod
    def for_metric(cls, proba: Any, labels: Any, metric: MetricLike = "f1") -> LabelThresholds:
        """Choose for each label the threshold whose decisions have the highest metric on given examples.

        Every cut is looked at, as by `Thresholds.for_metric` with two classes. A label that is always or never present in these
        examples keeps 0.5.

        Args:
            proba: `[N, L]`, of examples that were not trained on.
            labels: `[N, L]`, 0, 1, or NaN where not known.
            metric: "f1", "balanced_accuracy", "g_mean", "mcc" or "accuracy"; or a function, as for `Thresholds.for_metric`.

        Raises:
            ArgumentError: not probabilities, labels other than 0 and 1, or shapes that do not fit.
            UnknownName: no such metric.

        Example:
            >>> proba = np.array([[0.9, 0.2], [0.8, 0.1], [0.3, 0.3]])
            >>> LabelThresholds.for_metric(proba, [[1, 0], [1, 0], [0, 1]]).thresholds.numpy().round(3)
            array([0.55, 0.25])
        """
        truth = as_array(labels).astype(np.float64)
        values = _as_label_proba(proba, truth.shape[1] if truth.ndim == 2 else -1)
        if truth.shape != values.shape or not np.isin(truth[~np.isnan(truth)], (0, 1)).all():
            found = f"shape {list(truth.shape)}" if truth.shape != values.shape else "other values"
            raise ArgumentError("labels", f"0, 1, or NaN where not known, of shape {list(values.shape)}", found)
        cuts = np.full(values.shape[1], 0.5)
        for place in range(values.shape[1]):
            known = ~np.isnan(truth[:, place])
            p, own = values[known, place], truth[known, place].astype(np.int64)
            if 0 < own.sum() < len(own):
                both = Thresholds.for_metric(np.stack([1 - p, p], 1), own, metric).thresholds
                assert both is not None
                cuts[place] = float(both[1] / both.sum())
        return cls(cuts)

    def to_json(self) -> dict[str, Any]:
        """Plain values from which `from_json` makes the same again, exactly."""
        return {"thresholds": self.thresholds.tolist()}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> LabelThresholds:
        """What `to_json` described."""
        return cls(state["thresholds"])

    def extra_repr(self) -> str:
        """Shown by print(decision)."""
        return f"[{', '.join(f'{t:.4g}' for t in self.thresholds.tolist()[:8])}]"


def _as_label_proba(proba: Any, labels: int) -> Floats:
    try:
        values = as_array(proba).astype(np.float64)
    except (TypeError, ValueError):
        raise ArgumentError("proba", "probabilities [N, L]", f"a {type(proba).__name__}") from None
    if values.ndim != 2 or (labels >= 0 and values.shape[1] != labels):
        expected = f"a probability for each label [N, {labels if labels >= 0 else 'L'}]"
        raise ArgumentError("proba", expected, f"shape {list(values.shape)}")
    if not (np.isfinite(values).all() and (values >= 0).all() and (values <= 1).all()):
        raise ArgumentError("proba", "probabilities from 0 to 1 (apply sigmoid to log-odds first)", "others")
    return values
