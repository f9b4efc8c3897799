"""Models of one's own code by name: found, given their settings, and recognised when their file changes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from steelyard.core.errors import SteelyardError
from steelyard.problems import load
from steelyard.problems._model import model_of, own_model_file, with_own_model
from steelyard.problems._settings import ProblemSettings

CODE = """from torch import nn


def wide(num_classes, width=8):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(width), nn.ReLU(), nn.Linear(width, num_classes))


class Nets:
    @staticmethod
    def plain(classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a module of networks in the current folder."""
    name = f"nets_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_settings_behind_the_name_reach_the_function(own: str) -> None:
    task = load("digits", model=f"{own}:wide(width=5)")
    model = task.model()
    model(torch.zeros(2, 1, 8, 8))
    assert (model[1].out_features, model[3].out_features) == (5, 10)
    assert (
        task.describe()["name"]
        and load("digits", model=f"{own}:wide", model_settings={"width": 3}).model()[1].out_features == 3
    )


def test_a_function_of_one_argument_is_given_the_number_of_classes(own: str) -> None:
    assert load("digits", model=f"{own}:Nets.plain").model()[1].out_features == 10


def test_it_can_be_sent_to_other_processes(own: str) -> None:
    settings = with_own_model(ProblemSettings(model=f"{own}:wide(width=4)"))
    again = pickle.loads(pickle.dumps(settings.model))
    assert (again.__name__, again(2)[1].out_features) == ("wide", 4)


@pytest.mark.parametrize(
    "name", ["auto", "resnet32", "small-cnn(width=16)", "timm:vit_tiny", "torchvision:resnet18(weights=none)"]
)
def test_other_names_stay_as_they_are(name: str) -> None:
    settings = ProblemSettings(model=name)
    assert with_own_model(settings) == settings
    assert own_model_file(name) is None


def test_modules_and_functions_stay_as_they_are() -> None:
    for model in (nn.Linear(1, 2), nn.Linear):
        assert with_own_model(ProblemSettings(model=model)).model is model
        assert own_model_file(model) is None


def test_what_is_written_behind_a_name_is_read_as_values() -> None:
    found = model_of(ProblemSettings(model="mlp(hidden=(7,), norm=none)", model_settings={"dropout": 0.5}))
    assert found == {"model": "mlp", "model_settings": {"hidden": (7,), "norm": None, "dropout": 0.5}}


def test_what_cannot_be_found_is_said(own: str) -> None:
    with pytest.raises(SteelyardError, match=f"module '{own}' has no function 'narrow'; it has: .*wide"):
        load("digits", model=f"{own}:narrow")
    with pytest.raises(SteelyardError, match="module 'no_such_module_here' cannot be imported"):
        load("digits", model="no_such_module_here:net")


def test_the_file_that_it_stands_in(own: str) -> None:
    assert own_model_file(f"{own}:wide(width=5)") == Path.cwd() / f"{own}.py"
