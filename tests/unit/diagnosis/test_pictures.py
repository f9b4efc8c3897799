from __future__ import annotations

import numpy as np
import pytest

from steelyard.diagnosis import geometry, seli
from steelyard.diagnosis.pictures import SHOWN, ideal_pictures, pictures, shown_classes

COUNTS = (60, 30, 6)


def test_a_perfect_seli_has_the_pictures_of_its_counts() -> None:
    ideal = seli(COUNTS)
    values, vectors = np.linalg.eigh(ideal.means)
    means = vectors * np.sqrt(np.clip(values, 0, None))
    target = np.repeat(np.arange(3), COUNTS)
    order = np.arange(3)
    own = pictures(geometry(means[target], target, ideal.product @ np.linalg.pinv(means).T), order)["means"]
    wanted = ideal_pictures(COUNTS, order)["means"]
    for key in ("gram", "norms", "nearest"):
        assert np.array(own[key]) == pytest.approx(np.array(wanted[key]), abs=2e-5)


def test_norms_have_mean_square_one_and_nearest_is_the_largest_cosine() -> None:
    found = ideal_pictures(COUNTS, np.arange(3))["classifier"]
    assert np.square(found["norms"]).mean() == pytest.approx(1, abs=1e-4)
    gram = seli(COUNTS).classifier
    cosines = gram / np.sqrt(np.outer(np.diag(gram), np.diag(gram)))
    np.fill_diagonal(cosines, -1)
    assert found["nearest"] == pytest.approx(cosines.max(1), abs=2e-5)


def test_many_classes_are_thinned_evenly_and_keep_both_ends() -> None:
    order = np.random.default_rng(0).permutation(1000)
    shown = shown_classes(order)
    assert len(shown) == len(set(shown.tolist())) == SHOWN
    assert shown[0] == order[0]
    assert shown[-1] == order[-1]
    assert np.array(ideal_pictures(np.arange(1, 1001), shown)["means"]["gram"]).shape == (SHOWN, SHOWN)


def test_a_class_without_rows_is_a_gap() -> None:
    target = np.repeat([0, 1], 5)
    features = np.random.default_rng(0).normal(size=(10, 4))
    found = pictures(geometry(features, target, class_counts=[5, 5, 0]), np.arange(3))
    assert found["classifier"] is None
    assert np.isnan(found["means"]["norms"][2])
    assert np.isnan(found["means"]["nearest"][2])
    assert np.isfinite(found["means"]["norms"][:2]).all()
