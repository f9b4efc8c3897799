from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from steelyard.report.cloud_picture import LEAF, LEFT_OUT, WOOD, colours_of, pictures


def image(source: str) -> np.ndarray:
    assert source.startswith("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB")).astype(int)


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(picture - np.array(colour)).max(-1) < 12).sum())


def test_nearer_points_hide_those_behind_them() -> None:
    """From the front one looks along y: the point with the smaller y is nearer. From above, the higher one is."""
    xyz = np.array([[0.0, 0, 0], [0, 5, 0], [4, 0, 0], [4, 0, 3]])
    classes = np.array([0, 1, 0, 1])
    found = {view: image(source) for view, source in pictures(xyz, classes, ["wood", "leaf"]).items()}
    front, above = found["front"], found["above"]
    # In front of (0, 5, 0) stands wood; beyond it nothing of the leaf colour is seen at the lower left.
    assert near(front[-3:, :3], WOOD) > 0
    assert near(front[-3:, :3], LEAF) == 0
    assert near(above[-3:, -3:], LEAF) > 0
    assert near(above[-3:, -3:], WOOD) == 0


def test_sides_keep_their_proportion_and_left_out_points_are_grey() -> None:
    xyz = np.array([[0.0, 0, 0], [10, 0, 0], [0, 0, 5], [10, 0, 5]])
    picture = image(pictures(xyz, np.array([0, -1, -1, -1]), ["a"])["front"])
    assert abs(picture.shape[1] / picture.shape[0] - 2) < 0.05
    assert near(picture, LEFT_OUT) > 0


def test_one_point_and_points_far_from_the_origin() -> None:
    assert set(pictures(np.array([[286_500.0, 4_649_776, 3]]), np.array([0]), ["leaf"])) == {"front", "side", "above"}


def test_wood_is_brown_leaf_green_and_others_differ() -> None:
    colours = colours_of(["Wood", "leaf", "soil", "rock"])
    assert colours[:2] == [WOOD, LEAF]
    assert len(set(colours)) == 4
