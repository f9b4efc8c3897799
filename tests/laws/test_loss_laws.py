"""What every loss promises: shapes, reductions, symmetries, finite numbers, and nothing done to what it is given."""

import copy
import io

import pytest
import torch
from loss_cases import MAKERS, PRIVATE_CLASSES, covered, logits_and_target
from torch import Tensor, nn

import steelyard.losses
from steelyard.core.errors import ArgumentError
from steelyard.core.loss import Loss
from steelyard.core.rows import Clock
from steelyard.losses import ARB
from steelyard.numeric import nll

COUNTS = [500, 60, 1, 7, 0]
CLASSES = len(COUNTS)

every_loss = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@pytest.fixture(params=["plain", "fused"], autouse=True)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every law holds on both ways through the cross-entropy."""
    monkeypatch.setattr(nll, "FUSE_FROM", 0 if request.param == "fused" else 1 << 60)
    return request.param


def test_every_public_loss_is_among_the_cases() -> None:
    public = {name for name in steelyard.losses.__all__ if name not in PRIVATE_CLASSES}
    assert public == covered()


@every_loss
@pytest.mark.parametrize("rows", [0, 1, 2, 7])
@pytest.mark.parametrize("counts", [[5], [3, 0], COUNTS])
def test_rows_are_one_finite_value_each(make, rows, counts):
    logits, target = logits_and_target(rows, len(counts), dtype=torch.float32)
    values = make(counts).rows(logits, target)
    assert values.shape == (rows,)
    assert values.dtype == torch.float32
    assert bool(torch.isfinite(values).all())
    assert bool((values >= 0).all())


@every_loss
def test_reductions_are_those_of_torch(make):
    logits, target = logits_and_target(6, CLASSES)
    loss = make(COUNTS)
    values = loss.rows(logits, target)
    for reduction, expected in {"none": values, "sum": values.sum(), "mean": values.mean()}.items():
        loss.reduction = reduction
        assert torch.equal(loss(logits, target), expected)


@every_loss
def test_names_of_classes_do_not_matter(make):
    logits, target = logits_and_target(9, CLASSES)
    order = torch.randperm(CLASSES)
    place = torch.argsort(order)  # where each class has gone
    moved = make([COUNTS[int(c)] for c in order])
    torch.testing.assert_close(moved.rows(logits[:, order], place[target]), make(COUNTS).rows(logits, target))


@every_loss
def test_order_of_rows_does_not_matter(make):
    logits, target = logits_and_target(9, CLASSES)
    order = torch.randperm(9)
    loss = make(COUNTS)
    torch.testing.assert_close(loss.rows(logits[order], target[order]), loss.rows(logits, target)[order])


@every_loss
def test_a_constant_in_the_logits_changes_nothing(make):
    logits, target = logits_and_target(9, CLASSES)
    loss = make(COUNTS)
    torch.testing.assert_close(loss.rows(logits + 50 * torch.randn(9, 1), target), loss.rows(logits, target))


@every_loss
def test_gradient_of_a_row_lies_in_its_own_logits_and_sums_to_nothing(make):
    logits, target = logits_and_target(4, CLASSES)
    jacobian = torch.autograd.functional.jacobian(lambda z: make(COUNTS).rows(z, target), logits)
    for i in range(4):
        others = torch.arange(4) != i
        assert not jacobian[i, others].any()
        assert abs(float(jacobian[i, i].sum())) < 1e-9 * float(jacobian[i, i].abs().sum() + 1)


def extremes(classes: int, size: float = 1e4) -> tuple[Tensor, Tensor]:
    """Rows that are as wrong, as right, as undecided and as wild as can be."""
    one = torch.full((1, classes), -size)
    one[0, 0] = size
    wild = size * (2 * torch.rand(60, classes) - 1)
    signs = size * torch.randint(0, 2, (60, classes)).mul(2).sub(1)
    level = torch.cat([torch.zeros(1, classes), torch.full((1, classes), size), torch.full((1, classes), -size)])
    close = size + torch.randn(20, classes)
    logits = torch.cat([one, one, -one, -one, wild, signs, level, close])
    target = torch.randint(classes, (len(logits),))
    target[:4] = torch.tensor([0, classes - 1, 0, classes - 1])
    return logits, target


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True], ids=["", "autocast"])
def test_extreme_logits_give_finite_values_and_gradients(make, dtype, autocast):
    # Weights of 1e9 are more than a float16 gradient can hold, whatever the loss does.
    for counts in (COUNTS, [1, 1], [4], [10**9 if dtype != torch.float16 else 10**4, 1, 0]):
        logits, target = extremes(len(counts))
        logits = logits.to(dtype).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            values = make(counts).rows(logits, target)
        assert values.dtype == torch.float32
        assert bool(torch.isfinite(values).all())
        values.mean().backward()
        assert bool(torch.isfinite(logits.grad).all())


@every_loss
def test_extreme_logits_give_the_values_of_double_precision(make):
    logits, target = extremes(CLASSES)
    exact = logits.double().requires_grad_()
    loss = make(COUNTS)
    single, double = loss.rows(logits, target), loss.rows(exact, target)
    double.sum().backward()
    # What rounding the logits alone could do, to first order: their size, times float32's precision, times the slope.
    unit = torch.finfo(torch.float32).eps * logits.abs().amax(1)
    allowed = 4 * unit * exact.grad.abs().sum(1) + 1e-5 * double.abs() + 1e-6
    assert bool(((single.double() - double).abs() <= allowed).all())


@every_loss
def test_a_linear_layer_learns_under_autocast(make):
    layer = nn.Linear(3, CLASSES)
    inputs, target = torch.randn(16, 3), torch.randint(CLASSES, (16,))
    with torch.autocast("cpu", torch.bfloat16):
        loss = make(COUNTS)(layer(inputs), target)
    loss.backward()
    assert loss.dtype == torch.float32
    assert bool(torch.isfinite(layer.weight.grad).all())
    assert bool((layer.weight.grad != 0).any())


@every_loss
def test_a_batch_of_one_class_is_as_good_as_any(make):
    logits, _ = logits_and_target(5, CLASSES)
    target = torch.full((5,), 2)
    logits.requires_grad_()
    make(COUNTS)(logits, target).backward()
    assert bool(torch.isfinite(logits.grad).all())


@every_loss
def test_strides_do_not_matter(make):
    logits, target = logits_and_target(8, CLASSES)
    loss = make(COUNTS)
    expected = loss.rows(logits, target)
    turned = logits.t().contiguous().t()
    spread = torch.stack([logits, -logits], 2)[..., 0]
    wide = torch.stack([target, target], 1)[:, 0]
    assert not turned.is_contiguous()
    assert not spread.is_contiguous()
    torch.testing.assert_close(loss.rows(turned, target), expected)
    torch.testing.assert_close(loss.rows(spread, wide), expected)
    one, same = logits[:1].expand(8, -1), target[:1].expand(8)
    torch.testing.assert_close(loss.rows(one, same), loss.rows(one.contiguous(), same.contiguous()))


@every_loss
def test_what_is_given_stays_as_it_was(make):
    logits, target = logits_and_target(8, CLASSES)
    before = logits.clone(), target.clone()
    logits.requires_grad_()
    loss = make(COUNTS)
    state = {name: value.clone() for name, value in loss.state_dict().items()}
    loss(logits, target).backward()
    assert torch.equal(logits.detach(), before[0])
    assert torch.equal(target, before[1])
    for name, value in loss.state_dict().items():
        assert torch.equal(value, state[name])
    assert not list(loss.parameters())


@every_loss
def test_context_is_swallowed(make):
    logits, target = logits_and_target(4, CLASSES)
    loss = make(COUNTS)
    context = {"features": torch.ones(4, 2), "index": torch.arange(4), "clock": Clock(), "neighbours": None}
    assert torch.equal(loss.rows(logits, target, **context), loss.rows(logits, target))
    assert torch.equal(loss(logits, target, **context), loss(logits, target))


@every_loss
def test_copies_and_saved_states_are_as_good(make):
    logits, target = logits_and_target(6, CLASSES)
    loss = make(COUNTS)
    expected = loss(logits, target)
    assert torch.equal(copy.deepcopy(loss)(logits, target), expected)
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    other = make([9, 9, 9, 1, 2])
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(logits, target), expected)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_moving_a_loss_keeps_its_values(make, dtype):
    logits, target = logits_and_target(6, CLASSES, dtype=dtype)
    loss = make(COUNTS)
    expected = loss(logits, target)
    moved = loss.to("cpu", dtype)(logits, target)
    assert moved.dtype == dtype
    torch.testing.assert_close(moved, expected, rtol=1e-5, atol=1e-6)
    assert make(COUNTS).to("meta").rows(logits.to("meta"), target.to("meta")).shape == (6,)


@every_loss
def test_integer_targets_of_any_width_are_the_same(make):
    logits, target = logits_and_target(6, CLASSES)
    loss = make(COUNTS)
    for dtype in (torch.int32, torch.int16, torch.uint8):
        assert torch.equal(loss.rows(logits, target.to(dtype)), loss.rows(logits, target))


WRONG = {
    "one-dimensional logits": (torch.zeros(CLASSES), torch.tensor(1), "logits"),
    "logits of an image": (torch.zeros(2, CLASSES, 4, 4), torch.zeros(2, 4, 4, dtype=torch.int64), "logits"),
    "whole-number logits": (torch.zeros(2, CLASSES, dtype=torch.int64), torch.tensor([0, 1]), "logits"),
    "targets too few": (torch.zeros(3, CLASSES), torch.tensor([0, 1]), "target"),
    "targets in a column": (torch.zeros(2, CLASSES), torch.tensor([[0], [1]]), "target"),
    "soft targets": (torch.zeros(2, CLASSES), torch.full((2, CLASSES), 1 / CLASSES), "target"),
    "floating-point targets": (torch.zeros(2, CLASSES), torch.tensor([0.0, 1.0]), "target"),
    "a mask as targets": (torch.zeros(2, CLASSES), torch.tensor([True, False]), "target"),
    "a class too many": (torch.zeros(2, CLASSES), torch.tensor([0, CLASSES]), "target"),
    "torch's ignored class": (torch.zeros(2, CLASSES), torch.tensor([0, -100]), "target"),
}


@every_loss
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_rows_are_one_clear_sentence(make, wrong):
    logits, target, argument = WRONG[wrong]
    with pytest.raises(ArgumentError) as raised:
        make(COUNTS)(logits, target)
    assert raised.value.argument == argument
    assert "\n" not in str(raised.value)


@every_loss
def test_another_number_of_classes_is_refused(make):
    loss = make(COUNTS)
    logits, target = logits_and_target(3, 2)
    if not dict(loss.named_buffers()):
        assert loss.rows(logits, target).shape == (3,)  # a loss without counts takes any number
        return
    with pytest.raises(ArgumentError, match=r"`logits` should be of shape \[N, 5\]"):
        loss(logits, target)


TAKE_COUNTS = {name: make for name, make in MAKERS.items() if dict(make([2, 1]).named_buffers())}


@pytest.mark.parametrize("make", TAKE_COUNTS.values(), ids=TAKE_COUNTS)
@pytest.mark.parametrize("counts", [[], [0, 0], [3, -1], [1.5, 2], [float("nan"), 1], [[1, 2]], ["a", "b"], None, 7], ids=str)
def test_wrong_counts_are_one_clear_sentence(make, counts):
    if counts is None and isinstance(make([2, 1]), ARB):
        assert make(None).shift is None  # means the counts of each batch
        return
    with pytest.raises(ArgumentError) as raised:
        make(counts)
    assert raised.value.argument == "class_counts"


@pytest.mark.parametrize("make", TAKE_COUNTS.values(), ids=TAKE_COUNTS)
def test_counts_come_as_list_array_or_tensor(make):
    logits, target = logits_and_target(6, CLASSES)
    expected = make(COUNTS)(logits, target)
    tensor = torch.tensor(COUNTS)
    for counts in (tensor, tensor.int(), tensor.float(), tensor.numpy(), tuple(COUNTS)):
        assert torch.equal(make(counts)(logits, target), expected)


@every_loss
def test_it_says_what_it_is(make):
    loss = make(COUNTS)
    assert isinstance(loss, Loss)
    assert "reduction='mean'" in repr(loss)
