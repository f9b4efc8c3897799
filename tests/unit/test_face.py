from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import make_classification
from tiny import Blobs, same_weights
from torch import nn

import steelyard as sy
from steelyard.core.errors import ArgumentError, SteelyardError

REGIME = sy.Regime(epochs=3, batch_size=32, lr=0.05)


def data() -> tuple[np.ndarray, np.ndarray]:
    return make_classification(600, 8, n_informative=5, n_classes=3, weights=[0.8, 0.15, 0.05], class_sep=2.0, random_state=0)


def test_arrays_tensors_and_frames_are_the_same_data() -> None:
    inputs, target = data()
    frame = pd.DataFrame(inputs, columns=[f"x{n}" for n in range(8)]).assign(label=target)
    arrays = sy.fit(inputs, target, regime=REGIME)
    pair = sy.fit((inputs, target), regime=REGIME)
    tensors = sy.fit(torch.from_numpy(inputs), torch.from_numpy(target), regime=REGIME)
    assert same_weights(arrays.model, pair.model)
    assert same_weights(arrays.model, tensors.model)
    assert sy.evaluate(sy.fit(frame, "label", regime=REGIME)).values["balanced_accuracy"] > 0.5


def test_string_labels_and_own_modules() -> None:
    inputs, target = data()
    names = np.array(["fine", "odd", "bad"])[target]
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fitted = sy.fit(inputs.astype("float32"), names, method="ldam-drw", regime=REGIME, model=model)
    assert set(fitted.task.class_names) == {"fine", "odd", "bad"}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    inputs, target = data()
    once = sy.fit(inputs, target, method="la", regime=REGIME, out=tmp_path)
    again = sy.fit(inputs, target, method="la", regime=REGIME, out=tmp_path)
    assert same_weights(once.model, again.model)
    assert again.steps == once.steps


def test_a_task_brings_its_own_data_and_model() -> None:
    assert sy.fit(Blobs(), method="mixup", regime=REGIME).history
    with pytest.raises(ArgumentError, match="factor"):
        sy.fit(Blobs(), regime=REGIME, factor=3)


def test_loggers_need_a_folder_and_splits_a_name() -> None:
    inputs, target = data()
    with pytest.raises(ArgumentError, match="out"):
        sy.fit(inputs, target, regime=REGIME, loggers=["csv"])
    fitted = sy.fit(inputs, target, regime=REGIME)
    with pytest.raises(ArgumentError, match="split"):
        sy.evaluate(fitted, split="tset")


def test_scores_are_those_of_the_test_split() -> None:
    fitted = sy.fit("wine", regime=REGIME)
    scores = sy.evaluate(fitted)
    assert np.asarray(scores.confusion).sum() == len(fitted.task.splits["test"])
    assert set(sy.evaluate(fitted, split="valid").values) == set(scores.values)


def test_names_that_do_not_exist_get_a_suggestion() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fti'"):
        _ = sy.fti  # type: ignore[attr-defined]
    assert {"fit", "losses", "weightings"} <= set(dir(sy))


@pytest.mark.multiprocess
def test_two_processes_train_what_one_does_and_say_what_they_cannot_be_sent(tmp_path: Path) -> None:
    inputs, target = data()
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
    inputs = inputs.astype("float32")
    alone = sy.fit(inputs, target, regime=REGIME, model=model)
    together = sy.fit(inputs, target, regime=REGIME, model=model, processes=2, out=tmp_path, loggers=["csv"])
    for mine, theirs in zip(
        alone.model.parameters(), together.model.parameters(), strict=True
    ):  # an odd last row is drawn twice
        torch.testing.assert_close(mine, theirs, rtol=0, atol=5e-3)
    assert len(together.history) == 3
    assert len(list(tmp_path.rglob("metrics.csv"))) == 1
    assert sy.fit("wine", regime=REGIME, processes=2).steps > 0
    with pytest.raises(SteelyardError, match="cannot be sent to 2 processes"):
        sy.fit(inputs, target, regime=REGIME, model=lambda classes: nn.Linear(8, classes), processes=2)


def test_a_loss_or_a_name_in_the_wrong_place_is_one_sentence(tmp_path: Path) -> None:
    inputs, target = data()
    with pytest.raises(ArgumentError, match="'loss=focal'"):
        sy.fit(inputs, target, method=sy.losses.Focal(2.0), regime=REGIME)
    with pytest.raises(ArgumentError, match=r"regime='short\(epochs="):
        sy.fit(inputs, target, epochs=3)
    with pytest.raises(ArgumentError, match="a list of names"):
        sy.fit(inputs, target, regime=REGIME, out=tmp_path, loggers="csv")
    with pytest.raises(SteelyardError, match="cannot be made"):
        (tmp_path / "file").write_text("")
        sy.fit(inputs, target, regime=REGIME, out=tmp_path / "file" / "x", loggers=["csv"])


def test_seeds_of_numpy_are_seeds() -> None:
    inputs, target = data()
    ours, theirs = (sy.fit(inputs, target, regime=REGIME, seed=seed) for seed in (3, np.int64(3)))  # type: ignore[arg-type]
    assert same_weights(ours.model, theirs.model)
