"""The experiment on few-shot learners in a small form: it writes its tables, and goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from scripts import loaded


@pytest.fixture(scope="module")
def experiment(repo: Path) -> Iterator[ModuleType]:
    with loaded(repo / "experiments", "few_shot_report", "few_shot") as module:
        yield module


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    drawn = np.random.default_rng(0)
    y = np.repeat(np.arange(12), 20)
    x = (drawn.uniform(0, 255, (12, 1, 6, 6))[y] * 0.7 + drawn.uniform(0, 75, (240, 1, 6, 6))).astype(np.uint8)
    path = tmp_path_factory.mktemp("few_shot") / "letters.npz"
    np.savez(path, X=x, y=y)
    return str(path)


METHODS = ["ce", "cosine-prototypes", "maml(inner_steps=1)", "protonet(training=random-shot,rebalance=weighted)"]


def test_a_small_form_writes_its_tables_and_goes_on(experiment, data, tmp_path, capsys):
    small = ["--data", data, "--train", "3", "--test", "4", "--width", "4", "--resize", "0", "--queries", "200"]
    where = ["--out", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    assert experiment.main([*small, "--seeds", "1", "--methods", *METHODS[:2], *where]) == 0
    assert capsys.readouterr().out.count("seed 0") == 2
    assert experiment.main([*small, "--seeds", "2", "--methods", *METHODS, *where]) == 0
    assert capsys.readouterr().out.count("seed ") == 6  # two of eight were there
    found = json.loads((tmp_path / "results" / "few_shot.json").read_text())
    assert set(found["methods"]) == set(METHODS)
    linear = found["methods"]["cosine-prototypes"]["linear 1-9"]
    ce = found["methods"]["ce"]["linear 1-9"]
    assert linear["versus_reference"]["difference"] == pytest.approx(linear["accuracy"] - ce["accuracy"], abs=1e-4)
    assert ce["versus_reference"] is None
    balanced = found["methods"]["ce"]["balanced 5-5"]
    assert ce["imbalance"]["difference"] == pytest.approx(ce["accuracy"] - balanced["accuracy"], abs=1e-4)
    assert balanced["oversampled"]["difference"] == 0  # copies change nothing there
    assert sum(ce["share"]) == pytest.approx(1, abs=1e-4)
    page = (tmp_path / "results" / "few_shot.md").read_text()
    assert "| `maml(inner_steps=1)` |" in page
    assert "1-NN" in page
    figure = (tmp_path / "results" / "few_shot.svg").read_text()
    assert figure.count("<rect") == 1 + 5 * (6 + 3)  # one background, six rules, three learners with standard training


def test_the_four_profiles_have_the_totals_that_they_should_and_the_same_queries(experiment, data):
    tasks = experiment.tasks_of(data, experiment.Budget(2, 3, 4, None))
    totals, queries = {}, {}
    for name, task in tasks.items():
        source = task.splits["test"]
        _, inputs = next(iter(source.stream([torch.arange(3)])))
        episodes = task.load(inputs, augment="none", generator=None)
        totals[name] = {len(episode.support) for episode in episodes}
        queries[name] = [episode.query for episode in episodes]
    assert totals == {"balanced 5-5": {25}, "linear 1-9": {25}, "step 1-9": {37}, "step 1-6": {25}}
    for own in queries.values():
        assert all(one.equal(other) for one, other in zip(own, queries["linear 1-9"], strict=True))
