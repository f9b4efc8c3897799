from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import nn

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.tasks.models import builder


def built(model: Any, **settings: Any) -> nn.Module:
    return builder(model, num_classes=3, input_shape=(4,), **settings)()


def two_needed(width: int, depth: int) -> nn.Module:
    return nn.Linear(width, depth)


def keyword_only(*, width: int) -> nn.Module:
    return nn.Linear(width, 3)


@pytest.mark.parametrize(
    "factory",
    [
        lambda: nn.Linear(4, 3),
        lambda classes: nn.Linear(4, classes),
        lambda classes, width=4: nn.Linear(width, classes),
        lambda width=4, *, num_classes: nn.Linear(width, num_classes),
        lambda *_, **__: nn.Linear(4, 3),
        functools.partial(nn.Linear, 4),
    ],
)
def test_factories_get_the_number_of_classes_where_they_take_it(factory: Any) -> None:
    assert built(factory)(torch.zeros(2, 4)).shape == (2, 3)


def test_a_module_is_copied_with_its_weights() -> None:
    given = nn.Linear(4, 3)
    copy = built(given)
    assert copy is not given and torch.equal(copy.weight, given.weight)  # type: ignore[arg-type]


def test_names_draw_new_weights_from_the_global_stream() -> None:
    make = builder("mlp", num_classes=3, input_shape=(4,))
    torch.manual_seed(1)
    one, other = make(), make()
    torch.manual_seed(1)
    same = make()
    weights = [next(iter(model.parameters())) for model in (one, other, same)]
    assert torch.equal(weights[0], weights[2]) and not torch.equal(weights[0], weights[1])
    assert make.name == "mlp"


@pytest.mark.parametrize(
    ("model", "settings", "error", "message"),
    [
        (two_needed, {}, ArgumentError, "one that needs width, depth"),
        (keyword_only, {}, ArgumentError, "one that needs width"),
        (7, {}, ArgumentError, "int"),
        (lambda: "no module", {}, ArgumentError, "which gave str"),
        (nn.Linear(4, 3), {"settings": {"width": 3}}, ArgumentError, "`model_settings`"),
        ("mpl", {}, UnknownName, "did you mean 'mlp'"),
        ("mlp", {"settings": {"widht": 3}}, UnknownName, "widht"),
        ("mlp", {"settings": {"hidden": "abc"}}, ArgumentError, "`model` .*hidden='abc'"),
    ],
)
def test_what_makes_no_model(model: Any, settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        built(model, **settings)
