from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from steelyard.data.encoder import TableEncoder
from steelyard.estimator.importance import permutation_importance, shuffled


def rows(number=200):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"noise": draw.normal(size=number), "when": pd.date_range("2024-01-01", periods=number)})
    frame["city"] = draw.choice(["a", "b", "c"], number)
    frame["signal"] = draw.normal(size=number)
    return frame, (frame["signal"].to_numpy() > 0.5).astype(int)


@pytest.mark.parametrize("onehot", [False, True])
def test_a_column_is_shuffled_as_if_it_had_been_before_it_was_encoded(onehot):
    frame, _ = rows()
    encoder = TableEncoder.fit(frame, dates="parts")
    inputs = encoder.encode(frame, onehot=onehot)
    order = np.random.default_rng(1).permutation(len(frame))
    for place, name in enumerate(encoder.columns()):
        other = frame.assign(**{name: frame[name].iloc[order].to_numpy()})
        found, wanted = shuffled(encoder, inputs, place, torch.from_numpy(order)), encoder.encode(other, onehot=onehot)
        for part in wanted if not onehot else [slice(None)]:
            assert torch.equal(found[part], wanted[part]), name
        assert not all(torch.equal(found[part], inputs[part]) for part in (wanted if not onehot else [slice(None)])), name


def looking_at(encoder, name, sharpness=20.0):
    """A model that knows one column of numbers."""
    place = encoder.columns().index(name)
    column = encoder.numeric[place]

    def predict(inputs):
        values = (inputs if isinstance(inputs, torch.Tensor) else inputs["numeric"])[
            :, place
        ].numpy() * column.std + column.mean
        one = 1 / (1 + np.exp(-sharpness * (values - 0.5)))
        return np.stack([1 - one, one], 1), (one > 0.5).astype(int)

    return predict


@pytest.mark.parametrize("metric", ["balanced_accuracy", "auprc", "log_loss"])
def test_importance_is_that_of_the_column_which_decides_and_zero_for_those_that_are_not_looked_at(metric):
    frame, target = rows()
    frame["city"] = frame["city"].astype("category")
    encoder = TableEncoder.fit(frame)
    inputs = encoder.encode(frame)
    first, *others = permutation_importance(looking_at(encoder, "signal"), encoder, inputs, target, [140, 60], metric)
    assert first["column"] == "signal"
    assert first["drop"] > 0.2
    assert first["low"] <= first["drop"] <= first["high"]
    assert {line["column"]: line["drop"] for line in others} == {"noise": 0.0, "when": 0.0, "city": 0.0}


def test_of_many_columns_those_are_measured_that_go_with_what_the_model_says():
    draw = np.random.default_rng(2)
    values = draw.normal(size=(300, 40))
    frame = pd.DataFrame(values, columns=[f"n{i}" for i in range(40)])
    frame["copied"] = np.where(values[:, 7] > 0.5, "high", "low")
    frame["city"] = draw.choice(["a", "b"], 300)
    encoder = TableEncoder.fit(frame)
    calls = []

    def predict(inputs):
        calls.append(1)
        return looking_at(encoder, "n7")(inputs)

    target = (values[:, 7] > 0.5).astype(int)
    inputs = encoder.encode(frame)
    found = permutation_importance(predict, encoder, inputs, target, [200, 100], "auprc", repeats=3, most=5)
    assert len(found) == 5
    assert len(calls) == 1 + 5 * 3
    assert found[0]["column"] == "n7"
    assert "copied" in {line["column"] for line in found}
    everything = permutation_importance(predict, encoder, inputs, target, [200, 100], "auprc", repeats=3, most=100)
    assert len(everything) == 42
    assert found[0] == everything[0]
