"""Bars at the ends of what they may be, the order of their events, and which assets are gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.engine.backtest import events_of, market_of, run
from quant_platform.engine.bars import Bars, Event
from quant_platform.engine.config import BacktestInvalid, Costs
from quant_platform.engine.decisions import Orders
from quant_platform_tests.engine.cases import DAY, MISSING, config, flat_bars, shown

ROW = {"ticker": "A", "open": 2.0, "high": 2.5, "low": 1.5, "close": 2.0}


@pytest.mark.parametrize(
    ("bar", "said"),
    [
        ((0.05, 0.06, 0.04, 0.05), None),
        ((100, 100, 100, 100), None),
        ((100, 101, 99, 101), None),
        ((100, 101, 99, 99), None),
        ((100, 100.5, 99, 101), "a high is below"),
        ((102, 101, 99, 100), "a high is below"),
        ((100, 101, 99.5, 99), "a low above"),
        ((98, 101, 99, 100), "a low above"),
        ((0.0, 101, 0.0, 100), "zero, negative or infinite"),
        ((100, np.inf, 99, 100), "zero, negative or infinite"),
        ((np.nan, np.nan, np.nan, 100), "some of its prices"),
    ],
)
def test_which_bars_are_possible(bar: Any, said: str | None) -> None:
    if said is None:
        assert flat_bars({3: bar}).close[3, 0] == bar[3]
    else:
        with pytest.raises(BacktestInvalid, match=said) as error:
            flat_bars({3: bar})
        assert error.value.how_many == "1 of 9 bars"
        assert (error.value.rows[0]["asset"], error.value.rows[0]["stamp"]) == ("A0", "1970-01-04T00:00:00")


def test_a_volume_may_be_nothing_and_little_but_not_negative() -> None:
    assert flat_bars(volume=np.array([0.0, 0.05, np.nan] * 3)[:, None]).panel[4, :3, 0].tolist()[:2] == [0.0, 0.05]
    with pytest.raises(BacktestInvalid, match="a volume is negative"):
        flat_bars(volume=np.full((9, 1), -0.05))


@pytest.mark.parametrize("name", ["lot", "tick", "minimum_notional"])
def test_traits_of_an_asset_are_nothing_unless_stated_and_never_negative(name: str) -> None:
    assert getattr(flat_bars(assets=2), name).tolist() == [0.0, 0.0]
    assert getattr(flat_bars(**{name: np.array([0.05])}), name).tolist() == [0.05]
    for wrong in (-0.05, np.inf, np.nan):
        with pytest.raises(BacktestInvalid, match=f"{name} holds a number below zero or none"):
            flat_bars(**{name: np.array([wrong])})


@pytest.mark.parametrize(
    ("name", "values"),
    [("splits", (0.05, 2.0)), ("dividends", (0.0, 0.05)), ("funding", (-0.05, 0.0, np.nan)),
     ("delistings", (0.0, 0.05, np.nan))],
)  # fmt: skip
@pytest.mark.parametrize(("bar", "asset"), [(0, 0), (8, 1)])
def test_events_of_the_first_and_the_last_bar_and_asset(name: str, values: Any, bar: int, asset: int) -> None:
    for value in values:
        event = Event(bar, asset, value)
        assert getattr(flat_bars(assets=2, **{name: (event,)}), name) == (event,)
    for wrong in (Event(9, asset, 1.0), Event(-1, asset, 1.0), Event(bar, 2, 1.0), Event(bar, -1, 1.0)):
        with pytest.raises(BacktestInvalid, match="lies outside the bars"):
            flat_bars(assets=2, **{name: (wrong,)})


@pytest.mark.parametrize(
    ("name", "value"),
    [("splits", 0.0), ("splits", -0.05), ("splits", np.nan), ("splits", np.inf), ("dividends", -0.05),
     ("dividends", np.nan), ("dividends", np.inf), ("funding", np.inf), ("funding", -np.inf), ("delistings", -0.05),
     ("delistings", np.inf)],
)  # fmt: skip
def test_values_that_an_event_cannot_have(name: str, value: float) -> None:
    with pytest.raises(BacktestInvalid, match="no value it can have"):
        flat_bars(**{name: (Event(3, 0, value),)})


def test_events_of_a_bar_happen_kind_by_kind_then_asset_by_asset() -> None:
    bars = flat_bars(
        assets=2, funding=(Event(3, 0, 0.1),), dividends=(Event(3, 1, 0.2), Event(3, 0, 0.3)),
        splits=(Event(3, 1, 2.0), Event(2, 1, 3.0)), delistings=(Event(3, 1, 0.4),),
    )  # fmt: skip
    bar, asset, kind, value = bars.events()
    # The earlier bar first; then a delisting, a split, two dividends, a funding: kinds 0 to 3.
    assert bar.tolist() == [2, 3, 3, 3, 3, 3]
    assert kind.tolist() == [1, 0, 1, 2, 2, 3]
    assert asset.tolist() == [1, 1, 1, 0, 1, 0]
    assert value.tolist() == [3.0, 0.4, 2.0, 0.3, 0.2, 0.1]
    assert flat_bars().events()[0].shape == (0,)


def test_days_and_years_of_the_bars() -> None:
    events = events_of(flat_bars(sessions=4))
    assert events.day.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(events.years, [0.0, 1 / 365.25, 1 / 365.25, 1 / 365.25])
    hourly = replace(flat_bars(sessions=4), stamps=DAY // 2 * np.arange(4))
    assert events_of(hourly).day.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(("gone_after", "gone"), [(1, [0, 1]), (2, [0]), (5, [0]), (6, [])])
def test_an_asset_is_gone_when_so_many_bars_are_missing_at_its_end(gone_after: int, gone: list[int]) -> None:
    """The first misses the last five of nine bars, the second the last, the third none and the fourth all."""
    prices = {name: getattr(flat_bars(assets=4), name).copy() for name in ("open", "high", "low", "close")}
    for price in prices.values():
        price[4:, 0] = price[8:, 1] = price[:, 3] = np.nan
    bars = replace(flat_bars(assets=4), **prices)
    found = bars.with_ends(gone_after, {"A0": 0.4, "A1": 0.05}).delistings
    expected = {0: Event(4, 0, 0.4), 1: Event(8, 1, 0.05)}
    assert found == tuple(expected[k] for k in gone)


def test_a_delisting_that_is_stated_stands() -> None:
    bars = flat_bars(dict.fromkeys(range(5, 9), MISSING), delistings=(Event(5, 0, 0.7),))
    assert bars.with_ends(1, {"A0": 0.1}).delistings == (Event(5, 0, 0.7),)


def test_a_table_with_times_of_day_spreads_and_unknown_volumes() -> None:
    frame = pl.DataFrame(
        {
            **{name: [value] * 2 for name, value in ROW.items()},
            "session": [datetime(1970, 1, 1, 12), datetime(1970, 1, 1, 18)],
            "volume": [None, None],
            "half_spread": [0.001, None],
        }
    )
    bars = Bars.from_frame(frame)
    assert bars.stamps.tolist() == [DAY // 2, DAY // 4 * 3]
    assert np.isnan(bars.panel[4]).all()
    np.testing.assert_array_equal(bars.half_spread, [[0.001], [np.nan]])
    # Volume and spread stand in the fifth and sixth layer behind open, high, low and close.
    np.testing.assert_array_equal(bars.panel[:, 0, 0], [2.0, 2.5, 1.5, 2.0, np.nan, 0.001])


def test_other_names_of_the_columns_and_further_fields() -> None:
    frame = pl.DataFrame({**{name: [value] for name, value in ROW.items()}, "session": [date(1970, 1, 2)]})
    renamed = frame.rename({"ticker": "name", "session": "day"})
    bars = Bars.from_frame(renamed, asset="name", stamp="day", lot=np.array([0.5]))
    assert (bars.assets, bars.stamps.tolist(), bars.lot.tolist()) == (("A",), [DAY], [0.5])
    assert bars.volume is None


@pytest.mark.parametrize(
    ("lot", "wanted", "bought"),
    [(0.3, 1.0, 0.9), (2.5, 9.0, 7.5), (0.05, 0.12, 0.1), (1.0, 2.9, 2.0), (0.0, 0.123, 0.123), (0.1, 3.0, 3.0)],
)
def test_lots_of_any_size(lot: float, wanted: float, bought: float) -> None:
    orders = Orders.build([1], [0], ["long_entry"], quantity=wanted)
    result = run(flat_bars(lot=np.array([lot])), orders, config(units="lot"))
    assert result.fills["quantity"].to_list() == [pytest.approx(bought, rel=1e-15)]
    assert shown(run(flat_bars(lot=np.array([lot])), orders, config(units="fractional"))) == [(2, wanted, 100.0)]


def test_a_lot_that_is_a_part_of_one_is_a_division_and_any_other_a_product() -> None:
    bars = flat_bars(lot=np.array([0.1, 0.3, 0.0, 2.0]), assets=4)
    traits = market_of(bars, config(units="lot")).traits
    # Whole or not, numerator, denominator.
    assert traits[:, :3].tolist() == [[1, 1, 10], [1, 0.3, 1], [0, 1, 1], [1, 2, 1]]
    assert market_of(bars, config(units="whole")).traits[:, :3].tolist() == [[1, 1, 1]] * 4


def test_trailing_sums_are_made_only_where_size_costs() -> None:
    assert market_of(flat_bars(), config()).costs.shape == (2, 1, 1)
    dear = config(costs=Costs(0.0, 0.0, impact_coefficient=0.05, impact_window_bars=2))
    costs = market_of(flat_bars(volume=np.full((9, 1), 7.0)), dear).costs
    assert costs.shape == (2, 9, 1)
    np.testing.assert_array_equal(costs[:, 3, 0], [0.0, 7.0])
