from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from steelyard.estimator.usual import FEW, LEAST_PATIENCE, STEPS_A_ROW, usual_network, usual_regime
from steelyard.nets import MLP
from steelyard.regimes.for_table import SMALL, for_table


@given(st.integers(1, 10**8))
def test_the_recipe_is_that_for_tables_with_few_steps_for_few_rows(rows: int) -> None:
    usual, base = usual_regime(rows), for_table(rows=rows)
    steps = usual.epochs * rows / usual.batch_size
    assert steps <= STEPS_A_ROW * rows or usual.epochs == base.epochs
    assert (usual.batch_size, usual.lr, usual.ema) == (base.batch_size, base.lr, base.ema)
    assert usual.epochs <= base.epochs
    assert 0 < usual.warmup_epochs <= usual.epochs / 10


@given(st.integers(1, 10**6))
def test_small_tables_are_stopped_by_the_loss_of_held_out_rows(rows: int) -> None:
    usual = usual_regime(rows)
    if rows < SMALL:
        assert (usual.watch, usual.select) == ("log_loss", "best_valid")
        assert LEAST_PATIENCE <= usual.patience <= max(LEAST_PATIENCE, usual.epochs)
    else:
        assert (usual.patience, usual.select) == (None, "last")


@given(st.integers(SMALL, 10**6), st.integers(1, 10**4))
def test_so_are_larger_ones_with_few_rows_of_a_class(rows: int, rarest: int) -> None:
    usual = usual_regime(rows, rarest)
    if rarest < FEW:
        assert (usual.watch, usual.select, usual.schedule) == ("log_loss", "best_valid", "constant")
        assert usual.ema is not None
        assert usual.patience >= LEAST_PATIENCE
        assert usual.epochs == usual_regime(rows).epochs
    else:
        assert usual == usual_regime(rows)


def test_a_network_that_was_asked_for_is_taken() -> None:
    assert usual_network("mlp", 100, 3) == ("mlp", {})
    network = MLP(2, 3)
    assert usual_network(network, 100, 3) == (network, {})
    name, settings = usual_network("auto", 100, 3)
    assert name == "table-net"
    assert settings["embedding"] == "none"
