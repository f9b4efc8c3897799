"""RandomOversample: sizes after filling up, who is repeated, noise, refusals."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Rows
from steelyard.core.seeds import generator
from steelyard.transforms import Mixup, RandomOversample


def oracle(seed: int = 0) -> Oracle:
    return Oracle(nn.Linear(2, 4), lambda m, b: Rows(m(b.inputs), b.target), Objective(), draws=generator(seed, "draws"))


def batch(labels: list[int], **fields) -> Batch:
    rows = torch.arange(len(labels))
    return Batch(torch.stack([rows, -rows], 1).float(), torch.tensor(labels), rows + 50, **fields)


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=20), ratio=st.floats(0, 1), seed=st.integers(0, 9))
def test_every_class_there_is_filled_up(labels, ratio, seed):
    source = batch(labels)
    made = RandomOversample(ratio)(oracle(seed), source)
    before, after = (torch.bincount(each.target, minlength=4).tolist() for each in (source, made))
    goal = math.ceil(torch.tensor(max(before)) * ratio)
    assert after == [0 if n == 0 else max(n, goal) for n in before]
    assert torch.equal(made.index[: len(labels)], source.index)
    assert torch.equal(made.target, source.target[made.index - 50])
    assert torch.equal(made.inputs, source.inputs[made.index - 50])
    assert made.owner is None


def test_rows_of_a_class_are_repeated_evenly():
    made = RandomOversample()(oracle(), batch([0] * 3004 + [1] * 4))
    copies = torch.bincount(made.index[3008:] - 50, minlength=3008)
    assert int(copies[:3004].sum()) == 0
    assert bool(((copies[3004:] - 750).abs() < 120).all())


def test_noise_is_in_units_of_each_number_and_on_copies_only():
    source = batch([0] * 2000 + [1] * 2)
    source = source.replace(inputs={"x": source.inputs * torch.tensor([1.0, 100.0]), "code": torch.arange(2002)})
    made = RandomOversample(noise=0.1)(oracle(), source)
    assert torch.equal(made.inputs["x"][:2002], source.inputs["x"])
    assert torch.equal(made.inputs["code"], made.index - 50)
    moved = (made.inputs["x"] - source.inputs["x"][made.index - 50])[2002:].std(0) / source.inputs["x"].std(0)
    torch.testing.assert_close(moved, torch.full((2,), 0.1), atol=0.01, rtol=0)


def test_ignored_rows_are_neither_counted_nor_repeated():
    share = torch.tensor([1.0, 1.0, 0.5, 0.0, 0.0, 0.0])
    made = RandomOversample()(oracle(), batch([0, 0, 1, 1, 1, 2], share=share))
    assert made.index.tolist() == [50, 51, 52, 53, 54, 55, 52]
    assert made.share.tolist() == [1.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.5]
    nothing = batch([0, 1], share=torch.zeros(2))
    assert RandomOversample()(oracle(), nothing) is nothing


def test_refusals():
    with pytest.raises(CombinationError, match="mixed before"):
        RandomOversample()(oracle(), Mixup()(oracle(), batch([0, 0, 1])))
    with pytest.raises(CombinationError, match="'views'"):
        RandomOversample()(oracle(), batch([0, 0, 1], extra={"views": torch.zeros(3)}))
    for wrong in ({"ratio": 1.5}, {"noise": -1.0}):
        with pytest.raises(ArgumentError, match=f"`{next(iter(wrong))}`"):
            RandomOversample(**wrong)
