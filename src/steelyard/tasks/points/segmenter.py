"""A trained model that labels every point of a cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.world import local_device
from steelyard.data.clouds import Cloud
from steelyard.decisions import Adjusted, LogitShift
from steelyard.tasks.points.geometry import geometric_features
from steelyard.tasks.points.holding import groups_of
from steelyard.tasks.points.models import point_builder
from steelyard.tasks.points.samples import Cutting, cut
from steelyard.tasks.points.task import SAMPLES, PointTask

NOT_ASKED = 255
"""Label of points that were left out."""
MOST_VOTES = 64
LETTERS = 32
"""Of a column's name that every format can hold."""


@dataclass(frozen=True)
class Segmented:
    """What a model says about a cloud.

    Attributes:
        classes: class of each point `[N]`; -1 for a point that was left out.
        proba: probability of each class `[N, C]`, float32; NaN for a point that was left out.
    """

    classes: np.ndarray
    proba: np.ndarray


class Segmenter:
    """A model of points, and how clouds are prepared for it.

    Args:
        model: gives logits of samples; with the mean and standard deviation of its training points' features.
        recipe: how clouds are prepared (`PointTask.describe()["recipe"]`).
        shift: added to the logits `[C]`, where the method decides by shifted scores.

    Attributes:
        class_names: of class 0, 1, ...
    """

    def __init__(self, model: nn.Module, recipe: Mapping[str, Any], shift: Tensor | None = None) -> None:
        self.model, self.recipe = model, dict(recipe)
        self.class_names: tuple[str, ...] = tuple(recipe["classes"])
        self.shift = torch.zeros(len(self.class_names)) if shift is None else shift.detach().float().cpu()
        values = [str(value) for value in recipe["values"]]
        numbers = all(value.isdigit() and int(value) < NOT_ASKED for value in values)
        self.values = np.array([int(v) for v in values] if numbers else range(len(values)), np.uint8)
        """What stands for each class in the column of labels: its value in the training data, if that is a small number."""

    @classmethod
    def of(cls, task: PointTask, model: nn.Module) -> Segmenter:
        """The model that a method has trained, with the task's way of preparing clouds.

        Raises:
            ArgumentError: the judged model is another than the task's with a shift of its scores.
        """
        shift: Tensor | None = None
        if isinstance(model, Adjusted):
            decision = model.decision
            if not isinstance(decision, LogitShift):
                raise ArgumentError("model", "a network, or one with shifted scores", f"one with {type(decision).__name__}")
            model, shift = model.model, decision.shift
        return cls(model, task.facts["recipe"], shift)

    @classmethod
    def from_state(cls, recipe: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Segmenter:
        """Put together what `state` took apart, or what a comparison stored of a run.

        Raises:
            DataError: the tensors are not those of the model that the recipe names.
        """
        plain = dict(tensors)
        shift = None
        if "decision.shift" in plain:  # a judged model with shifted scores
            shift = plain.pop("decision.shift")
            plain = {name.removeprefix("model."): value for name, value in plain.items()}
        try:
            name, classes = recipe["model"], len(recipe["classes"])
            if not isinstance(name, str):
                raise DataError("the model is no network by name, so it cannot be made again: use steelyard from Python for it")
            size = int(recipe["cutting"]["size"])
            with torch.random.fork_rng(devices=[]):
                model = point_builder(name, classes, 4 * len(recipe["radii"]), size, recipe["model_settings"])()
            model.load_state_dict(plain)
            made = cls(model, recipe, shift)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"the description of the model lacks something ({error})") from error
        except RuntimeError as error:
            raise DataError(
                f"the stored weights are not those of '{recipe['model']}': a method that ends in another model than it began "
                "with cannot be used here, so choose another"
            ) from error
        if not all(bool(torch.isfinite(value).all()) for value in tensors.values() if value.is_floating_point()):
            raise DataError("the stored weights are not all finite numbers")
        return made

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors, and JSON values, from which `from_state` makes this again."""
        tensors = {f"model.{name}": value.detach().cpu() for name, value in self.model.state_dict().items()}
        return {**tensors, "decision.shift": self.shift}, dict(self.recipe)

    def segment(self, cloud: Cloud, *, votes: int = 1, left_out: np.ndarray | None = None, device: str = "auto") -> Segmented:
        """Label every point.

        The cloud is prepared like the training clouds, with the statistics of these. Every point is in exactly one sample a
        vote; with several votes, the first has samples along geodesic distances, the others spread samples, drawn anew, and
        probabilities are averaged. Points of parts too small for a sample go with the nearest larger part.

        Args:
            cloud: any number of points, also one.
            votes: 1 to 64.
            left_out: points that are neither seen nor labelled, such as the ground `[N]`; None for none.
            device: where to compute.

        Raises:
            DataError: no points, or coordinates that are not finite.
            ArgumentError: votes out of range.
        """
        if not 1 <= votes <= MOST_VOTES:
            raise ArgumentError("votes", f"from 1 to {MOST_VOTES}", votes)
        cloud.check()
        kept = np.ones(len(cloud), bool) if left_out is None else ~np.asarray(left_out, bool)
        proba = np.full((len(cloud), len(self.class_names)), np.nan, np.float32)
        if kept.any():
            proba[kept] = self._proba(cloud.take(kept), votes, local_device(device))
        classes = np.where(kept, np.nan_to_num(proba).argmax(1), -1)
        return Segmented(classes, proba)

    def _proba(self, cloud: Cloud, votes: int, device: torch.device) -> np.ndarray:
        recipe = self.recipe
        local, _ = cloud.local()
        features = torch.from_numpy(geometric_features(local, recipe["radii"], grain=recipe["grain"]))
        cutting = Cutting(**recipe["cutting"])
        group = self._groups(cloud)
        total = torch.zeros(len(cloud), len(self.class_names))
        model, shift = self.model.to(device).eval(), self.shift.to(device)
        with torch.inference_mode():
            for vote in range(votes):
                samples = cut(local, group, cutting, shuffle=vote or None)
                for part in np.array_split(np.arange(len(samples.rows)), 1 + len(samples.rows) // SAMPLES):
                    if len(part) == 0:
                        continue
                    asked = torch.from_numpy(samples.asked[part])
                    rows = torch.from_numpy(samples.rows[part])
                    xyz = torch.from_numpy(samples.xyz[part])
                    logits = model(xyz.to(device), features[rows].to(device), asked.to(device))
                    total[rows[asked]] += torch.softmax(logits.float() + shift, 1).cpu()
        return (total / votes).numpy()

    def _groups(self, cloud: Cloud) -> np.ndarray:
        """Trees by their column, where the model was trained so and the cloud has it; else all points together."""
        rule = self.recipe["group"]
        if rule in ("auto", *cloud.columns):
            number, how = groups_of(cloud, rule)
            if how.startswith("column"):
                return number
        return np.zeros(len(cloud), np.int64)

    def labelled(self, cloud: Cloud, found: Segmented) -> Cloud:
        """The cloud with a column "predicted_label", and "probability_NAME" for each class.

        Labels are the values of the training data where these are whole numbers from 0 to 254, else 0, 1, ... in the order of
        the classes; a point that was left out has 255, and no probabilities (NaN).
        """
        label = np.where(found.classes < 0, NOT_ASKED, self.values[found.classes]).astype(np.uint8)
        columns = {"predicted_label": label}
        for number, name in enumerate(self.class_names):
            plain = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
            columns[f"probability_{plain}"[:LETTERS]] = found.proba[:, number]
        return cloud.with_columns(**columns)
