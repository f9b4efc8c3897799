"""Images through a pre-trained backbone with an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.seeds import generator
from steelyard.core.task import Part, Source, Task
from steelyard.data.fingerprint import fingerprint
from steelyard.problems._settings import ProblemSettings
from steelyard.settings.text import parse_call
from steelyard.tasks.adapters import Adapter, AdapterTask, Backbone, load_backbone
from steelyard.tasks.adapters.backbone import is_own
from steelyard.tasks.adapters.pretrain import Pretraining, digest_of, pretrained, random_network, read_own
from steelyard.tasks.images import ImageTask

OWN_IMAGES, RANDOM = "train", "random"
"""What `pretrain` may say besides a name or a path."""
USED = (
    "target", "test", "factor", "profile", "class_order", "noise", "noise_kind", "valid_fraction", "test_fraction", "seed",
    "resize", "max_rows", "residence", "workers", "model",
)  # fmt: skip


def adapters(
    data: Any,
    settings: ProblemSettings,
    *,
    backbone: str = "small-vit",
    adapter: str = "lora",
    rank: int | None = None,
    alpha: float | None = None,
    dropout: float = 0.0,
    targets: str | tuple[str, ...] = "linear",
    pool: Literal["mean", "first"] = "mean",
    weights: str | None = None,
    pretrain: str = OWN_IMAGES,
    pretrain_epochs: int | None = None,
    pretrain_rows: int | None = None,
    pretrain_term: Literal["nt-xent", "vicreg"] | None = None,
    cache: str | None = None,
    groups: str = "auto",
) -> Task:
    """Images through a pre-trained backbone of which only an adapter (LoRA and its kin) and the classifier are trained.

    Args:
        data: images, as anything that holds them: a name, a path, arrays.
        settings: of the problem, as for any images; `model` may be a module that maps images to features (in Python).
        backbone: the folder of a transformers image model, or "owner/name" on the hub; "timm:NAME"; or a small network of ours,
            which is pre-trained first: "small-vit", "small-cnn", "resnet32", also with settings: "small-vit(patch=2)".
        adapter: "lora", "dora", "rslora", "pissa", "olora", or another kind of peft's ("loha", "lokr", "ia3", "oft", "hra",
            "vera", ...); "none" trains the classifier alone, "full" the whole backbone.
        rank: r of the adapter, 1 or more; none for 8.
        alpha: the update counts alpha / r; none for 2 r (of LoRAs), or for peft's default.
        dropout: of an adapter's inputs in training, in [0, 1).
        targets: "linear", "conv" or "all" layers, or names such as (q_proj,v_proj).
        pool: of transformers' models: the "mean" over tokens, or the "first" token.
        weights: file of a network of ours that was pre-trained before.
        pretrain: of a network of ours: images to pre-train it on by self-supervision, a name or a path; "train" for the
            training images of `data`, "random" for no pre-training at all. Weights are kept and used again.
        pretrain_epochs: 1 or more; none for 20.
        pretrain_rows: at most so many images; none for all.
        pretrain_term: "nt-xent" or "vicreg"; none for nt-xent.
        cache: folder of the weights; none for $STEELYARD_CACHE or the user's cache folder.
        groups: rule of head, middle and tail: thresholds, terciles, index:a,b or auto.

    Raises:
        SteelyardError: the data are no images, or backbone and adapter do not fit them or each other.

    Reference:
        Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang, Chen: LoRA: Low-rank adaptation of large language models, ICLR 2022.
    """
    settings.refuse_others("adapters", used=USED)
    module = settings.model if isinstance(settings.model, nn.Module) else None
    if module is None and settings.model != "auto":
        raise ArgumentError("model", "left out, as adapters(backbone=...) names the model", repr(settings.model))
    if module is not None and backbone != "small-vit":
        raise ArgumentError("backbone", "left out, as model gives one", repr(backbone))
    chosen = Adapter(adapter, rank, alpha, dropout, targets)
    training = {
        "pretrain": None if pretrain == OWN_IMAGES else pretrain,
        "pretrain_epochs": pretrain_epochs,
        "pretrain_rows": pretrain_rows,
        "pretrain_term": pretrain_term,
    }
    own = module is None and is_own(backbone)
    _check_training(training | {"weights": weights, "cache": cache}, own, pool, backbone)
    images = _images_of(data, settings)
    if not own:
        shape = tuple(int(size) for size in _one(images.splits["train"]).shape[1:])
        found = load_backbone(module if module is not None else backbone, shape, pool=pool)
    elif weights is not None:
        found = read_own(Path(weights))
        if backbone != "small-vit" and backbone != found.name:
            raise ArgumentError(
                "backbone", f"left out, or '{found.name}', of which {weights} holds the weights", repr(backbone)
            )
    else:
        found = _pretrained(images, backbone, training, settings, None if cache is None else Path(cache))
    return AdapterTask.of(images, found, chosen, groups=groups)


def files_beside(
    data: Any, *, backbone: str = "", weights: str | None = None, pretrain: str = OWN_IMAGES, **_: Any
) -> tuple[str, ...]:
    """The folder of a backbone or what its own settings name, the file of weights, and images to pre-train on."""
    inside = parse_call(backbone)[1].values() if backbone.endswith(")") else ()
    return backbone, *inside, weights or "", pretrain if pretrain not in (OWN_IMAGES, RANDOM) else ""


def _check_training(given: dict[str, Any], own: bool, pool: str, backbone: str) -> None:
    """Refuse settings that would do nothing."""
    if not own:
        useless = [name for name, value in given.items() if value is not None]
        if useless:
            raise ArgumentError(useless[0], "left out, as the backbone is trained already", repr(given[useless[0]]))
        return
    if pool != "mean":
        raise ArgumentError("pool", f"left out, as '{backbone}' pools itself", repr(pool))
    reason = "weights are given" if given["weights"] is not None else "pretrain=random trains nothing before"
    if given["weights"] is not None or given["pretrain"] == RANDOM:
        for name in ("pretrain", "pretrain_epochs", "pretrain_rows", "pretrain_term", "cache"):
            if given[name] is not None and (name, given[name], given["weights"]) != ("pretrain", RANDOM, None):
                raise ArgumentError(name, f"left out, as {reason}", repr(given[name]))
    if given["pretrain_rows"] is not None and given["pretrain_rows"] < 2:
        raise ArgumentError("pretrain_rows", "at least 2, or none", given["pretrain_rows"])


def _images_of(data: Any, settings: ProblemSettings) -> ImageTask:
    from steelyard.problems._load import load

    images = load(data, settings.replace(task="images", model="auto"))
    if not isinstance(images, ImageTask):
        raise DataError(f"adapters take images, and '{images.name}' are {images.kind}")
    return images


def _pretrained(
    images: ImageTask, network: str, training: dict[str, Any], settings: ProblemSettings, cache: Path | None
) -> Backbone:
    """A network of ours, with random weights or pre-trained as asked for."""
    source = images.splits["train"]
    if training["pretrain"] == RANDOM:
        return random_network(network, source)
    how = Pretraining(network, training["pretrain_epochs"] or 20, training["pretrain_term"] or "nt-xent")
    rows = training["pretrain_rows"]
    if training["pretrain"] is None:
        some = _some(source, rows)
        return pretrained(digest_of(some), lambda: some, how, cache)

    def read() -> Source:
        from_there = ProblemSettings(valid_fraction=0.0, residence=settings.residence, workers=settings.workers)
        return _some(_images_of(training["pretrain"], from_there).splits["train"], rows)

    return pretrained(f"{fingerprint(training['pretrain'])}/{rows}", read, how, cache)


def _some(source: Source, rows: int | None) -> Source:
    """At most so many rows, whatever their labels."""
    if rows is None or rows >= len(source):
        return source
    return Part(source, torch.randperm(len(source), generator=generator(0, "pretrain rows"))[:rows].sort().values)


def _one(source: Source) -> torch.Tensor:
    """The first image."""
    return next(iter(source.stream([torch.zeros(1, dtype=torch.int64)])))[1]  # type: ignore[no-any-return]
