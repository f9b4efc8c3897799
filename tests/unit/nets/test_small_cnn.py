"""The small CNN: shapes, size, and that it learns digits."""

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from steelyard.core.errors import ArgumentError
from steelyard.core.seeds import generator
from steelyard.nets.small_cnn import SmallCNN


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 13), (64, 64)])
def test_shapes(channels: int, size: tuple[int, int]):
    model = SmallCNN(5, in_channels=channels, width=8)
    batch = torch.zeros(2, channels, *size)
    assert model(batch).shape == (2, 5)
    assert model.features(batch).shape == (2, 32)
    assert model.eval()(batch[:1]).shape == (1, 5)


def test_parameter_count():
    convolutions = 9 * (3 * 32 + 32 * 64 + 64 * 128)
    norms = 2 * (32 + 64 + 128)
    assert sum(p.numel() for p in SmallCNN(10).parameters()) == convolutions + norms + 128 * 10 + 10 == 94_762


def test_dropout_acts_on_the_features_in_training_only():
    model = SmallCNN(3, in_channels=1, width=8, dropout=0.5)
    batch = torch.rand(64, 1, 8, 8, generator=generator(0, "images"))
    torch.manual_seed(0)
    kept, whole = model.features(batch), model.eval().features(batch)
    dropped = ((kept == 0) & (whole > 0)).float().sum() / (whole > 0).float().sum()
    assert 0.4 < dropped.item() < 0.6


def test_gradients_state_and_functional_call():
    model, other = SmallCNN(4, width=8), SmallCNN(4, width=8)
    batch = torch.rand(6, 3, 8, 8, generator=generator(0, "images"))
    F.cross_entropy(model(batch), torch.arange(6) % 4).backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in model.parameters())
    other.load_state_dict(model.state_dict())
    assert torch.equal(model.eval()(batch), other.eval()(batch))
    zeros = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    assert torch.equal(functional_call(model, zeros, (batch,)), torch.zeros(6, 4))


def test_bfloat16_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = SmallCNN(4)(torch.rand(4, 3, 16, 16, generator=generator(0, "images")))
    assert logits.dtype == torch.bfloat16
    assert bool(torch.isfinite(logits).all())


def test_learns_digits():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16, torch.tensor(y)
    order = torch.randperm(len(y), generator=generator(0, "split"))
    train, test = order[:1400], order[1400:]
    torch.manual_seed(0)
    model = SmallCNN(10, in_channels=1, width=16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(5):
        for rows in train[torch.randperm(1400, generator=generator(0, "order", epoch))].split(100):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    accuracy = (model.eval()(x[test]).argmax(1) == y[test]).float().mean().item()
    assert accuracy > 0.95


@pytest.mark.parametrize(
    ("wrong", "named"), [({"width": 0}, "width"), ({"in_channels": 0}, "in_channels"), ({"dropout": 1.0}, "dropout")]
)
def test_refuses_bad_settings(wrong, named):
    with pytest.raises(ArgumentError, match=f"`{named}`"):
        SmallCNN(3, **wrong)
