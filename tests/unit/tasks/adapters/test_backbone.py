"""Backbones by name: transformers' folders, timm's models, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from adapted import tiny_task
from safetensors.torch import load_file, save_file
from torch import nn

from steelyard.core.errors import ArgumentError, DataError, SteelyardError, UnknownName
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.settings import resolve_method
from steelyard.tasks.adapters import Adapter, load_backbone
from steelyard.tasks.adapters.backbone import Pooled, headless, is_own, own_network

SHAPE = (1, 4, 4)


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny vision transformer as transformers writes it, with the statistics of its images."""
    import transformers

    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=8, patch_size=4,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("vit")
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2] * 3}))
    return folder


def test_a_transformers_folder_gives_features_and_says_what_images_it_takes(vit: Path) -> None:
    found = load_backbone(str(vit), SHAPE)
    assert (found.channels, found.size) == (3, (8, 8))
    assert (found.mean, found.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    images = torch.rand(2, 3, 8, 8)
    tokens = found.encoder.model(pixel_values=images).last_hidden_state  # type: ignore[operator,union-attr]
    assert torch.equal(found.encoder(images), tokens.mean(1))
    first = load_backbone(str(vit), SHAPE, pool="first")
    assert torch.equal(first.encoder.eval()(images), found.encoder.model.eval()(pixel_values=images).last_hidden_state[:, 0])  # type: ignore[union-attr,operator]


def test_weights_that_the_files_lack_are_told_and_those_of_another_model_refused(vit: Path, tmp_path: Path) -> None:
    assert load_backbone(str(vit), SHAPE).facts["weights"] == "read from safetensors"  # the pooler is no part of the features
    shutil.copytree(vit, tmp_path / "less")
    held = load_file(vit / "model.safetensors")
    last = next(name for name in held if name.endswith("layernorm.weight") and "layers" not in name)
    save_file({name: value for name, value in held.items() if name != last}, tmp_path / "less" / "model.safetensors")
    told = load_backbone(str(tmp_path / "less"), SHAPE).facts["weights"]
    assert told.endswith("random where the files have none: layernorm.weight")
    save_file({"other": torch.zeros(3)}, tmp_path / "less" / "model.safetensors")
    with pytest.raises(DataError, match=r"no weights for (\d+) of the \1 parameters .* different models"):
        load_backbone(str(tmp_path / "less"), SHAPE)


def test_it_is_the_same_at_every_reading_and_draws_nothing(vit: Path) -> None:
    torch.manual_seed(3)
    one = load_backbone(str(vit), SHAPE).encoder.state_dict()
    drawn = torch.rand(1)
    other = load_backbone(str(vit), SHAPE).encoder.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), drawn)


def test_adapters_are_matched_against_the_real_names_of_its_layers(vit: Path) -> None:
    made = load_backbone(str(vit), SHAPE)
    task = tiny_task(Adapter(rank=2, targets=("q_proj", "v_proj")), made=made)
    learnt = [name for name, parameter in task.model().named_parameters() if parameter.requires_grad]
    assert len([name for name in learnt if "lora_A" in name]) == 4
    assert all("q_proj" in name or "v_proj" in name or name.startswith("head") for name in learnt)
    with pytest.raises(UnknownName, match="q_proj"):
        tiny_task(Adapter(targets=("query", "value")), made=made)


def test_it_is_fine_tuned(vit: Path) -> None:
    task = tiny_task(Adapter(rank=2), made=load_backbone(str(vit), SHAPE))
    regime = Regime(epochs=3, batch_size=16, optimizer="adamw", lr=1e-2)
    fitted = fit(task, resolve_method("la"), regime, device="cpu")
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]


def pickled(folder: Path) -> str:
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    return "pickle only"


def without_weights(folder: Path) -> str:
    (folder / "config.json").write_text("{}")
    return "no weights"


def without_configuration(folder: Path) -> str:
    (folder / "model.safetensors").write_bytes(b"")
    return "no config.json"


def damaged(folder: Path) -> str:
    (folder / "config.json").write_text(json.dumps({"model_type": "vit", "hidden_size": 16}))
    (folder / "model.safetensors").write_bytes(b"nothing")
    return "cannot be read"


def of_nobody(folder: Path) -> str:
    (folder / "config.json").write_text(json.dumps({"model_type": "no such model"}))
    (folder / "model.safetensors").write_bytes(b"nothing")
    return "cannot be read"


def of_words(folder: Path) -> str:
    import transformers

    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9
    )
    transformers.BertModel(config).save_pretrained(folder)
    return "does not take images"


@pytest.mark.parametrize("make", [pickled, without_weights, without_configuration, damaged, of_nobody, of_words])
def test_folders_that_are_refused(make: Any, tmp_path: Path) -> None:
    said = make(tmp_path)
    with pytest.raises(DataError, match=said) as error:
        load_backbone(str(tmp_path), SHAPE)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["/no/such/folder", "./nowhere", "a/b/c"])
def test_folders_that_are_not_there(path: str) -> None:
    with pytest.raises(DataError, match="no folder"):
        load_backbone(path, SHAPE)


def test_names_that_are_none() -> None:
    with pytest.raises(UnknownName, match="small-vit"):
        load_backbone("small-vitt", SHAPE)
    with pytest.raises(UnknownName, match="patches"):
        own_network("small-vit(patches=2)", 3)
    with pytest.raises(ArgumentError, match="pool"):
        load_backbone("small-vitt", SHAPE, pool="last")


def test_without_transformers(vit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SteelyardError, match=r"steelyard\[lora\]"):
        load_backbone(str(vit), SHAPE)


class Pooling(nn.Module):
    """Stands in for a model of timm."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 8, 3)
        self.fc = nn.Linear(8, classes)
        self.pretrained_cfg = {"mean": (0.5,) * channels, "std": (0.25,) * channels}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.stem(images).mean((2, 3)))
        return logits


def test_a_model_of_timm_loses_its_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def create_model(name: str, *, pretrained: bool, num_classes: int, in_chans: int) -> nn.Module:
        asked.append(pretrained)
        return Pooling(in_chans, num_classes)

    timm = types.ModuleType("timm")
    timm.create_model, timm.list_models = create_model, lambda: ["tiny"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", timm)
    found = load_backbone("timm:tiny", (3, 8, 8))
    assert found.encoder(torch.zeros(2, 3, 8, 8)).shape == (2, 8)
    assert (found.mean, found.std) == ((0.5,) * 3, (0.25,) * 3)
    load_backbone("timm:tiny(pretrained=false)", (3, 8, 8))
    assert asked == [True, False]
    with pytest.raises(ArgumentError, match="pool"):
        load_backbone("timm:tiny", (3, 8, 8), pool="first")


def test_a_module_is_taken_as_it_is() -> None:
    assert load_backbone(nn.Flatten(), SHAPE).name == "Flatten"
    maps = load_backbone(nn.Conv2d(1, 5, 2), SHAPE).encoder(torch.rand(3, 1, 4, 4))
    assert maps.shape == (3, 5)
    with pytest.raises(ArgumentError, match="no tokens"):
        Pooled(nn.Conv2d(1, 5, 2), "first")(torch.rand(3, 1, 4, 4))


def test_own_networks() -> None:
    assert is_own("small-vit(patch=2)")
    assert not is_own("timm:small-vit")
    name, network = own_network("small-cnn(width=4)", 1)
    assert name == "small-cnn(width=4)"
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 16)
    with pytest.raises(ArgumentError, match="linear layer"):
        headless(nn.Conv2d(1, 1, 1))
