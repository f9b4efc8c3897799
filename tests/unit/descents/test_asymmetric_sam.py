"""SAM-A: when it is SAM, and how far it climbs."""

import copy

import pytest
import torch
from descent_cases import COUNTS, grads, norm_net, oracle, plain_net, rows

from steelyard.core.errors import ArgumentError
from steelyard.descents import SAM, AsymmetricSAM

forms = pytest.mark.parametrize("form", ["described", "released"])


@forms
@pytest.mark.parametrize(("counts", "power"), [((30, 30, 30), 1.0), (COUNTS, 0.0), ((7, 7, 7), None)])
def test_equal_classes_or_no_power_is_sam_to_the_bit(form, counts, power):
    model = norm_net()
    twin = copy.deepcopy(model)
    AsymmetricSAM(counts, 0.2, power=power, form=form)(oracle(model), rows())
    SAM(0.2)(oracle(twin), rows())
    assert all(torch.equal(a, b) for a, b in zip(grads(model), grads(twin), strict=True))


@pytest.mark.parametrize("form", ["described", "released"])
def test_a_power_of_next_to_nothing_leads_to_sam(form):
    model = norm_net().double()
    twin, batch = copy.deepcopy(model), rows(dtype=torch.float64)
    AsymmetricSAM(COUNTS, 0.2, power=1e-9, form=form)(oracle(model), batch)
    SAM(0.2)(oracle(twin), batch)
    for a, b in zip(grads(model), grads(twin), strict=True):
        torch.testing.assert_close(a, b)


def step_of(descent: AsymmetricSAM, target: list[int]) -> torch.Tensor:
    """How far a batch of these labels climbs."""
    model, batch = plain_net().double(), rows(len(target), dtype=torch.float64)
    asked = oracle(model)
    first = asked(batch.replace(target=torch.tensor(target)))
    return torch.cat([step.flatten() for step in descent._steps(first, list(model.parameters()))]).norm()


@pytest.mark.parametrize("label", [0, 1, 2])
def test_a_batch_of_one_class_climbs_by_that_class_s_radius(label):
    for power in (0.25, 1.0):
        described = AsymmetricSAM(COUNTS, 0.1, power=power)
        expected = 0.1 * (60 / COUNTS[label]) ** power
        torch.testing.assert_close(step_of(described, [label] * 4), torch.tensor(expected, dtype=torch.float64))
        released = AsymmetricSAM(COUNTS, 0.1, power=power, form="released")
        torch.testing.assert_close(step_of(released, [label] * 4), torch.tensor(0.1, dtype=torch.float64))


def test_released_steps_have_one_length_and_described_ones_do_not():
    target = [0, 0, 0, 2, 1, 2]
    assert step_of(AsymmetricSAM(COUNTS, 0.1, form="released"), target) == pytest.approx(0.1)
    assert step_of(AsymmetricSAM(COUNTS, 0.1, power=1.0), target) > 0.2


def test_powers_are_those_of_the_form():
    assert AsymmetricSAM([100, 1]).tilt.tolist() == pytest.approx([1, 100**0.25])
    assert AsymmetricSAM([100, 1], form="released").tilt.tolist() == pytest.approx([1, 100])
    assert AsymmetricSAM([100, 0], power=1.0).tilt.tolist() == pytest.approx([1, 100])


@pytest.mark.parametrize("settings", [{"rho": -1}, {"power": -0.5}, {"form": "other"}])
def test_wrong_settings_are_named(settings):
    with pytest.raises(ArgumentError, match=f"`{next(iter(settings))}` should be"):
        AsymmetricSAM(COUNTS, **settings)


def test_repr():
    assert repr(AsymmetricSAM(COUNTS)) == "AsymmetricSAM(rho=0.05, power=0.25, form=described)"
