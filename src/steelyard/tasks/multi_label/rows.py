"""From the scores of examples to a row a label: softmax cross-entropy of such a row is binary cross-entropy of its label."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from steelyard.core.loss import upcast
from steelyard.core.rows import IMPOSSIBLE, Rows


class Pairs(nn.Module):
    """A network of the user's with a score a label, as one with a score for the absence and one for the presence of each.

    Formula:
        `(z_1, ..., z_L)` becomes `(-z_1 / 2, z_1 / 2, ..., -z_L / 2, z_L / 2)`; 2L scores stay as they are.

    Args:
        network: inputs to scores `[M, L]` or `[M, 2L]`.
        labels: L.

    Example:
        >>> Pairs(nn.Identity(), 2)(torch.tensor([[3.0, -1.0]]))
        tensor([[-1.5000,  1.5000,  0.5000, -0.5000]])
    """

    def __init__(self, network: nn.Module, labels: int) -> None:
        super().__init__()
        self.network, self.labels = network, labels

    def forward(self, inputs: object) -> Tensor:
        """Scores `[M, 2L]`."""
        scores: Tensor = self.network(inputs)
        if scores.ndim != 2 or scores.shape[1] != self.labels:
            return scores
        return torch.stack([-scores / 2, scores / 2], 2).flatten(1)


def log_odds(scores: Tensor) -> Tensor:
    """Log-odds of each label `[M, L]` from scores `[M, 2L]`: that of its presence less that of its absence."""
    scores = upcast(scores)
    return scores[:, 1::2] - scores[:, 0::2]


def label_rows(
    scores: Tensor, labels: Tensor, *, features: Tensor | None = None, share: Tensor | None = None, mixed: bool = False
) -> Rows:
    """A row for each label of each example, in which only the two classes of that label are possible.

    Args:
        scores: `[M, 2L]`; column 2l is the absence of label l, 2l + 1 its presence.
        labels: `[M, L]`, NaN for not known. Rows of labels that are not known have share 0.
        features: of the examples `[M, d]`.
        share: of the examples `[M]`; None where each counts 1.
        mixed: labels may lie between 0 and 1; each becomes two rows then, absent with share 1 - y and present with share y.

    Returns:
        M L rows (twice as many where mixed), the labels of an example one after another. `extra` says which classes a row can
        be of (`among`) and what labels its example has (`label_sets`), for losses that ask for it.
    """
    count = labels.shape[1]
    columns = torch.arange(2 * count, device=scores.device).view(count, 2)
    possible = torch.zeros(count, 2 * count, dtype=torch.bool, device=scores.device).scatter_(1, columns, True)
    scores = upcast(scores)
    logits = torch.where(possible, scores[:, None, :], IMPOSSIBLE).flatten(0, 1)
    among = columns.repeat(len(scores), 1)
    features = None if features is None else features.repeat_interleave(count, 0)
    known = (~labels.isnan()).to(scores.dtype)
    known = known if share is None else known * share[:, None].to(scores.dtype)
    values = labels.nan_to_num(0.0)
    target = columns[:, 0] + (values == 1).long()
    shares = known.flatten()
    if mixed:
        logits, among = logits.repeat(2, 1), among.repeat(2, 1)
        features = None if features is None else features.repeat(2, 1)
        target = torch.cat([columns[:, 0].expand_as(values), columns[:, 1].expand_as(values)])
        shares = torch.cat([known * (1 - values), known * values]).flatten()
    extra = {"among": among, "label_sets": values}
    return Rows(logits, target.flatten(), features=features, share=shares, extra=extra)
