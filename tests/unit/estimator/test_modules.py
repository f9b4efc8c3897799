"""What methods leave behind, written down and built again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from steelyard.core.errors import DataError
from steelyard.decisions import Adjusted, LogitShift, TauNormalize
from steelyard.decisions.scale import Scale
from steelyard.estimator.modules import describe, network_of
from steelyard.nets import MLP, FrozenStatistics, NearestMean, NormedLinear, ScaledScores, with_head

SPEC = {"name": "mlp", "num_classes": 3, "input_shape": [4], "cardinalities": [2], "settings": {"hidden": [8]}}


def plain():
    return MLP(3, 4, [2], hidden=(8,))


MODULES = {
    "plain": plain,
    "shifted": lambda: Adjusted(plain(), LogitShift([5, 3, 2], tau=1.5)),
    "cosines": lambda: Adjusted(with_head(plain(), NormedLinear(8, 3)), Scale(30.0)),
    "tau": lambda: Adjusted(plain(), TauNormalize(0.5, keep_bias=True)),
    "scaled": lambda: ScaledScores(FrozenStatistics(plain()), 3),
    "means": lambda: with_head(plain(), NearestMean(torch.randn(3, 8), [4, 2, 0], distance="l2", variance=2.0)),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_built_again(name):
    module = MODULES[name]().eval()
    before = torch.get_rng_state()
    again = network_of(describe(module), SPEC).eval()
    assert torch.equal(before, torch.get_rng_state())
    again.load_state_dict(module.state_dict())
    inputs = {"numeric": torch.randn(6, 4), "categorical": torch.randint(0, 3, (6, 1))}
    assert torch.equal(again(inputs), module(inputs))


def test_what_is_not_ours_is_refused():
    for module in (Adjusted(plain(), nn.Softmax(1)), with_head(plain(), _Own(8, 3))):
        with pytest.raises(DataError, match="pickle"):
            describe(module)
    for about in ({"adjusted": {"network": {}}, "decision": {"other": 1}}, {"network": {"other": 1}}, {"other": {}}):
        with pytest.raises(DataError, match="does not know"):
            network_of(about, SPEC)


class _Own(NormedLinear.__mro__[1]):
    def __init__(self, features, classes):
        super().__init__()
        self.in_features, self.out_features = features, classes
        self.weight = nn.Parameter(torch.zeros(classes, features))

    def forward(self, features):
        return features @ self.weight.T
