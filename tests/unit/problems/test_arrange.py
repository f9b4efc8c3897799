from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from steelyard.core.counts import count
from steelyard.core.errors import DataError
from steelyard.data.profiles import imbalance_profile
from steelyard.data.raw import Part, Raw
from steelyard.problems._arrange import VALIDATED_ROWS, Arranged, arrange
from steelyard.problems._settings import ProblemSettings


def raw(labels: Any, test: Any = None, valid: Any = None, names: tuple[str, ...] | None = None) -> Raw:
    """Rows that are their own number, so that it can be seen where each one went."""
    given_parts = {"train": labels, "valid": valid, "test": test}
    parts = {
        split: Part(np.arange(len(values))[:, None], np.asarray(values))
        for split, values in given_parts.items()
        if values is not None
    }
    return Raw("mine", "arrays", parts, names, target="y")


def arranged(source: Raw, **settings: Any) -> Arranged:
    return arrange(source, ProblemSettings(**settings))


def sizes(found: Arranged) -> dict[str, list[int]]:
    return {split: count(target, len(found.class_names)).tolist() for split, target in found.target.items()}


def together(found: Arranged) -> Tensor:
    return torch.cat([found.rows[split] for split in found.rows if found.part[split] == "train"])


class_sizes = st.lists(st.integers(4, 40), min_size=2, max_size=5)


@given(class_sizes, st.integers(0, 5), st.sampled_from([None, 1.0, 2.0]), st.sampled_from([0.0, 0.1, 0.5]), st.booleans())
def test_no_row_is_in_two_splits_and_labels_stay_with_their_rows(
    each: list[int], seed: int, factor: float | None, valid_fraction: float, thinned: bool
) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(each)), each))
    factor = None if thinned else factor  # thinned classes may be too small for a tail
    settings = {"factor": factor, "seed": seed, "valid_fraction": valid_fraction, "max_rows": 30 if thinned else None}
    found = arranged(raw(labels), **settings)
    rows = together(found)
    assert len(rows.unique()) == len(rows)
    for split, chosen in found.rows.items():
        assert torch.equal(chosen, chosen.sort().values)
        assert found.target[split].tolist() == labels[chosen.numpy()].tolist()
    if factor is None and not thinned:
        assert sorted(rows.tolist()) == list(range(len(labels)))
    # Every class has rows to learn from, and rows to be tested on.
    assert min(sizes(found)["train"]) >= 1 and min(sizes(found)["test"]) >= 1


def test_the_test_split_is_natural_and_the_tail_is_of_the_training_rows_alone() -> None:
    labels = np.repeat([0, 1, 2], [400, 200, 100])
    plain, tailed = arranged(raw(labels)), arranged(raw(labels), factor=20, class_order="size")
    assert sizes(plain)["test"] == sizes(tailed)["test"] == [100, 50, 25]
    assert torch.equal(plain.rows["test"], tailed.rows["test"])
    whole = [a + b for a, b in zip(sizes(tailed)["train"], sizes(tailed)["valid"], strict=True)]
    assert whole == imbalance_profile(300, 3, 20).tolist()


def test_given_splits_are_left_as_they_are() -> None:
    found = arranged(raw(np.repeat([0, 1], 100), test=[1, 0, 1], valid=[0, 1]), factor=10, noise=0.5, max_rows=150)
    assert found.part == {"train": "train", "valid": "valid", "test": "test"}
    assert found.target["test"].tolist() == [1, 0, 1] and found.target["valid"].tolist() == [0, 1]
    assert found.rows["test"].tolist() == [0, 1, 2]


def test_validation_rows_are_cut_from_training_rows_after_the_tail() -> None:
    found = arranged(raw(np.repeat([0, 1, 2], 400), test=[0, 1, 2]), factor=50, valid_fraction=0.2)
    assert found.part["valid"] == "train"
    wanted = imbalance_profile(400, 3, 50).tolist()
    assert sizes(found)["valid"] == [int(0.2 * n + 0.5) for n in wanted] == [80, 11, 2]
    assert [a + b for a, b in zip(sizes(found)["train"], sizes(found)["valid"], strict=True)] == wanted


def test_small_classes_give_the_validation_split_nothing_and_a_note_says_so() -> None:
    found = arranged(raw(np.repeat(["a", "b"], [100, VALIDATED_ROWS - 1]), test=["a", "b"]))
    assert sizes(found) == {"train": [90, 4], "valid": [10, 0], "test": [1, 1]}
    assert "1 of 2 classes have no valid rows: 'b'" in found.notes
    found = arranged(raw(np.repeat(["a", "b"], [4, 4]), test=["a", "b"]))
    assert "valid" not in found.rows
    assert any("no validation split" in note for note in found.notes)


def test_the_same_problem_for_the_same_seed_and_another_for_another() -> None:
    source = raw(np.repeat([0, 1, 2], 100))
    settings = {"factor": 10, "noise": 0.3, "max_rows": 150}
    one, same, other = (arranged(source, seed=seed, **settings) for seed in (1, 1, 2))
    for split in one.rows:
        assert torch.equal(one.rows[split], same.rows[split]) and torch.equal(one.target[split], same.target[split])
        assert not torch.equal(one.rows[split], other.rows[split])
    assert sizes(one)["test"] == sizes(other)["test"]


def test_a_smaller_tail_is_part_of_a_larger_one() -> None:
    source = raw(np.repeat([0, 1, 2], 300))
    steep, flat = (set(together(arranged(source, factor=factor)).tolist()) for factor in (100, 10))
    assert steep < flat


def test_classes_in_any_order() -> None:
    source = raw(np.repeat(list("abcdef"), 200), test=list("abcdef"))
    counts = {}
    for order in ("index", "random"):
        found = arranged(source, factor=32, class_order=order, valid_fraction=0)
        counts[order] = sizes(found)["train"]
        assert sorted(counts[order]) == sorted(imbalance_profile(200, 6, 32).tolist())
    assert counts["index"] == imbalance_profile(200, 6, 32).tolist() != counts["random"]
    by_size = np.array(counts["random"]).argsort()[::-1]
    assert found.facts["class_order"] == ["abcdef"[c] for c in by_size]
    assert sizes(arranged(source, factor=32, class_order="random", seed=5, valid_fraction=0))["train"] != counts["random"]


@pytest.mark.parametrize("kind", ["symmetric", "asymmetric", "imbalance"])
def test_noise_is_in_training_and_validation_rows_only_and_its_matrix_is_returned(kind: str) -> None:
    labels = np.repeat([0, 1, 2], [6000, 2000, 1000])
    found = arranged(raw(labels), noise=0.4, noise_kind=kind)
    assert found.target["test"].tolist() == labels[found.rows["test"].numpy()].tolist()
    rows = torch.cat([found.rows["train"], found.rows["valid"]])
    noisy = torch.cat([found.target["train"], found.target["valid"]])
    true = torch.from_numpy(labels)[rows]
    matrix = found.transition
    assert matrix is not None and torch.allclose(matrix.sum(1), torch.ones(3, dtype=torch.float64))
    seen = torch.stack([count(noisy[true == c], 3) / int((true == c).sum()) for c in range(3)])
    assert torch.allclose(seen.double(), matrix, atol=0.06)
    assert found.facts["label_noise"]["changed"] == int((noisy != true).sum())
    assert any(f"{kind} noise, rate 0.4" in note for note in found.notes)


def test_without_noise_there_is_no_matrix() -> None:
    assert arranged(raw(np.repeat([0, 1], 20))).transition is None


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        (raw([0] * 9 + [1]), {}, "class '1' has one row, which cannot be in both training and test data"),
        (raw([0] * 9), {}, "one class only"),
        (raw([0, 0, 1, 1], test=[0], names=tuple("abcdefg")), {}, "7 classes but the training data only 4 rows"),
        (raw([0] * 40 + [1] * 40), {"factor": 1000}, "factor=1000 is more than the data allow: the largest class can have 30"),
        (raw([0, 0, 1, 1], test=[0], names=("a", "b", "c")), {"factor": 2}, "class 'c' has no training rows, so no profile"),
    ],
)
def test_too_few_rows(source: Raw, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        arranged(source, **settings)


def test_a_class_of_one_row_is_fine_where_test_rows_are_given() -> None:
    assert sizes(arranged(raw([0] * 9 + [1], test=[0, 1])))["train"] == [8, 1]
