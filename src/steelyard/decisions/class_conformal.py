"""Sets of classes that hold the true class as often as promised, for every class on its own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.loss import check_classes
from steelyard.decisions._arrays import as_floats, as_proba, as_target, log_proba_of, reaches

OUTSIDE = 1000.0
"""By how much the log-probability of a class outside the set is lowered: its probability is 0 beside those inside."""


class ClassConformal(nn.Module):
    """Class-conditional split conformal prediction: rows of each class get a set with it in at least 1 - alpha of the time.

    Formula:
        Class c is in the set where `p_c >= l_c`, with `l_c` the k-th largest `p_c` among the n_c calibration rows of class c,
        `k = ceil((n_c + 1) (1 - alpha))`. Where k > n_c, that is with fewer than `1 / alpha - 1` rows of the class, nothing can
        be promised otherwise and the class is in every set (`l_c = 0`).

    The promise holds on average over calibration sets, for rows that are exchangeable with the calibration rows of their class.
    It does not depend on the class mix, nor on the probabilities being calibrated. A set may be empty or hold several classes.

    Args:
        alpha: how often a set may miss the class, above 0 and below 1; a number, or one a class `[C]`.

    Attributes:
        lowest: the smallest probability with which a class is in the set, float64 `[C]`; None before `fit`.
        rows: calibration rows of each class, int64 `[C]`; None before `fit`.
        always: classes that are in every set because they have too few rows.

    Shape:
        scores `[N, C]` (logits or log-probabilities) to log-probabilities `[N, C]` float64, those of classes outside the set
        lowered by 1000: the largest is the most probable class of the set, or, of an empty set, the most probable class.

    Raises:
        ArgumentError: an alpha that is not between 0 and 1.

    Reference:
        Vovk: Conditional validity of inductive conformal predictors, ACML 2012. Sadinle, Lei, Wasserman: Least ambiguous
        set-valued classifiers with bounded error levels, JASA 2019.

    Example:
        >>> rows = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
        >>> ClassConformal(0.4).fit(rows, [0, 0, 1, 1]).sets(np.array([[0.65, 0.35], [0.1, 0.9]]))
        array([[ True, False],
               [False,  True]])
    """

    alpha: Tensor
    lowest: Tensor | None
    rows: Tensor | None

    def __init__(self, alpha: Any = 0.1) -> None:
        super().__init__()
        values = as_floats(alpha, "alpha", "above 0 and below 1, a number or one a class [C]")
        if values.ndim > 1 or values.size == 0 or not ((values > 0) & (values < 1)).all():
            raise ArgumentError("alpha", "above 0 and below 1, a number or one a class [C]", f"{alpha!r:.60}")
        self.register_buffer("alpha", torch.from_numpy(np.array(values)))
        self.register_buffer("lowest", None)
        self.register_buffer("rows", None)

    @property
    def always(self) -> tuple[int, ...]:
        """Classes that are in every set because they have too few calibration rows for anything else."""
        count = self._fitted()[1].cpu().numpy()
        return tuple(np.flatnonzero(self._ranks(count) > count).tolist())

    def fit(self, proba: Any, target: Any) -> ClassConformal:
        """Calibrate on rows that neither the model nor its calibration has seen; returns the decision itself.

        Args:
            proba: `[N, C]`.
            target: classes `[N]`. A class without rows is in every set.

        Raises:
            ArgumentError: not probabilities, shapes that do not fit, or an alpha of another number of classes.
        """
        values = as_proba(proba)
        rows, classes = values.shape
        truth = as_target(target, rows, classes)
        if self.alpha.ndim == 1 and len(self.alpha) != classes:
            raise ArgumentError("alpha", f"a number or of shape [{classes}]", f"shape {list(self.alpha.shape)}")
        count = np.bincount(truth, minlength=classes)
        device = self.alpha.device
        self.rows = torch.from_numpy(count.astype(np.int64)).to(device)
        lowest = np.zeros(classes)
        for c, rank in enumerate(self._ranks(count)):
            if rank <= count[c]:
                own = values[truth == c, c]
                lowest[c] = np.partition(own, len(own) - rank)[len(own) - rank]
        self.lowest = torch.from_numpy(lowest).to(device)
        return self

    def sets(self, proba: Any) -> Any:
        """Which classes are in the set of each row: bool `[N, C]`, an array of an array and a tensor of a tensor."""
        lowest = self._fitted()[0].cpu().double().numpy()
        inside = as_proba(proba, len(lowest)) >= lowest
        return torch.from_numpy(inside).to(proba.device) if isinstance(proba, Tensor) else inside

    def forward(self, scores: Tensor) -> Tensor:
        """Log-probabilities `[N, C]` of which the largest is that of the most probable class in the set."""
        lowest, _ = self._fitted()
        check_classes(scores, len(lowest))
        logs = log_proba_of(scores)
        return torch.where(reaches(logs, lowest, scores.dtype), logs, logs - OUTSIDE)

    def to_json(self) -> dict[str, Any]:
        """Plain values from which `from_json` makes the same again, exactly."""
        found = {"lowest": self.lowest, "rows": self.rows}
        return {"alpha": self.alpha.tolist()} | {key: None if value is None else value.tolist() for key, value in found.items()}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> ClassConformal:
        """What `to_json` described."""
        made = cls(state["alpha"])
        if state["lowest"] is not None:
            made.lowest = torch.tensor(state["lowest"], dtype=torch.float64)
            made.rows = torch.tensor(state["rows"], dtype=torch.int64)
        return made

    def extra_repr(self) -> str:
        """Shown by print(decision)."""
        return f"alpha={self.alpha.tolist()}" + (", not fitted" if self.lowest is None else f", always={self.always}")

    def _fitted(self) -> tuple[Tensor, Tensor]:
        if self.lowest is None or self.rows is None:
            raise ArgumentError("decision", "fitted: call fit(proba, target) first", "ClassConformal without calibration rows")
        return self.lowest, self.rows

    def _ranks(self, count: Any) -> Any:
        """The rank k of each class `[C]`, for these calibration rows `[C]`."""
        alpha = np.broadcast_to(self.alpha.cpu().numpy(), count.shape)
        # Rounded: (9 + 1) * (1 - 0.1) must not become 10 because 1 - 0.1 is no binary fraction.
        return np.array([math.ceil(round((n + 1) * (1 - a), 9)) for n, a in zip(count, alpha, strict=True)])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # A state that was fitted loads into a decision that is not: what is None has no shape to load into.
        for name in ("lowest", "rows", "alpha"):
            given = state_dict.get(prefix + name)
            if given is not None:
                setattr(self, name, torch.empty_like(given, device=self.alpha.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)
