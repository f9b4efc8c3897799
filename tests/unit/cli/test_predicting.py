from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from steelyard.cli.predicting import _prior, predict
from steelyard.core.errors import ArgumentError

MODEL = SimpleNamespace(classes=np.array([0, 1, 2]))


def test_the_class_that_is_left_out_gets_the_rest() -> None:
    assert _prior("0=0.5,2=0.3", MODEL) == pytest.approx({0: 0.5, 2: 0.3, 1: 0.2})  # type: ignore[arg-type]
    assert _prior("0=0.5, 1=0.4, 2=0.1", MODEL) == {0: 0.5, 1: 0.4, 2: 0.1}  # type: ignore[arg-type]
    assert _prior("em", MODEL) == "em"  # type: ignore[arg-type]
    assert _prior(None, MODEL) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["0=0.5", "3=0.1", "0", "0=half", ""])
def test_what_is_no_class_mix_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="--prior"):
        _prior(text, MODEL)  # type: ignore[arg-type]


def test_every_option_is_explained() -> None:
    assert all(getattr(parameter, "help", None) for parameter in predict.params[2:])
