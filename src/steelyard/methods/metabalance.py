"""MetaBalance: descent on balanced batches as they will be after a step on natural ones."""

from __future__ import annotations

from typing import Literal

from steelyard.core.pool import RowPool
from steelyard.core.sampler import SamplerFactory, ShuffledSampler
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.descents import MetaBalance
from steelyard.samplers import BalancedSampler, UnderSampler

Drawn = Literal["natural", "balanced", "under"]

SEARCH = {"inner_lr": "log(1e-3..0.3)", "inner": "natural|balanced|under", "outer": "natural|balanced|under"}

_SAMPLERS: dict[Drawn, SamplerFactory] = {"natural": ShuffledSampler, "balanced": BalancedSampler, "under": UnderSampler}


def metabalance(
    task: TaskView,
    *,
    inner_lr: float | None = None,
    inner: Drawn = "natural",
    outer: Drawn = "balanced",
    inner_batch: int = 64,
    inner_steps: int = 1,
    first_order: bool = False,
) -> Stages:
    """Descend on balanced batches as they will be after a step on natural ones.

    Formula:
        `theta' = theta - gamma * grad L_in(theta)`, gradient `(I - gamma H_in(theta)) grad L_out(theta')`; L_in and L_out are
        the cross-entropy of batches drawn as they are ("natural"), every class equally often ("balanced"), or in rounds of
        equally many rows without replacement ("under").

    Args:
        task: the inner batches are drawn from its training rows.
        inner_lr: gamma, 0 or more; none for the learning rate at the step.
        inner: how inner batches are drawn: "natural", "balanced" or "under".
        outer: how outer batches are drawn, which are those of the loop.
        inner_batch: rows of an inner batch, 1 or more. The cost of a step in plain ones is about 1 + 3 * inner / outer rows.
        inner_steps: 1 or more.
        first_order: leave the Hessian out; a step then costs about 1 + inner / outer rows.

    Reference:
        Bansal, Goldblum, Cherepanova, Schwarzschild, Bruss, Goldstein: MetaBalance: high-performance neural networks for
        class-imbalanced data, 2021.

    Departures:
        A reconstruction from the abstract and the first pages, as no code was released. Which batches are drawn how, for each
        data set, the inner learning rate and whether both batches share rows are not known; the defaults are ours.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("metabalance").words
        {'sampler': 'balanced', 'descent': 'meta-balance'}
    """
    pool = RowPool(task.train, batch_size=inner_batch, sampler=_SAMPLERS[inner], seed=task.seed)
    descent = MetaBalance(inner_lr, inner=pool, inner_steps=inner_steps, first_order=first_order)
    yield Stage(descent=descent, sampler=_SAMPLERS[outer])
