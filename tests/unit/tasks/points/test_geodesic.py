from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components, shortest_path

from steelyard.core.errors import ArgumentError
from steelyard.tasks.points.geodesic import Pieces, decompose


def blob(seed: int, points: int = 400, scale: float = 5.0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    walk = np.cumsum(draw.normal(0, 0.4, (points, 3)), 0)
    return walk if seed % 2 else draw.random((points, 3)) * scale


def graph_of(pieces: Pieces) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces between voxels of one piece as a dense matrix, and piece and distance of each voxel."""
    voxels = pieces.voxels
    piece, distance = np.empty(len(voxels), int), np.empty(len(voxels), int)
    piece[voxels.of_point], distance[voxels.of_point] = pieces.piece, pieces.distance
    apart = np.abs(voxels.index[:, None] - voxels.index[None]).sum(-1)
    return (apart == 1) & (piece[:, None] == piece[None]), piece, distance


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("reach", "detour"), [(10, 1.5), (4, 1.0), (3, 9.0)])
def test_distances_are_those_of_the_shortest_paths(seed: int, reach: int, detour: float) -> None:
    pieces = decompose(blob(seed), reach=reach, detour=detour)
    graph, piece, distance = graph_of(pieces)
    parts, _ = connected_components(coo_matrix(graph), directed=False)
    assert parts == len(pieces)  # each piece is connected across faces
    ways = shortest_path(coo_matrix(graph), unweighted=True, indices=pieces.seeds)
    assert np.array_equal(distance, ways[piece, np.arange(len(piece))])
    assert (distance[pieces.seeds] == 0).all()
    assert distance.max() <= reach


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 80))
def test_the_order_and_the_place_of_the_points_do_not_matter(seed: int, points: int) -> None:
    # Multiples of 1/8 m, so that moving by whole metres is exact.
    cloud = np.round(blob(seed, points) * 8) / 8
    order = np.random.default_rng(seed).permutation(points)
    pieces = decompose(cloud, voxel=0.5)
    for other, rows in ((cloud[order], order), (cloud + np.array([286_500, 4_649_776, 7]), np.arange(points))):
        moved = decompose(other, voxel=0.5)
        assert np.array_equal(moved.piece, pieces.piece[rows])
        assert np.array_equal(moved.distance, pieces.distance[rows])
    assert {*pieces.piece.tolist()} == {*range(len(pieces))}
    assert pieces.points.sum() == points


def test_a_column_is_cut_by_its_reach_and_distances_begin_anew() -> None:
    """Where distances leak from piece to piece, the second would begin at 4 and the column fall into 3, 7, 1, ..."""
    column = np.column_stack([np.zeros(30), np.zeros(30), 0.6 * np.arange(30) + 0.3])
    pieces = decompose(column)
    assert pieces.points.tolist() == [11, 11, 8]
    assert pieces.distance.tolist() == [*range(11), *range(11), *range(8)]
    high = decompose(column + np.array([0, 0, 600]))
    assert np.array_equal(high.piece, pieces.piece)


def test_a_winding_way_ends_wherever_it_is() -> None:
    """A hairpin: out along x, one step up, and back; the way to its end is long and the straight line short."""
    out = [(x, 0, 0) for x in range(5)]
    back = [(x, 0, 2) for x in range(4, -1, -1)]
    cloud = 0.6 * np.array([*out, (4, 0, 1), *back]) + 0.3
    short, whole = decompose(cloud, detour=1.5), decompose(cloud, detour=9.0)
    assert len(short) > 1
    assert len(whole) == 1  # its end is ten steps away
    for height in (0, 6, 60):
        assert np.array_equal(decompose(cloud + np.array([0, 0, height])).piece, short.piece)


def test_a_voxel_that_does_not_hand_on_still_shortens_ways() -> None:
    """In a solid block many voxels stop growing for their detour; distances inside are the true ones all the same."""
    place = np.stack(np.meshgrid(*[np.arange(6)] * 3), -1).reshape(-1, 3)
    pieces = decompose(0.6 * place + 0.3, detour=1.2)
    graph, piece, distance = graph_of(pieces)
    ways = shortest_path(coo_matrix(graph), unweighted=True, indices=pieces.seeds)
    assert np.array_equal(distance, ways[piece, np.arange(len(piece))])


def test_two_trees_never_share_a_piece() -> None:
    cloud = np.concatenate([blob(0), blob(0) + np.array([7.0, 0, 0])])
    pieces = decompose(cloud)
    assert not {*pieces.piece[:400]} & {*pieces.piece[400:]}


def test_copies_and_one_point() -> None:
    assert decompose(np.zeros((1, 3))).points.tolist() == [1]
    cloud = blob(3, 100)
    twice = decompose(np.concatenate([cloud, cloud]))
    assert np.array_equal(twice.piece[:100], twice.piece[100:])
    assert np.array_equal(twice.piece[:100], decompose(cloud).piece)
    assert twice.voxel_counts.sum() == len(twice.voxels)


@pytest.mark.parametrize(("name", "value"), [("reach", 0), ("detour", 0.5), ("detour", float("nan")), ("voxel", 0.0)])
def test_numbers_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ArgumentError, match=name):
        decompose(np.zeros((2, 3)), **{name: value})
