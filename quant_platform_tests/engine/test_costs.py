"""What fills cost, where the money went, and the figures of a run; expected values by hand."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from quant_platform.engine.backtest import run
from quant_platform.engine.config import BacktestInvalid, Costs
from quant_platform.engine.cost_law import square_root_impact
from quant_platform.engine.decisions import Orders
from quant_platform.engine.metrics import sharpe_with_error
from quant_platform.engine.trailing import trailing_mean, trailing_volatility
from quant_platform_tests.engine.cases import CASH, config, flat_bars, shown

LONG, SHORT = "long_entry", "short_entry"


def costs(**given: Any) -> Costs:
    return Costs(**{"commission_rate": 0.0, "half_spread": 0.0, **given})


def traded(given: Costs, over: Any = None, action: str = LONG, bars: Any = None, **order: Any) -> Any:
    orders = Orders.build([1, 4], [0, 0], [action, action.replace("entry", "exit")], quantity=100, **order)
    return run(bars or flat_bars(over), orders, config(costs=given))


@pytest.mark.parametrize(
    ("given", "fees"),
    [
        (costs(commission_rate=0.001), [10.0, 10.0]),
        (costs(per_unit=0.005), [0.5, 0.5]),
        (costs(per_unit=0.005, minimum=1.0), [1.0, 1.0]),
        (costs(commission_rate=0.001, minimum=1.0), [10.0, 10.0]),
        (costs(per_order=2.5), [2.5, 2.5]),
        (costs(commission_rate=0.0001, per_unit=0.01, per_order=2.5), [4.5, 4.5]),
    ],
)
def test_commission(given: Costs, fees: list[float]) -> None:
    assert traded(given).fills["commission"].to_list() == pytest.approx(fees)


def test_the_minimum_commission_is_charged_once_per_order() -> None:
    bars = flat_bars(volume=np.full((9, 1), 400.0))
    orders = Orders.build([1], [0], [LONG], quantity=100)
    for given, fees in (
        (costs(per_unit=0.005, minimum=1.0), [1.0, 0.0, 0.0]),
        (costs(per_unit=0.02, minimum=1.0), [1.0, 0.6, 0.4]),
        (costs(per_order=2.5), [2.5, 0.0, 0.0]),
    ):
        result = run(bars, orders, config(costs=given, participation=0.1))
        assert result.fills["commission"].to_list() == pytest.approx(fees)


def test_the_minimum_of_an_exit_filled_in_parts_is_charged_once_too() -> None:
    volume = np.full((9, 1), 2000.0)
    volume[4:] = 400.0
    bars = flat_bars({4: (100, 101, 96, 98)}, volume=volume)
    orders = Orders.build([1], [0], [LONG], quantity=100, stop=0.03)
    result = run(bars, orders, config(costs=costs(minimum=3.0), participation=0.1))
    assert result.fills["commission"].to_list() == [3.0, 3.0, 0.0, 0.0]


def test_a_new_order_pays_its_minimum_anew() -> None:
    orders = Orders.build([1, 3, 5], [0, 0, 0], "trade", quantity=[10, 10, -5])
    result = run(flat_bars(), orders, config(costs=costs(minimum=3.0)))
    assert result.fills["commission"].to_list() == [3.0, 3.0, 3.0]


def test_market_orders_pay_half_the_spread_beyond_the_bar_if_need_be() -> None:
    over = {2: (100, 100, 100, 100), 5: (100, 100, 100, 100)}
    result = traded(costs(half_spread=0.001), over)
    assert shown(result) == [(2, 100, 100.1), (5, -100, 99.9)]
    assert result.totals["spread"] == pytest.approx(20.0)
    assert result.equity["equity"][8] == pytest.approx(CASH - 20.0)
    short = traded(costs(slippage_fixed=0.05), over, SHORT)
    assert shown(short) == [(2, -100, 99.95), (5, 100, 100.05)]


def test_a_stop_slips_from_a_base_that_holds_the_slippage_of_the_entry() -> None:
    result = traded(costs(half_spread=0.001), {3: (100, 101, 96, 98)}, stop=0.03)
    assert shown(result) == [(2, 100, 100.1), (3, -100, 96.999903)]


def test_a_target_pays_no_spread_unless_said() -> None:
    for over, at in (({3: (100, 106, 99, 104)}, 105.105), ({3: (107, 108, 106, 107)}, 107.0)):
        assert shown(traded(costs(half_spread=0.001), over, target=0.05))[1] == (3, -100, at)
        slipped = shown(traded(costs(half_spread=0.001, slip_targets=True), over, target=0.05))[1]
        assert slipped == (3, -100, round(at * 0.999, 9))


def test_a_target_pays_the_maker_rate_and_a_stop_the_takers() -> None:
    given = costs(commission_rate=0.001, maker_rate=0.0002)
    assert traded(given, {3: (100, 106, 99, 104)}, target=0.05).fills["commission"].to_list() == pytest.approx(
        [10.0, 2.1]
    )
    assert traded(given, {3: (100, 101, 96, 98)}, stop=0.03).fills["commission"].to_list() == pytest.approx([10.0, 9.7])


def test_the_spread_of_the_bars_is_taken_and_the_stated_one_where_it_is_not_known() -> None:
    spread = np.full((9, 1), 0.002)
    spread[5] = np.nan
    result = traded(costs(half_spread=0.5, unknown_half_spread=0.01), bars=flat_bars(half_spread=spread))
    assert shown(result) == [(2, 100, 100.2), (5, -100, 99.0)]
    assert result.counts["unknown_spread"] == 1


def test_impact_is_the_square_root_of_the_share_of_volume_before_the_fill() -> None:
    closes = [100.0, 101.0, 100.0, 101.0, 100.0, 101.0, 100.0, 101.0, 100.0]
    over = {t: (100.0, 102.0, 99.0, close) for t, close in enumerate(closes)}
    volume = np.full((9, 1), 10_000.0)
    volume[5:] = 1.0
    orders = Orders.build([4], [0], [LONG], quantity=100)
    given = costs(impact_coefficient=0.5, volatility_share=0.1, impact_window_bars=3)
    result = run(flat_bars(over, volume=volume), orders, config(costs=given))
    sigma = math.log(1.01)
    share = 0.1 * sigma + 0.5 * sigma * math.sqrt(100 / 10_000)
    assert result.fills["price"][0] == pytest.approx(100 * (1 + share), rel=1e-14)
    assert result.totals["impact"] == pytest.approx(10_000 * share)
    # The volume of the fill's own bar does not matter, that of the bars before does.
    early = Orders.build([1], [0], [LONG], quantity=100)
    unknown = run(flat_bars(over), early, config(costs=given))
    assert unknown.counts["unknown_impact"] == 1
    assert unknown.fills["price"][0] == pytest.approx(100.5)


def test_the_law_of_impact() -> None:
    assert square_root_impact(1.0, 0.02, 100.0, 10_000.0) == pytest.approx(0.002)
    # Diffusive scaling: five minutes and a day agree when volatility and volume are of one window.
    day = square_root_impact(0.9, 0.03, 500.0, 288_000.0)
    assert square_root_impact(0.9, 0.03 / math.sqrt(288), 500.0, 1000.0) == pytest.approx(day)
    per_unit = [square_root_impact(1.0, 0.02, q, 1e6) for q in (1e3, 2e3, 4e3)]
    assert per_unit[0] < per_unit[1] < per_unit[2] < 2 * per_unit[0] + 1e-18
    np.testing.assert_allclose(square_root_impact(1.0, np.array([0.02]), 100.0, np.array([1e4])), [0.002])


def test_trailing_windows_end_with_the_bar_before() -> None:
    values = np.array([[1.0], [3.0], [np.nan], [5.0], [100.0]])
    np.testing.assert_allclose(trailing_mean(values, 2)[:, 0], [np.nan, 1.0, 2.0, 3.0, 5.0])
    np.testing.assert_allclose(trailing_mean(values, 4)[:, 0], [np.nan, np.nan, 2.0, 2.0, 3.0])
    close = np.exp(np.array([[0.0], [0.1], [np.nan], [0.4], [9.0]]))
    np.testing.assert_allclose(
        trailing_volatility(close, 3)[:, 0], [np.nan, np.nan, np.nan, np.nan, math.sqrt((0.01 + 0.09) / 2)]
    )
    np.testing.assert_allclose(trailing_volatility(close, 2)[:, 0], [np.nan, np.nan, 0.1, 0.1, 0.3])


def test_borrow_and_margin_interest_accrue_with_time() -> None:
    year = 365.25
    result = traded(costs(borrow_rate=0.1), action=SHORT)
    paid = 10_000 * 0.1 * 3 / year
    assert result.totals["borrow"] == pytest.approx(paid)
    assert result.trades["borrow"].to_list() == pytest.approx([paid])
    assert result.equity["equity"][8] == pytest.approx(CASH - paid)
    orders = Orders.build([1], [0], [LONG], quantity=2000)
    result = run(flat_bars(sessions=4), orders, config(costs=costs(margin_rate=0.2), leverage=2.0))
    assert result.totals["interest"] == pytest.approx(100_000 * 0.2 / year)
    assert result.equity["cash"].to_list()[2:] == [pytest.approx(-100_000), pytest.approx(-100_000 * (1 + 0.2 / year))]


def test_a_trade_decomposes() -> None:
    given = costs(commission_rate=0.001, half_spread=0.002)
    over = {3: (103, 104, 98, 102), 5: (110, 111, 109, 110)}
    row = traded(given, over).trades.row(0, named=True)
    assert row["price_pnl"] == pytest.approx(1000.0)
    assert row["spread"] == pytest.approx(20.0 + 22.0)
    assert row["commission"] == pytest.approx(10.02 + 110 * 0.998 * 0.1)
    assert row["net_pnl"] == pytest.approx(1000 - row["spread"] - row["commission"])
    assert row["bars_held"] == 3
    assert row["break_even_bps"] == pytest.approx(1e4 * 1000 / (2 * 10_020))
    # 98 is the worst price, 110 the exit the best; the average entry is 100.2.
    assert row["mae"] == pytest.approx(98 / 100.2 - 1)
    assert row["mfe"] == pytest.approx(110 / 100.2 - 1)


def test_excursions_leave_out_what_the_exit_bar_did_after_the_exit() -> None:
    stopped = traded(costs(), {3: (100, 104, 96, 98)}, stop=0.03).trades.row(0, named=True)
    assert (stopped["mae"], stopped["mfe"]) == (pytest.approx(-0.03), pytest.approx(0.01))
    reached = traded(costs(), {3: (100, 107, 98, 98)}, target=0.05).trades.row(0, named=True)
    assert (reached["mae"], reached["mfe"]) == (pytest.approx(-0.02), pytest.approx(0.05))


def test_figures_of_a_run() -> None:
    given = costs(commission_rate=0.001)
    over = {3: (110, 110, 110, 110), 4: (99, 99, 99, 99), 5: (104, 105, 103, 104)}
    metrics = traded(given, over).metrics
    profit = 400 - 10 - 10.4
    assert metrics.total_return == pytest.approx(profit / CASH)
    assert metrics.annual_return == pytest.approx((1 + profit / CASH) ** (252 / 9) - 1)
    assert metrics.max_drawdown == pytest.approx(1100 / (CASH + 990))
    assert (metrics.trades, metrics.hit_rate, metrics.mean_bars_held) == (1, 1.0, 3.0)
    assert math.isnan(metrics.profit_factor)
    assert metrics.cost_bps == pytest.approx(1e4 * 20.4 / 20_400)
    assert metrics.break_even_bps == pytest.approx(1e4 * 400 / 20_400)
    assert metrics.commission == pytest.approx(20.4)
    assert metrics.periods_per_year == 252.0
    short = traded(given, over, SHORT).metrics
    assert short.profit_factor == 0.0
    assert short.hit_rate == 0.0
    assert short.mean_net < 0.0 < short.mean_gross


def test_exposure_and_turnover() -> None:
    result = traded(costs())
    assert result.exposures["gross"].to_list() == pytest.approx([0, 0, 0.1, 0.1, 0.1, 0, 0, 0, 0])
    assert result.metrics.mean_gross == pytest.approx(0.1 / 3)
    assert result.metrics.turnover == pytest.approx(20_000 / (9 / 252) / CASH)


def test_sharpe_and_its_error_by_hand() -> None:
    """Returns 1, 2, 3 %: mean 2, deviation 1, no skewness, raw kurtosis 1.5."""
    sharpe, error = sharpe_with_error(np.array([0.01, 0.02, 0.03]), 4.0)
    assert sharpe == pytest.approx(2.0 * 2)
    assert error == pytest.approx(2.0 * math.sqrt((1 + 0.5 / 4 * 4) / 2))
    assert all(math.isnan(x) for x in sharpe_with_error(np.array([0.01, 0.01, 0.01]), 252.0))
    assert all(math.isnan(x) for x in sharpe_with_error(np.array([0.01, np.nan, 0.02]), 252.0))
    skewed, error = sharpe_with_error(np.array([0.0, 0.0, 0.0, 0.04]), 1.0)
    g3, g4, s = 2 / math.sqrt(3), 7 / 3, 0.5
    assert skewed == pytest.approx(s)
    assert error == pytest.approx(math.sqrt((1 - g3 * s + (g4 - 1) / 4 * s * s) / 3))


def test_costs_must_be_stated_and_make_sense() -> None:
    with pytest.raises(TypeError):
        Costs()  # type: ignore[call-arg]  # the point
    assert not Costs.zero().has_impact
    for field in fields(Costs):
        if field.name in ("slip_targets", "maker_rate"):
            continue
        with pytest.raises(BacktestInvalid, match=f"{field.name} was -1"):
            costs(**{field.name: -1})
    with pytest.raises(BacktestInvalid, match=r"10 bps are 0\.001"):
        costs(commission_rate=10.0)
    with pytest.raises(BacktestInvalid, match="at least 2"):
        costs(impact_window_bars=1)


def test_the_last_bar_of_an_open_position_counts() -> None:
    bars = flat_bars(over={8: (100, 107, 100, 107)}, sessions=9)
    metrics = run(
        bars, Orders.build([1], [0], [LONG], quantity=100), config(costs=costs(commission_rate=0.001))
    ).metrics
    # Bought at 100 for 10 of commission, and worth 700 more on the last bar alone.
    assert metrics.total_return == pytest.approx((700 - 10) / CASH)
    assert metrics.break_even_bps == pytest.approx(1e4 * 700 / 10_000)
    assert metrics.trades == 0


def test_trailing_windows_of_each_asset_begin_where_they_should() -> None:
    """Windows of two: the mean of the two bars before, and the two steps between the three closes before."""
    values = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0], [8.0, 80.0]])
    np.testing.assert_allclose(trailing_mean(values, 2), [[np.nan] * 2, [1.0, 10.0], [1.5, 15.0], [3.0, 30.0]])
    volatility = trailing_volatility(np.exp(np.array([[0.0], [0.05], [0.15], [0.15], [0.15], [0.15]])), 2)[:, 0]
    # Steps of .05, .1, 0, 0, 0: one is half of the window, and enough.
    expected = [np.nan, np.nan, 0.05, np.sqrt((0.0025 + 0.01) / 2), np.sqrt(0.01 / 2), 0.0]
    np.testing.assert_allclose(volatility, expected, atol=1e-15)
    # Zero is a value like any other, and what is small stays so.
    np.testing.assert_allclose(trailing_mean(np.array([[0.0], [0.05], [0.0]]), 2)[:, 0], [np.nan, 0.0, 0.025])
