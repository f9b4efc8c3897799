"""Images seen through a pre-trained backbone with an adapter: everything else is as with any images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.counts import GROUP_NAMES, group_classes
from steelyard.core.errors import ArgumentError, SteelyardError
from steelyard.core.measure import predict_logits, recall_of
from steelyard.core.task import Source
from steelyard.tasks.adapters.adapt import WITHOUT, Adapter, attach
from steelyard.tasks.adapters.backbone import Backbone
from steelyard.tasks.adapters.classifier import AdaptedClassifier
from steelyard.tasks.arrays import shape_of
from steelyard.tasks.images import ImageTask

PLACES = ("head", "middle", "tail")
"""What the groups Many, Medium and Few are called here, as in the literature on adapters."""


class AdapterTask(ImageTask):
    """Fine-tuning a backbone on images with an adapter, of which alone, and of the classifier, the weights move.

    Images are augmented as any images are, brought to the channels and the size that the backbone takes, and normalised with
    the statistics that it was trained with, or with those of the training images where it does not say.

    Its own numbers are the mean F1 of the classes with many, medium and few training rows: `head_f1`, `middle_f1` and
    `tail_f1`. F1 of a class is taken over all rows, so false alarms on rows of other groups count.

    Args:
        name: shown in tables.
        class_names: labels of class 0, 1, ...
        splits: sources of images `[N, C, H, W]`, uint8 or floats in [0, 1].
        backbone: what turns images into features.
        adapter: what is put on it.
        groups: rule of head, middle and tail, as in `steelyard.core.counts.group_classes`.
        notes: sentences about the data.

    Raises:
        ArgumentError: inputs are no images, or the backbone cannot take them or be adapted so.

    Example:
        >>> from steelyard.data import ResidentSource
        >>> from steelyard.tasks.adapters import Backbone
        >>> source = ResidentSource(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 0, 0, 1]))
        >>> backbone = Backbone("mine", nn.Sequential(nn.Flatten(), nn.Linear(4, 6)))
        >>> task = AdapterTask("tiny", ["a", "b"], {"train": source}, backbone, Adapter("lora", rank=2))
        >>> [name for name, p in task.model().named_parameters() if p.requires_grad]  # doctest: +NORMALIZE_WHITESPACE
        ['encoder.model.1.lora_A.default.weight', 'encoder.model.1.lora_B.default.weight', 'head.weight', 'head.bias']
    """

    usual_regime = "adapters"
    usual_metric = "macro_f1"
    usual_methods = (
        "ce", "la", "posthoc-la", "balanced-softmax", "crt", "deblora", "deblora(towards=own-mean)", "deblora(towards=random)",
    )  # fmt: skip
    own_metrics = tuple(f"{place}_f1" for place in PLACES)

    def __init__(
        self,
        name: str,
        class_names: Iterable[str],
        splits: Mapping[str, Source],
        backbone: Backbone,
        adapter: Adapter | None = None,
        *,
        groups: str = "auto",
        notes: Iterable[str] = (),
    ) -> None:
        adapter = Adapter() if adapter is None else adapter
        shape = shape_of(splits["train"])
        channels = backbone.channels or (shape[0] if shape else 0)
        taken = (channels, *(backbone.size or shape[1:]))
        maker = _Maker(backbone.encoder, adapter, width_of(backbone, taken))
        super().__init__(name, class_names, splits, model=maker, notes=notes)
        self.kind, self.model_name = "adapters", backbone.name
        self.backbone, self.adapter, self.groups = backbone, adapter, groups
        self._channels = channels
        if backbone.mean:
            self.mean, self.std = torch.tensor(backbone.mean), torch.tensor(backbone.std)
        elif channels != shape[0]:
            self.mean, self.std = (
                values.mean().expand(channels).contiguous() if channels == 1 else values.expand(channels).contiguous()
                for values in (self.mean, self.std)
            )
        group_classes(self.counts, groups)  # a rule that is none is refused here
        self.facts = {"adapter": self._about_model()}
        if taken != shape:
            before, after = ("x".join(map(str, sizes)) for sizes in (shape, taken))
            self.notes = (*self.notes, f"images of {before} are brought to {after} for the backbone '{backbone.name}'")

    @classmethod
    def of(cls, images: ImageTask, backbone: Backbone, adapter: Adapter | None = None, *, groups: str = "auto") -> AdapterTask:
        """The same images, seen through a backbone."""
        task = cls(images.name, images.class_names, images.splits, backbone, adapter, groups=groups, notes=images.notes)
        task.facts = images.facts | task.facts
        task.noise_transition = images.noise_transition
        return task

    def load(self, inputs: Tensor, *, augment: str, generator: torch.Generator | None) -> Tensor:
        """Augment a batch, normalise it, and bring it to what the backbone takes."""
        loaded = super().load(with_channels(inputs, self._channels), augment=augment, generator=generator)
        size = self.backbone.size
        if size is None or tuple(loaded.shape[2:]) == size:
            return loaded
        return F.interpolate(loaded, size, mode="bilinear", align_corners=False, antialias=True)

    def further_metrics(self, model: nn.Module, split: str, device: torch.device) -> dict[str, float]:
        """Mean F1 of the classes of head, middle and tail; NaN for a group without a class that has rows."""
        logits, target = predict_logits(self, model, self.splits[split].to(device))
        _, f1 = recall_of(logits.argmax(1), target, self.num_classes)
        means = group_classes(self.counts, self.groups).means(f1)
        return {f"{place}_f1": means.get(group, float("nan")) for place, group in zip(PLACES, GROUP_NAMES, strict=True)}

    def _about_model(self) -> dict[str, Any]:
        with torch.random.fork_rng(devices=[]):
            parameters = list(self.model().parameters())
        return {
            "backbone": self.backbone.name,
            "kind": self.adapter.kind,
            "parameters": sum(parameter.numel() for parameter in parameters),
            "trained": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
            "groups": self.groups,
        } | self.backbone.facts


@dataclass(frozen=True)
class _Maker:
    """Makes fresh classifiers; an object, as closures cannot be sent to other processes."""

    encoder: nn.Module
    adapter: Adapter
    width: int

    def __call__(self, num_classes: int) -> nn.Module:
        encoder = attach(self.encoder, self.adapter)
        return AdaptedClassifier(encoder, self.width, num_classes, frozen=self.adapter.kind != WITHOUT[1])


@torch.no_grad()
def width_of(backbone: Backbone, shape: tuple[int, ...]) -> int:
    """The number of features that a backbone gives, found out with a black image.

    Args:
        backbone: left in evaluation mode.
        shape: `(channels, H, W)` of what it is given.

    Raises:
        ArgumentError: it cannot take such images, or gives no features `[N, d]`.
    """
    if len(shape) != 3:
        raise ArgumentError("splits", "sources of images [N, C, H, W]", f"shape {['N', *shape]}")
    size = "x".join(map(str, shape))
    try:
        features = backbone.encoder.eval()(torch.zeros(2, *shape))
    except SteelyardError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        expected = f"one that takes images of {size} (`--resize` and `resize=` change their size)"
        raise ArgumentError("backbone", expected, f"'{backbone.name}' ({reason})") from error
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != 2:
        found = f"shape {list(features.shape)}" if isinstance(features, Tensor) else type(features).__name__
        raise ArgumentError("backbone", "one that gives features [N, d] for images", f"'{backbone.name}', which gives {found}")
    return int(features.shape[1])


def with_channels(images: Tensor, channels: int) -> Tensor:
    """Images with as many channels as a backbone takes: one is repeated, several are averaged.

    Args:
        images: `[N, C, H, W]`, uint8 or floats in [0, 1].
        channels: wanted.

    Example:
        >>> with_channels(torch.zeros(2, 1, 8, 8), 3).shape, with_channels(torch.zeros(2, 3, 8, 8), 1).shape
        (torch.Size([2, 3, 8, 8]), torch.Size([2, 1, 8, 8]))
    """
    if images.shape[1] == channels:
        return images
    if images.shape[1] > 1:
        images = (images.float() / 255 if images.dtype == torch.uint8 else images).mean(1, keepdim=True)
    return images.expand(-1, channels, -1, -1).contiguous()
