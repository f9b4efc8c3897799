"""When deferred weights begin."""

import numpy as np
import pytest
import torch

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import Clock, Evidence
from steelyard.weightings import Deferred, InverseFrequency


def first_epoch(after, epochs):
    """The first epoch in which the weights count; None for never."""
    deferred = Deferred(InverseFrequency([3, 1]), after=after)
    return next((epoch for epoch in range(epochs) if deferred.begun(Clock(epoch=epoch, epochs=epochs))), None)


@pytest.mark.parametrize(
    ("after", "epochs", "expected"),
    [
        (0.8, 200, 160),
        (0.8, 320, 256),
        (0.8, 30, 24),
        (0.8, 4, None),
        (0.8, 5, 4),
        (0.0, 7, 0),
        (1.0, 7, None),
        (0.7, 10, 7),
        (0.3, 10, 3),
        (1, 7, 1),
        (0, 7, 0),
        (160, 200, 160),
        (160, 100, None),
        (np.int64(3), 7, 3),
        (np.float64(0.5), 8, 4),
    ],
)
def test_fractions_and_whole_epochs(after, epochs, expected):
    assert first_epoch(after, epochs) == expected


def test_the_type_tells_one_epoch_from_the_whole_stage():
    assert repr(Deferred(InverseFrequency([3, 1]), after=1)).splitlines()[1].strip() == "after=1"
    assert repr(Deferred(InverseFrequency([3, 1]), after=1.0)).splitlines()[1].strip() == "after=1.0"


def test_weights_are_one_and_then_those_of_the_weighting():
    deferred, target = Deferred(InverseFrequency([3, 1]), after=2), torch.tensor([0, 1, 1])
    assert deferred(Evidence(target, clock=Clock(epoch=1, epochs=9))).tolist() == [1, 1, 1]
    assert deferred(Evidence(target, clock=Clock(epoch=2, epochs=9))).tolist() == [0.5, 1.5, 1.5]


@pytest.mark.parametrize("after", [-1, -0.1, 1.5, float("nan"), float("inf"), "0.8", None, True])
def test_wrong_times_are_named(after):
    with pytest.raises(ArgumentError, match="`after` should be a fraction of the epochs"):
        Deferred(InverseFrequency([3, 1]), after=after)


def test_the_wrapped_weighting_is_a_part():
    deferred = Deferred(InverseFrequency([3, 1]), after=0.5)
    assert "weighting.class_weights" in deferred.state_dict()
    assert [type(part) for part in deferred.children()] == [InverseFrequency]


def test_a_table_of_weights_is_no_weighting():
    with pytest.raises(ArgumentError, match="`weighting` should be a Weighting"):
        Deferred(torch.ones(3))
