from __future__ import annotations

import torch

from steelyard.core.head import find_head
from steelyard.nets.pointnet2 import LAYOUTS, Layout, PointNet2

TINY = Layout((8, 4), (0.4, 0.8), 4, ((6,), (8, 10)), ((8,), (8, 7)), (5,))


def inputs(points: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    stream = torch.Generator().manual_seed(0)
    return torch.rand(2, points, 3, generator=stream), torch.rand(2, points, 4, generator=stream)


def test_the_layout_of_the_paper_has_its_number_of_parameters() -> None:
    net = PointNet2(2, 12, layout="soul")
    assert sum(parameter.numel() for parameter in net.parameters()) == 1_016_194
    assert LAYOUTS["soul"].points == (1024, 256, 64, 16)


def test_the_order_of_the_points_does_not_matter() -> None:
    net = PointNet2(2, 4, layout=TINY).eval()
    xyz, features = inputs()
    order = torch.randperm(30)
    before = net(xyz, features).reshape(2, 30, 2)
    after = net(xyz[:, order], features[:, order]).reshape(2, 30, 2)
    torch.testing.assert_close(after, before[:, order])


def test_two_predictions_are_the_same_and_sets_do_not_mix() -> None:
    net = PointNet2(2, 4, layout=TINY).eval()
    xyz, features = inputs()
    whole = net(xyz, features)
    assert torch.equal(whole, net(xyz, features))
    torch.testing.assert_close(net(xyz[1:], features[1:]), whole[30:])


def test_every_parameter_learns_and_the_classifier_is_found() -> None:
    net = PointNet2(2, 4, layout=TINY)
    asked = torch.rand(2, 30) < 0.5
    logits = net(*inputs(), asked)
    assert logits.shape == (int(asked.sum()), 2)
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    found = find_head(net)
    assert found is not None
    assert found[1] is net.head[-1]


def test_a_point_sees_its_neighbours() -> None:
    net = PointNet2(2, 4, layout=TINY).eval()
    xyz, features = inputs()
    changed = features.clone()
    changed[0, 1] += 5
    difference = (net(xyz, changed) - net(xyz, features)).abs().amax(1)
    assert int((difference > 1e-6).sum()) > 1
    assert not difference[30:].any()


def test_sets_smaller_than_the_layout_wants() -> None:
    for points in (1, 3):
        assert PointNet2(3, 4, layout=TINY).eval()(*inputs(points)).shape == (2 * points, 3)
