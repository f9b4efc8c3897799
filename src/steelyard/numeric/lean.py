"""A graph that keeps the inputs of batch normalisations, and computes their results again when the backward pass asks for them.

A convolution followed by batch normalisation and ReLU keeps two images a layer: the input of the normalisation, and the result
of the ReLU, which is the next convolution's input. The second is one multiplication and one addition an entry away from the
first. Where two graphs have to be alive at once, this is what keeps them within the memory of two.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode

from steelyard.numeric.replay import batch_norm_of, is_autocast, normalised


@dataclass(frozen=True, eq=False)
class _Recipe:
    """How a result is made: of a batch normalisation, or of the ReLU after it."""

    x: Tensor
    gain: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor
    rectified: bool = False

    def make(self) -> Tensor:
        value = normalised(self.x, self.gain, self.bias, self.mean, self.scale)
        return torch.relu_(value) if self.rectified else value


class Lean(TorchFunctionMode):
    """Within it, graphs do not keep the results of batch normalisations in training mode, nor of ReLUs that follow them.

    Gradients are those of the whole graph up to rounding, however often it is gone backward through; each time computes again.
    On the CPU; elsewhere torch's own kernels run, and everything is kept.

    Example:
        >>> layers = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
        >>> with Lean():
        ...     loss = layers(torch.tensor([[1.0, -1.0], [2.0, 3.0]])).sum()
        >>> torch.autograd.grad(loss, layers[2].weight)[0].round(decimals=3)
        tensor([[1., 1.]])
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, tuple[weakref.ref[Tensor], int, _Recipe]] = {}
        self._last: tuple[_Recipe, Tensor] | None = None
        self._hooks = saved_tensors_hooks(self._pack, self._unpack)

    def __enter__(self) -> Lean:
        """Begin."""
        super().__enter__()  # type: ignore[no-untyped-call]
        self._hooks.__enter__()
        return self

    def __exit__(self, *reason: Any) -> None:
        """End; what is on the graph by now stays able to make what it does not hold."""
        self._hooks.__exit__(*reason)
        super().__exit__(*reason)  # type: ignore[no-untyped-call]
        self._known.clear()

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call, and remember how the result was made."""
        given = dict(kwargs or {})
        if func is F.batch_norm and not is_autocast(args) and (named := batch_norm_of(*args, **given)) is not None:
            x, mean, variance, weight, bias, momentum, eps = named
            result, own_mean, scale = torch.native_batch_norm(x, weight, bias, mean, variance, True, momentum, eps)
            self._remember(result, _Recipe(x.detach(), weight.detach(), bias.detach(), own_mean, scale))
            return result
        if func in (F.relu, torch.relu, torch.relu_):
            return self._relu(func, *args, **given)
        return func(*args, **given)

    def _relu(self, func: Any, input: Tensor, inplace: bool = False) -> Tensor:
        recipe = self._recipe_of(input)
        if recipe is None or input._is_view():
            return func(input, **({"inplace": inplace} if func is F.relu else {}))  # type: ignore[no-any-return]
        after = replace(recipe, rectified=True)
        result: Tensor = _ReLU.apply(input, inplace or func is torch.relu_, self, after)  # type: ignore[no-untyped-call]
        self._remember(result, after)
        return result

    def _remember(self, result: Tensor, recipe: _Recipe) -> None:
        self._known[result.data_ptr()] = weakref.ref(result), result._version, recipe

    def _recipe_of(self, value: Tensor) -> _Recipe | None:
        """How this very tensor was made; None where it was changed since, or is another one at the same place."""
        reference, version, recipe = self._known.get(value.data_ptr(), (None, 0, None))
        known = None if reference is None else reference()
        if known is None or value._version != version or known._version != version:
            return None
        same = value.shape == known.shape and value.stride() == known.stride() and value.dtype == known.dtype
        return recipe if same else None

    def _pack(self, value: Tensor) -> Tensor | _Recipe:
        return self._recipe_of(value) or value

    def _unpack(self, kept: Tensor | _Recipe) -> Tensor:
        return kept if isinstance(kept, Tensor) else self.again(kept)

    def again(self, kept: _Recipe) -> Tensor:
        """What is made so."""
        if self._last is None or self._last[0] is not kept:  # the next one is often the same: a ReLU asks after a convolution
            self._last = None
            self._last = kept, kept.make()
        return self._last[1]


class _ReLU(Function):
    """Holds how its result was made instead of the result."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, inplace: bool, lean: Lean, recipe: _Recipe) -> Any:
        if inplace:
            ctx.mark_dirty(x)
        ctx.lean, ctx.recipe = lean, recipe
        return torch.relu_(x) if inplace else torch.relu(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        return torch.ops.aten.threshold_backward(grad, ctx.lean.again(ctx.recipe), 0), None, None, None
