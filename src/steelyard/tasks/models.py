"""What a user may give as a model, turned into a function that makes a fresh one."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import nn

from steelyard.core.errors import ArgumentError, SteelyardError

Model: TypeAlias = "str | nn.Module | Callable[..., nn.Module]"


@dataclass(frozen=True)
class Builder:
    """Makes fresh models; those by name and those of a factory draw new weights at every call.

    Attributes:
        name: shown in tables.
        make: without arguments.
    """

    name: str
    make: Callable[[], nn.Module] = field(repr=False)

    def __call__(self) -> nn.Module:
        """A fresh model."""
        model = self.make()
        if not isinstance(model, nn.Module):
            raise ArgumentError(
                "model", "something that makes a torch.nn.Module", f"'{self.name}', which gave {type(model).__name__}"
            )
        return model


@dataclass(frozen=True)
class _Named:
    """Makes a model that `steelyard.nets.build` knows; an object, as closures cannot be sent to other processes."""

    name: str
    num_classes: int
    input_shape: tuple[int, ...]
    cardinalities: tuple[int, ...]
    settings: dict[str, Any]

    def __call__(self) -> nn.Module:
        from steelyard import nets

        sizes: dict[str, Any] = {
            "num_classes": self.num_classes,
            "input_shape": self.input_shape,
            "cardinalities": self.cardinalities,
        }
        try:
            return nets.build(self.name, **sizes, **self.settings)
        except SteelyardError:
            raise
        except (TypeError, ValueError) as error:
            if not self.settings:
                raise
            shown = ", ".join(f"{key}={value!r}" for key, value in self.settings.items())
            raise ArgumentError("model", f"'{self.name}' with settings that it can take", f"{shown} ({error})") from error


def builder(
    model: Model,
    *,
    num_classes: int,
    input_shape: Sequence[int],
    cardinalities: Sequence[int] = (),
    settings: Mapping[str, Any] | None = None,
) -> Builder:
    """Understand a model.

    Args:
        model: a name that `steelyard.nets.build` knows; a module, of which every run trains a copy that starts from the
            weights it has; or a class or function that makes a module, called with `num_classes=C` where it has such a
            parameter, with C where it needs exactly one argument, and without arguments otherwise.
        num_classes: C.
        input_shape: of one input.
        cardinalities: known categories of each categorical column.
        settings: further arguments for a model by name.

    Raises:
        ArgumentError: `model` is none of these, or the factory needs more arguments.

    Example:
        >>> builder(lambda classes: nn.Linear(4, classes), num_classes=3, input_shape=(4,))()
        Linear(in_features=4, out_features=3, bias=True)
    """
    if isinstance(model, str):
        make = _Named(model, num_classes, tuple(input_shape), tuple(cardinalities), dict(settings or {}))
        return Builder(model, make)
    if settings:
        raise ArgumentError("model_settings", "empty, as the model is not given by name", dict(settings))
    if isinstance(model, nn.Module):
        return Builder(type(model).__name__, functools.partial(copy.deepcopy, model))
    if not callable(model):
        raise ArgumentError("model", "a name, a torch.nn.Module, or a function that makes one", type(model).__name__)
    return Builder(getattr(model, "__name__", type(model).__name__), _call(model, num_classes))


def _call(factory: Callable[..., nn.Module], num_classes: int) -> Callable[[], nn.Module]:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # some built-in callables have no signature
        return functools.partial(factory, num_classes)
    if any(p.name == "num_classes" and p.kind is not p.POSITIONAL_ONLY for p in parameters):
        return functools.partial(factory, num_classes=num_classes)
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p for p in parameters if p.default is p.empty and p.kind not in variadic]
    if not needed:
        return factory
    if len(needed) == 1 and needed[0].kind is not inspect.Parameter.KEYWORD_ONLY:
        return functools.partial(factory, num_classes)
    raise ArgumentError(
        "model",
        "a function without arguments, or with one (the number of classes)",
        f"one that needs {', '.join(p.name for p in needed)}",
    )
