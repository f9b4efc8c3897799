"""When to decide for a class: a threshold a class, or a table of costs, chosen for what the decisions are to be good for."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.loss import check_classes
from steelyard.decisions._arrays import (
    LEAST,
    Floats,
    Ints,
    as_class,
    as_floats,
    as_number,
    as_prior,
    as_proba,
    as_target,
    as_weight,
    log_of,
    log_proba_of,
    mass_of,
    reaches,
)
from steelyard.decisions._search import Judge, Line, MetricLike, ascend, best_binary, cut_at


class Thresholds(nn.Module):
    """Decide by probabilities over thresholds, by one class's threshold, or by least expected cost.

    Formula:
        Thresholds t: `argmax_c p_c / t_c`, the first of equals. Two classes: class 1 where `p_1 >= t_1 / (t_0 + t_1)`.
        With `positive` k: class k where `p_k >= t_k`, else the most probable of the others.
        With `cost`: `argmin_d sum_c p_c cost[c, d]`, the first of equals.

    Args:
        thresholds: `[C]`, 0 or more (above 0 for more than two classes without `positive`); or a number t for two classes,
            short for `(1 - t, t)`. A threshold just above 1 is for never.
        positive: the class that is decided for at its threshold, whatever the others' are; for two classes 1 if not given.
        cost: instead of thresholds, `[C, C]`: `cost[true, decided]`.

    Attributes:
        thresholds: float64 `[C]`; None where costs decide and no thresholds would decide the same.
        cost: float64 `[C, C]`, or None.

    Shape:
        scores `[N, C]` (logits or log-probabilities) to scores `[N, C]` float64, of which the largest is decided for.
        `decide` takes probabilities `[N, C]` and returns classes `[N]`.

    Raises:
        ArgumentError: neither thresholds nor costs, or both; wrong shapes, values that are negative or not finite.

    Reference:
        Elkan: The foundations of cost-sensitive learning, IJCAI 2001.

    Example:
        >>> Thresholds(0.2).decide(np.array([[0.7, 0.3], [0.9, 0.1]]))
        array([1, 0])
    """

    thresholds: Tensor | None
    cost: Tensor | None
    positive: Tensor

    def __init__(self, thresholds: Any = None, *, positive: int | None = None, cost: Any = None) -> None:
        super().__init__()
        if (thresholds is None) == (cost is None):
            raise ArgumentError("thresholds", "given, unless `cost` is", "both" if cost is not None else "neither")
        if cost is not None:
            table = _checked_cost(cost)
            values, chosen = _equivalent(table), -1
        else:
            table = None
            values, chosen = _checked_thresholds(thresholds, positive)
        self.register_buffer("thresholds", None if values is None else torch.from_numpy(values))
        self.register_buffer("cost", None if table is None else torch.from_numpy(table))
        self.register_buffer("positive", torch.tensor(chosen, dtype=torch.int64))

    def forward(self, scores: Tensor) -> Tensor:
        """Scores `[N, C]` of which the largest is decided for."""
        logs = log_proba_of(scores)
        if self.cost is not None:
            check_classes(scores, len(self.cost))
            return -(logs.exp() @ self.cost.double())
        assert self.thresholds is not None
        check_classes(scores, len(self.thresholds))
        shifted = logs.clamp_min(np.log(LEAST)) - self.thresholds.double().clamp_min(LEAST).log()
        chosen = int(self.positive)
        if chosen < 0:
            return shifted
        others = torch.arange(len(self.thresholds), device=scores.device) != chosen
        cut = self._cut()
        odds = logs[:, chosen] - logs[:, others].logsumexp(1)
        ruled = shifted if len(others) == 2 else logs.clone()
        best = ruled[:, others].amax(1)
        own = best + odds.clamp(np.log(LEAST), -np.log(LEAST)) - (_log(cut) - _log(1 - cut))
        # Rounding, and equal scores, must not decide otherwise than the threshold.
        above, below = (torch.nextafter(best.detach(), torch.full_like(best, end)) for end in (torch.inf, -torch.inf))
        found = reaches(logs[:, chosen], logs.new_tensor(cut), scores.dtype)
        own = torch.where(found, torch.where(own > best, own, above), torch.where(own < best, own, below))
        return torch.where(others, ruled, own[:, None])

    def decide(self, proba: Any) -> Any:
        """Decided classes `[N]`, int64: an array of an array, a tensor of a tensor.

        Raises:
            ArgumentError: not probabilities, or of another number of classes.
        """
        decided = self._decided(as_proba(proba, self.num_classes))
        return torch.from_numpy(decided).to(proba.device) if isinstance(proba, Tensor) else decided

    def _decided(self, p: Floats) -> Ints:
        if self.cost is not None:
            cheapest: Ints = (p @ self.cost.double().cpu().numpy()).argmin(1)
            return cheapest
        assert self.thresholds is not None
        chosen = int(self.positive)
        if chosen < 0:
            largest: Ints = (log_of(p) - np.log(self.thresholds.double().cpu().numpy())).argmax(1)
            return largest
        if p.shape[1] == 2:
            return np.where(p[:, chosen] >= self._cut(), chosen, 1 - chosen)
        others = p.copy()
        others[:, chosen] = -1.0
        return np.where(p[:, chosen] >= self._cut(), chosen, others.argmax(1))

    @property
    def num_classes(self) -> int:
        """Classes that it decides between."""
        known = self.cost if self.cost is not None else self.thresholds
        assert known is not None
        return len(known)

    def _cut(self) -> float:
        """The probability from which on the positive class is decided for."""
        assert self.thresholds is not None
        own, total = float(self.thresholds[int(self.positive)]), float(self.thresholds.sum())
        # Already in the form (1 - t, t), which rounding must not change.
        return own / total if len(self.thresholds) == 2 and abs(total - 1) > 1e-9 else own

    @classmethod
    def for_metric(
        cls, proba: Any, target: Any, metric: MetricLike = "balanced_accuracy", *, positive: int = 1, sample_weight: Any = None
    ) -> Thresholds:
        """Choose the thresholds whose decisions have the highest metric on given rows.

        Two classes: all cuts between two probabilities are looked at, in O(N log N), and the best is taken, of equals the
        nearest to 0.5. More classes: coordinate ascent, in which each class in turn is given the best of all thresholds, from
        equal thresholds, the class shares, and with few rows more; the result is a local optimum, and never worse than the
        largest probability.

        Args:
            proba: `[N, C]`, of rows that were not trained on.
            target: their classes `[N]`.
            metric: "balanced_accuracy", "f1" (of class `positive`; with more than two classes the mean, as "macro_f1"),
                "macro_f1", "g_mean", "mcc" or "accuracy"; or a function `(target, decided) -> number`, the higher the better,
                which is asked at most at 1000 evenly spread cuts (64 a class for more than two), with
                `sample_weight=` if weights are given.
            positive: the class that "f1" is about, for two classes.
            sample_weight: `[N]`, 0 or more.

        Raises:
            ArgumentError: not probabilities, or shapes that do not fit.
            DataError: fewer than two classes have rows. With more than two classes, those without rows are left out of
                averages, and keep the threshold of the rarest that has some, or an equal one.
            UnknownName: no such metric.

        Example:
            >>> rows = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.7, 0.3]])
            >>> Thresholds.for_metric(rows, [0, 0, 1, 1], "f1").thresholds.numpy().round(3)
            array([0.75, 0.25])
        """
        values = as_proba(proba)
        rows, classes = values.shape
        truth, weight = as_target(target, rows, classes), as_weight(sample_weight, rows)
        mass = mass_of(truth, weight, classes)
        if (mass > 0).sum() < 2:
            raise DataError("`target` has rows (of weight above 0) of one class only: every threshold is as good as another")
        kept = weight > 0
        judge = Judge(metric, truth[kept], weight[kept], mass, as_class(positive, classes), sample_weight is not None)
        if classes == 2:
            return cls(best_binary(values[kept, 1], judge))
        return cls(ascend(log_of(values[kept]), judge))

    @classmethod
    def for_costs(cls, cost: Any) -> Thresholds:
        """Decide for the least expected cost, exactly, whatever the costs: Elkan 2001.

        Args:
            cost: `[C, C]`, `cost[true, decided]`, finite. Gains are negative costs. `thresholds` says which thresholds decide
                the same; with more than two classes there are some only where the cost of a mistake depends on the true class
                alone.

        Raises:
            ArgumentError: not square, or not finite.

        Example:
            >>> Thresholds.for_costs([[0, 1], [9, 0]]).thresholds  # p_1 >= 1 / (1 + 9)
            tensor([0.9000, 0.1000], dtype=torch.float64)
        """
        return cls(cost=cost)

    @classmethod
    def for_recall(
        cls,
        proba: Any,
        target: Any,
        positive: int = 1,
        recall: float = 0.9,
        *,
        prefer: str = "precision",
        sample_weight: Any = None,
    ) -> Thresholds:
        """Find at least a share of the rows of one class, with as few false alarms as that allows, on given rows.

        Class `positive` is decided for where its probability reaches the threshold. Deciding for it everywhere has recall 1, so
        a floor can always be met on the given rows. On others the recall varies: choose the floor with room to spare.

        Args:
            proba: `[N, C]`, of rows that were not trained on.
            target: their classes `[N]`.
            positive: the class to be found.
            recall: the floor, above 0, at most 1.
            prefer: of the cuts that meet the floor take the one with the highest "precision" (of equals the one with the fewest
                alerts), or the one with the fewest "alerts", which is the highest.
            sample_weight: `[N]`, 0 or more.

        Raises:
            ArgumentError: not probabilities, shapes that do not fit, or a floor that no decision can meet (above 1).
            DataError: no rows of the class.

        Example:
            >>> rows = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.7, 0.3]])
            >>> Thresholds.for_recall(rows, [0, 1, 1, 0], recall=0.5).thresholds[1].item()
            0.35
        """
        expected = "above 0, and at most 1, which no decision can exceed"
        recall = as_number(recall, "recall", expected, lambda value: 0 < value <= 1)
        if prefer not in ("precision", "alerts"):
            raise ArgumentError("prefer", "'precision' or 'alerts'", repr(prefer))
        values = as_proba(proba)
        rows, classes = values.shape
        chosen = as_class(positive, classes)
        truth, weight = as_target(target, rows, classes), as_weight(sample_weight, rows)
        hit = weight * (truth == chosen)
        if hit.sum() == 0:
            raise DataError(f"`target` has no rows (of weight above 0) of class {chosen}: its recall cannot be known")
        line = Line.of(-values[:, chosen])
        found, alerts = (np.concatenate([[0.0], np.cumsum(part[line.order])])[line.ends] for part in (hit, weight))
        enough = np.flatnonzero(found >= recall * hit.sum() * (1 - 1e-12))
        best = enough[0] if prefer == "alerts" else enough[np.argmax(found[enough] / alerts[enough])]
        return cls._at(cut_at(line, int(best)), chosen, classes)

    @classmethod
    def for_alerts(
        cls,
        proba: Any,
        alerts: float | None = None,
        rows_per_day: float | None = None,
        *,
        share: float | None = None,
        positive: int = 1,
        sample_weight: Any = None,
    ) -> Thresholds:
        """Decide for a class as often as there are hands to look at it: a budget of alerts a day, or a share of the rows.

        On the given rows the share of alerts is the largest that does not exceed the budget; rows with equal probabilities are
        alerted together or not at all.

        Args:
            proba: `[N, C]`, of rows as they occur where the model is used; no classes are needed.
            alerts: alerts a day, 0 or more.
            rows_per_day: rows a day, above 0.
            share: instead of both, alerts over rows, from 0 to 1.
            positive: the class that is alerted.
            sample_weight: `[N]`, 0 or more.

        Raises:
            ArgumentError: not probabilities, or no budget, or two.

        Example:
            >>> rows = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.7, 0.3]])
            >>> Thresholds.for_alerts(rows, 50, 200).decide(rows)
            array([0, 0, 1, 0])
        """
        if alerts is not None and np.ndim(alerts) > 0:  # classes, as a decision is given them
            written = "lambda proba, target: Thresholds.for_alerts(proba, share=0.01)"
            raise ArgumentError("alerts", f"one number; as a decision write `{written}`", f"{np.size(alerts)} numbers")
        if (share is None) == (alerts is None) or (alerts is None) != (rows_per_day is None):
            given = ", ".join(
                n for n, v in (("alerts", alerts), ("rows_per_day", rows_per_day), ("share", share)) if v is not None
            )
            raise ArgumentError("alerts", "given with `rows_per_day`, or `share` alone", given or "none of them")
        if alerts is not None and rows_per_day is not None:
            rows = as_number(rows_per_day, "rows_per_day", "a finite number above 0", lambda value: 0 < value < np.inf)
            share = min(1.0, as_number(alerts, "alerts", "0 or more", lambda value: value >= 0) / rows)
        share = as_number(share, "share", "from 0 to 1", lambda value: 0 <= value <= 1)
        values = as_proba(proba)
        chosen, weight = as_class(positive, values.shape[1]), as_weight(sample_weight, len(values))
        line = Line.of(-values[:, chosen])
        alerted = np.concatenate([[0.0], np.cumsum(weight[line.order])])[line.ends]
        within = np.flatnonzero(alerted <= share * weight.sum() * (1 + 1e-12))
        return cls._at(cut_at(line, int(within[-1])), chosen, values.shape[1])

    @classmethod
    def for_prior(cls, prior: Any) -> Thresholds:
        """Decide by `argmax_c p_c / pi_c`, which is best for balanced accuracy if p is calibrated and pi is the class mix.

        Args:
            prior: class shares `[C]`, above 0.

        Raises:
            ArgumentError: shares that are not above 0 or do not sum to 1.

        Example:
            >>> Thresholds.for_prior([0.9, 0.1]).decide(np.array([[0.85, 0.15]]))
            array([1])
        """
        return cls(as_prior(prior, "prior"))

    @classmethod
    def _at(cls, cut: float, positive: int, classes: int) -> Thresholds:
        values = np.full(classes, max(1.0 - cut, 0.0))
        values[positive] = cut
        return cls(values, positive=positive)

    def to_json(self) -> dict[str, Any]:
        """Plain values from which `from_json` makes the same again, exactly."""
        if self.cost is not None:
            return {"thresholds": None, "positive": None, "cost": self.cost.tolist()}
        assert self.thresholds is not None
        chosen = int(self.positive)
        return {"thresholds": self.thresholds.tolist(), "positive": None if chosen < 0 else chosen, "cost": None}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Thresholds:
        """What `to_json` described."""
        return cls(state["thresholds"], positive=state["positive"], cost=state["cost"])

    def extra_repr(self) -> str:
        """Shown by print(decision)."""
        if self.cost is not None:
            return f"cost={self.cost.tolist() if len(self.cost) <= 4 else list(self.cost.shape)}"
        assert self.thresholds is not None
        chosen = int(self.positive)
        return f"[{', '.join(f'{t:.4g}' for t in self.thresholds.tolist()[:8])}]" + (
            f", positive={chosen}" if chosen >= 0 else ""
        )


def _log(value: float) -> float:
    return float(np.log(max(value, LEAST)))


def _checked_thresholds(thresholds: Any, positive: int | None) -> tuple[Floats, int]:
    """Thresholds `[C]`, and the class that its own threshold decides for, -1 for none."""
    values = as_floats(thresholds, "thresholds", "a number, or numbers of shape [C]")
    if values.ndim == 0:
        values = np.array([max(1.0 - float(values), 0.0), float(values)])
    if values.ndim != 1 or len(values) < 2:
        raise ArgumentError(
            "thresholds", "of shape [C], two or more, or a number for two classes", f"shape {list(values.shape)}"
        )
    one = positive if positive is not None or len(values) > 2 else 1
    if not np.isfinite(values).all() or values.min() < 0 or values.sum() == 0 or (one is None and values.min() == 0):
        raise ArgumentError("thresholds", "finite, and above 0", values.tolist()[:8])
    return values, -1 if one is None else as_class(one, len(values))


def _checked_cost(cost: Any) -> Floats:
    table = as_floats(cost, "cost", "numbers of shape [C, C]: cost[true, decided]")
    if table.ndim != 2 or table.shape[0] != table.shape[1] or len(table) < 2:
        raise ArgumentError("cost", "of shape [C, C], two classes or more: cost[true, decided]", f"shape {list(table.shape)}")
    if not np.isfinite(table).all():
        raise ArgumentError("cost", "finite", f"{int((~np.isfinite(table)).sum())} entries that are not")
    return table


def _equivalent(cost: Floats) -> Floats | None:
    """Thresholds that decide as the costs do, if every mistake on a class costs the same, and more than being right."""
    classes = len(cost)
    mistakes = cost[~np.eye(classes, dtype=bool)].reshape(classes, classes - 1)
    gain = mistakes[:, 0] - np.diagonal(cost)
    if (mistakes != mistakes[:, :1]).any() or gain.min() <= 0:
        return None
    result: Floats = (1 / gain) / (1 / gain).sum()
    return result
