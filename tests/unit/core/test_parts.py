"""Roles, seeds, losses, weightings, averages, memory, loggers and views: the small parts."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny import Blobs, Held, ce, network, same_weights, two_stages

from steelyard.core.average import WeightAverage
from steelyard.core.errors import ArgumentError, DataError, SteelyardError, UnknownName
from steelyard.core.fit import fit
from steelyard.core.loggers import LOGGERS, Recorder, open_loggers
from steelyard.core.loss import CrossEntropy, check_classes
from steelyard.core.measure import Report
from steelyard.core.memory import peak_mb, release, reset_peak
from steelyard.core.objective import Objective
from steelyard.core.regime import Regime
from steelyard.core.roles import Assesses, Observes, Prepares, playing
from steelyard.core.rows import Batch, Clock, Evidence, Rows
from steelyard.core.seeds import derive, generator
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import Task, TaskView
from steelyard.core.weighting import Uniform, Weighting

REGIME = Regime(epochs=2, batch_size=32, lr=0.05)


class Everything(Weighting, Prepares, Observes, Assesses):
    """Plays every role and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.reports: list[Report] = []

    def forward(self, evidence: Evidence) -> torch.Tensor:
        self.calls.append("weigh")
        return torch.ones_like(evidence.losses)

    def prepare(self, oracle: Any, batch: Batch) -> None:
        self.calls.append("prepare")

    def observe(self, evidence: Evidence) -> None:
        self.calls.append("observe")

    def assess(self, report: Report) -> None:
        self.calls.append("assess")
        self.reports.append(report)


class Wrapped(Weighting):
    """Forwards no role; holds a part twice."""

    def __init__(self, inner: Weighting) -> None:
        super().__init__()
        self.inner, self.twin = inner, inner

    def forward(self, evidence: Evidence) -> torch.Tensor:
        return self.inner(evidence)


def test_parts_are_heard_once_through_wrappers_and_in_their_moment() -> None:
    part = Everything()

    def method(task: TaskView) -> Steps:
        yield Stage(Objective(weighting=Wrapped(part)))

    fit(Blobs(), method, REGIME)
    step = ["prepare", "weigh", "observe"]
    assert part.calls == (step * 3 + ["assess"]) * 2
    assert part.reports[-1].recall.shape == (3,)
    assert [report.clock.epoch for report in part.reports] == [0, 1]


def test_a_role_without_its_method_cannot_be_built() -> None:
    class Forgot(Observes):
        pass

    with pytest.raises(TypeError, match="observe"):
        Forgot()


def test_nobody_is_heard_without_a_role() -> None:
    heard = playing([Objective(), network()])
    assert (heard.preparing, heard.observing, heard.assessing) == ([], [], [])


def test_streams_are_reproducible_and_apart() -> None:
    assert derive(1, "a", 2) == derive(1, "a", 2)
    assert len({derive(seed, name, k) for seed in range(5) for name in ("order", "init") for k in range(5)}) == 50
    assert torch.equal(torch.rand(4, generator=generator(3, "x")), torch.rand(4, generator=generator(3, "x")))
    assert 0 <= derive(-7, "any") < 2**63


def test_reductions_are_pytorch_s() -> None:
    logits, target = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    for reduction in ("mean", "sum", "none"):
        torch.testing.assert_close(
            CrossEntropy(reduction)(logits, target), F.cross_entropy(logits, target, reduction=reduction)
        )
    with pytest.raises(ArgumentError, match="reduction"):
        CrossEntropy("avg")
    with pytest.raises(ArgumentError, match="logits"):
        check_classes(logits, 4)


def test_uniform_weighs_one() -> None:
    assert torch.equal(Uniform()(Evidence(target=torch.zeros(3, dtype=torch.int64))), torch.ones(3))


def test_the_average_follows_the_formula_and_survives_its_state() -> None:
    model = network()
    average = WeightAverage(model, 0.9)
    expected = model[0].weight.detach().clone()
    for _ in range(5):
        with torch.no_grad():
            model[0].weight += torch.randn_like(model[0].weight)
            model[1].num_batches_tracked += 1
        average.update()
        expected = 0.9 * expected + 0.1 * model[0].weight.detach()
    torch.testing.assert_close(average.model[0].weight, expected)
    assert average.model[1].num_batches_tracked == 5
    assert not any(parameter.requires_grad for parameter in average.model.parameters())
    twin = WeightAverage(copy.deepcopy(model), 0.9)
    twin.model.load_state_dict(average.state_dict())
    assert same_weights(twin.model, average.model)


def test_peak_memory_counts_from_the_reset() -> None:
    device = torch.device("cpu")
    release()
    reset_peak(device)
    low = peak_mb(device)
    held = torch.ones(64 * 2**18)  # 64 MiB
    assert peak_mb(device) >= low + 50
    del held


class Kept:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self.lines: list[tuple[int | None, dict[str, float]]] = []
        self.status = ""

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        self.params = params

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.lines.append((step, metrics))

    def finalize(self, status: str) -> None:
        self.status = status


def test_loggers_hear_every_epoch() -> None:
    kept = Kept()
    recorder = Recorder(kept, {"lr": 0.05})
    fitted = fit(Blobs(), ce, REGIME, listeners=[recorder])
    recorder.close()
    assert kept.params == {"lr": 0.05}
    assert kept.status == "success"
    assert [step for step, _ in kept.lines] == [3, 6]
    assert kept.lines[-1][1]["train_loss"] == fitted.history[-1]["train_loss"]


def test_the_axis_of_a_logger_goes_on_through_the_stages_and_a_resume(tmp_path: Path) -> None:
    whole, resumed = Kept(), Kept()
    fit(Blobs(), two_stages, REGIME, listeners=[Recorder(whole)])
    steps = [step for step, _ in whole.lines]
    assert steps == [3, 6, 9, 12]

    class Stop(Assesses):
        def assess(self, report: Report) -> None:
            if report.steps == 9:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(Blobs(), two_stages, REGIME, listeners=[Recorder(resumed), Stop()], folder=tmp_path)
    fit(Blobs(), two_stages, REGIME, listeners=[Recorder(resumed)], folder=tmp_path)
    assert [step for step, _ in resumed.lines] == [3, 6, 9, 9, 12]


def test_fabric_s_csv_logger_writes_a_file(tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="Lightning Fabric's loggers are an extra: pip install 'steelyard[loggers]'")
    (recorder,) = open_loggers(["csv"], tmp_path, {"lr": 0.1})
    fit(Blobs(), ce, REGIME, listeners=[recorder])
    recorder.close()
    (written,) = tmp_path.rglob("metrics.csv")
    assert len(written.read_text().splitlines()) == 3


def test_unknown_and_missing_loggers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match="did you mean 'wandb'"):
        open_loggers(["wandbb"], tmp_path, {})
    with pytest.raises(ArgumentError, match=r"such as \['csv'\]"):
        open_loggers("csv", tmp_path, {})

    def missing(folder: Path) -> Any:
        raise ModuleNotFoundError("no", name="wandb")

    monkeypatch.setitem(LOGGERS, "wandb", missing)
    with pytest.raises(SteelyardError, match=r"pip install 'steelyard\[loggers\]' wandb"):
        open_loggers(["wandb"], tmp_path, {})


def test_a_view_shows_no_test_split_and_gives_the_same_fresh_model() -> None:
    view = TaskView(Blobs(), seed=1)
    assert not any("test" in name for name in dir(view))
    assert same_weights(view.model(), view.model())
    assert not same_weights(view.model(), TaskView(Blobs(), seed=2).model())
    assert view.num_classes == 3
    assert view.counts.tolist() == [60, 25, 9]
    assert len(view.valid) == 30
    assert len(view.train) == 94


def test_a_task_needs_training_rows_and_knows_its_augmentations() -> None:
    with pytest.raises(DataError, match="no training split"):
        Blobs.__mro__[1].__init__(Blobs.__new__(Blobs), "x", ["a"], {"test": Held(torch.zeros(1, 4), torch.zeros(1).long())})
    with pytest.raises(DataError, match="augmentation 'crop'"):
        fit(Blobs(), ce, REGIME.replace(augment="crop"))


def test_a_task_describes_itself() -> None:
    facts = Blobs().describe()
    assert facts["counts"]["train"] == [60, 25, 9]
    assert facts["imbalance_factor"] == pytest.approx(60 / 9)
    assert isinstance(Blobs(), Task)


@pytest.mark.parametrize("weighting", [torch.ones(3), [1.0, 2.0, 1.0], Uniform, lambda evidence: torch.ones(3)])
def test_what_is_no_weighting_is_refused(weighting: Any) -> None:
    with pytest.raises(ArgumentError, match="`weighting` should be a Weighting"):
        Objective(weighting=weighting)


@pytest.mark.parametrize("loss", [0.5, "ce", CrossEntropy])
def test_what_is_no_loss_is_refused(loss: Any) -> None:
    with pytest.raises(ArgumentError, match="`loss` should be a Loss"):
        Objective(loss)


@pytest.mark.parametrize(
    ("word", "value"),
    [("objective", CrossEntropy()), ("descent", "sam"), ("transform", "mixup"), ("sampler", [0, 1]), ("trainable", [])],
)
def test_a_stage_refuses_what_its_words_cannot_be(word: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=f"`{word}`"):
        Stage(**{word: value})


def test_a_batch_without_a_row_that_counts_makes_no_step() -> None:
    torch.manual_seed(0)
    model, target = torch.nn.Linear(4, 3), torch.tensor([0, 2])
    found = Objective()(Rows(model(torch.randn(2, 4)), target, share=torch.zeros(2)), Clock())
    assert found.loss == 0 and found.restricted(torch.ones(2)) == 0
    found.loss.backward()
    assert model.weight.grad is not None and not model.weight.grad.any()
