"""Adversarial features: where they lie, what the second loss counts, and that nothing but the classifier sees them."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from descent_cases import CLASSES, COUNTS, close, gradient, grads, mixed, norm_net, oracle, plain_net, rows, state
from torch import nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.objective import Objective
from steelyard.core.rows import Clock
from steelyard.descents import AdversarialFeatures
from steelyard.losses import LDAM, BalancedSoftmax
from steelyard.nets import NormedLinear
from steelyard.weightings import InverseFrequency

HALF = Clock(epoch=4, epochs=10)
"""When a is 0.5."""
STRENGTHS = torch.tensor([math.log(max(COUNTS) / count + 0.01) / 2 for count in COUNTS], dtype=torch.float64)


def released(reach=1.0, limit=1.0, **settings):
    """With the numbers of the released code, where not said otherwise."""
    return AdversarialFeatures(COUNTS, reach, limit, **settings)


def double_net(seed=0):
    return plain_net(seed).double()


def steps_of(descent, model, batch, objective=None):
    """`z' - z` `[N, d]`, features and the evaluation here."""
    asked, kept = oracle(model, objective), []
    original = descent._step
    descent._step = lambda *given: kept.append(original(*given)) or kept[-1]
    try:
        evaluation = descent(asked, batch)
    finally:
        del descent._step
    return kept[0], evaluation.rows.features.detach(), evaluation


def test_strengths_are_those_of_the_formula():
    found = AdversarialFeatures([100, 50, 10, 1, 0]).strengths
    expected = [math.log(ratio + 0.01) / 2 for ratio in (1, 2, 10, 100, 100)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    assert float(AdversarialFeatures([7, 7]).strengths.sum()) == pytest.approx(math.log(1.01))


@pytest.mark.parametrize(
    ("limit", "epoch", "epochs", "share"),
    [(1.0, 0, 10, 0.1), (1.0, 9, 10, 1.0), (0.3, 1, 10, 0.2), (0.3, 2, 10, 0.3), (0.3, 9, 10, 0.3), (0.6, 0, 1, 0.6)],
)
def test_the_share_grows_with_the_epochs_up_to_its_limit(limit, epoch, epochs, share):
    assert released(limit=limit).share_at(Clock(epoch=epoch, epochs=epochs)) == pytest.approx(share)


def test_a_linear_classifier_is_moved_along_what_the_softmax_has_wrong():
    """g = W^T (p - y) in closed form; every row of a class goes equally far."""
    model, batch = double_net(), rows(dtype=torch.float64)
    step, features, _ = steps_of(released(reach=0.7), model, batch)
    probability = (features @ model[-1].weight.T + model[-1].bias).softmax(1)
    g = (probability - F.one_hot(batch.target, CLASSES)) @ model[-1].weight
    torch.testing.assert_close(step, 0.7 * STRENGTHS[batch.target][:, None] * F.normalize(g, dim=1).detach())


@pytest.mark.parametrize("loss", [None, BalancedSoftmax(COUNTS), LDAM(COUNTS)], ids=["ce", "bs", "ldam"])
def test_no_other_step_of_that_length_is_steeper(loss):
    """By finite differences: along the step the loss of a row rises at the rate |g|, and in other directions slower."""
    model, batch = double_net(), rows(dtype=torch.float64)
    objective = Objective(loss)
    step, features, evaluation = steps_of(released(), model, batch, objective)

    def rises(direction):
        logits = model[-1](features + 1e-6 * direction)
        values = objective.loss.rows(logits, batch.target, features=features)
        return (values - evaluation.losses).detach() / 1e-6

    leaf = features.clone().requires_grad_()
    (g,) = torch.autograd.grad(objective.loss.rows(model[-1](leaf), batch.target, features=features).sum(), leaf)
    along = rises(F.normalize(step, dim=1))
    torch.testing.assert_close(along, g.norm(dim=1), rtol=1e-4, atol=1e-6)
    stream = torch.Generator().manual_seed(0)
    for _ in range(20):
        other = F.normalize(torch.randn(features.shape, generator=stream, dtype=torch.float64), dim=1)
        assert (rises(other) <= along + 1e-5).all()


def test_rows_of_a_class_share_one_length_as_released():
    model, batch = double_net(), rows(dtype=torch.float64)
    step, *_ = steps_of(released(reach=2.0, per="class"), model, batch)
    single, *_ = steps_of(released(reach=2.0), model, batch)
    torch.testing.assert_close(F.normalize(step, dim=1), F.normalize(single, dim=1))
    for label in range(CLASSES):
        assert float(step[batch.target == label].norm()) == pytest.approx(2 * float(STRENGTHS[label]))


def test_a_class_of_one_row_in_the_batch_is_moved_alike_either_way():
    model, batch = double_net(), rows(dtype=torch.float64)
    batch = batch.replace(target=torch.tensor([2] + [0] * 12 + [1] * 11))
    step, *_ = steps_of(released(per="class"), model, batch)
    single, *_ = steps_of(released(), model, batch)
    torch.testing.assert_close(step[0], single[0])
    assert float(step[0].norm()) == pytest.approx(float(STRENGTHS[2]))


def test_without_a_step_the_second_loss_is_a_class_weighted_one():
    model, batch = double_net(), rows(dtype=torch.float64)
    twin, asked = copy.deepcopy(model), oracle(model)
    asked.clock = HALF
    released(reach=0.0)(asked, batch)
    losses = lambda: F.cross_entropy(twin(batch.inputs), batch.target, reduction="none")  # noqa: E731
    close(model, gradient(twin, lambda: ((0.5 + 0.5 * STRENGTHS[batch.target]) * losses()).mean()))


def by_hand(model, batch, objective, weigh, weights=1.0, reach=0.8):
    """Row by row: a leaf of features, its gradient, and the classifier called on the moved ones."""
    features = model[:-1](batch.inputs)
    owner = torch.arange(len(batch.target)) if batch.owner is None else batch.owner
    share = torch.ones(len(batch.target), dtype=torch.float64) if batch.share is None else batch.share
    total = 0.0
    for row, label in enumerate(batch.target.tolist()):
        own, target = features[owner[row]][None], batch.target[row][None]
        leaf = own.detach().clone().requires_grad_()
        (g,) = torch.autograd.grad(objective.loss(model[-1](leaf), target), leaf)
        moved = own + reach * STRENGTHS[label] * g / g.norm()
        weight = weights if isinstance(weights, float) else weights[row]
        second = (STRENGTHS[label] if weigh else 1.0) * objective.loss(model[-1](moved), target)
        total = total + 0.5 * share[row] * weight * (objective.loss(model[-1](own), target) + second)
    return total / share.sum()


@pytest.mark.parametrize("weigh", [True, False])
@pytest.mark.parametrize("blend", [lambda batch: batch, mixed], ids=["rows", "mixed rows"])
@pytest.mark.parametrize("head", [nn.Linear(7, CLASSES), nn.Linear(7, CLASSES, bias=False), NormedLinear(7, CLASSES)])
def test_gradients_of_classifier_and_body_are_those_by_hand(weigh, blend, head):
    """Mixed rows are moved each for its own label, also two of one input; a cosine classifier is asked again."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), copy.deepcopy(head)).double()
    twin, batch = copy.deepcopy(model), blend(rows(dtype=torch.float64))
    objective, weighting = Objective(BalancedSoftmax(COUNTS)), InverseFrequency(COUNTS)
    asked = oracle(model, Objective(BalancedSoftmax(COUNTS), weighting))
    asked.clock = HALF
    released(0.8, weigh=weigh)(asked, batch)
    weights = weighting.class_weights.double()[batch.target]
    close(model, gradient(twin, lambda: by_hand(twin, batch, objective, weigh, weights)), rtol=1e-5, atol=1e-8)


def test_rows_that_do_not_count_are_not_moved_and_shorten_no_step():
    model, batch = double_net(), rows(dtype=torch.float64)
    share = torch.ones(len(batch.target), dtype=torch.float64)
    share[::2] = 0
    descent = released(per="class")
    step, *_ = steps_of(descent, model, batch.replace(share=share))
    alone = batch.replace(inputs=batch.inputs[1::2], target=batch.target[1::2], index=batch.index[1::2])
    expected, *_ = steps_of(descent, model, alone)
    assert not step[::2].any()
    torch.testing.assert_close(step[1::2], expected)


def test_gradients_of_zero_give_no_step():
    model, batch = plain_net(), rows()
    with torch.no_grad():
        model[-1].weight.zero_()  # every class is as likely, wherever the features lie
    for per in ("row", "class"):
        step, *_ = steps_of(released(per=per), model, batch)
        assert not step.any()
    assert all(bool(value.isfinite().all()) for value in grads(model))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_with_a_frozen_body_the_model_runs_once_and_only_the_classifier_learns(precision):
    model, passes = norm_net(), []
    for value in model[:-1].parameters():
        value.requires_grad_(False)
    model[:-1].eval()
    before = state(model)
    model.register_forward_hook(lambda *_: passes.append(1))
    evaluation = released()(oracle(model, precision=precision), rows())
    assert len(passes) == 1
    assert not evaluation.rows.features.requires_grad
    assert all(value.grad is None for value in model[:-1].parameters())
    assert all(bool(value.grad.isfinite().all()) and bool(value.grad.any()) for value in model[-1].parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_bfloat16_parameters():
    for head in (nn.Linear(7, CLASSES), NormedLinear(7, CLASSES)):
        model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), head).bfloat16()
        released()(oracle(model), rows(dtype=torch.bfloat16))
        assert all(bool(value.grad.isfinite().all()) for value in model.parameters())


def test_a_frozen_classifier_still_moves_what_is_below_it():
    model = double_net()
    for value in model[-1].parameters():
        value.requires_grad_(False)
    twin, batch, asked = copy.deepcopy(model), rows(dtype=torch.float64), oracle(model)
    asked.clock = HALF
    released(0.8)(asked, batch)
    assert model[-1].weight.grad is None
    close(model, gradient(twin, lambda: by_hand(twin, batch, Objective(), True)))


def test_a_model_that_scores_by_something_else_is_refused():
    class Pooled(nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs).reshape(len(inputs), CLASSES, -1).mean(2)

    with pytest.raises(CombinationError, match="a classifier is given, and Wrapped does not end in a linear layer"):
        Wrapped = type("Wrapped", (nn.Sequential,), {})
        released()(oracle(Wrapped(Pooled(5, 6))), rows())


@pytest.mark.parametrize("settings", [{"reach": -1}, {"reach": math.inf}, {"limit": 1.1}, {"limit": -0.1}, {"per": "batch"}])
def test_wrong_settings_are_named(settings):
    with pytest.raises(ArgumentError, match=f"`{next(iter(settings))}` should be"):
        released(**settings)


def test_repr():
    assert repr(AdversarialFeatures(COUNTS, 2)) == "AdversarialFeatures(reach=2, limit=0.3, per=row, weigh=True)"
