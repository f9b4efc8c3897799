from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import steelyard as sy
from steelyard.core.errors import ArgumentError, DataError
from steelyard.diagnosis.findings import Predicted, Taxonomy
from steelyard.diagnosis.finite_sample import lda_equivalents
from steelyard.diagnosis.gaussian import bayes
from steelyard.diagnosis.taxonomy import taxonomy


def two(n0: int, n1: int, d: int, delta: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(seed).normal(size=(n0 + n1, d))
    X[n0:] += delta / np.sqrt(d)
    return X, np.repeat([0, 1], [n0, n1])


def numbers(found: Taxonomy) -> list[float]:
    pair = found.pair
    values = [
        found.eta,
        found.kappa,
        found.d,
        pair.delta,
        *pair.delta_interval,
        pair.delta_eff,
        *found.intervals["minority_recall"],
    ]
    return [*values, pair.population.minority_recall, pair.finite_sample.minority_recall, pair.adjusted.majority_recall]


def strict(found: Taxonomy) -> dict[str, object]:
    """What the JSON text holds; NaN would be an error."""
    values: dict[str, object] = json.loads(found.to_json(), parse_constant=lambda name: pytest.fail(name))
    return values


def test_two_gaussian_classes() -> None:
    found = taxonomy(*two(9000, 900, 10, 2.0))
    pair = found.pair
    assert (found.eta, found.kappa, found.d) == (10, 990, 10)
    assert found.intervals["delta"][0] < 2 < found.intervals["delta"][1]
    assert (pair.minority, pair.majority, pair.rows, pair.delta_kind, pair.delta_method) == (
        1,
        0,
        (900, 9000),
        "mahalanobis",
        "noncentral-f",
    )
    assert pair.population.minority_recall == pytest.approx(float(bayes(10, pair.delta).minority_recall))
    finite = lda_equivalents(pair.delta, 10, 9898).recalls(9000, 900)
    assert found.predicted["finite_sample"].minority_recall == pytest.approx(float(finite.minority))
    assert found.predicted["finite_sample"].majority_recall == pytest.approx(float(finite.majority))
    assert found.classes[1].recall_held_out == pytest.approx(float(finite.minority), abs=0.04)
    assert found.regime == "Extreme"
    assert found.eta_interval[0] < 10 < found.eta_interval[1]
    assert not found.shrunk
    assert found.notes == ()


def test_the_recall_predicted_from_few_rows_is_the_recall_on_new_ones() -> None:
    """More features than rows: the mean over data sets of what is predicted and of what shrinkage LDA then does."""
    from sklearn.covariance import ledoit_wolf

    said, done, inside = [], [], 0
    for seed in range(12):
        X, y = two(60, 20, 120, 3.5, seed)
        found = taxonomy(X, y)
        assert found.shrunk
        assert found.pair.delta_kind == "achievable"
        said.append([found.pair.finite_sample.minority_recall, found.pair.adjusted.minority_recall])
        means = np.stack([X[y == 0].mean(0), X[y == 1].mean(0)])
        scale = X.std(0)
        covariance = ledoit_wolf((X - means[y]) / scale, assume_centered=True)[0] * 80 / 78
        w = np.linalg.solve(covariance, (means[1] - means[0]) / scale) / scale
        new = two(4000, 4000, 120, 3.5, 1000 + seed)[0]
        score = new @ w - means.mean(0) @ w
        middle = score.mean()
        done.append([(score[4000:] > np.log(3)).mean(), (score[4000:] > middle).mean()])
        reached = (score[4000:].mean() - score[:4000].mean()) / score[4000:].std()
        inside += found.intervals["delta"][0] <= reached <= found.intervals["delta"][1]
    assert np.abs(np.mean(said, 0) - np.mean(done, 0)).max() < 0.06
    assert inside >= 9


@settings(max_examples=12)
@given(st.integers(0, 1000), st.integers(2, 5))
def test_affine_maps_of_the_features_change_nothing(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    X, y = two(80, 25, d, 1.5, seed)
    plain, mapped = taxonomy(X, y), taxonomy(X @ (rng.normal(size=(d, d)) + 3 * np.eye(d)) + rng.normal(size=d) * 10, y)
    np.testing.assert_allclose(numbers(mapped), numbers(plain), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose([c.recall_held_out for c in mapped.classes], [c.recall_held_out for c in plain.classes])


@settings(max_examples=8)
@given(st.integers(0, 1000))
def test_units_change_nothing_in_high_dimension(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, y = two(30, 10, 60, 3.0, seed)
    np.testing.assert_allclose(
        numbers(taxonomy(X * rng.uniform(0.1, 9, 60) + rng.normal(size=60), y)), numbers(taxonomy(X, y)), rtol=1e-6, atol=1e-8
    )


@settings(max_examples=8)
@given(st.integers(0, 1000), st.permutations([0, 1, 2]))
def test_names_of_classes_change_nothing(seed: int, names: list[int]) -> None:
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1, 2], [60, 30, 12])
    X = rng.normal(size=(102, 3)) + 2 * rng.normal(size=(3, 3))[y]
    plain, renamed = taxonomy(X, y), taxonomy(X, np.array(names)[y])
    for c in range(3):
        one, other = plain.classes[c], renamed.classes[names[c]]
        assert (one.count, names[one.confuser], one.regime) == (other.count, other.confuser, other.regime)
        np.testing.assert_allclose(
            [one.recall, *one.recall_population, one.eta_rest], [other.recall, *other.recall_population, other.eta_rest]
        )
    np.testing.assert_allclose(plain.deltas, renamed.deltas[np.ix_(names, names)])
    assert names[plain.worst] == renamed.worst


def test_order_of_rows_changes_no_closed_form() -> None:
    X, y = two(80, 20, 4, 2.0)
    order = np.random.default_rng(0).permutation(100)
    np.testing.assert_allclose(numbers(taxonomy(X[order], y[order])), numbers(taxonomy(X, y)))


def test_many_classes_each_have_a_confuser_and_bounds() -> None:
    rng = np.random.default_rng(2)
    counts = [1000, 300, 100, 30, 10]
    y = np.repeat(np.arange(5), counts)
    X = rng.normal(size=(y.size, 6)) + rng.normal(size=(5, 6))[y] * 1.3
    found = taxonomy(X, y)
    assert (found.eta, len(found.pairs), found.counts) == (100, 5, tuple(counts))
    assert found.worst == int(np.argmin([one.recall for one in found.classes]))
    assert found.regime == found.classes[found.worst].regime
    assert found.delta == found.pairs[found.worst].delta
    for i, one in enumerate(found.classes):
        assert one.recall_bounds[0] <= one.recall <= one.recall_bounds[1]
        assert one.eta == 1000 / counts[i]
        assert {one.label, one.confuser} == {found.pairs[i].minority, found.pairs[i].majority}
        assert found.deltas[i, one.confuser] == pytest.approx(found.pairs[i].delta)
        assert one.delta_rest_interval[0] < one.delta_rest < one.delta_rest_interval[1]
        assert one.recall_held_out == pytest.approx(one.recall, abs=0.12 if counts[i] >= 100 else 0.4)
    strict(found)


def test_heavy_tails_get_the_jackknife_unless_told_otherwise() -> None:
    X, y = two(300, 100, 3, 2.0)
    X = np.sign(X) * np.abs(X) ** 2
    assert taxonomy(X, y).pair.delta_method == "jackknife"
    assert taxonomy(X, y, interval="noncentral-f").pair.delta_method == "noncentral-f"
    assert taxonomy(*two(300, 100, 3, 2.0), interval="jackknife").pair.delta_method == "jackknife"


@pytest.mark.parametrize("d", [4, 200])
def test_two_identical_classes(d: int) -> None:
    found = taxonomy(*two(100, 20, d, 0.0, seed=5))
    assert found.pair.delta_interval[0] == 0
    assert found.regime in ("Extreme", "Catastrophic")
    assert found.pair.finite_sample.minority_recall < 0.2
    assert found.pair.adjusted.minority_recall < 0.65
    strict(found)


def test_exactly_the_same_rows_in_both_classes() -> None:
    X = np.random.default_rng(0).normal(size=(40, 3))
    found = taxonomy(np.concatenate([X, X]), np.repeat(["a", "b"], 40))
    assert found.delta == 0
    assert any("cannot be told apart" in note for note in found.notes)
    assert found.pair.population.minority_recall == 0.5
    strict(found)


@pytest.mark.parametrize("extra", ["label", "noisy label"])
def test_classes_without_overlap_get_a_lower_bound(extra: str) -> None:
    X, y = two(60, 15, 3, 0.0)
    column = y * 1.0 if extra == "label" else y * 1e3 + np.random.default_rng(1).normal(size=75)
    found = taxonomy(np.column_stack([X, column]), y)
    if extra == "label":
        assert found.pair.delta_kind == "achievable"
        assert found.intervals["delta"][1] == np.inf
        assert any("lower bound" in note for note in found.notes)
    else:
        assert found.delta > 500
    strict(found)


def test_fifty_thousand_features_in_bounded_memory() -> None:
    X = np.random.default_rng(0).normal(size=(24, 50_000)).astype(np.float32)
    y = np.repeat([0, 1], [16, 8])
    X[y == 1, :500] += 2
    tracemalloc.start()
    found = taxonomy(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.d == 50_000
    assert found.kappa == pytest.approx(24 / 50_000)
    # Two copies of the rows and some; a matrix of columns by columns would be 20 GB.
    assert peak < 6 * X.size * 8
    assert found.intervals["delta"][0] > 0.5


def test_a_thousand_classes() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(1000), rng.integers(1, 5, 1000))
    X = rng.normal(size=(y.size, 8)) + 3 * rng.normal(size=(1000, 8))[y]
    found = taxonomy(X, y)
    assert len(found.classes) == len(found.pairs) == 1000
    assert found.deltas.shape == (1000, 1000)
    assert any("have one row" in note for note in found.notes)
    assert strict(found)["deltas"] is None


def test_one_row_in_the_minority() -> None:
    found = taxonomy(*two(100, 1, 3, 4.0))
    assert found.pair.rows == (1, 100)
    assert np.isnan(found.classes[1].recall_held_out)
    assert np.isfinite(found.delta)
    strict(found)


def test_three_rows() -> None:
    strict(taxonomy([[0.0], [1.0], [2.0]], [0, 0, 1]))


def test_constant_and_repeated_columns_are_noted() -> None:
    X, y = two(60, 20, 3, 2.0)
    found = taxonomy(np.column_stack([X, np.ones(80), X[:, 0]]), y)
    assert (found.columns, found.d) == (5, 3)
    assert len(found.notes) == 2
    np.testing.assert_allclose(numbers(found), numbers(taxonomy(X, y)))


def test_what_the_model_misses_is_said() -> None:
    """A minority around the majority: the means agree, the recall on held-out rows is not what the closed form says."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(600, 2)), 0.05 * rng.normal(size=(400, 2)) + [1.2, 0]])
    found = taxonomy(X, np.repeat([0, 1], [600, 400]))
    assert any("closed forms do not fit" in note for note in found.notes)


def test_the_json_says_everything() -> None:
    found = taxonomy(*two(90, 30, 4, 2.0))
    values = strict(found)
    for name in (
        "eta",
        "kappa",
        "kappas",
        "delta",
        "intervals",
        "regime",
        "predicted",
        "pairs",
        "classes",
        "dimensions",
        "notes",
        "deltas",
    ):
        assert name in values
    assert values["delta"] == found.delta
    predicted = values["predicted"]["finite_sample"]  # type: ignore[index]
    assert predicted["precision"] == found.predicted["finite_sample"].precision
    assert found.to_json(indent=None).count("\n") == 0


def test_predictions_derive_their_metrics() -> None:
    one = Predicted(0.6, 0.9, (0.5, 0.7), (0.8, 0.95), eta=4.0)
    assert one.precision == pytest.approx(0.6 / (0.6 + 0.4))
    assert one.f1 == pytest.approx(0.6)
    assert one.balanced_accuracy == pytest.approx(0.75)
    assert np.isnan(Predicted(0.0, 1.0, (0, 0), (1, 1), eta=4.0).precision)


@pytest.mark.parametrize(
    ("settings_", "name"),
    [({"interval": "bootstrap"}, "interval"), ({"shrinkage": "none"}, "shrinkage"), ({"level": 95}, "level")],
)
def test_settings_are_checked(settings_: dict[str, object], name: str) -> None:
    with pytest.raises(ArgumentError, match=f"`{name}`"):
        taxonomy(*two(20, 10, 2, 1.0), **settings_)  # type: ignore[arg-type]


def test_data_that_cannot_be_measured_say_so() -> None:
    X, y = two(20, 10, 2, 1.0)
    with pytest.raises(DataError, match="one class only"):
        taxonomy(X, np.zeros(30))
    X[0, 0] = np.nan
    with pytest.raises(DataError, match="missing"):
        taxonomy(X, y)


def test_it_is_on_the_face() -> None:
    assert sy.diagnosis.taxonomy is taxonomy
    assert "diagnosis" in dir(sy)
