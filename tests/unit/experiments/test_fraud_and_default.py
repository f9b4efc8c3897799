"""The experiment on fraud and loan default, in a small form."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from steelyard.core.errors import DataError


@pytest.fixture(scope="module")
def experiment(repo: Path) -> Iterator[ModuleType]:
    names = ("seed_tables", "fraud_and_default")
    before = {name: sys.modules.pop(name, None) for name in names}
    sys.path.insert(0, str(repo / "experiments"))
    yield importlib.import_module("fraud_and_default")
    sys.path.remove(str(repo / "experiments"))
    for name in names:
        del sys.modules[name]
        if before[name] is not None:
            sys.modules[name] = before[name]


def transactions(path: Path, days: int = 21) -> Path:
    """Twenty a day, two of them fraudulent and dearer."""
    rng = np.random.default_rng(0)
    y = np.tile(np.repeat([0, 1], [18, 2]), days)
    when = pd.Timestamp("2020-01-01 08:00") + pd.to_timedelta(np.repeat(np.arange(days), 20), unit="D")
    frame = {"TX_DATETIME": when, "TX_AMOUNT": rng.normal(size=len(y)) + 2 * y, "TX_FRAUD": y, "TX_FRAUD_SCENARIO": y}
    pd.DataFrame(frame).to_parquet(path)
    return path


def test_frauds_are_split_by_time_and_all_of_them_kept(experiment, tmp_path):
    split = experiment.fraud(transactions(tmp_path / "transactions.parquet"), 50, 0)
    assert (len(split.y), split.y.sum(), len(split.test_y), len(split.all_y)) == (50, 14, 140, 140)
    assert list(split.X) == ["TX_AMOUNT"]
    assert split.X.index.max() < 7 * 20 <= 14 * 20 == split.test_X.index.min()
    with pytest.raises(DataError, match="three weeks"):
        experiment.fraud(transactions(tmp_path / "short.parquet", days=9), 50, 0)


def test_alerts_find_the_share_of_positives_at_the_top(experiment):
    score, target = np.arange(300.0), np.zeros(300, int)
    target[[299, 298, 10, 5]] = 1
    assert experiment.caught(score, target) == 0.5
    assert experiment.caught(np.zeros(300), target) == pytest.approx(0.01)


def test_a_small_form_writes_its_tables_and_goes_on(experiment, tmp_path, capsys):
    rng = np.random.default_rng(1)
    clients = pd.DataFrame({"ID": range(160), "AGE": rng.normal(size=160), "DEFAULT": rng.integers(0, 2, 160)})
    clients.to_parquet(tmp_path / "default.parquet")
    where = ["--fraud", str(transactions(tmp_path / "transactions.parquet")), "--default", str(tmp_path / "default.parquet")]
    small = ["--rows", "80", "--seeds", "2", "--epochs", "1", "--results", str(tmp_path)]
    assert experiment.main([*where, *small, "--methods", "ce;gradient boosting, all rows"]) == 0
    assert experiment.main([*where, *small, "--methods", "ce;metabalance;gradient boosting, all rows"]) == 0
    found = json.loads((tmp_path / "fraud_and_default.json").read_text())
    seen = [(run["data"], run["method"], run["seed"]) for run in found["runs"]]
    assert len(seen) == len(set(seen)) == 12 and capsys.readouterr().out.count("\n") == 12
    assert all(0 <= run[name] <= 1 for run in found["runs"] for name in experiment.METRICS if name != "brier")
    page = (tmp_path / "fraud_and_default.md").read_text()
    assert page.count("| `metabalance` |") == 2 and "80 of 140 rows to train on, 14 of them positive" in page
