from __future__ import annotations

import functools
import inspect
import sys
import types

import pytest
import torch

from steelyard.core.descent import plain
from steelyard.core.errors import ArgumentError, CombinationError, SteelyardError, UnknownName
from steelyard.core.loss import CrossEntropy
from steelyard.core.rows import Evidence
from steelyard.core.transform import untouched
from steelyard.core.weighting import Weighting
from steelyard.losses import LogitAdjusted
from steelyard.samplers import PowerSampler, ProgressiveSampler
from steelyard.settings.words import SHORT_NAMES, WORDS, choose, kebab, methods_with, name_of_word, words_in
from steelyard.transforms import Mixup
from steelyard.weightings import Deferred, EffectiveNumber, InverseFrequency

COUNTS = torch.tensor([90, 10])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Focal", "focal"),
        ("LogitAdjusted", "logit-adjusted"),
        ("LDAM", "ldam"),
        ("SAM", "sam"),
        ("ImbSAM", "imb-sam"),
        ("ClassConditionalSAM", "class-conditional-sam"),
        ("find_head", "find-head"),
    ],
)
def test_class_names_become_command_line_names(name: str, text: str) -> None:
    assert kebab(name) == text


def test_every_room_has_its_identity_and_its_classes() -> None:
    assert {"cross-entropy", "focal", "logit-adjusted", "balanced-softmax", "ldam"} <= set(words_in("loss"))
    assert {"uniform", "inverse-frequency", "effective-number", "deferred"} <= set(words_in("weighting"))
    assert {"shuffled", "balanced", "power", "progressive", "deferred"} <= set(words_in("sampler"))
    assert {"untouched", "mixup"} <= set(words_in("transform"))
    assert "plain" in words_in("descent")
    assert "logit-shift" in words_in("decision")


def test_short_names_stand_for_something() -> None:
    for word, names in SHORT_NAMES.items():
        assert set(names.values()) <= set(words_in(word))


def test_a_loss_is_built_with_the_counts_of_the_task() -> None:
    loss = choose("loss", "la(tau=0.5)").build(COUNTS)
    logits, target = torch.randn(5, 2), torch.tensor([0, 1, 0, 1, 1])
    assert isinstance(loss, LogitAdjusted)
    assert torch.equal(loss(logits, target), LogitAdjusted(COUNTS, tau=0.5)(logits, target))


def test_identities_can_be_named() -> None:
    assert isinstance(choose("loss", "ce").build(COUNTS), CrossEntropy)
    assert choose("transform", "untouched").build(COUNTS) is untouched


@pytest.mark.parametrize(
    "text",
    [
        "deferred(inverse-frequency(power=0.5), after=0.9)",
        "deferred(weighting=inverse-frequency(power=0.5),after=0.9)",
        "deferred(inverse-frequency(0.5), 0.9)",
    ],
)
def test_words_may_be_values_of_words(text: str) -> None:
    built = choose("weighting", text).build(COUNTS)
    assert isinstance(built, Deferred)
    assert isinstance(built.weighting, InverseFrequency)
    assert torch.equal(built.weighting.class_weights, InverseFrequency(COUNTS, power=0.5).class_weights)
    assert choose("weighting", choose("weighting", text).text) == choose("weighting", text)


def test_well_known_names_are_understood() -> None:
    assert isinstance(choose("weighting", "cb(beta=0.99)").build(COUNTS), EffectiveNumber)


def test_a_sampler_stays_a_factory() -> None:
    assert choose("sampler", "progressive").build(COUNTS) is ProgressiveSampler
    factory = choose("sampler", "power(power=0.25)").build(COUNTS)
    assert isinstance(factory, functools.partial)
    assert isinstance(factory(torch.tensor([0, 0, 1]), seed=0, rank=0, world_size=1), PowerSampler)


def test_a_transform_is_built() -> None:
    built = choose("transform", "mixup(alpha=0.5)").build(COUNTS)
    assert isinstance(built, Mixup)
    assert built.alpha == 0.5


@pytest.mark.parametrize(
    ("word", "text", "error", "says"),
    [
        ("los", "la", UnknownName, "did you mean 'loss'"),
        ("loss", "logit-adjustd", UnknownName, "unknown loss 'logit-adjustd'; did you mean 'logit-adjusted'"),
        ("weighting", "la", UnknownName, "unknown weighting 'la'; 'la' is a method: write it beside other words, without"),
        ("sampler", "drs", UnknownName, "'drs' is a method"),
        ("weighting", "drww", UnknownName, "unknown weighting 'drww'; "),
        ("loss", "la(tua=1)", UnknownName, "did you mean 'tau'"),
        ("loss", "la(class_counts=3)", UnknownName, "unknown setting"),
        ("loss", "la(tau=x)", ArgumentError, "`tau` should be a finite number; found 'x'"),
        ("loss", "la(1,2,3,4)", SteelyardError, "takes no further value"),
        ("loss", "la(tau=1,tau=2)", SteelyardError, "given twice"),
        ("weighting", "deferred", SteelyardError, "'deferred' needs a value for weighting"),
        ("weighting", "deferred(la)", UnknownName, "unknown weighting 'la'"),
        ("transform", "untouched(alpha=1)", UnknownName, "unknown setting"),
        ("descent", "my_lab_that_is_not:step", SteelyardError, "cannot be imported"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(word: str, text: str, error: type[SteelyardError], says: str) -> None:
    with pytest.raises(error) as caught:
        choose(word, text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "method"),
    [("learn-to-reweight", "l2rw"), ("l2rw(scope=head)", "l2rw"), ("deferred(mw-net)", "mw-net"), ("ot", "ot")],
)
def test_a_word_that_text_cannot_make_names_the_method_that_brings_it(text: str, method: str) -> None:
    says = f"cannot be written as text: use the method '{method}', which brings it, in place of 'weighting="
    with pytest.raises(CombinationError, match=says):
        choose("weighting", text)


class NeedsModel(Weighting):
    """A weighting of somebody's own that no method of steelyard uses."""

    def __init__(self, model: torch.nn.Module, power: float = 1.0) -> None:
        super().__init__()

    def forward(self, evidence: Evidence) -> torch.Tensor:
        return torch.ones(len(evidence.target))


def test_a_word_that_no_method_brings_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("tricks")
    module.NeedsModel = NeedsModel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tricks", module)
    with pytest.raises(
        CombinationError, match="needs `model`, which cannot be written as text: build it in a method of your own"
    ):
        choose("weighting", "tricks:NeedsModel(power=2)")


def test_methods_that_use_a_word_are_found_by_it() -> None:
    assert "drw" in methods_with(InverseFrequency)
    assert "la" not in methods_with(InverseFrequency)
    assert methods_with(NeedsModel) == []


def test_only_what_acts_on_a_batch_is_a_transform_or_a_descent() -> None:
    assert all(
        inspect.isclass(value) or value in (plain, untouched)
        for word in ("transform", "descent")
        for value in words_in(word).values()
    )
    assert "adjusted" not in words_in("decision")  # a model with its decision, not a decision


def test_settings_of_a_choice_are_those_that_text_can_give() -> None:
    assert set(choose("loss", "la").parameters) == {"tau"}
    assert choose("transform", "untouched").parameters == {}
    assert "class_counts" not in choose("weighting", "rdr").parameters


def test_names_of_objects_are_those_of_their_classes() -> None:
    assert name_of_word(PowerSampler) == "power"
    assert name_of_word(Mixup()) == "mixup"
    assert name_of_word(untouched) == "untouched"
    assert all(name_of_word(target) in words_in(word) for word in WORDS for target in words_in(word).values())
