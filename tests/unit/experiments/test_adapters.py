"""The experiment on adapters, in a small form."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scripts import loaded


@pytest.fixture(scope="module")
def experiment(repo: Path) -> Iterator[ModuleType]:
    with loaded(repo / "experiments", "adapters", suffix="_experiment") as module:
        yield module


def folder(path: Path) -> Path:
    """Train and test pictures of three classes."""
    path.mkdir()
    rng = np.random.default_rng(0)
    for name, rows in (("train", 20), ("test", 5)):
        y = np.repeat(np.arange(3), rows)
        X = rng.integers(0, 80, (len(y), 8, 8, 1)).astype(np.uint8)
        for row, label in enumerate(y):
            X[row, 2 * label : 2 * label + 3] += 120
        np.savez(path / f"{name}.npz", X=X, y=y)
    return path


def test_a_small_form_writes_numbers_and_says_which_controls_are_beaten(
    experiment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_CACHE", str(tmp_path / "cache"))
    data = str(folder(tmp_path / "data"))
    arguments = ["--pretrain", data, "--target", data, "--backbone", "small-cnn(width=4)", "--pretrain-epochs", "1"]
    arguments += ["--rows", "20", "--factor", "10", "--test-rows", "5", "--epochs", "1", "--seeds", "2"]
    arguments += ["--methods", "ce;la;deblora(head_epochs=1);deblora", "--results", str(tmp_path / "results")]
    assert experiment.main(arguments) == 0
    found = json.loads((tmp_path / "results" / "adapters_data.json").read_text())
    assert set(found["runs"]) == {"ce", "la", "deblora(head_epochs=1)", "deblora"}
    assert all(len(results) == 2 for results in found["runs"].values())
    assert found["runs"]["deblora"][0]["found"]["clusters"] > 1
    assert (found["facts"]["most"], found["facts"]["least"]) == (20, 2)
    entry = next(e for e in found["differences"] if e["than"] == "la" and e["metric"] == "tail_f1")
    each = [
        a["metrics"]["tail_f1"] - b["metrics"]["tail_f1"]
        for a, b in zip(found["runs"]["deblora"], found["runs"]["la"], strict=True)
    ]
    assert entry["difference"] == pytest.approx(np.mean(each))
    text = (tmp_path / "results" / "adapters_data.md").read_text()
    assert "| `la` |" in text
    assert str(tmp_path) not in text
    # what is finished is not done again, unless the recipe is another
    monkeypatch.setattr(experiment, "one", lambda *_: pytest.fail("a run was repeated"))
    assert experiment.main(arguments) == 0
    assert json.loads((tmp_path / "results" / "adapters_data.json").read_text())["runs"] == found["runs"]
    with pytest.raises(pytest.fail.Exception):
        experiment.main([*arguments, "--lr", "0.1"])


def test_made_images_share_attributes_between_classes(experiment: ModuleType) -> None:
    made = experiment.Attributes("train")
    assert made.of.sum(1).tolist() == [3.0] * 10
    assert len(np.unique(made.of, axis=0)) == 10
    pixels, y = made.take([4] * 10, 0)
    assert pixels.shape == (40, 3, 12, 12)
    assert np.bincount(y).tolist() == [4] * 10
    assert (pixels == 255).mean() < 0.05
    again, other = made.take([4] * 10, 0)[0], experiment.Attributes("test").take([4] * 10, 0)[0]
    assert np.array_equal(pixels, again)
    assert not np.array_equal(pixels, other)


def test_a_claim_needs_every_control(experiment: ModuleType) -> None:
    def entry(than: str, difference: float) -> dict[str, object]:
        return {"method": "deblora", "than": than, "metric": "macro_f1", "difference": difference, "half": 0.1}

    assert "beats all" in experiment.verdict([entry("la", 0.2), entry("crt", 0.3)])[0]
    mixed = experiment.verdict([entry("la", 0.2), entry("crt", -0.3), entry("x", 0.05)])[0]
    assert "does not beat all" in mixed
    assert "better than `la`; worse than `crt`; not told apart from `x`" in mixed


def test_intervals(experiment: ModuleType) -> None:
    mean, half = experiment.interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert half == pytest.approx(4.302653 / math.sqrt(3))
    assert experiment.interval([1.0])[0] == 1
