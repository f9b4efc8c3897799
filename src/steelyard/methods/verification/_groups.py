"""Groups of identities, for methods that go by them."""

from __future__ import annotations

from torch import Tensor

from steelyard.core.errors import CombinationError
from steelyard.core.task import TaskView


def groups_of(task: TaskView, method: str) -> Tensor:
    """The group of each class `[C]`.

    Raises:
        CombinationError: the data are no pictures to verify, or their identities are in no groups.
    """
    task.require("verification", method)
    groups = task.context.get("groups")
    if not isinstance(groups, Tensor):
        raise CombinationError(f"method '{method}' needs groups of identities, and '{task.name}' has none: give groups=")
    return groups
