"""Drawn faces, and sets that are downloaded."""

import numpy as np
import pytest
from sklearn import datasets

from steelyard.core.errors import ArgumentError, DataError
from steelyard.data.faces import drawn_faces, face_set


def test_drawn_faces_are_alike_within_an_identity_and_the_same_for_a_seed():
    faces = drawn_faces(6, 8, seed=1)
    assert faces.images.shape == (48, 28, 28) and faces.images.dtype == np.uint8
    assert np.array_equal(faces.images, drawn_faces(6, 8, seed=1).images)
    flat = faces.images.reshape(48, -1).astype(float)
    rows = np.arange(48) // 8
    apart = np.sqrt(((flat[:, None] - flat[None]) ** 2).mean(-1))
    same = (rows[:, None] == rows[None]) & ~np.eye(48, dtype=bool)
    assert apart[same].mean() < 0.9 * apart[rows[:, None] != rows[None]].mean()
    assert sorted(set(faces.groups[rows == 1])) == ["masked"] and set(drawn_faces(4, 2, masked=0.0).groups) == {"bare"}


@pytest.mark.parametrize(
    ("settings", "argument"), [({"identities": 0}, "identities"), ({"size": 4}, "size"), ({"masked": 2.0}, "masked")]
)
def test_numbers_out_of_range(settings, argument):
    with pytest.raises(ArgumentError, match=f"`{argument}`"):
        drawn_faces(**settings)


@pytest.mark.parametrize(("name", "fetcher"), [("olivetti", "fetch_olivetti_faces"), ("lfw", "fetch_lfw_people")])
def test_without_a_network_the_sentence_says_what_to_do(monkeypatch, name, fetcher):
    def offline(**_):
        raise OSError("no route to host")

    monkeypatch.setattr(datasets, fetcher, offline)
    with pytest.raises(DataError, match=f"the set '{name}' is downloaded .*no route to host.*give a folder of pictures"):
        face_set(name)


def test_fetched_sets_become_bytes_and_names(monkeypatch):
    class Found:
        images = np.array([[[0.0, 1.0]], [[0.5, 0.2]]])
        target = np.array([0, 1])
        target_names = np.array(["ann", "bob"])

    monkeypatch.setattr(datasets, "fetch_olivetti_faces", lambda **_: Found)
    monkeypatch.setattr(datasets, "fetch_lfw_people", lambda **_: Found)
    olivetti, lfw = face_set("olivetti"), face_set("lfw")
    assert olivetti.images.tolist() == [[[0, 255]], [[128, 51]]] and olivetti.identities.tolist() == ["person 00", "person 01"]
    assert lfw.identities.tolist() == ["ann", "bob"] and lfw.images.dtype == np.uint8
    with pytest.raises(ArgumentError, match="'drawn-faces' or 'olivetti'"):
        face_set("casia")
