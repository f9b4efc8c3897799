"""Matching Networks: attention of a query over all support examples."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.seeds import generator
from steelyard.nets.episodic.episode import Episode, FewShotLearner, Scored
from steelyard.nets.episodic.rebalance import Rebalance

FLOOR = 1e-6


class MatchingNet(FewShotLearner):
    """A query is labelled by the attention that it pays to the support examples of each class.

    Formula:
        `a = softmax_i(sharpness relu(cos(F(x), G_i)))`, `z_k = log(sum_{i in S_k} a_i + 1e-6)`

    With full contexts, `G = S + biLSTM(S)` (both directions added to S) and F is an LSTM that reads G with attention, as many
    steps as there are support examples. Where all keys are equal, the attention of class c is n_c / N_S.

    Args:
        backbone: inputs `[N, ...]` to features `[N, d]`.
        rebalance: what is done about unequal support.
        size: d.
        contexts: use the two LSTMs; false compares the features as they are.
        sharpness: above 0; 100 in released code.

    Raises:
        ArgumentError: `sharpness` not above 0.

    Reference:
        Vinyals, Blundell, Lillicrap, Kavukcuoglu, Wierstra: Matching networks for one shot learning, NeurIPS 2016; as released
        with Ochal et al., 2023.

    Departures:
        The support is read in an order drawn from the episode's seed; released code reads it by class, which tells the LSTM
        where labels change.

    Example:
        >>> episode = Episode(torch.ones(4, 2), torch.tensor([0, 1, 1, 1]), torch.ones(1, 2), way=2)
        >>> MatchingNet(nn.Identity(), size=2, contexts=False)(episode).logits.exp()
        tensor([[0.2500, 0.7500]])
    """

    def __init__(
        self,
        backbone: nn.Module,
        rebalance: Rebalance | None = None,
        *,
        size: int,
        contexts: bool = True,
        sharpness: float = 100.0,
    ) -> None:
        super().__init__(backbone, rebalance)
        if not sharpness > 0:
            raise ArgumentError("sharpness", "above 0", sharpness)
        self.sharpness, self.contexts = sharpness, contexts
        if contexts:
            self.around = nn.LSTM(size, size, bidirectional=True)
            self.reading = nn.LSTMCell(size, size)

    def score(self, episode: Episode) -> Scored:
        """Log of the attention on each class."""
        support, query = self.embedded(episode)
        keys, asking = (self._keys(support, episode), query) if self.contexts else (support, query)
        if self.contexts:
            asking = self._queries(query, keys)
        cosine = F.normalize(asking, dim=1) @ F.normalize(keys, dim=1).T
        attention = torch.softmax(self.sharpness * cosine.relu(), dim=1)
        return Scored((attention @ episode.one_hot.to(attention.dtype) + FLOOR).log(), query)

    def _keys(self, support: Tensor, episode: Episode) -> Tensor:
        order = torch.randperm(len(support), generator=generator(episode.seed, "matching")).to(support.device)
        read, _ = self.around(support[order])
        forward, backward = read.chunk(2, dim=1)
        keys = torch.empty_like(support)
        keys[order] = support[order] + forward + backward
        return keys

    def _queries(self, query: Tensor, keys: Tensor) -> Tensor:
        hidden, cell = query, torch.zeros_like(query)
        for _ in range(len(keys)):
            read = torch.softmax(hidden @ keys.T, dim=1) @ keys
            hidden, cell = self.reading(query, (hidden + read, cell))
            hidden = hidden + query
        return hidden
