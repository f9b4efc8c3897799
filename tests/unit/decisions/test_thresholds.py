from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.decisions import Adjusted, LogitShift, Thresholds
from steelyard.decisions._search import Judge

SEEDS = st.integers(0, 2**32 - 1)
BINARY = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.75, 1.0]), st.integers(0, 1), st.integers(1, 3)), min_size=2
)


def columns(p: Any) -> np.ndarray:
    return np.stack([1 - np.asarray(p, dtype=float), np.asarray(p, dtype=float)], axis=1)


def some_rows(classes: int, seed: int, rows: int = 40) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    target = np.concatenate([np.arange(classes), draw.choice(classes, rows - classes, p=draw.dirichlet(np.ones(classes)))])
    odds = np.exp(draw.normal(size=(rows, classes)) + np.eye(classes)[target])
    return odds / odds.sum(1, keepdims=True), target


def by_sklearn(name: str) -> Any:
    from sklearn import metrics

    def g_mean(y: Any, decided: Any, sample_weight: Any = None) -> float:
        recall = metrics.recall_score(
            y, decided, labels=np.unique(y), average=None, sample_weight=sample_weight, zero_division=0
        )
        return float(np.prod(recall) ** (1 / len(recall)))

    def macro_f1(y: Any, decided: Any, sample_weight: Any = None) -> float:
        labels = np.unique(y)
        return float(metrics.f1_score(y, decided, labels=labels, average="macro", sample_weight=sample_weight, zero_division=0))

    return {
        "balanced_accuracy": metrics.balanced_accuracy_score,
        "f1": lambda y, d, sample_weight=None: metrics.f1_score(y, d, sample_weight=sample_weight, zero_division=0),
        "macro_f1": macro_f1,
        "g_mean": g_mean,
        "mcc": metrics.matthews_corrcoef,
        "accuracy": metrics.accuracy_score,
    }[name]


METRICS = ["balanced_accuracy", "f1", "macro_f1", "g_mean", "mcc", "accuracy"]


@settings(max_examples=12)
@pytest.mark.parametrize("metric", METRICS)
@given(BINARY, st.booleans())
def test_no_cut_of_two_classes_is_better(metric: str, rows: list[tuple[float, int, int]], weighted: bool) -> None:
    p, target, weight = (np.array(column) for column in zip(*[*rows, (0.2, 0, 1), (0.6, 1, 2)], strict=True))
    given_weight = weight if weighted else None
    found = Thresholds.for_metric(columns(p), target, metric, sample_weight=given_weight)
    score = by_sklearn(metric)
    tried = [score(target, (p >= cut).astype(int), sample_weight=given_weight) for cut in [*np.unique(p), 2.0]]
    reached = score(target, found.decide(columns(p)), sample_weight=given_weight)
    assert reached == pytest.approx(max(tried), abs=1e-12)
    asked = Thresholds.for_metric(columns(p), target, score, sample_weight=given_weight)
    assert score(target, asked.decide(columns(p)), sample_weight=given_weight) == pytest.approx(max(tried), abs=1e-12)


def test_scikit_learn_finds_no_better_threshold() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.model_selection import TunedThresholdClassifierCV

    draw = np.random.default_rng(0)
    target = (draw.random(400) < 0.15).astype(int)
    features = draw.normal(size=(400, 2)) + target[:, None]
    model = LogisticRegression().fit(features, target)
    tuned = TunedThresholdClassifierCV(model, scoring="f1", cv="prefit", refit=False, thresholds=500).fit(features, target)
    ours = Thresholds.for_metric(model.predict_proba(features), target, "f1").decide(model.predict_proba(features))
    assert f1_score(target, ours) >= f1_score(target, tuned.predict(features)) > 0


@pytest.mark.parametrize("metric", [name for name in METRICS if name != "f1"])
def test_three_classes_reach_the_best_of_a_grid(metric: str) -> None:
    proba, target = some_rows(3, 1, 60)
    score, steps = by_sklearn(metric), np.exp(np.linspace(-3, 3, 13))
    grid = max(score(target, (proba * [1.0, a, b]).argmax(1)) for a, b in itertools.product(steps, steps))
    reached = score(target, Thresholds.for_metric(proba, target, metric).decide(proba))
    assert reached >= grid - 0.02  # a local optimum
    assert reached >= score(target, proba.argmax(1)) - 1e-12


@pytest.mark.parametrize("metric", ["balanced_accuracy", "mcc"])
def test_few_rows_of_three_classes_seldom_have_anything_better_on_a_grid(metric: str) -> None:
    """Labels that nothing tells, and ties: the metric has an optimum around every corner."""
    draw, steps = np.random.default_rng(1), np.exp(np.linspace(-5, 5, 21))
    short = []
    for case in range(40):
        rows = (8, 20, 40)[case % 3]
        proba = draw.dirichlet([0.6] * 3, rows)
        if case % 2:
            proba = np.round(proba * 4) / 4 + 1e-9
            proba /= proba.sum(1, keepdims=True)
        target = np.append(draw.integers(0, 3, rows - 3), [0, 1, 2])
        judge = Judge(metric, target, np.ones(rows), np.bincount(target).astype(float), 1, False)
        grid = max(judge.value((proba * [1.0, a, b]).argmax(1)) for a, b in itertools.product(steps, steps))
        short.append(grid - judge.value(Thresholds.for_metric(proba, target, metric).decide(proba)))
    assert max(short) < 0.1
    assert sum(gap > 1e-9 for gap in short) <= 2


@settings(max_examples=25)
@given(SEEDS, st.sampled_from(METRICS), st.integers(3, 5), st.booleans())
def test_no_single_threshold_of_several_classes_is_worth_changing(seed: int, metric: str, classes: int, weighted: bool) -> None:
    proba, target = some_rows(classes, seed)
    weight = np.random.default_rng(seed).integers(1, 4, len(target)) if weighted else None
    score = by_sklearn("macro_f1" if metric == "f1" else metric)
    found = Thresholds.for_metric(proba, target, metric, sample_weight=weight)
    assert found.thresholds is not None
    t = found.thresholds.numpy()
    reached = score(target, found.decide(proba), sample_weight=weight)
    assert reached >= score(target, proba.argmax(1), sample_weight=weight) - 1e-12
    draw = np.random.default_rng(seed)
    for c in range(classes):
        for factor in np.exp(draw.normal(size=6)):
            other = np.where(np.arange(classes) == c, t * factor, t)
            assert score(target, (proba / other).argmax(1), sample_weight=weight) <= reached + 1e-9


def test_a_function_is_asked_for_several_classes() -> None:
    proba, target = some_rows(4, 0, 80)

    def worst_recall(y: np.ndarray, decided: np.ndarray) -> float:
        return min(float((decided[y == c] == c).mean()) for c in range(4))

    found = Thresholds.for_metric(proba, target, worst_recall)
    assert worst_recall(target, found.decide(proba)) > worst_recall(target, proba.argmax(1))


def test_the_f1_of_the_other_class_and_of_many_cuts() -> None:
    proba, target = some_rows(2, 3, 1500)
    found = Thresholds.for_metric(proba, target, "f1", positive=0)
    tried = [by_sklearn("f1")(1 - target, (proba[:, 1] < cut).astype(int)) for cut in np.linspace(0, 1.01, 60)]
    assert by_sklearn("f1")(1 - target, 1 - found.decide(proba)) >= max(tried)


def test_of_equally_good_cuts_the_nearest_to_a_half_is_taken() -> None:
    found = Thresholds.for_metric(columns([0.1, 0.4, 0.8, 0.9]), [0, 0, 1, 1])
    assert found.thresholds is not None
    assert float(found.thresholds[1]) == pytest.approx(0.6)


def test_a_class_without_rows_is_left_out() -> None:
    proba, target = some_rows(3, 0)
    kept = target != 2
    found = Thresholds.for_metric(proba[kept], target[kept], "macro_f1")
    assert found.thresholds is not None
    assert (found.thresholds > 0).all()
    with pytest.raises(DataError, match="one class only"):
        Thresholds.for_metric(proba, np.zeros(len(target), dtype=int))


@settings(max_examples=60)
@given(SEEDS, st.integers(2, 5))
def test_no_decision_costs_less(seed: int, classes: int) -> None:
    draw = np.random.default_rng(seed)
    proba, cost = some_rows(classes, seed)[0], draw.normal(size=(classes, classes)) * 10
    expected = np.array([[sum(p[c] * cost[c, d] for c in range(classes)) for d in range(classes)] for p in proba])
    decided = Thresholds.for_costs(cost).decide(proba)
    np.testing.assert_allclose(expected[np.arange(len(proba)), decided], expected.min(1), atol=1e-12)


def test_costs_of_two_classes_have_elkans_threshold() -> None:
    cost = np.array([[-1.0, 4.0], [20.0, 2.0]])
    found = Thresholds.for_costs(cost)
    assert found.thresholds is not None
    expected = (cost[0, 1] - cost[0, 0]) / (cost[0, 1] - cost[0, 0] + cost[1, 0] - cost[1, 1])
    assert float(found.thresholds[1]) == pytest.approx(expected)
    p = columns(np.linspace(0, 1, 101))
    np.testing.assert_array_equal(found.decide(p), Thresholds(expected).decide(p))


def test_thresholds_decide_as_costs_do_where_a_mistake_depends_on_the_true_class_alone() -> None:
    cost = np.array([[0, 2, 2], [5, 0, 5], [9, 9, -1]])
    found, proba = Thresholds.for_costs(cost), some_rows(3, 0, 500)[0]
    np.testing.assert_array_equal(Thresholds(found.thresholds).decide(proba), found.decide(proba))
    assert Thresholds.for_costs([[0, 1, 2], [1, 0, 1], [2, 1, 0]]).thresholds is None
    assert (Thresholds.for_costs([[0, -1], [0, -1]]).decide(columns([0.0, 1.0])) == 1).all()  # always cheaper


@settings(max_examples=60)
@given(SEEDS, st.integers(2, 4), st.floats(0.01, 1), st.sampled_from(["precision", "alerts"]))
def test_a_recall_floor_is_met_with_the_fewest_false_alarms(seed: int, classes: int, floor: float, prefer: str) -> None:
    proba, target = some_rows(classes, seed)
    proba = proba.round(1) if classes == 2 else proba
    hit = target == 1
    alert = Thresholds.for_recall(proba, target, 1, floor, prefer=prefer).decide(proba) == 1
    options = [proba[:, 1] >= cut for cut in np.unique(proba[:, 1])]
    options = [a for a in options if (a & hit).sum() / hit.sum() >= floor]
    assert (alert & hit).sum() / hit.sum() >= floor
    if prefer == "alerts":
        assert alert.sum() == min(a.sum() for a in options)
    else:
        assert (alert & hit).sum() / alert.sum() == max((a & hit).sum() / a.sum() for a in options)


def test_every_positive_is_found_even_if_one_has_probability_zero() -> None:
    proba = columns([0.0, 0.0, 0.5, 1.0])
    assert (Thresholds.for_recall(proba, [1, 0, 0, 1], recall=1.0).decide(proba) == 1).all()


@settings(max_examples=60)
@given(SEEDS, st.integers(2, 4), st.floats(0, 1))
def test_a_budget_is_used_up_and_not_exceeded(seed: int, classes: int, share: float) -> None:
    proba = some_rows(classes, seed)[0]
    proba = proba.round(1) if classes == 2 else proba
    alert = Thresholds.for_alerts(proba, share=share).decide(proba) == 1
    counts = [0, *((proba[:, 1] >= cut).sum() for cut in np.unique(proba[:, 1]))]
    assert alert.sum() == max(n for n in counts if n <= share * len(proba) * (1 + 1e-12))
    assert (proba[alert, 1].min() if alert.any() else 2) > (proba[~alert, 1].max() if not alert.all() else -1)


def test_a_budget_a_day_is_a_share() -> None:
    proba = some_rows(2, 0, 500)[0]
    assert (Thresholds.for_alerts(proba, 30, 1000).decide(proba) == 1).sum() == 15
    assert (Thresholds.for_alerts(proba, 5000, 1000).decide(proba) == 1).all()
    assert not Thresholds.for_alerts(columns([1.0, 1.0, 0.5]), 0, 10).decide(columns([1.0, 1.0, 0.5])).any()


def test_the_prior_is_the_best_threshold_for_balanced_accuracy() -> None:
    # Of two normal classes the posterior is known.
    draw = np.random.default_rng(0)
    target = (draw.random(200_000) < 0.1).astype(int)
    score = 2 * (draw.normal(size=len(target)) + 2 * target) - 2 + math.log(0.1 / 0.9)
    proba = columns(1 / (1 + np.exp(-score)))
    searched = Thresholds.for_metric(proba, target)
    assert searched.thresholds is not None
    assert float(searched.thresholds[1]) == pytest.approx(0.1, abs=0.01)
    shift = LogitShift([90, 10])(torch.from_numpy(proba).log()).argmax(1).numpy()
    assert (Thresholds.for_prior([0.9, 0.1]).decide(proba) != shift).mean() < 1e-4


@given(SEEDS, st.integers(2, 5), st.sampled_from(["thresholds", "positive", "cost"]))
def test_the_largest_score_is_what_is_decided_and_state_goes_round(seed: int, classes: int, kind: str) -> None:
    draw = np.random.default_rng(seed)
    proba = some_rows(classes, seed)[0]
    if kind == "cost":
        one, other = Thresholds.for_costs(draw.normal(size=(classes, classes))), Thresholds.for_costs(np.eye(classes))
        other = Thresholds.from_json(one.to_json())
    else:
        positive = int(draw.integers(classes)) if kind == "positive" else None
        one = Thresholds(draw.dirichlet(np.ones(classes)) + 1e-6, positive=positive)
        other = Thresholds(np.ones(classes))
        other.load_state_dict(one.state_dict())
    decided, third = one.decide(proba), Thresholds.from_json(json.loads(json.dumps(one.to_json())))
    scores = one(torch.from_numpy(proba).log())
    assert scores.isfinite().all()
    np.testing.assert_array_equal(scores.argmax(1).numpy(), decided)
    np.testing.assert_array_equal(other.decide(proba), decided)
    np.testing.assert_array_equal(third.decide(proba), decided)
    assert decided.dtype == np.int64


@given(SEEDS, st.integers(3, 5))
def test_classes_are_permuted_together(seed: int, classes: int) -> None:
    draw = np.random.default_rng(seed)
    proba, order = some_rows(classes, seed)[0], draw.permutation(classes)
    t, cost = draw.dirichlet(np.ones(classes)) + 1e-6, draw.normal(size=(classes, classes))
    for one, other in (
        (Thresholds(t), Thresholds(t[order])),
        (Thresholds(cost=cost), Thresholds(cost=cost[np.ix_(order, order)])),
    ):
        np.testing.assert_array_equal(order[other.decide(proba[:, order])], one.decide(proba))


@pytest.mark.parametrize("cut", [0.0, 0.5, 1.0, float(np.nextafter(1, 2))])
def test_certain_rows_and_ties_are_decided_at_the_threshold(cut: float) -> None:
    p = columns([0.0, 0.5, 1.0])
    found = Thresholds(cut)
    np.testing.assert_array_equal(found.decide(p), (p[:, 1] >= cut).astype(int))
    scores = found(torch.from_numpy(p).log())
    assert scores.isfinite().all()
    np.testing.assert_array_equal(scores.argmax(1).numpy(), found.decide(p))
    several = Thresholds([0.2, 0.3, 0.5])(torch.eye(3).log())
    assert several.isfinite().all()
    assert torch.equal(several.argmax(1), torch.arange(3))


@pytest.mark.parametrize("voters", [3, 10, 100])
def test_a_probability_at_the_threshold_reaches_it_as_a_logarithm_too(voters: int) -> None:
    share = np.arange(voters + 1) / voters
    rows = np.stack([1 - share, share], 1)
    with np.errstate(divide="ignore"):
        logs = torch.from_numpy(np.log(rows))
    for cut in share[1:]:
        found = Thresholds(cut)
        np.testing.assert_array_equal(found(logs).argmax(1).numpy(), found.decide(rows))


def test_it_is_a_decision_of_a_model_and_takes_tensors() -> None:
    proba = torch.tensor([[0.7, 0.3], [0.4, 0.6]])
    assert torch.equal(Thresholds(0.2).decide(proba), torch.tensor([1, 1]))
    model = torch.nn.Linear(3, 2)
    Adjusted(model, Thresholds(0.2))(torch.randn(4, 3)).sum().backward()
    assert model.weight.grad is not None
    assert model.weight.grad.isfinite().all()


@pytest.mark.parametrize(
    ("thresholds", "settings", "named"),
    [
        ([0.5, -0.1], {}, "thresholds"),
        ([0.5, 0.5, 0.0], {}, "thresholds"),
        ([[0.5, 0.5]], {}, "thresholds"),
        (math.nan, {}, "thresholds"),
        ("half", {}, "thresholds"),
        (None, {}, "thresholds"),
        (0.5, {"cost": np.eye(2)}, "thresholds"),
        ([0.5, 0.5], {"positive": 2}, "positive"),
        (None, {"cost": [[0, 1, 2], [1, 0, 1]]}, "cost"),
        (None, {"cost": [[0, math.inf], [1, 0]]}, "cost"),
        (None, {"cost": [[0]]}, "cost"),
    ],
)
def test_values_that_cannot_be_are_refused(thresholds: Any, settings: Any, named: str) -> None:
    with pytest.raises(ArgumentError, match=f"`{named}`"):
        Thresholds(thresholds, **settings)


def test_what_cannot_be_used_is_refused() -> None:
    proba, target = some_rows(2, 0)
    for settings_, named in (
        ({"recall": 1.5}, "recall"),
        ({"recall": 0.0}, "recall"),
        ({"prefer": "f1"}, "prefer"),
        ({"positive": 5}, "positive"),
    ):
        with pytest.raises(ArgumentError, match=f"`{named}`"):
            Thresholds.for_recall(proba, target, **settings_)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no rows"):
        Thresholds.for_recall(proba, np.zeros(len(target), dtype=int))
    for budget, named in (
        ({}, "alerts"),
        ({"alerts": 5}, "alerts"),
        ({"alerts": 5, "rows_per_day": 9, "share": 0.1}, "alerts"),
        ({"alerts": 5, "rows_per_day": 0}, "rows_per_day"),
        ({"alerts": -1, "rows_per_day": 9}, "alerts"),
        ({"share": 1.2}, "share"),
    ):
        with pytest.raises(ArgumentError, match=f"`{named}`"):
            Thresholds.for_alerts(proba, **budget)  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="balanced_accuracy"):
        Thresholds.for_metric(proba, target, "balanced_acuracy")
    with pytest.raises(ArgumentError, match="`prior`"):
        Thresholds.for_prior([1.0, 0.0])
    with pytest.raises(ArgumentError, match="`proba`"):
        Thresholds(0.5).decide(np.full((2, 3), 1 / 3))
    with pytest.raises(ArgumentError, match="`logits`"):
        Thresholds(0.5)(torch.zeros(2, 3))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1", "g_mean"])
def test_zeros_and_ones_of_several_classes_have_thresholds_no_worse_than_none(seed: int, metric: str) -> None:
    draw = np.random.default_rng(seed)
    classes = int(draw.integers(3, 7))
    target = np.concatenate([np.arange(classes), draw.integers(0, classes, 40)])
    proba = np.eye(classes)[np.where(draw.random(len(target)) < 0.4, target, draw.integers(0, classes, len(target)))]
    half = draw.random(len(target)) < 0.3
    proba[half] = (proba[half] + np.eye(classes)[draw.integers(0, classes, half.sum())]) / 2
    decision = Thresholds.for_metric(proba, target, metric)
    assert decision.thresholds is not None
    assert bool((decision.thresholds > 0).all())
    judge = Judge(metric, target, np.ones(len(target)), np.bincount(target).astype(float), 1, False)
    decided = decision.decide(proba)
    assert judge.value(decided) >= judge.value(proba.argmax(1)) - 1e-12
    with np.errstate(divide="ignore"):
        scores = decision(torch.from_numpy(np.log(proba)))
    assert scores.argmax(1).tolist() == decided.tolist()


def test_ties_that_rounding_parts_do_not_make_it_worse() -> None:
    # Classes 1 and 2 have 14 and 7 rows, so that shares make 0.5 and 0.25 equal.
    draw = np.random.default_rng(0)
    for _ in range(80):
        target = np.repeat([0, 1, 2, 3], [9, 14, 7, 10])
        counts = draw.multinomial(4, np.ones(4) / 4, len(target))
        proba = (counts + 4 * np.eye(4)[target] * draw.integers(0, 2, (len(target), 1))) / 4
        proba /= proba.sum(1, keepdims=True)
        judge = Judge("balanced_accuracy", target, np.ones(40), np.bincount(target).astype(float), 1, False)
        decided = Thresholds.for_metric(proba, target).decide(proba)
        assert judge.value(decided) >= judge.value(proba.argmax(1)) - 1e-12
