"""CurveNet: the weight of a row is a learned function of how its loss went in an earlier training run."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.pool import RowPool
from steelyard.core.roles import Observes
from steelyard.core.rows import Evidence
from steelyard.core.weighting import Weighting
from steelyard.core.world import World
from steelyard.weightings._taught import Lookahead, Normalise, Taught


class LossCurves(Weighting, Observes):
    """Record the loss of every row in every epoch; every row weighs 1.

    Args:
        rows: training rows N.
        epochs: of the stage, E.

    Attributes:
        curves: `[N, E]`, NaN where a row was not drawn; of a mixed row, the loss met last.

    Example:
        >>> record = LossCurves(3, 2)
        >>> record.observe(Evidence(target=torch.tensor([0]), losses=torch.tensor([0.5]), index=torch.tensor([2])))
        >>> record.curves[:, 0].tolist()
        [nan, nan, 0.5]
    """

    curves: Tensor

    def __init__(self, rows: int, epochs: int) -> None:
        super().__init__()
        if rows < 1 or epochs < 1:
            raise ArgumentError("rows and epochs", "at least 1", f"{rows} and {epochs}")
        self.register_buffer("curves", torch.full((rows, epochs), math.nan))

    def forward(self, evidence: Evidence) -> Tensor:
        """Ones `[N]`."""
        return torch.ones(evidence.target.shape[0], device=evidence.target.device)

    def observe(self, evidence: Evidence) -> None:
        """Keep the losses of the step, of all processes."""
        if evidence.losses is None or evidence.index is None:
            raise ArgumentError("evidence", "losses [N] and the index of each row [N]", "evidence without them")
        world, epoch = World.current(), min(evidence.clock.epoch, self.curves.shape[1] - 1)
        for index, losses in world.gather((evidence.index, evidence.losses.float())):
            self.curves[index.to(self.curves.device), epoch] = losses.to(self.curves.device)


def centred(curves: Tensor, target: Tensor, burn_in: int = 0) -> Tensor:
    """Loss curves relative to those of the rows of the same class, which is what the network sees.

    A missing loss is the row's last known one, or its first known; a row that was never drawn has the curve of its class.

    Args:
        curves: `[N, E]`, NaN where missing.
        target: class of each row `[N]`.
        burn_in: epochs left out at the start, from 0 to E - 1.

    Returns:
        `[N, E - burn_in]`, mean 0 over the rows of each class in every epoch.

    Example:
        >>> centred(torch.tensor([[1.0, 3.0], [3.0, 5.0]]), torch.tensor([0, 0]))
        tensor([[-1., -1.],
                [ 1.,  1.]])
    """
    if not 0 <= burn_in < curves.shape[1]:
        raise ArgumentError("burn_in", f"from 0 to {curves.shape[1] - 1}", burn_in)
    filled = _filled(_filled(curves).flip(1)).flip(1)
    known = ~filled[:, 0].isnan()
    classes = int(target.max()) + 1
    sizes = torch.zeros(classes, device=curves.device).index_add_(0, target, known.to(curves.dtype))
    sums = torch.zeros(classes, curves.shape[1], device=curves.device).index_add_(0, target[known], filled[known])
    means = sums / sizes.clamp_min(1)[:, None]
    away = torch.where(known[:, None], filled - means[target], 0.0)
    return away[:, burn_in:]


def _filled(curves: Tensor) -> Tensor:
    """Missing values replaced by the last known one before."""
    epochs = torch.arange(curves.shape[1], device=curves.device).expand_as(curves)
    last = torch.where(curves.isnan(), -1, epochs).cummax(1).values
    return torch.where(last >= 0, curves.gather(1, last.clamp_min(0)), math.nan)


class LossCurveNet(Taught):
    """Weigh a row by a learned function of its loss curve and its class, taught by a meta set.

    Rows with wrong labels and rows of rare classes look alike by their loss at one moment and different by its history. The
    weight is `v = sigmoid(o) + 0.02`, where `o` is a network of the row's curve, centred within its class, and of an embedding
    of its class; it starts at 1.009 for every row, and learns as `MetaWeightNet` does.

    Args:
        meta: balanced, clean rows.
        curves: as from `centred`, one for each training row `[N, T]`.
        num_classes: C.
        normalise: as in `MetaWeightNet`; "none" is the released code.
        lookahead: when and how it learns; None stops learning after 0.4 of the epochs, and the weights stay as they are.
        lr: of Adam, above 0.

    Shapes:
        index `[N]` and targets `[N]` to weights `[N]`.

    Raises:
        ArgumentError: a value is out of its range, or the evidence has no index.

    Reference:
        Jiang, Li, Wang, Huang, Zhang, Xu: Delving into sample loss curve to embrace noisy and imbalanced data, AAAI 2022.

    Departures:
        Curves may have any length. The class embedding is added once, in the released code twice. After the learning ends, a
        row has the weight that the network gives it then, not the one it was given when it was last drawn. Skipping the lower
        layers in the look-ahead, which the paper proposes and the released runs do not use, is `Lookahead(scope="head")`.

    Example:
        >>> from steelyard.data import ResidentSource
        >>> meta = RowPool(ResidentSource(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1])))
        >>> net = LossCurveNet(meta, torch.zeros(5, 8), 2, normalise="none")
        >>> net(Evidence(target=torch.tensor([0, 1]), index=torch.tensor([4, 2]))).detach().round(decimals=3)
        tensor([1.0090, 1.0090])
    """

    curves: Tensor

    def __init__(
        self,
        meta: RowPool,
        curves: Tensor,
        num_classes: int,
        *,
        normalise: Normalise = "batch",
        lookahead: Lookahead | None = None,
        lr: float = 1e-3,
    ) -> None:
        lookahead = Lookahead(until=0.4) if lookahead is None else lookahead
        super().__init__(meta, normalise=normalise, lookahead=lookahead, lr=lr, weight_decay=1e-4)
        if curves.ndim != 2 or not curves.isfinite().all():
            raise ArgumentError("curves", "finite, of shape [N, T], one a training row", list(curves.shape))
        self.register_buffer("curves", curves.detach().float(), persistent=False)
        width = 64
        self.shape = nn.Sequential(
            nn.Linear(curves.shape[1], 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, width), nn.ReLU()
        )
        self.label = nn.Embedding(num_classes, width)
        self.out = nn.Sequential(nn.Linear(width, 128), nn.ReLU(), nn.Linear(128, width), nn.ReLU(), nn.Linear(width, 1))
        last = self.out[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, 4.5)

    def raw(self, evidence: Evidence) -> Tensor:
        """v, in (0.02, 1.02) `[N]`."""
        if evidence.index is None:
            raise ArgumentError("evidence.index", "the position of each row in the training split [N]", None)
        curves = self.curves[evidence.index].to(self.label.weight.dtype)
        known = self.shape(curves) + self.label(evidence.target)
        weights: Tensor = torch.sigmoid(self.out(known)[:, 0]) + 0.02
        return weights
