"""The bias audit: which class does a rule favour when features say nothing at all?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from steelyard.core.errors import ArgumentError
from steelyard.core.seeds import generator
from steelyard.nets.episodic import (
    DKT,
    CosinePrototypes,
    Episode,
    FewShotLearner,
    MatchingNet,
    NearestNeighbours,
    ProtoNet,
    SimpleShot,
)

Rule = Callable[[int], FewShotLearner]


def _head(size: int) -> nn.Module:
    return nn.Linear(size, 2)


RULES: Mapping[str, Rule] = {
    "1-NN": lambda size: NearestNeighbours(nn.Identity(), _head(size)),
    "ProtoNet, squared Euclid": lambda size: ProtoNet(nn.Identity()),
    "SimpleShot, CL2N": lambda size: SimpleShot(nn.Identity(), _head(size), size=size),
    "cosine, normalised prototypes": lambda size: CosinePrototypes(nn.Identity()),
    "DKT, linear kernel, noise 0.1": lambda size: DKT(nn.Identity(), noise=0.1),
}
"""Rules by name, each made for a number of dimensions; the backbone is the identity."""

QUERIES = 20
"""Queries that share a support."""
MATCHING = "MatchingNet, identical keys"


@dataclass(frozen=True)
class Audit:
    """What rules decide for when there is nothing to go by.

    Attributes:
        shots: support examples of each class `[C]`.
        shares: of the decisions of each rule that go to each class `[C]`; for matching networks, of the attention.
        expected: the same by a closed form, exact or by a normal approximation, where there is one.
        queries: decisions behind each row.
    """

    shots: tuple[int, ...]
    shares: Mapping[str, tuple[float, ...]]
    expected: Mapping[str, tuple[float, ...]]
    queries: int

    def table(self) -> str:
        """A Markdown table."""
        head = ["rule", *(f"{n} shot{'' if n == 1 else 's'}" for n in self.shots)]
        lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        for name, found in self.shares.items():
            lines.append(f"| {name} | " + " | ".join(f"{share:.3f}" for share in found) + " |")
            if name in self.expected:
                lines.append("| &nbsp;&nbsp;expected | " + " | ".join(f"{share:.3f}" for share in self.expected[name]) + " |")
        return "\n".join(lines)


def bias_audit(
    shots: Sequence[int] = (1, 3, 5, 7, 9),
    *,
    rules: Mapping[str, Rule] | None = None,
    size: int = 64,
    queries: int = 20_000,
    seed: int = 0,
) -> Audit:
    """Let rules decide on features that are pure noise, and count what they decide for.

    Support and queries are drawn from N(0, I), the same for all classes. A rule without bias decides for each of C classes in
    1 / C of the cases; what differs from that is the rule's doing, not that of bad features.

    Formula:
        1-NN: exactly n_c / N_S. Equal-length prototypes: exactly 1 / C. Squared distances to means: given |q| = r the scores
        `2 q c_k - |c_k|^2` are independent, about N(-d / n_k, 4 r^2 / n_k + 2 d / n_k^2) with r^2 = d, and the share of k is
        the integral of its density times the other distribution functions. Attention over identical keys: exactly n_c / N_S.

    Args:
        shots: support examples of each class, 1 or more.
        rules: learners by name, made for a number of dimensions; None for `RULES`.
        size: dimensions d, 2 or more.
        queries: decisions, at least 1.
        seed: of the noise.

    Raises:
        ArgumentError: a value out of range.

    Reference:
        The expected excess `E|q - c_k|^2 = d s^2 (1 + 1 / n_k)` of class means; see also Ochal et al.: Few-shot learning with
        class imbalance, IEEE Transactions on Artificial Intelligence 4(5), 2023.

    Example:
        >>> audit = bias_audit((1, 3), queries=400)
        >>> audit.expected["1-NN"], audit.shares["ProtoNet, squared Euclid"][1] > 0.8
        ((0.25, 0.75), True)
    """
    counts = tuple(int(n) for n in shots)
    for name, value, least in (("shots", min(counts, default=0), 1), ("size", size, 2), ("queries", queries, 1)):
        if value < least:
            raise ArgumentError(name, f"at least {least}", value)
    if len(counts) < 2:
        raise ArgumentError("shots", "the counts of at least 2 classes", counts)
    chosen = RULES if rules is None else rules
    with torch.random.fork_rng(devices=[]):  # a rule may have weights, which decide nothing
        learners = {name: make(size).eval() for name, make in chosen.items()}
    tallies = {name: torch.zeros(len(counts), dtype=torch.float64) for name in learners}
    target = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    done = 0
    for number in range(-(-queries // QUERIES)):
        noise = torch.randn(len(target) + QUERIES, size, generator=generator(seed, "audit", number))
        episode = Episode(noise[: len(target)], target, noise[len(target) :], len(counts), seed=number)
        with torch.no_grad():
            for name, learner in learners.items():
                said = learner(episode).logits.argmax(1)
                tallies[name] += torch.bincount(said, minlength=len(counts))
        done += QUERIES
    shares = {name: tuple((tally / done).tolist()) for name, tally in tallies.items()}
    if rules is None:
        shares[MATCHING] = _attention(counts, size)
    forms = _closed_forms(counts, size)
    return Audit(counts, shares, {name: forms[name] for name in shares if name in forms and rules is None}, done)


def _attention(counts: tuple[int, ...], size: int) -> tuple[float, ...]:
    """Attention of matching networks on each class where all keys are equal."""
    target = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    learner = MatchingNet(nn.Identity(), size=size, contexts=False)
    logits = learner(Episode(torch.ones(len(target), size), target, torch.ones(1, size), len(counts))).logits
    return tuple(logits.softmax(1)[0].tolist())


def _closed_forms(counts: tuple[int, ...], size: int) -> dict[str, tuple[float, ...]]:
    even, total = tuple(1 / len(counts) for _ in counts), sum(counts)
    mass = tuple(n / total for n in counts)
    means = prototype_shares(counts, size)
    names = list(RULES)
    return {names[0]: mass, names[1]: means, names[2]: means, names[3]: even, MATCHING: mass}


def prototype_shares(shots: Sequence[int], size: int) -> tuple[float, ...]:
    """Share of decisions for each class of nearest class means on noise, by the normal approximation of `bias_audit`.

    Args:
        shots: support examples of each class.
        size: dimensions.

    Example:
        >>> [round(share, 2) for share in prototype_shares((1, 3, 5, 7, 9), 64)]
        [0.0, 0.06, 0.17, 0.31, 0.46]
    """
    n = torch.tensor(list(shots), dtype=torch.float64)
    mean, spread = -size / n, (4 * size / n + 2 * size / n.square()).sqrt()
    low, high = float((mean - 8 * spread).min()), float((mean + 8 * spread).max())
    grid = torch.linspace(low, high, 20_001, dtype=torch.float64).unsqueeze(1)
    z = (grid - mean) / spread
    density = torch.exp(-z.square() / 2) / (spread * math.sqrt(2 * math.pi))
    below = torch.special.ndtr(z)
    others = torch.stack([below[:, torch.arange(len(n)) != k].prod(1) for k in range(len(n))], 1)
    found = torch.trapezoid(density * others, grid, dim=0)
    return tuple((found / found.sum()).tolist())
