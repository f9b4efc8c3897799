"""A run belongs to what was in the files that its settings name, not to their names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from steelyard import cli
from steelyard.bench.plan import Comparison
from steelyard.cli import comparing
from steelyard.data.fingerprint import fingerprint as fingerprint_of
from steelyard.problems import ProblemSettings, fingerprint
from steelyard.problems._kinds import files_beside


def write(path: Path, text: str = "one") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def changes(settings: ProblemSettings, file: Path, data: Any = "digits") -> bool:
    """Does the fingerprint follow what is in a file?"""
    seen = fingerprint(data, settings)
    assert seen == fingerprint(data, settings)
    before = file.read_bytes()
    file.write_bytes(before + b" and more")
    found = fingerprint(data, settings)
    file.write_bytes(before)
    assert fingerprint(data, settings) == seen
    return found != seen


def test_data_alone_have_the_fingerprint_that_they_always_had() -> None:
    settings = ProblemSettings(task="adapters(pretrain=train,backbone=small-vit(patch=2))", model="auto")
    assert fingerprint("digits", settings) == fingerprint("digits") == fingerprint_of("digits")
    assert fingerprint("digits", ProblemSettings(task="adapters(backbone=owner/name)")) == fingerprint_of("digits")


def test_test_rows_are_taken_in_as_they_always_were(tmp_path: Path) -> None:
    path = write(tmp_path / "test.npz")
    expected = fingerprint_of({"data": "digits", "test": str(path)})
    assert fingerprint("digits", ProblemSettings(test=str(path))) == expected


def test_files_of_tables_count_by_how_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, array = write(tmp_path / "split" / "train.csv", "a,b\n1,2\n"), write(tmp_path / "x.npz")
    given = [(str(table), {}), (str(table.parent), {}), ("digits", {"test": str(table)}), (str(array), {}), ("digits", {})]

    def all_of() -> list[str]:
        return [fingerprint(data, ProblemSettings(**settings)) for data, settings in given]

    before = all_of()
    monkeypatch.setattr("steelyard.problems._fingerprint.READING", 10_000)
    assert [one != other for one, other in zip(before, all_of(), strict=True)] == [True, True, True, False, False]


@pytest.mark.parametrize(
    "setting", ["backbone={folder}", "weights={file}", "pretrain={folder}", "backbone=timm:x(checkpoint_path={file})"]
)
def test_the_files_of_adapters_count(setting: str, tmp_path: Path) -> None:
    file = write(tmp_path / "net" / "model.safetensors")
    settings = ProblemSettings(task=f"adapters({setting.format(folder=file.parent, file=file)})")
    assert changes(settings, file)


def test_the_table_of_groups_counts(tmp_path: Path) -> None:
    table = write(tmp_path / "groups.csv", "identity,group\na,b\n")
    assert changes(ProblemSettings(task=f"verification(groups={table})"), table, "drawn-faces")


def test_a_folder_that_is_called_like_a_word_is_not_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("folder", "train", "random"):
        write(tmp_path / name / "x.txt")
    assert files_beside("verification(groups=folder)", "drawn-faces") == []
    assert files_beside("adapters(pretrain=random)", "digits") == []
    assert files_beside("tables", "digits") == []


def test_a_checkpoint_of_a_model_counts(tmp_path: Path) -> None:
    file = write(tmp_path / "model.pth")
    assert changes(ProblemSettings(model=f"timm:resnet18(checkpoint_path={file})"), file)


def test_the_code_of_a_model_of_ones_own_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    file = write(tmp_path / "own_nets_of_this_test.py", "def net():\n    return 1\n")
    assert changes(ProblemSettings(model="own_nets_of_this_test:net"), file)


def test_images_outside_of_the_folder_count(tmp_path: Path) -> None:
    folder, other = tmp_path / "in", tmp_path / "out"
    for place in (folder, other):
        place.mkdir()
        Image.new("L", (4, 4)).save(place / "x.png")
    pd.DataFrame({"file": ["x.png", str(other / "x.png")], "a": [0, 1]}).to_csv(folder / "labels.csv", index=False)
    settings = ProblemSettings(task="multi-label(images=file,labels=a)")
    assert files_beside(settings.task, str(folder)) == [other / "x.png"]
    assert changes(settings, other / "x.png", str(folder))
    assert files_beside("multi-label(labels=a)", str(folder)) == []


def faces(folder: Path) -> tuple[Path, Path]:
    """Pictures of eight people, and a table of their groups."""
    rng = np.random.default_rng(0)
    y = np.repeat([f"p{number}" for number in range(12)], 4)
    np.savez(folder / "faces.npz", X=rng.integers(0, 255, (len(y), 8, 8), dtype=np.uint8), y=y)
    rows = [{"identity": name, "group": "ab"[int(name[1:]) % 2]} for name in np.unique(y)]
    pd.DataFrame(rows).to_csv(folder / "groups.csv", index=False)
    return folder / "faces.npz", folder / "groups.csv"


def test_a_comparison_does_not_take_runs_of_other_files_for_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, groups = faces(tmp_path)
    words = ["steelyard", "compare", str(data), "--task", f"verification(groups={groups},pairs=20)", "--methods", "ce"]
    monkeypatch.setattr(sys, "argv", [*words, "--seeds", "1", "--out", str(tmp_path / "out")])
    plans: list[Comparison] = []
    monkeypatch.setattr(comparing, "_compare", lambda console, task, plan, out, options: plans.append(plan))
    cli.main()
    cli.main()
    table = pd.read_csv(groups)
    table.assign(group=table["group"].to_numpy()[::-1]).to_csv(groups, index=False)
    cli.main()
    before, again, other = (plan.runs()[0].id for plan in plans)
    assert before == again != other
