"""How fast each of many losses changes along one direction in parameter space: `<grad l_i, v>` for all i at once.

Forward-mode differentiation gives all of them in one pass, about the cost of two forward passes, and keeps no graph. Two
backward passes give the same numbers where an operator has no forward-mode rule.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from steelyard.numeric.replay import Recording, Replaying

Params = Mapping[str, Tensor]
Losses = Callable[[Params], Tensor]


def forward_slopes(losses: Losses, at: Params, direction: Params, record: Recording | None = None) -> Tensor:
    """`<grad l_i(at), direction>` of each loss `[N]`, by one forward-mode pass.

    Args:
        losses: parameters by name to losses `[N]`.
        at: where.
        direction: same names and shapes as `at`.
        record: of an earlier pass through the same losses at the same place, whose values are then used again.

    Raises:
        NotImplementedError: an operator has no forward-mode rule.
        NotTheSame: the losses do not call what was recorded.

    Example:
        >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> forward_slopes(lambda p: x @ p["w"], {"w": torch.zeros(2)}, {"w": torch.tensor([1.0, 0.0])})
        tensor([1., 3.])
    """
    _load_rules()
    replaying = Replaying(record) if record is not None and record.made else None
    with torch.no_grad(), forward_ad.dual_level(), plain_attention(), replaying or nullcontext():
        dual = {name: forward_ad.make_dual(value.detach(), direction[name].detach()) for name, value in at.items()}
        try:
            primal, tangent = forward_ad.unpack_dual(losses(dual))
        except RuntimeError as error:  # what an operator without a rule, and a custom function without `jvp`, raise
            if isinstance(error, NotImplementedError) or "forward" in str(error) or "jvp" in str(error):
                raise NotImplementedError(str(error)) from error
            raise
    if replaying is not None:
        replaying.finish()
    return torch.zeros_like(primal) if tangent is None else tangent


@functools.cache
def _load_rules() -> None:
    """Make torch load its forward-mode rules, which it does at the first use, with a warning about its own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with forward_ad.dual_level():
            forward_ad.make_dual(torch.zeros(1), torch.zeros(1))


def reverse_slopes(losses: Losses, at: Params, direction: Params) -> Tensor:
    """The same numbers by two backward passes: the gradient of `<sum_i e_i grad l_i, direction>` by e.

    Args:
        losses: parameters by name to losses `[N]`.
        at: where.
        direction: same names and shapes as `at`.

    Example:
        >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> reverse_slopes(lambda p: x @ p["w"], {"w": torch.zeros(2)}, {"w": torch.tensor([1.0, 0.0])})
        tensor([1., 3.])
    """
    with torch.enable_grad(), plain_attention():
        leaves = {name: value.detach().requires_grad_() for name, value in at.items()}
        values = losses(leaves)
        weights = torch.zeros_like(values, requires_grad=True)
        gradients = weighted_gradients(values, weights, leaves)
        return slopes_of(gradients, weights, direction)


def weighted_gradients(losses: Tensor, weights: Tensor, params: Params) -> dict[str, Tensor]:
    """`sum_i w_i grad l_i` by name, with the graph back to the weights; zeros for parameters that no loss depends on."""
    found = torch.autograd.grad(losses, list(params.values()), grad_outputs=weights, create_graph=True, materialize_grads=True)
    return dict(zip(params, found, strict=True))


def slopes_of(gradients: Params, weights: Tensor, direction: Params) -> Tensor:
    """`<grad l_i, direction>` of each loss `[N]`, from what `weighted_gradients` returned."""
    return sent_back(gradients, direction, [weights])[0]


def sent_back(gradients: Params, direction: Params, towards: Sequence[Tensor], *, retain_graph: bool = False) -> list[Tensor]:
    """The derivative of `<gradients, direction>` by each of `towards`, through the graph of the gradients."""
    pairs = [(value, direction[name]) for name, value in gradients.items() if value.requires_grad]
    if not pairs:
        return [torch.zeros_like(value) for value in towards]
    found = torch.autograd.grad(
        [value for value, _ in pairs],
        list(towards),
        grad_outputs=[along for _, along in pairs],
        retain_graph=retain_graph,
        materialize_grads=True,
    )
    return list(found)


def difference_slopes(losses: Losses, at: Params, direction: Params, *, scale: float | None = None) -> Tensor:
    """The same numbers approximately, by a central difference: two forward passes and nothing else asked of the operators.

    Args:
        losses: parameters by name to losses `[N]`.
        at: where.
        direction: same names and shapes as `at`.
        scale: length of the step relative to the norm of the parameters, above 0; None for the cube root of the precision
            of the parameters divided by ten, where rounding and curvature are balanced for networks of a few layers.
    """
    with torch.no_grad():
        precision = torch.finfo(next(iter(at.values())).dtype).eps
        scale = precision ** (1 / 3) / 10 if scale is None else scale
        size = torch.stack([value.detach().norm() for value in at.values()]).norm().clamp_min(1e-12)
        length = torch.stack([direction[name].norm() for name in at]).norm().clamp_min(1e-30)
        step = scale * size / length
        up, down = (losses({n: v.detach() + sign * step * direction[n] for n, v in at.items()}) for sign in (1, -1))
        slopes: Tensor = (up - down) / (2 * step)
    return slopes


@contextmanager
def plain_attention() -> Iterator[None]:
    """Attention by plain matrix products: its fused kernels can be differentiated once only, or not at all."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
