"""The task: identities are classes in training, and pairs of pictures of other identities are the test."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import CombinationError
from steelyard.core.head import Tap
from steelyard.core.modes import evaluating
from steelyard.core.task import EVALUATION_ROWS, Source, Task
from steelyard.metrics.verification import group_rates, verification_metrics
from steelyard.tasks.about import ModelledTask
from steelyard.tasks.verification.pairs import Pairs


class VerificationTask(Task):
    """Pictures of identities.

    The classes are the identities that are trained on; the splits hold pictures of these, so that the usual metrics are those
    of closed-set identification. The task's own metrics are of pairs of pictures of identities that nobody was trained on,
    compared by the cosine of their embeddings: what goes into the classifier.

    Args:
        inner: the pictures as a task of another kind (images, arrays), which gives models, inputs and their preparation.
        unseen: pictures of the other identities, as the source of `inner` holds them.
        pairs: of rows of `unseen`.
        groups: group of each class `[C]`; None for none.
        group_names: names of the groups.

    Attributes:
        context: "groups", LongTensor `[C]`, and "group_names", where there are groups.

    Example:
        >>> from steelyard.data import ResidentSource
        >>> from steelyard.tasks import ArrayTask
        >>> from steelyard.tasks.verification import draw_pairs
        >>> train = ResidentSource(torch.randn(6, 4), torch.tensor([0, 0, 1, 1, 2, 2]))
        >>> unseen = ResidentSource(torch.randn(8, 4), torch.arange(8) // 2)
        >>> inner = ArrayTask("mine", ["ann", "bob", "cid"], {"train": train})
        >>> task = VerificationTask(inner, unseen, draw_pairs(unseen.target.numpy(), 10))
        >>> sorted(task.further_metrics(task.model(), "test", torch.device("cpu")))[0]
        'eer_accuracy'
    """

    usual_metric = "verification_accuracy"
    usual_methods = ("ce", "la", "inverse-frequency", "balanced-sampling", "ldam", "arcface")
    own_metrics = (
        "verification_accuracy", "tar_at_far_0.1", "tar_at_far_0.01", "tar_at_far_0.001", "eer_accuracy", "worst_group_tar",
        "mean_group_tar", "worst_group_accuracy",
    )  # fmt: skip

    def __init__(
        self,
        inner: ModelledTask,
        unseen: Source,
        pairs: Pairs,
        *,
        groups: Tensor | None = None,
        group_names: Iterable[str] = (),
    ) -> None:
        super().__init__(inner.name, inner.class_names, inner.splits)
        self.inner, self.pairs, self._unseen = inner, pairs, unseen
        self.group_names = tuple(group_names)
        self.kind, self.usual_regime = "verification", inner.usual_regime
        if groups is not None:
            self.context = {"groups": groups.long(), "group_names": self.group_names}

    def model(self) -> nn.Module:
        """A fresh network with a classifier of the training identities."""
        return self.inner.model()

    def load(self, inputs: Any, *, augment: str, generator: torch.Generator | None) -> Any:
        """Pictures prepared as those of the task inside."""
        return self.inner.load(inputs, augment=augment, generator=generator)

    @torch.no_grad()
    def embed(self, model: nn.Module, source: Source, device: torch.device) -> Tensor:
        """Embeddings of length 1 `[N, d]`, float32 on the CPU: what goes into the model's last linear layer.

        Raises:
            CombinationError: that is not one vector a picture, or there is no such layer.
        """
        found = list[Tensor]()
        with evaluating(model), closing(Tap(model)) as tap:
            for _, inputs in source.to(device).stream(torch.split(torch.arange(len(source)), EVALUATION_ROWS)):
                model(self.load(inputs, augment="none", generator=None))
                features = tap.take()
                if features is None or features.ndim != 2:
                    raise CombinationError(
                        f"pairs are compared by what goes into the classifier, and {type(model).__name__} has no linear layer "
                        "that is given one vector a picture: end the model in an nn.Linear"
                    )
                found.append(F.normalize(features.float(), dim=1).cpu())
        return torch.cat(found)

    def scores(self, model: nn.Module, device: torch.device) -> np.ndarray:
        """Cosine of the embeddings of each pair `[P]`."""
        embedded = self.embed(model, self._unseen, device)
        first, second = embedded[torch.from_numpy(self.pairs.first)], embedded[torch.from_numpy(self.pairs.second)]
        found: np.ndarray = (first * second).sum(1).numpy()
        return found

    def further_metrics(self, model: nn.Module, split: str, device: torch.device) -> dict[str, float]:
        """Of the pairs, whatever the split: see `steelyard.metrics.verification.verification_metrics`."""
        groups = self.pairs.group if self.group_names else None
        return verification_metrics(self.scores(model, device), self.pairs.same, self.pairs.fold, groups)

    def group_tar(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """True-accept rate of each group by name, at a false-accept rate of 0.01 over all impostor pairs."""
        rates = group_rates(self.scores(model, device), self.pairs.same, self.pairs.group)
        return {self.group_names[number]: rate for number, rate in rates.items()} if self.group_names else {}

    def describe(self) -> dict[str, Any]:
        """What a report says about the data: that of the training identities, and the pairs."""
        same = int(self.pairs.same.sum())
        about = self.inner.describe() | {
            "kind": self.kind,
            "unseen_pictures": len(self._unseen),
            "pairs": {"genuine": same, "impostor": len(self.pairs) - same, "folds": int(self.pairs.fold.max()) + 1},
        }
        if self.group_names:
            groups = self.context["groups"]
            about["groups"] = {
                name: {
                    "training_identities": int((groups == number).sum()),
                    "training_pictures": int(self.counts[groups == number].sum()),
                    "genuine_pairs": int((self.pairs.same & (self.pairs.group == number)).sum()),
                }
                for number, name in enumerate(self.group_names)
            }
        return about
