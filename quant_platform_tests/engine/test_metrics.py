"""The figures of a run from tables written by hand: each worked out from its definition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.engine.config import EngineConfig
from quant_platform.engine.metrics import measure, sharpe_with_error
from quant_platform_tests.engine.cases import config

TOTALS = {
    "interest": 0.7, "commission": 3.0, "spread": 2.0, "impact": 1.0, "funding": 0.4, "borrow": 0.5, "dividends": 0.6,
}  # fmt: skip


def equity_of(values: list[float], returns: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"equity": values, "return": returns, "drawdown": [0.0] * len(values)}, schema_overrides={"return": pl.Float64}
    )


@dataclass
class Account:
    """A thousand that four bars, two to a year, leave at 1188."""

    config: EngineConfig = field(default_factory=lambda: config(initial_cash=1000.0, periods_per_year=2.0))
    equity: pl.DataFrame = field(
        default_factory=lambda: equity_of([1000.0, 1100.0, 990.0, 1188.0], [None, 0.1, -0.1, 0.2]).with_columns(
            drawdown=pl.Series([0.0, 0.0, 0.1, 0.0])
        )
    )
    fills: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame({"quantity": [10.0, -4.0], "reference_price": [20.0, 25.0]})
    )
    trades: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(
            {"exit_bar": [1, 3, 2, None], "net_pnl": [0.05, -0.02, 0.0, 99.0], "bars_held": [1, 3, 2, None]}
        )
    )
    totals: Mapping[str, float] = field(default_factory=lambda: TOTALS)
    exposures: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame({"gross": [0.0, None, 0.5, 0.7], "net": [-0.2, None, 0.2, 0.3]})
    )


def test_every_figure_of_four_bars() -> None:
    """Returns .1, -.1 and .2 have the mean 1/15 and the variance (1/900 + 25/900 + 16/900) / 2 = 7/300."""
    found = measure(Account())
    assert found.periods_per_year == 2.0
    assert found.total_return == pytest.approx(0.188)
    assert found.annual_return == pytest.approx(math.sqrt(1.188) - 1.0)
    assert found.annual_volatility == pytest.approx(math.sqrt(2.0) * math.sqrt(7 / 300))
    assert found.sharpe == pytest.approx(math.sqrt(2.0) / 15.0 / math.sqrt(7 / 300))
    assert found.max_drawdown == 0.1
    # 10 at 20 and 4 at 25 are 300, over two years, on a mean equity of 1069.5.
    assert found.turnover == pytest.approx(150.0 / 1069.5)
    # The fourth trade is open; the third neither gained nor lost.
    assert (found.trades, found.hit_rate, found.mean_bars_held) == (3, pytest.approx(1 / 3), 2.0)
    assert found.profit_factor == pytest.approx(2.5)
    assert (found.mean_gross, found.mean_net) == (pytest.approx(0.4), pytest.approx(0.1))
    assert {name: getattr(found, name) for name in TOTALS} == TOTALS
    assert found.cost_bps == pytest.approx(1e4 * 6.0 / 300.0)
    assert found.break_even_bps == pytest.approx(1e4 * (188.0 + 6.0) / 300.0)


def test_one_return_has_no_volatility_and_two_have() -> None:
    one = Account(equity=equity_of([1000.0, 1100.0], [None, 0.1]))
    assert math.isnan(measure(one).annual_volatility)
    two = Account(equity=equity_of([1000.0, 1100.0, 990.0], [None, 0.1, -0.1]))
    # Mean 0, squares .01 and .01 over one.
    assert measure(two).annual_volatility == pytest.approx(math.sqrt(2.0) * math.sqrt(0.02))


@pytest.mark.parametrize(
    ("last", "annual"), [(50.0, math.sqrt(0.05) - 1.0), (2000.0, math.sqrt(2.0) - 1.0), (0.0, -1.0), (-300.0, -1.0)]
)
def test_growth_per_year_of_what_is_left_and_minus_one_where_nothing_is(last: float, annual: float) -> None:
    account = Account(equity=equity_of([1000.0, 1000.0, 1000.0, last], [None, 0.0, 0.0, last / 1000.0 - 1.0]))
    assert measure(account).annual_return == pytest.approx(annual)


def test_what_was_never_traded_has_no_rates() -> None:
    nothing: dict[str, Any] = {"fills": Account().fills.clear(), "trades": Account().trades.clear()}
    found = measure(Account(**nothing))
    assert (found.trades, found.turnover) == (0, 0.0)
    for name in ("hit_rate", "profit_factor", "mean_bars_held", "cost_bps", "break_even_bps"):
        assert math.isnan(getattr(found, name)), name


def test_costs_over_a_value_of_a_few_cents() -> None:
    fills = pl.DataFrame({"quantity": [-0.005], "reference_price": [10.0]})
    found = measure(Account(fills=fills))
    assert found.cost_bps == pytest.approx(1e4 * 6.0 / 0.05)
    assert found.break_even_bps == pytest.approx(1e4 * 194.0 / 0.05)


@pytest.mark.parametrize(
    ("returns", "known"),
    [([0.1, 0.1 + 1e-10, 0.1], True), ([0.1, np.nextafter(0.1, 1.0), 0.1], False),
     ([1e6, 1e6 + 1e-9, 1e6], False), ([1e6, 1e6 + 1e-6, 1e6], True)],
)  # fmt: skip
def test_returns_that_differ_by_rounding_alone_have_no_sharpe_ratio(returns: list[float], known: bool) -> None:
    sharpe, error = sharpe_with_error(np.array(returns), 1.0)
    assert (not math.isnan(sharpe), not math.isnan(error)) == (known, known)


def test_a_missing_return_is_left_out_of_the_sharpe_ratio() -> None:
    whole = sharpe_with_error(np.array([0.01, 0.02, 0.03]), 4.0)
    assert sharpe_with_error(np.array([np.nan, 0.01, 0.02, np.nan, 0.03]), 4.0) == whole
