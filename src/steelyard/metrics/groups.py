"""Many / Medium / Few as the metrics take them: `steelyard.core.counts.Groups`, or a mapping as in a saved comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from steelyard.metrics.confusion import GROUPS, Members


class Grouped(Protocol):
    """What `steelyard.core.counts.group_classes` returns: the rule in words and the classes of each group."""

    @property
    def rule(self) -> str:
        """The rule in words."""

    @property
    def members(self) -> Mapping[str, Sequence[int]]:
        """Class indices of "many", "medium" and "few"."""


GroupsLike: TypeAlias = "Grouped | Mapping[str, Any]"


def members_of(groups: GroupsLike | None) -> Members:
    """Class indices of each group; empty groups if there are none.

    Example:
        >>> members_of({"rule": "by hand", "many": [0], "medium": [], "few": [1, 2]})["few"]
        (1, 2)
    """
    if groups is None:
        return dict.fromkeys(GROUPS, ())
    members = groups if isinstance(groups, Mapping) else groups.members
    return {name: tuple(int(c) for c in members.get(name, ())) for name in GROUPS}


def rule_of(groups: GroupsLike) -> str:
    """The rule that made the groups, in words.

    Example:
        >>> rule_of({"rule": "by hand", "many": [0]})
        'by hand'
    """
    return str(groups.get("rule", "given class by class")) if isinstance(groups, Mapping) else groups.rule
