"""Days of perpetuals made by hand: closes at midnight, funding at its settlements, holes that hold the whole move."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import NotAvailable
from quant_platform.labs.suite.backtest import require_panel
from quant_platform.labs.suite.book import run_book, target_weights
from quant_platform.labs.suite.costs import cost_rates
from quant_platform.labs.suite.experiments import development_panel
from quant_platform.labs.suite.frames import dates_frame, exposures_frame, panel_of_frames, returns_frame
from quant_platform.labs.suite.own_panel import own_panel
from quant_platform.labs.suite.perpetuals import perp_baseline_plan, perp_baseline_signals, perp_days, perp_frames
from quant_platform.labs.suite.ranking import rank_panel
from quant_platform.specification.loading import load_spec
from quant_platform.specification.suite import BaselinesFile, load_suite
from quant_platform_tests.homes import SHIPPED

SUITE = load_suite(SHIPPED)
FILE = load_spec(SHIPPED / "suite" / "perp_baselines.yaml", BaselinesFile)
START = datetime(2024, 3, 1, tzinfo=UTC)


def bar(minutes: int, price: float, **columns: Any) -> dict[str, Any]:
    return {"symbol": "BTCUSDT", "bar": START + timedelta(minutes=minutes), "open": price, "close": price} | columns


def grid(days: int, *made: dict[str, Any], symbol: str = "BTCUSDT", without: range = range(0)) -> list[dict[str, Any]]:
    """Every bar of some days with a known rate that does not settle; those that are made stand instead, some are not.

    ``without`` are minutes. Bars that are not made have no price, so that no move is invented.
    """
    own = {one["bar"]: one for one in made}
    quiet = {"open": math.nan, "close": math.nan, "funding_rate": 0.01, "funding_settle": 0.0}
    stamps = [START + timedelta(minutes=k) for k in range(0, days * 1440, 5) if k not in without]
    return [{"symbol": symbol, "bar": stamp} | quiet | own.get(stamp, {}) | {"symbol": symbol} for stamp in stamps]


def test_a_day_earns_its_move_less_the_funding_that_a_long_has_paid() -> None:
    day = 24 * 60
    rows = grid(
        4,
        bar(day - 5, 100.0, spot_close=99.0, oi=7.0, quote_volume=10.0, volume=4.0, taker_buy_volume=3.0),
        # Settled at midnight, at the price of the bar that opens then: 1 % of 102.
        bar(day, 102.0, funding_rate=0.01, funding_settle=1.0, quote_volume=5.0, volume=6.0, taker_buy_volume=1.0),
        bar(day + 5, 103.0),
        bar(day + 480, 110.0, funding_rate=-0.02, funding_settle=1.0),
        # Settled where there is no price: at the last close, 110.
        {"bar": START + timedelta(minutes=day + 960), "funding_rate": 0.03, "funding_settle": 1.0},
        bar(2 * day - 5, 120.0, spot_close=125.0, oi=9.0),
        # The third day has no last bar, the fourth holds its move and its funding.
        bar(2 * day, 121.0, funding_rate=0.01, funding_settle=1.0),
        bar(4 * day - 5, 132.0),
    )
    days = perp_days(pl.DataFrame(rows, infer_schema_length=None))
    assert days["session"].to_list() == [date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 4)]
    assert days["ret"][0] is None
    assert days["ret"][1] == pytest.approx((120.0 - 1.02 + 2.2 - 3.3) / 100.0 - 1.0)
    assert days["ret"][2] == pytest.approx((132.0 - 1.21) / 120.0 - 1.0)
    assert days["funding"].to_list() == [None, pytest.approx(0.02), None]
    assert days["funding_unknown_hours"].to_list() == [None, 0.0, 0.0]
    assert days["basis"].to_list() == [pytest.approx(100 / 99 - 1), pytest.approx(120 / 125 - 1), None]
    assert days["open_interest"].to_list() == [7.0, 9.0, None]
    assert days["quote_volume"].to_list() == [10.0, 5.0, None]
    assert days["taker_imbalance"].to_list() == [pytest.approx(0.5), pytest.approx(-4 / 6), None]


def test_unknown_funding_is_counted_in_hours_and_stays_out_of_the_return() -> None:
    """Four closes of 100, 110, 121 and 133.1: 10 % a day, of which only known funding is taken."""
    day = 24 * 60
    closes = [bar((k + 1) * day - 5, 100.0 * 1.1**k) for k in range(4)]
    unknown = [
        {"bar": START + timedelta(minutes=day + 5 * k), "funding_rate": math.nan, "funding_settle": math.nan}
        for k in range(96)
    ]
    # A rate that settles and is not known is a bar of unknown funding. So is every bar that is not there.
    lost = {"bar": START + timedelta(minutes=2 * day + 480), "funding_rate": None, "funding_settle": 1.0}
    paid = bar(2 * day + 960, 110.0, funding_rate=0.01, funding_settle=1.0)
    rows = grid(4, *closes, *unknown, lost, paid, without=range(3 * day, 3 * day + 6 * 60))
    days = perp_days(pl.DataFrame(rows, infer_schema_length=None))
    assert days["ret"].to_list() == [None, *(pytest.approx(x) for x in (0.1, 0.1 - 1.1 / 110.0, 0.1))]
    assert days["funding_unknown_hours"].to_list() == [None, *(pytest.approx(x) for x in (8.0, 1 / 12, 6.0))]
    # The rate of the third day is one of two: their sum is not known.
    assert days["funding"].to_list() == [None] * 4
    whole = perp_days(pl.DataFrame(grid(4, *closes, paid), infer_schema_length=None))
    assert whole["funding"].to_list() == [None, None, pytest.approx(0.01), None]
    without = perp_days(pl.DataFrame(closes[:1] + closes[2:]))
    assert without["funding_unknown_hours"].to_list() == [None, 48.0, 24.0]


def test_unknown_funding_costs_long_and_short_alike() -> None:
    """Long A and short B, both at 1, over 8, 0 and 4 unknown hours of A, and 16 of B on the second day."""
    day = 24 * 60

    def symbol(name: str, unknown: dict[int, int]) -> list[dict[str, Any]]:
        closes = [bar((k + 1) * day - 5, 100.0) for k in range(4)]
        gone = [
            {"bar": START + timedelta(minutes=d * day + 5 * k), "funding_settle": math.nan}
            for d, hours in unknown.items()
            for k in range(12 * hours)
        ]
        return grid(4, *closes, *gone, symbol=name)

    days = perp_days(pl.DataFrame(symbol("A", {1: 8, 3: 4}) + symbol("B", {2: 16}), infer_schema_length=None))
    made = own_panel(perp_frames(days, SUITE.suite), SUITE.suite, exchange="UTC")
    stored = returns_frame(made)
    read = panel_of_frames(
        stored, exposures_frame(made), dates_frame(made), SUITE.suite, snapshot_id="s", simulated=False
    )
    values = np.array([[2.0, 1.0]] * 4)
    for panel in (made, read):
        assert panel.funding_unknown_share == pytest.approx(3 / 6)
        targets = target_weights(rank_panel(values), values, panel, weight="equal", fractile=(50.0, 50.001), mincos=1)
        costs = SUITE.costs.model_copy(update={"naive_bps": 0.0, "unknown_funding_bps": 3.0})
        book = run_book(targets, panel, cost_rates("naive", panel, costs), lag=0, capital=1.0, max_age=31)
        np.testing.assert_allclose(book.gross, 0.0, atol=1e-15)
        np.testing.assert_allclose(book.net, [0.0, -3e-4, -6e-4, -1.5e-4], atol=1e-15)
        np.testing.assert_allclose(book.net_of(book.by_cap).sum(axis=1), book.net, atol=1e-15)
        np.testing.assert_allclose(book.net_of(book.by_industry).sum(axis=1), book.net, atol=1e-15)
        assert book.unfunded.tolist() == [0, 1, 1, 1]
    early = development_panel(made, date(2024, 3, 3))
    assert early.funding_unknown_share == pytest.approx(1 / 2)
    # A market on which no funding is due has no such column, and pays nothing.
    equities = panel_of_frames(
        stored.with_columns(funding_unknown_hours=pl.lit(None, dtype=pl.Float64)),
        exposures_frame(made), dates_frame(made), SUITE.suite, snapshot_id="s", simulated=False,
    )  # fmt: skip
    assert equities.funding_unknown_share is None
    assert cost_rates("naive", equities, SUITE.costs).holding is None


def test_what_a_source_lacks_is_null_and_a_symbol_is_there_while_it_is_listed() -> None:
    closes = [bar(1440 * (k + 1) - 5, 100.0 + k) for k in range(3)]
    later = [{**bar(1440 * 3 - 5, 50.0), "symbol": "ETHUSDT"}, {**bar(1440 * 2 - 5, 40.0), "symbol": "ETHUSDT"}]
    days = perp_days(pl.DataFrame([*closes, *later]))
    assert days["ticker"].to_list() == ["BTCUSDT"] * 3 + ["ETHUSDT"] * 2
    assert days.select("quote_volume", "funding", "basis", "open_interest", "taker_imbalance").null_count().row(0) == (
        5, 5, 5, 5, 5,
    )  # fmt: skip
    made = own_panel(perp_frames(days, SUITE.suite), SUITE.suite, exchange="UTC")
    assert made.periods_per_year == 365
    np.testing.assert_array_equal(made.universe, [[True, False], [True, True], [True, True]])
    assert made.returns[2, 1] == pytest.approx(0.25)
    with pytest.raises(NotAvailable, match=r"2 names carries no IC(?s:.*)fractiles(?s:.*)long and a short leg"):
        require_panel(made, SUITE.suite)


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
    frame = pl.DataFrame(
        {"ticker": ["X"] * n, "session": sessions, "ret": ret, "quote_volume": [1.0] * n, **made}
    ).with_columns(funding_unknown_hours=pl.lit(0.0))
    return frame.with_columns(pl.col("ret").fill_nan(None)), {**made, "ret": ret}


def test_baselines_are_their_formulas(
    walk: tuple[pl.DataFrame, dict[str, np.ndarray[Any, np.dtype[np.float64]]]],
) -> None:
    days, made = walk
    panel = own_panel(perp_frames(days, SUITE.suite), SUITE.suite, exchange="UTC")
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
    panel = own_panel(perp_frames(days, SUITE.suite), SUITE.suite, exchange="UTC")
    signals, missing = perp_baseline_signals(days, panel, FILE)
    assert set(missing) == {"funding_crowding_fade", "order_flow_imbalance"}
    assert {signal.name for signal in signals} == set(FILE.baselines) - set(missing)
    assert max(perp_baseline_plan(FILE).memory.values()) == 90
