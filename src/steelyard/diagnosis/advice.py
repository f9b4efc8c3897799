"""What to try, in which order and why, and what cannot help: fixed rules on measured numbers.

The rules and their thresholds are ours. `experiments/advice.py` tests them; some of its problems were looked at when they were
written, and its tables are of the others.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.diagnosis.findings import Taxonomy

SHORT_LIST = ("ce", "posthoc-la", "la", "drw", "inverse-frequency", "sqrt-sampling", "balanced-sampling", "mixup-bs")
"""Methods that the advice orders: cheap, without settings that would have to be searched, for any data."""

METRICS = ("balanced_accuracy", "accuracy")
"""What advice is given for: all classes count the same, or all rows do."""

EQUAL = 1.2
"""Counts are as good as equal up to this ratio."""

NOTHING = 0.02
"""Less recall than this is not worth curing."""

PLENTY = 500
"""Rows of the smallest class, and..."""

PLENTY_OF_EACH = 30
"""...rows of it to a feature, from which a network need not be regularised against imbalance."""

FEW = 20
"""Rows of the smallest class below which scores of two methods can hardly be told apart."""

GOOD = 0.95
"""Recall at equal classes and endless rows from which features leave nothing to ask for."""

UNSEEN = 1.0
"""Separability below which classes whose interval reaches 0 may be the same: equal classes would find 69 % at most."""

NOISY = 0.03
"""Share of labels that look wrong from which to say so."""


@dataclass(frozen=True)
class Measured:
    """The numbers that decide, of the class that is worst off and its confuser where they are of a pair.

    Args:
        classes: K, 2 or more.
        rows: n.
        features: d, the features that count.
        fewest: rows of the smallest class.
        eta: rows of the largest class to one of the smallest, at least 1.
        delta: separability, 0 or more.
        delta_low: lower limit of its interval.
        recall: predicted for a plain linear classifier.
        adjusted: the same once classes are taken as equally frequent and the count bias is corrected.
        ideal: recall with equal classes and endless rows; NaN where it cannot be known.
        prior: recall lost to the ratio of classes.
        count_bias: recall lost to an intercept that unequal counts bias.
        estimation: recall lost to few rows; NaN where it cannot be known.
        curable: what adjustment gives back with these rows, and no more than rows held out miss.
        held_out: recall on rows held out; NaN without.
        noise: share of labels that look wrong, 0 to 1; None where nobody looked.
    """

    classes: int
    rows: int
    features: int
    fewest: int
    eta: float
    delta: float
    delta_low: float
    recall: float
    adjusted: float
    ideal: float
    prior: float
    count_bias: float
    estimation: float
    curable: float
    held_out: float
    noise: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no data can have."""
        checks = (
            ("classes", self.classes >= 2, "2 or more"),
            ("fewest", 1 <= self.fewest <= self.rows, "from 1 to `rows`"),
            ("features", self.features >= 1, "1 or more"),
            ("eta", self.eta >= 1, "1 or more"),
            ("delta", self.delta >= 0, "0 or more"),
            ("noise", self.noise is None or 0 <= self.noise <= 1, "a share from 0 to 1, or None"),
        )
        for name, holds, expected in checks:
            if not holds:
                raise ArgumentError(name, expected, getattr(self, name))

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None for NaN and infinity."""
        return {key: None if isinstance(one, float) and not math.isfinite(one) else one for key, one in asdict(self).items()}


@dataclass(frozen=True)
class Recommendation:
    """A method, and in one sentence why it has its place."""

    method: str
    reason: str


@dataclass(frozen=True)
class Advice:
    """What to try and what not to hope for.

    Args:
        metric: what it is for.
        methods: the best first.
        also: what helps beside methods, a sentence each.
        cannot: what cannot help, a sentence each.
    """

    metric: str
    methods: tuple[Recommendation, ...]
    also: tuple[str, ...]
    cannot: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        methods = [asdict(one) for one in self.methods]
        return {"metric": self.metric, "methods": methods, "also": list(self.also), "cannot": list(self.cannot)}


def measured(found: Taxonomy, *, noise: float | None = None) -> Measured:
    """What the rules need of a taxonomy.

    Args:
        found: of `taxonomy`.
        noise: share of labels that look wrong, 0 to 1; None where nobody looked.
    """
    pair, worst = found.pair, found.classes[found.worst]
    held = worst.recall_held_out
    curable = pair.lost.curable if len(found.labels) == 2 else worst.recall_adjusted - worst.recall
    return Measured(
        classes=len(found.labels),
        rows=found.n,
        features=found.d,
        fewest=min(found.counts),
        eta=found.eta,
        delta=pair.delta,
        delta_low=pair.delta_interval[0],
        recall=worst.recall,
        adjusted=worst.recall_adjusted,
        ideal=pair.lost.ideal,
        prior=pair.lost.prior,
        count_bias=pair.lost.count_bias,
        estimation=pair.lost.estimation,
        curable=curable if math.isnan(held) else min(curable, 1 - held),
        held_out=held,
        noise=noise,
    )


def advise(found: Measured, *, metric: str = "balanced_accuracy") -> Advice:
    """Order the methods of the short list for data with these measurements.

    For balanced accuracy the first of these rules that holds decides:

    1. eta is at most 1.2: `ce`; there is no imbalance to treat.
    2. less than 0.02 of the recall is curable: `la`, which then costs nothing; the choice hardly matters.
    3. the smallest class has 500 rows, and 30 to a feature: `la`; what is lost is lost to the ratio of classes alone.
    4. else `mixup-bs`: a network fits so few rows of the smallest class by heart, and mixup keeps it from that.

    For accuracy it is `ce`: unequal classes are then no fault.

    Args:
        found: of `measured`, or by hand.
        metric: "balanced_accuracy" or "accuracy".

    Returns:
        Advice. The same numbers always give the same.

    Raises:
        UnknownName: another metric.

    Example:
        >>> numbers = dict(classes=2, rows=500, features=50, fewest=50, eta=9.0, delta=2.0, delta_low=1.7, recall=0.43)
        >>> lost = dict(adjusted=0.8, ideal=0.84, prior=0.38, count_bias=0.07, estimation=0.04, curable=0.37, held_out=0.45)
        >>> [one.method for one in advise(Measured(**numbers, **lost)).methods][:3]
        ['mixup-bs', 'posthoc-la', 'la']
    """
    if metric not in METRICS:
        raise UnknownName("metric for advice", metric, METRICS)
    methods = _for_accuracy() if metric == "accuracy" else _for_balanced_accuracy(found)
    return Advice(metric, tuple(methods), tuple(_also(found)), tuple(_cannot(found, metric)))


POST_HOC = Recommendation(
    "posthoc-la",
    "moves the decisions of a model trained as usual by the logarithms of the class shares: the cheapest cure, and a measure "
    "of what the ratio alone costs",
)


def _for_accuracy() -> list[Recommendation]:
    return [
        Recommendation(
            "ce", "accuracy counts rows, so the ratio of the classes is part of the task, and plain cross-entropy needs no cure"
        ),
        Recommendation("sqrt-sampling", "a small step towards equal classes, should the smallest be missed altogether"),
    ]


def _for_balanced_accuracy(found: Measured) -> list[Recommendation]:
    if found.eta <= EQUAL:
        return [
            Recommendation("ce", f"the classes are as good as equal (eta {found.eta:.3g}), so there is no imbalance to treat"),
            Recommendation("mixup-bs", "mixes rows, which regularises; with equal classes that is all it does"),
        ]
    curable = _points(found.curable)
    if found.curable < NOTHING:
        return [
            Recommendation(
                "la", f"hardly anything is lost to the imbalance ({curable} points), and logit adjustment costs nothing"
            ),
            Recommendation("ce", "where nothing is lost, nothing has to be cured"),
            Recommendation("mixup-bs", "mixes rows beside adjusting, which regularises"),
        ]
    if found.fewest >= PLENTY and found.fewest >= PLENTY_OF_EACH * found.features:
        return [
            Recommendation(
                "la",
                f"{curable} points of recall are lost to the ratio of the classes, which the adjusted loss takes out, and "
                f"{found.fewest:,} rows of the smallest class are enough to learn from",
            ),
            Recommendation("mixup-bs", "the same adjustment with mixed rows"),
            POST_HOC,
        ]
    return [
        Recommendation("mixup-bs", _why_mixed(found, curable)),
        POST_HOC,
        Recommendation("la", "the same shift inside the loss, which gives rare classes a larger margin"),
        Recommendation("inverse-frequency", "the usual remedy, which weakens once a network fits every training row"),
    ]


def _same(found: Measured) -> bool:
    return found.delta_low <= 0 and found.delta < UNSEEN


def _why_mixed(found: Measured, curable: str) -> str:
    if _same(found):
        return (
            "the class means can hardly be told apart, so little can be won at all; what there is, balanced softmax on mixed "
            "rows does not drown in the large class"
        )
    return (
        f"{curable} points of recall are lost to unequal classes, and a network learns {found.fewest:,} rows of the smallest "
        "class by heart: balanced softmax cures the one, mixed rows the other"
    )


def _also(found: Measured) -> list[str]:
    said = []
    if found.estimation >= NOTHING:
        said.append(
            f"more rows of the smallest class, fewer or better features, or regularisation: {_points(found.estimation)} points "
            f"of recall are lost to estimating from {found.fewest:,} rows for {found.features:,} features"
        )
    if math.isnan(found.estimation):
        said.append(
            f"fewer features or more rows: {found.rows:,} rows of {found.features:,} features do not say how far apart the "
            "classes are, and what few rows cost cannot be told from what the classes share"
        )
    if found.noise is not None and found.noise >= NOISY:
        said.append(
            f"a look at the labels: {100 * found.noise:.0f} % seem wrong, and wrong rows of a large class soon outnumber a "
            "small one"
        )
    if found.eta > EQUAL and found.curable >= NOTHING:
        said.append(
            "a decision after training: 'steelyard fit' chooses thresholds for a metric, for costs or for a floor of recall"
        )
    return said


def _cannot(found: Measured, metric: str) -> list[str]:
    said = []
    if _same(found):
        said.append(
            "no weight, threshold or sampler separates classes whose means may well be the same (separability "
            f"{found.delta:.2g}, from 0): they trade one class for the other; other features may help, or a model that "
            "is not linear"
        )
    elif found.ideal < GOOD and found.adjusted >= found.ideal - NOTHING:
        said.append(
            f"nothing goes far beyond adjustment: equal classes and endless rows would find {100 * found.ideal:.0f} % "
            f"(separability {found.delta:.2g}), and adjustment alone finds {100 * found.adjusted:.0f} %; only other features, "
            "or a model that is not linear, do better"
        )
    elif found.ideal < GOOD:
        said.append(
            f"no method gets a linear rule of these features above {100 * found.ideal:.0f} % recall for both classes "
            f"(separability {found.delta:.2g}, the Bayes limit)"
        )
    if found.estimation >= NOTHING:
        said.append(
            f"no weight, threshold or repeated row brings back the {_points(found.estimation)} points that are lost to few rows"
        )
    if metric == "balanced_accuracy" and found.curable < NOTHING < found.eta - EQUAL:
        said.append("heavy rebalancing has next to nothing to win here and costs precision")
    if found.fewest < FEW:
        said.append(
            f"no comparison on these rows can tell close methods apart, as the smallest class has {found.fewest}: take the "
            "simplest"
        )
    return said


def _points(share: float) -> str:
    """A share of the recall in points."""
    return f"{100 * max(share, 0.0):.1f}" if abs(share) < 0.1 else f"{100 * share:.0f}"
