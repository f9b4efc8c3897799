"""What the page's scripts are given."""

from __future__ import annotations

import json

import pytest

from steelyard.report.payload import minority, payload
from steelyard.report.store import read


def test_only_finite_numbers_strings_lists_and_none(fabricate, tmp_path):
    data = payload(read(fabricate(tmp_path, methods=3, seeds=2, epochs=3)))
    again = json.loads(json.dumps(data, allow_nan=False))
    assert again["board"] == data["board"]
    assert again["methods"][0]["perClass"] == data["methods"][0]["perClass"]


def test_every_method_is_there_finished_or_not(fabricate, tmp_path):
    data = payload(read(fabricate(tmp_path, methods=3, seeds=2, epochs=3, unfinished=(("la", 0), ("la", 1)))))
    assert [(method["name"], method["runs"]) for method in data["methods"]] == [("ce", 2), ("cb-drw", 2), ("la", 0)]
    assert data["methods"][2]["confusion"] is None
    assert "la" not in data["board"]["last"]["accuracy"]


def test_at_most_ten_methods_are_drawn_at_first_and_cross_entropy_always(fabricate, tmp_path):
    data = payload(read(fabricate(tmp_path, methods=16, seeds=2, epochs=2)))
    assert len(data["shown"]) <= 10
    assert "ce" in data["shown"]
    board = data["board"]["last"]["balanced_accuracy"]
    assert max(board, key=lambda name: board[name][0]) in data["shown"]


def test_the_rarer_of_two_classes_and_its_shares(fabricate, tmp_path):
    found = minority(read(fabricate(tmp_path, classes=2, methods=1, seeds=1, epochs=1, n_max=900, class_names=("a", "b"))))
    assert found == ("b", pytest.approx(9 / 909), 0.5)


def test_more_classes_have_no_rarer_one(fabricate, tmp_path):
    assert minority(read(fabricate(tmp_path, classes=3, methods=1, seeds=1, epochs=1))) is None
