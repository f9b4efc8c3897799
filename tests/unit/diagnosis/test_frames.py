from __future__ import annotations

import numpy as np
import pytest

from steelyard.diagnosis.frames import frame_of
from steelyard.diagnosis.simplex_encoding import etf

IDEAL = etf(4).means


def test_vectors_of_a_square() -> None:
    vectors = np.array([[2.0, 0], [0, 1], [-2, 0], [0, -1]])
    found = frame_of(vectors, (IDEAL, vectors @ vectors.T), ((0,), (1, 3)))
    assert found.norms.tolist() == [2, 1, 2, 1]
    assert found.equinorm == pytest.approx(0.5 / 1.5)
    # Cosines of pairs: four of 0 and two of -1.
    assert found.angle_spread == pytest.approx(np.std([0, 0, 0, 0, -1, -1]))
    assert found.angle_gap == pytest.approx((4 / 3 + 2 * 2 / 3) / 6)
    assert found.to_etf == pytest.approx(0, abs=1e-15)
    assert found.few_cosine == -1
    assert found.few_spread == pytest.approx(np.sqrt(2) / np.sqrt(10 / 4))
    assert found.many_to_few == 2
    assert np.linalg.norm(found.gram) == pytest.approx(1)


def test_a_group_of_one_has_no_angle() -> None:
    found = frame_of(IDEAL, (IDEAL, IDEAL), ((0, 1), (3,)))
    assert np.isnan(found.few_cosine)
    assert np.isnan(found.few_spread)
    assert found.many_to_few == pytest.approx(1)


def test_few_classes_beyond_the_dimensions_have_no_spread() -> None:
    line = np.array([[1.0], [2.0], [-4.0], [1.0]])
    assert frame_of(line, (IDEAL, IDEAL), ((0,), (1, 2, 3))).few_spread == 0


def test_nothing_is_made_of_zeros() -> None:
    found = frame_of(np.zeros((4, 3)), (IDEAL, IDEAL), ((0,), (2, 3)))
    assert np.isnan([found.equinorm, found.to_seli, found.few_cosine, found.few_spread, found.many_to_few]).all()
    assert not found.gram.any()
