"""Entropic optimal transport in the log domain: plans, potentials, the gradient by the envelope theorem, and a closed form.

Everywhere a cost is `[M, N]`: M points that receive, with masses `mu`, and N points that send, with masses `nu`. With

    R(mu, nu) = min_T  <T, C> + eps * sum_ij T_ij (log T_ij - 1),   T >= 0,  T 1 = mu,  T' 1 = nu

the plan is `T_ij = exp((u_i + v_j - C_ij) / eps)`, and `dR / d mu = u`, `dR / d nu = v`. Where masses are kept on the simplex,
potentials matter up to a constant. Everything is float32 at least, and nothing is exponentiated before its maximum is taken
off, so eps may be small against the cost.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

CHECK_EVERY = 10
"""Iterations between two looks at the marginals, each of which waits for the device."""


class Transport(NamedTuple):
    """A plan by its potentials.

    Attributes:
        log_plan: `log T` `[M, N]`; -inf where no mass can go.
        row_potential: u `[M]`; -inf for a point without mass.
        column_potential: v `[N]`; -inf for a point without mass.
    """

    log_plan: Tensor
    row_potential: Tensor
    column_potential: Tensor

    @property
    def plan(self) -> Tensor:
        """T `[M, N]`."""
        return self.log_plan.exp()


def at_least_float32(values: Tensor) -> Tensor:
    """Half precisions as float32, others as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def cosine_cost(receivers: Tensor, senders: Tensor) -> Tensor:
    """`1 - cos` of features `[M, d]` and `[N, d]`: `[M, N]` in [0, 2]; a feature of zeros is at right angles to all.

    Example:
        >>> cosine_cost(torch.eye(2), torch.tensor([[2.0, 0.0]])).tolist()
        [[0.0], [1.0]]
    """
    receivers, senders = at_least_float32(receivers), at_least_float32(senders)
    with torch.autocast(senders.device.type, enabled=False):
        return 1 - F.normalize(receivers, dim=1) @ F.normalize(senders, dim=1).T


def label_cost(receivers: Tensor, senders: Tensor, scale: float = 1.0) -> Tensor:
    """`scale` where labels `[M]` and `[N]` differ, 0 where they agree: `[M, N]`, float32.

    Example:
        >>> label_cost(torch.tensor([0, 1]), torch.tensor([1, 1])).tolist()
        [[1.0, 1.0], [0.0, 0.0]]
    """
    return (receivers[:, None] != senders).to(torch.float32) * scale


def sinkhorn(
    cost: Tensor, rows: Tensor, columns: Tensor, eps: float, *, iterations: int = 100, tolerance: float | None = None
) -> Transport:
    """The entropic plan between fixed masses, by Sinkhorn's iterations on the potentials.

    The masses of the columns are met exactly, those of the rows in the limit. Points without mass are left out of the plan.

    Args:
        cost: C `[M, N]`, finite.
        rows: mu `[M]`, 0 or more, of sum 1 with at least one above 0.
        columns: nu `[N]`, likewise.
        eps: above 0; the smaller against the cost, the more iterations are needed.
        iterations: at most.
        tolerance: stop when the L1 error of the rows is below; None never looks, so never waits for the device.

    Reference:
        Cuturi, Sinkhorn distances, NeurIPS 2013; in logarithms as in Peyre and Cuturi, Computational optimal transport,
        2019, section 4.4.

    Example:
        >>> half = torch.tensor([0.5, 0.5])
        >>> sinkhorn(1 - torch.eye(2), half, half, eps=0.01).plan.round(decimals=4)
        tensor([[0.5000, 0.0000],
                [0.0000, 0.5000]])
    """
    cost = at_least_float32(cost).detach()
    kernel = -cost / eps
    log_rows, log_columns = rows.detach().to(cost.dtype).log(), columns.detach().to(cost.dtype).log()
    # Potentials in units of eps: what is added to the kernel.
    v = torch.where(log_columns == -torch.inf, log_columns, torch.zeros_like(log_columns))
    u = torch.zeros_like(log_rows)
    for done in range(1, iterations + 1):
        u = log_rows - torch.logsumexp(kernel + v, 1)
        v = log_columns - torch.logsumexp(kernel + u[:, None], 0)
        if tolerance is not None and done % CHECK_EVERY == 0:
            error = (torch.logsumexp(kernel + v, 1).add(u).exp() - log_rows.exp()).abs().sum()
            if float(error) < tolerance:
                break
    return Transport(kernel + u[:, None] + v, u * eps, v * eps)


def regularised_value(
    cost: Tensor, rows: Tensor, columns: Tensor, eps: float, *, iterations: int = 100, tolerance: float | None = None
) -> Tensor:
    """R(mu, nu), differentiable in cost and masses without a graph through the iterations.

    By the envelope theorem the plan's own change does not matter where it is optimal, so the gradients are `T`, `u` and `v`.

    Args:
        cost: as in `sinkhorn`.
        rows: as in `sinkhorn`.
        columns: as in `sinkhorn`.
        eps: as in `sinkhorn`.
        iterations: as in `sinkhorn`.
        tolerance: as in `sinkhorn`.

    Example:
        >>> nu = torch.tensor([0.5, 0.5], requires_grad=True)
        >>> regularised_value(torch.zeros(1, 2), torch.ones(1), nu, eps=1.0).backward()
        >>> bool(nu.grad[0] == nu.grad[1])
        True
    """
    found = sinkhorn(cost, rows, columns, eps, iterations=iterations, tolerance=tolerance)
    plan = found.plan
    entropy = torch.where(plan > 0, plan * (found.log_plan - 1), torch.zeros_like(plan)).sum()
    value = (plan * at_least_float32(cost).detach()).sum() + eps * entropy
    # Linear in what is differentiated, and 0 in value.
    masses = zip((rows, columns), (found.row_potential, found.column_potential), strict=True)
    value = value + (plan * (cost - cost.detach())).sum()
    for mass, potential in masses:
        finite = torch.where(potential == -torch.inf, torch.zeros_like(potential), potential)
        value = value + (finite * (mass - mass.detach())).sum()
    return value


def nearest_masses(cost: Tensor, rows: Tensor, eps: float, log_reference: Tensor | None = None) -> Tensor:
    """The masses of the columns that are cheapest to transport to the rows `[N]`, of the sum of `rows`; in closed form.

    Formula:
        `nu_j = sum_i mu_i softmax_j(log a_j - C_ij / eps)`, the minimiser over nu of
        `R(mu, nu) - eps * sum_j nu_j log a_j`

    With a reference `a` of sum 1 that is `<T, C> + eps * KL(T | mu a')` at its least: a large eps gives `a`, a small one the
    nearest columns of each row. Without one it is the minimiser of R.

    Args:
        cost: C `[M, N]`, finite.
        rows: mu `[M]`, 0 or more.
        eps: above 0.
        log_reference: log a `[N]`, up to a constant; -inf keeps a column out. None for uniform.

    Example:
        >>> nearest_masses(torch.tensor([[0.0, 1.0, 1.0]]), torch.ones(1), eps=0.1).round(decimals=3)
        tensor([1., 0., 0.])
    """
    logits = -at_least_float32(cost) / eps
    if log_reference is not None:
        logits = logits + log_reference
    return rows.to(logits.dtype) @ torch.softmax(logits, 1)
