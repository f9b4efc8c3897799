from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.core.task import Source, Task
from steelyard.data.raw import Part, Raw
from steelyard.problems import ProblemSettings, fingerprint, load
from steelyard.tasks import ArrayTask, ImageTask, TableTask

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3))
y = np.repeat([0, 1], [150, 50])


def inputs_of(source: Source) -> Any:
    """All inputs of a split, in order."""
    (_, inputs) = next(iter(source.stream([torch.arange(len(source))])))
    return inputs


def images(rows: int = 40, *shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (rows, *(shape or (3, 6, 5))), dtype=np.uint8)


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": X[:, 0], "y": y, **columns})


# ------------------------------------------------------------------------------------- profiles through the public loader


@pytest.mark.parametrize(
    ("factor", "counts"),
    [
        (10, [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500]),
        (100, [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]),
        (200, [5000, 2775, 1540, 854, 474, 263, 146, 81, 45, 25]),
        (500, [5000, 2506, 1256, 629, 315, 158, 79, 39, 19, 10]),
    ],
)
def test_cifar10_lt_counts(factor: float, counts: list[int]) -> None:
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(10), 5000))
    rows = np.arange(50_000, dtype=np.float32)[:, None]
    data = {"train": (rows, labels), "test": (rows[:1000], labels[:1000])}
    task = load(data, factor=factor, valid_fraction=0.0, task="arrays", model=nn.Linear(1, 10))
    assert task.counts.tolist() == counts
    chosen = inputs_of(task.splits["train"])[:, 0].long()
    assert len(chosen.unique()) == sum(counts)  # without replacement
    assert torch.equal(task.splits["train"].target, torch.from_numpy(labels)[chosen])
    cut = load(data, factor=factor, task="arrays", model=nn.Linear(1, 10)).describe()["counts"]
    assert [a + b for a, b in zip(cut["train"], cut["valid"], strict=True)] == counts


@pytest.mark.parametrize(("factor", "total"), [(10, 19573), (100, 10847), (200, 9502), (500, 8155)])
def test_cifar100_lt_totals(factor: float, total: int) -> None:
    labels = np.repeat(np.arange(100), 500)
    task = load(
        {"train": (labels[:, None] * 1.0, labels), "test": (np.zeros((100, 1)), np.arange(100))},
        factor=factor,
        valid_fraction=0,
    )
    assert int(task.counts.sum()) == total


# --------------------------------------------------------------------------------------------------------- kinds of data


def test_arrays_are_a_table_and_can_be_something_else() -> None:
    assert isinstance(load((X, y)), TableTask)
    assert isinstance(load((X, y), task="arrays"), ArrayTask)
    assert load((torch.from_numpy(X), torch.from_numpy(y))).describe()["features"] == "3 numeric columns"
    pixels = images(40)
    assert isinstance(load((pixels, y[130:170])), ImageTask)
    assert load((pixels, y[130:170]), task="tables").describe()["features"] == "90 numeric columns"
    with pytest.raises(ArgumentError, match=r"`task` .* images are"):
        load((X, y), task="images")


@pytest.mark.parametrize(
    ("shape", "stored"), [((6, 5, 3), (3, 6, 5)), ((3, 6, 5), (3, 6, 5)), ((6, 5, 1), (1, 6, 5)), ((6, 5), (1, 6, 5))]
)
def test_images_of_any_layout(shape: tuple[int, ...], stored: tuple[int, ...]) -> None:
    task = load((images(40, *shape), y[130:170]))
    assert tuple(inputs_of(task.splits["train"]).shape[1:]) == stored


def test_float_images_from_zero_to_one() -> None:
    assert isinstance(load((images() / 255, y[130:170]), task="images"), ImageTask)
    with pytest.raises(DataError, match=r"uint8, or floats in \[0, 1\]; found values from 0 to 2"):
        load((images() * 1.0, y[130:170]), task="images")
    with pytest.raises(ArgumentError, match="unless they are images"):
        load((images() / 255, y[130:170]))
    with pytest.raises(DataError, match="no pixels"):
        load((np.zeros((40, 0, 5), np.uint8), y[130:170]))


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.uint16, np.uint64, bool, ">f4", ">i2"])
def test_numbers_of_any_type_can_be_learnt_from(dtype: Any) -> None:
    values = (np.abs(X) * 10).astype(dtype)
    for kind in ("tables", "arrays"):
        task = load((values, y), task=kind)
        held = inputs_of(task.splits["train"])
        logits = task.model()(task.load(held, augment="none", generator=None))
        assert bool(torch.isfinite(logits).all())


def test_string_and_unordered_labels_keep_their_names() -> None:
    assert load((X, np.where(y == 0, "no", "yes"))).class_names == ("no", "yes")
    odd = np.array([7, 3, -1])[np.arange(200) % 3]
    task = load((X, odd))
    assert task.class_names == ("-1", "3", "7")
    assert load((X, y + 1.0)).class_names == ("1", "2")


def test_a_task_is_returned_as_it_is_and_takes_no_settings() -> None:
    task = load("blobs")
    assert load(task) is task
    with pytest.raises(ArgumentError, match="its own splits and model"):
        load(task, factor=10)


def test_names_paths_and_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame().to_csv(tmp_path / "t.csv", index=False)
    for path in (tmp_path / "t.csv", str(tmp_path / "t.csv")):
        assert load(path, target="y").describe()["name"] == "t"
    (tmp_path / "mine_for_test.py").write_text("import numpy as np\ndef data():\n    return np.eye(20), np.arange(20) % 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load("mine_for_test:data").num_classes == 2
    for unknown, error, message in [
        ("digts", UnknownName, "did you mean 'digits'"),
        ("qqqqqq", DataError, "neither a file or folder nor a built-in data set"),
        ("none.csv", DataError, "there is no file or folder none.csv"),
        ("some/where", DataError, "there is no file or folder some/where"),
    ]:
        with pytest.raises(error, match=message):
            load(unknown)


# ---------------------------------------------------------------------------------------------------- nothing is ignored


@pytest.mark.parametrize(
    ("data", "settings", "named"),
    [
        ((images(), y[130:170]), {"drop": "a"}, "drop"),
        ((images(), y[130:170]), {"missing": "median"}, "missing"),
        ((images(), y[130:170]), {"resize": 8}, "resize"),
        ((X, y), {"resize": 8}, "resize"),
        ((X, y), {"drop": ["x9"]}, "x9"),
    ],
)
def test_settings_that_do_not_fit_the_data_are_refused(data: Any, settings: dict[str, Any], named: str) -> None:
    with pytest.raises((ArgumentError, UnknownName), match=named):
        load(data, **settings)


def test_a_target_that_is_not_needed_is_noted() -> None:
    notes = load("blobs", target="label").describe()["notes"]
    assert "the target 'label' was not looked for, as these data come with their labels" in notes


def test_columns_that_tell_the_class_are_noted() -> None:
    notes = load(frame(copy=np.where(y == 0, "n", "p")), target="y").describe()["notes"]
    assert [note for note in notes if "column 'copy' tells the class exactly" in note]


def test_identifiers_are_left_out_with_a_note_and_columns_can_be_dropped() -> None:
    table = frame(client_id=np.arange(200) * 3, b=1.0)
    task = load(table, target="y", drop=["b"])
    assert task.describe()["features"] == "1 numeric columns"
    assert any("column 'client_id' was left out" in note for note in task.describe()["notes"])
    with pytest.raises(DataError, match="no feature columns are left"):
        load(table[["client_id", "y"]], target="y")
    with pytest.raises(ArgumentError, match="the target 'y'"):
        load(table, target="y", drop="y")


# --------------------------------------------------------------------------------- nothing is learnt from other than training


def test_table_statistics_are_those_of_training_rows() -> None:
    table = frame(c=RNG.choice(list("uvw"), 200))
    task = load(table, target="y", seed=3)
    assert isinstance(task, TableTask)
    held = inputs_of(task.splits["train"])
    assert torch.allclose(held["numeric"].mean(0), torch.zeros(1), atol=1e-5)
    assert torch.allclose(held["numeric"].std(0, correction=0), torch.ones(1), atol=1e-5)
    assert abs(float(inputs_of(task.splits["test"])["numeric"].mean())) > 1e-4


def test_test_rows_change_nothing_that_training_sees() -> None:
    train = (frame(c="u"), y)
    tasks = []
    for scale, letter in ((1.0, "u"), (1000.0, "never seen")):
        test = pd.DataFrame({"a": X[:20, 0] * scale, "y": y[140:160], "c": letter})
        tasks.append(load({"train": train[0], "test": test}, target="y"))
    one, other = (inputs_of(task.splits["train"]) for task in tasks)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert inputs_of(tasks[1].splits["test"])["categorical"].unique().tolist() == [0]


def test_image_statistics_are_those_of_training_images() -> None:
    dark, bright = images(60) // 4, images(20)
    task = load({"train": (dark, y[120:180]), "test": (bright, y[140:160])})
    assert isinstance(task, ImageTask)
    train = inputs_of(task.splits["train"]).double() / 255
    assert torch.allclose(task.mean.double(), train.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(task.std.double(), train.std((0, 2, 3), correction=0), atol=1e-5)


# ------------------------------------------------------------------------------------------------------------- bad values


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        ((np.where(np.arange(600).reshape(200, 3) == 7, np.nan, X), y), {}, "column 'x1' has 1 missing values"),
        ((np.where(np.arange(600).reshape(200, 3) == 7, np.inf, X), y), {}, "column 'x1' has 1 infinite values"),
        ((np.where(np.arange(600).reshape(200, 3) == 7, -np.inf, X), y), {"missing": "median"}, "infinite"),
        ((np.full((200, 2, 2), np.nan), y), {"task": "arrays"}, "800 missing"),
        ((X, np.where(np.arange(200) == 5, np.nan, y)), {}, "1 of 200 train rows have no label"),
        ((X, RNG.normal(size=200)), {}, "looks like a measurement"),
        ((X, np.arange(200)), {}, "looks like an identifier"),
        ((X.astype(str), y), {}, "should hold numbers"),
        ({"train": (X, y), "test": (X[:, :2], y)}, {}, "the test rows have no column 'x2'"),
        ({"train": (X, y), "test": (X[:9], y[:9] + 5)}, {}, "9 test rows have the label '5'"),
        ({"train": (images(), y[130:170]), "test": (images(9, 3, 4, 4), y[:9])}, {}, r"shape \[3, 4, 4\] .* \[3, 6, 5\]"),
    ],
)
def test_values_that_cannot_be_learnt_from(data: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(data, **settings)


def test_missing_values_are_filled_where_that_was_asked_for() -> None:
    values = np.where(np.arange(600).reshape(200, 3) % 50 == 7, np.nan, X)
    assert bool(torch.isfinite(inputs_of(load((values, y), missing="median").splits["test"])).all())


# ----------------------------------------------------------------------------------------------- resident and streamed data


def batches_of(task: Task) -> list[Tensor]:
    rows = [torch.tensor([3, 1]), torch.tensor([0, 2, 5])]
    return [inputs for _, inputs in task.splits["train"].stream(rows)]


@pytest.mark.parametrize("kind", ["tables", "arrays"])
def test_streamed_and_resident_rows_are_the_same(kind: str) -> None:
    one, other = (batches_of(load((X, y), task=kind, residence=residence)) for residence in ("resident", "streamed"))
    assert all(torch.equal(a, b.float()) for a, b in zip(one, other, strict=True))


def test_image_folders_streamed_or_resident_and_resized(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(10):
            Image.fromarray(images(1, 6, 5)[0]).save(tmp_path / name / f"{i}.png")
    one, other = (load(tmp_path, residence=residence) for residence in ("resident", "streamed"))
    assert one.describe()["features"] == other.describe()["features"] == "1x6x5 pixels"
    assert all(torch.equal(a, b) for a, b in zip(batches_of(one), batches_of(other), strict=True))
    assert load(tmp_path, resize=8).describe()["features"] == "1x8x8 pixels"
    Image.new("RGB", (9, 9)).save(tmp_path / "cat" / "odd.png")
    with pytest.raises(DataError, match=r"different sizes: .*make them one size with --resize"):
        load(tmp_path)


def test_datasets_are_streamed() -> None:
    task = load(TensorDataset(torch.from_numpy(X), torch.from_numpy(y)), task="arrays")
    assert task.num_classes == 2

    class Pairs(Dataset[Any]):
        targets = y

        def __len__(self) -> int:
            return 200

        def __getitem__(self, row: int) -> Any:
            return torch.from_numpy(X[row]).float(), int(y[row])

    task = load(Pairs(), model=nn.Linear(3, 2))
    assert inputs_of(task.splits["test"]).shape == (51, 3)  # floor(n / 4 + 1/2) of either class


def test_models_by_name_take_settings_in_brackets() -> None:
    model = load((X, y), model="mlp(hidden=(7,))").model()
    assert 7 in {layer.out_features for layer in model.modules() if isinstance(layer, nn.Linear)}
    with pytest.raises(ArgumentError, match="`model`"):
        load((X, y), model="mlp(hidden=abc)").model()


def test_raw_data_and_their_notes_reach_the_report() -> None:
    raw = Raw("mine", "arrays", {"train": Part(X.astype(np.float32), y)}, ("no", "yes"), notes=("read carefully",))
    told = load(raw, ProblemSettings(model=nn.Linear(3, 2), noise=0.2)).describe()
    assert told["name"] == "mine" and told["class_names"] == ["no", "yes"]
    assert told["notes"][0] == "read carefully"
    assert told["label_noise"]["rate"] == 0.2


def test_a_fingerprint_takes_the_test_rows_in() -> None:
    with_test = [fingerprint((X, y), ProblemSettings(test=(X[:rows], y[:rows]))) for rows in (5, 6)]
    assert len({fingerprint((X, y)), *with_test}) == 3
