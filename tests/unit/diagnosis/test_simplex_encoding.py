from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis.simplex_encoding import etf, gram_distance, seli, seli_step, simplex_encoding, simplex_svd

any_counts = st.lists(st.integers(1, 60), min_size=2, max_size=8)
huge_counts = st.lists(st.integers(1, 10**6), min_size=2, max_size=9)

TABLE = [
    # k, minority, R; W: ratio of squared norms, cosines; M: the same; alignment of majority and minority
    (10, 5, 10, 2.672100, -0.143953, 0.033369, -0.138681, 0.350829, -0.069702, -0.186746, -0.085434, 0.995584, 0.963944),
    (10, 5, 100, 5.766212, -0.148022, 0.338026, -0.195903, 0.115557, -0.063016, -0.228393, -0.050850, 0.994232, 0.811580),
    (10, 5, 1, 1, -0.111111, -0.111111, -0.111111, 1, -0.111111, -0.111111, -0.111111, 1, 1),
    (10, 5, 7, 2.316601, -0.142083, 0, -0.131403, 0.414555, -0.072630, -0.176471, -0.091361, 0.996131, 0.976187),
    (4, 2, 10, 1.995247, -0.458991, 0.079446, -0.382096, 0.436390, -0.194601, -0.648532, -0.266023, 0.990145, 0.923921),
    (10, 2, 10, 2.402086, -0.125836, 0.144808, -0.092331, 0.394617, -0.084310, -0.353096, -0.128725, 0.994390, 0.968141),
    (100, 50, 100, 9.391502, -0.013062, 0.048583, -0.022062, 0.101290, -0.005963, -0.018945, -0.004505, 0.999411, 0.974756),
]  # fmt: skip


def by_numerical_svd(counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Gram matrices from the matrix of all rows: slow and obviously right."""
    encoding = simplex_encoding(counts).numpy()
    left, values, right = np.linalg.svd(encoding, full_matrices=False)
    kept = len(counts) - 1
    of_rows = (right[:kept].T * values[:kept]) @ right[:kept]
    first = np.cumsum([0, *counts[:-1]])
    return (left[:, :kept] * values[:kept]) @ left[:, :kept].T, of_rows[np.ix_(first, first)]


def cosines(gram: np.ndarray) -> np.ndarray:
    lengths = np.sqrt(np.diag(gram))
    return gram / np.outer(lengths, lengths)


@given(any_counts)
@settings(max_examples=40)
def test_grams_are_those_of_a_numerical_svd_of_all_rows(counts: list[int]) -> None:
    classifier, means = by_numerical_svd(counts)
    found = seli(counts)
    np.testing.assert_allclose(found.classifier, classifier, atol=1e-10)
    np.testing.assert_allclose(found.means, means, atol=1e-10)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 12), st.integers(1, 5))
@settings(max_examples=40)
def test_closed_forms_of_random_step_profiles_are_those_of_a_numerical_svd(
    large: int, small: int, ratio: int, smallest: int
) -> None:
    classifier, means = by_numerical_svd([ratio * smallest] * large + [smallest] * small)
    found = seli_step(large + small, ratio, small)
    for gram, frame, scale in ((classifier, found.classifier, smallest**0.5), (means, found.means, smallest**-0.5)):
        angles = cosines(gram)
        np.testing.assert_allclose([gram[0, 0], gram[-1, -1]], np.array([frame.majority, frame.minority]) * scale, atol=1e-10)
        np.testing.assert_allclose(frame.cos_between, angles[0, -1], atol=1e-10)
        np.testing.assert_allclose(frame.cos_majority, angles[0, 1] if large > 1 else np.nan, atol=1e-10)
        np.testing.assert_allclose(frame.cos_minority, angles[-1, -2] if small > 1 else np.nan, atol=1e-10)


@pytest.mark.parametrize("row", TABLE)
def test_known_values(row: tuple[float, ...]) -> None:
    k, small, ratio = (int(x) for x in row[:3])
    found = seli_step(k, ratio, small)
    values = []
    for frame in (found.classifier, found.means):
        values += [frame.majority / frame.minority, frame.cos_majority, frame.cos_minority, frame.cos_between]
    np.testing.assert_allclose([*values, found.align_majority, found.align_minority], row[3:], atol=1.01e-6)
    alignment = seli([ratio] * (k - small) + [1] * small).alignment
    np.testing.assert_allclose(alignment[[0, -1]], [found.align_majority, found.align_minority], atol=1e-10)


def test_known_values_of_other_counts() -> None:
    found = seli([100, 50, 20, 10])
    np.testing.assert_allclose(np.diag(found.classifier), [6.76408, 5.11603, 3.81985, 3.33657], atol=6e-6)
    np.testing.assert_allclose(np.diag(found.means), [0.08370, 0.11375, 0.15936, 0.17915], atol=6e-6)


@given(any_counts)
@settings(max_examples=30)
def test_singular_vectors_give_the_encoding_back(counts: list[int]) -> None:
    found = simplex_svd(counts)
    rows = np.repeat(np.arange(len(counts)), counts)
    np.testing.assert_allclose((found.left * found.values) @ found.right[rows].T, simplex_encoding(counts), atol=1e-12)
    np.testing.assert_allclose(found.right[rows].T @ found.right[rows], np.eye(len(counts) - 1), atol=1e-11)
    assert (np.diff(found.values) <= 1e-12).all()


@given(huge_counts, st.randoms(use_true_random=False), st.integers(2, 1000))
@settings(max_examples=50)
def test_laws_of_any_counts(counts: list[int], random: object, factor: int) -> None:
    found = seli(counts)
    k = len(counts)
    scale = np.abs(found.classifier).max()
    np.testing.assert_allclose(found.classifier.sum(1), 0, atol=1e-10 * scale)
    np.testing.assert_allclose(found.classifier @ found.means, np.eye(k) - 1 / k, atol=1e-8)
    # The conditions under which SELI is the optimum: no two class means at an acute angle.
    assert found.means[~np.eye(k, dtype=bool)].max() <= 1e-12
    order = list(range(k))
    random.shuffle(order)  # type: ignore[attr-defined]
    moved = seli([counts[i] for i in order])
    np.testing.assert_allclose(moved.classifier, found.classifier[np.ix_(order, order)], atol=1e-9 * scale)
    np.testing.assert_allclose(moved.means, found.means[np.ix_(order, order)], atol=1e-9 * np.abs(found.means).max())
    scaled = seli([n * factor for n in counts])
    assert gram_distance(scaled.classifier, found.classifier) < 1e-9
    assert gram_distance(scaled.means, found.means) < 1e-9


@given(st.integers(2, 30), st.integers(1, 10**6))
def test_equal_counts_give_the_equiangular_tight_frame(k: int, n: int) -> None:
    found = seli([n] * k)
    off = ~np.eye(k, dtype=bool)
    for gram in (found.classifier, found.means, etf(k).means):
        np.testing.assert_allclose(cosines(gram)[off], -1 / (k - 1), atol=1e-10)
        np.testing.assert_allclose(np.diag(gram), gram[0, 0], rtol=1e-10)
    np.testing.assert_allclose(found.alignment, 1, atol=1e-10)


def test_minority_classifiers_turn_acute_at_ratio_seven() -> None:
    for k in (4, 10, 100):
        assert abs(seli_step(k, 7).classifier.cos_minority) < 1e-12
        assert seli_step(k, 7.01).classifier.cos_minority > 0 > seli_step(k, 6.99).classifier.cos_minority
    assert seli_step(10, 1e12).classifier.cos_minority > 0.99


def test_counts_of_millions_cost_nothing() -> None:
    counts = [10_000_000] * 300 + list(range(1, 101)) + [0]
    found = seli(counts)
    np.testing.assert_allclose(found.classifier @ found.means, found.product, atol=1e-8)
    # A class without rows is as if it had one.
    np.testing.assert_allclose(found.means[-1, -1], found.means[300, 300])


def test_distance_is_of_shapes() -> None:
    first, second = seli([9, 4, 1]).means, etf(3).means
    assert gram_distance(first, 7 * first) < 1e-15
    assert gram_distance(first, second) == gram_distance(second, first) > 0
    assert np.isnan(gram_distance(first, np.zeros((3, 3))))


def test_encoding_is_a_tensor_without_columns_for_classes_without_rows() -> None:
    found = simplex_encoding(torch.tensor([2, 0, 1]))
    assert found.dtype == torch.float64
    assert found.shape == (3, 3)
    np.testing.assert_allclose(found.sum(0), 0, atol=1e-15)


@pytest.mark.parametrize("call", [simplex_encoding, simplex_svd, seli])
def test_one_class_has_no_geometry(call: object) -> None:
    with pytest.raises(ArgumentError, match="at least two classes"):
        call([5])  # type: ignore[operator]


@pytest.mark.parametrize(
    ("given", "name"), [((1, 2.0), "num_classes"), ((4, 0.0), "ratio"), ((4, 2.0, 4), "minority"), ((4, 2.0, 0), "minority")]
)
def test_step_arguments_are_checked(given: tuple[float, ...], name: str) -> None:
    with pytest.raises(ArgumentError, match=name):
        seli_step(*given)  # type: ignore[arg-type]
