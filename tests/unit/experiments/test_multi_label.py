"""The experiments on several labels and on verification, in a small form."""

from __future__ import annotations

import importlib
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from steelyard.data.faces import drawn_faces


@pytest.fixture(scope="module")
def scripts(repo: Path) -> Iterator[dict[str, ModuleType]]:
    names = ("seed_tables", "multi_label", "verification")
    before = {name: sys.modules.pop(name, None) for name in names}
    sys.path.insert(0, str(repo / "experiments"))
    yield {name: importlib.import_module(name) for name in names}
    sys.path.remove(str(repo / "experiments"))
    for name in names:
        del sys.modules[name]
        if before[name] is not None:
            sys.modules[name] = before[name]


def test_the_arithmetic_of_the_tables(scripts):
    runs = [
        {"method": method, "seed": seed, "seconds": 2.0 if method == "la" else 1.0, "map": 0.5 + gain + 0.01 * seed}
        for method, gains in {"la": (0.1, 0.11, 0.09), "ce": (0, 0, 0)}.items()
        for seed, gain in enumerate(gains)
    ]
    lines = scripts["seed_tables"].summary(runs, ["ce", "la"], ["map"])
    assert [line["map"]["mean"] for line in lines] == pytest.approx([0.51, 0.61])
    assert lines[1]["map"]["difference"] == pytest.approx(0.1) and "difference" not in lines[0]["map"]
    text = scripts["seed_tables"].table(lines, ["map"])
    assert text[2].startswith("| `ce` | 51.0 ±") and text[3].endswith("* | 2.0x |")


def test_pictures_hold_the_digits_that_they_are_said_to(scripts):
    images = np.stack([np.full((8, 8), 20 * digit + 60, np.uint8) for digit in range(10)])
    X, Y = scripts["multi_label"].pictures(300, 0, images, np.arange(10))
    assert X.shape == (300, 16, 16) and Y[:, 0].mean() > 3 * Y[:, 9].mean() and set(Y.sum(1)) <= {1, 2, 3, 4}


def test_a_small_form_of_the_labels_writes_its_tables(scripts, tmp_path, capsys):
    draws = np.random.default_rng(0)
    frame = pd.DataFrame({f"PAY_{month}": draws.integers(0, 4, 200) for month in (0, 2)}).assign(
        ID=range(200), LIMIT=draws.normal(size=200), DEFAULT=draws.integers(0, 2, 200)
    )
    frame.to_parquet(tmp_path / "default.parquet")
    options = ["--examples", "120", "--epochs", "1", "--seeds", "2", "--methods", "ce,asymmetric"]
    where = ["--credit", str(tmp_path / "default.parquet"), "--results", str(tmp_path)]
    assert scripts["multi_label"].main([*options, *where]) == 0
    found = json.loads((tmp_path / "multi_label.json").read_text())
    assert found["sets"]["credit"]["about"]["labels"] == ["late 0", "late 2", "default"]
    text = (tmp_path / "multi_label.md").read_text()
    assert text.count("| `asymmetric` |") == 2 and "--examples 120" in text
    assert "digits asymmetric seed 1" in capsys.readouterr().out


def test_a_small_form_of_the_characters_writes_its_table(scripts, tmp_path):
    faces = drawn_faces(12, 6, size=12)
    with zipfile.ZipFile(tmp_path / "small.zip", "w") as archive:
        for number, (image, name, group) in enumerate(zip(*faces, strict=True)):
            Image.fromarray(image).save(tmp_path / "one.png")
            archive.write(tmp_path / "one.png", f"{group}/{name}/{number}.png")
    options = ["--epochs", "1", "--seeds", "2", "--methods", "ce,arcface", "--results", str(tmp_path)]
    assert scripts["verification"].main([str(tmp_path / "small.zip"), *options]) == 0
    text = (tmp_path / "verification.md").read_text()
    assert "| `arcface` |" in text and "genuine and" in text and "bare:" in text
