"""What every descent promises, collected over all public ones."""

from __future__ import annotations

import copy
import inspect

import pytest
import torch
from descent_cases import CLASSES, COUNTS, close, gradient, grads, mixed, norm_net, oracle, plain_net, rows, state
from torch import Tensor, nn

import steelyard.descents
from steelyard.core.descent import plain
from steelyard.core.errors import CombinationError
from steelyard.core.loss import CrossEntropy
from steelyard.core.objective import Objective
from steelyard.core.pool import RowPool
from steelyard.core.world import World, launch
from steelyard.data import ResidentSource
from steelyard.losses import ARB, LDAM, BalancedSoftmax, Focal
from steelyard.weightings import InverseFrequency


def make(name: str, **settings):
    """A descent with defaults where it has them; one that needs more adds itself here."""
    made = getattr(steelyard.descents, name)
    if name == "Anchored":
        return made(RowPool(ResidentSource(rows(8, seed=9).inputs, rows(8, seed=9).target), batch_size=8), **settings)
    if name == "MetaBalance":
        return made(settings.pop("inner_lr", 0.1), **settings)
    if not inspect.isclass(made):
        return made
    known = inspect.signature(made).parameters
    return made(COUNTS, **settings) if "class_counts" in known else made(**settings)


NAMES = steelyard.descents.__all__
# Further settings that take other ways through the code.
VARIANTS = {
    "SAM, adaptive": ("SAM", {"adaptive": True}),
    "ImbSAM, whole": ("ImbSAM", {"whole": True}),
    "ImbSAM, most classes": ("ImbSAM", {"tail": "few+medium", "factor": 2.0}),
    "AsymmetricSAM, released": ("AsymmetricSAM", {"form": "released"}),
    "ClassConditionalSAM, tensor": ("ClassConditionalSAM", {"norm": "tensor"}),
    "AdversarialFeatures, class": ("AdversarialFeatures", {"limit": 0.4, "per": "class", "weigh": False}),
}
CASES = {name: (name, {}) for name in NAMES} | VARIANTS
# Settings at which a descent is declared to be plain.
LIMITS = {
    "SAM": [{"rho": 0.0}, {"rho": 0.0, "adaptive": True}],
    "ImbSAM": [{"rho": 0.0}, {"tail": 0}, {"tail": 0.0}],
    "AsymmetricSAM": [{"rho": 0.0}, {"rho": 0.0, "form": "released"}],
    "ClassConditionalSAM": [{"noise": 0.0}, {"flat": 0.0}],
    "AdversarialFeatures": [{"limit": 0.0}, {"reach": 0.0, "weigh": False}],
    "MetaBalance": [{"inner_lr": 0.0}],
    "Anchored": [{"strength": 0.0}],
}
# Those whose evaluation is of another place than here, as they declare.
ELSEWHERE = {"MetaBalance"}
every_descent = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
nets = pytest.mark.parametrize("build", [plain_net, norm_net])


def descent_of(case):
    return make(case[0], **case[1])


@every_descent
@nets
def test_parameters_keep_every_bit_and_the_batch_counts_once(case, build):
    model = build()
    before = state(model)
    descent_of(case)(oracle(model), rows())
    for name, value in model.state_dict().items():
        if name in dict(model.named_parameters()):
            assert torch.equal(value, before[name]), name
        if name.endswith("num_batches_tracked"):
            assert value == 1
    assert all(module.training for module in model.modules())


@every_descent
@nets
def test_every_parameter_gets_a_finite_gradient(case, build):
    model = build()
    descent_of(case)(oracle(model), rows())
    assert all(value.grad is not None and bool(value.grad.isfinite().all()) for value in model.parameters())
    assert all(value.grad.shape == value.shape and not value.grad.requires_grad for value in model.parameters())


@every_descent
@nets
def test_the_evaluation_is_that_of_the_batch_here(case, build):
    model = build()
    twin, batch = copy.deepcopy(model), rows()
    found, expected = descent_of(case)(oracle(model), batch), plain(oracle(twin), batch)
    assert found.rows.target is batch.target
    assert found.mass == expected.mass
    if case[0] not in ELSEWHERE:
        torch.testing.assert_close(found.losses, expected.losses)
        torch.testing.assert_close(found.loss, expected.loss)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("plain", *ELSEWHERE)])
def test_statistics_are_those_of_a_plain_step(name):
    model = norm_net()
    twin = copy.deepcopy(model)
    make(name)(oracle(model), rows())
    plain(oracle(twin), rows())
    for key, value in model.named_buffers():
        assert torch.equal(value, twin.get_buffer(key)), key


@pytest.mark.parametrize(("name", "settings"), [(name, settings) for name, many in LIMITS.items() for settings in many])
@nets
def test_declared_limits_are_plain_to_the_bit(name, settings, build):
    model = build()
    twin = copy.deepcopy(model)
    make(name, **settings)(oracle(model), rows())
    plain(oracle(twin), rows())
    assert all(torch.equal(a, b) for a, b in zip(grads(model), grads(twin), strict=True))


def test_every_descent_declares_a_limit():
    assert set(LIMITS) == set(NAMES) - {"plain"}


@every_descent
def test_it_differs_from_plain_descent(case):
    model = norm_net()
    twin = copy.deepcopy(model)
    descent_of(case)(oracle(model), rows())
    plain(oracle(twin), rows())
    same = all(torch.allclose(a, b, rtol=1e-5, atol=1e-8) for a, b in zip(grads(model), grads(twin), strict=True))
    assert same is (case[0] == "plain")


@every_descent
@nets
def test_gradients_are_added_to_those_that_are_there(case, build):
    model = build()
    asked, descent = oracle(model), descent_of(case)
    once = gradient(model, lambda: _Descended(descent(asked, rows())))
    descent(asked, rows())
    # BatchNorm normalises by the batch in training, so a second step differs in its running statistics alone.
    close(model, [2 * value for value in once], rtol=1e-4, atol=1e-6)


class _Descended:
    """What `gradient` may call `backward` on after a descent: nothing is left to do."""

    def __init__(self, _evaluation: object) -> None:
        pass

    def backward(self) -> None:
        pass


@every_descent
@nets
def test_mixed_rows_and_weights(case, build):
    model = build()
    asked = oracle(model, Objective(BalancedSoftmax(COUNTS), InverseFrequency(COUNTS)))
    found = descent_of(case)(asked, mixed(rows()))
    torch.testing.assert_close(found.mass, torch.tensor(24.0))
    assert bool(found.loss.isfinite())
    assert all(bool(value.grad.isfinite().all()) for value in model.parameters())


@every_descent
@pytest.mark.parametrize("loss", [ARB(), LDAM(COUNTS), Focal(2.0)], ids=lambda loss: type(loss).__name__)
def test_other_losses(case, loss):
    model = norm_net()
    descent_of(case)(oracle(model, Objective(loss)), rows())
    assert all(bool(value.grad.isfinite().all()) for value in model.parameters())


@every_descent
@pytest.mark.parametrize("target", [[0, 0, 0, 0], [2, 2, 2, 2], [0, 0, 0, 2], [2, 1, 0, 0]], ids=str)
def test_batches_with_few_classes(case, target):
    for build in (plain_net, norm_net):
        model, batch = build(), rows(4)
        descent_of(case)(oracle(model), batch.replace(target=torch.tensor(target)))
        assert all(bool(value.grad.isfinite().all()) for value in model.parameters())


@every_descent
def test_a_batch_of_one_row(case):
    for label in range(CLASSES):
        model, batch = plain_net(), rows(4)
        descent_of(case)(
            oracle(model), batch.replace(inputs=batch.inputs[:1], target=torch.tensor([label]), index=batch.index[:1])
        )
        assert all(bool(value.grad.isfinite().all()) for value in model.parameters())


@every_descent
def test_rows_that_are_learnt_perfectly_do_no_harm(case):
    model = plain_net()
    with torch.no_grad():
        model[-1].weight.zero_()
        model[-1].bias.copy_(torch.tensor([1e4, 0.0, -1e4]))
    batch = rows(4)
    descent_of(case)(oracle(model), batch.replace(target=torch.zeros(4, dtype=torch.int64)))
    assert all(bool(value.grad.isfinite().all()) for value in model.parameters())


@every_descent
@nets
def test_bfloat16_autocast_is_close_to_float32(case, build):
    model = build()
    twin = copy.deepcopy(model)
    descent_of(case)(oracle(model, precision="bfloat16"), rows())
    descent_of(case)(oracle(twin), rows())
    mine, right = (torch.cat([value.flatten() for value in grads(each)]) for each in (model, twin))
    assert mine.dtype == torch.float32
    assert float((mine - right).norm() / right.norm()) < 0.1


@every_descent
@nets
def test_float64(case, build):
    model = build().double()
    asked = oracle(model)
    asked.read = Tensor.double
    descent_of(case)(asked, rows(dtype=torch.float64))
    assert all(value.grad.dtype == torch.float64 for value in model.parameters())


@every_descent
def test_frozen_and_unused_parameters(case):
    model = norm_net()
    model[0].weight.requires_grad_(False)
    model.register_parameter("unused", nn.Parameter(torch.ones(3)))
    descent_of(case)(oracle(model), rows())
    assert model[0].weight.grad is None
    assert model.unused.grad is None or not model.unused.grad.any()
    assert all(value.grad is not None for value in model[-1].parameters())


class Scaled(CrossEntropy):
    """A loss with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))

    def rows(self, logits: Tensor, target: Tensor, **context: object) -> Tensor:
        return super().rows(self.scale * logits, target, **context)


@every_descent
@nets
def test_parameters_of_the_loss_learn_too(case, build):
    model, loss = build(), Scaled()
    descent_of(case)(oracle(model, Objective(loss)), rows())
    assert loss.scale.grad is not None
    assert float(loss.scale.grad) != 0
    assert loss.scale.item() == 1.5


class Failing(nn.Module):
    """Fails at one of its calls."""

    def __init__(self, model: nn.Module, at: int) -> None:
        super().__init__()
        self.model, self.left = model, at

    def forward(self, inputs: Tensor) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("out of memory")
        return self.model(inputs)


@every_descent
@pytest.mark.parametrize("call", [0, 1, 2])
def test_a_failing_pass_leaves_the_model_as_it_was(case, call):
    model = Failing(norm_net(), call)
    before = {name: value.clone() for name, value in model.named_parameters()}
    held = dict(model.named_parameters())
    try:
        descent_of(case)(oracle(model), rows())
    except RuntimeError as error:
        assert "out of memory" in str(error)
    assert all(value is held[name] and torch.equal(value, before[name]) for name, value in model.named_parameters())
    layers = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    assert layers
    assert all(layer.training and not layer._forward_pre_hooks for layer in layers)


@every_descent
def test_nothing_is_drawn_from_global_generators(case):
    asked, descent, before = oracle(norm_net()), descent_of(case), torch.get_rng_state()
    descent(asked, rows())
    assert torch.equal(torch.get_rng_state(), before)


@every_descent
def test_two_steps_alike_give_the_same_bits(case):
    model = norm_net()
    twin = copy.deepcopy(model)
    descent_of(case)(oracle(model), rows())
    descent_of(case)(oracle(twin), rows())
    assert all(torch.equal(a, b) for a, b in zip(grads(model), grads(twin), strict=True))


@every_descent
def test_rows_kept_from_before_the_step_are_used(case):
    model = norm_net()
    twin, batch = copy.deepcopy(model), rows()
    asked = oracle(model)
    asked.keep(batch)
    descent_of(case)(asked, batch)
    assert all(value == 1 for name, value in model.named_buffers() if name.endswith("num_batches_tracked"))
    if case[0] in ELSEWHERE:  # what was scored here is of no use there
        return
    if case[0] != "ImbSAM":  # which then scores the whole batch again
        descent_of(case)(oracle(twin), batch)
        close(model, [value.grad for value in twin.parameters()])


@every_descent
def test_several_inputs_by_name(case):
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = norm_net()

        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            return self.body(torch.cat([inputs["a"], inputs["deep"]["b"]], dim=1))

    if case[0] == "Anchored":
        pytest.skip("its pool holds one tensor a row")
    model, batch = Named(), rows()
    twin = copy.deepcopy(model.body)
    named = {"a": batch.inputs[:, :2], "deep": {"b": batch.inputs[:, 2:]}}
    descent_of(case)(oracle(model), batch.replace(inputs=named))
    descent_of(case)(oracle(twin), batch)
    close(model.body, [value.grad for value in twin.parameters()])


@every_descent
def test_a_model_without_a_linear_layer_runs_or_is_refused_with_a_reason(case):
    class Direct(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(5, CLASSES))

        def forward(self, inputs: Tensor) -> Tensor:
            return inputs @ self.table

    try:
        descent_of(case)(oracle(Direct()), rows())
    except CombinationError as error:
        assert "end the model in an nn.Linear" in str(error)
        assert case[0] in ("ClassConditionalSAM", "AdversarialFeatures")


def halves() -> list[dict[str, list[Tensor]]]:
    """In each process: the averaged gradients of every descent on this process' half, and what they should be."""
    world = World.current()
    batch = rows(24)
    parts = [slice(0, 10), slice(10, 24)]

    def of(part: slice):
        return batch.replace(inputs=batch.inputs[part], target=batch.target[part], index=batch.index[part])

    found = []
    for case in CASES.values():
        if case[0] == "Anchored":
            continue  # draws its part of a batch of its own
        model = norm_net()
        evaluation = descent_of(case)(oracle(model), of(parts[world.rank]))
        world.average_gradients(model.parameters(), evaluation.mass)
        sums = [torch.zeros_like(value) for value in model.parameters()]
        for part in parts:
            alone = norm_net()
            descent_of(case)(oracle(alone), of(part))
            share = (part.stop - part.start) / 24
            sums = [total + share * value.grad for total, value in zip(sums, alone.parameters(), strict=True)]
        found.append({"found": grads(model), "expected": sums})
    return found


@pytest.mark.multiprocess
def test_two_processes_climb_each_by_itself_and_average_what_they_find():
    for pair in launch(halves, 2):
        for found, expected in zip(pair["found"], pair["expected"], strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
