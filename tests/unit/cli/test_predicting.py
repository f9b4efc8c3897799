from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from steelyard.cli.options import names_of
from steelyard.cli.predicting import _prior, predict
from steelyard.core.errors import ArgumentError
from steelyard.estimator.predicting import Predicted

MODEL = SimpleNamespace(classes=np.array([0, 1, 2]))


def test_the_class_that_is_left_out_gets_the_rest() -> None:
    assert _prior("0=0.5,2=0.3", MODEL) == pytest.approx({0: 0.5, 2: 0.3, 1: 0.2})  # type: ignore[arg-type]
    assert _prior("0=0.5, 1=0.4, 2=0.1", MODEL) == {0: 0.5, 1: 0.4, 2: 0.1}  # type: ignore[arg-type]
    assert _prior("em", MODEL) == "em"  # type: ignore[arg-type]
    assert _prior(None, MODEL) is None  # type: ignore[arg-type]


def test_names_of_classes_may_hold_equals_signs() -> None:
    model = SimpleNamespace(classes=np.array(["k=1", "k=2"]))
    assert _prior("k=2=0.25", model) == {"k=2": 0.25, "k=1": 0.75}  # type: ignore[arg-type]


def test_names_with_commas_stand_in_quotes() -> None:
    model = SimpleNamespace(classes=np.array(["rare, large", 'si"ze', "rest"]))
    found = _prior('"rare, large"=0.25, si"ze=0.5', model)  # type: ignore[arg-type]
    assert found == {"rare, large": 0.25, 'si"ze': 0.5, "rest": 0.25}
    assert names_of('"a, b", c,,"d"') == ("a, b", "c", "d")
    assert names_of("a\nb,c") == ("a\nb", "c")
    assert names_of(None) == names_of("") == names_of(" , ") == ()


@pytest.mark.parametrize(
    "text",
    ["0=0.5", "3=0.1", "0", "0=half", "", "0=1.2,1=0", "0=-0.1,1=0.4", "0=0.6,1=0.6", "0=0.1,1=0.1,2=0.1", "0=0.2,0=0.3,1=0.1"],
)
def test_what_is_no_class_mix_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="--prior"):
        _prior(text, MODEL)  # type: ignore[arg-type]


def test_every_option_is_explained() -> None:
    assert all(getattr(parameter, "help", None) for parameter in predict.params[2:])


def test_columns_that_are_not_needed_are_named_where_they_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    done = Predicted(3, {"a": 1, "b": 2}, np.array([0.5, 0.5]), {}, tuple(f"c{i}" for i in range(9)))
    monkeypatch.setattr("steelyard.estimator.folder.load_model", lambda folder: MODEL)
    monkeypatch.setattr("steelyard.estimator.predicting.predict_file", lambda *given, **more: done)
    shown = CliRunner().invoke(predict, ["model", "new.csv", "--out", "scored.csv"]).output
    assert "note: new.csv lacks 'c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7', ..., which the model does not use" in shown
