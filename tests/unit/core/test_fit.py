from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from ending import Bomb, Interrupt
from tiny import Blobs, Held, ce, network, numbers, same_weights, two_stages
from torch import nn

from steelyard.core.checkpoint import DamagedCheckpointWarning
from steelyard.core.errors import ArgumentError, CheckpointError, DataError, TrainingError
from steelyard.core.fit import fit
from steelyard.core.loss import Loss
from steelyard.core.objective import Objective
from steelyard.core.regime import Regime
from steelyard.core.roles import Observes
from steelyard.core.rows import Evidence
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import Task, TaskView

REGIME = Regime(epochs=4, batch_size=16, lr=0.05)


def interrupted(task: Task, method, regime: Regime, folder: Path, steps: int) -> None:
    with pytest.raises(Interrupt):
        fit(task, method, regime, folder=folder, listeners=[Bomb(steps)], checkpoint_seconds=0.0)


def test_the_loop_is_the_loop_one_would_write() -> None:
    """Same initial weights and batches: same weights after, for a model without dropout."""
    build = lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))  # noqa: E731
    task = Blobs(build=build, valid=False)
    seen: list[torch.Tensor] = []

    class Spy(Observes):
        def observe(self, evidence: Evidence) -> None:
            seen.append(evidence.index)

    regime = Regime(epochs=3, batch_size=16, lr=0.1, schedule="constant", weight_decay=1e-3)
    fitted = fit(task, ce, regime, listeners=[Spy()])
    model = TaskView(task).model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    rows = task.splits["train"]
    for index in seen:
        optimizer.zero_grad()
        F.cross_entropy(model(rows.inputs[index]), rows.target[index]).backward()
        optimizer.step()
    assert len(seen) == fitted.steps == 3 * 6
    for mine, yours in zip(model.parameters(), fitted.model.parameters(), strict=True):
        torch.testing.assert_close(mine, yours, rtol=1e-5, atol=1e-6)


def test_each_epoch_draws_every_row_once_and_in_another_order() -> None:
    orders: dict[int, list[int]] = {}

    class Spy(Observes):
        def observe(self, evidence: Evidence) -> None:
            orders.setdefault(evidence.clock.epoch, []).extend(evidence.index.tolist())

    fit(Blobs(), ce, REGIME, listeners=[Spy()])
    assert all(sorted(order) == list(range(94)) for order in orders.values())
    assert orders[0] != orders[1]


@pytest.mark.parametrize("ema", [None, 0.9])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_resuming_ends_with_the_same_bits(tmp_path: Path, ema: float | None, precision: str) -> None:
    regime = REGIME.replace(ema=ema, precision=precision, clip_norm=1.0, warmup_epochs=1)
    whole = fit(Blobs(), two_stages, regime)
    for steps in (1, 3, 8, 9, 4):
        interrupted(Blobs(), two_stages, regime, tmp_path, steps)
    resumed = fit(Blobs(), two_stages, regime, folder=tmp_path)
    assert same_weights(whole.model, resumed.model)
    assert numbers(whole.history) == numbers(resumed.history)
    assert whole.steps == resumed.steps
    assert whole.selected_epoch == resumed.selected_epoch
    assert same_weights(whole.use("best_valid"), resumed.use("best_valid"))


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    whole = fit(Blobs(), two_stages, REGIME, folder=tmp_path)
    again = fit(Blobs(), two_stages, REGIME, folder=tmp_path, listeners=[Bomb(1)])
    assert same_weights(whole.model, again.model)
    assert whole.history == again.history


@pytest.mark.parametrize("harm", ["truncate", "flip"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path: Path, harm: str) -> None:
    whole = fit(Blobs(), ce, REGIME)
    interrupted(Blobs(), ce, REGIME, tmp_path, 9)
    newest = sorted(tmp_path.glob("step-*.pt"))[-1]
    content = bytearray(newest.read_bytes())
    if harm == "truncate":
        newest.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 0x10
        newest.write_bytes(content)
    with pytest.warns(DamagedCheckpointWarning, match=newest.name):
        resumed = fit(Blobs(), ce, REGIME, folder=tmp_path)
    assert same_weights(whole.model, resumed.model)


def test_a_damaged_finished_stage_is_named_and_trained_again(tmp_path: Path) -> None:
    whole = fit(Blobs(), two_stages, REGIME, folder=tmp_path)
    (tmp_path / "stage-0.pt").write_bytes(b"not a checkpoint")
    with pytest.warns(DamagedCheckpointWarning, match=r"stage-0\.pt"):
        again = fit(Blobs(), two_stages, REGIME, folder=tmp_path)
    assert same_weights(whole.model, again.model)


def test_another_run_s_checkpoints_are_refused(tmp_path: Path) -> None:
    interrupted(Blobs(), ce, REGIME, tmp_path, 5)
    with pytest.raises(CheckpointError, match="another run"):
        fit(Blobs(), ce, REGIME.replace(lr=0.01), folder=tmp_path)


SCRIPT = """
    import sys, torch
    from pathlib import Path
    sys.path.insert(0, {support!r})
    torch.set_num_threads(1)
    from tiny import Blobs, two_stages
    from steelyard.core.fit import fit
    from steelyard.core.regime import Regime
    from safetensors.torch import save_file
    folder = Path({folder!r})
    regime = Regime(epochs=12, batch_size=8, lr=0.05)
    fitted = fit(Blobs(counts=(900, 300, 50)), two_stages, regime, folder=folder, checkpoint_seconds=0.05)
    save_file(fitted.model.state_dict(), folder / "final.safetensors")
"""


@pytest.mark.multiprocess
def test_kill_9_at_any_moment_changes_no_bit(tmp_path: Path) -> None:
    """Real processes, really killed, at moments nobody chose."""
    support = str(Path(__file__).parents[2] / "support")

    def start(folder: Path) -> subprocess.Popen[bytes]:
        folder.mkdir(exist_ok=True)
        text = textwrap.dedent(SCRIPT.format(support=support, folder=str(folder)))
        return subprocess.Popen([sys.executable, "-c", text], env=os.environ | {"OMP_NUM_THREADS": "1"})

    assert start(tmp_path / "whole").wait() == 0
    killed = 0
    for delay in (0.1, 0.7, 0.4, 1.1):
        process = start(tmp_path / "killed")
        before = len(list((tmp_path / "killed").glob("*.pt")))
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if len(list((tmp_path / "killed").glob("*.pt"))) > before or before:
                time.sleep(delay)
                break
            time.sleep(0.02)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed >= 2
    assert start(tmp_path / "killed").wait() == 0
    whole = (tmp_path / "whole" / "final.safetensors").read_bytes()
    assert whole == (tmp_path / "killed" / "final.safetensors").read_bytes()


def test_two_runs_of_a_seed_agree_and_seeds_differ() -> None:
    first, second = fit(Blobs(), ce, REGIME, seed=3), fit(Blobs(), ce, REGIME, seed=3)
    assert same_weights(first.model, second.model)
    assert not same_weights(first.model, fit(Blobs(), ce, REGIME, seed=4).model)


def test_the_global_random_state_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(Blobs(), ce, REGIME)
    assert torch.equal(torch.rand(3), expected)


def test_only_the_trainable_parameters_move_and_the_rest_is_thawed_after() -> None:
    def head_only(task: TaskView) -> Steps:
        yield Stage(trainable=lambda model: model[4].parameters())

    fitted = fit(Blobs(), head_only, REGIME)
    start = TaskView(Blobs()).model()
    assert torch.equal(fitted.model[0].weight, start[0].weight)
    assert not torch.equal(fitted.model[4].weight, start[4].weight)
    assert all(parameter.requires_grad for parameter in fitted.model.parameters())


def test_a_method_may_train_a_model_of_its_own_and_return_what_is_judged() -> None:
    class Doubled(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return 2 * self.inner(inputs)

    def method(task: TaskView) -> Steps:
        model = yield Stage(model=network(width=5))
        return Doubled(model)

    fitted = fit(Blobs(), method, REGIME)
    assert isinstance(fitted.model, Doubled)
    assert fitted.model.inner[0].out_features == 5


def test_stages_continue_with_the_model_they_were_sent() -> None:
    heads: list[torch.Tensor] = []

    def method(task: TaskView) -> Steps:
        model = yield Stage()
        heads.append(model[4].weight.detach().clone())
        with torch.no_grad():
            model[4].weight.zero_()
        model = yield Stage(epochs=1, trainable=lambda m: m[0].parameters())
        heads.append(model[4].weight.detach().clone())

    fit(Blobs(), method, REGIME)
    assert heads[0].abs().sum() > 0
    assert heads[1].abs().sum() == 0


def test_early_stopping_stops_and_the_best_epoch_is_kept() -> None:
    fitted = fit(Blobs(), ce, Regime(epochs=200, batch_size=16, lr=0.05, patience=3, select="best_valid"))
    assert len(fitted.history) < 200
    scores = [line["valid_balanced_accuracy"] for line in fitted.history]
    assert fitted.selected_epoch == 1 + scores.index(max(scores))
    assert len(fitted.history) == fitted.selected_epoch + 3


def test_without_a_validation_split_the_last_epoch_is_all_there_is() -> None:
    fitted = fit(Blobs(valid=False), ce, REGIME)
    assert fitted.selected_epoch is None
    with pytest.raises(ArgumentError, match="no validation split"):
        fitted.use("best_valid")


def test_where_a_loss_is_watched_the_latest_epoch_that_is_nearly_the_best_is_kept() -> None:
    regime = Regime(epochs=25, batch_size=8, lr=0.1, schedule="constant", select="best_valid", watch="log_loss")
    fitted = fit(Blobs(), ce, regime)
    losses = [line["valid_fitted_loss"] for line in fitted.history]
    nearly = [epoch for epoch, loss in enumerate(losses, 1) if loss <= 1.05 * min(losses)]
    assert losses[-1] > 1.05 * min(losses), "it should learn by heart, or there is nothing to choose"
    assert fitted.selected_epoch == max(nearly)
    assert "watch" not in Regime().settings()
    assert regime.settings()["watch"] == "log_loss"


@pytest.mark.parametrize("change", [{"patience": 2}, {"select": "best_valid"}])
def test_what_needs_a_validation_split_is_not_ignored_without_one(change: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match="no validation split"):
        fit(Blobs(valid=False), ce, REGIME.replace(**change))


def test_a_listener_without_a_role_is_refused() -> None:
    class Silent:
        def assess(self, report: object) -> None:
            """Would never be called."""

    with pytest.raises(ArgumentError, match="a Silent, which would never be called"):
        fit(Blobs(), ce, REGIME, listeners=[Silent()])
    with pytest.raises(ArgumentError, match="one Bomb"):
        fit(Blobs(), ce, REGIME, listeners=Bomb(1))  # type: ignore[arg-type]


def test_a_folder_that_cannot_be_written_is_found_out_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="file"):
        fit(Blobs(), ce, REGIME, folder=tmp_path / "file", listeners=[Bomb(1)])


def test_when_both_checkpoints_are_damaged_new_ones_are_kept(tmp_path: Path) -> None:
    """They are of earlier steps than the damaged ones, and must not be the first to go."""
    whole = fit(Blobs(), ce, REGIME)
    interrupted(Blobs(), ce, REGIME, tmp_path, 20)
    for path in tmp_path.glob("step-*.pt"):
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.warns(DamagedCheckpointWarning):
        interrupted(Blobs(), ce, REGIME, tmp_path, 8)
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["step-000000006.pt", "step-000000007.pt"]
    assert same_weights(whole.model, fit(Blobs(), ce, REGIME, folder=tmp_path).model)


def test_what_a_loss_has_learnt_in_a_stage_is_there_when_a_later_one_uses_it(tmp_path: Path) -> None:
    class Scaled(Loss):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def rows(self, logits: torch.Tensor, target: torch.Tensor, **_: object) -> torch.Tensor:
            return F.cross_entropy(self.scale * logits, target, reduction="none") + 0.1 * self.scale**2

    def method(task: TaskView) -> Steps:
        objective = Objective(Scaled())
        yield Stage(objective)
        yield Stage(objective, epochs=1)

    whole = fit(Blobs(), method, REGIME)
    interrupted(Blobs(), method, REGIME, tmp_path, 4 * 6 + 1)
    resumed = fit(Blobs(), method, REGIME, folder=tmp_path)
    assert same_weights(whole.model, resumed.model)


def test_a_stage_of_no_epochs_leaves_the_model_alone(tmp_path: Path) -> None:
    def method(task: TaskView) -> Steps:
        yield Stage()
        yield Stage(epochs=0)

    fitted = fit(Blobs(), method, REGIME, folder=tmp_path)
    assert same_weights(fitted.model, fit(Blobs(), ce, REGIME).model)
    assert fitted.selected_epoch is None


def test_nothing_to_train_and_no_logits_are_one_sentence() -> None:
    with pytest.raises(ArgumentError, match="parameters to train"):
        fit(Blobs(build=lambda: nn.Linear(4, 3).requires_grad_(False)), ce, REGIME)

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 3)

        def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.inner(inputs), inputs

    with pytest.raises(DataError, match="found tuple"):
        fit(Blobs(build=Pair), ce, REGIME)


def test_a_loss_that_explodes_is_one_sentence() -> None:
    with pytest.raises(TrainingError, match="lower the learning rate"):
        fit(Blobs(build=lambda: nn.Linear(4, 3)), ce, Regime(epochs=30, batch_size=16, lr=1e30, schedule="constant"))


def test_logits_of_the_wrong_width_are_one_sentence() -> None:
    with pytest.raises(DataError, match=r"logits \[N, 3\]"):
        fit(Blobs(build=lambda: nn.Linear(4, 7)), ce, REGIME)


def test_a_last_batch_of_one_row_is_left_out() -> None:
    """BatchNorm cannot train on it."""
    fitted = fit(Blobs(counts=(20, 8, 5)), ce, REGIME)
    assert fitted.steps == 4 * 2


def test_a_plain_torch_loss_works_and_a_reduced_one_is_refused() -> None:
    def with_loss(loss: nn.Module):
        def method(task: TaskView) -> Steps:
            yield Stage(Objective(loss))

        return method

    plain = fit(Blobs(), with_loss(nn.CrossEntropyLoss(reduction="none")), REGIME)
    assert same_weights(plain.model, fit(Blobs(), ce, REGIME).model)
    with pytest.raises(ArgumentError, match="per row"):
        fit(Blobs(), with_loss(nn.CrossEntropyLoss()), REGIME)


def test_one_class_in_a_batch_and_tiny_tasks_train() -> None:
    rows = Held(torch.randn(3, 4), torch.tensor([0, 0, 1]))

    class Two(Task):
        def model(self) -> nn.Module:
            return network(classes=2)

    fitted = fit(Two("two", ("a", "b"), {"train": rows}), ce, Regime(epochs=2, batch_size=2))
    assert fitted.steps == 2
