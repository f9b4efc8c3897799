"""What a few rows of a batch add to the gradient, read off the backward pass of the whole batch.

The gradient of a linear layer or a convolution is a sum over rows of what went in times what came back. Summing over a few rows
costs a third of running the model on them, and asks for no other pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.grad import conv1d_weight, conv2d_weight, conv3d_weight

from steelyard.core.oracle import Params
from steelyard.descents._subset import NORMALISERS

Kept = tuple[Tensor | None, ...]
Rule = Callable[[Any, Tensor, Tensor, Kept], Params]
CONVOLUTIONS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv1d: conv1d_weight,
    nn.Conv2d: conv2d_weight,
    nn.Conv3d: conv3d_weight,
}
DRAWING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


class RowGradients:
    """The part of a backward pass that belongs to some rows, by parameter.

    Args:
        model: what is run.
        trained: its trainable parameters by name.
    """

    def __init__(self, model: nn.Module, trained: Params) -> None:
        self._trained = trained
        self._owners = {
            name: module
            for name, module in model.named_modules()
            if any(value.requires_grad for value in module.parameters(recurse=False))
        }
        draws = any(isinstance(module, DRAWING) and module.training for module in model.modules())
        self._known = not draws and all(_rule_of(module) is not None for module in self._owners.values())
        self._sizes: dict[str, list[int]] = {name: [] for name in self._owners}
        self._rows: Tensor | None = None
        self._statistics: Params = {}
        self._found: dict[str, Tensor] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Around the forward pass."""
        handles = []
        if self._known:
            handles = [module.register_forward_hook(self._listener(name)) for name, module in self._owners.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def covers(self, loss: Tensor, inputs: int) -> bool:
        """Does every parameter reach the loss through one run of its own layer on all inputs, or not at all?

        False too where a layer is of a kind that is not known here, and where rows were scored before the watch began.
        """
        if not self._known:
            return False
        uses = uses_of(loss)
        for name, module in self._owners.items():
            ways = [uses.get(id(value), 0) for value in module.parameters(recurse=False) if value.requires_grad]
            if any(ways) and (max(ways) > 1 or self._sizes[name] != [inputs]):
                return False
        return True

    @contextmanager
    def of(self, rows: Tensor, statistics: Params, found: dict[str, Tensor]) -> Iterator[None]:
        """Around the backward pass: gathers the gradients of these rows.

        Args:
            rows: numbers of inputs `[n]`.
            statistics: what BatchNorm layers normalised by, as buffers by name.
            found: where to, by parameter name.
        """
        self._rows, self._statistics, self._found = rows, statistics, found
        try:
            yield
        finally:
            self._rows = None

    def _listener(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        rule = _rule_of(self._owners[name])
        assert rule is not None
        prefix = f"{name}." if name else ""

        def listen(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if not (isinstance(output, Tensor) and output.requires_grad and len(args) == 1 and isinstance(args[0], Tensor)):
                self._sizes[name].append(-1)
                return
            held = [args[0].detach()]
            self._sizes[name].append(len(held[0]))

            def take(gradient: Tensor) -> None:
                values = held.pop() if held else None  # the graph, and this with it, outlives the tensors that it saved
                if values is not None and self._rows is not None:
                    kept = tuple(self._statistics.get(prefix + key) for key in ("running_mean", "running_var"))
                    parts = rule(module, picked(values, self._rows), picked(gradient, self._rows), kept)
                    self._found |= {prefix + key: value for key, value in parts.items() if prefix + key in self._trained}

            output.register_hook(take)

        return listen


def _rule_of(module: nn.Module) -> Rule | None:
    """How a layer's gradients are summed over rows; None where that is not known."""
    if type(module) is nn.Linear:
        return _linear
    if type(module) in NORMALISERS:
        return _normaliser
    if type(module) in CONVOLUTIONS and isinstance(module.padding, tuple) and module.padding_mode == "zeros":
        return _convolution
    return None


def _linear(layer: nn.Linear, values: Tensor, gradient: Tensor, _: Kept) -> Params:
    kind = layer.weight.dtype
    values, gradient = values.flatten(0, -2).to(kind), gradient.flatten(0, -2).to(kind)
    return {"weight": gradient.T @ values, "bias": gradient.sum(0)}


def _convolution(layer: Any, values: Tensor, gradient: Tensor, _: Kept) -> Params:
    kind = layer.weight.dtype
    values, gradient = values.to(kind), gradient.to(kind)
    weight = CONVOLUTIONS[type(layer)](
        values, layer.weight.shape, gradient, layer.stride, layer.padding, layer.dilation, layer.groups
    )
    return {"weight": weight} if layer.bias is None else {"weight": weight, "bias": _channels(gradient)}


def _normaliser(layer: Any, values: Tensor, gradient: Tensor, kept: Kept) -> Params:
    kind = layer.weight.dtype
    values, gradient = values.to(kind), gradient.to(kind)
    mean = layer.running_mean if kept[0] is None else kept[0]
    variance = layer.running_var if kept[1] is None else kept[1]
    _, weight, bias = torch.ops.aten.native_batch_norm_backward(  # the two sums in one pass
        gradient, values, layer.weight, None, None, mean, (variance + layer.eps).rsqrt(), True, layer.eps, [False, True, True]
    )
    return {"weight": weight, "bias": bias}


def picked(values: Tensor, rows: Tensor) -> Tensor:
    """`values[rows]`, in the layout of `values`; row by row as they lie in memory, which is several times faster.

    Example:
        >>> import torch
        >>> images = torch.arange(6.0).view(3, 2, 1, 1).contiguous(memory_format=torch.channels_last)
        >>> picked(images, torch.tensor([2, 0])).flatten()
        tensor([4., 5., 0., 1.])
    """
    if values.is_contiguous():
        return values.index_select(0, rows)
    by_pixel = values.movedim(1, -1)
    return by_pixel.index_select(0, rows).movedim(-1, 1) if by_pixel.is_contiguous() else values[rows]


def _channels(values: Tensor) -> Tensor:
    """The sum over all but the second dimension."""
    return values.sum([dim for dim in range(values.ndim) if dim != 1])


def uses_of(loss: Tensor) -> Mapping[int, int]:
    """How many operations of a loss' graph take each leaf, by its id.

    Example:
        >>> import torch
        >>> used, idle = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
        >>> uses = uses_of((used.exp() * used).sum())
        >>> uses.get(id(used), 0), uses.get(id(idle), 0)
        (2, 0)
    """
    found: dict[int, int] = {}
    waiting, seen = [loss.grad_fn], {loss.grad_fn}
    while waiting:
        node = waiting.pop()
        for following, _ in () if node is None else node.next_functions:
            if following is None:
                continue
            if following.name() == "torch::autograd::AccumulateGrad":
                leaf = id(following.variable)  # type: ignore[attr-defined]
                found[leaf] = found.get(leaf, 0) + 1
            elif following not in seen:
                seen.add(following)
                waiting.append(following)
    return found
