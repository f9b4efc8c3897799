from __future__ import annotations

import pytest
import torch
from tiny import Blobs, same_weights
from torch import nn

from steelyard.core.errors import CombinationError
from steelyard.core.fit import fit
from steelyard.core.objective import Objective
from steelyard.core.regime import Regime
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.losses import LDAM, LogitAdjusted
from steelyard.nets import NormedLinear
from steelyard.settings.combine import merged
from steelyard.settings.probe import dry_run, slots_of, words_of
from steelyard.settings.recipe import resolve_method
from steelyard.transforms import Mixup
from steelyard.weightings import Deferred, DensityRatio


def test_words_of_both_end_up_in_one_stage() -> None:
    stage = merged(["a", "b"], [Stage(Objective(LogitAdjusted([3, 1]))), Stage(transform=Mixup(), epochs=3)])
    assert list(slots_of(stage)) == ["loss", "transform", "epochs"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ldam+drw", {"loss": "ldam", "weighting": "deferred(inverse-frequency)", "decision": "scale"}),
        ("la + mixup", {"loss": "logit-adjusted", "transform": "mixup"}),
        ("focal+inverse-frequency", {"loss": "focal", "weighting": "inverse-frequency"}),
        ("mixup+posthoc-la", {"transform": "mixup", "decision": "logit-shift"}),
        (
            "loss=la weighting=deferred(inverse-frequency(power=0.0)) transform=mixup",
            {"loss": "logit-adjusted", "weighting": "deferred(inverse-frequency)", "transform": "mixup"},
        ),
        ("focal sampler=balanced", {"loss": "focal", "sampler": "balanced"}),
        ("ce+mixup", {"transform": "mixup"}),
        ("mixup decision=logit-shift(tau=0.5)", {"transform": "mixup", "decision": "logit-shift"}),
        ("la(tau=0.5)+inverse-frequency(power=0.5)", {"loss": "logit-adjusted", "weighting": "inverse-frequency"}),
        ("sqrt-sampling+la(tau=0.5)", {"loss": "logit-adjusted", "sampler": "power(power=0.5)"}),
        ("arb+balanced-sampling", {"loss": "arb", "sampler": "balanced"}),
        (
            "ldam+class-balanced+mixup",
            {"loss": "ldam", "weighting": "effective-number", "transform": "mixup", "decision": "scale"},
        ),
        ("class-smoothing+drw", {"loss": "class-smoothing", "weighting": "deferred(inverse-frequency)"}),
    ],
)
def test_parts_that_fit_become_one_method(text: str, words: dict[str, str]) -> None:
    assert words_of(dry_run(resolve_method(text))) == words


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("la+ldam", "methods 'la' and 'ldam' cannot be combined: both set the loss"),
        ("ldam-drw+drw", "methods 'ldam-drw' and 'drw' cannot be combined: both set the weighting"),
        ("mixup+mixup-bs", "both set the transform"),
        ("posthoc-la+posthoc-la(tau=0.5)", "both set the decision"),
        ("ldam+posthoc-la", "both set the decision"),
        ("drs+balanced-sampling", "both set the sampler"),
        ("la loss=focal", "methods 'la' and 'loss=focal' cannot be combined: both set the loss"),
        ("mixup+la+focal", "methods 'la' and 'focal' cannot be combined: both set the loss"),
    ],
)
def test_two_parts_that_set_the_same_word_are_refused(text: str, says: str) -> None:
    with pytest.raises(CombinationError) as caught:
        resolve_method(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "la+inverse-frequency",
        "la+drw",
        "la+posthoc-la",
        "balanced-softmax+posthoc-la",
        "balanced-sampling+balanced-softmax",
        "drs+la",
        "drs+drw",
        "progressive-sampling+la",
        "balanced-sampling+inverse-frequency",
        "gla+cb-drw",
        "gca+drw",
        "arb+drw",
        "arb(counts=global)+balanced-sampling",
        "sqrt-sampling+la",
        "loss=la weighting=deferred(inverse-frequency)",
        "la+rdr(prior_power=1)",
        "la+rdr(prior=batch_count,prior_power=1.0)",
        "rdr-la+posthoc-la",
        "posthoc-la+class-balanced",
        "mixup-bs+inverse-frequency(power=0.5)",
        "weighting=inverse-frequency+decision=logit-shift",
    ],
)
def test_a_prior_that_would_be_corrected_twice_is_refused(text: str) -> None:
    with pytest.raises(CombinationError, match="prior would be corrected twice") as caught:
        resolve_method(text)
    assert "alpha_y = delta_y/pi_y (Menon et al. 2021)" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "power"),
    [
        ("rdr+mixup", 1.0),
        ("focal+rdr", 1.0),
        ("la+rdr", 0.0),
        ("loss=la weighting=rdr transform=mixup", 0.0),
        ("rdr+posthoc-la(tau=0.5)", 0.5),
        ("la(tau=0.25)+weighting=deferred(rdr)", 0.75),
        ("balanced-sampling+rdr", 0.0),
        ("la(tau=0.25)+rdr(prior_power=0.5)", 0.5),
        ("rdr-la(prior_power=0.2)+mixup", 0.2),
        ("rdr-la(double_correction=true)+mixup", 1.0),
    ],
)
def test_density_ratios_correct_what_the_others_leave_of_the_prior(text: str, power: float) -> None:
    stage = dry_run(resolve_method(text)).stages[0]
    (weighting,) = [part for part in stage.objective.weighting.modules() if isinstance(part, DensityRatio)]
    assert weighting.power == pytest.approx(power, abs=0.05)


@pytest.mark.parametrize("text", ["la+cdb", "cdb+balanced-sampling", "cdb+posthoc-la"])
def test_class_difficulty_corrects_no_prior(text: str) -> None:
    assert "class-difficulty" in words_of(dry_run(resolve_method(text)))["weighting"]


def two_stages(task: TaskView) -> Steps:
    """For the test."""
    yield Stage()
    yield Stage(epochs=1)


def test_a_method_with_several_stages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steelyard.settings.recipe.resolve", lambda kind, name: two_stages)
    with pytest.raises(CombinationError, match="method 'two' trains in several stages"):
        resolve_method("two+transform=mixup")


def test_a_loss_named_as_a_word_gets_its_cosine_classifier() -> None:
    run = dry_run(resolve_method("loss=ldam"))
    assert isinstance(run.stages[0].objective.loss, LDAM)
    assert any(isinstance(module, NormedLinear) for module in run.model.modules())


class NoHead(nn.Module):
    """Scores without a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 3))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs @ self.weight


@pytest.mark.parametrize("method", ["ldam", "ldam-drw", "ldam+drw", "loss=ldam"])
def test_ldam_is_refused_where_its_classifier_cannot_be_fitted(method: str) -> None:
    with pytest.raises(
        CombinationError, match=r"LDAM needs a cosine classifier, and NoHead.*'blobs'.*end the model in an nn\.Linear"
    ):
        fit(Blobs(build=NoHead), resolve_method(method), Regime(epochs=1))


def test_a_combination_trains_like_the_method_written_out() -> None:
    def by_hand(task: TaskView) -> Steps:
        yield Stage(Objective(LogitAdjusted(task.counts, tau=0.5)), transform=Mixup(alpha=0.5))

    regime = Regime(epochs=2, batch_size=16, lr=0.05)
    combined = fit(Blobs(), resolve_method("la(tau=0.5)+mixup(alpha=0.5)"), regime)
    composed = fit(Blobs(), resolve_method("loss=la(tau=0.5) transform=mixup(alpha=0.5)"), regime)
    written = fit(Blobs(), by_hand, regime)
    assert same_weights(combined.model, written.model)
    assert same_weights(composed.model, written.model)


def test_ldam_and_drw_make_ldam_drw_with_inverse_frequency() -> None:
    stage = dry_run(resolve_method("ldam+drw(after=0.5)")).stages[0]
    assert isinstance(stage.objective.weighting, Deferred)
    assert stage.model is not None


def test_a_decision_is_taken_over_by_the_combination() -> None:
    regime = Regime(epochs=1, batch_size=16)
    fitted = fit(Blobs(), resolve_method("mixup+posthoc-la"), regime)
    bare = fit(Blobs(), resolve_method("mixup"), regime)
    inputs = torch.randn(5, 4)
    fitted.model.eval()
    bare.model.eval()
    counts = Blobs().counts
    assert torch.allclose(fitted.model(inputs), bare.model(inputs) - (counts / counts.sum()).log(), atol=1e-6)


def test_repeating_rows_in_the_batch_corrects_the_prior_that_the_sampler_left() -> None:
    with pytest.raises(CombinationError, match="corrected twice"):
        resolve_method("la+random-oversample")
    resolve_method("la(tau=0.5)+random-oversample(ratio=0.1)")
    resolve_method("balanced-sampling+random-oversample")
