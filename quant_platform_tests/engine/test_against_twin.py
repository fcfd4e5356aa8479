"""The kernel against the slow account in plain Python, on random cases of every kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant_platform.engine.backtest import run
from quant_platform_tests.engine import cases
from quant_platform_tests.engine.twin import Twin, run_twin

# Small blocks: a mutant of the engine meets them uncompiled, where a large one would take too long to be tried.
CASES = 25
DEAR = 5_000.0


def assert_same(seed: object, result: cases.BacktestResult, twin: Twin) -> None:
    """Fills by bar and asset, fees, and the equity of every bar.

    Within a bar several assets may leave in any order, so fills of one bar are compared asset by asset.
    """
    found = sorted(
        ((row["bar"], row["asset"], k, row["quantity"], row["price"], row["commission"], str(row["reason"]))
         for k, row in enumerate(result.fills.iter_rows(named=True))),
        key=lambda row: row[:3],
    )  # fmt: skip
    expected = sorted(
        ((bar, f"A{asset}", k, signed, price, fee, reason)
         for k, ((bar, asset, signed, price, reason), fee) in enumerate(zip(twin.fills, twin.fees, strict=True))),
        key=lambda row: row[:3],
    )  # fmt: skip
    places = [[(row[0], row[1], row[6]) for row in rows] for rows in (found, expected)]
    assert places[0] == places[1], seed
    numbers = [np.array([row[3:6] for row in rows]).reshape(len(rows), 3) for rows in (found, expected)]
    np.testing.assert_allclose(numbers[0], numbers[1], rtol=1e-9, atol=1e-9, err_msg=str(seed))
    equity = result.equity["equity"].to_numpy()
    np.testing.assert_allclose(equity, twin.equity, rtol=1e-9, atol=1e-6, err_msg=str(seed))
    # A reverse split may leave less than a lot of a position, which ends without an exit.
    closed = sorted((a, worst, best) for a, worst, best in twin.excursions)
    assert len(closed) == result.trades["exit_bar"].is_not_null().sum()


@pytest.mark.parametrize("block", range(80))
def test_orders_of_every_kind(block: int) -> None:
    traded = 0
    for case in range(CASES):
        rng = np.random.default_rng([11, block, case])
        bars, config = cases.random_bars(rng), cases.random_config(rng)
        orders = cases.random_orders(rng, bars, stops=config.sizing.kind == "risk_fraction")
        result = run(bars, orders, config)
        assert_same((11, block, case), result, run_twin(bars, orders, config))
        traded += result.fills.height
    assert traded > 2 * CASES


@pytest.mark.parametrize("block", range(40))
def test_target_weights(block: int) -> None:
    traded = 0
    for case in range(CASES):
        rng = np.random.default_rng([12, block, case])
        bars, config = cases.random_bars(rng), cases.random_config(rng, risk=False)
        weights = cases.random_weights(rng, bars)
        result = run(bars, weights, config)
        assert_same((12, block, case), result, run_twin(bars, weights, config))
        traded += result.fills.height
    assert traded > 2 * CASES


@pytest.mark.parametrize("block", range(12))
def test_quantities_far_below_one(block: int) -> None:
    """A unit that costs more than the account holds is traded by its thousandths, as those of coins are."""
    traded = 0
    for case in range(CASES):
        rng = np.random.default_rng([13, block, case])
        bars = cases.dear(cases.random_bars(rng), DEAR)
        config = replace(cases.random_config(rng), units="fractional" if rng.random() < 0.7 else "lot")
        if config.sizing.kind == "units":
            config = replace(config, sizing=replace(config.sizing, value=config.sizing.value / DEAR))
        orders = cases.random_orders(rng, bars, stops=config.sizing.kind == "risk_fraction")
        orders = cases.smaller(orders, DEAR)
        result = run(bars, orders, config)
        assert_same((13, block, case), result, run_twin(bars, orders, config))
        quantities = result.fills["quantity"].abs()
        traded += int((quantities < 0.1).sum())
    assert traded > 2 * CASES
