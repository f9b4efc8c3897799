"""`--task adapters(...)`: from settings to a task, what it refuses, and a comparison from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapted import Blocks, pictures
from click.testing import CliRunner

from steelyard.cli import cli
from steelyard.core.errors import ArgumentError, DataError, SteelyardError, UnknownName
from steelyard.problems import ProblemSettings, load
from steelyard.problems._kinds.adapters import adapters

SMALL = "backbone=small-vit(patch=2,width=8,depth=1,heads=1)"


def arrays(counts: tuple[int, ...] = (60, 30, 16), name: str = "train") -> tuple[np.ndarray, np.ndarray]:
    made = pictures(counts, name)
    return made.inputs.numpy(), made.target.numpy()  # type: ignore[union-attr]


def made(inside: str, **settings: Any) -> Any:
    return load(arrays(), ProblemSettings(task=f"adapters({inside})", **settings))


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    X, y = arrays()
    np.savez(tmp_path / "pictures.npz", X=X[:, 0], y=np.array(["left", "middle", "right"])[y])
    return tmp_path / "pictures.npz"


def test_random_weights_and_a_tail() -> None:
    task = made(f"{SMALL},pretrain=random,rank=2,alpha=2,targets=(q_proj,v_proj)", factor=10.0)
    assert task.kind == "adapters"
    assert task.usual_methods[0] == "ce"
    assert task.adapter.rank == 2
    assert task.describe()["imbalance_factor"] >= 9
    learnt = [name for name, parameter in task.model().named_parameters() if parameter.requires_grad]
    assert sum("lora_A" in name for name in learnt) == 2
    settings = ProblemSettings(task="adapters", factor=10.0)
    network = SMALL.removeprefix("backbone=")
    again = adapters(arrays(), settings, backbone=network, pretrain="random", rank=2, alpha=2.0, targets=("q_proj", "v_proj"))
    assert json.dumps(again.describe()) == json.dumps(task.describe())


def test_pretraining_on_its_own_images_is_kept(tmp_path: Path) -> None:
    inside = f"{SMALL},pretrain_epochs=1,pretrain_rows=20,cache={tmp_path}"
    task = made(inside)
    assert len(list(tmp_path.iterdir())) == 1
    assert "20 images, 1 epochs" in task.describe()["adapter"]["weights"]
    weights = next(iter(tmp_path.iterdir()))
    read = made(f"weights={weights}")
    assert read.backbone.name == SMALL.removeprefix("backbone=")
    assert all(torch.equal(a, b) for a, b in zip(
        read.backbone.encoder.state_dict().values(), task.backbone.encoder.state_dict().values(), strict=True
    ))  # fmt: skip
    with pytest.raises(ArgumentError, match=r"of which .* holds the weights"):
        made(f"weights={weights},backbone=small-cnn")


def test_pretraining_on_other_images(tmp_path: Path) -> None:
    X = np.random.default_rng(0).integers(0, 256, (30, 6, 6, 3), dtype=np.uint8)
    np.savez(tmp_path / "others.npz", X=X, y=np.arange(30) % 2)
    task = made(f"{SMALL},pretrain={tmp_path / 'others.npz'},pretrain_epochs=1,cache={tmp_path / 'cache'}")
    assert (task.backbone.channels, task.backbone.size) == (3, (6, 6))
    assert "1x4x4 are brought to 3x6x6" in task.describe()["notes"][-1]
    assert task.model()(task.load(task.splits["test"].inputs, augment="none", generator=None)).shape[1] == 3


def test_a_folder_of_transformers(tmp_path: Path) -> None:
    import transformers

    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, image_size=8, patch_size=4,
    )  # fmt: skip
    transformers.ViTModel(config).save_pretrained(tmp_path)
    task = made(f"backbone={tmp_path},adapter=rslora,targets=(q_proj,v_proj),pool=first")
    assert "1x4x4 are brought to 3x8x8" in task.describe()["notes"][-1]
    assert task.describe()["adapter"]["architecture"] == "ViTModel"
    with pytest.raises(ArgumentError, match="trained already"):
        made(f"backbone={tmp_path},pretrain=random")


def test_a_module_in_python() -> None:
    task = load(arrays(), task="adapters(rank=1)", model=Blocks())
    assert task.describe()["adapter"]["backbone"] == "Blocks"
    with pytest.raises(ArgumentError, match="as model gives one"):
        load(arrays(), task="adapters(backbone=resnet32)", model=Blocks())
    with pytest.raises(ArgumentError, match="'conv' for this backbone"):
        load(arrays(), task="adapters", model=torch.nn.Conv2d(1, 3, 2))
    with pytest.raises(ArgumentError, match="trained already"):
        load(arrays(), task="adapters(pretrain_epochs=3)", model=Blocks())


@pytest.mark.parametrize(
    ("inside", "settings", "said"),
    [
        ("", {"model": "small-cnn"}, "backbone"),
        ("", {"drop": ("a",)}, "no use"),
        ("", {"missing": "median"}, "no use"),
        ("", {"split": "time:when"}, "no use"),
        (f"{SMALL},pool=first", {}, "pools itself"),
        (f"{SMALL},pretrain=random,pretrain_epochs=3", {}, "trains nothing before"),
        (f"{SMALL},weights=w,pretrain_rows=3", {}, "weights are given"),
        (f"{SMALL},weights=w,pretrain=random", {}, "weights are given"),
        (f"{SMALL},pretrain_rows=1", {}, "at least 2"),
        (f"{SMALL},pretrain=random,rank=0", {}, "rank"),
        (f"{SMALL},pretrain=random,targets=query", {}, "q_proj"),
        ("backbone=small-cnn,pretrain=random", {}, "'conv' for this backbone"),
        ("backbone=timm:x,weights=w", {}, "trained already"),
        ("backbone=/no/such/folder", {}, "no folder"),
        (f"{SMALL},pretrain=/no/such/folder", {}, "no file or folder"),
        ("backbone=small-vi", {}, "did you mean"),
        ("rang=4", {}, "rank"),
        ("pool=last", {}, "'mean' or 'first'"),
    ],
)
def test_settings_that_cannot_be(inside: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SteelyardError, match=said) as error:
        made(inside, **settings)
    assert "\n" not in str(error.value)


def test_data_that_are_no_images() -> None:
    with pytest.raises(SteelyardError, match="images"):
        load("wine", task=f"adapters({SMALL},pretrain=random)")
    with pytest.raises(DataError, match="no file or folder"):
        load("/no/such.npz", task="adapters")
    with pytest.raises(UnknownName, match="adapters"):
        load(arrays(), task="adapter")


def test_compare_from_the_command_line(npz: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    task = f"adapters({SMALL},pretrain_epochs=1,cache={tmp_path / 'cache'},rank=2)"
    done = CliRunner().invoke(cli, [
        "compare", str(npz), "--task", task, "--factor", "8", "--methods", "ce,deblora(knee=2,head_epochs=1)", "--seeds", "1",
        "--epochs", "2", "--jobs", "1", "--out", str(out),
    ], catch_exceptions=False)  # fmt: skip
    assert done.exit_code == 0, done.output
    facts = json.loads((out / "comparison.json").read_text())
    assert facts["task"] == "adapters"
    assert facts["metric"] == "macro_f1"
    assert facts["data"]["class_names"] == ["left", "middle", "right"]
    assert facts["data"]["adapter"]["kind"] == "lora"
    results = [json.loads(path.read_text()) for path in out.glob("runs/*/result.json")]
    assert all({"head_f1", "middle_f1", "tail_f1"} <= set(result["metrics"]) for result in results)
    told = next(result["explanations"]["objective.loss"] for result in results if "deblora" in result["method"])
    assert set(told["entropy"]) == {"left", "middle", "right"}
    assert told["strength"]["right"] > 0
    page = (out / "report.html").read_text()
    drawn = json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>")[0])["figures"]
    assert [(figure["title"], figure["form"]) for figure in drawn] == [
        ("Clusters of each class", "methods"),
        ("Clusters", "bars"),
    ]
    ((method, panels),) = drawn[0]["methods"].items()
    assert method.startswith("deblora")  # plain cross-entropy has no clusters
    shown = dict(zip(drawn[0]["categories"], panels[1]["mean"], strict=True))
    assert {name.split(" (")[0]: value for name, value in shown.items()} == pytest.approx(told["entropy"], rel=1e-3)
