"""Features without labels, and a loss that draws features to targets."""

from __future__ import annotations

import torch
from adapted import Blocks, backbone, tiny_task
from torch import nn

from steelyard.core.errors import CombinationError
from steelyard.core.rows import Batch
from steelyard.core.task import TaskView
from steelyard.methods.adapters._features import FeatureTargets, features_of
from steelyard.tasks.adapters import Adapter, attach


def test_features_are_what_the_backbone_gives() -> None:
    task = tiny_task()
    view = TaskView(task)
    model = view.model().train()
    images = task.load(task.splits["train"].inputs, augment="none", generator=None)  # type: ignore[attr-defined]
    assert torch.allclose(features_of(view, model), backbone().encoder(images), atol=1e-6)
    assert model.training


def test_labels_do_not_reach_the_features() -> None:
    """Shuffled labels, the same images: the same bits."""
    honest, shuffled = TaskView(tiny_task()), TaskView(tiny_task(shuffled=True))
    assert not torch.equal(honest.train.target, shuffled.train.target)
    assert torch.equal(features_of(honest, honest.model()), features_of(shuffled, shuffled.model()))


def test_a_model_that_looked_at_labels_would_see_one_class(monkeypatch: object) -> None:
    task = tiny_task()
    seen: list[int] = []
    plain = type(task).forward

    def watching(self: object, model: nn.Module, batch: Batch) -> object:
        seen.extend(batch.target.unique().tolist())
        return plain(self, model, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(type(task), "forward", watching)  # type: ignore[attr-defined]
    view = TaskView(task)
    features_of(view, view.model())
    assert set(seen) == {0}


def test_a_model_without_features_is_refused() -> None:
    import pytest

    view = TaskView(tiny_task())
    with pytest.raises(CombinationError, match="one feature vector a row"):
        features_of(view, nn.Sequential(nn.Flatten(2), nn.Linear(16, 3), nn.Flatten(1)))


def test_the_loss_is_the_distance_in_units_of_the_variance() -> None:
    targets = torch.randn(5, 4)
    loss = FeatureTargets(targets, 2.0, 0.0, {})
    features, index = torch.randn(3, 4), torch.tensor([4, 0, 4])
    values = loss.rows(torch.zeros(3, 2), torch.tensor([0, 1, 0]), features=features, index=index)
    assert torch.allclose(values, (features - targets[index]).square().mean(1) / 2)
    both = FeatureTargets(targets, 2.0, 0.5, {}).rows(
        torch.zeros(3, 2), torch.tensor([0, 1, 0]), features=features, index=index
    )
    assert torch.allclose(both - values, torch.full((3,), 0.5 * torch.log(torch.tensor(2.0)).item()))


def test_targets_are_fixed() -> None:
    targets = torch.randn(3, 2, requires_grad=True)
    loss = FeatureTargets(targets, 1.0, 0.0, {})
    features = torch.randn(3, 2, requires_grad=True)
    loss.rows(torch.zeros(3, 2), torch.zeros(3).long(), features=features, index=torch.arange(3)).sum().backward()
    assert targets.grad is None
    assert features.grad is not None


def test_with_a_linear_backbone_and_enough_rank_the_adapter_finds_least_squares() -> None:
    """f(x) = W x + b + B A x: the best update is the least-squares map from the images to what W x + b misses."""
    torch.manual_seed(0)
    base = nn.Sequential(nn.Linear(6, 4)).double()
    x, goal = torch.randn(40, 6, dtype=torch.float64), torch.randn(40, 4, dtype=torch.float64)
    adapted = attach(base, Adapter(rank=4)).double()
    learnt = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    loss = FeatureTargets(goal, 1.0, 0.0, {})
    optimizer = torch.optim.LBFGS(
        learnt, max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )
    rows, nothing = torch.arange(40), torch.zeros(40, 2, dtype=torch.float64)

    def closure() -> float:
        optimizer.zero_grad()
        value = loss.rows(nothing, rows * 0, features=adapted(x), index=rows).mean()
        value.backward()
        return float(value.detach())

    optimizer.step(closure)
    with torch.no_grad():
        best = torch.linalg.lstsq(x, goal - base(x)).solution
        assert torch.allclose(adapted(x), base(x) + x @ best, atol=1e-5)


def test_the_tiny_backbone_is_not_linear() -> None:
    model = Blocks()
    images = torch.rand(2, 1, 4, 4)
    assert not torch.allclose(model(images.sum(0, keepdim=True)), model(images).sum(0, keepdim=True), atol=1e-3)
