"""`steelyard diagnose FOLDER` as a user runs it, after `steelyard compare`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from compared import compared

from steelyard.cli import cli
from steelyard.cli.diagnosing_models import OF_DATA
from steelyard.core.errors import SteelyardError


def steelyard(*arguments: object) -> str:
    """The command in this process; what it printed."""
    texts = [str(argument) for argument in arguments]
    result = CliRunner().invoke(cli, texts, catch_exceptions=False, standalone_mode=False, env={"COLUMNS": "300"})
    if isinstance(result.return_value, SteelyardError):
        raise result.return_value
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("diagnosed") / "wine"
    return compared(out, "wine", ("ce", "tau-norm", "inverse-frequency", "compared:forgetful"), seeds=(0, 1), factor=4.0)


@pytest.mark.multiprocess
def test_from_compare_to_the_page(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    asked = ("--methods", "ce,posthoc-la", "--seeds", "1", "--epochs", "2", "--jobs", "1", "--no-report", "--out", out)
    steelyard("compare", "wine", "--factor", "4", *asked)
    said = steelyard("diagnose", out, "--out", tmp_path / "found")
    assert "wine: 2 trained models, seed 0" in said
    assert {path.name for path in (tmp_path / "found").iterdir()} == {"diagnosis.json", "report.html"}
    facts = json.loads((tmp_path / "found" / "diagnosis.json").read_text())
    assert [one["method"] for one in facts["models"]] == ["ce", "posthoc-la"]
    scores = {}
    for result in (out / "runs").glob("*/result.json"):
        record = json.loads(result.read_text())
        scores[record["method"]] = record["metrics"]["balanced_accuracy"]
    for one in facts["models"]:
        assert one["groups"]["all"]["recall"] == pytest.approx(scores[one["method"]])
    first, second = (one["geometry"]["nc1"] for one in facts["models"])
    assert first == pytest.approx(second)  # the same training, another decision


def test_json_is_all_that_is_printed_and_what_failed_is_a_note(folder: Path) -> None:
    facts = json.loads(steelyard("diagnose", folder, "--seed", "1", "--json", "--device", "cpu"))
    assert facts["seed"] == 1
    assert [one["method"] for one in facts["models"]] == ["ce", "tau-norm", "inverse-frequency"]
    assert any(note.startswith("compared:forgetful: its model cannot be made again") for note in facts["notes"])
    assert facts["models"][2]["weights"]["epochs"] == [1, 2]


def test_all_seeds_are_averaged(folder: Path) -> None:
    each = [json.loads(steelyard("diagnose", folder, "--seed", str(seed), "--json")) for seed in (0, 1)]
    facts = json.loads(steelyard("diagnose", folder, "--all-seeds", "--json"))
    assert facts["seed"] == "0, 1" and facts["notes"][0].startswith("numbers are means over the seeds 0, 1")
    for place, model in enumerate(facts["models"]):
        ones = [one["models"][place] for one in each]
        assert model["groups"]["all"]["recall"] == pytest.approx(sum(one["groups"]["all"]["recall"] for one in ones) / 2)
        assert model["over_seeds"]["nc1"] == [one["geometry"]["nc1"] for one in ones]
        assert model["grams"] == ones[0]["grams"]
    assert "±" in steelyard("diagnose", folder, "--all-seeds", "--methods", "ce")
    run = next((folder / "runs").iterdir())
    with pytest.raises(SteelyardError, match="is one run"):
        steelyard("diagnose", run, "--all-seeds")
    with pytest.raises(SteelyardError, match="left out with --all-seeds"):
        steelyard("diagnose", folder, "--all-seeds", "--seed", "1")


def test_one_run_and_one_method_can_be_asked_for(folder: Path) -> None:
    assert "inverse-frequency" not in steelyard("diagnose", folder, "--methods", "ce")
    run = next(
        path for path in (folder / "runs").iterdir() if json.loads((path / "run.json").read_text())["method"] == "tau-norm"
    )
    facts = json.loads(steelyard("diagnose", run, "--json"))
    assert [one["method"] for one in facts["models"]] == ["tau-norm"]


def test_curvature_is_measured_where_it_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("curvlinops")
    facts = json.loads(steelyard("diagnose", folder, "--methods", "ce", "--curvature", "--json"))
    assert len(facts["models"][0]["curvature"]["parts"]) == 3
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SteelyardError, match=r"pip install 'steelyard\[diagnosis\]'"):
        steelyard("diagnose", folder, "--curvature")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--target", "y"), "left out, as .* is a comparison"),
        (("--max-rows", "50"), "--max-rows"),
        (("--seed", "9"), "one of 0, 1"),
        (("--methods", "la"), "unknown method of this comparison"),
    ],
)
def test_wrong_options_are_one_sentence(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(SteelyardError, match=said) as caught:
        steelyard("diagnose", folder, *arguments)
    assert "\n" not in str(caught.value)


def test_every_option_of_data_is_refused_unless_it_was_left_out() -> None:
    options = {option.name for option in cli.commands["diagnose"].params}
    assert options - set(OF_DATA) == {"data", "out", "as_json", "seed", "all_seeds", "methods", "curvature", "device"}


@pytest.mark.parametrize("option", [("--curvature",), ("--all-seeds",), ("--methods", "ce"), ("--device", "cpu")])
def test_options_of_models_are_refused_for_data(option: tuple[str, ...]) -> None:
    with pytest.raises(SteelyardError, match="the folder of a comparison"):
        steelyard("diagnose", "wine", *option)
