from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from staged import REGIME, Drawn, Starts, headless, interrupted
from tiny import Blobs, numbers, same_weights

from steelyard.core.errors import ArgumentError, CombinationError, UnknownName
from steelyard.core.fit import fit
from steelyard.core.task import TaskView
from steelyard.decisions import LogitShift
from steelyard.methods.ce import ce
from steelyard.methods.two_stage import two_stage
from steelyard.settings import describe_method, resolve_method


def test_stage_2_goes_on_from_stage_1() -> None:
    seen = Starts()
    fit(Blobs(), partial(two_stage, finetune_epochs=2), REGIME, listeners=[seen], device="cpu")
    plain = fit(Blobs(), ce, REGIME, device="cpu").model.state_dict()
    assert all(torch.equal(seen.states[1][name], plain[name]) for name in plain)


def test_by_default_rows_are_natural_and_then_balanced() -> None:
    seen = Drawn()
    fit(Blobs(), partial(two_stage, finetune_epochs=3), REGIME, listeners=[seen], device="cpu")
    assert len(seen.epochs) == 4 + 3
    assert all(sorted(rows) == list(range(94)) for rows in seen.epochs[:4])
    tail = [sum(row >= 85 for row in rows) for rows in seen.epochs]
    assert max(tail[:4]) == 9
    assert min(tail[4:]) > 18


def test_lengths() -> None:
    fitted = fit(Blobs(), partial(two_stage, pretrain_epochs=2, finetune_epochs=1), REGIME, device="cpu")
    assert [line["stage"] for line in fitted.history] == [0, 0, 1]


def test_a_new_classifier_between_the_stages() -> None:
    seen = Starts()
    fit(Blobs(), partial(two_stage, finetune_epochs=1, new_head=True), REGIME, listeners=[seen], device="cpu")
    plain = fit(Blobs(), ce, REGIME, device="cpu").model.state_dict()
    differing = {name for name in plain if not torch.equal(seen.states[1][name], plain[name])}
    assert differing == {"4.weight", "4.bias"}


def test_every_parameter_is_fine_tuned() -> None:
    plain, fitted = (fit(Blobs(), method, REGIME, device="cpu").model for method in (ce, two_stage))
    assert not any(torch.equal(a, b) for a, b in zip(plain.parameters(), fitted.parameters(), strict=True))


def test_methods_are_written_as_elsewhere() -> None:
    text = "two-stage(first=mixup(alpha=0.5)+drs,second=loss=la(tau=0.5) weighting=deferred(inverse-frequency(power=0.5)))"
    assert describe_method(text).words == {
        "sampler": "deferred(after=0.8) (stage 1)",
        "transform": "mixup (stage 1)",
        "loss": "logit-adjusted (stage 2)",
        "weighting": "deferred(inverse-frequency) (stage 2)",
        "stages": "2",
    }
    assert resolve_method(resolve_method(text).name).name == resolve_method(text).name


def test_the_decision_of_the_second_is_judged() -> None:
    fitted = fit(Blobs(), partial(two_stage, second="posthoc-la", finetune_epochs=1), REGIME, device="cpu")
    assert isinstance(fitted.model.decision, LogitShift)


def test_resuming_ends_with_the_same_bits(tmp_path: Path) -> None:
    method = partial(two_stage, first="mixup", second="drw", finetune_epochs=5, new_head=True)
    whole = fit(Blobs(), method, REGIME, device="cpu")
    for steps in (20, 20, 13):
        interrupted(Blobs(), method, tmp_path, steps)
    resumed = fit(Blobs(), method, REGIME, folder=tmp_path, device="cpu")
    assert same_weights(whole.model, resumed.model)
    assert numbers(whole.history) == numbers(resumed.history)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"first": "crt"}, "'crt' has several"),
        ({"second": "crt"}, "'crt' has several"),
        ({"first": "posthoc-la"}, "would lose its decision"),
        ({"second": "ldam"}, "a model of its own"),
        ({"second": "la+drw"}, "corrected twice"),
        ({"first": "two-stage"}, "'two-stage' has several"),
    ],
)
def test_what_does_not_go_together_is_refused_before_training(settings: dict[str, str], reason: str) -> None:
    with pytest.raises(CombinationError, match=reason):
        next(two_stage(TaskView(Blobs()), **settings))


def test_unknown_methods_and_impossible_lengths_are_refused() -> None:
    with pytest.raises(UnknownName, match="mixup"):
        next(two_stage(TaskView(Blobs()), first="mixupp"))
    with pytest.raises(ArgumentError, match="finetune_epochs"):
        next(two_stage(TaskView(Blobs()), finetune_epochs=-1))
    with pytest.raises(ArgumentError, match="pretrain_epochs"):
        next(two_stage(TaskView(Blobs()), pretrain_epochs=0))
    with pytest.raises(CombinationError, match="no linear layer"):
        next(two_stage(TaskView(headless()), new_head=True))
