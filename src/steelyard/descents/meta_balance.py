"""MetaBalance: the gradient of one loss at the point that a step on another one leads to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from steelyard.core.descent import plain
from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.objective import Evaluation
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool, check_pool
from steelyard.core.rows import Batch
from steelyard.descents._ascent import add_gradients
from steelyard.numeric.twice import twice_differentiable

Named = dict[str, Tensor]


class MetaBalance(nn.Module):
    """Descend on the outer loss as it will be after a step on the inner loss.

    Formula:
        `theta' = theta - gamma * grad L_in(theta)`, `g = (I - gamma H_in(theta)) grad L_out(theta')`, H_in the Hessian of L_in

    The batch of the loop is the outer one, so the stage's sampler decides what is descended on; the inner batch is drawn from
    `inner`, the training rows under another sampler. Nothing but theta is learnt. To first order in gamma this is descent on
    `L_out - gamma <grad L_out, grad L_in>`: it favours directions that both distributions agree on.

    The Hessian-vector product is exact and takes no graph through the outer pass. With batches of one size a step costs a
    little more than four plain ones (without the Hessian two). Three quarters of that goes with the inner batch, so fewer
    inner rows are cheaper.

    Both losses are the objective, loss and weighting. BatchNorm counts the outer batch, once. What comes back, and with it
    the training loss in logs, is the outer loss at theta'. Several processes take an inner step each, on their part of the
    inner batch; the outer gradients are averaged as always.

    Args:
        inner_lr: gamma, 0 or more; 0 is plain descent, None is the learning rate that the optimiser has at the step.
        inner: rows of the inner batches; None takes the inner step on the batch itself.
        inner_steps: steps on the inner loss, each on a batch of its own, 1 or more.
        first_order: leave the Hessian out.
        weigh_inner: does the objective's weighting count in the inner loss too?

    Raises:
        ArgumentError: a value out of its range, `inner` no pool, or None for `inner_lr` without an optimiser.
        CombinationError: an operator of the model cannot be differentiated twice.

    Reference:
        Bansal, Goldblum, Cherepanova, Schwarzschild, Bruss, Goldstein: MetaBalance: high-performance neural networks for
        class-imbalanced data, 2021.

    Departures:
        A reconstruction: the paper's text could only be read in part and no code was released. Open are its choice of inner
        and outer batches for each data set, gamma, the number of inner steps, whether the two batches share rows, and whether
        a step is taken before judging; here theta itself is judged.

    Example:
        >>> from steelyard.core.objective import Objective
        >>> from steelyard.core.rows import Rows
        >>> model = nn.Linear(2, 2)
        >>> oracle = Oracle(model, lambda m, b: Rows(m(b.inputs), b.target), Objective())
        >>> batch = Batch(torch.eye(2), torch.tensor([0, 1]), torch.arange(2))
        >>> MetaBalance(0.1)(oracle, batch).loss.shape, model.weight.grad.shape
        (torch.Size([]), torch.Size([2, 2]))
    """

    def __init__(
        self,
        inner_lr: float | None = None,
        *,
        inner: RowPool | None = None,
        inner_steps: int = 1,
        first_order: bool = False,
        weigh_inner: bool = True,
    ) -> None:
        super().__init__()
        if inner_lr is not None and not 0 <= inner_lr < math.inf:
            raise ArgumentError("inner_lr", "a finite number, 0 or more, or None", inner_lr)
        if inner_steps < 1:
            raise ArgumentError("inner_steps", "at least 1", inner_steps)
        self.inner = None if inner is None else check_pool(inner, "inner")
        self.inner_lr, self.inner_steps = inner_lr, inner_steps
        self.first_order, self.weigh_inner = first_order, weigh_inner
        self._checked = first_order

    def forward(self, oracle: Oracle, batch: Batch) -> Evaluation:
        """Fill `.grad` and return the outer evaluation, at theta'."""
        if self.inner_lr == 0:
            return plain(oracle, batch)
        params = oracle.params()
        rates = self._rates(oracle, params)
        point = {name: value.detach() for name, value in params.items()}
        taken = list[tuple[Named, Named]]()
        for number in range(self.inner_steps):
            here, gradient = self._inner_gradient(oracle, self._inner_batch(oracle, batch, number), point)
            with torch.no_grad():
                steps = torch._foreach_mul(list(gradient.values()), list(rates.values()))
                point = dict(zip(here, torch._foreach_sub(list(here.values()), steps), strict=True))
            taken.append((here, gradient))
        earlier = {name: value.grad for name, value in params.items()}
        for value in params.values():
            value.grad = None
        counted = oracle.forget(batch)  # rows kept from theta are not those at theta', but BatchNorm has counted them
        with _placed(params, point):
            evaluation = oracle(batch, probe=counted)
            evaluation.loss.backward()
        if not self.first_order:
            _pull_back(params, rates, taken)
        found = [value.grad for value in params.values()]
        for name, value in params.items():
            value.grad = earlier[name]
        add_gradients(params.values(), found)
        return evaluation

    def _rates(self, oracle: Oracle, params: Mapping[str, Tensor]) -> dict[str, float]:
        if self.inner_lr is not None:
            return dict.fromkeys(params, self.inner_lr)
        if oracle.optimizer is None:
            raise ArgumentError("inner_lr", "a number where no optimiser is known (or set `oracle.optimizer`)", None)
        groups = {id(value): group["lr"] for group in oracle.optimizer.param_groups for value in group["params"]}
        return {name: groups.get(id(value), 0.0) for name, value in params.items()}

    def _inner_batch(self, oracle: Oracle, batch: Batch, number: int) -> Batch:
        if self.inner is None:
            return batch
        return self.inner.batch(oracle, oracle.clock.step * self.inner_steps + number)

    def _inner_gradient(self, oracle: Oracle, batch: Batch, point: Named) -> tuple[Named, Named]:
        """Where it is taken, and the gradient, with its graph in the second-order case."""
        here = {name: value.detach().requires_grad_() for name, value in point.items()}
        with nullcontext() if self.first_order else twice_differentiable():
            evaluation = oracle(batch, at=here, weights=None if self.weigh_inner else 1.0)
        with _explained():
            found = torch.autograd.grad(
                evaluation.loss, list(here.values()), create_graph=not self.first_order, materialize_grads=True
            )
        if not self._checked:  # the graph is much the same at every step
            _refuse_once_differentiable(found)
            self._checked = True
        return here, dict(zip(here, found, strict=True))

    def extra_repr(self) -> str:
        """Shown by print(descent)."""
        rows = "the batch" if self.inner is None else f"{len(self.inner)} rows"
        return f"inner_lr={self.inner_lr}, inner={rows}, inner_steps={self.inner_steps}, first_order={self.first_order}"


@contextmanager
def _placed(params: Mapping[str, Tensor], point: Mapping[str, Tensor]) -> Iterator[None]:
    """Other values in the parameters for a while. Their own are put aside, not written to, so they come back bit for bit."""
    own = {name: value.data for name, value in params.items()}
    try:
        for name, value in params.items():
            value.data = point[name].detach()
        yield
    finally:
        for name, value in params.items():
            value.data = own[name]


def _pull_back(params: Mapping[str, Tensor], rates: Mapping[str, float], taken: list[tuple[Named, Named]]) -> None:
    """Take the gradient at the end of the inner steps back to their start: g <- g - H (rates * g), last step first."""
    for here, gradient in reversed(taken):
        moved = [name for name, value in gradient.items() if value.requires_grad and params[name].grad is not None]
        if not moved:
            continue
        names = list(here)
        with _explained():
            product: tuple[Tensor | None, ...] = torch.autograd.grad(
                [gradient[name] for name in moved],
                [here[name] for name in names],
                grad_outputs=torch._foreach_mul([_gradient(params[name]) for name in moved], [rates[name] for name in moved]),
                allow_unused=True,
            )
        add_gradients([params[name] for name in names], [None if change is None else -change for change in product])


def _gradient(value: Tensor) -> Tensor:
    assert value.grad is not None
    return value.grad


def _refuse_once_differentiable(gradients: Iterable[Tensor]) -> None:
    """Refuse functions that are marked as differentiable once: torch leaves their second derivative out without a word."""
    ahead = [value.grad_fn for value in gradients]
    seen = set[object]()
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name().endswith("::Error"):
            raise _cannot_twice("a function marked once_differentiable")
        ahead.extend(following for following, _ in node.next_functions)


def _cannot_twice(reason: str) -> CombinationError:
    return CombinationError(
        f"MetaBalance differentiates twice, which an operator of this model does not allow ({reason}): use first_order=true"
    )


@contextmanager
def _explained() -> Iterator[None]:
    """Say what to do where torch cannot differentiate an operator of the model twice."""
    try:
        yield
    except RuntimeError as error:
        if "is not implemented" in str(error):
            raise _cannot_twice(str(error)) from error
        raise
