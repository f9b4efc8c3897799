from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from steelyard.cli.diagnosing import _check_folder, _source, _table_in, diagnose
from steelyard.core.errors import ArgumentError, SteelyardError

NOTHING: dict[str, Any] = {"target": None, "drop": None, "factor": None, "max_rows": 1000, "features": None, "seed": 0}


def test_every_option_is_explained() -> None:
    page = CliRunner().invoke(diagnose, ["--help"]).output
    for parameter in diagnose.params[1:]:
        assert parameter.opts[0] in page
        assert getattr(parameter, "help", None), parameter.name


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    _check_folder(None)
    _check_folder(tmp_path / "new")
    _check_folder(tmp_path)
    (tmp_path / "diagnosis.json").write_text("{}")
    _check_folder(tmp_path)
    (tmp_path / "diagnosis.json").rename(tmp_path / "thesis.tex")
    with pytest.raises(SteelyardError, match="other files"):
        _check_folder(tmp_path)
    with pytest.raises(SteelyardError, match="it is a file"):
        _check_folder(tmp_path / "thesis.tex")


def test_the_training_table_of_a_folder_is_meant(tmp_path: Path) -> None:
    assert _table_in(tmp_path) == tmp_path
    (tmp_path / "loans.csv").write_text("a,y\n1,2\n")
    assert _table_in(tmp_path).name == "loans.csv"
    (tmp_path / "test.csv").write_text("a,y\n1,2\n")
    assert _table_in(tmp_path) == tmp_path
    (tmp_path / "train.csv").write_text("a,y\n1,2\n")
    assert _table_in(tmp_path).name == "train.csv"


def test_built_in_data_come_whole_or_with_a_tail() -> None:
    whole = _source("digits", NOTHING | {"max_rows": 5000})
    assert (whole.X.shape, len(whole.class_names), whole.kind) == ((1797, 64), 10, "images")
    assert any("pixels" in note for note in whole.notes)
    tailed = _source("digits", NOTHING | {"factor": 10.0})
    assert max(tailed.counts) / min(tailed.counts) >= 8
    assert sum(tailed.counts) < 1000


def test_rows_and_labels_of_a_sample_go_together() -> None:
    few = _source("blobs", NOTHING | {"max_rows": 200})
    all_of_it = _source("blobs", NOTHING | {"max_rows": 100_000})
    assert few.counts == all_of_it.counts
    assert len(few.y) < len(all_of_it.y)
    for c in range(len(few.class_names)):
        # The blobs are far apart, so a mean of one class is near no other.
        gaps = [np.linalg.norm(few.X[few.y == c].mean(0) - few.X[few.y == other].mean(0)) for other in range(len(few.counts))]
        assert min(gap for other, gap in enumerate(gaps) if other != c) > 0.1


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("t.csv", {}, "--target.*a, y"),
        ("t.csv", {"target": "y", "factor": 10.0}, "--factor"),
        ("e.npz", {"target": "y"}, "--target"),
        ("e.npz", {"drop": "a"}, "--drop"),
        ("e.npz", {"factor": 3.0}, "--factor"),
    ],
)
def test_options_that_would_do_nothing_are_refused(tmp_path: Path, name: str, change: dict[str, Any], said: str) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "1,b\n2,c\n" * 10)
    np.savez(tmp_path / "e.npz", X=np.ones((4, 2)), y=[0, 1, 0, 1])
    with pytest.raises(ArgumentError, match=said):
        _source(str(tmp_path / name), NOTHING | change)
