from __future__ import annotations

import threading

import pytest
import torch

from steelyard.core.side_by_side import side_by_side


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_each_number_is_worked_on_once_and_without_gradients(threads: int, count: int) -> None:
    seen: list[tuple[int, bool, int]] = []
    side_by_side(lambda number: seen.append((number, torch.is_grad_enabled(), threading.get_ident())), count)
    assert sorted(number for number, _, _ in seen) == list(range(count))
    assert not any(tracked for _, tracked, _ in seen)
    assert len({who for _, _, who in seen}) <= max(min(threads, count), 0)
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()


def test_workers_compute_with_one_thread_each(threads: int) -> None:
    own: list[int] = []
    side_by_side(lambda _: own.append(torch.get_num_threads()), 6)
    assert own == [1] * 6


def test_errors_reach_the_caller(threads: int) -> None:
    def fails(number: int) -> None:
        if number == 4:
            raise ValueError("four")

    with pytest.raises(ValueError, match="four"):
        side_by_side(fails, 6)
