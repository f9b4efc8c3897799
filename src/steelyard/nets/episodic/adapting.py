"""Learners that adapt a network to the support by gradient steps and are trained through them: MAML and ProtoMAML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from steelyard.core.errors import ArgumentError
from steelyard.nets.episodic.episode import Episode, FewShotLearner, Scored, class_means
from steelyard.nets.episodic.rebalance import Rebalance

BnMode = Literal["batch", "running"]
Params = dict[str, Tensor]


class Classifier(nn.Module):
    """A backbone and a linear layer, which gives features too.

    Args:
        backbone: inputs `[N, ...]` to features `[N, d]`.
        size: d.
        way: number of labels.
    """

    def __init__(self, backbone: nn.Module, size: int, way: int) -> None:
        super().__init__()
        self.backbone, self.head = backbone, nn.Linear(size, way)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `[N, way]` and features `[N, d]`."""
        features = self.backbone(inputs)
        return self.head(features), features


class Adapting(FewShotLearner):
    """Base of learners with an inner loop over a `Classifier`.

    With `bn="batch"` BatchNorm takes the statistics of what it is given, in evaluation too, as released code has it: the
    queries of an episode, which are balanced, are then normalised together (the learner is transductive) and apart from the
    support, which is not. With "running" it behaves as anywhere else.

    Args:
        backbone: inputs `[N, ...]` to features `[N, d]`.
        rebalance: what is done about unequal support: in the loss of the support.
        size: d.
        way: number of labels.
        bn: "batch" or "running".

    Raises:
        ArgumentError: another `bn`.
    """

    def __init__(
        self, backbone: nn.Module, rebalance: Rebalance | None = None, *, size: int, way: int, bn: BnMode = "batch"
    ) -> None:
        net = Classifier(backbone, size, way)
        super().__init__(backbone, rebalance)
        if bn not in ("batch", "running"):
            raise ArgumentError("bn", "'batch' or 'running'", repr(bn))
        self.bn: BnMode = bn
        self.head = net.head
        self._net = [net]  # in a list: its parts are registered already

    @property
    def net(self) -> Classifier:
        """Backbone and head as one network."""
        net = self._net[0]
        net.backbone, net.head = self.backbone, self.head  # which a copy, or a call with other weights, has exchanged
        net.training = self.training
        return net

    def start(self) -> Params:
        """The parameters that adapting starts from; in evaluation cut from the graph."""
        held: Params = dict(self.net.named_parameters())
        return held if self.training else {name: value.detach().requires_grad_() for name, value in held.items()}

    def run(self, params: Mapping[str, Tensor], inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features at some parameters."""
        if self.bn == "running":
            return self._called(dict(params), inputs)
        with batch_statistics(self.net):
            buffers = {name: value.clone() for name, value in self.net.named_buffers()}
            return self._called({**buffers, **params}, inputs)

    def _called(self, state: Params, inputs: Tensor) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = functional_call(self.net, state, (inputs,))
        return found

    def support_loss(self, logits: Tensor, episode: Episode) -> Tensor:
        """Loss of the support, a scalar."""
        treatment = self.rebalance if self.rebalance.acts(self.training) else Rebalance()
        return treatment.loss(logits, episode.target, episode.counts)

    def gradients(self, params: Params, loss: Tensor, *, second_order: bool) -> Params:
        """Gradient of a loss by each parameter that it depends on."""
        moving = {name: value for name, value in params.items() if value.requires_grad}
        keep = second_order and self.training
        found: tuple[Tensor | None, ...] = torch.autograd.grad(
            loss, list(moving.values()), create_graph=keep, allow_unused=True
        )
        return {name: grad for name, grad in zip(moving, found, strict=True) if grad is not None}


class MAML(Adapting):
    """Model-agnostic meta-learning: initial weights from which a few gradient steps on the support lead far.

    Formula:
        `theta_{t+1} = theta_t - rate grad L_S(theta_t)`; the queries are scored at `theta_T`.

    Args:
        backbone: inputs `[N, ...]` to features `[N, d]`.
        rebalance: what is done about unequal support: in the loss of the support.
        size: d.
        way: number of labels.
        bn: "batch" or "running", see `Adapting`.
        steps: of the inner loop (T, 0 or more) and its rate (0 or more), as (T, rate).
        second_order: differentiate through the inner gradients.

    Raises:
        ArgumentError: a value out of range.

    Reference:
        Finn, Abbeel, Levine: Model-agnostic meta-learning for fast adaptation of deep networks, ICML 2017.

    Example:
        >>> learner = MAML(nn.Identity(), size=2, way=2, steps=(5, 0.5)).eval()
        >>> episode = Episode(torch.eye(2), torch.tensor([0, 1]), torch.eye(2), way=2)
        >>> learner(episode).logits.argmax(1)
        tensor([0, 1])
    """

    def __init__(
        self,
        backbone: nn.Module,
        rebalance: Rebalance | None = None,
        *,
        size: int,
        way: int,
        bn: BnMode = "batch",
        steps: tuple[int, float] = (5, 0.1),
        second_order: bool = True,
    ) -> None:
        super().__init__(backbone, rebalance, size=size, way=way, bn=bn)
        if steps[0] < 0:
            raise ArgumentError("inner_steps", "0 or more", steps[0])
        if not 0 <= steps[1] < float("inf"):
            raise ArgumentError("inner_lr", "a finite number, 0 or more", steps[1])
        self.steps, self.rate, self.second_order = steps[0], steps[1], second_order

    def score(self, episode: Episode) -> Scored:
        """Adapt to the support and label the queries."""
        with torch.enable_grad():
            params = self.first(episode)
            for _ in range(self.steps):
                loss = self.support_loss(self.run(params, episode.support)[0], episode)
                grads = self.gradients(params, loss, second_order=self.second_order)
                params = {name: value - self.rate * grads[name] if name in grads else value for name, value in params.items()}
            logits, features = self.run(params, episode.query)
        return Scored(logits, features) if self.training else Scored(logits.detach(), features.detach())

    def first(self, episode: Episode) -> Params:
        """Parameters before the first step."""
        return self.start()


class ProtoMAML(MAML):
    """MAML whose last layer starts, in every episode, as the classifier of Prototypical Networks.

    Formula:
        `W_k = 2 c_k`, `b_k = -|c_k|^2`, with `c_k` of length one where `normalise`; without a step this is ProtoNet.

    Args:
        backbone: inputs `[N, ...]` to features `[N, d]`.
        rebalance: what is done about unequal support: in the loss of the support.
        size: d.
        way: number of labels.
        bn: "batch" or "running", see `Adapting`.
        steps: of the inner loop and its rate.
        second_order: differentiate through the inner gradients.

    Attributes:
        normalise: prototypes of length one, as released with Ochal et al., 2023; false as in the paper.
        through_start: train the backbone through the first weights of the last layer too, as in the paper.

    Reference:
        Triantafillou et al.: Meta-Dataset: a dataset of datasets for learning to learn from few examples, ICLR 2020.

    Example:
        >>> learner = ProtoMAML(nn.Identity(), size=2, way=2, steps=(0, 0.1)).eval()
        >>> learner(Episode(torch.eye(2), torch.tensor([0, 1]), torch.eye(2), way=2)).logits
        tensor([[ 1., -1.],
                [-1.,  1.]])
    """

    normalise = True
    through_start = True

    def first(self, episode: Episode) -> Params:
        """The parameters with the last layer made of prototypes."""
        params = self.start()
        means = class_means(self.run(params, episode.support)[1], episode)
        means = F.normalize(means, dim=1) if self.normalise else means
        if not (self.through_start and self.training):
            means = means.detach().requires_grad_()
        return params | {"head.weight": 2 * means, "head.bias": -means.square().sum(1)}


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Let BatchNorm take the statistics of what it is given, whatever the mode of the model."""
    changed = [module for module in model.modules() if isinstance(module, _BatchNorm) and not module.training]
    for module in changed:
        module.training = True
    try:
        yield
    finally:
        for module in changed:
            module.training = False
