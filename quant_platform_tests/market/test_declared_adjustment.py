"""The response of prices to dividends: simulated ex-days with a known answer, and two vendors of the same names."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from quant_platform.market.calendar import session_array
from quant_platform.market.cleaning import clean_bars
from quant_platform.market.declared_adjustment import (
    contradicted_years,
    declared_adjustment,
    ex_days,
    response_by_year,
)
from quant_platform.sources import open_source
from quant_platform_tests.market.builders import actions as no_actions
from quant_platform_tests.market.builders import cleaning_spec
from quant_platform_tests.sources.builders import shipped


def world(drop_until: int, names: int = 40, years: int = 6) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Names with a quarterly dividend of 0.7 %, whose closes drop by it before the year 2000 + ``drop_until`` only."""
    random = np.random.default_rng(11)
    sessions = [date(2000, 1, 3) + timedelta(days=k) for k in range(365 * years)]
    closes, dividends = [], []
    for name in range(names):
        move = random.normal(0, 0.015, len(sessions))
        paid = np.arange(20 + name, len(sessions), 91)
        dropped = [k for k in paid if sessions[k].year < 2000 + drop_until]
        move[dropped] += np.log1p(-0.007)
        closes.append(pl.DataFrame({"ticker": f"N{name}", "session": sessions, "close": 50 * np.exp(np.cumsum(move))}))
        dividends.append(pl.DataFrame({"ticker": f"N{name}", "ex_date": [sessions[k] for k in paid], "yield": 0.007}))
    return pl.concat(closes), pl.concat(dividends)


def test_the_years_before_the_change_are_told_from_those_after() -> None:
    response = response_by_year(ex_days(*world(drop_until=3)))
    assert response["dividends"].sum() == sum(len(range(20 + k, 365 * 6, 91)) for k in range(40))
    assert (response["response"] - pl.Series([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])).abs().max() < 0.6
    pooled = response.select((pl.col("response") * pl.col("dividends")).rolling_sum(3)).to_series()
    whole = response["dividends"].rolling_sum(3)
    assert pooled[2] / whole[2] == pytest.approx(1.0, abs=0.3)
    assert pooled[5] / whole[5] == pytest.approx(0.0, abs=0.3)


@pytest.mark.parametrize(("delivered", "wrong"), [("split_dividend", {2000, 2001, 2002}), ("none", {2003, 2004, 2005})])
def test_a_declaration_is_contradicted_in_the_years_it_does_not_hold(delivered: str, wrong: set[int]) -> None:
    response = response_by_year(ex_days(*world(drop_until=3, names=200)))
    assert set(contradicted_years(response, delivered)["year"]) == wrong
    [finding] = declared_adjustment(response, delivered, "raw.equity_bars")
    assert (finding.rows, finding.total) == (3, 6)


def test_few_dividends_say_nothing() -> None:
    response = response_by_year(ex_days(*world(drop_until=3, names=5)))
    assert declared_adjustment(response, "split_dividend", "raw.equity_bars") == []


@pytest.mark.real_data
def test_the_sp500_set_is_adjusted_for_dividends_from_2011_on_only(shared_data: Path) -> None:
    """Against Lean's unadjusted closes and its own dividends, name by name: the reference is the total return."""
    vendor = open_source(shipped("sp500_daily"), shared_data / "us_sp500_daily_2000_2015")
    lean = open_source(shipped("lean"), shared_data / "us_corporate_actions_lean" / "raw" / "equity" / "usa")
    calendar, spec = session_array("XNYS", date(1998, 1, 1), date(2021, 12, 31)), cleaning_spec()
    closes, dividends, moves = [], [], []
    for name in ("AAPL", "AIG", "BAC", "IBM", "WM"):
        closes.append(clean_bars(vendor.bars(name), no_actions(), spec, calendar).bars)
        other = clean_bars(lean.bars(name), lean.actions(name), spec, calendar)
        paid = other.actions.filter((pl.col("kind") == "cash_dividend") & pl.col("close_before").is_not_null())
        dividends.append(paid.select("ticker", "ex_date", (pl.col("value") / pl.col("close_before")).alias("yield")))
        there = other.bars.filter(pl.col("close").is_not_nan())
        moves.append(there.select("ticker", "session", pl.col("close").log().diff().alias("move")).drop_nulls())
    days = ex_days(
        pl.concat(frame.select("ticker", "session", "close") for frame in closes),
        pl.concat(dividends),
        pl.concat(moves),
    )
    response = dict(response_by_year(days).select("year", "response").iter_rows())
    for year in range(2004, 2011):
        assert response[year] == pytest.approx(1.0, abs=0.2)
    for year in range(2011, 2016):
        assert response[year] == pytest.approx(0.0, abs=0.15)
    wrong = contradicted_years(response_by_year(days), "split_dividend")["year"].to_list()
    assert set(range(2004, 2011)) <= set(wrong)
    assert not set(wrong) & set(range(2011, 2016))
