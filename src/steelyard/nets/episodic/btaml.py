"""Bayesian task-adaptive meta-learning: MAML that learns from each support how to weigh its classes and its steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.seeds import generator
from steelyard.nets.episodic.adapting import Adapting, BnMode, Params
from steelyard.nets.episodic.episode import Episode, Scored
from steelyard.nets.episodic.rebalance import Rebalance

CODE = 32
FIRST_RATE = 0.01
FIRST_SPREAD = 0.1
"""Standard deviation of the posteriors before training."""
PRIOR = {"omega": 1.0, "gamma": 1.0, "z": 0.1}
"""Standard deviations of the priors, which have mean 0."""
KL_WEIGHT = 0.1
LARGEST_GRADIENT = 3.0


class TaskEncoder(nn.Module):
    """Reads the support: normal distributions of class weights, step sizes and changes of the first weights.

    A class is described by mean and variance of its features and the logarithm of its size, the task by mean and variance of
    its classes.

    Args:
        size: d of the features.
        layers: number of parameter tensors, a step size each.
        changes: numbers that z has.
    """

    def __init__(self, size: int, layers: int, changes: int) -> None:
        super().__init__()
        self.of_class = nn.Sequential(nn.Linear(2 * size + 1, CODE), nn.ReLU())
        self.omega = nn.Linear(CODE, 2)
        self.of_task = nn.Sequential(nn.Linear(2 * CODE, CODE), nn.ReLU())
        self.gamma = nn.Linear(CODE, 2 * layers)
        self.z = nn.Linear(CODE, 2 * changes)
        for last in (self.omega, self.gamma, self.z):
            nn.init.normal_(last.weight, std=0.01)
            nn.init.zeros_(last.bias)

    def forward(self, features: Tensor, episode: Episode) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and standard deviation of "omega" `[way]`, "gamma" `[layers]` and "z" `[changes]`."""
        members = episode.one_hot.to(features.dtype)
        counts = members.sum(0).unsqueeze(1)
        means = members.T @ features / counts
        spread = (members.T @ features.square() / counts - means.square()).clamp_min(0)
        classes = self.of_class(torch.cat([means, spread, counts.log()], 1))
        task = self.of_task(torch.cat([classes.mean(0), classes.var(0, unbiased=False)]))
        raw = {"omega": self.omega(classes).T, "gamma": self.gamma(task).view(2, -1), "z": self.z(task).view(2, -1)}
        return {name: (pair[0], FIRST_SPREAD * pair[1].clamp(-4, 4).exp()) for name, pair in raw.items()}


class BTAML(Adapting):
    """MAML with class weights, step sizes and first weights inferred from the support.

    Formula:
        `theta_0 = theta (1 + z)` (biases and vectors: `theta + z`); `theta_l <- theta_l - exp(gamma_l) alpha * grad of
        sum_c omega_c (C / N_S) sum_{i in S_c} l_i`, omega a softmax; `penalty = 0.1 KL(q | prior) / (N_S + N_Q)`

    Args:
        backbone: inputs `[N, ...]` to features `[N, d]`.
        rebalance: what is done about unequal support: class weights are multiplied to omega.
        size: d.
        way: number of labels.
        bn: "batch" or "running", see `Adapting`.
        steps: inner steps in training and in evaluation, 0 or more.
        draws: samples of the posterior that a decision averages, 1 or more; training takes one.

    Raises:
        ArgumentError: a value out of range.

    Reference:
        Lee, Lee, Na, Kim, Park, Yang, Hwang: Learning to balance: Bayesian meta-learning for imbalanced and out-of-distribution
        tasks, ICLR 2020.

    Departures:
        z changes the first weights; in code released with Ochal et al., 2023, it is computed and never used. alpha, a learnt
        rate for every weight, starts at 0.01 (there at 0.0001 by a double factor). One z for each output channel. The encoder
        reads the backbone's features where released code has a network of its own. The prior of z is N(0, 0.1^2), as a
        factor of 1 + N(0, 1) would leave nothing of the weights; posteriors start with a standard deviation of 0.1.

    Example:
        >>> learner = BTAML(nn.Identity(), size=2, way=2).eval()
        >>> learner(Episode(torch.eye(2), torch.tensor([0, 1]), torch.eye(2), way=2)).logits.shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        backbone: nn.Module,
        rebalance: Rebalance | None = None,
        *,
        size: int,
        way: int,
        bn: BnMode = "batch",
        steps: tuple[int, int] = (4, 10),
        draws: int = 10,
    ) -> None:
        super().__init__(backbone, rebalance, size=size, way=way, bn=bn)
        if min(steps) < 0:
            raise ArgumentError("inner_steps", "0 or more", steps)
        if draws < 1:
            raise ArgumentError("draws", "1 or more", draws)
        self.steps, self.draws = steps, draws
        held = dict(self.net.named_parameters())
        self.names = list(held)
        self.rates = nn.ParameterList(torch.full_like(value, FIRST_RATE) for value in held.values())
        self.encoder = TaskEncoder(size, len(held), sum(value.shape[0] for value in held.values()))

    def score(self, episode: Episode) -> Scored:
        """Adapt to the support and label the queries; in evaluation the mean probability of several draws."""
        stream = generator(episode.seed, "btaml")
        with torch.enable_grad():
            start = self.start()
            with torch.no_grad():
                features = self.run(start, episode.support)[1].detach()
            posterior = self.encoder(features, episode)
            if self.training:
                logits, features = self._adapted(start, posterior, episode, stream, self.steps[0])
                rows = len(episode.support) + len(episode.query)
                return Scored(logits, features, KL_WEIGHT * divergence(posterior) / rows)
            each = []
            for _ in range(self.draws):
                logits, features = self._adapted(start, posterior, episode, stream, self.steps[1])
                each.append(torch.log_softmax(logits.detach(), 1))
        return Scored(torch.stack(each).logsumexp(0), features.detach())

    def _adapted(
        self,
        start: Params,
        posterior: dict[str, tuple[Tensor, Tensor]],
        episode: Episode,
        stream: torch.Generator,
        steps: int,
    ) -> tuple[Tensor, Tensor]:
        drawn = {
            name: mean + spread * torch.randn(mean.shape, generator=stream).to(mean)
            for name, (mean, spread) in posterior.items()
        }
        params = changed(start, drawn["z"])
        balance = episode.way * torch.softmax(drawn["omega"], 0)  # 1 on average
        for _ in range(steps):
            loss = self._weighed(self.run(params, episode.support)[0], episode, balance)
            grads = self.gradients(params, loss, second_order=True)
            params = {
                name: params[name] - scale * rate * grads[name].clamp(-LARGEST_GRADIENT, LARGEST_GRADIENT)
                if name in grads
                else params[name]
                for name, scale, rate in zip(self.names, drawn["gamma"].exp(), self.rates, strict=True)
            }
        with torch.set_grad_enabled(self.training):
            return self.run(params, episode.query)

    def _weighed(self, logits: Tensor, episode: Episode, balance: Tensor) -> Tensor:
        """`sum_c omega_c (C / N_S) sum_i l_i`, each row also by the weight of its class under `rebalance`."""
        treatment = self.rebalance if self.rebalance.acts(self.training) else Rebalance()
        own = treatment.class_weights(episode.counts).to(logits.dtype)[episode.target]
        weights = balance[episode.target] * own / own.mean()
        return (weights * treatment.row_losses(logits, episode.target)).mean()


def changed(params: Params, z: Tensor) -> Params:
    """Parameters times 1 + z, or for vectors plus z; z `[sum of their first sizes]`, one number an output channel.

    Example:
        >>> changed({"weight": torch.ones(2, 3), "bias": torch.ones(2)}, torch.tensor([1.0, 0.0, 0.5, 0.0]))["weight"][:, 0]
        tensor([2., 1.])
    """
    parts = torch.split(z, [value.shape[0] for value in params.values()])
    return {
        name: value + part if value.ndim == 1 else value * (1 + part.view(-1, *[1] * (value.ndim - 1)))
        for (name, value), part in zip(params.items(), parts, strict=True)
    }


def divergence(posterior: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
    """KL divergence of the posteriors from their priors, a scalar.

    Example:
        >>> divergence({"omega": (torch.zeros(3), torch.ones(3))})
        tensor(0.)
    """
    total = torch.zeros(())
    for name, (mean, spread) in posterior.items():
        ratio = spread / PRIOR[name]
        total = total.to(mean.device) + 0.5 * (ratio.square() + (mean / PRIOR[name]).square() - 1 - 2 * ratio.log()).sum()
    return total
