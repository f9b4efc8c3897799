"""What the columns of a table matter to a model: how much a metric loses when one is shuffled among the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from steelyard.core.seeds import derive
from steelyard.data.encoder import TableEncoder
from steelyard.metrics import LOWER_IS_BETTER, evaluate
from steelyard.metrics.bootstrap import ON_SCORES

MOST_MEASURED = 200
"""Columns that are measured: of more, those whose values go most with what the model says."""

Inputs: TypeAlias = "Tensor | Mapping[str, Tensor]"
Judged: TypeAlias = "tuple[np.ndarray, np.ndarray]"
Json = dict[str, Any]


def permutation_importance(
    predict: Callable[[Inputs], Judged],
    encoder: TableEncoder,
    inputs: Inputs,
    target: np.ndarray,
    class_counts: Sequence[int],
    metric: str,
    *,
    seed: int = 0,
    repeats: int = 5,
    most: int = MOST_MEASURED,
) -> list[Json]:
    """How much a metric loses when the values of one column are shuffled among the rows.

    Rows are encoded one by one, so what a column became is shuffled instead of the column.

    Args:
        predict: from encoded rows to probabilities `[N, C]` and decisions `[N]`.
        encoder: what encoded them.
        inputs: the rows as the encoder gives them.
        target: true classes `[N]`.
        class_counts: training rows per class `[C]`.
        metric: of `steelyard.metrics.METRICS`; for errors the increase is the loss.
        seed: of the shuffles.
        repeats: shuffles a column.
        most: columns that are measured, 1 or more. Of more columns those with the largest share of variance in common with the
            probabilities are taken, each on its own.

    Returns:
        A line a measured column, the largest loss first: "column", "drop" (mean), "low" and "high" (over the shuffles).

    Reference:
        Breiman: Random forests, Machine Learning 45, 2001.
    """
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0

    def score(judged: Judged) -> float:
        proba, decided = judged
        shown = proba if metric in ON_SCORES else np.eye(proba.shape[1])[decided]
        return sign * evaluate(shown, target, class_counts).values[metric]

    said = predict(inputs)
    whole, lines = score(said), []
    names = encoder.columns()
    for place in _measured(encoder, inputs, said[0], most):
        drops = []
        for repeat in range(repeats):
            order = np.random.default_rng(derive(seed, "shuffle", place, repeat)).permutation(len(target))
            drops.append(whole - score(predict(shuffled(encoder, inputs, place, torch.from_numpy(order)))))
        lines.append({"column": names[place], "drop": float(np.mean(drops)), "low": min(drops), "high": max(drops)})
    return sorted(lines, key=lambda line: -line["drop"])


def shuffled(encoder: TableEncoder, inputs: Inputs, place: int, order: Tensor) -> Inputs:
    """Encoded rows, one column of which is that of other rows.

    Args:
        encoder: what encoded them.
        inputs: the rows.
        place: the column's in `encoder.columns()`.
        order: whose value each row gets `[N]`.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"a": [-1.0, 1.0], "b": [1.0, -1.0]})
        >>> encoder = TableEncoder.fit(frame)
        >>> shuffled(encoder, encoder.encode(frame), 1, torch.tensor([1, 0])).tolist()
        [[-1.0, -1.0], [1.0, 1.0]]
    """
    name, low, high = list(_blocks(encoder, inputs))[place]
    values = inputs if isinstance(inputs, Tensor) else inputs[name]
    changed = values.clone()
    changed[:, low:high] = values[order, low:high]
    return changed if isinstance(inputs, Tensor) else {**inputs, name: changed}


def _blocks(encoder: TableEncoder, inputs: Inputs) -> Iterator[tuple[str, int, int]]:
    """Where each column of `encoder.columns()` is: the name of the input, its first feature, and the one after its last."""
    start = 0
    for column in encoder.numeric:
        yield "numeric", start, start + column.width
        start += column.width
    for k, cardinality in enumerate(encoder.cardinalities):
        if isinstance(inputs, Tensor):
            yield "numeric", start, start + cardinality
            start += cardinality
        else:
            yield "categorical", k, k + 1


def _measured(encoder: TableEncoder, inputs: Inputs, proba: np.ndarray, most: int) -> list[int]:
    """Places of the columns to measure, ascending."""
    names = encoder.columns()
    if len(names) <= most:
        return list(range(len(names)))
    said = proba - proba.mean(0)
    said = said / np.maximum(said.std(0), 1e-12)
    shares = []
    for name, low, high in _blocks(encoder, inputs):
        values = (inputs if isinstance(inputs, Tensor) else inputs[name])[:, low:high].numpy()
        shares.append(_between(values[:, 0], said) if name == "categorical" else _correlated(values, said))
    return sorted(np.argsort(-np.array(shares), kind="stable")[:most].tolist())


def _correlated(values: np.ndarray, said: np.ndarray) -> float:
    """Largest squared correlation between features `[N, F]` and standardised probabilities `[N, C]`."""
    centred = values.astype(np.float64) - values.mean(0, dtype=np.float64)
    centred /= np.maximum(centred.std(0), 1e-12)
    return float(((centred.T @ said / len(said)) ** 2).max(initial=0.0))


def _between(codes: np.ndarray, said: np.ndarray) -> float:
    """Largest share of the variance of standardised probabilities `[N, C]` that lies between categories `[N]`."""
    _, groups, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    sums = np.zeros((len(sizes), said.shape[1]))
    np.add.at(sums, groups.reshape(-1), said)
    return float((sums**2 / sizes[:, None]).sum(0).max() / len(said))
