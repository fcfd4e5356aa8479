"""What one side costs at every bar of a panel, and what funding a holding pays; worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from quant_platform.engine.costs import one_way_cost_bps, paid_funding
from quant_platform.market.perp_panel import PricePanel
from quant_platform.specification.discovery import CostSpec

COST = CostSpec(
    fee_bps=5.0, order_usd=100.0, impact_coefficient=1.0, unknown_spread_bps=20.0, unknown_impact_bps=50.0,
    unknown_funding_bps=9.6, stress=2.0,
)  # fmt: skip


def panel(**columns: Any) -> PricePanel:
    rows = {name: np.atleast_2d(np.asarray(values, dtype=np.float64)) for name, values in columns.items()}
    count, bars = next(iter(rows.values())).shape
    return PricePanel(
        tuple(f"S{k}" for k in range(count)), datetime(2024, 1, 1, tzinfo=UTC), {"open": np.ones((count, bars)), **rows}
    )


def test_a_side_costs_fee_half_spread_and_impact_by_the_mean_volume_of_the_hour() -> None:
    volume = np.full(14, 10_000.0)
    # With the first bar the mean of twelve is 40,000, without it 10,000.
    volume[0] = 10_000.0 + 12 * 30_000.0
    found = one_way_cost_bps(panel(spread_bps=np.full(14, 4.0), rv12=np.full(14, 0.002), quote_volume=volume), COST)
    # Y rv12 sqrt(100 / 40,000) is 1 bps and sqrt(100 / 10,000) makes 2; fee and half spread are 7.
    np.testing.assert_allclose(found[0, 11:], [8.0, 9.0, 9.0])
    # Five bars are less than half an hour: impact is not known, and 50. Six are enough, with a mean of 70,000.
    np.testing.assert_allclose(found[0, :5], 57.0)
    np.testing.assert_allclose(found[0, 5], 7.0 + 20.0 * np.sqrt(100.0 / 70_000.0))


def test_what_is_not_known_costs_the_pessimistic_number() -> None:
    spread = [np.full(12, 4.0), np.full(12, np.nan), np.full(12, 4.0), np.full(12, 4.0)]
    volatility = [np.full(12, 0.002), np.full(12, 0.002), np.full(12, np.nan), np.full(12, 0.002)]
    volume = [np.full(12, 1e4), np.full(12, 1e4), np.full(12, 1e4), np.zeros(12)]
    found = one_way_cost_bps(panel(spread_bps=spread, rv12=volatility, quote_volume=volume), COST)
    # Nothing missing; a spread of 20; no volatility; no volume.
    np.testing.assert_allclose(found[:, 11], [5 + 2 + 2, 5 + 10 + 2, 5 + 2 + 50, 5 + 2 + 50])
    absent = one_way_cost_bps(panel(rv12=volatility[:1], quote_volume=volume[:1]), COST)
    np.testing.assert_allclose(absent[0, 11], 5 + 10 + 2)


def test_a_holding_pays_the_known_rates_of_settlements_and_a_charge_where_nobody_knows() -> None:
    nan = np.nan
    settle = [[0.0, 1.0, nan, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    rate = [[0.5, 0.0001, 0.0002, nan, nan, -0.0003], [0.0002, 0.0, 0.0, 0.0, 0.0, 0.0]]
    found = paid_funding(panel(funding_settle=settle, funding_rate=rate), COST)
    # A rate counts at its settlement alone: 1 bps at the second bar, -3 at the last.
    np.testing.assert_allclose(found.known, [[0.0, 1.0, 1.0, 1.0, 1.0, -2.0], [2.0] * 6])
    # 9.6 bps per eight hours are 0.1 per five minutes: no settlement known, or one without a rate.
    np.testing.assert_allclose(found.unknown, [[0.0, 0.0, 0.1, 0.2, 0.2, 0.2], [0.0] * 6], atol=1e-15)


def test_without_any_file_of_funding_every_bar_is_charged() -> None:
    found = paid_funding(panel(rv12=np.zeros((1, 96))), COST)
    assert not found.known.any()
    # 96 bars of five minutes are eight hours.
    np.testing.assert_allclose(found.unknown[0, -1], 9.6)
