"""Models by name; timm and torchvision are replaced by stand-ins where they cannot be imported."""

import importlib
import sys
import types

import pytest
import torch
from torch import nn

from steelyard.core.errors import ArgumentError, SteelyardError, UnknownName
from steelyard.nets.by_name import build
from steelyard.nets.cosine_head import NormedLinear
from steelyard.nets.mlp import MLP
from steelyard.nets.resnet32 import ResNet32
from steelyard.nets.small_cnn import SmallCNN


def really(library: str) -> None:
    """Skip where a library cannot be imported, for whatever reason (torchvision may raise RuntimeError)."""
    try:
        importlib.import_module(library)
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(f"{library} cannot be imported: {error}")


class Pooled(nn.Module):
    """Stands in for a library's classifier of images of at least 4x4."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 8, 4)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.stem(x).mean((2, 3)))


@pytest.fixture
def without_libraries(monkeypatch):
    for name in ("timm", "torchvision", "torchvision.models"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def calls(monkeypatch):
    """Puts stand-ins for timm and torchvision in place; collects the keyword arguments they are called with."""
    seen: list[dict] = []

    def create_model(name, *, pretrained, num_classes, in_chans, width=1):
        seen.append({"name": name, "pretrained": pretrained, "width": width})
        return Pooled(in_chans, num_classes)

    def get_model(name, *, weights, num_classes=1000, **settings):
        if "strange" in settings:
            raise TypeError("unexpected keyword argument 'strange'")
        if weights and name == "resnet18":
            raise OSError("no route to host")
        seen.append({"name": name, "weights": weights, **settings})
        return Pooled(3, num_classes)

    timm = types.ModuleType("timm")
    timm.create_model = create_model
    timm.list_models = lambda: ["vit_tiny", "resnet18"]
    models = types.ModuleType("torchvision.models")
    models.get_model = get_model
    models.list_models = lambda module: ["resnet18", "vgg11", "googlenet"]
    vision = types.ModuleType("torchvision")
    vision.models = models
    for name, module in (("timm", timm), ("torchvision", vision), ("torchvision.models", models)):
        monkeypatch.setitem(sys.modules, name, module)
    return seen


@pytest.mark.parametrize(("name", "kind"), [("resnet32", ResNet32), ("small-cnn", SmallCNN), ("mlp", MLP)])
def test_own_models(name, kind):
    model = build(name, num_classes=5, input_shape=(3, 8, 8))
    assert isinstance(model, kind)
    assert model.eval()(torch.zeros(2, 3, 8, 8)).shape == (2, 5)


def test_settings_reach_the_model():
    assert isinstance(build("resnet32", num_classes=5, input_shape=(1, 8, 8), normed=True).head, NormedLinear)
    assert build("small-cnn", num_classes=5, input_shape=(1, 8, 8), width=4).head.in_features == 16
    model = build("mlp", num_classes=2, input_shape=(3,), cardinalities=(4, 5), hidden=(7,))
    assert model.cardinalities == (4, 5)
    assert model.head.in_features == 7
    assert build("mlp", num_classes=2, input_shape=(0,), cardinalities=(4,)).numeric == 0


def test_same_seed_same_weights():
    def weights():
        torch.manual_seed(1)
        return build("small-cnn", num_classes=2, input_shape=(1, 8, 8)).state_dict()

    one, two = weights(), weights()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_typo_has_a_suggestion(calls):
    with pytest.raises(UnknownName, match="did you mean 'resnet32'"):
        build("resnt32", num_classes=2, input_shape=(3, 8, 8))
    with pytest.raises(UnknownName, match="did you mean 'vgg11'"):
        build("torchvision:vgg1", num_classes=2, input_shape=(3, 8, 8))
    with pytest.raises(UnknownName, match="did you mean 'width'"):
        build("small-cnn", num_classes=2, input_shape=(3, 8, 8), widht=3)
    with pytest.raises(UnknownName, match="did you mean 'torchvision'"):
        build("torchvison:vgg11", num_classes=2, input_shape=(3, 8, 8))


@pytest.mark.parametrize("name", ["timm:vit_tiny", "torchvision:vgg11"])
def test_missing_library_names_the_extra(name, without_libraries):
    with pytest.raises(SteelyardError, match=r"steelyard\[vision\]") as caught:
        build(name, num_classes=2, input_shape=(3, 8, 8))
    assert name.split(":")[0] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_bare_name_without_libraries_says_where_more_are(without_libraries):
    with pytest.raises(UnknownName, match=r"'vgg11'.*steelyard\[vision\]"):
        build("vgg11", num_classes=2, input_shape=(3, 8, 8))


def test_a_library_that_breaks_on_import_is_reported(monkeypatch):
    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(SteelyardError, match=r"built for the installed torch \(operator torchvision::nms"):
        build("torchvision:vgg11", num_classes=2, input_shape=(3, 8, 8))


def test_library_models_get_classes_and_channels(calls):
    model = build("timm:vit_tiny", num_classes=6, input_shape=(1, 8, 8), width=3)
    assert model.fc.out_features == 6
    assert model.stem.in_channels == 1
    assert calls == [{"name": "vit_tiny", "pretrained": False, "width": 3}]
    assert model.training


def test_bare_names(calls):
    assert build("vgg11", num_classes=2, input_shape=(3, 8, 8)).fc.out_features == 2
    assert build("vit_tiny", num_classes=2, input_shape=(3, 8, 8)).fc.out_features == 2
    with pytest.raises(ArgumentError, match="timm:resnet18 or torchvision:resnet18"):
        build("resnet18", num_classes=2, input_shape=(3, 8, 8))


def test_nothing_is_downloaded_unless_asked(calls):
    build("torchvision:vgg11", num_classes=2, input_shape=(3, 8, 8))
    assert calls[-1]["weights"] is None
    model = build("torchvision:vgg11", num_classes=2, input_shape=(3, 8, 8), pretrained=True)
    assert calls[-1]["weights"] == "DEFAULT"
    assert model.fc.out_features == 2
    with pytest.raises(SteelyardError, match=r"no route to host.*pretrained=False"):
        build("torchvision:resnet18", num_classes=2, input_shape=(3, 8, 8), pretrained=True)


def test_auxiliary_classifiers_are_off(calls):
    build("torchvision:googlenet", num_classes=2, input_shape=(3, 8, 8))
    assert calls[-1]["aux_logits"] is False


def test_errors_of_library_models(calls):
    with pytest.raises(ArgumentError, match="3 channels"):
        build("torchvision:vgg11", num_classes=2, input_shape=(1, 8, 8))
    with pytest.raises(ArgumentError, match=r"`input_shape`.*\(3, 2, 2\)"):
        build("torchvision:vgg11", num_classes=2, input_shape=(3, 2, 2))
    with pytest.raises(ArgumentError, match=r"`settings`.*strange"):
        build("torchvision:vgg11", num_classes=2, input_shape=(3, 8, 8), strange=1)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"name": "resnet32", "input_shape": (5,)}, "input_shape"),
        ({"name": "mlp", "input_shape": ()}, "input_shape"),
        ({"name": "small-cnn", "input_shape": (0, 8, 8)}, "input_shape"),
        ({"name": "small-cnn", "input_shape": (1, 8, 8), "cardinalities": (3,)}, "cardinalities"),
        ({"name": "small-cnn", "input_shape": (1, 8, 8), "pretrained": True}, "pretrained"),
        ({"name": "small-cnn", "input_shape": (1, 8, 8), "num_classes": 0}, "num_classes"),
    ],
)
def test_refuses(arguments, named):
    with pytest.raises(ArgumentError, match=f"`{named}`"):
        build(**({"num_classes": 2} | arguments))


def test_a_real_timm_model():
    really("timm")
    model = build("timm:resnet18", num_classes=4, input_shape=(1, 32, 32))
    assert model.eval()(torch.zeros(2, 1, 32, 32)).shape == (2, 4)


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "mobilenet_v3_small"])
def test_a_real_torchvision_model(name: str):
    really("torchvision")
    model = build(f"torchvision:{name}", num_classes=4, input_shape=(3, 64, 64))
    assert model.train()(torch.zeros(2, 3, 64, 64)).shape == (2, 4)
