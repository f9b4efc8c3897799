"""Weight dynamics: groups, classes, learned functions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.report.store import Run
from steelyard.report.weights import MOST_EPOCHS, class_weights, group_weights, learned

GROUPS = {"many": [0], "medium": [1, 2], "few": []}


def run(seed=0, log=(), **result):
    return Run("m", seed, result, list(log))


def logged(*lines):
    return [{"stage": 0, "epoch": epoch, "class_weights": line} for epoch, line in enumerate(lines, 1)]


def test_groups_average_their_classes_and_seeds_of_different_length():
    runs = [run(0, logged([1.0, 2.0, 4.0], [0.5, None, 3.0])), run(1, logged([2.0, 4.0, 6.0]))]
    found = group_weights(runs, GROUPS, 3)
    assert found == {
        "many": {"mean": [1.5, 0.5], "low": [1.0, 0.5], "high": [2.0, 0.5]},
        "medium": {"mean": [4.0, 3.0], "low": [3.0, 3.0], "high": [5.0, 3.0]},
    }


def test_a_stage_without_weights_leaves_a_gap_and_one_seed_has_no_band():
    assert group_weights([run(0, logged(None, [1.0, 2.0, 4.0], [None, None, None]))], GROUPS, 3) == {
        "many": {"mean": [None, 1.0, None]},
        "medium": {"mean": [None, 3.0, None]},
    }


def test_group_weights_of_the_log_stand_in_where_there_are_too_many_classes():
    lines = [{"class_weights": None, "group_weights": {"many": 0.5, "few": 3.0}}]
    assert group_weights([run(0, lines)], {name: [] for name in ("many", "medium", "few")}, 5000) == {
        "many": {"mean": [0.5]},
        "few": {"mean": [3.0]},
    }
    assert class_weights([run(0, lines)], [[0]], 5000) is None


@pytest.mark.parametrize("log", [[], [{"epoch": 1}], [{"class_weights": None}], logged(None), logged([1.0]), logged("abc")])
def test_nothing_is_made_of_nothing(log):
    assert group_weights([run(0, log)], GROUPS, 3) == {}
    assert class_weights([run(0, log)], [[0], [1], [2]], 3) is None
    assert group_weights([], GROUPS, 3) == {}
    assert class_weights([], [[0]], 3) is None


def test_classes_come_in_the_order_asked_for_averaged_over_seeds_and_blocks():
    runs = [run(0, logged([1.0, 2.0, 4.0], [1.0, None, 8.0])), run(1, logged([3.0, 4.0, 6.0]))]
    assert class_weights(runs, [[2], [0, 1]], 3) == {"epochs": [1, 2], "rows": [[5.0, 8.0], [2.5, 1.0]]}


@given(st.integers(1, 1000))
def test_long_trainings_keep_their_first_and_last_epoch_and_few_between(epochs):
    found = class_weights([run(0, logged(*([float(e)] for e in range(1, epochs + 1))))], [[0]], 1)
    assert found is not None
    assert found["epochs"][0] == 1
    assert found["epochs"][-1] == epochs
    assert len(found["epochs"]) == len(set(found["epochs"])) == min(epochs, MOST_EPOCHS)
    assert found["rows"][0] == found["epochs"]  # the weight of an epoch is its number here


def told(top, slope, label="all classes"):
    grid = np.linspace(0, top, 9)
    return {"loss": grid.tolist(), "weight": {label: (slope * grid).tolist()}}


def test_learned_functions_are_averaged_over_the_losses_that_all_seeds_met():
    runs = [run(seed, explanations={"objective.weighting": told(top, slope)}) for seed, top, slope in ((0, 4, 1), (3, 8, 2))]
    (line,) = learned(runs)
    assert line["label"] == ""
    assert [seed["seed"] for seed in line["seeds"]] == [0, 3]
    assert line["seeds"][1]["loss"][-1] == 8
    assert line["loss"][-1] == 4
    np.testing.assert_allclose(line["weight"], 1.5 * np.asarray(line["loss"]), rtol=1e-3)


def test_heads_and_parts_are_told_apart_by_their_labels():
    heads = {"loss": [0, 1], "weight": {"large": [1, 1], "small": [1, 2]}}
    assert [line["label"] for line in learned([run(explanations={"objective.weighting": heads})])] == ["large", "small"]
    both = {"objective.weighting": heads, "descent": told(1, 1)}
    labels = ["objective.weighting: large", "objective.weighting: small", "descent: all classes"]
    assert [line["label"] for line in learned([run(explanations=both)])] == labels


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {"part": None},
        {"part": {"loss": [0, 1]}},
        {"part": {"loss": [0, 1], "weight": [1, 2]}},
        {"part": {"loss": [0, 1], "weight": {"a": [1]}}},
        {"part": {"loss": [0, None], "weight": {"a": [1, 2]}}},
        {"part": {"loss": [0], "weight": {"a": [1]}}},
        {"part": {"kind": "something else"}},
    ],
)
def test_what_is_no_function_of_the_loss_is_not_drawn(told):
    assert learned([run(explanations=told), run()]) == []
