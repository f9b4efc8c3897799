"""Pickles of Planetoid, read without running them."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from steelyard.core.errors import DataError
from steelyard.tasks.graphs.library import geometric
from steelyard.tasks.graphs.planetoid import downloaded, planetoid_folder, read_planetoid, restricted_load


def test_cora_is_what_everybody_knows(shared_data: Path) -> None:
    found = read_planetoid(shared_data / "planetoid" / "cora" / "raw")
    assert found.statistics()["edges"] == 5278 and found.edge_index.shape[1] == 10556
    assert found.x.shape == (2708, 1433)
    assert torch.bincount(found.y).tolist() == [351, 217, 418, 818, 426, 298, 180]
    assert torch.bincount(found.y[found.masks["train"]]).tolist() == [20] * 7
    assert len(found.masks["valid"]) == 500 and len(found.masks["test"]) == 1000


def test_citeseer_has_nodes_that_are_in_no_file(shared_data: Path) -> None:
    found = read_planetoid(shared_data / "planetoid" / "citeseer" / "raw")
    assert found.edge_index.shape[1] == 9104
    assert found.statistics()["isolated_nodes"] == 48
    assert int((found.y < 0).sum()) == 15 and "15 nodes" in found.notes[0]
    assert bool((found.x[found.y < 0] == 0).all())


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch evil-was-here",)


@pytest.mark.parametrize("value", [Evil(), Path("x"), np.random.RandomState(0)])
def test_anything_but_arrays_is_refused_and_not_run(value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(pickle.dumps(value))
    with pytest.raises(DataError, match=r"asks for .*only arrays and sparse matrices"):
        restricted_load(tmp_path / "file")
    assert not (tmp_path / "evil-was-here").exists()


def test_arrays_and_dictionaries_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(pickle.dumps({0: [1, 2], "a": np.arange(3)}))
    assert restricted_load(tmp_path / "file")["a"].tolist() == [0, 1, 2]


def test_damaged_and_missing_files_are_named(tmp_path: Path, shared_data: Path) -> None:
    folder = tmp_path / "raw"
    shutil.copytree(shared_data / "planetoid" / "cora" / "raw", folder)
    assert planetoid_folder(tmp_path) == folder
    (folder / "ind.cora.y").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"ind\.cora\.y cannot be read"):
        read_planetoid(folder)
    (folder / "ind.cora.graph").unlink()
    with pytest.raises(DataError, match=r"lacks ind\.cora\.graph"):
        read_planetoid(folder)
    shutil.copy(folder / "ind.cora.x", folder / "ind.other.x")
    with pytest.raises(DataError, match="one Planetoid graph"):
        read_planetoid(folder)


def test_files_that_do_not_fit_together_are_refused(tmp_path: Path, shared_data: Path) -> None:
    folder = tmp_path / "raw"
    shutil.copytree(shared_data / "planetoid" / "cora" / "raw", folder)
    (folder / "ind.cora.ally").write_bytes(pickle.dumps(np.zeros((3, 7))))
    with pytest.raises(DataError, match="do not fit together"):
        read_planetoid(folder)


def test_without_a_network_a_name_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(geometric("datasets"), "Planetoid", offline)
    with pytest.raises(DataError, match=r"'cora' could not be fetched .*no route to host.*folder of its raw files"):
        downloaded("cora", tmp_path)


def test_what_was_fetched_before_is_read(tmp_path: Path, shared_data: Path) -> None:
    shutil.copytree(shared_data / "planetoid" / "cora" / "raw", tmp_path / "Cora" / "raw")
    assert downloaded("cora", tmp_path).nodes == 2708
