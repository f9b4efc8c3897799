"""The classifier that descents perturb: which layer counts, and how a loss pulls at its logits."""

import pytest
import torch
import torch.nn.functional as F
from descent_cases import COUNTS, oracle, plain_net, rows
from torch import nn

from steelyard.core.errors import CombinationError
from steelyard.core.objective import Objective
from steelyard.descents._classifier import class_pulls, classifier_of, scores_of
from steelyard.nets import FrozenStatistics, NormedLinear
from steelyard.weightings import InverseFrequency


@pytest.mark.parametrize("head", [nn.Linear(7, 3), NormedLinear(7, 3)])
def test_the_last_linear_layer_is_found_also_inside_a_wrapper(head):
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), head)
    for wrapped in (model, FrozenStatistics(model)):
        asked = oracle(wrapped)
        assert classifier_of(asked, asked(rows()), "wanted", "plain") is head


def test_a_layer_that_is_given_several_vectors_a_row_is_refused():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 3)

        def forward(self, inputs):
            return self.layer(inputs[..., None]).mean(1)

    asked = oracle(Mean())
    with pytest.raises(CombinationError) as caught:
        classifier_of(asked, asked(rows()), "this is wanted", "plain descent")
    expected = "this is wanted, and Mean does not end in a linear layer .*end the model in an nn.Linear, or use plain descent"
    assert caught.match(expected)


def test_pulls_are_those_of_class_means_whatever_the_class_weights():
    model, batch = plain_net().double(), rows(dtype=torch.float64)
    for objective in (Objective(), Objective(weighting=InverseFrequency(COUNTS))):
        asked = oracle(model, objective)
        evaluation = asked(batch)
        logits = evaluation.rows.logits.detach().requires_grad_()
        means = [F.cross_entropy(logits[batch.target == label], batch.target[batch.target == label]) for label in range(3)]
        (expected,) = torch.autograd.grad(torch.stack(means).sum(), logits)
        torch.testing.assert_close(class_pulls(asked, evaluation), expected)


def test_scores_are_computed_in_the_type_of_the_features():
    head = nn.Linear(7, 3)
    features = torch.randn(4, 7, dtype=torch.float64)
    params = {name: 2 * value for name, value in head.named_parameters()}
    torch.testing.assert_close(scores_of(head, params, features), 2 * head.double()(features))
