"""Parts whose own parameters are moved by an optimiser of their own, beside that of the model."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class OwnAdam(nn.Module):
    """Keeps an Adam for this module's own parameters, through saving and resuming.

    A subclass sets `lr` and `weight_decay`.
    """

    lr: float
    weight_decay: float
    _teacher: torch.optim.Adam | None = None

    def teacher(self) -> torch.optim.Adam:
        """The optimiser of this module's own parameters; made when they are on their device."""
        if self._teacher is None:
            self._teacher = torch.optim.Adam(self._own(), lr=self.lr, weight_decay=self.weight_decay)
        return self._teacher

    def get_extra_state(self) -> dict[str, Any]:
        """The teacher's moments, which a resumed run needs."""
        return {"teacher": None if self._teacher is None else self._teacher.state_dict()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Go on from `get_extra_state`."""
        self._teacher = None
        if state["teacher"] is not None:
            self.teacher().load_state_dict(state["teacher"])

    def _own(self) -> list[nn.Parameter]:
        return [value for value in self.parameters() if value.requires_grad]
