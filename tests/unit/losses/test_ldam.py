"""Margins of LDAM."""

import pytest
import torch

from steelyard.core.errors import ArgumentError
from steelyard.losses import LDAM
from steelyard.nets import NormedLinear


def test_the_largest_margin_is_that_of_the_rarest_class():
    loss = LDAM([1000, 100, 10, 0], max_margin=0.4)
    assert float(loss.margins.max()) == pytest.approx(0.4)
    assert loss.margins.argmax() == 3
    torch.testing.assert_close(loss.margins[0] / loss.margins[2], torch.tensor(100**-0.25, dtype=torch.float64))


def test_only_the_score_of_the_true_class_is_lowered():
    cosines, target = torch.rand(4, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    loss = LDAM([100, 10, 1], max_margin=0.5, scale=8.0)
    lowered = cosines.clone()
    lowered[torch.arange(4), target] -= loss.margins[target]
    torch.testing.assert_close(
        loss.rows(cosines, target), torch.nn.functional.cross_entropy(8 * lowered, target, reduction="none")
    )
    assert bool((loss.rows(cosines, target) > LDAM([100, 10, 1], max_margin=0.0, scale=8.0).rows(cosines, target)).all())


def test_it_trains_a_cosine_classifier():
    layer, inputs, target = NormedLinear(4, 3), torch.randn(30, 4), torch.arange(30) % 3
    loss, optimizer = LDAM([10, 10, 10]), torch.optim.SGD(layer.parameters(), lr=0.1)
    values = []
    for _ in range(40):
        optimizer.zero_grad()
        value = loss(layer(inputs), target)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < values[0]


@pytest.mark.parametrize(
    ("settings", "argument"),
    [({"max_margin": -0.1}, "max_margin"), ({"scale": 0}, "scale"), ({"scale": -1}, "scale"), ({"scale": "30"}, "scale")],
)
def test_wrong_settings_are_named(settings, argument):
    with pytest.raises(ArgumentError) as raised:
        LDAM([2, 1], **settings)
    assert raised.value.argument == argument
