"""Real data sets, read as a user has them, and the directions that every method's paper claims, on several seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import steelyard as sy
from steelyard.core.task import Part
from steelyard.problems import load

SEEDS = (0, 1, 2)


def scores(task: Any, method: str, regime: sy.Regime, metric: str) -> list[float]:
    return [sy.evaluate(sy.fit(task, method=method, regime=regime, seed=seed)).values[metric] for seed in SEEDS]


@pytest.mark.parametrize(
    ("factor", "counts"),
    [
        (10.0, [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500]),
        (100.0, [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]),
        (500.0, [5000, 2506, 1256, 629, 315, 158, 79, 39, 19, 10]),
    ],
)
def test_long_tailed_cifar_10_has_the_known_sizes(shared_data: Path, factor: float, counts: list[int]) -> None:
    task = load(str(shared_data / "cifar10"), factor=factor, valid_fraction=0.0)
    assert task.counts.tolist() == counts
    assert task.class_names[:2] == ("airplane", "automobile")
    assert len(task.splits["test"]) == 10_000


def test_long_tailed_cifar_100_has_the_known_size(shared_data: Path) -> None:
    task = load(str(shared_data / "cifar100"), factor=100.0, valid_fraction=0.0)
    assert int(task.counts.sum()) == 10_847
    assert (int(task.counts.max()), int(task.counts.min())) == (500, 5)


@pytest.mark.parametrize(
    ("path", "target", "classes"),
    [
        ("genomics/golub.parquet", "label", [25, 47]),
        ("genomics/colon.parquet", "label", [22, 40]),
        ("metagcn_tables/haberman.csv", "Survival", [81, 225]),
        ("metagcn_tables/diabetes.csv", "Outcome", [268, 500]),
        ("uci_credit_default/default.parquet", "DEFAULT", [6636, 23364]),
    ],
)
def test_tables_of_every_shape_are_read(shared_data: Path, path: str, target: str, classes: list[int]) -> None:
    """Wide and short ones, labels 1 and 2, labels -1 and 1: no row is lost, and training takes a step."""
    task = load(str(shared_data / path), target=target)
    rows = [task.splits[name].target.bincount(minlength=2) for name in ("train", "valid", "test")]
    assert sorted(sum(rows).tolist()) == classes  # type: ignore[arg-type]
    assert sy.fit(task, method="la", regime=sy.Regime(epochs=1, batch_size=256, lr=0.01)).steps >= 1


def test_an_identifier_is_left_out_and_said(shared_data: Path) -> None:
    task = load(str(shared_data / "uci_credit_default" / "default.parquet"), target="DEFAULT")
    assert any("'ID' was left out" in note for note in task.describe()["notes"])


def test_loan_defaults_are_found_more_often_with_treatment(shared_data: Path) -> None:
    """On every seed, each of three ways to correct the prior beats plain training in balanced accuracy."""
    task = load(str(shared_data / "uci_credit_default" / "default.parquet"), target="DEFAULT", max_rows=8000)
    regime = sy.Regime(epochs=6, batch_size=128, lr=0.02)
    plain = scores(task, "ce", regime, "balanced_accuracy")
    for method in ("la", "posthoc-la", "inverse-frequency", "balanced-sampling"):
        treated = scores(task, method, regime, "balanced_accuracy")
        assert all(better > worse + 0.01 for better, worse in zip(treated, plain, strict=True)), (method, treated, plain)


def test_ranking_quality_hardly_moves_with_the_threshold(shared_data: Path) -> None:
    """AUROC does not see a moved threshold: post-hoc adjustment of two classes leaves it exactly."""
    task = load(str(shared_data / "uci_credit_default" / "default.parquet"), target="DEFAULT", max_rows=4000)
    regime = sy.Regime(epochs=3, batch_size=128, lr=0.02)
    assert scores(task, "posthoc-la", regime, "auroc") == pytest.approx(scores(task, "ce", regime, "auroc"), abs=1e-6)


def test_rare_cifar_classes_are_recognised_more_often_with_treatment(shared_data: Path) -> None:
    task = load(str(shared_data / "cifar10"), factor=100.0, model="small-cnn", max_rows=3000, valid_fraction=0.0)
    test = task.splits["test"]
    task.splits["test"] = Part(test, torch.arange(0, len(test), 4))  # scoring all of them takes longer than training
    regime = sy.Regime(epochs=6, batch_size=64, lr=0.05)
    plain, treated = (scores(task, method, regime, "few_recall") for method in ("ce", "la"))
    assert all(better > worse + 0.05 for better, worse in zip(treated, plain, strict=True)), (treated, plain)


def test_rare_digits_are_recognised_more_often_with_treatment() -> None:
    """Needs no further data: scikit-learn's digits, long-tailed to imbalance factor 50."""
    task = load("digits", factor=50.0)
    regime = sy.Regime(epochs=40, batch_size=32, lr=0.05, warmup_epochs=2)
    plain = scores(task, "ce", regime, "few_recall")
    for method in ("la", "posthoc-la", "ldam-drw"):
        treated = scores(task, method, regime, "few_recall")
        assert all(better > worse for better, worse in zip(treated, plain, strict=True)), (method, treated, plain)
