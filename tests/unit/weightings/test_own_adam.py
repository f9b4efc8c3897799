"""Parts with an optimiser of their own: their steps are Adam's, and go on where they were."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from steelyard.weightings._own_adam import OwnAdam


class Part(OwnAdam):
    """Moves two of its parameters; the third is not to be moved."""

    def __init__(self) -> None:
        super().__init__()
        self.lr, self.weight_decay = 0.1, 0.01
        self.first, self.second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.full((3,), 2.0))
        self.still = nn.Parameter(torch.zeros(1), requires_grad=False)

    def step(self) -> None:
        """One step down the squares."""
        self.teacher().zero_grad()
        self.squares().backward()
        self.teacher().step()

    def squares(self) -> Tensor:
        """What is to become small."""
        return (self.first**2).sum() + (self.second**2).sum()


def test_a_step_is_that_of_adam_on_what_may_be_moved() -> None:
    part = Part()
    twin = copy.deepcopy(part)
    adam = torch.optim.Adam([twin.first, twin.second], lr=0.1, weight_decay=0.01)
    for _ in range(3):
        part.step()
        adam.zero_grad()
        twin.squares().backward()
        adam.step()
    assert torch.equal(part.first, twin.first)
    assert torch.equal(part.second, twin.second)
    assert part.still.item() == 0


def test_it_goes_on_bit_for_bit_from_what_was_saved_and_anew_from_the_start() -> None:
    part, start = Part(), copy.deepcopy(Part().state_dict())
    part.step()
    saved = copy.deepcopy(part.state_dict())
    part.step()
    resumed = Part()
    resumed.load_state_dict(saved)
    resumed.step()
    assert torch.equal(part.first, resumed.first)
    # Without its moments, which the first state lacks, the same step is another.
    resumed.load_state_dict(saved | {"_extra_state": start["_extra_state"]})
    resumed.step()
    assert not torch.equal(part.first, resumed.first)
