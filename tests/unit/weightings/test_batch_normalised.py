"""Weights with mean 1 in a batch."""

import pytest
import torch

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import Evidence
from steelyard.core.weighting import Weighting
from steelyard.weightings import BatchNormalised, InverseFrequency


class Nothing(Weighting):
    def forward(self, evidence):
        return torch.zeros(len(evidence.target))


def test_a_batch_without_rare_classes_weighs_as_much_as_one_with_them():
    weigh = BatchNormalised(InverseFrequency([100, 10, 1]))
    for target in ([0, 0, 0], [0, 1, 2], [2, 2, 2], [1]):
        torch.testing.assert_close(weigh(Evidence(torch.tensor(target))).mean(), torch.tensor(1.0))


def test_ratios_are_those_of_the_weighting():
    weights = BatchNormalised(InverseFrequency([100, 10]))(Evidence(torch.tensor([0, 1])))
    torch.testing.assert_close(weights[1] / weights[0], torch.tensor(10.0))


def test_nothing_stays_nothing():
    assert BatchNormalised(Nothing())(Evidence(torch.tensor([0, 1]))).tolist() == [0, 0]


def test_a_table_of_weights_is_no_weighting():
    with pytest.raises(ArgumentError, match="`weighting` should be a Weighting"):
        BatchNormalised(torch.ones(3))
