"""Finding the classifier of a model: its last linear layer, whose input is what we call the features."""

from __future__ import annotations

from torch import Tensor, nn


class Head(nn.Module):
    """Marks a classifier that is not an `nn.Linear` (a cosine head, say): maps features `[N, d]` to logits `[N, C]`."""

    in_features: int
    out_features: int


def find_head(model: nn.Module) -> tuple[str, nn.Linear | Head] | None:
    """Name and module of the last linear layer (`nn.Linear` or a `Head`) in module order; None where there is none.

    Example:
        >>> find_head(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)))[0]
        '2'
    """
    found: tuple[str, nn.Linear | Head] | None = None
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Head):
            found = (name, module)
    return found


class Tap:
    """Keeps what last went into a model's head, while it is open.

    Use `close()` when done: it takes the hook off the model again.
    """

    def __init__(self, model: nn.Module) -> None:
        self.value: Tensor | None = None
        head = find_head(model)
        self._handle = head[1].register_forward_pre_hook(self._keep) if head else None

    def _keep(self, _module: nn.Module, args: tuple[Tensor, ...]) -> None:
        self.value = args[0]

    def take(self) -> Tensor | None:
        """What went in since the last call, and forget it."""
        value, self.value = self.value, None
        return value

    def close(self) -> None:
        """Take the hook off the model."""
        if self._handle is not None:
            self._handle.remove()
