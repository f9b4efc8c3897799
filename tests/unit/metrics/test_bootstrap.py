"""Bootstrap intervals: against a plain bootstrap by loops, and against the truth in simulations."""

from __future__ import annotations

import numpy as np
import pytest

from steelyard import metrics
from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.metrics.bootstrap import ON_DECISIONS, ON_SCORES, _draw_tallies, _draw_weights, _replicates, _Setting

EVERY = (*ON_DECISIONS, *ON_SCORES)
GROUPS = {"rule": "by hand", "many": [0], "medium": [1], "few": [2]}
COUNTS = (60, 25, 8)


def problem(seed: int, counts: tuple[int, ...] = COUNTS) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    logits = rng.normal(size=(truth.size, len(counts))) + 1.2 * np.eye(len(counts))[truth]
    proba = np.exp(logits)
    return proba / proba.sum(1, keepdims=True), truth


def test_resamples_agree_with_a_bootstrap_by_loops() -> None:
    # Three rows in the last class: that none of them is right is then no rare event, and has a spread to compare.
    proba, truth = problem(0, (60, 25, 3))
    rng = np.random.default_rng(1)
    rows = [np.flatnonzero(truth == c) for c in range(3)]
    drawn: dict[str, list[float]] = {name: [] for name in EVERY}
    for _ in range(400):
        pick = np.concatenate([rng.choice(of_class, of_class.size) for of_class in rows])
        values = metrics.evaluate(proba[pick], truth[pick], groups=GROUPS).values
        for name in EVERY:
            drawn[name].append(values[name])
    setting = _Setting(truth, 3, {"many": (0,), "medium": (1,), "few": (2,)}, None, 15)
    found = _replicates(setting, [proba], EVERY, 4000, 0)[0]
    limits = metrics.intervals(proba, truth, EVERY, resamples=4000, groups=GROUPS)
    for name in EVERY:
        spread = np.std(drawn[name])
        # Of 400 draws the mean has a standard error of 5 % of the spread, and the spread one of about 4 %.
        assert found[name].mean() == pytest.approx(np.mean(drawn[name]), abs=0.2 * spread), name
        assert found[name].std() == pytest.approx(spread, rel=0.2), name
        assert limits[name] == pytest.approx(tuple(np.quantile(found[name], [0.025, 0.975]))), name


@pytest.mark.parametrize("classifiers", [1, 2])
def test_every_resample_keeps_the_rows_of_each_class(classifiers: int) -> None:
    proba, truth = problem(2, (40, 5, 1))
    decided = [proba.argmax(1), proba[:, ::-1].argmax(1)][:classifiers]
    setting = _Setting(truth, 3, {}, None, 15)
    for k, drawn in enumerate(_draw_tallies(setting, decided, 500, np.random.default_rng(0))):
        assert drawn.truth.tolist() == [40, 5, 1]
        assert (drawn.said.sum(1) == 46).all()
        assert (drawn.right <= drawn.truth).all()
        # The class with one row is in every resample, and always decided as it was.
        assert (drawn.right[:, 2] == (decided[k][truth == 2] == 2).sum()).all()
    for weights in _draw_weights(truth, 50, np.random.default_rng(0)):
        for c, rows in enumerate((40, 5, 1)):
            assert (weights[truth == c].sum(0) == rows).all()


def test_both_ways_of_resampling_give_the_same_distribution_of_decisions() -> None:
    proba, truth = problem(3)
    setting = _Setting(truth, 3, {}, None, 15)
    fast = _draw_tallies(setting, [proba.argmax(1)], 4000, np.random.default_rng(0))[0]
    weights = np.concatenate(list(_draw_weights(truth, 4000, np.random.default_rng(0))), axis=1)
    right = np.stack([weights[(truth == c) & (proba.argmax(1) == c)].sum(0) for c in range(3)], 1)
    assert fast.right.mean(0) == pytest.approx(right.mean(0), rel=0.02)
    assert np.cov(fast.right.T) == pytest.approx(np.cov(right.T), abs=0.06 * right.var(0).max())


def test_the_interval_of_a_recall_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], [200, 80])
    recall, trials, inside = np.array([0.9, 0.6]), 400, 0
    for trial in range(trials):
        right = rng.random(280) < recall[truth]
        decided = np.where(right, truth, 1 - truth)
        found = metrics.intervals(np.eye(2)[decided], truth, ("balanced_accuracy",), resamples=300, seed=trial)
        low, high = found["balanced_accuracy"]
        inside += low <= 0.75 <= high
    # A binomial with p = .95 and 400 trials has standard error .011.
    assert 0.91 < inside / trials < 0.98


def test_wilson_intervals_cover_and_clopper_pearson_covers_at_least() -> None:
    rng = np.random.default_rng(0)
    for rows in (10, 50):
        right = rng.binomial(rows, 0.7, 20_000)
        low, high = metrics.wilson(right, np.full(20_000, rows))
        assert 0.92 < np.mean((low <= 0.7) & (high >= 0.7)) < 0.98
        low, high = metrics.clopper_pearson(right, np.full(20_000, rows))
        assert np.mean((low <= 0.7) & (high >= 0.7)) > 0.947


def test_intervals_depend_on_the_seed_and_not_on_the_company() -> None:
    proba, truth = problem(4)
    alone = {name: metrics.intervals(proba, truth, (name,), resamples=50)[name] for name in ("mcc", "auprc", "ece")}
    together = metrics.intervals(proba, truth, EVERY, resamples=50)
    assert all(together[name] == alone[name] for name in alone)
    assert metrics.intervals(proba, truth, EVERY[:6], resamples=50) == {name: together[name] for name in EVERY[:6]}
    other = metrics.intervals(proba, truth, ("mcc", "auprc"), resamples=50, seed=1)
    assert other["mcc"] != together["mcc"]
    assert other["auprc"] != together["auprc"]


def test_a_higher_level_gives_a_wider_interval() -> None:
    proba, truth = problem(5)
    narrow = metrics.intervals(proba, truth, ("macro_f1",), level=0.5)["macro_f1"]
    wide = metrics.intervals(proba, truth, ("macro_f1",), level=0.99)["macro_f1"]
    assert wide[0] < narrow[0] < metrics.macro_f1(proba, truth) < narrow[1] < wide[1]


def test_undefined_metrics_have_undefined_intervals() -> None:
    proba, truth = problem(6)
    found = metrics.intervals(proba, truth, ("few_recall", "accuracy"), resamples=20)
    assert np.isnan(found["few_recall"]).all()
    assert not np.isnan(found["accuracy"]).any()
    only = metrics.intervals(proba[truth == 0], truth[truth == 0], ("auroc", "accuracy"), resamples=20)
    assert np.isnan(only["auroc"]).all()


def test_the_difference_of_a_classifier_and_itself_is_zero() -> None:
    proba, truth = problem(7)
    for name, found in metrics.paired_intervals(proba, proba, truth, EVERY, resamples=50, groups=GROUPS).items():
        assert (found.difference, found.low, found.high) == (0, 0, 0), name


def test_paired_differences_agree_with_the_metrics_and_are_narrower_than_unpaired_ones() -> None:
    proba, truth = problem(8, (300, 100, 40))
    blurred = proba**0.5 + 0.05 * np.random.default_rng(0).random(proba.shape)
    blurred /= blurred.sum(1, keepdims=True)
    found = metrics.paired_intervals(proba, blurred, truth, EVERY, groups=GROUPS, resamples=400)
    first, second = (metrics.evaluate(p, truth, groups=GROUPS).values for p in (proba, blurred))
    for name in EVERY:
        assert found[name].difference == pytest.approx(first[name] - second[name]), name
        assert found[name].low <= found[name].high
    setting = _Setting(truth, 3, {"many": (0,), "medium": (1,), "few": (2,)}, None, 15)
    names = ("balanced_accuracy", "auprc")
    one, other = (_replicates(setting, [p], names, 400, seed)[0] for p, seed in ((proba, 1), (blurred, 2)))
    for name in names:
        low, high = np.quantile(one[name] - other[name], [0.025, 0.975])
        assert found[name].high - found[name].low < 0.8 * (high - low)


def test_mcnemar_counts_the_rows_that_one_gets_right() -> None:
    from scipy.stats import binomtest

    truth = np.repeat([0, 1, 3], [30, 12, 4])
    rng = np.random.default_rng(0)
    a, b = (np.where(rng.random(46) < share, truth, 2) for share in (0.9, 0.5))
    p = metrics.mcnemar(a, b, truth)
    assert np.isnan(p[2])
    for c in (0, 1, 3):
        only_a, only_b = ((x[truth == c] == c) & (y[truth == c] != c) for x, y in ((a, b), (b, a)))
        n = int(only_a.sum() + only_b.sum())
        assert p[c] == pytest.approx(binomtest(int(only_a.sum()), n).pvalue if n else 1.0)


def test_bad_settings_are_refused() -> None:
    proba, truth = problem(9)
    with pytest.raises(UnknownName, match="balanced_accuracy"):
        metrics.intervals(proba, truth, ("balanced_acuracy",))
    with pytest.raises(ArgumentError, match="`metrics`"):
        metrics.intervals(proba, truth, "accuracy")
    with pytest.raises(ArgumentError, match="`level`"):
        metrics.intervals(proba, truth, level=95)
    with pytest.raises(ArgumentError, match="`resamples`"):
        metrics.intervals(proba, truth, resamples=1)
    with pytest.raises(ArgumentError, match="`other`"):
        metrics.paired_intervals(proba, proba[:, :2] / proba[:, :2].sum(1, keepdims=True), np.minimum(truth, 1))
