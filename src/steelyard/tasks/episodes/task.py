"""Few-shot episodes as a task: a source row is an episode, a row of the loss is a query."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.errors import CombinationError, DataError
from steelyard.core.figure import Figure
from steelyard.core.modes import evaluating
from steelyard.core.rows import Batch, Rows
from steelyard.core.seeds import derive
from steelyard.core.task import Source, Task
from steelyard.data import Shots
from steelyard.nets.episodic import Episode, FewShotLearner, ProtoNet
from steelyard.nets.episodic.episode import by_rank, ranks
from steelyard.samplers import EpisodeSampler
from steelyard.tasks.episodes.figures import audit_figure, ranks_figure
from steelyard.tasks.episodes.parts import BatchPart, EpisodePart, Examples, Labelled, source_of
from steelyard.tasks.episodes.scores import episode_metrics, shot_metrics
from steelyard.tasks.models import Builder

TOGETHER = 4
"""Episodes scored at a time when measuring."""

FIXED = ("train", "valid", "test")
STANDARD, RANDOM_SHOT = "standard", "random-shot"
TRAININGS = (STANDARD, RANDOM_SHOT, "same")


@dataclass(frozen=True)
class Plan:
    """How episodes are drawn.

    Attributes:
        way: classes of an episode.
        shots: support of validation and test episodes.
        queries: of each class.
        training: "standard" (the mean of low and high for every class), "random-shot" (each uniform in low..high), or "same" as
            `shots`.
        episodes: of each split, by its name.
        seed: of the episodes that are the same for all: validation and test.
    """

    way: int = 5
    shots: Shots = field(default_factory=lambda: Shots("random", 1, 9))
    queries: int = 10
    training: str = STANDARD
    episodes: Mapping[str, int] = field(default_factory=lambda: {"train": 100, "valid": 50, "test": 200})
    seed: int = 0

    def shots_of(self, training: str) -> Shots:
        """Support of training episodes."""
        if training == "same":
            return self.shots
        return Shots("balanced" if training == STANDARD else "random", self.shots.low, self.shots.high)


@dataclass(frozen=True)
class Classes:
    """Labelled examples and which classes are for what.

    Attributes:
        inputs: images `[N, C, H, W]` or vectors `[N, d]`.
        target: classes `[N]`, 0..len(names)-1.
        names: of the classes.
        of: classes of each split, disjoint.
    """

    inputs: Tensor
    target: Tensor
    names: tuple[str, ...]
    of: Mapping[str, tuple[int, ...]]

    def rows(self, split: str) -> Tensor:
        """Rows of a split's classes, ascending."""
        return torch.isin(self.target, torch.tensor(self.of[split])).nonzero().flatten()


class EpisodeTask(Task):
    """Episodes of classes that were never seen in training.

    A row of a source is an episode (or, for learners that are trained on classes first, a batch of images). Training draws a
    fresh episode for every row of every epoch; those of validation and test are the same for all methods and all seeds of a
    run, so that methods can be compared episode by episode. The classes of an episode are ranked by their support: class 0 of
    the task is the one with most support examples. Learners do not see the rank.

    Args:
        name: shown in tables.
        classes: what episodes are made of.
        plan: how they are drawn.
        build: makes a backbone: inputs to features `[N, d]`.
        notes: sentences about the data.

    Attributes:
        parts: what source rows stand for.

    Raises:
        DataError: a split has too few classes, or a class too few examples.

    Example:
        >>> classes = Classes(torch.randn(60, 4), torch.arange(6).repeat_interleave(10), tuple("abcdef"),
        ...                   {"train": (0, 1, 2), "test": (3, 4, 5)})
        >>> plan = Plan(way=2, shots=Shots("step", 1, 3, minority=0.5), queries=2, episodes={"train": 3, "test": 5})
        >>> task = EpisodeTask("tiny", classes, plan, Builder("none", nn.Identity))
        >>> task.class_names, task.describe()["rows"]["test"]
        (('rank 1 (3 shots)', 'rank 2 (1 shot)'), 20)
    """

    kind = "episodes"
    usual_regime = "episodes"
    usual_metric = "accuracy"
    without = ("mixup-bs",)
    usual_methods = (
        "ce",
        "cosine-prototypes",
        "protonet(rebalance=ros,when=inference)",
        "protonet(training=random-shot)",
        "simpleshot",
        "knn",
    )

    def __init__(self, name: str, classes: Classes, plan: Plan, build: Builder, notes: tuple[str, ...] = ()) -> None:
        self.plan, self.classes, self.notes, self._build = plan, classes, notes, build
        self.examples = examples_of(classes)
        digest = _digest(classes, plan)
        self.parts: dict[int, EpisodePart | BatchPart] = {}
        sources: dict[str, Source] = {}
        for training in TRAININGS:
            sources[training] = self._add("train", plan.shots_of(training), digest)
        splits = {"train": sources[plan.training]}
        for split in FIXED[1:]:
            if split in classes.of and plan.episodes.get(split, 0) > 0:
                splits[split] = self._add(split, plan.shots, digest)
        judged = splits.get("test", splits["train"])
        self._seen: tuple[str, tuple[Tensor, Tensor]] | None = None
        super().__init__(name, _rank_names(self._shots(judged)), splits)
        self.context = {"training": sources, **self._images(digest), "shape": tuple(classes.inputs.shape[1:]), "way": plan.way}
        self.own_metrics = tuple(episode_metrics(torch.zeros(0, 2), torch.zeros(0).long(), 1)) + tuple(
            shot_metrics(None, None, torch.tensor(plan.shots.possible(plan.way)))
        )

    def _add(self, split: str, shots: Shots, digest: int) -> Source:
        """A part whose rows are episodes of a split's classes, and its source."""
        plan, rows = self.plan, self.classes.rows(split)
        self._check(split, shots)
        sampler = EpisodeSampler(
            self.classes.target[rows],
            way=plan.way,
            shots=shots,
            queries=plan.queries,
            episodes=max(plan.episodes[split], 1),
            seed=derive(plan.seed, split),
        )
        number = len(self.parts)
        self.parts[number] = EpisodePart(self.examples, sampler, rows)
        seeds = [derive(plan.seed, split, episode) >> 1 for episode in range(sampler.episodes)]
        return source_of(number, seeds, digest)

    def _check(self, split: str, shots: Shots) -> None:
        """Refuse too few classes, and classes with too few examples, by name."""
        plan, own = self.plan, self.classes.of[split]
        if len(own) < plan.way:
            raise DataError(
                f"{plan.way}-way episodes need at least {plan.way} {split} classes; there are {len(own)}: lower way"
            )
        sizes = torch.bincount(self.classes.target, minlength=len(self.classes.names)).tolist()
        least = min(own, key=sizes.__getitem__)
        if sizes[least] < shots.most + plan.queries:
            raise DataError(
                f"an episode takes up to {shots.most} support and {plan.queries} query examples of a class, and the {split} "
                f"class '{self.classes.names[least]}' has {sizes[least]} in all: lower shots or queries, or leave it out"
            )

    def _images(self, digest: int) -> dict[str, Any]:
        """Sources of batches of training images, for learners that are trained on classes first."""
        rows = self.classes.rows("train")
        size = self.plan.way * (self.plan.queries + (self.plan.shots.low + self.plan.shots.high) // 2)
        present, target = self.classes.target[rows].unique(return_inverse=True)
        number = len(self.parts)
        self.parts[number] = BatchPart(self.examples, rows, target, size)
        random = source_of(
            number, [derive(self.plan.seed, "images", row) >> 1 for row in range(self.plan.episodes["train"])], digest
        )
        sweep = source_of(number, list(range(-(-len(rows) // size))), digest)
        return {"images": random, "every_image": sweep, "image_classes": len(present)}

    @cached_property
    def counts(self) -> Tensor:
        """Support examples of each rank in the training episodes `[way]`, most first; images a class in batches of images."""
        source = self.splits["train"]
        part, seeds = self._content(source)
        if isinstance(part, BatchPart):
            return torch.bincount(part.target)
        return part.shots(seeds).sum(0)

    def model(self) -> nn.Module:
        """Prototypical Networks on a fresh backbone."""
        return ProtoNet(self._build())

    def load(self, inputs: Any, *, augment: str, generator: torch.Generator | None) -> Any:
        """Episodes `tuple[Episode, ...]`, or `Labelled` images; with a generator fresh ones, else those of the row's seed."""
        super().load(inputs, augment="none" if augment == "strong" else augment, generator=generator)
        seeds, part = inputs["seed"], self.parts[int(inputs["part"][0])]
        if generator is not None:
            seeds = torch.randint(2**62, seeds.shape, generator=generator, device=generator.device)
        return part.draw(seeds.tolist(), inputs["seed"].device, generator is not None)

    def forward(self, model: nn.Module, batch: Batch) -> Rows:
        """A row a query, in the order of the episodes; classes by rank.

        Raises:
            CombinationError: the batch was mixed.
        """
        if batch.owner is not None or batch.share is not None:
            raise CombinationError("inputs of episodes cannot be mixed: leave out mixup and the like")
        if isinstance(batch.inputs, Labelled):
            return Rows(model(batch.inputs.inputs), batch.inputs.target)
        episodes: tuple[Episode, ...] = batch.inputs
        target = torch.cat([_ranked_answers(episode, self.plan.queries) for episode in episodes])
        index = batch.index.repeat_interleave(self.plan.way * self.plan.queries)
        if not isinstance(model, FewShotLearner):
            return Rows(model(episodes), target, index=index)
        scored = [by_rank(model(episode), episode) for episode in episodes]
        counts = torch.stack([episode.counts.sort(descending=True, stable=True).values for episode in episodes])
        extra = {"support_counts": counts.repeat_interleave(self.plan.way * self.plan.queries, 0)}
        if all(one.penalty is not None for one in scored):
            extra["penalty"] = torch.cat([one.penalty.expand(len(one.logits)) for one in scored if one.penalty is not None])
        return Rows(
            torch.cat([one.logits for one in scored]), target, torch.cat([one.features for one in scored]), index, None, extra
        )

    def predict(self, model: nn.Module, source: Source) -> tuple[Tensor, Tensor]:
        """Logits and ranks of all queries of a split's episodes, in order."""
        logits, target = [], []
        for index, inputs in source.stream(torch.split(torch.arange(len(source)), TOGETHER)):
            batch = Batch(self.load(inputs, augment="none", generator=None), torch.zeros_like(index), index)
            rows = self.forward(model, batch)
            logits.append(rows.logits.float().cpu())
            target.append(rows.target.cpu())
        found = torch.cat(logits), torch.cat(target)
        self._seen = (_state_of(model, source), found)
        return found

    @torch.no_grad()
    def further_metrics(self, model: nn.Module, split: str, device: torch.device) -> dict[str, float]:
        """Mean accuracy of the episodes with its 95 % interval, recall of the class with least support and by support."""
        source = self.splits[split].to(device)
        if self._seen is None or self._seen[0] != _state_of(model, source):
            with evaluating(model):
                self.predict(model, source)
        assert self._seen is not None  # which `predict` has set
        logits, target = self._seen[1]
        right = logits.argmax(1) == target
        shots = self._shots(source).repeat_interleave(self.plan.way * self.plan.queries, 0)
        own = shots.gather(1, target.unsqueeze(1)).squeeze(1)
        found = episode_metrics(logits, target, self.plan.way * self.plan.queries)
        return found | shot_metrics(right, own, torch.tensor(self.plan.shots.possible(self.plan.way)))

    def figures(self, proba: np.ndarray, target: np.ndarray) -> dict[str, Figure]:
        """The bias audit for the support of the test episodes, and what was decided for the ranks in these episodes."""
        shots = self._shots(self.splits.get("test", self.splits["train"])).double().mean(0).round()
        audited = audit_figure(tuple(int(n) for n in shots.clamp_min(1)))
        return {"bias audit": audited, "decided ranks": ranks_figure(self.class_names, proba)}

    def describe(self) -> dict[str, Any]:
        """What a report says about the data: JSON scalars and lists."""
        plan, counts = self.plan, {}
        for split, source in self.splits.items():
            each = len(source) * plan.queries
            counts[split] = self.counts.tolist() if split == "train" else [each] * plan.way
        judged = self._shots(self.splits.get("test", self.splits["train"])).double().mean(0)
        shape = "x".join(map(str, self.classes.inputs.shape[1:]))
        return {
            "name": self.name,
            "kind": self.kind,
            "rows": {split: len(source) * plan.queries * plan.way for split, source in self.splits.items()},
            "class_names": list(self.class_names),
            "counts": counts,
            "imbalance_factor": float(judged.max() / judged.min()),
            "features": f"{shape} {'pixels' if self.examples.images else 'numbers'}",
            "notes": [*self.notes, *self._sentences()],
            "classes": {split: len(own) for split, own in self.classes.of.items()},
            "episodes": {split: len(source) for split, source in self.splits.items()},
            "support": f"{plan.shots.profile} {plan.shots.low}-{plan.shots.high}, {float(judged.sum()):g} examples an episode",
            "meta_training": plan.training,
            "queries": plan.queries,
        }

    def _sentences(self) -> list[str]:
        plan = self.plan
        kinds = ", ".join(f"{len(own)} for {split}" for split, own in self.classes.of.items())
        return [
            f"episodes of {plan.way} classes with {plan.queries} queries each; classes are disjoint: {kinds}",
            "a class of these tables is a rank: the first has most support examples in its episode, the last the fewest; "
            "training counts are support examples",
        ]

    def _content(self, source: Source) -> tuple[EpisodePart | BatchPart, list[int]]:
        """The part and the seeds behind a source's rows."""
        _, inputs = next(iter(source.stream([torch.arange(len(source))])))
        return self.parts[int(inputs["part"][0])], inputs["seed"].tolist()

    def _shots(self, source: Source) -> Tensor:
        part, seeds = self._content(source)
        assert isinstance(part, EpisodePart)  # validation and test are episodes
        return part.shots(seeds)


def examples_of(classes: Classes) -> Examples:
    """The inputs with mean and standard deviation of those of training classes."""
    values = classes.inputs[classes.rows("train")].double() / (255 if classes.inputs.dtype == torch.uint8 else 1)
    over = [axis for axis in range(values.ndim) if axis != 1]
    std = values.std(over, unbiased=False)
    return Examples(classes.inputs, values.mean(over).float(), torch.where(std < 1e-4, torch.ones_like(std), std).float())


def _ranked_answers(episode: Episode, queries: int) -> Tensor:
    """Rank of the class of each query: queries come grouped by label."""
    order = ranks(episode)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    return place.repeat_interleave(queries)


def _rank_names(shots: Tensor) -> tuple[str, ...]:
    """`rank 2 (7 shots)`, with the mean over episodes where they differ."""
    means = [round(float(mean), 1) for mean in shots.double().mean(0)]
    return tuple(f"rank {rank} ({mean:g} shot{'' if mean == 1 else 's'})" for rank, mean in enumerate(means, start=1))


def _digest(classes: Classes, plan: Plan) -> int:
    """A number that changes with the data and the plan, below 2^62."""
    content = hashlib.sha256(repr((classes.names, dict(classes.of), plan)).encode())
    for values in (classes.inputs, classes.target):
        content.update(values.contiguous().view(torch.uint8).numpy().tobytes())
    return int.from_bytes(content.digest()[:8], "big") >> 2


def _state_of(model: nn.Module, source: Source) -> str:
    """A digest of a model and of the split it judges: predictions of the same ones are not made twice."""
    content = hashlib.sha256(f"{id(model)} {len(source)}".encode())
    for _, inputs in source.stream([torch.arange(min(2, len(source)))]):
        content.update(repr(inputs["seed"].tolist()).encode())
    for value in model.state_dict().values():
        content.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return content.hexdigest()
