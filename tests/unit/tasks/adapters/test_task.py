"""The task: what reaches the backbone, what learns, its own numbers, and every method on it."""

from __future__ import annotations

import copy

import pytest
import torch
from adapted import Blocks, backbone, pictures, tiny_task
from sklearn.metrics import f1_score
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.task import TaskView
from steelyard.settings import resolve_method
from steelyard.tasks.adapters import Adapter, AdapterTask, Backbone
from steelyard.tasks.adapters.task import width_of, with_channels
from steelyard.tasks.images import ImageTask

SHORT = Regime(epochs=1, batch_size=20, optimizer="adamw", lr=1e-2)
CPU = torch.device("cpu")


def of_backbone(model: nn.Module) -> dict[str, Tensor]:
    """By names from "encoder." on, whatever is around the model."""
    weights = model.state_dict().items()
    return {name[name.index("encoder.") :]: value for name, value in weights if "encoder." in name and "lora_" not in name}


def of_adapter(model: nn.Module) -> list[Tensor]:
    return [value for name, value in model.state_dict().items() if "lora_B" in name]


SEVERAL = (
    "ce", "la", "focal", "ldam-drw", "drw", "cb-drw", "class-balanced", "rdr", "cdb", "ot", "l2rw", "mw-net", "metabalance",
    "sam", "imb-sam", "mixup", "m2m", "balanced-sampling", "crt", "lws", "tau-norm", "ncm", "posthoc-la", "joint-ssl",
)  # fmt: skip
"""A loss, weighting, sampler, transform, descent and decision of each kind, and methods of several stages."""


@pytest.mark.parametrize("name", SEVERAL)
def test_methods_train_the_adapter_and_leave_the_backbone(name: str) -> None:
    task = tiny_task()
    before = of_backbone(TaskView(task).model())
    fitted = fit(task, resolve_method(name), SHORT, device="cpu")
    trained = fitted._trained
    assert trained is not None
    after = of_backbone(trained)
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    adapters = of_adapter(trained)
    assert all(bool(torch.isfinite(value).all()) for value in adapters)
    assert any(bool(value.abs().sum() > 0) for value in adapters)


@pytest.mark.parametrize("kind", ["lora", "dora", "loha"])
def test_meta_weights_go_through_adapters(kind: str) -> None:
    """Forward mode where every operator has a rule, two backward passes elsewhere: the same weights."""
    fitted = fit(tiny_task(Adapter(kind, rank=2)), resolve_method("l2rw"), SHORT, device="cpu")
    assert all(line["train_loss"] == line["train_loss"] for line in fitted.history)


def test_parameters_that_learn_are_those_of_adapter_and_classifier() -> None:
    task = tiny_task(Adapter(rank=2))
    learnt = [name for name, parameter in task.model().named_parameters() if parameter.requires_grad]
    assert sorted({name.split(".")[-3] if "lora" in name else name for name in learnt}) == [
        "head.bias", "head.weight", "lora_A", "lora_B",
    ]  # fmt: skip
    facts = task.describe()["adapter"]
    assert facts["trained"] == 2 * (8 + 12 + 12 + 6) + 6 * 3 + 3
    assert facts["kind"] == "lora"
    assert task.describe()["kind"] == "adapters"


def test_models_of_a_seed_are_alike_and_the_backbone_is_shared_by_all() -> None:
    task = tiny_task()
    one, again, other = TaskView(task, 0).model(), TaskView(task, 0).model(), TaskView(task, 1).model()
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), again.state_dict().values(), strict=True))
    assert not torch.equal(one.head.weight, other.head.weight)  # type: ignore[union-attr,arg-type]
    assert all(torch.equal(value, of_backbone(other)[name]) for name, value in of_backbone(one).items())


def test_a_fresh_adapter_gives_the_backbones_features() -> None:
    task = tiny_task()
    model = task.model().eval()
    images = task.load(pictures((3, 3)).inputs, augment="none", generator=None)  # type: ignore[arg-type]
    assert torch.equal(model.encoder(images), backbone().encoder(images))  # type: ignore[operator]


def test_images_are_normalised_as_the_backbone_was_trained() -> None:
    task = tiny_task(made=backbone(mean=(0.25,), std=(0.5,)))
    loaded = task.load(torch.full((2, 1, 4, 4), 255, dtype=torch.uint8), augment="none", generator=None)
    assert torch.allclose(loaded, torch.full((2, 1, 4, 4), (1 - 0.25) / 0.5))
    plain = tiny_task()
    images = plain.load(plain.splits["train"].inputs, augment="none", generator=None)  # type: ignore[attr-defined]
    assert abs(float(images.mean())) < 1e-5


def test_size_and_channels_are_brought_to_the_backbone() -> None:
    flat = backbone(lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), channels=3, size=(9, 7))
    task = tiny_task(Adapter(rank=2, targets="conv"), made=flat)
    loaded = task.load(pictures((2, 1)).inputs, augment="none", generator=None)  # type: ignore[arg-type]
    assert loaded.shape == (3, 3, 9, 7)
    assert torch.equal(loaded[:, 0], loaded[:, 2])
    assert "1x4x4 are brought to 3x9x7" in task.describe()["notes"][0]


def test_augmentation_comes_first() -> None:
    task = tiny_task()
    loaded = task.load(pictures((2, 1)).inputs, augment="crop-flip", generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    assert loaded.shape == (3, 1, 4, 4)


def test_channels() -> None:
    colours = torch.randint(0, 256, (2, 3, 4, 4)).to(torch.uint8)
    assert torch.allclose(with_channels(colours, 1), colours.float().mean(1, keepdim=True) / 255, atol=1e-6)
    grey = colours[:, :1]
    assert torch.equal(with_channels(grey, 3)[:, 2:], grey)
    assert with_channels(colours, 3) is colours


class Says(nn.Module):
    """Logits that are written in the images."""

    def __init__(self, wanted: Tensor) -> None:
        super().__init__()
        self.wanted, self.row = wanted, 0
        self.anything = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        rows = self.wanted[self.row : self.row + len(images)]
        self.row += len(images)
        return torch.nn.functional.one_hot(rows, 4).float()


def test_f1_of_a_group_counts_errors_that_cross_groups() -> None:
    """Twenty rows of the head, one of which is taken for a class of another group: the classes of the head keep their F1."""
    task = tiny_task(counts=(200, 150, 50, 5), groups="index:2,3")
    truth = task.splits["test"].target
    said = truth.clone()
    said[0] = 3
    found = task.further_metrics(Says(said), "test", CPU)
    each = f1_score(truth, said, average=None, labels=[0, 1, 2, 3])
    assert found["head_f1"] == pytest.approx(each[:2].mean())
    assert found["middle_f1"] == pytest.approx(each[2])
    assert found["tail_f1"] == pytest.approx(each[3])
    head = truth < 2
    masked = f1_score(truth[head], said[head], average="macro")  # what must not be done
    assert found["head_f1"] > masked + 0.2


def test_an_empty_group_has_no_f1() -> None:
    found = tiny_task(groups="index:1,1").further_metrics(tiny_task().model(), "test", CPU)
    assert found["middle_f1"] != found["middle_f1"]
    assert set(found) == {"head_f1", "middle_f1", "tail_f1"}


def test_plain_images_become_a_task_with_adapters() -> None:
    plain = ImageTask("mine", "abc", {"train": pictures((9, 4, 2))}, notes=["a note"])
    plain.facts = {"profile": "exp"}
    task = AdapterTask.of(plain, backbone(), Adapter(rank=1))
    assert task.describe()["profile"] == "exp"
    assert task.describe()["notes"] == ["a note"]
    assert task.kind == "adapters"


def test_none_trains_the_classifier_alone_and_full_everything() -> None:
    for kind, moved in (("none", False), ("full", True)):
        task = tiny_task(Adapter(kind))
        before = of_backbone(TaskView(task).model())
        after = of_backbone(fit(task, resolve_method("ce"), SHORT, device="cpu").model)
        assert all(torch.equal(value, after[name]) for name, value in before.items()) is not moved


def test_a_task_can_be_copied_to_another_process() -> None:
    import pickle

    task = pickle.loads(pickle.dumps(tiny_task()))
    assert task.describe() == tiny_task().describe()
    assert copy.copy(task).own_metrics == ("head_f1", "middle_f1", "tail_f1")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (backbone(lambda: nn.Linear(3, 3)), "takes images of 1x4x4"),
        (Backbone("maps", nn.Conv2d(1, 2, 2)), r"features \[N, d\]"),
        (Backbone("rows", nn.Flatten(0)), r"shape \[32\]"),
    ],
)
def test_backbones_that_cannot_take_the_images(made: Backbone, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        tiny_task(made=made)


def test_inputs_that_are_no_images() -> None:
    from steelyard.data.resident import ResidentSource

    source = ResidentSource(torch.zeros(4, 5), torch.tensor([0, 1, 1, 1]))
    with pytest.raises(ArgumentError, match="images"):
        AdapterTask("mine", "ab", {"train": source}, backbone())
    with pytest.raises(ArgumentError, match="groups"):
        tiny_task(groups="quarters")
    assert width_of(backbone(), (1, 4, 4)) == 6
    assert isinstance(Blocks(), nn.Module)
