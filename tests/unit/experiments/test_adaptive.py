"""The experiment on adaptive methods: its plan, and a small form of it on each kind of data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scripts import loaded

CHEAP = ["--methods", "ce,la,rdr", "--seeds", "2", "--epochs", "1", "--jobs", "1"]


@pytest.fixture(scope="module")
def adaptive(repo: Path) -> Iterator[ModuleType]:
    with loaded(repo / "experiments", "adaptive") as module:
        yield module


def test_every_method_of_the_plan_exists(adaptive: ModuleType) -> None:
    names, missing = adaptive.usable((*adaptive.CONTROLS, *adaptive.ADAPTIVE))
    assert not missing
    assert len(list(adaptive.runs(2))) == 2 * len(adaptive.PACKAGED) * len(names)


def test_a_small_form_writes_its_table(adaptive: ModuleType, tmp_path: Path) -> None:
    assert adaptive.main(["digits", *CHEAP, "--out", str(tmp_path / "runs"), "--results", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "adaptive_digits.json").read_text())
    assert {row["method"] for row in found["rows"]} == {"ce", "la", "rdr"}
    assert found["best_control"] in ("ce", "la") and "`rdr`" in (tmp_path / "adaptive_digits.md").read_text()


def test_a_folder_of_colour_pictures(adaptive: ModuleType, tmp_path: Path) -> None:
    rng, folder = np.random.default_rng(0), tmp_path / "cifar10"
    folder.mkdir()
    for split, each in (("train", 60), ("test", 5)):
        label = np.repeat(np.arange(10), each)
        # Pictures of a colour by class, in PNG, as the files of CIFAR-10 have them.
        pictures = [_png(np.full((32, 32, 3), 20 * one) + rng.integers(0, 9, (32, 32, 3))) for one in label]
        column = pa.array([{"bytes": one, "path": None} for one in pictures])
        pq.write_table(pa.table({"img": column, "label": label}), folder / f"{split}.parquet")
    where = ["--folder", str(folder), "--out", str(tmp_path / "runs"), "--results", str(tmp_path)]
    assert adaptive.main(["cifar10", *CHEAP, *where]) == 0
    found = json.loads((tmp_path / "adaptive_cifar10.json").read_text())
    assert found["command"].startswith("python experiments/adaptive.py cifar10 --folder cifar10/")
    assert max(found["data"]["counts"]["train"]) / min(found["data"]["counts"]["train"]) > 20


def test_the_folder_belongs_to_its_case(adaptive: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["cifar10"], ["digits", "--folder", "cifar10/"]):
        with pytest.raises(SystemExit):
            adaptive.main(argv)
        assert "--folder go together" in capsys.readouterr().err


def _png(pixels: np.ndarray) -> bytes:
    from io import BytesIO

    from PIL import Image

    held = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(held, "PNG")
    return held.getvalue()
