"""Multi-label data from files, folders and memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from steelyard.cli import cli
from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.problems import ProblemSettings, load
from steelyard.problems._kinds.multi_label import multi_label
from steelyard.tasks.multi_label.sources import labels_of

NAMES = ["a", "b", "c"]


def table(rows: int = 80, seed: int = 0) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    frame = pd.DataFrame(draws.normal(size=(rows, 4)), columns=["w", "x", "y", "z"])
    odds = frame[["w", "x", "y"]].to_numpy() * 2 - [0, 1, 2]
    labels = (draws.random((rows, 3)) < 1 / (1 + np.exp(-odds))).astype(int)
    labels[:3], labels[3:5] = 1, 0
    return frame.assign(**{f"is_{name}": labels[:, place] for place, name in enumerate(NAMES)})


def as_lists(frame: pd.DataFrame) -> pd.DataFrame:
    tags = [";".join(name for name in NAMES if row[f"is_{name}"] == 1) for _, row in frame.iterrows()]
    return frame.drop(columns=[f"is_{name}" for name in NAMES]).assign(tags=tags)


def whole(task, frame):
    """The labels of all splits and of the table, each sorted, to be compared."""
    found = torch.cat([labels_of(source) for source in task.splits.values()])
    return sorted(found.tolist()), sorted(frame[[f"is_{name}" for name in NAMES]].astype(float).to_numpy().tolist())


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
@pytest.mark.parametrize("words", ["labels=is_a;is_b;is_c", "prefix=is_"])
def test_label_columns_of_a_file(tmp_path, suffix, words):
    frame, path = table(), tmp_path / f"pets{suffix}"
    frame.to_parquet(path) if suffix == ".parquet" else frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    task = load(str(path), task=f"multi-label({words})")
    assert task.name == "pets" and task.kind == "multi-label"
    assert task.label_names == ("is_a", "is_b", "is_c")
    assert {name: len(source) for name, source in task.splits.items()} == {"train": 54, "valid": 6, "test": 20}
    found, wanted = whole(task, frame)
    assert found == wanted
    assert task.describe()["features"] == "4 numeric columns"  # no label is a feature
    _, inputs = next(iter(task.splits["test"].stream([torch.arange(20)])))
    assert inputs["inputs"].shape == (20, 4)


def test_inputs_keep_their_labels(tmp_path):
    frame = table()
    frame["is_a"] = (frame["w"] > 0).astype(int)
    frame.to_csv(tmp_path / "t.csv", index=False)
    task = load(str(tmp_path / "t.csv"), task="multi-label(prefix=is_)")
    for source in task.splits.values():
        numbers = source.whole.inputs[:, 0]
        cut = numbers[labels_of(source)[:, 0] == 1].min()
        assert bool((numbers[labels_of(source)[:, 0] == 0] < cut).all())


def test_a_column_of_lists_is_the_same(tmp_path):
    frame = table()
    as_lists(frame).to_csv(tmp_path / "t.csv", index=False)
    task = load(str(tmp_path / "t.csv"), task="multi-label", target="tags")
    assert task.label_names == ("a", "b", "c")
    assert whole(task, frame)[0] == whole(task, frame)[1]
    fewer = as_lists(frame).assign(tags=[text.replace(";", " + ") for text in as_lists(frame)["tags"]])
    fewer.to_csv(tmp_path / "p.csv", index=False)
    task = load(str(tmp_path / "p.csv"), task="multi-label(separator=+, labels=c;b;a)", target="tags")
    assert task.label_names == ("c", "b", "a")


def test_separate_test_files_and_folders(tmp_path):
    folder = tmp_path / "both"
    folder.mkdir()
    table(60).to_csv(folder / "train.csv", index=False)
    table(20, 1).to_csv(folder / "test.csv", index=False)
    task = load(str(folder), task="multi-label(prefix=is_)")
    apart = load(str(folder / "train.csv"), task="multi-label(prefix=is_)", test=str(folder / "test.csv"))
    for one in (task, apart):
        assert labels_of(one.splits["test"]).tolist() == table(20, 1)[["is_a", "is_b", "is_c"]].to_numpy().tolist()
    table(20, 1).drop(columns="is_b").to_csv(folder / "test.csv", index=False)
    with pytest.raises(DataError, match="the test examples have no label column 'is_b'"):
        load(str(folder), task="multi-label(prefix=is_)")


def test_arrays_in_files_and_memory(tmp_path):
    frame = table()
    X, Y = frame[["w", "x", "y", "z"]].to_numpy(), frame[["is_a", "is_b", "is_c"]].to_numpy()
    np.savez(tmp_path / "t.npz", X=X, Y=Y)
    parts = {"train": (X[:60], Y[:60]), "test": (X[60:], Y[60:])}
    made = [
        load(str(tmp_path / "t.npz"), task="multi-label(labels=a;b;c)"),
        load((X, Y), task="multi-label"),
        load((X, pd.DataFrame(Y, columns=NAMES)), task="multi-label"),
        load(frame, task="multi-label(prefix=is_)"),
        load(parts, task="multi-label"),
    ]
    assert [task.label_names[1] for task in made] == ["b", "label 1", "b", "is_b", "label 1"]
    assert all(whole(task, frame)[0] == whole(task, frame)[1] for task in made)
    assert len(made[-1].splits["test"]) == 20


def test_images_with_a_table(tmp_path):
    frame, draws = table(40), np.random.default_rng(0)
    (tmp_path / "deep").mkdir()
    names = [f"deep/{i}.png" for i in range(40)]
    for name in names:
        Image.fromarray(draws.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / name)
    frame.assign(file=names).to_csv(tmp_path / "labels.csv", index=False)
    task = load(str(tmp_path), task="multi-label(prefix=is_, images=file)")
    assert task.describe()["features"] == "3x8x8 pixels"
    assert "w, x, y, z are no labels" in task.describe()["notes"][0]
    assert whole(task, frame)[0] == whole(task, frame)[1]
    assert task.model()(torch.zeros(2, 3, 8, 8)).shape == (2, 6)
    loaded = task.load(
        next(iter(task.splits["train"].stream([torch.arange(2)])))[1], augment="trivial", generator=torch.Generator()
    )
    assert loaded["inputs"].shape == (2, 3, 8, 8)
    as_lists(frame).assign(file=names).to_csv(tmp_path / "labels.csv", index=False)
    assert load(str(tmp_path), task="multi-label(images=file)", target="tags").label_names == ("a", "b", "c")
    frame.assign(file=["none.png", *names[1:]]).to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(DataError, match=r"there is no file .*none.png"):
        load(str(tmp_path), task="multi-label(prefix=is_, images=file)")
    frame.assign(file=["none.txt", *names[1:]]).to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(DataError, match=r"names 'none\.txt', which is no image file"):
        load(str(tmp_path), task="multi-label(prefix=is_, images=file)")
    with pytest.raises(UnknownName, match="column 'picture'"):
        load(str(tmp_path), task="multi-label(prefix=is_, images=picture)")
    with pytest.raises(DataError, match="needs a folder with images"):
        load(str(tmp_path / "labels.csv"), task="multi-label(prefix=is_, images=file)")


def test_a_folder_of_images_asks_for_the_column_that_names_them(tmp_path):
    names = [f"{i}.png" for i in range(40)]
    for name in names:
        Image.new("L", (8, 8)).save(tmp_path / name)
    with pytest.raises(DataError, match=r"holds images and no table of their labels.*images=COLUMN"):
        load(str(tmp_path), task="multi-label")
    table(40).assign(file=names).to_csv(tmp_path / "labels.csv", index=False)
    for inside in ("prefix=is_", "labels=is_a", ""):
        with pytest.raises(ArgumentError, match=r"`images` should be the column .*'file' looks like it.*images=file"):
            load(str(tmp_path), task=f"multi-label({inside})" if inside else "multi-label")


def test_a_picture_beside_a_table_is_no_folder_of_images(tmp_path):
    table().to_csv(tmp_path / "train.csv", index=False)
    Image.new("L", (8, 8)).save(tmp_path / "plot.png")
    assert load(str(tmp_path), task="multi-label(prefix=is_)").label_names == ("is_a", "is_b", "is_c")


def test_labels_that_are_not_known_and_fewer_rows(tmp_path):
    frame = table(100)
    frame["is_a"] = frame["is_a"].astype(float)
    frame.loc[frame.index % 3 == 0, "is_a"] = np.nan
    frame.loc[:1, "is_a"] = [1, 0]
    frame.to_csv(tmp_path / "t.csv", index=False)
    task = load(str(tmp_path / "t.csv"), task="multi-label(prefix=is_)", max_rows=50)
    assert len(task.splits["train"]) + len(task.splits["valid"]) == 50
    assert any("of the labels are not known" in note for note in task.describe()["notes"])
    assert any("50 of 75 training examples are used" in note for note in task.describe()["notes"])
    assert int(task.counts[:2].sum()) < len(task.splits["train"])


@pytest.mark.parametrize(
    ("change", "words", "settings", "error", "says"),
    [
        (lambda f: f.assign(is_a=f["is_a"] + 1), "prefix=is_", {}, DataError, "label 'is_a' .* has the value 2"),
        (lambda f: f.assign(is_a="maybe"), "prefix=is_", {}, DataError, "label 'is_a' .* has the value 'maybe'"),
        (lambda f: f.assign(is_b=0), "prefix=is_", {}, DataError, "label 'is_b' has no positive example"),
        (lambda f: f.assign(is_b=1), "prefix=is_", {}, DataError, "label 'is_b' is present in every example"),
        (lambda f: f, "prefix=has_", {}, DataError, "no column begins with 'has_'"),
        (lambda f: f, "labels=is_a;is_q", {}, UnknownName, "column 'is_q'"),
        (lambda f: f, "", {}, ArgumentError, "`target`|`labels`"),
        (lambda f: f, "prefix=is_, separator=+", {}, ArgumentError, "`separator`"),
        (lambda f: f, "prefix=is_", {"target": "is_a"}, ArgumentError, "`prefix`"),
        (lambda f: f, "", {"target": "tags"}, UnknownName, "column 'tags'"),
        (lambda f: f, "prefix=is_", {"factor": 10.0}, ArgumentError, "`factor`.*multi-label data have no use"),
        (lambda f: f, "prefix=is_", {"split": "time:w"}, ArgumentError, "`split`"),
        (lambda f: f.head(3), "prefix=is_", {}, DataError, "3 training examples: give at least 4"),
        (lambda f: f.drop(columns=["w", "x", "y", "z"]), "prefix=is_", {}, DataError, "no feature columns are left"),
    ],
)
def test_wrong_inputs_are_one_sentence(tmp_path, change, words, settings, error, says):
    change(table()).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(error, match=says):
        load(str(tmp_path / "t.csv"), task=f"multi-label({words})" if words else "multi-label", **settings)


def test_one_class_an_example_is_no_multi_label_set(tmp_path):
    with pytest.raises(DataError, match="for one class an example use --task auto"):
        load((np.zeros((8, 2)), np.zeros(8)), task="multi-label")
    with pytest.raises(ArgumentError, match="`target`"):
        load((np.zeros((8, 2)), np.zeros((8, 2))), task="multi-label", target="y")
    with pytest.raises(DataError, match="Y of the train examples has the value"):
        load((np.zeros((8, 2)), np.full((8, 2), 3)), task="multi-label")
    with pytest.raises(ArgumentError, match="a name for each of the 2 columns of Y; found 1 names"):
        load((np.zeros((8, 2)), np.zeros((8, 2))), task="multi-label(labels=a)")
    table().to_csv(tmp_path / "t.csv", index=False)
    for data in (table(), tmp_path / "t.csv", tmp_path):
        with pytest.raises(ArgumentError, match=r"labels=a;b;c.*prefix=is_.*--target"):
            load(data, task="multi-label")


def test_a_comparison_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(120).to_csv(tmp_path / "pets.csv", index=False)
    monkeypatch.chdir(tmp_path)
    command = (
        "compare pets.csv --task multi-label(prefix=is_) --methods ce,asymmetric --seeds 1 --epochs 2 --no-report --jobs 1 "
        "--out out --device cpu"
    )
    result = CliRunner().invoke(cli, command.split())
    assert result.exit_code == 0, result.output
    board = json.loads((tmp_path / "out" / "leaderboard.json").read_text())
    assert board["metric"] == "map"
    assert {row["method"] for row in board["rows"]} == {"ce", "asymmetric"}
    numbers = board["rows"][0]["metrics"]
    assert 0 < numbers["map"]["mean"] <= 1 and 0 <= numbers["tuned_label_f1"]["mean"] <= 1
    facts = json.loads((tmp_path / "out" / "comparison.json").read_text())["data"]
    assert facts["kind"] == "multi-label" and facts["class_names"][1] == "is_a: yes"


def test_the_maker_alone() -> None:
    frame = table()
    task = multi_label(frame, ProblemSettings(valid_fraction=0.0, task="multi-label"), labels="is_a; is_c")
    assert task.class_names == ("is_a: no", "is_a: yes", "is_c: no", "is_c: yes")
    assert "valid" not in task.splits and task.describe()["features"] == "5 numeric columns"  # is_b is a feature now
