"""Adapters on layers: LoRA's algebra, what learns, which layers are meant, and every kind that peft has."""

from __future__ import annotations

import copy
import sys
from typing import Any

import pytest
import torch
from adapted import Blocks
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, SteelyardError, UnknownName
from steelyard.tasks.adapters.adapt import Adapter, attach, configuration, layers_in

IMAGES = torch.rand(5, 1, 4, 4)


class Linears(nn.Module):
    """Two linear layers of sizes that block-wise adapters can divide."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(64, 64), nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(torch.tanh(self.fc1(x)))
        return y


def learning(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def parts(adapted: nn.Module, layer: str) -> Any:
    return next(module for name, module in adapted.named_modules() if name.endswith(layer))


@pytest.mark.parametrize("kind", ["lora", "dora", "rslora"])
@pytest.mark.parametrize("targets", ["linear", "conv", "all"])
def test_a_fresh_adapter_changes_nothing(kind: str, targets: str) -> None:
    base = Blocks()
    assert torch.equal(attach(base, Adapter(kind, rank=2, targets=targets))(IMAGES), base(IMAGES))


@pytest.mark.parametrize("kind", ["pissa", "olora"])
def test_adapters_that_take_over_a_part_of_the_weights_change_nothing_but_roundings(kind: str) -> None:
    base = Blocks()
    before = copy.deepcopy(base.state_dict())
    assert torch.allclose(attach(base, Adapter(kind, rank=2))(IMAGES), base(IMAGES), atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())  # a copy was adapted


@pytest.mark.parametrize(("kind", "scale"), [("lora", 6 / 3), ("rslora", 6 / 3**0.5)])
def test_the_update_is_a_scaled_product(kind: str, scale: float) -> None:
    base = nn.Sequential(nn.Linear(7, 5))
    adapted = attach(base, Adapter(kind, rank=3, alpha=6))
    layer = parts(adapted, "model.0")
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert (a.shape, b.shape) == ((3, 7), (5, 3))
    with torch.no_grad():
        b.normal_()
    x = torch.randn(4, 7)
    assert torch.allclose(adapted(x), base(x) + scale * x @ a.T @ b.T, atol=1e-6)
    unmerged = adapted(x)
    layer.merge()
    assert torch.allclose(layer.base_layer.weight, base[0].weight + scale * b @ a, atol=1e-6)
    assert torch.allclose(adapted(x), unmerged, atol=1e-5)
    layer.unmerge()
    layer.enable_adapters(False)
    assert torch.allclose(adapted(x), base(x), atol=1e-6)


def test_alpha_is_twice_the_rank_unless_said_otherwise() -> None:
    for rank, alpha, scale in ((None, None, 2.0), (4, None, 2.0), (4, 4.0, 1.0)):
        adapter = Adapter(rank=rank, alpha=alpha)
        assert adapter.scale == scale
        assert parts(attach(Blocks(), adapter), "fc1").scaling == {"default": scale}


@pytest.mark.parametrize("rank", [1, 3])
def test_only_the_two_factors_learn(rank: int) -> None:
    adapted = attach(Blocks(), Adapter(rank=rank))
    names = learning(adapted)
    assert len(names) == 4
    assert all(".lora_A." in name or ".lora_B." in name for name in names)
    learnt = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    assert learnt == rank * ((8 + 12) + (12 + 6))


def test_none_and_full() -> None:
    assert learning(attach(Blocks(), Adapter("none"))) == []
    assert len(learning(attach(Blocks(), Adapter("full")))) == 6
    for kind in ("none", "full"):
        for useless in ({"rank": 4}, {"alpha": 1.0}, {"dropout": 0.1}, {"targets": "fc1"}):
            with pytest.raises(ArgumentError, match="adds no layers"):
                Adapter(kind, **useless)  # type: ignore[arg-type]


SHARED = {
    "loha": {}, "lokr": {}, "ia3": {}, "oft": {}, "hra": {}, "hira": {}, "delora": {}, "gralora": {}, "randlora": {},
    "miss": {}, "road": {}, "glora": {}, "vera": {}, "lily": {}, "peanut": {}, "psoft": {}, "deft": {}, "waveft": {},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning:peft")
@pytest.mark.parametrize("kind", SHARED)
def test_other_kinds_of_peft_start_from_the_backbone_and_learn(kind: str) -> None:
    base, x = Linears(), torch.randn(3, 64)
    adapted = attach(base, Adapter(kind))
    assert torch.allclose(adapted(x), base(x), atol=1e-5)
    names = learning(adapted)
    assert names
    assert not [name for name in names if ".base_layer." in name]
    adapted(x).square().sum().backward()
    moved = [parameter for parameter in adapted.parameters() if parameter.requires_grad and parameter.grad is not None]
    assert any(bool(parameter.grad.abs().sum() > 0) for parameter in moved if parameter.grad is not None)
    again = copy.deepcopy(adapted)
    assert torch.equal(again(x), adapted(x))


def test_settings_of_pefts_own() -> None:
    import peft

    config = configuration(peft, Adapter("lora(use_rslora=true,init_lora_weights=gaussian)", rank=3), ["fc1"])
    assert (config.r, config.use_rslora, config.init_lora_weights, config.lora_alpha) == (3, True, "gaussian", 6.0)
    with pytest.raises(UnknownName, match="use_dora"):
        configuration(peft, Adapter("lora(use_dorra=true)"), ["fc1"])


def test_dropout_acts_in_training_only() -> None:
    adapted = attach(nn.Sequential(nn.Linear(7, 5)), Adapter(dropout=0.5))
    with torch.no_grad():
        parts(adapted, "model.0").lora_B["default"].weight.normal_()
    x = torch.randn(4, 7)
    assert not torch.equal(adapted.train()(x), adapted(x))
    assert torch.equal(adapted.eval()(x), adapted(x))


@pytest.mark.parametrize(
    "wrong", [{"rank": 0}, {"alpha": 0.0}, {"alpha": -1.0}, {"dropout": 1.0}, {"dropout": -0.1}, {"targets": ()}]
)
def test_numbers_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        Adapter(**wrong)


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (Adapter("ia3", rank=4), "`rank` should be left out, as 'ia3' has none"),
        (Adapter("hra", alpha=4.0), "`alpha` should be left out"),
        (Adapter("ia3", dropout=0.5), "`dropout` should be left out"),
        (Adapter("adalora"), "schedule"),
        (Adapter("xlora"), "trained already"),
        (Adapter("lorra"), "did you mean"),
        (Adapter("prefix_tuning"), "unknown adapter"),
        (Adapter("full(x=1)"), "unknown adapter"),
        (Adapter("pissa", targets="conv"), "pissa"),
    ],
)
def test_adapters_that_cannot_be(adapter: Adapter, said: str) -> None:
    with pytest.raises(SteelyardError, match=said) as error:
        attach(Blocks(), adapter)
    assert "\n" not in str(error.value)


def test_layers_by_group_and_by_name() -> None:
    model = Blocks()
    assert layers_in(model, "linear") == ["fc1", "fc2"]
    assert layers_in(model, "conv") == ["stem"]
    assert layers_in(model, "all") == ["stem", "fc1", "fc2"]
    assert layers_in(model, ("fc2", "stem")) == ["stem", "fc2"]
    deep = nn.ModuleDict({"fc": nn.Linear(2, 2), "block": nn.ModuleDict({"fc": nn.Linear(2, 2), "xfc": nn.Linear(2, 2)})})
    assert layers_in(deep, "fc") == ["fc", "block.fc"]
    assert layers_in(deep, "block.fc") == ["block.fc"]


def test_a_name_means_that_layer_and_no_other_that_ends_so() -> None:
    deep = nn.Sequential()
    deep.add_module("fc", nn.Linear(3, 3))
    deep.add_module("block", nn.Sequential())
    deep.block.add_module("fc", nn.Linear(3, 3))  # type: ignore[operator,union-attr]
    names = learning(attach(deep, Adapter(rank=1, targets="block.fc")))
    assert len(names) == 2
    assert all("block.fc" in name for name in names)


def test_unknown_layers_are_answered_with_the_real_names() -> None:
    with pytest.raises(UnknownName, match=r"query.*fc1, fc2, stem"):
        attach(Blocks(), Adapter(targets=("query", "value")))


def test_a_backbone_without_such_layers() -> None:
    convolutions = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
    with pytest.raises(ArgumentError, match=r"should be 'conv' for this backbone.* found 'linear', and it has no such layers"):
        attach(convolutions, Adapter())
    assert len(learning(attach(convolutions, Adapter(targets="conv")))) == 2
    with pytest.raises(ArgumentError, match=r"adapter=none.*neither linear layers nor convolutions"):
        attach(nn.Sequential(nn.Flatten(), nn.ReLU()), Adapter())


def test_a_layer_that_torch_does_not_call_is_left_out() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    assert layers_in(layer, "linear") == ["linear1", "linear2"]


def test_adapters_act_in_evaluation_where_torch_has_a_fast_path() -> None:
    base = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    adapted = attach(base, Adapter(rank=2))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    x = torch.randn(2, 3, 8)
    trained = adapted.train()(x)
    with torch.no_grad():
        assert torch.allclose(adapted.eval()(x), trained, atol=1e-5)
    assert not torch.allclose(base.eval()(x), trained, atol=1e-2)


def test_without_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(SteelyardError, match=r"steelyard\[lora\]"):
        attach(Blocks(), Adapter())
    attach(Blocks(), Adapter("none"))
