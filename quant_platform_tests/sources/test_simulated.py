from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy import stats

from quant_platform.contracts.errors import SourceNotFound, SpecError
from quant_platform.contracts.schemas.raw import RawCorporateActions, RawEquityBars, RawFundamentals, RawSecurities
from quant_platform.market.calendar import session_array
from quant_platform.market.cleaning import CleanResult, clean_bars
from quant_platform.sources import open_source
from quant_platform.sources.simulated import SimulatedMarket, SimulatedSource, simulate
from quant_platform.specification.sources import SimulatedSpec
from quant_platform_tests.market.builders import actions as no_actions
from quant_platform_tests.market.builders import cleaning_spec
from quant_platform_tests.sources.builders import shipped

Floats = NDArray[np.float64]


def world(name: str, **changes: Any) -> SimulatedSpec:
    spec = shipped("simulated").simulated
    assert spec is not None
    return spec.model_copy(update={"world": name, "vendor_errors": ()} | changes)


@pytest.fixture(scope="module")
def demo() -> SimulatedSource:
    source = open_source(shipped("simulated"))
    assert isinstance(source, SimulatedSource)
    return source


@pytest.fixture(scope="module")
def cleaned(demo: SimulatedSource) -> dict[str, CleanResult]:
    days = session_array("XNYS", date(2018, 1, 1), date(2024, 1, 1))
    spec = cleaning_spec()
    return {name: clean_bars(demo.bars(name), demo.actions(name), spec, days) for name in demo.tickers()}


def markets(name: str, seeds: range) -> Iterator[SimulatedMarket]:
    for seed in seeds:
        yield simulate.__wrapped__(world(name, seed=seed))


def panel(market: SimulatedMarket) -> Floats:
    """Total returns, sessions by names, NaN where not listed."""
    wide = market.total_return.pivot(on="ticker", index="session", values="total_return").sort("session")
    return wide.drop("session").to_numpy()


def test_every_table_has_its_schema(demo: SimulatedSource) -> None:
    assert demo.simulated
    assert len(demo.tickers()) == 120
    RawSecurities.validate(demo.securities())
    for ticker in demo.tickers():
        RawEquityBars.validate(demo.bars(ticker))
        RawCorporateActions.validate(demo.actions(ticker))
        RawFundamentals.validate(demo.fundamentals(ticker))


def test_the_demo_market_has_splits_and_both_kinds_of_delisting(demo: SimulatedSource) -> None:
    actions = pl.concat(list(demo.market.actions.values()))
    assert actions.filter(pl.col("kind") == "split").height >= 1
    assert set(actions.filter(pl.col("kind") == "delisting")["value"]) == {-0.3, 0.15}
    assert actions.filter(pl.col("kind") == "cash_dividend").height > 100


def test_the_same_spec_gives_the_same_bits_and_another_seed_does_not() -> None:
    small = world("planted", names=10, years=1)
    first, second = simulate.__wrapped__(small), simulate.__wrapped__(small)
    other = simulate.__wrapped__(small.model_copy(update={"seed": 1}))
    assert first.bars["SIM003"].equals(second.bars["SIM003"])
    assert first.oracle.equals(second.oracle)
    assert not first.bars["SIM003"].equals(other.bars["SIM003"])
    assert simulate(small) is simulate(small)


def test_planting_errors_moves_nothing_else(demo: SimulatedSource) -> None:
    clean = simulate.__wrapped__(world("planted"))
    spoilt = {ticker for ticker, _ in demo.market.planted_errors}
    assert len(spoilt) == 9
    for ticker in demo.tickers():
        assert clean.bars[ticker].equals(demo.bars(ticker)) == (ticker not in spoilt)


def test_every_planted_error_is_found_and_nothing_else_is(
    demo: SimulatedSource, cleaned: dict[str, CleanResult]
) -> None:
    rules = {
        "duplicate_row": "duplicate_key",
        "decimal_shift": "decimal_shift",
        "decimal_shift_row": "decimal_shift_row",
        "non_positive": "non_positive",
        "ohlc_inconsistent": "ohlc_inconsistent",
        "stale_row": "stale",
    }
    expected = {(ticker, rules[kind]) for ticker, kind in demo.market.planted_errors if kind in rules}
    found = [(ticker, rule) for ticker, result in cleaned.items() for rule in result.quarantine["rule"]]
    assert sorted(found) == sorted(expected)
    holes = {t for t, result in cleaned.items() if (result.bars["missing_reason"] == "vendor_hole").any()}
    assert holes == {ticker for ticker, kind in demo.market.planted_errors if kind == "missing_session"}


def test_our_adjustment_recovers_the_total_returns(demo: SimulatedSource, cleaned: dict[str, CleanResult]) -> None:
    truth = demo.market.total_return
    worst = 0.0
    for ticker, result in cleaned.items():
        joined = result.bars.join(truth.filter(pl.col("ticker") == ticker), on="session", how="left")
        close = joined["close"].to_numpy()
        difference = np.abs(close[1:] / close[:-1] - 1.0 - joined["total_return"].to_numpy()[1:])
        # Prices are rounded to four decimals, so a price of 1 carries an error of 1e-4 in a return.
        allowed = 2e-4 / np.minimum(1.0, joined["close_unadjusted"].to_numpy())[1:]
        judged = np.isfinite(difference)
        assert (difference[judged] <= allowed[judged]).all(), ticker
        worst = max(worst, float(difference[judged].max()))
    assert worst > 0.0


def test_without_the_actions_a_split_looks_like_a_crash(demo: SimulatedSource, cleaned: dict[str, CleanResult]) -> None:
    actions = pl.concat(list(demo.market.actions.values())).filter(pl.col("kind") == "split")
    ticker, ex_date = actions.select("ticker", "ex_date").row(0)
    days = session_array("XNYS", date(2018, 1, 1), date(2024, 1, 1))
    naive = clean_bars(demo.bars(ticker), no_actions(), cleaning_spec(), days).bars
    moves = {}
    for name, bars in (("naive", naive), ("adjusted", cleaned[ticker].bars)):
        change = bars.with_columns(pl.col("close").pct_change().alias("change"))
        moves[name] = change.filter(pl.col("session") == ex_date)["change"][0]
    assert moves["naive"] < -0.4
    assert abs(moves["adjusted"]) < 0.15
    assert moves["adjusted"] == pytest.approx(2 * (1 + moves["naive"]) - 1, rel=1e-9)


def test_bars_end_with_the_delisting_and_members_are_listed(demo: SimulatedSource) -> None:
    securities = {row["ticker"]: row for row in demo.securities().iter_rows(named=True)}
    gone = 0
    for ticker in demo.tickers():
        bars, actions = demo.bars(ticker), demo.actions(ticker)
        delisting = actions.filter(pl.col("kind") == "delisting")["ex_date"].to_list()
        assert securities[ticker]["start_date"] == bars["session"][0]
        assert delisting in ([], [bars["session"][-1]])
        assert securities[ticker]["end_date"] == (delisting[0] if delisting else None)
        assert not actions["ex_date"].is_in([bars["session"][0]]).any()
        gone += len(delisting)
    assert gone > 0


def test_failures_had_lost_seventy_percent() -> None:
    market = simulate.__wrapped__(world("planted"))
    failed = 0
    for ticker, actions in market.actions.items():
        if actions.filter((pl.col("kind") == "delisting") & (pl.col("value") < 0)).height:
            wealth = (1 + market.total_return.filter(pl.col("ticker") == ticker)["total_return"].to_numpy()).cumprod()
            assert wealth[-1] < 0.3 * max(1.0, wealth.max())
            failed += 1
    assert failed > 0


def test_prices_stay_between_the_splits(demo: SimulatedSource) -> None:
    closes = pl.concat(list(simulate.__wrapped__(world("planted")).bars.values()))["close"]
    assert 150.0 < closes.max() < 150.0 * 1.6
    assert closes.min() > 0.3


def test_high_and_low_surround_the_bar_and_look_like_a_diffusion() -> None:
    bars = pl.concat(list(simulate.__wrapped__(world("null")).bars.values()))
    inside = bars.select(
        ((pl.col("high") >= pl.max_horizontal("open", "close")) & (pl.col("low") <= pl.min_horizontal("open", "close")))
        .all()
        .alias("inside")
    )
    assert inside["inside"][0]
    # Parkinson (1980): E[ln(H/L)^2] = 4 ln 2 x variance of the open-to-close return.
    moments = bars.select(
        (pl.col("high") / pl.col("low")).log().pow(2).mean().alias("range"),
        (pl.col("close") / pl.col("open")).log().pow(2).mean().alias("move"),
    ).row(0)
    assert moments[0] / moments[1] == pytest.approx(4 * np.log(2), rel=0.05)


def test_the_oracle_is_the_expected_return() -> None:
    market = simulate.__wrapped__(world("planted", names=300))
    joined = market.total_return.join(market.oracle, on=["session", "ticker"])
    earned, expected = joined["total_return"].to_numpy(), joined["expected_return"].to_numpy()
    # A regression of what was earned on what was expected, days as clusters: slope one.
    daily = (
        joined.with_columns(
            (pl.col("expected_return") - pl.col("expected_return").mean().over("session")).alias("x"),
            (pl.col("total_return") - pl.col("total_return").mean().over("session")).alias("y"),
        )
        .group_by("session")
        .agg(xy=(pl.col("x") * pl.col("y")).sum(), xx=(pl.col("x") ** 2).sum())
    )
    slope = daily["xy"].sum() / daily["xx"].sum()
    residual = daily["xy"].to_numpy() - slope * daily["xx"].to_numpy()
    error = np.sqrt((residual**2).sum()) / daily["xx"].sum()
    assert abs(slope - 1.0) < 3 * error
    assert error < 0.2
    assert len(earned) == len(expected)


@pytest.fixture(scope="module")
def null_panels() -> list[Floats]:
    """Total returns of 16 null worlds, whose oracles are checked on the way."""
    panels = []
    for market in markets("null", range(100, 116)):
        assert (market.oracle["expected_return"] == 0).all()
        panels.append(panel(market))
    return panels


@pytest.mark.long
def test_in_the_null_world_nothing_is_expected_and_nothing_is_earned(null_panels: list[Floats]) -> None:
    means = [np.nanmean(each) for each in null_panels]
    assert abs(stats.ttest_1samp(means, 0.0).statistic) < 3


def _information_coefficients(returns: Floats) -> dict[str, float]:
    """Mean rank IC of momentum and volatility at non-overlapping dates, plainly."""
    wealth = np.nancumprod(1 + np.nan_to_num(returns), axis=0)
    wealth[np.isnan(returns)] = np.nan
    found: dict[str, list[float]] = {"momentum": [], "volatility": []}
    for t in range(252, len(wealth) - 31, 30):
        forward = wealth[t + 31] / wealth[t + 1]
        for name, signal in (
            ("momentum", wealth[t - 21] / wealth[t - 252]),
            ("volatility", returns[t - 125 : t + 1].std(axis=0)),
        ):
            both = np.isfinite(signal) & np.isfinite(forward)
            found[name].append(float(stats.spearmanr(signal[both], forward[both]).statistic))
    return {name: float(np.mean(values)) for name, values in found.items()}


def test_the_planted_premia_are_there_with_their_signs() -> None:
    found = [_information_coefficients(panel(market)) for market in markets("planted", range(6))]
    assert np.mean([each["momentum"] for each in found]) > 0.03
    assert all(each["momentum"] > 0 for each in found)
    assert np.mean([each["volatility"] for each in found]) < -0.02


@pytest.mark.long
def test_in_the_null_world_neither_momentum_nor_volatility_predicts_ranks(null_panels: list[Floats]) -> None:
    found = [_information_coefficients(each) for each in null_panels]
    for name in ("momentum", "volatility"):
        assert abs(stats.ttest_1samp([each[name] for each in found], 0.0).statistic) < 3, name


def test_what_is_published_is_published_after_the_quarter(demo: SimulatedSource) -> None:
    frame = demo.fundamentals("SIM001")
    # The shares of a name are known from its first session on, what it earned only after a quarter.
    first = demo.bars("SIM001")["session"][0]
    earned = frame.filter(pl.col("metric") != "shares_outstanding")
    assert earned["known_at"].dt.date().min() > first
    assert frame["known_at"].dt.date().min() >= first
    assert set(frame["metric"]) == {"earnings_per_share", "book_value_per_share", "shares_outstanding"}


def test_a_range_and_an_unknown_name(demo: SimulatedSource) -> None:
    frame = demo.bars("SIM001", start=date(2020, 1, 2), end=date(2020, 1, 31))
    assert frame["session"].min() >= date(2020, 1, 2)
    assert frame["session"].max() <= date(2020, 1, 31)
    with pytest.raises(SourceNotFound, match="no ticker 'AAPL'"):
        demo.bars("AAPL")


def test_more_errors_than_names_are_refused() -> None:
    errors = shipped("simulated").simulated.vendor_errors
    with pytest.raises(SpecError, match="each in another name"):
        simulate.__wrapped__(world("planted", names=3, years=1, vendor_errors=errors))
