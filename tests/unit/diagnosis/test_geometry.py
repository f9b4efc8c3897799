from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis.geometry import Geometry, geometry
from steelyard.diagnosis.simplex_encoding import seli


def perfect(counts: list[int], dim: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classifier and class means `[C, d]` with the geometry of SELI, turned at random and moved away from 0, and a bias."""
    rng = np.random.default_rng(seed)
    ideal = seli(counts)
    values, vectors = np.linalg.eigh(ideal.classifier)
    roots, vectors = np.sqrt(values[1:]), vectors[:, 1:]
    turn = np.linalg.qr(rng.normal(size=(dim, dim)))[0][: len(roots)]
    classifier, means = (vectors * roots) @ turn, (vectors / roots) @ turn
    offset = rng.normal(size=dim)
    return classifier + rng.normal(size=dim), means + offset, -classifier @ offset


def with_noise(means: np.ndarray, copies: list[int], variance: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose covariance in every class is `variance` times the identity, exactly."""
    dim = means.shape[1]
    around = np.sqrt(variance * dim) * np.concatenate([np.eye(dim), -np.eye(dim)])
    labels = np.repeat(np.arange(len(means)), np.array(copies) * 2 * dim)
    return means[labels] + np.tile(around, (sum(copies), 1)), labels


def unit_frame(k: int, dim: int) -> np.ndarray:
    corners = np.eye(k, dim) - np.pad(np.full(k, 1 / k), (0, dim - k))
    return corners / np.linalg.norm(corners, axis=1, keepdims=True)


PERFECT = [
    # ratio; spread of norms W, M; of cosines W, M; gap of cosines W, M; NC3 before squaring; distance to ETF W, M
    (10, 0.240888, 0.256038, 0.072185, 0.044433, 0.054721, 0.040275, 0.518432, 0.447411, 0.476901),
    (100, 0.411988, 0.492607, 0.217128, 0.072528, 0.155117, 0.070229, 0.904651, 0.633919, 0.705419),
]


@pytest.mark.parametrize("row", PERFECT)
def test_values_on_a_perfect_seli(row: tuple[float, ...]) -> None:
    counts = [int(row[0])] * 5 + [1] * 5
    classifier, means, bias = perfect(counts, 12)
    labels = np.repeat(np.arange(10), counts)
    found = geometry(means[labels], labels, classifier, bias=bias)
    assert found.classifier is not None
    values: list[float] = []
    for name in ("equinorm", "angle_spread", "angle_gap"):
        values += [getattr(found.classifier, name), getattr(found.means, name)]
    values += [found.nc3**0.5, found.classifier.to_etf, found.means.to_etf]
    np.testing.assert_allclose(values, row[1:], atol=1.01e-6)
    gone = [
        found.classifier.to_seli,
        found.means.to_seli,
        found.product_to_seli,
        found.nc1,
        found.cdnv,
        found.quotient,
        found.nc4,
    ]
    np.testing.assert_allclose(gone, 0, atol=1e-10)
    np.testing.assert_allclose(found.alignment, seli(counts).alignment, atol=1e-10)
    assert not found.collapsed


def test_known_values_with_exact_noise() -> None:
    features, labels = with_noise(unit_frame(10, 20), [1] * 10, 0.01)
    found = geometry(features, labels)
    np.testing.assert_allclose(
        [found.nc1, found.nc1_by_rows, found.quotient, found.cdnv], [0.081, 0.081, 0.2, 0.09], atol=1e-10
    )
    np.testing.assert_allclose(found.nc1_by_class, 0.081, atol=1e-10)
    np.testing.assert_allclose(found.means.to_etf, 0, atol=1e-10)


def test_counts_change_only_what_is_weighted_by_rows() -> None:
    features, labels = with_noise(unit_frame(10, 20), [100] * 5 + [1] * 5, 0.01)
    found = geometry(features, labels)
    np.testing.assert_allclose([found.nc1, found.quotient, found.cdnv], [0.081, 0.2, 0.09], atol=1e-10)
    np.testing.assert_allclose(found.nc1_by_rows, 2.0657, atol=5e-5)


def slowly(features: np.ndarray, labels: np.ndarray, classifier: np.ndarray, bias: np.ndarray) -> dict[str, float]:
    """The definitions, written out with d x d matrices and loops."""
    k = int(labels.max()) + 1
    means = np.stack([features[labels == c].mean(0) for c in range(k)])
    centre = means.mean(0)
    covariances = [np.cov(features[labels == c].T, bias=True) for c in range(k)]
    within, between = np.mean(covariances, axis=0), (means - centre).T @ (means - centre) / k
    pairs = [
        (np.trace(covariances[i]) + np.trace(covariances[j])) / (2 * np.sum((means[i] - means[j]) ** 2))
        for i in range(k) for j in range(k) if i != j
    ]  # fmt: skip
    own, middle = classifier - classifier.mean(0), means - centre
    unlike = []
    for c in range(k):
        rows = features[labels == c]
        nearest = np.stack([np.square(rows - mean).sum(1) for mean in means]).argmin(0)
        unlike.append(np.mean((rows @ classifier.T + bias).argmax(1) != nearest))
    return {
        "nc1": np.trace(within @ np.linalg.pinv(between)) / k,
        "quotient": np.trace(within) / np.trace(between),
        "cdnv": np.mean(pairs),
        "nc3": np.sum((own / np.linalg.norm(own) - middle / np.linalg.norm(middle)) ** 2),
        "nc4": np.mean(unlike),
    }


@given(st.integers(0, 1000), st.integers(2, 6), st.integers(1, 9))
@settings(max_examples=25)
def test_fast_and_slow_agree(seed: int, k: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(k), rng.integers(2, 12, k)))
    features = rng.normal(size=(k, dim))[labels] * 2 + rng.normal(size=(len(labels), dim)) + 5
    classifier, bias = rng.normal(size=(k, dim)), rng.normal(size=k)
    if dim == 1:
        features, classifier = np.pad(features, ((0, 0), (0, 1))), np.pad(classifier, ((0, 0), (0, 1)))
    found = geometry(features, labels, classifier, bias=bias)
    for name, value in slowly(features, labels, classifier, bias).items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-6, atol=1e-9, err_msg=name)
    assert found.possible == (features.shape[1] >= k - 1)


def numbers(found: Geometry) -> list[float]:
    return list(found.summary().values())


@given(st.integers(0, 1000))
@settings(max_examples=15)
def test_order_of_rows_and_classes_scale_and_rotation_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(2, 30, 5)
    labels = np.repeat(np.arange(5), counts)
    features = rng.normal(size=(5, 7))[labels] + 0.3 * rng.normal(size=(len(labels), 7))
    classifier = rng.normal(size=(5, 7))
    before = geometry(features, labels, classifier, groups="terciles")
    order, rows = rng.permutation(5), rng.permutation(len(labels))
    turn = np.linalg.qr(rng.normal(size=(7, 7)))[0]
    moved = geometry(
        (features @ turn)[rows] * 3, order[labels][rows], (classifier @ turn)[np.argsort(order)], groups="terciles"
    )
    if len(set(counts.tolist())) == 5:  # ties go to groups by index
        np.testing.assert_allclose(numbers(moved), numbers(before), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(moved.means.gram[np.ix_(order, order)], before.means.gram, atol=1e-10)
    np.testing.assert_allclose(moved.cdnv_pairs[np.ix_(order, order)], before.cdnv_pairs, rtol=1e-7)


def test_tensors_of_any_precision_do() -> None:
    features, labels = with_noise(unit_frame(4, 6), [2] * 4, 0.01)
    exact = geometry(features, labels)
    single = geometry(torch.tensor(features, dtype=torch.float32), torch.tensor(labels))
    np.testing.assert_allclose(single.nc1, exact.nc1, rtol=1e-5)
    assert geometry(torch.tensor(features).bfloat16(), labels).nc1 < 1.1 * exact.nc1


def test_minority_collapse_is_seen() -> None:
    classifier, means, _ = perfect([200] * 3 + [50] * 3 + [2] * 4, 12)
    labels = np.repeat(np.arange(10), [200] * 3 + [50] * 3 + [2] * 4)
    healthy = geometry(means[labels], labels, classifier)
    assert healthy.few == (6, 7, 8, 9)
    assert healthy.classifier is not None
    assert healthy.classifier.few_spread > 0.1
    assert not healthy.collapsed
    classifier[6:], means[6:] = classifier[6:].mean(0), means[6:].mean(0)
    found = geometry(means[labels], labels, classifier)
    assert found.classifier is not None
    assert found.collapsed
    np.testing.assert_allclose([found.classifier.few_cosine, found.means.few_cosine], 1, atol=1e-6)
    assert max(found.classifier.few_spread, found.means.few_spread) < 1e-12


def test_a_perfect_network_with_a_class_unseen_is_perfect() -> None:
    counts = [40, 20, 10, 5, 3]
    classifier, means, _ = perfect(counts, 8)
    labels = np.repeat([0, 1, 3, 4], 3)
    found = geometry(means[labels], labels, classifier, class_counts=counts)
    assert found.classifier is not None
    np.testing.assert_allclose([found.means.to_seli, found.classifier.to_seli, found.product_to_seli], 0, atol=1e-10)
    assert found.rows.tolist() == [3, 3, 0, 3, 3]
    assert np.isnan(found.means.norms[2])
    assert np.isnan(found.nc1_by_class[2])
    np.testing.assert_allclose(found.nc1, 0, atol=1e-12)


def test_what_is_not_known_is_none_in_json() -> None:
    labels = np.array([0, 0, 1])
    found = geometry(np.array([[0.0, 1.0], [0.0, 2.0], [3.0, 3.0]]), labels)
    values: dict[str, Any] = json.loads(found.to_json())
    assert values["classifier"] is None
    assert values["nc3"] is None
    assert values["nc1_by_class"][1] is None
    assert values["means"]["cosines"][0][1] == pytest.approx(-1)
    assert "nc4" not in found.summary()
    assert set(values) == set(found.to_dict())


def test_json_of_many_classes_leaves_out_matrices() -> None:
    features, labels = with_noise(unit_frame(60, 60), [1] * 60, 0.01)
    values = geometry(features, labels, unit_frame(60, 60)).to_dict()
    assert values["cdnv_pairs"] is values["means"]["gram"] is values["classifier"]["cosines"] is None


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"features": np.zeros((4, 0))}, "features"),
        ({"features": np.full((4, 2), np.nan)}, "features"),
        ({"features": np.zeros((3, 2))}, "features"),
        ({"target": [0, 0, 0, 0]}, "target"),
        ({"target": [0, 1, 2, 2]}, "target"),
        ({"classifier": np.zeros((2, 3))}, "classifier"),
        ({"bias": np.zeros(3)}, "bias"),
        ({"classifier": None, "class_counts": [2, 2], "bias": np.zeros(2)}, "bias"),
        ({"class_counts": [3, 3, 3]}, "classifier"),
    ],
)
def test_arguments_are_checked(change: dict[str, Any], name: str) -> None:
    given: dict[str, Any] = {"features": np.eye(4)[:, :2], "target": [0, 0, 1, 1], "classifier": np.eye(2), "bias": None}
    with pytest.raises(ArgumentError, match=f"`{name}`"):
        geometry(**(given | change))
