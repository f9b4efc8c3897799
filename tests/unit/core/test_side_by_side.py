"""Threads for members, and TorchScript."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core import side_by_side as module
from steelyard.core import stacked_blocks, stacked_products, stacked_smooth
from steelyard.core.fit import fit
from steelyard.core.members import fit_members
from steelyard.core.regime import Regime
from steelyard.core.roles import Assesses
from steelyard.core.side_by_side import Compiled, own_threads, side_by_side
from steelyard.core.stacked import Members
from steelyard.data import ResidentSource
from steelyard.methods.ce import ce
from steelyard.nets import MLP, waves
from steelyard.nets.table_net import TableNet
from steelyard.tasks.arrays import ArrayTask


@pytest.fixture
def threads():
    """Torch's threads, which tests may set."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@given(count=st.integers(0, 9), many=st.integers(1, 5))
def test_ranges_make_up_the_whole_in_order(count, many):
    before = torch.get_num_threads()
    torch.set_num_threads(many)
    try:
        with own_threads():
            assert torch.get_num_threads() == 1
            found = side_by_side(lambda first, last: list(range(first, last)), count)
        assert torch.get_num_threads() == many
    finally:
        torch.set_num_threads(before)
    assert [number for part in found for number in part] == list(range(count))
    assert len(found) == max(min(count, many), 1)


def test_each_range_has_a_thread_with_one_thread_of_torch_and_no_gradients(threads):
    threads(2)
    met = threading.Barrier(2, timeout=60)

    def work(first: int, last: int) -> tuple[int, int, bool, int]:
        met.wait()  # both are at work at once
        return threading.get_ident(), torch.get_num_threads(), torch.is_grad_enabled(), len(side_by_side(lambda a, b: a, 5))

    with own_threads():
        one, other = side_by_side(work, 2)
    assert one[0] != other[0] and one[1:] == other[1:] == (1, False, 1)


def test_elsewhere_all_is_done_by_the_thread_that_asks(threads):
    threads(2)
    with own_threads(wanted=False):
        assert torch.get_num_threads() == 2
        assert side_by_side(lambda first, last: (first, last, threading.get_ident()), 4) == [(0, 4, threading.get_ident())]


@pytest.mark.parametrize("where", [1, 2, 3])
def test_an_error_comes_through_and_threads_are_as_before(where, threads):
    threads(3)

    def work(first: int, last: int) -> None:
        if last == where:
            raise ValueError("here")

    with pytest.raises(ValueError, match="here"), own_threads():
        side_by_side(work, 3)
    assert torch.get_num_threads() == 3 and side_by_side(lambda first, last: last, 3) == [3]


@pytest.mark.parametrize("of", [stacked_blocks, stacked_products, stacked_smooth, waves], ids=lambda of: of.__name__)
def test_this_torch_compiles_what_is_to_be_compiled(of):
    found = [value for value in vars(of).values() if isinstance(value, Compiled)]
    assert found and all(isinstance(value.compiled(), torch.jit.ScriptFunction) for value in found)


def test_what_torch_does_not_compile_runs_as_it_is():
    compiled = Compiled(lambda value, **rest: value + len(rest))
    assert compiled(2) == 2 and compiled.compiled() is compiled.function


MODELS = {
    "periodic": lambda: TableNet(2, 3, dropout=0.3),
    "as they are": lambda: TableNet(2, 3, embedding="none", dropout=0.0),
    "blocks": lambda: MLP(2, 3, hidden=(80, 90)),
}


def gradients(name: str, rows: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    members, inputs = Members([MODELS[name]() for _ in range(5)]).train(), torch.randn(rows, 3)
    torch.manual_seed(1)
    found = members.each(inputs)
    found.square().sum().backward()
    return [found.detach(), *(value.grad for value in members.parameters())]


@pytest.mark.parametrize("rows", [5, 300])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("script", [True, False])
def test_any_number_of_threads_has_the_same_bits(name, rows, script, threads, monkeypatch):
    if not script:
        monkeypatch.setattr(module.torch.jit, "script", lambda function: 1 / 0)
        for of in (stacked_blocks, stacked_products, stacked_smooth, waves):
            for value in [value for value in vars(of).values() if isinstance(value, Compiled)]:
                monkeypatch.setattr(value, "_found", None)
    alone, found = gradients(name, rows), []
    for many in (2, 3):
        threads(many)
        with own_threads():
            found.append(gradients(name, rows))
    for one, other, plain in zip(*found, alone, strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(one, plain, rtol=1e-4, atol=1e-5)  # the last layer takes another kernel there


def blobs() -> ArrayTask:
    inputs = torch.randn(120, 3)
    target = (inputs[:, 0] + torch.randn(120) > 1).long()
    return ArrayTask("blobs", ("a", "b"), {"train": ResidentSource(inputs, target)}, model=MODELS["periodic"])


def test_members_learn_the_same_with_threads_of_their_own_and_one_model_keeps_those_of_torch(threads):
    task, regime = blobs(), Regime(epochs=2, batch_size=32, optimizer="adamw", lr=1e-2)
    wanted = copy.deepcopy(fit_members(task, ce, regime, seeds=range(4), device="cpu").model.state_dict())
    seen: list[int] = []

    class Watch(Assesses):
        def assess(self, report: object) -> None:
            seen.append(torch.get_num_threads())

    threads(2)
    cohort = fit_members(task, ce, regime, seeds=range(4), device="cpu", listeners=[Watch()])
    assert cohort.vectorised and seen == [1, 1] and torch.get_num_threads() == 2
    for name, value in cohort.model.state_dict().items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-5, atol=1e-6)
    fit(task, ce, regime, device="cpu", listeners=[Watch()])
    assert seen == [1, 1, 2, 2]
    seen.clear()
    fit_members(task, ce, regime.replace(precision="bfloat16"), seeds=range(2), device="cpu", listeners=[Watch()])
    assert seen == [2, 2]  # other layers do that
