"""Pre-training a small network of ours by self-supervision, once: its weights are kept in a folder as safetensors.

No label is read: the images are wrapped so that every row has the same class.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.atomic import write_atomically
from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.fit import fit
from steelyard.core.loss import Loss
from steelyard.core.objective import Objective
from steelyard.core.regime import Regime
from steelyard.core.seeds import derive
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import Source, Task, TaskView
from steelyard.losses import JointNTXent, JointVicreg
from steelyard.nets import head_parameters
from steelyard.tasks.adapters.backbone import Backbone, own_network
from steelyard.tasks.adapters.classifier import AdaptedClassifier
from steelyard.tasks.adapters.views import random_views
from steelyard.tasks.arrays import shape_of
from steelyard.tasks.images import channel_statistics
from steelyard.transforms import TwoViews

TERMS = ("nt-xent", "vicreg")
VERSION = 1
"""To be raised when pre-training changes, so that older weights are made anew."""


@dataclass(frozen=True)
class Pretraining:
    """How a network is pre-trained.

    Attributes:
        network: of ours, with settings: "small-vit(patch=2)".
        epochs: 1 or more.
        term: "nt-xent" or "vicreg".
        batch_size: images a step, each seen twice; at least 2.
        lr: peak rate of AdamW.
        projection: width of the embeddings that are compared.
        seed: of everything drawn.

    Raises:
        ArgumentError: a value out of range.
    """

    network: str
    epochs: int = 20
    term: str = "nt-xent"
    batch_size: int = 256
    lr: float = 2e-3
    projection: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ArgumentError("pretrain_epochs", "at least 1", self.epochs)
        if self.term not in TERMS:
            raise ArgumentError("pretrain_term", " or ".join(map(repr, TERMS)), repr(self.term))


def pretrained(identity: str, images: Callable[[], Source], how: Pretraining, cache: Path | None = None) -> Backbone:
    """A network of ours, pre-trained on images without their labels; read from the cache where it is there already.

    Args:
        identity: of the images, for the cache: another text where the images are others.
        images: gives a source of images `[N, C, H, W]`, uint8 or floats in [0, 1]; asked only where the cache has nothing.
        how: network and recipe.
        cache: folder of weights; None for `cache_folder()`.

    Raises:
        SteelyardError: the network does not exist, there are fewer than two images, or the folder cannot be written.
    """
    facts = asdict(how) | {"version": VERSION, "images": identity}
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    file = (cache_folder() if cache is None else cache) / f"{how.network.partition('(')[0]}-{key}.safetensors"
    if not file.is_file():
        _pretrain(images(), how, file)
    return read_own(file)


def cache_folder() -> Path:
    """Where pre-trained weights are kept: `$STEELYARD_CACHE`, or `steelyard` in the user's cache folder."""
    given = os.environ.get("STEELYARD_CACHE")
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "steelyard"
    return (Path(given) if given else usual) / "backbones"


def random_network(network: str, images: Source) -> Backbone:
    """A network of ours with random weights, the same at every call: what pre-training starts from."""
    shape = shape_of(images)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(0, "random network"))
        name, encoder = own_network(network, shape[0])
    return Backbone(name, encoder, shape[0], (shape[1], shape[2]), facts={"weights": "random"})


def read_own(file: Path) -> Backbone:
    """A network of ours from a file that pre-training wrote.

    Raises:
        DataError: there is no such file, or it is none of ours.
    """
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise DataError(f"there is no file {file} to read a backbone's weights from")
    try:
        with safe_open(str(file), framework="pt") as held:
            about = json.loads((held.metadata() or {})["steelyard"])
            weights = {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118
        with torch.random.fork_rng(devices=[]):
            name, encoder = own_network(about["network"], about["channels"])
        encoder.load_state_dict(weights)
        high, wide = about["size"]
        mean, std = tuple(about["mean"]), tuple(about["std"])
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{file} does not hold a backbone that steelyard has pre-trained ({type(error).__name__})") from error
    facts = {
        "weights": f"self-supervised, {about['term']}, {about['rows']} images, {about['epochs']} epochs",
        "file": file.name,
    }
    return Backbone(name, encoder, about["channels"], (high, wide), mean, std, facts)


def digest_of(images: Source) -> str:
    """A SHA-256 of all images, and of nothing else."""
    found = hashlib.sha256()
    for _, pixels in images.to(torch.device("cpu")).stream(torch.split(torch.arange(len(images)), 1024)):
        found.update(f"{pixels.dtype}{list(pixels.shape)}".encode())
        found.update(pixels.contiguous().numpy().tobytes())
    return found.hexdigest()


class Unlabelled(Task):
    """Images without labels; what the model is given are random views where the regime augments.

    Args:
        images: any source of images; its classes are not looked at.
        how: network and recipe.
    """

    def __init__(self, images: Source, how: Pretraining) -> None:
        super().__init__("unlabelled", ("image",), {"train": Blind(images)})
        self.how, self.shape = how, shape_of(images)
        self.mean, self.std = channel_statistics(images)

    def model(self) -> nn.Module:
        """The network, with a classifier that nobody trains."""
        _, encoder = own_network(self.how.network, self.shape[0])
        with torch.no_grad():
            width = encoder.eval()(torch.zeros(1, *self.shape)).shape[1]
        return AdaptedClassifier(encoder, width, 1, frozen=False).train()

    def load(self, inputs: Any, *, augment: str, generator: torch.Generator | None) -> Tensor:
        """Normalised images, or views of them."""
        pixels: Tensor = inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs.float()
        if augment != "none":
            assert generator is not None
            pixels = random_views(pixels, (self.shape[1], self.shape[2]), generator)
        return (pixels - self.mean.to(pixels).view(-1, 1, 1)) / self.std.to(pixels).view(-1, 1, 1)


class Blind:
    """The rows of a source with one class for all: labels cannot leak from here.

    Args:
        whole: the source.
    """

    def __init__(self, whole: Source) -> None:
        self.whole = whole
        self.target = torch.zeros(len(whole), dtype=torch.int64)

    def __len__(self) -> int:
        """Rows."""
        return len(self.target)

    def to(self, device: torch.device) -> Blind:
        """The same rows on a device."""
        there = self.whole.to(device)
        return self if there is self.whole else Blind(there)

    def stream(self, batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Any]]:
        """Index and images of each batch."""
        return self.whole.stream(batches)


class _NoLabels(Loss):
    """Nothing is lost, whatever is said."""

    def rows(self, logits: Tensor, target: Tensor, **_: Any) -> Tensor:
        return logits.new_zeros(target.shape)


def compared(task: TaskView, how: Pretraining) -> Stages:
    """The method of pre-training: two views of an image agree, those of different images do not."""
    with torch.no_grad():
        model = task.model()
        assert isinstance(model, AdaptedClassifier)
        width = model.head.in_features
    projector = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, how.projection))
    loss: Loss
    if how.term == "nt-xent":
        loss = JointNTXent(_NoLabels(), weight=1.0, temperature=0.5, projector=projector)
    else:
        loss = JointVicreg(_NoLabels(), weight=0.04, projector=projector)

    def features(model: nn.Module) -> list[nn.Parameter]:
        last = {id(parameter) for parameter in head_parameters(model)}
        return [parameter for parameter in model.parameters() if id(parameter) not in last]

    yield Stage(Objective(loss), transform=TwoViews(0.0, source=task.train), trainable=features)


def _pretrain(images: Source, how: Pretraining, file: Path) -> None:
    from safetensors.torch import save

    if len(images) < 2:
        raise DataError(f"self-supervision compares images, and there are {len(images)}: pre-train on others")
    task = Unlabelled(images, how)
    regime = Regime(
        epochs=how.epochs,
        batch_size=min(how.batch_size, len(images)),
        optimizer="adamw",
        lr=how.lr,
        weight_decay=1e-4,
        warmup_epochs=min(1.0, how.epochs / 10),
        clip_norm=1.0,
        augment="views",
    )
    fitted = fit(task, lambda view: compared(view, how), regime, seed=how.seed)
    model = fitted.use("last").cpu()
    assert isinstance(model, AdaptedClassifier)
    about = {
        "network": how.network,
        "channels": task.shape[0],
        "size": [task.shape[1], task.shape[2]],
        "mean": [round(value, 6) for value in task.mean.tolist()],
        "std": [round(value, 6) for value in task.std.tolist()],
        "term": how.term,
        "rows": len(images),
        "epochs": how.epochs,
    }
    weights = {name: value.detach().clone().contiguous() for name, value in model.encoder.state_dict().items()}
    write_atomically(file, save(weights, metadata={"steelyard": json.dumps(about)}))
