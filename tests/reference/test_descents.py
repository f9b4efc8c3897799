"""Sharpness-aware descents beside the published steps, written down slowly: parameters are moved in place and moved back."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from descent_cases import CLASSES, COUNTS, close, gradient, mixed, norm_net, norm_of, oracle, plain_net, rows, score, shift
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from steelyard.core.objective import Objective
from steelyard.core.rows import Batch, Clock
from steelyard.descents import SAM, AdversarialFeatures, AsymmetricSAM, ClassConditionalSAM, ImbSAM
from steelyard.weightings import InverseFrequency

nets = pytest.mark.parametrize("build", [plain_net, norm_net])
seeds = st.integers(0, 10_000)
radii = st.floats(0.01, 2.0)


def contributions(model: nn.Module, batch: Batch, weights: Tensor | None = None) -> Tensor:
    """share * weight * loss of each row, over the mass."""
    losses = F.cross_entropy(score(model, batch).logits, batch.target, reduction="none")
    counted = torch.ones_like(losses) if batch.share is None else batch.share
    return losses * counted * (1 if weights is None else weights) / counted.sum()


def case(build, seed: int, is_mixed: bool) -> tuple[nn.Module, nn.Module, Batch]:
    model = build(seed).double()
    batch = rows(23, seed, torch.float64)
    return model, copy.deepcopy(model), mixed(batch, seed) if is_mixed else batch


def sam_by_hand(model: nn.Module, batch: Batch, rho: float, weights: Tensor | None = None) -> list[Tensor]:
    here = gradient(model, lambda: contributions(model, batch, weights).sum())
    steps = [rho * g / norm_of(here) for g in here]
    shift(model, steps)
    return gradient(model, lambda: contributions(model, batch, weights).sum())


@nets
@settings(max_examples=15)
@given(seed=seeds, rho=radii, is_mixed=st.booleans())
def test_sam(build, seed, rho, is_mixed):
    model, twin, batch = case(build, seed, is_mixed)
    SAM(rho)(oracle(model), batch)
    close(model, sam_by_hand(twin, batch, rho))


@nets
@settings(max_examples=10)
@given(seed=seeds, rho=radii)
def test_weighted_sam_keeps_the_weights_of_the_first_pass(build, seed, rho):
    model, twin, batch = case(build, seed, is_mixed=False)
    weighting = InverseFrequency(COUNTS).double()
    SAM(rho)(oracle(model, Objective(weighting=weighting)), batch)
    close(model, sam_by_hand(twin, batch, rho, weighting.class_weights[batch.target]))


@settings(max_examples=15)
@given(seed=seeds, rho=radii)
def test_adaptive_sam(seed, rho):
    model, twin, batch = case(plain_net, seed, is_mixed=False)
    SAM(rho, adaptive=True)(oracle(model), batch)
    here = gradient(twin, lambda: contributions(twin, batch).sum())
    scaled = norm_of([value.detach().abs() * g for value, g in zip(twin.parameters(), here, strict=True)])
    shift(twin, [rho * value.detach() ** 2 * g / scaled for value, g in zip(twin.parameters(), here, strict=True)])
    close(model, gradient(twin, lambda: contributions(twin, batch).sum()))


def imb_sam_by_hand(model: nn.Module, batch: Batch, tail: Tensor, rho: float, factor: float) -> list[Tensor]:
    """The released three steps; head and tail are the parts of one mean."""
    head = gradient(model, lambda: contributions(model, batch)[~tail].sum())
    here = gradient(model, lambda: factor * contributions(model, batch)[tail].sum())
    shift(model, [rho * g / norm_of(here) for g in here])
    there = gradient(model, lambda: factor * contributions(model, batch)[tail].sum())
    return [a + b for a, b in zip(head, there, strict=True)]


@settings(max_examples=20)
@given(seed=seeds, rho=radii, is_mixed=st.booleans(), factor=st.sampled_from([1.0, 2.0]), most=st.sampled_from([10, 30]))
def test_imb_sam_on_the_tail_alone_is_the_published_step_where_rows_do_not_see_each_other(seed, rho, is_mixed, factor, most):
    model, twin, batch = case(plain_net, seed, is_mixed)
    ImbSAM(COUNTS, rho, most, factor=factor)(oracle(model), batch)
    close(model, imb_sam_by_hand(twin, batch, (torch.tensor(COUNTS) < most)[batch.target], rho, factor))


@nets
@settings(max_examples=15)
@given(seed=seeds, rho=radii, is_mixed=st.booleans(), factor=st.sampled_from([1.0, 2.0]))
def test_imb_sam_on_the_whole_batch_is_the_published_step(build, seed, rho, is_mixed, factor):
    model, twin, batch = case(build, seed, is_mixed)
    ImbSAM(COUNTS, rho, 10, factor=factor, whole=True)(oracle(model), batch)
    close(model, imb_sam_by_hand(twin, batch, batch.target == 2, rho, factor))


class Twofold(nn.Module):
    """A network in which some rows have parameters of their own: the gradient of theirs is what these rows add to the whole."""

    def __init__(self, model: nn.Sequential, mine: Tensor) -> None:
        super().__init__()
        self.theirs, self.ours, self.mine = model, copy.deepcopy(model), mine[:, None]

    def forward(self, values: Tensor) -> Tensor:
        self.levels = []
        for layer, own in zip(self.theirs, self.ours, strict=True):
            if isinstance(layer, nn.BatchNorm1d):
                mean, variance = values.mean(0), values.var(0, correction=0)
                values = (values - mean) / (variance + layer.eps).sqrt()
                self.levels.append((mean.detach(), variance.detach()))
                values = torch.where(self.mine, values * own.weight + own.bias, values * layer.weight + layer.bias)
            else:
                values = torch.where(self.mine, own(values), layer(values))
        return values


def frozen_exchange(model: nn.Sequential, batch: Batch, mine: Tensor, levels: list, pulls: list, factor: float) -> Tensor:
    """A function of the tail rows alone whose gradient is theirs, with what BatchNorm layers exchange held constant.

    Forward, mean and variance are `levels`. Backward, `w / sd * (p + x_hat q)` is taken off the gradient of a layer's input, p
    and q being the means over the batch in `pulls`: the gradient of a quadratic function of that input.
    """
    values, taken_off, number = batch.inputs, torch.zeros((), dtype=torch.float64), 0
    for layer in model:
        if isinstance(layer, nn.BatchNorm1d):
            (mean, variance), (p, q) = levels[number], pulls[number]
            deviation = (variance + layer.eps).sqrt()
            normal = (values - mean) / deviation
            slope = layer.weight.detach()
            taken_off = taken_off + (slope * (p * normal + q * normal.square() / 2))[mine].sum()
            values, number = normal * layer.weight + layer.bias, number + 1
        else:
            values = layer(values)
    losses = F.cross_entropy(values, batch.target, reduction="none")
    return factor * losses[mine].sum() / len(batch.target) - taken_off


@settings(max_examples=20)
@given(seed=seeds, rho=radii, factor=st.sampled_from([1.0, 2.0]))
def test_imb_sam_with_batch_norm_holds_constant_what_rows_exchange(seed, rho, factor):
    model, twin, batch = case(norm_net, seed, is_mixed=False)
    ImbSAM(COUNTS, rho, 10, factor=factor)(oracle(model), batch)
    mine = batch.target == 2
    weights = torch.where(mine, factor, 1.0)
    everything = gradient(twin, lambda: (contributions(twin, batch) * weights).sum())
    layers = [layer for layer in twin if isinstance(layer, nn.BatchNorm1d)]
    pulls = [(layer.bias.grad / len(mine), layer.weight.grad / len(mine)) for layer in layers]
    twofold = Twofold(copy.deepcopy(twin), mine)
    losses = F.cross_entropy(twofold(batch.inputs), batch.target, reduction="none")
    (losses * weights).mean().backward()
    here = [value.grad for value in twofold.ours.parameters()]
    constant = gradient(twin, lambda: frozen_exchange(twin, batch, mine, twofold.levels, pulls, factor))
    torch.testing.assert_close(constant, here)  # at theta the two ways to say it are one
    shift(twin, [rho * g / norm_of(here) for g in here])
    there = gradient(twin, lambda: frozen_exchange(twin, batch, mine, twofold.levels, pulls, factor))
    close(model, [a + c - b for a, b, c in zip(everything, here, there, strict=True)])


@nets
@settings(max_examples=15)
@given(seed=seeds, rho=radii, power=st.floats(0.1, 1.0), is_mixed=st.booleans())
def test_asymmetric_sam_as_described(build, seed, rho, power, is_mixed):
    model, twin, batch = case(build, seed, is_mixed)
    AsymmetricSAM(COUNTS, rho, power=power).double()(oracle(model), batch)
    size = norm_of(gradient(twin, lambda: contributions(twin, batch).sum()))
    steps = [torch.zeros_like(value) for value in twin.parameters()]
    for label, count in enumerate(COUNTS):
        of_class = gradient(twin, lambda label=label: contributions(twin, batch)[batch.target == label].sum())
        radius = rho * (max(COUNTS) / count) ** power
        steps = [step + radius * g / size for step, g in zip(steps, of_class, strict=True)]
    shift(twin, steps)
    close(model, gradient(twin, lambda: contributions(twin, batch).sum()))


@nets
@settings(max_examples=15)
@given(seed=seeds, rho=radii)
def test_asymmetric_sam_as_released(build, seed, rho):
    """Ascent on the weighted mean of torch's cross-entropy with class weights n_max / n_c."""
    model, twin, batch = case(build, seed, is_mixed=False)
    AsymmetricSAM(COUNTS, rho, power=1, form="released")(oracle(model), batch)
    weights = max(COUNTS) / torch.tensor(COUNTS, dtype=torch.float64)
    uphill = gradient(twin, lambda: F.cross_entropy(twin(batch.inputs), batch.target, weight=weights))
    shift(twin, [rho * g / norm_of(uphill) for g in uphill])
    close(model, gradient(twin, lambda: contributions(twin, batch).sum()))


def cc_sam_by_hand(model: nn.Sequential, batch: Batch, flat: float, noise: float, norm: str) -> list[Tensor]:
    """Class by class, with a moved copy of the classifier; weight and bias take the gradient at the moved place."""
    head, body = model[-1], model[:-1]
    parts = list(head.parameters())
    entries = sum(value.numel() for value in parts)

    def loss() -> Tensor:
        features = body(batch.inputs)
        terms = [(1 - flat) * F.cross_entropy(head(features), batch.target)]
        for label, count in enumerate(COUNTS):
            mine = batch.target == label
            if not mine.any():
                continue
            found = torch.autograd.grad(F.cross_entropy(head(features[mine]), batch.target[mine]), parts, retain_graph=True)
            steps = []
            for value, g in zip(parts, found, strict=True):
                w, size = (
                    (value, g.norm()) if norm == "tensor" else (torch.cat([p.flatten() for p in parts]), norm_of(list(found)))
                )
                radius = (w.detach().norm() / (2 * size)).sqrt() * entries**-0.25 * max(count - 1, 1) ** -0.25
                steps.append(noise * math.sqrt(entries) * radius * g / size)
            logits = F.linear(features[mine], parts[0] + steps[0], parts[1] + steps[1])
            terms.append(flat * F.cross_entropy(logits, batch.target[mine], reduction="sum") / len(batch.target))
        return torch.stack(terms).sum()

    return gradient(model, loss)


@nets
@pytest.mark.parametrize("norm", ["global", "tensor"])
@settings(max_examples=10)
@given(seed=seeds, flat=st.floats(0.1, 1.0), noise=st.floats(0.01, 1.0))
def test_class_conditional_sam(build, norm, seed, flat, noise):
    model, twin, batch = case(build, seed, is_mixed=False)
    ClassConditionalSAM(COUNTS, flat, noise=noise, norm=norm).double()(oracle(model), batch)
    close(model, cc_sam_by_hand(twin, batch, flat, noise, norm))


def adversarial_features_by_hand(model: nn.Sequential, batch: Batch, reach: float, share: float) -> list[Tensor]:
    """As released: the gradient of a class's mean loss by the features of the batch, divided by its length over all rows."""
    head, body = model[-1], model[:-1]
    strengths = {label: math.log(max(COUNTS) / count + 0.01) / 2 for label, count in enumerate(COUNTS)}

    def loss() -> Tensor:
        features = body(batch.inputs)
        leaf = features.detach().requires_grad_()
        moved = []
        for label, strength in strengths.items():
            mine = batch.target == label
            (g,) = torch.autograd.grad(F.cross_entropy(head(leaf)[mine], batch.target[mine]), leaf)
            logits = head(features + reach * strength * g / g.norm())
            moved.append(strength * F.cross_entropy(logits[mine], batch.target[mine], reduction="none"))
        return (1 - share) * F.cross_entropy(head(features), batch.target) + share * torch.cat(moved).mean()

    return gradient(model, loss)


@nets
@settings(max_examples=10)
@given(seed=seeds, reach=radii, epoch=st.integers(0, 9), limit=st.floats(0.05, 1.0))
def test_adversarial_features_as_released(build, seed, reach, epoch, limit):
    model, twin, batch = case(build, seed, is_mixed=False)
    asked = oracle(model)
    asked.clock = Clock(epoch=epoch, epochs=10)
    AdversarialFeatures(COUNTS, reach, limit, per="class")(asked, batch)
    close(model, adversarial_features_by_hand(twin, batch, reach, min((epoch + 1) / 10, limit)))


def test_the_cases_hold_every_class():
    assert all(set(rows(23, seed).target.tolist()) == set(range(CLASSES)) for seed in range(20))
