from __future__ import annotations

import torch

from steelyard.nets import _point_sets
from steelyard.nets._point_sets import farthest_points, gather, interpolation, nearest_points, within_ball


def cloud(sets: int = 2, points: int = 40, seed: int = 0) -> torch.Tensor:
    return torch.rand(sets, points, 3, generator=torch.Generator().manual_seed(seed))


def test_farthest_points_by_loops() -> None:
    xyz = cloud()
    found = farthest_points(xyz, 6)
    for points, chosen in zip(xyz, found.tolist(), strict=True):
        expected = [int((points - points.mean(0)).norm(dim=1).argmax())]
        while len(expected) < 6:
            expected.append(int(torch.cdist(points, points[expected]).amin(1).argmax()))
        assert chosen == expected


def test_a_ball_holds_the_nearest_and_is_filled_with_the_nearest() -> None:
    xyz = cloud()
    centres = xyz[:, :5]
    found = within_ball(xyz, centres, 0.3, 8)
    for b in range(2):
        for s in range(5):
            apart = (xyz[b] - centres[b, s]).norm(dim=1)
            inside = [i for i in apart.argsort().tolist() if apart[i] <= 0.3][:8]
            assert found[b, s].tolist() == inside + [inside[0]] * (8 - len(inside))
            assert found[b, s, 0] == s  # the centre itself


def test_interpolation_gives_back_what_is_there() -> None:
    coarse = cloud(points=7)
    number, weight = interpolation(coarse, coarse)
    torch.testing.assert_close(weight.sum(-1), torch.ones(2, 7))
    values = torch.randn(2, 7, 4)
    carried = (gather(values, number) * weight[..., None]).sum(2)
    torch.testing.assert_close(carried, values, atol=1e-4, rtol=1e-4)
    fine = cloud(points=3, seed=1)
    number, weight = interpolation(coarse, fine)
    apart = torch.cdist(fine, coarse)
    expected = 1 / apart.topk(3, largest=False).values.square()
    torch.testing.assert_close(weight, expected / expected.sum(-1, keepdim=True), rtol=1e-3, atol=1e-4)


def test_parts_give_what_the_whole_gives(monkeypatch) -> None:
    xyz = cloud(points=33)
    whole = nearest_points(xyz, xyz, 5)
    monkeypatch.setattr(_point_sets, "PAIRS", 200)
    for one, other in zip(whole, nearest_points(xyz, xyz, 5), strict=True):
        assert torch.equal(one, other)


def test_fewer_points_than_asked_for_repeat_the_nearest() -> None:
    distance, number = nearest_points(cloud(points=2), cloud(points=2), 3)
    assert number.shape == (2, 2, 3)
    assert torch.equal(number[..., 2], number[..., 0])
    assert torch.equal(distance[..., 2], distance[..., 0])
    assert farthest_points(cloud(points=2), 4).shape == (2, 4)
