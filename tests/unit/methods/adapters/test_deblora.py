"""debLoRA: its steps, its limits and controls, what it reports, and that it resumes."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from adapted import tiny_task
from ending import Bomb, Interrupt
from tiny import Blobs, same_weights
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.fit import Fitted, fit
from steelyard.core.regime import Regime
from steelyard.core.stage import Stage
from steelyard.core.task import TaskView
from steelyard.methods.adapters._features import FeatureTargets, features_of
from steelyard.methods.adapters.deblora import deblora
from steelyard.numeric.calibration import group_means, strength_by_ratio
from steelyard.samplers import BalancedSampler
from steelyard.settings import resolve_method
from steelyard.settings.text import format_value
from steelyard.tasks.adapters import Adapter, AdapterTask

REGIME = Regime(epochs=2, batch_size=20, optimizer="adamw", lr=1e-2)


def trained(method: str, task: AdapterTask | None = None, regime: Regime = REGIME) -> Fitted:
    return fit(task or tiny_task(), resolve_method(method), regime, device="cpu")


def stages(task: AdapterTask | None = None, **settings: Any) -> tuple[TaskView, list[Stage], list[nn.Module], Tensor]:
    """The method's stages, none of them trained; and the features of the model of stage 1."""
    view = TaskView(task or tiny_task())
    steps = deblora(view, **settings)
    found, models = [next(steps)], [view.model()]
    features = features_of(view, models[0])
    with torch.random.fork_rng(devices=[]):
        try:
            while True:
                found.append(steps.send(models[-1]))
                models.append(found[-1].model or models[-1])
        except StopIteration as end:
            models.append(end.value)
    return view, found, models, features


def targets(stage: Stage) -> Tensor:
    assert isinstance(stage.objective.loss, FeatureTargets)
    return stage.objective.loss.targets


def test_three_stages_of_which_the_second_trains_a_fresh_adapter_and_the_third_the_classifier() -> None:
    view, found, models, _ = stages(adapter_epochs=4, head_epochs=5)
    assert [stage.epochs for stage in found] == [None, 4, 5]
    assert models[1] is not models[0]
    assert same_weights(models[1], view.model())
    names = {id(parameter): name for name, parameter in models[1].named_parameters()}
    second = [names[id(p)] for p in found[1].trainable(models[1]) if p.requires_grad]
    assert second
    assert all("lora_" in name for name in second)
    assert [names[id(p)] for p in found[2].trainable(models[2])] == ["head.weight", "head.bias"]
    assert models[-1] is models[1]


def test_cross_entropy_in_stage_2_trains_the_classifier_too() -> None:
    _, found, models, _ = stages(ce=0.5)
    assert any(p is models[1].head.weight for p in found[1].trainable(models[1]))  # type: ignore[union-attr]


def test_rows_of_each_step() -> None:
    for rows in ("plain", "balanced"):
        for probe in ("plain", "balanced"):
            _, found, _, _ = stages(adapter_rows=rows, probe=probe)
            said = [stage.sampler is BalancedSampler for stage in found]
            assert said == [False, rows == "balanced", probe == "balanced"]


def test_strength_zero_and_nearly_equal_classes_ask_for_the_features_that_there_are() -> None:
    _, found, _, features = stages(strength=0.0)
    assert torch.equal(targets(found[1]), features)
    _, found, _, features = stages(tiny_task(counts=(30, 10, 3)))  # a ratio of 10: within the knee
    assert torch.equal(targets(found[1]), features)


def test_strength_one_leaves_the_tail_a_point_and_the_head_as_it_is() -> None:
    view, found, _, features = stages(strength=1.0)
    moved, target = targets(found[1]), view.train.target
    assert torch.equal(moved[target < 2], features[target < 2])  # ratios 1 and 3.3
    assert len(torch.unique(moved[target == 2], dim=0)) == 1


def test_strength_of_ones_own() -> None:
    view, found, _, features = stages(strength=lambda gamma: (gamma > 3).double() * 0.5, towards="own-mean")
    target = view.train.target
    means = group_means(features, target, 3)
    expected = torch.where(target.unsqueeze(1) == 0, features, 0.5 * features + 0.5 * means[target])
    assert torch.allclose(targets(found[1]), expected, atol=1e-6)
    for wrong in (lambda gamma: gamma, lambda gamma: torch.zeros(2)):
        with pytest.raises(ArgumentError, match="function that gives 3 values"):
            stages(strength=wrong)


def test_one_cluster_draws_the_tail_to_the_middle_and_many_to_its_own_mean() -> None:
    view, one, _, features = stages(clusters=1)
    tail = view.train.target == 2
    alpha = float(strength_by_ratio(view.counts)[2])
    assert alpha == pytest.approx(1 - 10 * 3 / 40)
    expected = (1 - alpha) * features[tail] + alpha * features.mean(0)
    assert torch.allclose(targets(one[1])[tail], expected, atol=1e-5)
    _, many, _, _ = stages(clusters=10_000)
    _, own, _, _ = stages(towards="own-mean")
    assert torch.allclose(targets(many[1]), targets(own[1]), atol=1e-5)


def test_random_directions_go_as_far_as_debloras() -> None:
    _, aimed, _, features = stages()
    _, random, _, _ = stages(towards="random")
    lengths = [(targets(found[1]) - features).norm(dim=1) for found in (aimed, random)]
    assert torch.allclose(*lengths, atol=1e-5)
    assert not torch.allclose(targets(aimed[1]), targets(random[1]), atol=1e-3)


def test_names_of_classes_do_not_matter_to_where_features_go() -> None:
    task = tiny_task()
    _, one, _, _ = stages(task)
    renamed = tiny_task()
    source = renamed.splits["train"]
    source.target = torch.tensor([2, 0, 1])[source.target]
    del renamed.counts
    _, other, _, _ = stages(renamed)
    assert torch.allclose(targets(one[1]), targets(other[1]), atol=1e-6)


def test_a_second_adapter_learns_to_give_the_features_of_the_first() -> None:
    fitted = trained("deblora(strength=0,adapter_epochs=60)", regime=REGIME.replace(epochs=20))
    second = [line["train_loss"] for line in fitted.history if line["stage"] == 1]
    assert len(second) == 60
    assert second[-1] < 0.05 * second[0]


def test_it_learns() -> None:
    fitted = trained("deblora", regime=REGIME.replace(epochs=25))
    assert fitted.history[-1]["valid_balanced_accuracy"] > 0.6


@pytest.mark.parametrize("counts", [(40, 1, 5), (40, 0, 5)], ids=["one row", "no row"])
@pytest.mark.parametrize("towards", ["clusters", "own-mean", "random"])
def test_classes_with_one_row_or_none_do_no_harm(counts: tuple[int, ...], towards: str) -> None:
    fitted = trained(f"deblora(towards={towards},probe=balanced)", tiny_task(counts=counts))
    assert all(bool(torch.isfinite(value).all()) for value in fitted.model.state_dict().values())
    json.dumps(fitted.explanations, allow_nan=False)


def test_what_was_found_is_reported() -> None:
    told = trained("deblora(clusters=5)").explanations["objective.loss"]
    assert told["clusters"] == 5
    assert 0.5 < told["purity"] <= 1
    assert set(told["entropy"]) == {"a", "b", "c"}
    assert told["strength"] == pytest.approx({"a": 0.0, "b": 0.0, "c": 0.25})
    assert told["moved"]["a"] == 0
    assert told["moved"]["c"] >= 0
    assert all(0 < share <= 1 for share in told["own_share"].values())


def test_two_runs_agree_and_a_killed_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    one, other = trained("deblora"), trained("deblora")
    assert same_weights(one.model, other.model)
    method = resolve_method("deblora")
    for steps in (4, 9):  # in stages 1 (6 steps) and 2
        with pytest.raises(Interrupt):
            fit(tiny_task(), method, REGIME, folder=tmp_path, listeners=[Bomb(steps)], checkpoint_seconds=0.0, device="cpu")
    resumed = fit(tiny_task(), method, REGIME, folder=tmp_path, device="cpu")
    assert same_weights(resumed.model, one.model)
    assert resumed.explanations == one.explanations


def test_data_without_adapters_are_refused() -> None:
    with pytest.raises(CombinationError, match="works on adapters"):
        next(deblora(TaskView(Blobs())))
    with pytest.raises(CombinationError, match="has none"):
        next(deblora(TaskView(tiny_task(Adapter("none")))))


@pytest.mark.parametrize(
    "wrong",
    [
        {"clusters": 0}, {"knee": 0.0}, {"strength": 1.5}, {"strength": -0.1}, {"smallest": 0}, {"ce": -1.0},
        {"adapter_epochs": 0}, {"head_epochs": 0}, {"towards": "nowhere"}, {"probe": "even"}, {"adapter_rows": "even"},
    ],
)  # fmt: skip
def test_numbers_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        next(deblora(TaskView(tiny_task()), **wrong))


def test_settings_can_be_written_and_are_documented() -> None:
    text = inspect.getdoc(deblora) or ""
    assert len(text.partition("\n")[0]) <= 120
    assert all(f"\n{section}\n" in text for section in ("Formula:", "Reference:", "Departures:", "Example:"))
    for key, parameter in list(inspect.signature(deblora).parameters.items())[1:]:
        assert re.search(rf"^    {key}: ", text, re.MULTILINE)
        written = resolve_method(f"deblora({key}={format_value(parameter.default)})")
        assert written is not None
