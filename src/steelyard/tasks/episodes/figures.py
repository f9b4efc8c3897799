"""Pictures of a few-shot comparison: which classes rules favour on noise, and which ones trained learners decided for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from steelyard.core.figure import Figure, Panel, bars
from steelyard.tasks.episodes.audit import bias_audit

QUERIES, SIZE = 10_000, 64
"""Decisions and dimensions of the audit: half a second once a process."""


@lru_cache(maxsize=8)
def audit_figure(shots: tuple[int, ...], queries: int = QUERIES) -> Figure:
    """The bias audit as a picture: for each rule the shares of its decisions, a bar a class.

    Args:
        shots: support examples of each class, most first.
        queries: decisions behind each bar.

    Example:
        >>> made = audit_figure((3, 1), queries=200)
        >>> made["categories"][0], made["panels"][0]["series"][0]["expected"][0]
        ('1-NN', 0.75)
    """
    audit = bias_audit(shots, size=SIZE, queries=queries)
    rules = list(audit.shares)
    places = range(len(shots))
    # Ranks keep classes with equal support apart.
    names = [f"{n} shot{'' if n == 1 else 's'}" for n in shots]
    names = names if len(set(names)) == len(names) else [f"rank {place + 1}: {names[place]}" for place in places]
    nowhere = (float("nan"),) * len(shots)
    panel = Panel(
        "decisions for a class",
        {names[place]: [audit.shares[rule][place] for rule in rules] for place in places},
        {names[place]: [audit.expected.get(rule, nowhere)[place] for rule in rules] for place in places},
        level=1 / len(shots),
        percent=True,
    )
    note = (
        f"{audit.queries:,} decisions of each rule on features that say nothing: support and queries are noise in {SIZE} "
        "dimensions, the same for all classes. A rule without bias decides for every class equally often (dotted); what "
        "differs from that is the rule's doing. The short lines are what theory expects, where it is known. The support is the "
        "mean of each rank over the test episodes. Nothing here is trained."
    )
    return bars("The bias audit", note, x="rule", categories=rules, panels=[panel])


def ranks_figure(class_names: Sequence[str], proba: np.ndarray) -> Figure:
    """Shares of the test decisions that go to each rank of support, a method beside the other.

    Args:
        class_names: of the ranks.
        proba: of the queries `[N, way]`.

    Example:
        >>> made = ranks_figure(["rank 1", "rank 2"], np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]]))
        >>> made["panels"][0]["series"][0]["values"]
        [0.75, 0.25]
    """
    ways = len(class_names)
    shares = np.bincount(proba.argmax(1), minlength=ways) / max(len(proba), 1)
    note = (
        "Of the queries of the test episodes, the share that is decided for the class with most support (rank 1) to the one "
        "with least. Each class has equally many queries, so a learner without bias decides for each equally often (dotted)."
    )
    panel = Panel("decisions for a rank", {"": shares.tolist()}, level=1 / ways, percent=True)
    return bars(
        "What was decided, by support", note, x="rank in its episode (mean support)", categories=class_names, panels=[panel],
        by_method=True,
    )  # fmt: skip
