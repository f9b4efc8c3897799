"""Relation Networks: a learnt comparison of a query with each class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import CombinationError
from steelyard.nets.conv4 import Conv4
from steelyard.nets.episodic.episode import Episode, FewShotLearner, Scored
from steelyard.nets.episodic.rebalance import Rebalance

POOLS = 2
HIDDEN = 8


class RelationNet(FewShotLearner):
    """Scores the pair of a query's feature map and the mean map of each class with a small network.

    Args:
        backbone: a `Conv4`, of which only the first two blocks halve the size.
        rebalance: what is done about unequal support.
        shape: of an image `(C, H, W)`.

    Raises:
        CombinationError: another backbone, which has no feature maps to compare.

    Reference:
        Sung, Yang, Zhang, Xiang, Torr, Hospedales: Learning to compare: relation network for few-shot learning, CVPR 2018.

    Departures:
        Maps of a class are averaged, as released with Ochal et al., 2023 (the paper adds them, so that a class with more
        support has larger maps). The scores are logits of a softmax; the paper fits sigmoids to 0 and 1 by squared error.

    Example:
        >>> learner = RelationNet(Conv4(1, width=4), shape=(1, 28, 28)).eval()
        >>> learner(Episode(torch.rand(2, 1, 28, 28), torch.tensor([0, 1]), torch.rand(3, 1, 28, 28), way=2)).logits.shape
        torch.Size([3, 2])
    """

    def __init__(self, backbone: nn.Module, rebalance: Rebalance | None = None, *, shape: tuple[int, ...]) -> None:
        super().__init__(backbone, rebalance)
        if not isinstance(backbone, Conv4):
            raise CombinationError(
                f"relationnet compares feature maps, and {type(backbone).__name__} gives vectors: use --model conv4 on images"
            )
        width = backbone.width
        self.compare = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
        )
        side = [_left(size) for size in shape[-2:]]
        self.score_pair = nn.Sequential(nn.Linear(width * side[0] * side[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))

    def score(self, episode: Episode) -> Scored:
        """A score of each pair of query and class."""
        maps = self.backbone.maps(torch.cat([episode.support, episode.query]), POOLS)  # type: ignore[operator]
        support, query = maps[: len(episode.support)], maps[len(episode.support) :]
        members = episode.one_hot.to(maps.dtype)
        means = torch.einsum("sk,schw->kchw", members, support) / members.sum(0).view(-1, 1, 1, 1)
        pairs = torch.cat(
            [
                query.unsqueeze(1).expand(-1, episode.way, -1, -1, -1),
                means.unsqueeze(0).expand(len(query), -1, -1, -1, -1),
            ],
            dim=2,
        ).flatten(0, 1)
        logits: Tensor = self.score_pair(self.compare(pairs).flatten(1)).reshape(len(query), episode.way)
        return Scored(logits, F.adaptive_avg_pool2d(query, 1).flatten(1))


def _left(size: int) -> int:
    """Pixels a side after the poolings of backbone and comparison."""
    for _ in range(POOLS):
        size = size // 2 if size > 1 else size
    for _ in range(2):
        size = -(-size // 2)
    return size
