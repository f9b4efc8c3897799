"""CC-SAM: every classifier, classes of one row, and what it may not be asked."""

import copy

import pytest
import torch
from descent_cases import COUNTS, close, gradient, mixed, norm_net, oracle, plain_net, rows
from torch import nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.objective import Objective
from steelyard.descents import ClassConditionalSAM, class_conditional_sam
from steelyard.losses import LDAM
from steelyard.nets import NormedLinear
from steelyard.weightings import InverseFrequency


@pytest.mark.parametrize("norm", ["global", "tensor"])
@pytest.mark.parametrize("bias", [True, False])
def test_pairs_of_rows_and_classes_beside_each_other_are_the_same(norm, bias, monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3, bias=bias)).double()
    twin, batch = copy.deepcopy(model), mixed(rows(dtype=torch.float64))
    objective = Objective(weighting=InverseFrequency(COUNTS))
    descent = ClassConditionalSAM(COUNTS, 0.6, noise=0.3, norm=norm)
    descent(oracle(model, objective), batch)
    monkeypatch.setattr(class_conditional_sam, "PAIRED_ROWS", 0)
    descent(oracle(twin, objective), batch)
    close(model, [value.grad for value in twin.parameters()])


def test_a_cosine_classifier_is_moved_too():
    """Against a loop over classes with a moved copy of the classifier."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), NormedLinear(7, 3)).double()
    twin, batch, loss = copy.deepcopy(model), rows(dtype=torch.float64), LDAM(COUNTS)
    ClassConditionalSAM(COUNTS, 0.6, noise=0.3)(oracle(model, Objective(loss)), batch)
    head = twin[-1]

    def by_hand():
        features = twin[:-1](batch.inputs)
        total = 0.4 * loss.rows(head(features), batch.target).mean()
        for label, count in enumerate(COUNTS):
            mine = batch.target == label
            value = loss.rows(head(features[mine]), batch.target[mine]).mean()
            (g,) = torch.autograd.grad(value, [head.weight], retain_graph=True)
            radius = head.weight.numel() ** 0.25 * (head.weight.norm() / (2 * g.norm())).sqrt() * (count - 1) ** -0.25
            moved = {"weight": head.weight + (0.3 * radius * g / g.norm()).detach()}
            logits = torch.func.functional_call(head, moved, (features[mine],))
            total = total + 0.6 * loss.rows(logits, batch.target[mine]).sum() / len(batch.target)
        return total

    close(model, gradient(twin, by_hand), rtol=1e-5, atol=1e-8)


def test_the_perturbed_loss_of_a_class_is_higher():
    model, batch = plain_net().double(), rows(dtype=torch.float64)
    asked = oracle(model)
    first = asked(batch)
    descent = ClassConditionalSAM(COUNTS, noise=1e-3)
    shift = descent._shift(asked, first, model[-1], dict(model[-1].named_parameters()))
    higher = nn.functional.cross_entropy(first.rows.logits + shift, batch.target, reduction="none")
    for label in range(3):
        mine = batch.target == label
        assert higher[mine].mean() > first.losses[mine].mean()


def test_the_model_runs_once():
    model, passes = norm_net(), []
    model.register_forward_hook(lambda *_: passes.append(1))
    ClassConditionalSAM(COUNTS)(oracle(model), rows())
    assert len(passes) == 1


def test_class_weights_change_neither_direction_nor_radius():
    """They multiply the loss of a class, of whose mean the gradient is taken."""
    model, batch = plain_net().double(), rows(dtype=torch.float64)
    shifts = []
    for objective in (Objective(), Objective(weighting=InverseFrequency(COUNTS))):
        asked = oracle(model, objective)
        head = model[-1]
        shifts.append(ClassConditionalSAM(COUNTS)._shift(asked, asked(batch), head, dict(head.named_parameters())))
    torch.testing.assert_close(*shifts)


def test_a_frozen_classifier_is_left_alone():
    model = norm_net()
    for value in model[-1].parameters():
        value.requires_grad_(False)
    twin, batch = copy.deepcopy(model), rows()
    ClassConditionalSAM(COUNTS)(oracle(model), batch)
    assert model[-1].weight.grad is None
    close(model, gradient(twin, lambda: nn.functional.cross_entropy(twin(batch.inputs), batch.target)))


def test_bfloat16_parameters():
    for head in (nn.Linear(7, 3), NormedLinear(7, 3)):
        model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), head).bfloat16()
        ClassConditionalSAM(COUNTS)(oracle(model), rows(dtype=torch.bfloat16))
        assert all(bool(value.grad.isfinite().all()) for value in model.parameters())


class Pooled(nn.Module):
    """Scores that are means over what the last linear layer gives, or over a convolution."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, inputs):
        return self.layer(inputs).reshape(len(inputs), 3, -1).mean(2)


class Lifted(nn.Conv1d):
    """A convolution over the columns."""

    def forward(self, inputs):
        return super().forward(inputs[:, None])


@pytest.mark.parametrize("layer", [Lifted(1, 3, 2), nn.Linear(5, 6)], ids=["no linear layer", "other outputs"])
def test_models_without_a_classifier_are_refused(layer):
    with pytest.raises(CombinationError, match="perturbs the classifier, and Pooled does not end in a linear layer"):
        ClassConditionalSAM(COUNTS)(oracle(Pooled(layer)), rows())


@pytest.mark.parametrize("settings", [{"flat": -0.1}, {"flat": 1.1}, {"noise": -1}, {"norm": "two"}])
def test_wrong_settings_are_named(settings):
    with pytest.raises(ArgumentError, match=f"`{next(iter(settings))}` should be"):
        ClassConditionalSAM(COUNTS, **settings)


def test_repr():
    assert repr(ClassConditionalSAM(COUNTS)) == "ClassConditionalSAM(flat=0.5, noise=0.001, norm=global)"
