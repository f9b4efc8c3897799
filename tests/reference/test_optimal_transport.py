"""Re-weighting by optimal transport beside the authors' procedure, written out step by step from its description."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool
from steelyard.core.rows import Batch, Evidence, Rows
from steelyard.data import ResidentSource
from steelyard.descents import Anchored
from steelyard.numeric.sinkhorn import sinkhorn
from steelyard.weightings import OptimalTransport, TransportOptions

COUNTS = [40, 15, 6, 3]
CLASSES, BATCH, WIDTH = len(COUNTS), 16, 5
EPS, RATE, DECAY = 0.1, 0.01, 5e-4


def released_sinkhorn(cost: Tensor, rows: Tensor, columns: Tensor, most: int = 200, threshold: float = 0.1) -> Tensor:
    """The plan, with the graph through the loop: potentials by increments, 1e-8 in the logarithm, an early stop."""
    u, v = torch.zeros_like(rows), torch.zeros_like(columns)
    kernel = lambda u, v: (-cost + u[:, None] + v[None, :]) / EPS  # noqa: E731
    for _ in range(most):
        before = u
        u = EPS * (torch.log(rows + 1e-8) - torch.logsumexp(kernel(u, v), dim=1)) + u
        v = EPS * (torch.log(columns + 1e-8) - torch.logsumexp(kernel(u, v), dim=0)) + v
        if float((u - before).detach().abs().sum()) < threshold:
            break
    return torch.exp(kernel(u, v))


def released_cost(meta: Tensor, meta_labels: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """Half cosine distance, half the mean over classes of squared differences of one-hot labels."""
    cost = torch.zeros(len(meta), len(features), dtype=features.dtype)
    for i in range(len(meta)):
        for j in range(len(features)):
            cosine = (meta[i] * features[j]).sum() / (meta[i].norm() * features[j].norm())
            hot = [F.one_hot(y, CLASSES).to(features.dtype) for y in (meta_labels[i], labels[j])]
            cost[i, j] = 0.5 * (1 - cosine) + 0.5 * ((hot[0] - hot[1]) ** 2).mean()
    return cost


def released_step(weights: Tensor, cost: Tensor, sharp: bool, **loop: float) -> Tensor:
    """The batch's raw weights after one step of a fresh SGD on the transport cost."""
    leaf = nn.Parameter(weights.clone())
    optimizer = torch.optim.SGD([leaf], lr=RATE, momentum=0.9, weight_decay=DECAY)
    rows = torch.full((len(cost),), 1 / len(cost), dtype=cost.dtype)
    plan = released_sinkhorn(cost, rows, torch.softmax(leaf, 0), **loop)
    loss = (plan * cost).sum()
    if not sharp:
        loss = loss + EPS * (plan * (plan / (rows[:, None] * torch.softmax(leaf, 0))).log()).sum()
    loss.backward()
    optimizer.step()
    return leaf.detach()


def class_balanced() -> Tensor:
    """Effective-number weights with beta 0.9999 and sum C."""
    raw = torch.tensor([(1 - 0.9999) / (1 - 0.9999**n) for n in COUNTS], dtype=torch.float64)
    return raw / raw.sum() * CLASSES


def rows_of(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features and labels of the training rows, and of three meta rows a class."""
    stream = torch.Generator().manual_seed(seed)
    target = torch.repeat_interleave(torch.arange(CLASSES), torch.tensor(COUNTS))
    centres = torch.randn(CLASSES, WIDTH, generator=stream, dtype=torch.float64)
    features = centres[target] + torch.randn(len(target), WIDTH, generator=stream, dtype=torch.float64)
    labels = torch.arange(CLASSES).repeat(3)
    meta = centres[labels] + torch.randn(len(labels), WIDTH, generator=stream, dtype=torch.float64)
    return features.abs(), target, meta.abs(), labels  # as after a ReLU, so cosines are positive


def score(model: nn.Module, batch: Batch) -> Rows:
    return Rows(model(batch.inputs), batch.target, index=batch.index)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("points", ["whole", "prototypes"])
def test_epochs_of_released_steps_on_the_weights(seed, points):
    """With the gradient of the regularised value, the two agree step by step."""
    features, target, meta, labels = rows_of(seed)
    options = TransportOptions(points=points, given="nothing", iterations=300)
    pool = RowPool(ResidentSource(meta, labels))
    ours = OptimalTransport(COUNTS, pool, method="released", label_scale=2 / CLASSES, eps=EPS, options=options)
    model = nn.Linear(WIDTH, CLASSES).double()
    oracle = Oracle(model, score, Objective(weighting=ours))
    theirs = class_balanced()[target]
    points_, classes = (
        (meta, labels)
        if points == "whole"
        else (torch.stack([meta[labels == c].mean(0) for c in range(CLASSES)]), torch.arange(CLASSES))
    )
    stream = torch.Generator().manual_seed(seed)
    for _ in range(2):
        for index in torch.randperm(len(target), generator=stream).split(BATCH):
            cost = released_cost(points_, classes, features[index], target[index])
            theirs[index] = released_step(theirs[index], cost, sharp=False, most=300, threshold=0.0)
            ours.prepare(oracle, Batch(features[index], target[index], index))
    found = ours(Evidence(target=target, index=torch.arange(len(target))))
    torch.testing.assert_close(found.double(), theirs, rtol=1e-5, atol=1e-6)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("seed", range(3))
def test_the_early_stop_is_harmless_at_the_released_eps(seed):
    features, target, meta, labels = rows_of(seed)
    index = torch.randperm(len(target), generator=torch.Generator().manual_seed(seed))[:BATCH]
    cost = released_cost(meta, labels, features[index], target[index])
    rows = torch.full((len(meta),), 1 / len(meta), dtype=torch.float64)
    columns = torch.softmax(class_balanced()[target[index]], 0)
    exact = sinkhorn(cost, rows, columns, EPS, iterations=2000).plan
    early = released_sinkhorn(cost, rows, columns)
    assert float((early.sum(1) - rows).abs().sum()) < 5e-2
    assert float((early * cost).sum()) == pytest.approx(float((exact * cost).sum()), rel=2e-2)


@pytest.mark.parametrize("seed", range(3))
def test_the_departure_from_the_released_gradient_is_small_and_the_weights_hardly_move(seed):
    """The authors differentiate <T, C>; the direction is nearly that of <T, C> with the plan's entropy beside it."""
    features, target, meta, labels = rows_of(seed)
    index = torch.randperm(len(target), generator=torch.Generator().manual_seed(seed))[:BATCH]
    cost = released_cost(meta, labels, features[index], target[index])
    begin = class_balanced()[target[index]]
    moves = [released_step(begin, cost, sharp) - begin * (1 - RATE * DECAY) for sharp in (True, False)]
    assert float(F.cosine_similarity(*moves, dim=0)) > 0.8
    assert float((released_step(begin, cost, True) - begin).abs().max()) < 1e-3  # "learned" weights stay class-balanced


def test_the_released_step_on_the_classifier():
    """The sum of weighted losses plus 10 times the mean of the meta set is 16 times our mean with strength 10 / 16."""
    features, target, meta, labels = rows_of(0)
    index = torch.randperm(len(target), generator=torch.Generator().manual_seed(0))[:BATCH]
    head = nn.Linear(WIDTH, CLASSES).double()
    weights = class_balanced()[target[index]]
    losses = F.cross_entropy(head(features[index]), target[index], reduction="none")
    theirs = torch.autograd.grad((weights * losses).sum() + 10 * F.cross_entropy(head(meta), labels), list(head.parameters()))
    pool = RowPool(ResidentSource(meta, labels), batch_size=len(labels))
    weighting = OptimalTransport(COUNTS, pool, method="released")
    oracle = Oracle(head, score, Objective(weighting=weighting))
    Anchored(pool, 10 / BATCH)(oracle, Batch(features[index], target[index], index))
    for parameter, other in zip(head.parameters(), theirs, strict=True):
        torch.testing.assert_close(BATCH * parameter.grad, other, rtol=1e-5, atol=1e-6)


def test_the_weights_of_the_beginning_are_those_of_the_authors():
    """CIFAR-10, imbalance 200, 10 images a class left out."""
    counts = [4990, 2769, 1537, 853, 473, 262, 145, 80, 44, 24]
    pool = RowPool(ResidentSource(torch.zeros(10, 2), torch.arange(10)))
    expected = [0.0275, 0.0446, 0.0758, 0.1321, 0.2337, 0.4175, 0.7501, 1.3551, 2.4593, 4.5043]
    found = OptimalTransport(counts, pool, method="released").class_weights
    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=6e-5)
