from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steelyard.bench.ranges import read_range
from steelyard.bench.study import ask, begin, check_same, importances, opened, states, suggest
from steelyard.core.errors import CheckpointError

pytest.importorskip("optuna", reason="Optuna is an extra: pip install 'steelyard[tune]'")

SPACE = {
    "tau": read_range("tau", "0.5..2", float, 1.0),
    "lr": read_range("lr", "log(1e-3..1)", float, 0.1),
    "batch_size": read_range("batch_size", "16|32|64", int, 32),
    "rows": read_range("rows", "1..5", int, 2),
    "clip": read_range("clip", "none|5", float | None, None),
}
NOW = {"tau": 1.0, "lr": 0.1, "batch_size": 32, "rows": 2, "clip": None}


def play(study: Any, number: int | None = None, *, tell: bool = True) -> dict[str, Any]:
    trial = ask(study, number, seed=0)
    values = suggest(trial, SPACE, NOW)
    if tell:
        study.tell(trial, -abs(values["tau"] - 1.2) - abs(values["lr"] - 0.05))
    return values


def test_the_first_trial_has_the_settings_as_they_are(tmp_path: Path) -> None:
    with opened(tmp_path, minimise=False) as study:
        begin(study, NOW, SPACE)
        begin(study, NOW, SPACE)
        assert play(study) == NOW
        later = [play(study) for _ in range(3)]
    assert all(found.holds(values[key]) for values in later for key, found in SPACE.items())
    assert NOW not in later


def test_the_first_trial_has_them_outside_the_ranges_too(tmp_path: Path) -> None:
    outside = NOW | {"tau": 7.0, "clip": 3.0}
    with opened(tmp_path, minimise=False) as study:
        begin(study, outside, SPACE)
        trial = ask(study, None, seed=0)
        assert suggest(trial, SPACE, outside) == outside
        study.tell(trial, 0.0)
        assert 0.5 <= play(study)["tau"] <= 2


def test_what_is_tried_does_not_depend_on_interruptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steelyard.bench.study.STARTUP_TRIALS", 2)  # from then on past trials count
    (tmp_path / "whole").mkdir()
    with opened(tmp_path / "whole", minimise=False) as study:
        begin(study, NOW, SPACE)
        whole = [play(study) for _ in range(5)]
    (tmp_path / "parts").mkdir()
    parts = []
    for number in range(5):
        with opened(tmp_path / "parts", minimise=False) as study:
            begin(study, NOW, SPACE)
            before = play(study, tell=False)  # killed: the trial stays under way
        with opened(tmp_path / "parts", minimise=False) as study:
            assert states(study) == (list(range(number)), [number])
            parts.append(play(study, number))
        assert parts[-1] == before
    assert parts == whole


def test_another_study_is_refused_and_says_what_differs(tmp_path: Path) -> None:
    with opened(tmp_path, minimise=False) as study:
        check_same(study, {"data": "digits", "method": "la"}, tmp_path)
    with opened(tmp_path, minimise=False) as study:
        check_same(study, {"data": "digits", "method": "la"}, tmp_path)
        with pytest.raises(CheckpointError, match="its method is 'la', here 'focal'"):
            check_same(study, {"data": "digits", "method": "focal"}, tmp_path)
        with pytest.raises(CheckpointError, match=r"its range of tau is not set, here '0\.\.1'"):
            check_same(study, {"data": "digits", "method": "la", "range of tau": "0..1"}, tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"no database" * 1000)
    with (
        pytest.raises(CheckpointError, match=r"study\.db cannot be used \(file is not a database\)"),
        opened(tmp_path, minimise=False),
    ):
        pass


def test_an_error_of_a_trial_is_not_one_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), opened(tmp_path, minimise=False):
        raise ZeroDivisionError


def test_any_folder_name_will_do(tmp_path: Path) -> None:
    folder = tmp_path / "a {b} ?c%20=d"
    folder.mkdir()
    with opened(folder, minimise=True) as study:
        begin(study, NOW, SPACE)
    assert [path.name for path in folder.iterdir()] == ["study.db"]


def test_importances_need_some_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steelyard.bench.study.STARTUP_TRIALS", 6)
    with opened(tmp_path, minimise=False) as study:
        begin(study, NOW, SPACE)
        play(study)
        assert importances(study) is None
        for _ in range(7):
            play(study)
        found = importances(study)
    assert found is not None
    assert set(found) == set(SPACE)
    assert sum(found.values()) == pytest.approx(1)
    assert found["rows"] < found["tau"] + found["lr"]
