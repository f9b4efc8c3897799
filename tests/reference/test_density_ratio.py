"""RDR by plain loops: the steps of the paper and its released code, one row and one class at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from steelyard.core.rows import Evidence
from steelyard.weightings import DensityRatio

COUNTS = [60, 20, 8, 3]


class ByLoops:
    """Released RDR: the first batch mean starts a prototype, r is clamped below, weights are N / n_c times r, mean 1."""

    def __init__(self, counts: list[int], momentum: float, ridge: float) -> None:
        self.counts, self.momentum, self.ridge = counts, momentum, ridge
        self.prototypes: dict[int, Tensor] = {}

    def weights(self, features: Tensor, target: Tensor) -> Tensor:
        weights = torch.ones(len(target), dtype=torch.float64)
        for label in set(target.tolist()):
            rows = [i for i, y in enumerate(target.tolist()) if y == label]
            if label in self.prototypes:
                phi = torch.stack([features[i].double() for i in rows], 1)  # [d, b]
                gram = phi.T @ phi
                gram += self.ridge * gram.trace() / len(rows) * torch.eye(len(rows), dtype=torch.float64)
                ratio = len(rows) * torch.linalg.inv(gram) @ phi.T @ self.prototypes[label].double()
                for i, value in zip(rows, ratio, strict=True):
                    weights[i] = max(float(value), 1e-9)
            for i in rows:
                weights[i] *= sum(self.counts) / self.counts[label]
        return weights / weights.sum() * len(target)

    def learn(self, features: Tensor, target: Tensor) -> None:
        for label in set(target.tolist()):
            mean = torch.stack([row.double() for row, y in zip(features, target.tolist(), strict=True) if y == label]).mean(0)
            old = self.prototypes.get(label)
            moved = mean if old is None else self.momentum * old.double() + (1 - self.momentum) * mean
            self.prototypes[label] = moved.float()


@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("store", ["dense", "compact"])
@pytest.mark.parametrize("seed", range(5))
def test_the_weights_of_a_training_are_those_of_plain_loops(ridge: float, store: str, seed: int) -> None:
    stream = torch.Generator().manual_seed(seed)
    drawn = torch.repeat_interleave(torch.arange(4), torch.tensor(COUNTS))
    ours = DensityRatio(COUNTS, momentum=0.7, ridge=ridge, store=store)
    theirs = ByLoops(COUNTS, 0.7, ridge)
    for _ in range(8):
        target = drawn[torch.randint(len(drawn), (24,), generator=stream)]
        features = (torch.randn(24, 32, generator=stream) + target[:, None] / 2).relu()
        evidence = Evidence(target, features=features)
        torch.testing.assert_close(ours(evidence).double(), theirs.weights(features, target), rtol=1e-4, atol=1e-4)
        ours.observe(evidence)
        theirs.learn(features, target)
        for label, prototype in theirs.prototypes.items():
            torch.testing.assert_close(ours.prototypes.of(torch.tensor([label]), 32)[0][0], prototype)
