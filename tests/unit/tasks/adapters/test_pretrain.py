"""Pre-training without labels: kept, read again, and blind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from adapted import pictures
from torch import Tensor

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.data.resident import ResidentSource
from steelyard.tasks.adapters.backbone import Backbone
from steelyard.tasks.adapters.pretrain import (
    Blind,
    Pretraining,
    Unlabelled,
    cache_folder,
    compared,
    digest_of,
    pretrained,
    random_network,
    read_own,
)

HOW = Pretraining("small-cnn(width=4)", epochs=1, batch_size=16, projection=8)


def of(source: ResidentSource, cache: Path, how: Pretraining = HOW) -> Backbone:
    return pretrained(digest_of(source), lambda: source, how, cache)


def weights(backbone: Backbone) -> dict[str, Tensor]:
    return dict(backbone.encoder.state_dict())


def same(one: Backbone, other: Backbone) -> bool:
    return all(torch.equal(value, weights(other)[name]) for name, value in weights(one).items())


def test_it_is_trained_once_and_read_afterwards(tmp_path: Path) -> None:
    source = pictures((20, 12))
    first = of(source, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1

    def asked() -> ResidentSource:
        raise AssertionError("the images were asked for again")

    again = pretrained(digest_of(source), asked, HOW, tmp_path)
    assert same(first, again)
    assert (again.channels, again.size, again.name) == (1, (4, 4), "small-cnn(width=4)")
    assert len(again.mean) == len(again.std) == 1
    assert "32 images" in again.facts["weights"]


def test_labels_do_not_reach_it(tmp_path: Path) -> None:
    """Other labels of the same images: the very same weights, and the very same file."""
    honest, shuffled = pictures((20, 12)), pictures((20, 12), shuffled=True)
    assert not torch.equal(honest.target, shuffled.target)
    assert digest_of(honest) == digest_of(shuffled)
    assert same(of(honest, tmp_path / "a"), of(shuffled, tmp_path / "b"))
    assert Blind(honest).target.unique().tolist() == [0]


def test_other_images_and_other_recipes_are_kept_apart(tmp_path: Path) -> None:
    one = of(pictures((20, 12)), tmp_path)
    other = of(pictures((20, 12), "valid"), tmp_path)
    longer = of(pictures((20, 12)), tmp_path, Pretraining("small-cnn(width=4)", epochs=2, batch_size=16, projection=8))
    assert len(list(tmp_path.iterdir())) == 3
    assert not same(one, other)
    assert not same(one, longer)


@pytest.mark.parametrize("term", ["nt-xent", "vicreg"])
def test_its_loss_falls(term: str) -> None:
    how = Pretraining("small-cnn(width=8)", term=term, projection=8)
    task = Unlabelled(pictures((40, 40, 40)), how)
    regime = Regime(epochs=8, batch_size=40, optimizer="adamw", lr=5e-3, augment="views")
    losses = [line["train_loss"] for line in fit(task, lambda view: compared(view, how), regime, device="cpu").history]
    assert min(losses[-2:]) < 0.97 * losses[0]


def test_the_classifier_that_nobody_needs_is_not_trained() -> None:
    task = Unlabelled(pictures((20, 12)), HOW)
    fitted = fit(task, lambda view: compared(view, HOW), Regime(epochs=1, batch_size=16, augment="views"), device="cpu")
    from steelyard.core.task import TaskView

    assert torch.equal(fitted.model.head.weight, TaskView(task).model().head.weight)  # type: ignore[union-attr,arg-type]


def test_random_weights_are_always_the_same() -> None:
    one, other = (random_network("small-cnn(width=4)", pictures((3, 2))) for _ in range(2))
    assert same(one, other)
    assert one.facts == {"weights": "random"}


def test_files_that_are_none_of_ours(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(DataError, match="no file"):
        read_own(tmp_path / "nothing.safetensors")
    (tmp_path / "text").write_text("hello")
    save_file({"a": torch.zeros(1)}, tmp_path / "other")
    save_file({"a": torch.zeros(1)}, tmp_path / "half", metadata={"steelyard": '{"network": "small-cnn", "channels": 1}'})
    for name in ("text", "other", "half"):
        with pytest.raises(DataError, match="does not hold a backbone"):
            read_own(tmp_path / name)


def test_wrong_settings(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="pretrain_epochs"):
        Pretraining("small-cnn", epochs=0)
    with pytest.raises(ArgumentError, match="pretrain_term"):
        Pretraining("small-cnn", term="simclr")
    with pytest.raises(DataError, match="there are 1"):
        of(pictures((1,)), tmp_path)
    with pytest.raises(UnknownName, match="breadth"):
        of(pictures((4, 4)), tmp_path, Pretraining("small-cnn(breadth=4)"))


def test_where_weights_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STEELYARD_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path / "backbones"
    monkeypatch.delenv("STEELYARD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "steelyard" / "backbones"
