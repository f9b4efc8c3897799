"""What RDR weights are and are not, when, and in which company."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from ending import Bomb
from hypothesis import given
from hypothesis import strategies as st
from tiny import Blobs, numbers, same_weights
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.fit import fit
from steelyard.core.objective import Objective
from steelyard.core.regime import Regime
from steelyard.core.rows import Clock, Evidence, Rows
from steelyard.settings import resolve_method
from steelyard.weightings import BatchNormalised, Deferred, DensityRatio, InverseFrequency
from steelyard.weightings.density_ratio import IllConditionedWarning

COUNTS = [60, 25, 9, 0]
REGIME = Regime(epochs=3, batch_size=16, lr=0.05)


def evidence(seed: int, rows: int = 20, share: bool = False) -> Evidence:
    stream = torch.Generator().manual_seed(seed)
    target = torch.randint(4, (rows,), generator=stream)
    features = (torch.randn(rows, 24, generator=stream) + target[:, None]).relu()
    shares = torch.rand(rows, generator=stream) if share else None
    return Evidence(target, features=features, share=shares)


def taught(**settings: Any) -> DensityRatio:
    weigh = DensityRatio(COUNTS, **settings)
    for seed in range(100, 105):
        weigh.observe(evidence(seed))
    return weigh


@pytest.mark.parametrize("seed", range(4))
def test_prototypes_equal_to_the_batch_means_give_inverse_frequency(seed: int) -> None:
    """The control that RDR has to beat: `drw` with mean 1 over the batch."""
    batch, weigh = evidence(seed), DensityRatio(COUNTS, ridge=0.0)
    weigh.observe(batch)
    torch.testing.assert_close(weigh(batch), BatchNormalised(InverseFrequency(COUNTS))(batch), rtol=1e-4, atol=1e-4)


def test_without_prototypes_it_is_inverse_frequency() -> None:
    batch = evidence(0)
    for power in (0.0, 0.5, 1.0):
        weigh = DensityRatio(COUNTS, prior_power=power, normalise="classes")
        torch.testing.assert_close(weigh(batch), InverseFrequency(COUNTS, power)(batch))


@given(
    st.integers(0, 2**31 - 1),
    st.sampled_from(["dataset_count", "batch_count"]),
    st.sampled_from([0.0, 1e-3, 0.1]),
    st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    st.booleans(),
)
def test_weights_have_mean_one_and_are_not_negative(seed: int, prior: str, ridge: float, gamma: float, share: bool) -> None:
    weigh = taught(prior=prior, ridge=ridge, gamma=gamma)
    batch = evidence(seed, share=share)
    weights = weigh(batch)
    mass = torch.ones(20) if batch.share is None else batch.share
    assert (weights >= 0).all()
    torch.testing.assert_close((mass * weights).sum() / mass.sum(), torch.tensor(1.0))


@given(st.integers(0, 2**31 - 1), st.sampled_from(["batch", "classes"]), st.sampled_from(["dataset_count", "batch_count"]))
def test_rows_in_another_order_and_classes_by_other_names(seed: int, normalise: str, prior: str) -> None:
    batch, stream = evidence(seed), torch.Generator().manual_seed(seed)
    order, names = torch.randperm(20, generator=stream), torch.randperm(4, generator=stream)
    weigh = taught(normalise=normalise, prior=prior)
    renamed = DensityRatio(torch.tensor(COUNTS)[names.argsort()], normalise=normalise, prior=prior)
    for number in range(100, 105):
        before = evidence(number)
        renamed.observe(Evidence(names[before.target], features=before.features))
    moved = renamed(Evidence(names[batch.target][order], features=batch.features[order]))
    torch.testing.assert_close(moved, weigh(batch)[order], rtol=1e-4, atol=1e-5)


def test_a_gamma_of_zero_is_one_bit_for_bit() -> None:
    assert (taught(gamma=0.0)(evidence(1)) == 1).all()
    assert (taught(gamma=0.0, normalise="classes", prior="batch_count")(evidence(1)) == 1).all()


def test_gamma_is_a_power_of_ratio_and_prior() -> None:
    batch, plain = evidence(1), taught(normalise="classes")
    soft = taught(normalise="classes", gamma=0.5)
    one, half = plain(batch), soft(batch)
    torch.testing.assert_close(one.sqrt() / half, (one.sqrt() / half)[:1].expand(20))
    assert abs(soft.class_weights.mean() - 1) < 1e-6


def test_clamp_and_cap_hold_the_ratio() -> None:
    settings: dict[str, Any] = {"normalise": "classes", "prior_power": 0.0, "ridge": 1e-4}
    free = taught(**settings)(evidence(2))
    held = taught(clamp=0.9, cap=1.05, **settings)(evidence(2))
    assert free.min() < 0.9 < 1.05 < free.max()
    torch.testing.assert_close(held, free.clamp(0.9, 1.05))


def test_rescaled_ratios_have_mean_one_in_every_class() -> None:
    batch = evidence(3, share=True)
    weights = taught(rescale=True, normalise="classes", prior_power=0.0)(batch)
    for label in range(4):
        mine = batch.target == label
        mean = (batch.share[mine] * weights[mine]).sum() / batch.share[mine].sum()
        torch.testing.assert_close(mean, torch.tensor(1.0))


def test_by_batch_counts_every_class_weighs_about_the_same() -> None:
    target = torch.tensor([0] * 10 + [1] * 4 + [2])
    batch = Evidence(target, features=torch.rand(15, 24))
    weights = DensityRatio(COUNTS, prior="batch_count")(batch)
    assert [round(float(weights[target == label].sum()), 4) for label in range(3)] == [5.0, 5.0, 5.0]
    over_classes = DensityRatio(COUNTS, prior="batch_count", normalise="classes")(batch)
    first = over_classes[[0, 10, 14]]
    torch.testing.assert_close(first.mean(), torch.tensor(1.0))
    torch.testing.assert_close(first / first[2], torch.tensor([0.1, 0.25, 1.0]))


def test_over_classes_the_prior_part_is_the_static_table() -> None:
    weigh = DensityRatio(COUNTS, normalise="classes", gamma=0.5)
    torch.testing.assert_close(weigh.class_weights, InverseFrequency(COUNTS, 0.5).class_weights)


def test_a_class_seen_later_weighs_by_its_prior_until_then() -> None:
    weigh = DensityRatio(COUNTS, normalise="classes", ridge=0.0)
    first = Evidence(torch.tensor([0, 0]), features=torch.rand(2, 24) + 1)
    weigh.observe(first)
    both = Evidence(torch.tensor([0, 3]), features=torch.cat([2 * first.features[:1], torch.rand(1, 24)]))
    ratio = weigh(both) / weigh.class_weights[both.target]
    assert ratio[1] == 1
    assert ratio[0] < 0.7


def test_features_may_be_zero_or_carry_a_gradient() -> None:
    weigh = taught()
    assert weigh(Evidence(torch.tensor([0, 1]), features=torch.zeros(2, 24))).isfinite().all()
    assert not weigh(Evidence(torch.tensor([0, 1]), features=torch.rand(2, 24, requires_grad=True))).requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_come_in_the_precision_of_the_features_also_under_autocast(dtype: torch.dtype) -> None:
    weigh, batch = taught(), evidence(4)
    batch = Evidence(batch.target, features=batch.features.to(dtype))
    plain = weigh(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = weigh(batch)
        weigh.observe(batch)
    assert plain.dtype == dtype
    torch.testing.assert_close(cast, plain)


@pytest.mark.parametrize(("rows", "warned"), [(57, False), (58, True), (64, True), (80, True)])
def test_without_a_ridge_it_warns_when_a_class_has_nearly_as_many_rows_as_features(rows: int, warned: bool) -> None:
    batch = Evidence(torch.zeros(rows, dtype=torch.int64), features=torch.rand(rows, 64))
    weigh = DensityRatio([100, 10], ridge=0.0)
    weigh.observe(batch)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert weigh(batch).isfinite().all()
        assert DensityRatio([100, 10])(batch).isfinite().all()
    assert [found.category for found in caught] == [IllConditionedWarning] * warned


def test_a_crowded_class_is_not_over_weighted_with_the_ridge() -> None:
    """Released, a class with more rows in the batch than features gets ratios of 6 to 181 on average."""
    stream = torch.Generator().manual_seed(0)
    draw = lambda rows: (torch.randn(rows, 64, generator=stream) + 0.3).relu()  # noqa: E731
    weigh = DensityRatio([1000, 100], normalise="classes", prior_power=0.0, momentum=0.99)
    target = torch.tensor([0] * 80 + [1] * 8)
    for _ in range(50):
        weigh.observe(Evidence(target, features=draw(88)))
    weights = weigh(Evidence(target, features=draw(88)))
    assert 0.9 < weights[:80].mean() < 1.1
    # The mean of a few noisy rows is longer than the prototype, so their ratios are below 1; `rescale` undoes that.
    assert 0.6 < weights[80:].mean() < 0.9


@pytest.mark.parametrize("store", ["dense", "compact"])
@pytest.mark.parametrize("settings", [{}, {"prior": "batch_count", "normalise": "classes", "rescale": True, "cap": 2.0}])
def test_nothing_in_a_step_waits_for_the_device(store: str, settings: dict[str, Any]) -> None:
    """Tensors without values: whoever asks for one, or for a shape that depends on one, raises."""
    weigh = DensityRatio(COUNTS, store=store, **settings)
    with FakeTensorMode(allow_non_fake_inputs=True):
        target, features = torch.zeros(20, dtype=torch.int64), torch.ones(20, 8)
        weigh.class_weights = torch.ones(4)
        for share in (None, torch.ones(20)):
            batch = Evidence(target, features=features, share=share)
            weigh.observe(batch)
            assert weigh(batch).shape == (20,)
        with pytest.raises(DataDependentOutputException):
            target.sum().item()


def test_warm_up_is_plain_training_bit_for_bit_while_prototypes_are_learnt() -> None:
    late = Deferred(DensityRatio(COUNTS[:3]), after=1)
    before = fit(Blobs(), resolve_method("rdr"), REGIME.replace(epochs=5), device="cpu")
    plain = fit(Blobs(), resolve_method("ce"), REGIME.replace(epochs=5), device="cpu")
    assert numbers(before.history)[2]["train_loss"] == numbers(plain.history)[2]["train_loss"]
    assert before.history[4]["train_loss"] != plain.history[4]["train_loss"]
    rows = Rows(torch.randn(6, 3), torch.tensor([0, 0, 0, 1, 1, 2]), features=torch.rand(6, 8))
    waiting = Objective(weighting=late)(rows, Clock())
    assert torch.equal(waiting.loss, Objective()(rows, Clock()).loss)
    assert not late.weighting.prototypes.width
    late.weighting.observe(waiting.evidence())
    assert late.weighting.prototypes.width == 8


@pytest.mark.parametrize("method", ["weighting=rdr", "weighting=rdr(store=compact)", "rdr(after=0.3)", "rdr-la(after=0)"])
def test_a_run_goes_on_where_it_was_ended_bit_for_bit(method: str, tmp_path: Path) -> None:
    recipe = resolve_method(method)
    whole = fit(Blobs(), recipe, REGIME, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        fit(
            Blobs(),
            recipe,
            REGIME,
            device="cpu",
            folder=tmp_path,
            checkpoint_seconds=0.0,
            listeners=[Bomb(9, KeyboardInterrupt)],
        )
    resumed = fit(Blobs(), recipe, REGIME, device="cpu", folder=tmp_path, checkpoint_seconds=0.0)
    assert same_weights(whole.model, resumed.model)
    assert numbers(whole.history) == numbers(resumed.history)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_trains_under_autocast(precision: str) -> None:
    fitted = fit(Blobs(counts=(40, 1, 0)), resolve_method("weighting=rdr"), REGIME.replace(precision=precision), device="cpu")
    assert all(value.isfinite().all() for value in fitted.model.state_dict().values())
    logged = fitted.history[-1]["class_weights"]
    assert logged[1] > logged[0]
    assert logged[2] is None


@pytest.mark.parametrize(
    ("given_power", "gamma", "corrected", "power"),
    [(None, 1.0, 0.0, 1.0), (None, 1.0, 1.0, 0.0), (None, 1.0, 0.25, 0.75), (None, 2.0, 0.5, 0.25), (0.5, 1.0, 1.0, 0.5)],
)
def test_an_open_power_takes_what_is_left(given_power: float | None, gamma: float, corrected: float, power: float) -> None:
    weigh = DensityRatio(COUNTS, prior_power=given_power, gamma=gamma)
    weigh.leave(corrected)
    assert weigh.power == power
    torch.testing.assert_close(weigh.class_weights, InverseFrequency(COUNTS, power * gamma).class_weights)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("ridge", -1.0),
        ("ridge", float("inf")),
        ("gamma", float("nan")),
        ("clamp", -1e-9),
        ("cap", 1e-9),
        ("prior_power", -0.5),
        ("normalise", "rows"),
        ("prior", "counts"),
        ("momentum", 1.0),
        ("store", "heap"),
    ],
)
def test_wrong_arguments_are_named(argument: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=f"`{argument}`"):
        DensityRatio(COUNTS, **{argument: value})


def test_rows_without_features_are_refused_with_what_to_do() -> None:
    with pytest.raises(CombinationError, match=r"end the model in an nn\.Linear"):
        DensityRatio(COUNTS)(Evidence(torch.tensor([0])))
    with pytest.raises(CombinationError, match="these rows have none"):
        DensityRatio(COUNTS).observe(Evidence(torch.tensor([0])))


def test_features_in_half_precision_do_not_round_the_weights() -> None:
    """As a loop of one's own hands them over under autocast."""
    torch.manual_seed(0)
    weigh, features, target = DensityRatio([90, 9, 1]), torch.rand(12, 8).bfloat16(), torch.arange(12) % 3
    weigh.observe(Evidence(target=target, features=features))
    later = torch.rand(12, 8).bfloat16()
    weights = weigh(Evidence(target=target, features=later))
    assert weights.dtype == torch.float32
    assert torch.equal(weights, weigh(Evidence(target=target, features=later.float())))
