from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError
from steelyard.regimes.for_table import FEWEST, MANY, MOST, SMALL, for_table
from steelyard.settings import resolve_regime


@given(rows=st.integers(1, 10**8))
def test_batches_are_powers_of_two_within_bounds(rows: int) -> None:
    regime = for_table(rows=rows)
    assert regime.batch_size in (64, 128, 256, 512, 1024)
    assert (FEWEST if rows <= MANY else 1) <= regime.epochs <= MOST
    assert 0 < regime.warmup_epochs < regime.epochs / 2


def test_ten_times_as_many_rows_take_about_three_times_as_many_steps() -> None:
    steps = [for_table(rows=rows).epochs * rows for rows in (MANY, 10 * MANY)]
    assert 2.5 < steps[1] / steps[0] < 4


@given(rows=st.integers(150, 25_000))
def test_tables_of_middling_size_get_about_the_same_number_of_steps(rows: int) -> None:
    regime = for_table(rows=rows)
    steps, wanted = regime.epochs * rows / regime.batch_size, 600 if rows < SMALL else 1000
    assert 0.9 * wanted <= steps <= max(1.1 * wanted, 1.01 * FEWEST * rows / regime.batch_size)


@pytest.mark.parametrize(("rows", "schedule", "ema"), [(SMALL - 1, "constant", 0.97), (SMALL, "cosine", None)])
def test_any_epoch_of_a_small_table_is_a_fair_place_to_stop(rows: int, schedule: str, ema: float | None) -> None:
    regime = for_table(rows=rows)
    assert (regime.schedule, regime.ema) == (schedule, ema)


@given(rows=st.integers(1, 10**6), more=st.integers(0, 10**6))
def test_larger_tables_never_get_smaller_batches(rows: int, more: int) -> None:
    assert for_table(rows=rows).batch_size <= for_table(rows=rows + more).batch_size


def test_it_is_written_like_any_regime() -> None:
    assert resolve_regime("for-table(rows=1000,lr=0.01)") == for_table(rows=1000, lr=0.01)
    assert resolve_regime("for-table", epochs=3).epochs == 3


@pytest.mark.parametrize("rows", [0, -5])
def test_a_table_has_rows(rows: int) -> None:
    with pytest.raises(ArgumentError, match="`rows`"):
        for_table(rows=rows)
