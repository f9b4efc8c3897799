"""A model of a table, from rows to decisions: encoder, members, calibration, thresholds. It needs no scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.members import Members
from steelyard.data.encoder import TableEncoder
from steelyard.data.kinds import as_known
from steelyard.data.raw import Frame
from steelyard.decisions import PriorShift, Temperature, Thresholds
from steelyard.estimator.deciding import Adjustment, goes_by_mix
from steelyard.estimator.modules import describe, network_of

Prior: TypeAlias = "str | Mapping[Any, float] | np.ndarray | list[float] | None"
Json: TypeAlias = "dict[str, Any]"
Inputs: TypeAlias = "Tensor | Mapping[str, Tensor]"
BLOCK = 1024
"""Rows that are scored and calibrated at once, the last ones padded: a row's result does not depend on its company."""


@dataclass
class TableModel:
    """Everything between a row of a table and a decision.

    Attributes:
        encoder: columns to inputs.
        network: the members.
        network_spec: how a member is built, as JSON (`name`, sizes, `settings`, `onehot`); its name is None for a network of
            the user's own.
        classes: labels of class 0, 1, ... in their own type `[C]`.
        prior: share of each class that the probabilities answer for `[C]`, float64.
        temperature: logits to calibrated logits.
        thresholds: probabilities to decisions.
        facts: what is known about the fit, as JSON.
        each_calibrated: is every member calibrated, and the mean of their probabilities taken then? So it has to be where the
            scores that calibration learnt from were those of single members (folds): members differ in how sure of
            themselves they are, and the surest would rule the mean. Else the mean is calibrated.
    """

    encoder: TableEncoder
    network: Members
    network_spec: Json
    classes: np.ndarray
    prior: np.ndarray
    temperature: Temperature
    thresholds: Thresholds
    facts: Json = field(default_factory=dict)
    each_calibrated: bool = False

    @property
    def adjustment(self) -> Adjustment:
        """Calibration and decision."""
        return Adjustment(self.temperature, self.thresholds)

    def predict_proba(self, frame: Frame, prior: Prior = None) -> np.ndarray:
        """Calibrated probabilities `[N, C]` float64.

        Args:
            frame: has the columns that the model uses (`encoder.columns()`); others are ignored.
            prior: share of each class where the model is used: `[C]` in the order of `classes`, or a mapping from labels; "em"
                to estimate it from these rows (which are then taken together); None for that of training.

        Raises:
            DataError: columns are missing or hold something else than in training.
            ArgumentError: not a prior.
        """
        proba = self.proba_of(self.encode(frame))
        if prior is None:
            return proba
        shifted: np.ndarray = self.prior_shift(prior, proba).proba(proba)
        return shifted

    def encode(self, frame: Frame) -> Inputs:
        """Rows as the network takes them; text is read as in the file that the model was fitted on, if it was one."""
        return self.encoder.encode(as_known(frame, self.facts.get("schema", {})), onehot=bool(self.network_spec["onehot"]))

    def proba_of(self, inputs: Inputs) -> np.ndarray:
        """Calibrated probabilities `[N, C]` of encoded rows."""
        return self._of_rows(inputs, lambda block: self._log_proba(block).exp())

    def prior_shift(self, prior: Prior, proba: np.ndarray | None = None) -> PriorShift:
        """The shift to other class shares; "em" estimates them from probabilities of unlabelled rows."""
        if isinstance(prior, str):
            if prior != "em" or proba is None:
                raise ArgumentError("prior", "class shares [C], a mapping from labels to shares, or 'em'", repr(prior))
            if len(proba) == 0:
                raise ArgumentError("prior", "class shares, as 'em' estimates them from rows", "'em' and no rows")
            return PriorShift.em(proba, self.prior)
        return PriorShift(self.prior, self._shares(prior))

    def decide(self, proba: np.ndarray) -> np.ndarray:
        """Labels `[N]` from calibrated probabilities `[N, C]`."""
        labels: np.ndarray = self.classes[np.asarray(self.thresholds.decide(proba))]
        return labels

    def decided(self, proba: np.ndarray, shift: PriorShift | None = None) -> np.ndarray:
        """Decided classes `[N]` (their numbers) from calibrated probabilities `[N, C]`, also where the class mix is another.

        Least expected cost and the largest probability go by the probabilities for that mix. Thresholds over class shares
        decide the same under every mix, since shares and probabilities change together. Thresholds that were searched
        (for a recall, say) hold for the probabilities they were searched on: those of the training mix.

        Args:
            proba: for the training mix.
            shift: to the other mix; None for that of training.
        """
        noted = self.facts.get("decision", {}).get("follows_mix", goes_by_mix(self.thresholds))
        by_mix = noted or self.thresholds.cost is not None
        decided: np.ndarray = self.thresholds.decide(proba if shift is None or not by_mix else shift.proba(proba))
        return decided

    def predict(self, frame: Frame) -> np.ndarray:
        """Decided labels `[N]`, in the type of the training labels."""
        labels: np.ndarray = self.classes[self.scores(frame).argmax(1)]
        return labels

    def scores(self, frame: Frame) -> np.ndarray:
        """Scores `[N, C]` whose largest is decided for, the first of equals; calibrated log-probabilities over thresholds."""
        return self._of_rows(self.encode(frame), lambda block: self.thresholds(self._log_proba(block)).double())

    def decision_function(self, frame: Frame) -> np.ndarray:
        """Scores `[N, C]`; of two classes `[N]`, above 0 where the second is decided for: log-odds beyond those needed."""
        scores = self.scores(frame)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def member_proba(self, frame: Frame) -> np.ndarray:
        """Calibrated probabilities of each member `[k, N, C]`."""
        return self._member_proba(self.encode(frame))

    def _member_proba(self, inputs: Inputs) -> np.ndarray:
        return self._of_rows(inputs, lambda block: self.adjustment.log_proba_of_each(_here(self.network.each(block))).exp(), 1)

    def spread(self, frame: Frame) -> np.ndarray:
        """How far the members disagree: standard deviation of their probabilities `[N, C]`; 0 for one member."""
        return self.spread_of(self.encode(frame))

    def spread_of(self, inputs: Inputs) -> np.ndarray:
        """The same for encoded rows."""
        spread: np.ndarray = self._member_proba(inputs).std(0)
        return spread

    def to_state(self) -> tuple[dict[str, Tensor], Json]:
        """Tensors and JSON from which `from_state` makes the same model.

        Raises:
            DataError: the network, or the type of the labels, is known only to Python.
        """
        if self.network_spec["name"] is None:
            raise DataError(
                "a network of your own cannot be written without Python's pickle: name one (model='auto', 'mlp', 'table-net'), "
                "or pickle the estimator"
            )
        members = [self.network.member(j) for j in range(len(self.network))]
        tensors = {f"member.{j}.{name}": value for j, one in enumerate(members) for name, value in one.state_dict().items()}
        for part, module in (("temperature", self.temperature), ("thresholds", self.thresholds)):
            tensors |= {f"{part}.{name}": value for name, value in module.state_dict().items()}
        state = {
            "encoder": self.encoder.to_json(),
            "network": self.network_spec,
            "members": [describe(one) for one in members],
            "labels": {"kind": self.classes.dtype.str if self.classes.dtype.kind in "biufU" else "object"},
            "classes": _labels_to_json(self.classes),
            "prior": self.prior.tolist(),
            "temperature": self.temperature.to_json(),
            "thresholds": self.thresholds.to_json(),
            "each_calibrated": self.each_calibrated,
            "facts": self.facts,
        }
        return tensors, state

    @classmethod
    def from_state(cls, tensors: Mapping[str, Tensor], state: Json) -> TableModel:
        """The model that `to_state` described.

        Raises:
            KeyError, RuntimeError: something is missing or of another shape.
            DataError: there are not as many shares or thresholds as classes.
        """
        members = []
        for j, about in enumerate(state["members"]):
            member = network_of(about, state["network"])
            member.load_state_dict(_under(tensors, f"member.{j}."))
            members.append(member.eval())
        temperature = Temperature.from_json(state["temperature"])
        temperature.load_state_dict(_under(tensors, "temperature."))
        thresholds = Thresholds.from_json(state["thresholds"])
        thresholds.load_state_dict(_under(tensors, "thresholds."))
        kind = state["labels"]["kind"]
        classes = np.array(state["classes"], dtype=object if kind == "object" else kind)
        encoder = TableEncoder.from_json(state["encoder"])
        prior = np.array(state["prior"], dtype=np.float64)
        if not thresholds.num_classes == len(classes) == len(prior):
            raise DataError(f"{len(classes)} classes, {len(prior)} shares and {thresholds.num_classes} thresholds")
        return cls(
            encoder, Members(members), state["network"], classes, prior, temperature, thresholds, dict(state["facts"]),
            bool(state.get("each_calibrated", False)),
        )  # fmt: skip

    def _log_proba(self, inputs: Inputs) -> Tensor:
        if self.each_calibrated:
            return self.adjustment.log_proba_of_members(_here(self.network.each(inputs)))
        return self.adjustment.log_proba(_here(self.network(inputs)))

    @torch.no_grad()
    def _of_rows(self, inputs: Inputs, function: Callable[[Inputs], Tensor], rows_at: int = 0) -> np.ndarray:
        """What a function says of all rows, block by block; `rows_at` is the dimension of rows in what it gives."""
        rows = len(inputs if isinstance(inputs, Tensor) else next(iter(inputs.values())))
        device = next((value.device for value in self.network.parameters()), torch.device("cpu"))
        self.network.eval()
        parts = []
        for start in range(0, max(rows, 1), BLOCK):
            size = min(BLOCK, rows - start)
            block = _each(inputs, lambda values, start=start, size=size: _padded(values[start : start + size]).to(device))
            with torch.random.fork_rng(devices=[]):  # stacked networks may draw
                parts.append(function(block).narrow(rows_at, 0, size))
        found: np.ndarray = torch.cat(parts, rows_at).numpy()
        return found

    def _shares(self, prior: Any) -> np.ndarray:
        """Class shares `[C]` in the order of the classes, summing to 1."""
        names = self.classes.tolist()
        index = getattr(prior, "index", None)
        if index is not None and not callable(index) and index.tolist() != list(range(len(names))):  # a pandas Series
            prior = dict(zip(index.tolist(), np.asarray(prior).tolist(), strict=True))
        if isinstance(prior, Mapping):
            if set(prior) != set(names):
                raise ArgumentError("prior", f"a share for each of the classes {names}", f"keys {list(prior)}")
            prior = [prior[name] for name in names]
        shares: np.ndarray = np.asarray(prior, dtype=np.float64)
        if shares.shape != (len(names),) or not np.isfinite(shares).all() or (shares < 0).any() or shares.sum() <= 0:
            raise ArgumentError("prior", f"shares of the {len(names)} classes, 0 or more and not all 0", prior)
        if abs(shares.sum() - 1) > 1e-3:
            raise ArgumentError("prior", "shares that sum to 1", f"{prior}, which sums to {shares.sum():g}")
        scaled: np.ndarray = shares / shares.sum()
        return scaled


def _each(inputs: Tensor | Mapping[str, Tensor], function: Any) -> Any:
    if isinstance(inputs, Mapping):
        return {name: function(values) for name, values in inputs.items()}
    return function(inputs)


def _here(logits: Tensor) -> Tensor:
    return logits.double().cpu()


def _padded(values: Tensor) -> Tensor:
    """Rows up to `BLOCK` with zeros below."""
    short = BLOCK - len(values)
    return values if short == 0 else torch.cat([values, values.new_zeros(short, *values.shape[1:])])


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _labels_to_json(classes: np.ndarray) -> list[Any]:
    values: list[Any] = classes.tolist()
    if not all(isinstance(value, str | int | float | bool) for value in values):
        raise DataError(f"labels of type {type(values[0]).__name__} cannot be written as JSON: use text or numbers")
    return values
