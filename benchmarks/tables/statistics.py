"""Who is better over all sets: mean ranks, tests of all and of pairs, and how sure a win is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from benchmarks.tables.scoring import LOWER

from steelyard.metrics import friedman, holm

ROPE = 0.01
"""Differences up to this count as practically none."""

LEVEL = 0.05


@dataclass(frozen=True)
class Scoreboard:
    """One score of everyone on every set, averaged over splits.

    Attributes:
        metric: the score.
        datasets: rows, those only on which everyone has finished every split.
        opponents: columns.
        values: `[sets, opponents]`.
    """

    metric: str
    datasets: tuple[str, ...]
    opponents: tuple[str, ...]
    values: np.ndarray

    def column(self, name: str) -> np.ndarray:
        """One opponent's scores `[sets]`, turned so that more is better."""
        column: np.ndarray = self.values[:, self.opponents.index(name)]
        return -column if self.metric in LOWER else column

    def only(self, names: Sequence[str]) -> Scoreboard:
        """The same of some opponents."""
        return replace(self, opponents=tuple(names), values=self.values[:, [self.opponents.index(name) for name in names]])


def scoreboard(records: Iterable[dict[str, Any]], metric: str, opponents: Sequence[str], splits: Sequence[int]) -> Scoreboard:
    """Average over these splits and keep the sets on which nobody is missing."""
    found: dict[str, dict[str, list[float]]] = {}
    for record in records:
        if record["split"] in splits:
            found.setdefault(record["dataset"], {}).setdefault(record["opponent"], []).append(record["scores"][metric])
    whole = [name for name, by in found.items() if all(len(by.get(one, ())) == len(splits) for one in opponents)]
    values = [[float(np.mean(found[name][one])) for one in opponents] for name in whole]
    return Scoreboard(
        metric, tuple(whole), tuple(opponents), np.array(values, dtype=np.float64).reshape(len(whole), len(opponents))
    )


@dataclass(frozen=True)
class Ranking:
    """Mean ranks and what differs.

    Attributes:
        ranks: by opponent, best first.
        p: Friedman's, of all being equal.
        critical_difference: Nemenyi's.
        pairs: Wilcoxon's p of each pair, adjusted by Holm.
        cliques: largest groups of neighbours in rank of whom no two differ.
    """

    ranks: dict[str, float]
    p: float
    critical_difference: float
    pairs: dict[tuple[str, str], float]
    cliques: list[tuple[str, ...]]


def rank(board: Scoreboard) -> Ranking:
    """Rank everyone on every set, and test.

    Raises:
        ArgumentError: fewer than two sets or three opponents.
    """
    overall = friedman(board.values, higher_is_better=board.metric not in LOWER)
    order = np.argsort(overall.ranks, kind="stable")
    ranks = {board.opponents[i]: float(overall.ranks[i]) for i in order}
    raw = {(a, b): wilcoxon_p(board.column(a), board.column(b)) for a, b in combinations(ranks, 2)}
    pairs = holm(raw)
    return Ranking(ranks, overall.p, overall.critical_difference, pairs, cliques(list(ranks), pairs))


def wilcoxon_p(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, zeros split between both sides (Pratt); 1 where nothing differs."""
    from scipy.stats import wilcoxon

    if np.array_equal(first, second):
        return 1.0
    return float(wilcoxon(first, second, zero_method="zsplit", method="approx").pvalue)


def cliques(order: Sequence[str], pairs: dict[tuple[str, str], float], level: float = LEVEL) -> list[tuple[str, ...]]:
    """Largest runs of neighbours of whom no two differ; those of one are left out.

    Example:
        >>> cliques(["a", "b", "c"], {("a", "b"): 0.5, ("b", "c"): 0.3, ("a", "c"): 0.01})
        [('a', 'b'), ('b', 'c')]
    """
    found: list[tuple[str, ...]] = []
    end = 0
    for start in range(len(order)):
        stop = start + 1
        while stop < len(order) and all(pairs[order[i], order[stop]] >= level for i in range(start, stop)):
            stop += 1
        if stop - start > 1 and stop > end:
            found.append(tuple(order[start:stop]))
        end = max(end, stop)
    return found


@dataclass(frozen=True)
class Duel:
    """One opponent against another over all sets.

    Attributes:
        wins: sets on which the first is better by more than `ROPE`.
        ties: sets on which neither is.
        losses: sets on which the second is.
        better: posterior probability that the first is better by more than `ROPE`.
        same: that they are practically equal.
        worse: that the second is better.
        p: Wilcoxon's, not adjusted.
    """

    wins: int
    ties: int
    losses: int
    better: float
    same: float
    worse: float
    p: float


def duel(board: Scoreboard, first: str, second: str, rope: float = ROPE) -> Duel:
    """Compare two."""
    a, b = board.column(first), board.column(second)
    wins, losses = int((a - b > rope).sum()), int((b - a > rope).sum())
    better, same, worse = signed_rank_posterior(a - b, rope)
    return Duel(wins, len(a) - wins - losses, losses, better, same, worse, wilcoxon_p(a, b))


def signed_rank_posterior(
    differences: np.ndarray, rope: float, *, draws: int = 10_000, prior: float = 0.5, seed: int = 0
) -> tuple[float, float, float]:
    """The Bayesian signed-rank test: how likely the mean of two random differences is above, within and below the rope.

    Weights of the differences are drawn from a Dirichlet posterior whose prior is one difference of 0 with weight `prior`. Each
    draw puts shares of all pairs of differences above, within and below; the largest share wins the draw.

    Args:
        differences: first less second, one a set `[n]`.
        rope: half the width of the region of practical equivalence, at least 0.
        draws: from the posterior.
        prior: weight of the prior's difference, above 0.
        seed: of the draws.

    Returns:
        Shares of the draws that say better, same and worse.

    Reference:
        Benavoli, Corani, Demsar and Zaffalon, Time for a change, JMLR 2017.
    """
    values = np.concatenate(([0.0], differences))
    sums = values[:, None] + values[None, :]
    weights = np.random.default_rng(seed).dirichlet([prior, *[1.0] * len(differences)], size=draws)

    def share(where: np.ndarray) -> np.ndarray:
        total: np.ndarray = ((weights @ where) * weights).sum(1)
        return total

    above = share((sums > 2 * rope) + 0.5 * (sums == 2 * rope))
    below = share((-sums > 2 * rope) + 0.5 * (-sums == 2 * rope))
    stacked = np.stack([above, 1 - above - below, below])
    won = (stacked == stacked.max(0)) / (stacked == stacked.max(0)).sum(0)
    better, same, worse = won.mean(1)
    return float(better), float(same), float(worse)
