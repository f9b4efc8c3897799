from __future__ import annotations

import hashlib
import json
import zipfile

import numpy as np
import pytest
from fitted_facts import facts_of_a_model
from loans import loans, written

from steelyard.core.errors import DataError, SteelyardError
from steelyard.core.regime import Regime
from steelyard.estimator.fitting import fit_file
from steelyard.estimator.folder import CARD, FACTS, STATE, TENSORS, load_model, save_model
from steelyard.estimator.reading import FileRequest

QUICK = Regime(epochs=2, batch_size=64, optimizer="adamw", lr=3e-3)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    path = written(loans(200), tmp_path_factory.mktemp("data") / "loans.csv")
    return fit_file(FileRequest(path, "defaulted"), method="ldam", regime=QUICK, members=2, importance=False)[0]


@pytest.fixture
def folder(fitted, tmp_path):
    return save_model(fitted, tmp_path / "model")


def test_predictions_are_the_same_to_the_last_bit(fitted, folder):
    frame = loans(123, seed=5)
    again = load_model(folder)
    assert (again.predict_proba(frame) == fitted.predict_proba(frame)).all()
    assert (again.predict(frame) == fitted.predict(frame)).all()
    assert (again.predict_proba(frame, prior={"yes": 0.5, "no": 0.5}) == fitted.predict_proba(frame, prior=[0.5, 0.5])).all()
    assert (again.spread(frame) == fitted.spread(frame)).all()
    assert again.classes.tolist() == fitted.classes.tolist()
    assert again.facts == json.loads(json.dumps(fitted.facts))


def test_there_is_no_pickle(folder):
    assert sorted(path.name for path in folder.iterdir()) == [STATE, TENSORS]
    for path in folder.iterdir():
        assert not zipfile.is_zipfile(path)
        assert b"\x80\x04" not in path.read_bytes()[:2]


def test_a_card_and_a_report_come_with_facts(fitted, tmp_path):
    facts = facts_of_a_model()
    out = save_model(fitted, tmp_path / "model", facts)
    assert {FACTS, CARD, "report.html"} <= {path.name for path in out.iterdir()}
    assert json.loads((out / FACTS).read_text()) == facts


@pytest.mark.parametrize("file", [STATE, TENSORS])
@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "gone"])
def test_a_damaged_folder_is_one_sentence(folder, file, damage):
    path = folder / file
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        middle = len(whole) // 2
        swapped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        path.write_bytes({"cut": whole[:middle], "changed": swapped, "empty": b""}[damage])
    with pytest.raises(DataError) as caught:
        load_model(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [{"format": 99}, {"format": "x"}, {"model": None}, {"tensors": 3}, {"sha256": "0"}])
def test_what_was_edited_by_hand_is_refused(folder, change):
    about = json.loads((folder / STATE).read_text())
    (folder / STATE).write_text(json.dumps(about | change))
    with pytest.raises(DataError, match=r"damaged|format"):
        load_model(folder)


def test_another_order_of_keys_is_no_damage(fitted, folder):
    about = json.loads((folder / STATE).read_text())
    (folder / STATE).write_text(json.dumps(dict(reversed(about.items())), indent=3))
    frame = loans(10)
    assert np.array_equal(load_model(folder).predict_proba(frame), fitted.predict_proba(frame))


def test_a_file_is_no_folder(fitted, tmp_path):
    path = tmp_path / "taken"
    path.write_text("mine")
    with pytest.raises(SteelyardError, match="it is a file"):
        save_model(fitted, path)
    with pytest.raises(DataError, match="there is no model"):
        load_model(path)
    assert path.read_text() == "mine"


def test_a_newer_model_replaces_an_older_one(fitted, folder):
    before = (folder / TENSORS).stat().st_mtime_ns
    save_model(fitted, folder)
    assert (folder / TENSORS).stat().st_mtime_ns > before
    load_model(folder)


def signed(folder, change):
    """Edit the state of a model and sign it anew."""
    about = json.loads((folder / STATE).read_text())
    about["model"] |= change
    del about["sha256"]
    text = json.dumps(about, sort_keys=True, separators=(",", ":"))
    (folder / STATE).write_text(json.dumps(about | {"sha256": hashlib.sha256(text.encode()).hexdigest()}))


@pytest.mark.parametrize(
    "change",
    [{"prior": "x"}, {"prior": [0.2, 0.3, 0.5]}, {"classes": ["yes"]}, {"members": []}, {"encoder": 3}, {"facts": [1]}],
)
def test_what_was_edited_and_signed_anew_is_still_one_sentence(folder, change):
    signed(folder, change)
    with pytest.raises(DataError, match="cannot be put together") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [{"decision": 3}, {"schema": [1]}, {"schema": {"age": {}}}, {"unused": None}])
def test_what_would_fail_in_the_middle_of_a_file_fails_when_it_is_read(fitted, folder, change):
    signed(folder, {"facts": json.loads(json.dumps(fitted.facts)) | change})
    with pytest.raises(DataError, match="cannot be put together"):
        load_model(folder)


def test_nested_without_end(folder):
    (folder / STATE).write_text("[" * 100_000)
    with pytest.raises(DataError, match="damaged"):
        load_model(folder)
