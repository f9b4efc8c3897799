"""Running means of features by class, in every store."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.world import World, launch
from steelyard.weightings import prototypes as module
from steelyard.weightings.prototypes import Prototypes

STORES = ("dense", "compact", "mapped")
every_store = pytest.mark.parametrize("store", STORES)


def made(store: str, folder: Path, classes: int = 50, momentum: float = 0.9) -> Prototypes:
    return Prototypes(classes, momentum, str(folder) if store == "mapped" else store)


def batches(seed: int, classes: int = 50, rows: int = 12, count: int = 9, depth: int = 3) -> list[tuple[Tensor, Tensor]]:
    stream = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(rows, depth, generator=stream), torch.randint(classes, (rows,), generator=stream)) for _ in range(count)
    ]


def everything(prototypes: Prototypes, depth: int = 3) -> tuple[Tensor, Tensor]:
    return prototypes.of(torch.arange(prototypes.num_classes), depth)


@every_store
def test_first_the_mean_then_the_moving_mean(store: str, tmp_path: Path) -> None:
    prototypes = made(store, tmp_path, momentum=0.75)
    prototypes.update(torch.tensor([[2.0], [4.0], [9.0]]), torch.tensor([5, 5, 49]))
    prototypes.update(torch.tensor([[7.0]]), torch.tensor([5]))
    values, known = everything(prototypes, 1)
    assert values[known].flatten().tolist() == [4.0, 9.0]
    assert known.nonzero().flatten().tolist() == [5, 49]
    assert not values[~known].any()


@given(st.integers(0, 2**31 - 1))
def test_equal_batches_leave_every_bit(seed: int) -> None:
    features, target = batches(seed)[0]
    prototypes = Prototypes(50)
    prototypes.update(features, target)
    first = everything(prototypes)[0]
    for _ in range(20):
        prototypes.update(features, target)
    assert torch.equal(everything(prototypes)[0], first)


def test_the_half_life_at_a_momentum_of_nine_tenths() -> None:
    prototypes = Prototypes(2)
    prototypes.update(torch.ones(1, 1), torch.tensor([1]))
    left = []
    for _ in range(8):
        prototypes.update(torch.zeros(1, 1), torch.tensor([1]))
        prototypes.update(torch.zeros(1, 1), torch.tensor([0]))  # of another class: does not count
        left.append(float(prototypes.of(torch.tensor([1]), 1)[0]))
    assert left[5] > 0.5 > left[6]


@pytest.mark.parametrize("seed", range(3))
def test_all_stores_hold_the_same(seed: int, tmp_path: Path) -> None:
    held = [made(store, tmp_path) for store in STORES]
    for features, target in batches(seed):
        for prototypes in held:
            prototypes.update(features, target)
    values, known = everything(held[0])
    assert 12 < int(known.sum()) < 50
    for other in held[1:]:
        assert torch.equal(everything(other)[0], values)
        assert torch.equal(everything(other)[1], known)


def test_a_compact_store_grows_with_the_classes_seen() -> None:
    prototypes = Prototypes(10**6, store="compact")
    prototypes.update(torch.ones(900, 2), torch.randperm(10**6)[:900])
    small = prototypes.rows.shape[0]
    classes = torch.randperm(10**6)[:5000]
    prototypes.update(torch.arange(10000.0).reshape(5000, 2), classes)
    assert small < 2000 < 5000 < prototypes.rows.shape[0] < 10_000
    values, known = prototypes.of(classes, 2)
    assert known.all()
    assert len(torch.unique(prototypes.slot)) == int(prototypes.used) + 1 == int((prototypes.slot > 0).sum()) + 1
    assert values[-1].tolist() in ([9998.0, 9999.0], [999.9 + 0.9 - 0.1, 1000.8])


@pytest.mark.parametrize(
    ("classes", "depth", "kind"), [(10, 64, "dense"), (8142, 2048, "dense"), (10**6, 64, "compact"), (10**5, 512, "compact")]
)
def test_the_store_is_chosen_by_size(classes: int, depth: int, kind: str) -> None:
    prototypes = Prototypes(classes)
    prototypes.rows = torch.empty(0, depth)
    assert prototypes.kind == kind


@every_store
def test_shares_count_and_rows_without_are_left_out(store: str, tmp_path: Path) -> None:
    prototypes = made(store, tmp_path)
    features, target = torch.tensor([[4.0], [8.0], [5.0]]), torch.tensor([3, 3, 7])
    prototypes.update(features, target, torch.tensor([0.25, 0.75, 0.0]))
    values, known = everything(prototypes, 1)
    assert known.nonzero().flatten().tolist() == [3]
    assert values[3] == 7
    prototypes.update(features, target, torch.tensor([0.0, 0.0, 1.0]))
    assert everything(prototypes, 1)[0][[3, 7]].flatten().tolist() == [7.0, 5.0]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("other", STORES)
def test_what_one_store_saved_another_goes_on_with_bit_for_bit(store: str, other: str, tmp_path: Path) -> None:
    first, second = made(store, tmp_path), made(other, tmp_path)
    before, after = batches(1)[:4], batches(1)[4:]
    for features, target in before:
        first.update(features, target)
    state = copy.deepcopy(first.state_dict())
    assert list(state) == ["classes", "prototypes"]
    second.update(*after[0])  # what was there goes
    second.load_state_dict(state)
    for features, target in after:
        first.update(features, target)
        second.update(features, target)
    assert torch.equal(everything(first)[0], everything(second)[0])
    assert torch.equal(everything(first)[1], everything(second)[1])
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value)


def test_an_untouched_state_can_be_loaded() -> None:
    used = Prototypes(50)
    used.update(*batches(0)[0])
    used.load_state_dict(Prototypes(50).state_dict())
    assert not everything(used, 8)[1].any()


def test_a_state_that_does_not_fit_is_refused() -> None:
    large = Prototypes(10**3)
    large.update(torch.ones(1, 2), torch.tensor([999]))
    with pytest.raises(RuntimeError, match="prototypes of class 999, where there are 50 classes"):
        Prototypes(50).load_state_dict(large.state_dict())
    with pytest.raises(RuntimeError, match="Missing key"):
        Prototypes(50).load_state_dict({})


@every_store
def test_double_precision_is_kept(store: str, tmp_path: Path) -> None:
    prototypes = made(store, tmp_path)
    features = torch.full((1, 2), 1 / 3, dtype=torch.float64)
    prototypes.update(features, torch.tensor([1]))
    assert torch.equal(prototypes.of(torch.tensor([1]), 2)[0], features)
    half = made(store, tmp_path)
    half.update(features.bfloat16(), torch.tensor([1]))
    assert half.rows.dtype == torch.float32


def test_a_mapped_store_takes_no_name_and_stays_where_it_is(tmp_path: Path) -> None:
    prototypes = made("mapped", tmp_path, classes=10**5)
    prototypes.update(torch.ones(1, 4), torch.tensor([99_999]))
    assert prototypes.kind == "mapped"
    assert not list(tmp_path.iterdir())
    assert prototypes.double().rows.dtype == torch.float32
    assert prototypes.of(torch.tensor([99_999]), 4)[0].tolist() == [[1, 1, 1, 1]]


def test_a_folder_without_room_is_refused(tmp_path: Path) -> None:
    prototypes = made("mapped", tmp_path, classes=10**13)
    with pytest.raises(ArgumentError, match="`store` should be a folder with room for"):
        prototypes.update(torch.ones(1, 64), torch.tensor([0]))


@pytest.mark.parametrize(("argument", "value"), [("momentum", 1.0), ("momentum", -0.1), ("store", "nowhere/at/all")])
def test_wrong_arguments_are_named(argument: str, value: float | str) -> None:
    with pytest.raises(ArgumentError, match=argument):
        Prototypes(3, **{argument: value})  # type: ignore[arg-type]


def test_another_width_is_refused() -> None:
    prototypes = Prototypes(3)
    prototypes.update(torch.ones(1, 4), torch.tensor([0]))
    with pytest.raises(ArgumentError, match="of width 4 as before; found width 5"):
        prototypes.of(torch.tensor([0]), 5)
    with pytest.raises(ArgumentError, match="of width 4 as before; found width 5"):
        prototypes.update(torch.ones(1, 5), torch.tensor([0]))


def of_two_processes() -> list[list[list[float]]]:
    """Every batch split unevenly, by rows shown to each other and by sums added up; what each process ends with."""
    world, held = World.current(), []
    for module.REDUCED_NUMBERS in (0, 1 << 20):
        prototypes = Prototypes(50)
        for features, target in batches(2):
            part = slice(0, 3) if world.rank else slice(3, None)
            prototypes.update(features[part], target[part])
        held.append(everything(prototypes)[0].tolist())
    return [values for others in world.gather(held) for values in others]


@pytest.mark.multiprocess
def test_two_processes_have_the_prototypes_of_one() -> None:
    alone = Prototypes(50)
    for features, target in batches(2):
        alone.update(features, target)
    held = launch(of_two_processes, 2)
    assert len(held) == 4
    for values in held:
        torch.testing.assert_close(torch.tensor(values), everything(alone)[0])
