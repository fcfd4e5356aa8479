"""Days of perpetuals made by hand: closes at midnight, funding at its settlements, holes that hold the whole move."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import NotAvailable
from quant_platform.labs.suite.backtest import require_panel
from quant_platform.labs.suite.own_panel import own_panel
from quant_platform.labs.suite.perpetuals import perp_baseline_plan, perp_baseline_signals, perp_days, perp_frames
from quant_platform.specification.loading import load_spec
from quant_platform.specification.suite import BaselinesFile, load_suite
from quant_platform_tests.homes import SHIPPED

SUITE = load_suite(SHIPPED).suite
FILE = load_spec(SHIPPED / "suite" / "perp_baselines.yaml", BaselinesFile)
START = datetime(2024, 3, 1, tzinfo=UTC)


def bar(minutes: int, price: float, **columns: Any) -> dict[str, Any]:
    return {"symbol": "BTCUSDT", "bar": START + timedelta(minutes=minutes), "open": price, "close": price} | columns


def test_a_day_earns_its_move_less_the_funding_that_a_long_has_paid() -> None:
    day = 24 * 60
    rows = [
        bar(day - 5, 100.0, spot_close=99.0, oi=7.0, quote_volume=10.0, volume=4.0, taker_buy_volume=3.0),
        # Settled at midnight, at the price of the bar that opens then: 1 % of 102.
        bar(day, 102.0, funding_rate=0.01, funding_settle=1.0, quote_volume=5.0, volume=6.0, taker_buy_volume=1.0),
        bar(day + 5, 103.0, funding_rate=0.01, funding_settle=0.0),
        bar(day + 480, 110.0, funding_rate=-0.02, funding_settle=1.0),
        bar(2 * day - 5, 120.0, spot_close=125.0, oi=9.0, funding_rate=-0.02, funding_settle=0.0),
        # The third day has no last bar, the fourth holds its move and its funding.
        bar(2 * day, 121.0, funding_rate=0.01, funding_settle=1.0),
        bar(4 * day - 5, 132.0, funding_rate=0.01, funding_settle=0.0),
    ]
    days = perp_days(pl.DataFrame(rows))
    assert days["session"].to_list() == [date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 4)]
    assert days["ret"][0] is None
    assert days["ret"][1] == pytest.approx((120.0 - 1.02 + 2.2) / 100.0 - 1.0)
    assert days["ret"][2] == pytest.approx((132.0 - 1.21) / 120.0 - 1.0)
    assert days["funding"].to_list() == [None, pytest.approx(-0.01), None]
    assert days["basis"].to_list() == [pytest.approx(100 / 99 - 1), pytest.approx(120 / 125 - 1), None]
    assert days["open_interest"].to_list() == [7.0, 9.0, None]
    assert days["quote_volume"].to_list() == [10.0, 5.0, None]
    assert days["taker_imbalance"].to_list() == [pytest.approx(0.5), pytest.approx(-4 / 6), None]


def test_what_a_source_lacks_is_null_and_a_symbol_is_there_while_it_is_listed() -> None:
    closes = [bar(1440 * (k + 1) - 5, 100.0 + k) for k in range(3)]
    later = [{**bar(1440 * 3 - 5, 50.0), "symbol": "ETHUSDT"}, {**bar(1440 * 2 - 5, 40.0), "symbol": "ETHUSDT"}]
    days = perp_days(pl.DataFrame([*closes, *later]))
    assert days["ticker"].to_list() == ["BTCUSDT"] * 3 + ["ETHUSDT"] * 2
    assert days.select("quote_volume", "funding", "basis", "open_interest", "taker_imbalance").null_count().row(0) == (
        5, 5, 5, 5, 5,
    )  # fmt: skip
    made = own_panel(perp_frames(days, SUITE), SUITE, exchange="UTC")
    assert made.periods_per_year == 365
    np.testing.assert_array_equal(made.universe, [[True, False], [True, True], [True, True]])
    assert made.returns[2, 1] == pytest.approx(0.25)
    with pytest.raises(NotAvailable, match=r"2 names carries no IC(?s:.*)fractiles(?s:.*)long and a short leg"):
        require_panel(made, SUITE)


@pytest.fixture(scope="module")
def walk() -> tuple[pl.DataFrame, dict[str, np.ndarray[Any, np.dtype[np.float64]]]]:
    """One symbol over 160 days with everything known, and the arrays it was made of."""
    rng = np.random.default_rng(11)
    n = 160
    made = {
        "close": 100.0 * np.exp(np.cumsum(rng.normal(0, 0.02, n))),
        "funding": rng.normal(0, 1e-4, n),
        "basis": rng.normal(0, 1e-3, n),
        "open_interest": np.exp(rng.normal(0, 0.1, n)),
        "taker_imbalance": rng.normal(0, 0.1, n),
    }
    sessions = [date(2024, 1, 1) + timedelta(days=k) for k in range(n)]
    ret = np.append(np.nan, made["close"][1:] / made["close"][:-1] - 1.0)
    frame = pl.DataFrame({"ticker": ["X"] * n, "session": sessions, "ret": ret, "quote_volume": [1.0] * n, **made})
    return frame.with_columns(pl.col("ret").fill_nan(None)), {**made, "ret": ret}


def test_baselines_are_their_formulas(
    walk: tuple[pl.DataFrame, dict[str, np.ndarray[Any, np.dtype[np.float64]]]],
) -> None:
    days, made = walk
    panel = own_panel(perp_frames(days, SUITE), SUITE, exchange="UTC")
    signals, missing = perp_baseline_signals(days, panel, FILE)
    assert not missing
    t = 150
    found = {signal.name: signal.by_date[t, 0] for signal in signals}
    assert set(found) == set(FILE.baselines)
    close, sd = made["close"], made["ret"][t - 29 : t + 1].std(ddof=1)
    momentum = np.mean([(close[t] / close[t - k] - 1) / (sd * np.sqrt(k)) for k in (7, 30, 90)])
    assert found["time_series_momentum"] == pytest.approx(momentum, rel=1e-9)
    assert found["cross_sectional_momentum"] == pytest.approx(close[t - 1] / close[t - 29] - 1, rel=1e-12)
    assert found["mean_reversion"] == pytest.approx(-(close[t] / close[t - 3] - 1) / (sd * np.sqrt(3)), rel=1e-9)

    def score(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
        before = values[t - 60 : t]
        return float((values[t] - before.mean()) / before.std(ddof=1))

    def mean3(values: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([values[max(0, k - 2) : k + 1].mean() for k in range(len(values))])

    growth = np.append(np.full(7, np.nan), made["open_interest"][7:] / made["open_interest"][:-7])
    crowded = score(mean3(made["funding"])), score(mean3(made["basis"])), score(growth)
    assert found["funding_fade"] == pytest.approx(-crowded[0], rel=1e-9)
    assert found["funding_crowding_fade"] == pytest.approx(-np.mean(crowded), rel=1e-9)
    assert found["order_flow_imbalance"] == pytest.approx(made["taker_imbalance"][t - 2 : t + 1].mean(), rel=1e-9)


def test_a_baseline_without_its_inputs_is_named(
    walk: tuple[pl.DataFrame, dict[str, np.ndarray[Any, np.dtype[np.float64]]]],
) -> None:
    days = walk[0].with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in ("basis", "taker_imbalance"))
    panel = own_panel(perp_frames(days, SUITE), SUITE, exchange="UTC")
    signals, missing = perp_baseline_signals(days, panel, FILE)
    assert set(missing) == {"funding_crowding_fade", "order_flow_imbalance"}
    assert {signal.name for signal in signals} == set(FILE.baselines) - set(missing)
    assert max(perp_baseline_plan(FILE).memory.values()) == 90
