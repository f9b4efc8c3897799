"""ImbSAM: which classes are tail, what is scored again, and what that costs."""

import copy

import pytest
import torch
from descent_cases import COUNTS, close, gradient, grads, mixed, norm_net, oracle, plain_net, rows
from torch import nn

from steelyard.core.errors import ArgumentError
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Rows
from steelyard.descents import SAM, ImbSAM, plain
from steelyard.descents._rowwise import RowGradients
from steelyard.losses import ARB
from steelyard.weightings import InverseFrequency

TAILED = [500, 200, 60, 15, 5]


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (20, [3, 4]),
        (15, [4]),
        (0, []),
        (501, [0, 1, 2, 3, 4]),
        (1.0, [0, 1, 2, 3, 4]),
        (0.0, []),
        (5 / 780, [4]),
        (0.02, [4]),
        (20 / 780, [3, 4]),
        (0.2, [2, 3, 4]),
        ("few", [3, 4]),
        ("many", [0, 1]),
        ("medium", [2]),
        ("few+medium", [2, 3, 4]),
    ],
)
def test_which_classes_are_tail(tail, expected):
    assert ImbSAM(TAILED, tail=tail).tail.nonzero().flatten().tolist() == expected


def test_classes_of_one_size_are_tail_together():
    assert ImbSAM([10, 10, 10, 70], tail=0.2).tail.tolist() == [False] * 4
    assert ImbSAM([10, 10, 10, 70], tail=0.3).tail.tolist() == [True, True, True, False]


def test_a_class_never_seen_is_tail():
    assert ImbSAM([10, 0], tail=5).tail.tolist() == [False, True]


@pytest.mark.parametrize("tail", [-1, 1.5, -0.1, float("nan"), "fewest", "few+", "", None, True, [1]])
def test_wrong_tails_are_named(tail):
    with pytest.raises(ArgumentError, match="`tail` should be a number of rows"):
        ImbSAM(TAILED, tail=tail)


@pytest.mark.parametrize("settings", [{"rho": -1}, {"factor": -1.0}, {"factor": float("inf")}])
def test_wrong_settings_are_named(settings):
    with pytest.raises(ArgumentError, match=f"`{next(iter(settings))}` should be"):
        ImbSAM(TAILED, **settings)


def scored(descent, batch: Batch, build=norm_net) -> list[int]:
    """Inputs of each pass of the model."""
    model, passes = build(), []
    model.register_forward_hook(lambda module, args, out: passes.append(len(out)))
    descent(oracle(model), batch)
    return passes


def dropping_net(seed: int = 0) -> nn.Sequential:
    return nn.Sequential(*norm_net(seed)[:3], nn.Dropout(0.2), *norm_net(seed)[3:])


@pytest.mark.parametrize("build", [plain_net, norm_net])
def test_only_tail_rows_are_scored_again(build):
    batch = rows()
    tail = int((batch.target == 2).sum())
    assert 0 < tail < 12
    assert scored(ImbSAM(COUNTS, tail=10), batch, build) == [24, tail]
    assert scored(ImbSAM(COUNTS, tail=10), batch, dropping_net) == [24, tail, tail]
    assert scored(ImbSAM(COUNTS, tail=10, whole=True), batch, build) == [24, 24]


class Convolving(nn.Module):
    """Convolutions with and without bias, strides and groups, BatchNorm before, and a layer that no loss depends on."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.group = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.flat = nn.Conv1d(4, 3, 2, dilation=2)
        self.head = nn.Linear(3, 3)
        self.idle = nn.Linear(2, 2)

    def forward(self, images):
        x = nn.functional.relu(self.norm(self.conv(images)), inplace=True)
        return self.head(self.flat((x + self.group(x)).flatten(2)).mean(2))


@pytest.mark.parametrize("factor", [1.0, 2.0])
@pytest.mark.parametrize("build", [plain_net, norm_net, Convolving])
@pytest.mark.parametrize("channels_last", [False, True])
def test_reading_the_tail_off_the_backward_pass_is_scoring_it(build, factor, channels_last, monkeypatch):
    torch.manual_seed(0)
    model, batch = build().double(), rows(dtype=torch.float64)
    if build is Convolving:
        images = torch.randn(24, 2, 6, 6, dtype=torch.float64)
        batch = batch.replace(inputs=images.contiguous(memory_format=torch.channels_last) if channels_last else images)
    twin = copy.deepcopy(model)
    objective = Objective(weighting=InverseFrequency(COUNTS))
    ImbSAM(COUNTS, 0.3, 10, factor=factor)(oracle(model, objective), batch)
    monkeypatch.setattr(RowGradients, "covers", lambda *_: False)
    ImbSAM(COUNTS, 0.3, 10, factor=factor)(oracle(twin, objective), batch)
    for value, right in zip(model.parameters(), twin.parameters(), strict=True):
        assert (value.grad is None) is (right.grad is None)
        if value.grad is not None:
            torch.testing.assert_close(value.grad, right.grad)
            assert value.grad.stride() == value.stride()


def test_a_batch_without_tail_rows_costs_one_pass():
    batch = rows()
    common = batch.replace(target=batch.target.clamp_max(1))
    for whole in (False, True):
        assert scored(ImbSAM(COUNTS, tail=10, whole=whole), common) == [24]
    assert scored(ImbSAM(COUNTS, tail=0), batch) == [24]
    model = norm_net()
    twin = copy.deepcopy(model)
    ImbSAM(COUNTS, tail=10)(oracle(model), common)
    plain(oracle(twin), common)
    assert all(torch.equal(a, b) for a, b in zip(grads(model), grads(twin), strict=True))


def test_a_batch_of_tail_rows_alone_is_scored_twice_as_by_sam():
    model = norm_net()
    twin, batch = copy.deepcopy(model), rows()
    assert scored(ImbSAM(COUNTS, 0.2, 1.0), batch) == [24, 24]
    ImbSAM(COUNTS, 0.2, 1.0)(oracle(model), batch)
    SAM(0.2)(oracle(twin), batch)
    close(model, [value.grad for value in twin.parameters()], rtol=1e-6, atol=0)


def test_released_factor_with_every_class_in_the_tail_is_sam_on_twice_the_loss():
    model = norm_net()
    twin, batch = copy.deepcopy(model), rows()
    ImbSAM(COUNTS, 0.2, 1.0, factor=2.0)(oracle(model), batch)
    SAM(0.2)(oracle(twin), batch)
    close(model, [2 * value.grad for value in twin.parameters()])


@pytest.mark.parametrize("whole", [False, True])
def test_without_a_radius_the_factor_is_left(whole):
    model = norm_net()
    twin, batch = copy.deepcopy(model), rows()
    ImbSAM(COUNTS, 0.0, 10, factor=2.0, whole=whole)(oracle(model), batch)
    losses = lambda: nn.functional.cross_entropy(twin(batch.inputs), batch.target, reduction="none")  # noqa: E731
    close(model, gradient(twin, lambda: (losses() * torch.where(batch.target == 2, 2.0, 1.0)).mean()))


@pytest.mark.parametrize("whole", [False, True])
def test_a_small_radius_leads_to_plain_descent(whole):
    """With BatchNorm too: what rows exchange is held constant at both places."""
    model = norm_net().double()
    twin, batch = copy.deepcopy(model), rows(dtype=torch.float64)
    ImbSAM(COUNTS, 1e-9, 10, whole=whole)(oracle(model), batch)
    plain(oracle(twin), batch)
    close(model, [value.grad for value in twin.parameters()], rtol=1e-6, atol=1e-8)


def test_what_cannot_be_split_is_scored_whole():
    batch = rows()
    descent = ImbSAM(COUNTS, tail=10)
    assert scored(descent, batch.replace(extra={"view": batch.inputs})) == [24, 24]


def test_inputs_that_rows_share_are_scored_whole():
    """A graph: every row's logits come from all of the inputs, which do not have one entry a row."""

    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 3)
            self.passes = 0

        def forward(self, inputs):
            self.passes += 1
            source, target = inputs["edges"]
            gathered = inputs["nodes"].index_add(0, target, inputs["nodes"][source])
            return self.layer(gathered)

    batch, model = rows(), Graph()
    inputs = {"nodes": batch.inputs, "edges": torch.randint(24, (2, 40))}
    ImbSAM(COUNTS, tail=10)(oracle(model), batch.replace(inputs=inputs))
    assert model.passes == 2


def test_mixed_inputs_are_scored_where_they_hold_a_tail_row():
    batch = mixed(rows(40))
    owners = batch.owner[batch.target == 2].unique()
    assert 0 < len(owners) < 33
    assert scored(ImbSAM(COUNTS, tail=10), batch) == [40, len(owners), len(owners)]


def test_where_nearly_every_input_is_needed_the_batch_is_scored_whole():
    batch = rows()
    target = torch.full((24,), 2)
    target[:2] = 0
    assert scored(ImbSAM(COUNTS, tail=10), batch.replace(target=target)) == [24, 24]


@pytest.mark.parametrize("settings", [{"track_running_stats": False}, {"momentum": None}, {"affine": False}], ids=str)
def test_other_batch_norms_are_scored_whole(settings):
    def build():
        return nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7, **settings), nn.Linear(7, 3))

    assert scored(ImbSAM(COUNTS, tail=10), rows(), build) == [24, 24]


def test_batch_norm_in_evaluation_mode_is_as_it_is():
    model = norm_net().eval().double()
    twin, batch = copy.deepcopy(model), rows(dtype=torch.float64)
    ImbSAM(COUNTS, 0.3, 10)(oracle(model), batch)
    ImbSAM(COUNTS, 0.3, 10, whole=True)(oracle(twin), batch)
    close(model, [value.grad for value in twin.parameters()])
    assert not any(module.training for module in model.modules())


def test_a_loss_that_counts_the_batch_sees_all_of_it():
    model = plain_net().double()
    twin, batch = copy.deepcopy(model), rows(dtype=torch.float64)
    ImbSAM(COUNTS, 0.3, 10)(oracle(model, Objective(ARB())), batch)
    ImbSAM(COUNTS, 0.3, 10, whole=True)(oracle(twin, Objective(ARB())), batch)
    close(model, [value.grad for value in twin.parameters()])


def test_dropout_draws_once_for_both_places():
    """Else the difference between them would be mostly that of two masks."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 64), nn.Dropout(0.5), nn.Linear(64, 3))
    masks = []
    model[1].register_forward_hook(lambda module, args, out: masks.append(out != 0))
    ImbSAM(COUNTS, 1e-3, 10)(oracle(model), rows())
    assert len(masks) == 3
    assert torch.equal(masks[1], masks[2])


def test_rows_that_are_not_the_batch_s_are_scored_whole():
    """A forward that makes rows of its own: two from every input."""
    batch, passes = rows(), []

    def forward(model: nn.Module, batch: Batch) -> Rows:
        passes.append(len(batch.inputs))
        return Rows(torch.cat([model(batch.inputs)] * 2), torch.cat([batch.target] * 2))

    ImbSAM(COUNTS, tail=10)(Oracle(plain_net(), forward, Objective()), batch)
    assert passes == [24, 24]


def test_repr_says_how_many_classes():
    assert repr(ImbSAM(TAILED)) == "ImbSAM(rho=0.05, tail=few (2 of 5 classes), factor=1, whole=False)"
