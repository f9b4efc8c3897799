from __future__ import annotations

import errno
import hashlib
import os
import pickle
import subprocess
from pathlib import Path

import pytest
import torch

from steelyard.core.atomic import write_atomically
from steelyard.core.checkpoint import (
    Checkpoints,
    DamagedCheckpointWarning,
    checksum_of,
    load_state,
    save_state,
)
from steelyard.core.errors import CheckpointError

STATE = {"weights": {"a": torch.arange(5.0)}, "history": [{"epoch": 1, "loss": 0.5, "valid": None}], "steps": 3}


def test_round_trip(tmp_path: Path) -> None:
    save_state(tmp_path / "x.pt", STATE)
    again = load_state(tmp_path / "x.pt")
    assert torch.equal(again["weights"]["a"], STATE["weights"]["a"])
    assert again["history"] == STATE["history"]


def test_the_checksum_file_is_sha256sum_s(tmp_path: Path) -> None:
    save_state(tmp_path / "x.pt", STATE)
    line = checksum_of(tmp_path / "x.pt").read_text().split()
    assert line == [hashlib.sha256((tmp_path / "x.pt").read_bytes()).hexdigest(), "x.pt"]


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_truncated_file_is_named(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.pt"
    save_state(path, STATE)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match=r"x\.pt is damaged"):
        load_state(path)


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    save_state(path, STATE)
    content = path.read_bytes()
    for at in range(0, len(content), len(content) // 17):
        harmed = bytearray(content)
        harmed[at] ^= 1
        path.write_bytes(harmed)
        with pytest.raises(CheckpointError):
            load_state(path)


def test_a_pickle_with_code_in_it_is_never_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/owned",)

    path = tmp_path / "x.pt"
    path.write_bytes(pickle.dumps(Evil()))
    checksum_of(path).write_text(hashlib.sha256(path.read_bytes()).hexdigest() + "  x.pt\n")
    with pytest.raises(CheckpointError, match=r"x\.pt"):
        load_state(path)
    assert not (tmp_path / "owned").exists()


def test_missing_file_or_checksum(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_state(tmp_path / "x.pt")
    save_state(tmp_path / "x.pt", STATE)
    checksum_of(tmp_path / "x.pt").unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_state(tmp_path / "x.pt")


def test_a_full_disk_is_one_sentence_and_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.bin"
    write_atomically(path, b"before")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"could not write .*x\.bin \(No space left on device\)"):
        write_atomically(path, b"after")
    assert path.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.bin"]


def test_a_really_full_file_system(tmp_path: Path) -> None:
    """On a 1 MiB file system of its own, where this user may mount one."""
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True)
    if mount.returncode:
        pytest.skip("no right to mount a small file system here")
    try:
        save_state(tmp_path / "small.pt", {"w": torch.zeros(10)})
        with pytest.raises(CheckpointError, match="No space left"):
            save_state(tmp_path / "large.pt", {"w": torch.rand(1_000_000)})
        assert load_state(tmp_path / "small.pt")["w"].shape == (10,)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_two_are_kept_and_the_newest_whole_one_is_found(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    for step in (8, 9, 10, 11):
        store.save(step, {"steps": step})
    assert [path.stem for path in store] == ["step-000000011", "step-000000010"]
    (tmp_path / "step-000000011.pt").write_bytes(b"")
    with pytest.warns(DamagedCheckpointWarning, match="step-000000011"):
        assert store.newest() == {"steps": 10}
    store.clear()
    assert store.newest() is None
    assert not list(tmp_path.iterdir())


def test_leftovers_of_a_kill_are_not_checkpoints(tmp_path: Path) -> None:
    (tmp_path / ".step-000000001.pt.99.tmp").write_bytes(b"half")
    (tmp_path / "step-000000002.pt.sha256").write_text("abc  step-000000002.pt")
    assert Checkpoints(tmp_path).newest() is None


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="could not write"):
        write_atomically(tmp_path / "file" / "x", b"")
