from __future__ import annotations

import numpy as np
import pytest

from steelyard.diagnosis._pairs import Ground, confusers, counts_of, distances, interval_kind, measure
from steelyard.diagnosis.finite_sample import lda_equivalents
from steelyard.diagnosis.prepare import Prepared, Within, prepare, within
from steelyard.diagnosis.scores import held_out


def blobs(counts: list[int], d: int, apart: float = 1.5) -> tuple[Prepared, Within]:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(len(counts)), counts)
    prepared = prepare(rng.normal(size=(y.size, d)) + apart * rng.normal(size=(len(counts), d))[y], y)
    return prepared, within(prepared.rows, prepared.target, len(counts))


def test_distances_are_those_of_each_pair() -> None:
    prepared, found = blobs([40, 20, 10], 3)
    squares = distances(prepared, found)
    assert squares is not None
    inverse = np.linalg.inv(found.covariance())
    for i in range(3):
        for j in range(3):
            u = found.means[i] - found.means[j]
            assert squares[i, j] == pytest.approx(u @ inverse @ u)


def test_distances_that_cannot_be_known() -> None:
    assert distances(*blobs([6, 5], 20)) is None
    assert distances(*blobs([6, 5], 9)) is None
    prepared = prepare(np.column_stack([np.random.default_rng(0).normal(size=20), np.arange(20) < 8]), np.arange(20) < 8)
    assert distances(prepared, within(prepared.rows, prepared.target, 2)) is None


def test_the_interval_is_exact_without_a_reason_for_another() -> None:
    prepared, found = blobs([60, 30], 3)
    squares = distances(prepared, found)
    assert interval_kind("auto", prepared, found, squares) == "noncentral-f"
    assert interval_kind("jackknife", prepared, found, squares) == "jackknife"
    assert interval_kind("jackknife", prepared, found, None) == "noncentral-f"
    many, within_many = blobs([4] * 21, 2)
    assert interval_kind("jackknife", many, within_many, distances(many, within_many)) == "noncentral-f"


def test_confusers_are_the_others_that_are_beaten_least() -> None:
    z = np.array([[-9.0, 2.0, 1.0], [3.0, -9.0, 4.0], [0.0, -1.0, -9.0]])
    assert confusers(z).tolist() == [2, 0, 1]


def ground(prepared: Prepared, found: Within) -> Ground:
    squares = distances(prepared, found)
    plain = Ground(prepared, found, lda_equivalents(0.0, prepared.dim, found.dof), False, squares, 0.95, "noncentral-f")
    equivalents = lda_equivalents(plain.delta_matrix(), prepared.dim, found.dof)
    return Ground(prepared, found, equivalents, False, squares, 0.95, "noncentral-f")


def test_the_matrix_of_scores_is_the_closed_form_pair_by_pair() -> None:
    prepared, found = blobs([90, 40, 15], 4)
    all_pairs, counts = ground(prepared, found), counts_of(prepared)
    z = all_pairs.recalls_z(counts, np.log(counts[None, :] / counts[:, None]))
    deltas = all_pairs.delta_matrix()
    for i, j in ((1, 0), (2, 0), (2, 1)):
        one = lda_equivalents(deltas[i, j], 4, found.dof).recalls(counts[j], counts[i])
        assert z[i, j] == pytest.approx((one.mean1 - np.log(counts[j] / counts[i])) / one.sd)
        assert z[j, i] == pytest.approx((np.log(counts[j] / counts[i]) - one.mean0) / one.sd)


@pytest.mark.parametrize("couple", [(0, 1), (1, 0)])
def test_the_class_with_fewer_rows_is_the_minority(couple: tuple[int, int]) -> None:
    prepared, found = blobs([50, 20], 3)
    pair = measure(ground(prepared, found), [couple], held_out(prepared, np.array([1, 0]), shrink=None))[0]
    assert (pair.minority, pair.majority, pair.rows) == (1, 0, (20, 50))
    # The recalls rise with the separability, so the limits of the one are those of the other.
    ends = [lda_equivalents(delta, 3, found.dof).recalls(50, 20).minority for delta in pair.delta_interval]
    np.testing.assert_allclose(pair.finite_sample.minority_interval, ends)
    assert pair.lost.recall == pytest.approx(pair.finite_sample.minority_recall)
    assert pair.adjusted.minority_recall == pytest.approx(pair.lost.recall + pair.lost.curable)
