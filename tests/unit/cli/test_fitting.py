from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from steelyard.cli.fitting import _budget, _check_folder, _check_metric, _costs, _decision, fit
from steelyard.core.errors import ArgumentError, SteelyardError, UnknownName

NAMES = ("honest", "fraud", "a:b")
NOTHING = {"costs": None, "recall": None, "alerts": None}


def test_costs_are_zero_where_right_and_one_where_nothing_was_said() -> None:
    table = _costs("fraud:honest=100, honest:fraud=2.5", NAMES)
    assert table.tolist() == [[0, 2.5, 1], [100, 0, 1], [1, 1, 0]]
    assert _costs("fraud:fraud=-3", NAMES)[1, 1] == -3
    assert _costs("a:b:fraud=7,fraud:a:b=8", NAMES)[[2, 1], [1, 2]].tolist() == [7, 8]  # a name may hold a colon
    found = _costs('"small:rare, large=9","rare, large":small=7', ("small", "rare, large"))
    assert found.tolist() == [[0, 9], [7, 0]]


@pytest.mark.parametrize(
    "text",
    ["fraud:honest=1,fraud:honest=2", "fraud=3", "fraud:honest", "fraud:honest=x", "fraud:honest=inf", "", "fraud:honest=1,"],
)
def test_what_are_no_costs_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="--costs"):
        _costs(text, NAMES)


def test_a_wrong_metric_is_said_before_the_file_is_read() -> None:
    _check_metric(NOTHING | {"metric": "auprc"})
    _check_metric(NOTHING | {"metric": "expected_cost", "costs": "fraud:honest=2"})
    with pytest.raises(ArgumentError, match="--costs"):
        _check_metric(NOTHING | {"metric": "expected_cost"})
    with pytest.raises(UnknownName, match="auprc"):
        _check_metric(NOTHING | {"metric": "aupr"})


def test_costs_of_unknown_classes_are_refused() -> None:
    with pytest.raises(UnknownName, match="fraud"):
        _costs("frauds:honest=3", NAMES)


@given(st.integers(1, 1000), st.integers(1, 100_000))
def test_a_budget_is_alerts_over_rows(alerts: int, rows: int) -> None:
    if alerts <= rows:
        assert _budget(f"{alerts}/{rows}") == alerts / rows
    else:
        with pytest.raises(ArgumentError, match="--alerts"):
            _budget(f"{alerts}/{rows}")


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", "1/0", "5/x", "", "nan"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="--alerts"):
        _budget(text)


def test_decisions_are_chosen_on_the_rows_that_they_are_given() -> None:
    proba = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.7, 0.3]])
    target = np.array([0, 1, 1, 0])
    choose, words = _decision(NOTHING | {"recall": "fraud=1.0"}, ("honest", "fraud"))
    assert choose(proba, target).decide(proba)[[1, 2]].tolist() == [1, 1]
    assert words == "finds 100 % of 'fraud'"
    choose, words = _decision(NOTHING | {"alerts": "fraud=1/4"}, ("honest", "fraud"))
    assert choose(proba, target).decide(proba).tolist() == [0, 0, 1, 0]
    assert words == "'fraud' for 25 % of the rows"
    assert _decision(NOTHING, NAMES) == ("auto", None)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    _check_folder(tmp_path / "new")
    _check_folder(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    _check_folder(tmp_path)
    (tmp_path / "model.json").rename(tmp_path / "thesis.tex")
    with pytest.raises(SteelyardError, match="other files"):
        _check_folder(tmp_path)
    with pytest.raises(SteelyardError, match="it is a file"):
        _check_folder(tmp_path / "thesis.tex")


def test_a_folder_that_cannot_be_is_refused_before_the_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1")
    with pytest.raises(SteelyardError, match="--out"):
        _check_folder(tmp_path / "file" / "model")
    _check_folder(tmp_path / "new" / "model")
    assert not (tmp_path / "new").exists()  # it was only tried


def test_every_option_is_explained() -> None:
    page = CliRunner().invoke(fit, ["--help"]).output
    for parameter in fit.params[1:]:
        assert parameter.opts[0] in page
        assert getattr(parameter, "help", None), parameter.name
