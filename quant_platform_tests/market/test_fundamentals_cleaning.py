"""Published fundamentals: each rule with its own row, and the real snapshots whole."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from quant_platform.contracts.schemas.clean import CleanFundamentals, CleanFundamentalsQuarantine
from quant_platform.contracts.schemas.raw import RawFundamentals
from quant_platform.market.calendar import session_array
from quant_platform.market.cleaning import clean_bars
from quant_platform.market.fundamentals_cleaning import FundamentalsResult, clean_fundamentals
from quant_platform.sources import open_source
from quant_platform.specification.cleaning import FundamentalsCleaningSpec
from quant_platform.specification.loading import load_spec
from quant_platform_tests.market.builders import SPECS, actions, cleaning_spec
from quant_platform_tests.sources.builders import shipped

SPEC = load_spec(SPECS / "cleaning" / "fundamentals.yaml", FundamentalsCleaningSpec)
START = datetime(2014, 1, 10, 12, tzinfo=UTC)


def published(metric: str, values: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        [("AAA", metric, START + timedelta(days=30 * k), value, "USD", "test") for k, value in enumerate(values)],
        schema=RawFundamentals.create_empty().schema,
        orient="row",
    )


def traded(dollars: float) -> pl.DataFrame:
    """Bars of a name that trades so much a day, as far as the rules look at them."""
    days = session_array("XNYS", date(2013, 11, 1), date(2016, 1, 29))
    return pl.DataFrame({"session": days, "dollar_volume": [dollars] * len(days)})


def cleaned(raw: pl.DataFrame, bars: pl.DataFrame | None = None) -> FundamentalsResult:
    RawFundamentals.validate(raw)
    result = clean_fundamentals(raw, SPEC, bars)
    CleanFundamentals.validate(result.values)
    CleanFundamentalsQuarantine.validate(result.quarantine)
    assert result.values.height + result.quarantine.height == raw.height == result.counts["delivered"]
    return result


@pytest.mark.parametrize(
    ("metric", "value", "rule"),
    [
        ("price", 0.0, "zero_for_unknown"),
        ("ebitda", 0.0, "zero_for_unknown"),
        ("market_cap", -3.0e9, "negative"),
        ("price_sales", float("inf"), "not_finite"),
        ("earnings_per_share", 2000.0, "off_scale"),
        ("earnings_per_share", 0.002, "off_scale"),
    ],
)
def test_each_rule_catches_its_row_alone(metric: str, value: float, rule: str) -> None:
    level = 3.0e9 if metric == "market_cap" else 2.0
    values: list[float | None] = [level * (1 + k / 50) for k in range(8)]
    values[4] = value
    result = cleaned(published(metric, values))
    assert result.quarantine.select("rule", "known_at").rows() == [(rule, START + timedelta(days=120))]


@pytest.mark.parametrize("value", [0.0, 0.3, None])
def test_a_dividend_yield_of_zero_and_a_stated_nothing_stay(value: float | None) -> None:
    assert cleaned(published("dividend_yield", [2.0, value, 2.1])).values.height == 3


def test_negative_earnings_and_a_loss_of_nine_tenths_stay() -> None:
    assert cleaned(published("earnings_per_share", [2.0, 1.0, -3.0, 0.2, -0.1])).quarantine.height == 0


@pytest.mark.parametrize("factor", [1e-3, 1e3])
@pytest.mark.parametrize("wrong", [[3], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5, 6, 7]])
@pytest.mark.parametrize("turnover", [0.001, 0.006, 0.03])
def test_capitalisations_off_by_a_thousand_go_even_where_they_are_the_most(
    factor: float, wrong: list[int], turnover: float
) -> None:
    truth = [2.0e10 * (1 + k / 50) for k in range(8)]
    values: list[float | None] = [value * factor if k in wrong else value for k, value in enumerate(truth)]
    result = cleaned(published("market_capitalisation", values), traded(turnover * 2.0e10))
    assert result.quarantine["known_at"].to_list() == [START + timedelta(days=30 * k) for k in wrong]
    assert result.quarantine["expected"].to_list() == pytest.approx([truth[k] for k in wrong])


@pytest.mark.real_data
@pytest.mark.long
def test_the_real_snapshots_are_accounted_for(shared_data: Path) -> None:
    folders = {
        "data": shared_data / "us_sp500_daily_2000_2015",
        "fundamentals": shared_data / "sp500_fundamentals_pit",
    }
    source = open_source(shipped("sp500_daily"), folders)
    calendar, nothing, spec = session_array("XNYS", date(2000, 1, 3), date(2015, 12, 31)), actions(), cleaning_spec()
    bars = source.bars_many(source.tickers()).filter(pl.col("session") >= date(2012, 6, 1))
    by_ticker = {str(key[0]): part for key, part in bars.partition_by("ticker", as_dict=True).items()}
    delivered, kept_out = 0, []
    for ticker in source.tickers():
        raw = source.fundamentals(ticker)
        delivered += raw.height
        own = by_ticker.get(ticker)
        clean = None if own is None else clean_bars(own, nothing, spec, calendar).bars
        kept_out.append(cleaned(raw, clean).quarantine)
    quarantine = pl.concat(kept_out)
    assert delivered == 94_256
    zeros = quarantine.filter(pl.col("rule") == "zero_for_unknown")
    # Zeros of these metrics in the vendor's files, counted without the platform.
    assert dict(zeros["metric"].value_counts().iter_rows()) == {
        "book_value_per_share": 49,
        "earnings_per_share": 27,
        "ebitda": 569,
        "price": 7,
        "price_book": 17,
        "price_sales": 15,
    }
    # Berkshire stands at 0.2 billion in 15 of 17 snapshots, at a thousandth of what it was worth; MetLife earned .002.
    off = quarantine.filter(pl.col("rule") == "off_scale")
    assert dict(off.group_by("ticker").len().iter_rows()) == {"BRK.B": 15, "MET": 2}
    assert off.filter(pl.col("ticker") == "BRK.B")["expected"].is_between(1.8e11, 2.6e11).all()
    assert quarantine.height == zeros.height + off.height


@pytest.mark.parametrize(("last_published", "anchored"), [(date(2016, 2, 28), True), (date(2016, 2, 29), False)])
def test_what_was_traded_counts_for_thirty_days(last_published: date, anchored: bool) -> None:
    # The bars end on 2016-01-29. A lone capitalisation a thousandth of what they say has no history to contradict it.
    raw = published("market_cap", [1.0e6 / 0.006 / 1e3]).with_columns(
        known_at=pl.lit(datetime(last_published.year, last_published.month, last_published.day, 23, 59, tzinfo=UTC))
    )
    assert cleaned(raw.cast(RawFundamentals.create_empty().schema), traded(1.0e6)).counts["off_scale"] == anchored


def test_the_order_of_rows_and_of_bars_does_not_matter() -> None:
    capital = [1.0e6 / 0.006 * factor for factor in (1.0, 1.1, 1e-3, 0.9)]
    raw = pl.concat([published("market_cap", capital), published("price", [20.0, 0.0, 21.0, None])])
    bars = traded(1.0e6)
    forward = cleaned(raw, bars)
    backward = cleaned(raw.reverse(), bars.reverse())
    assert forward.values.equals(backward.values)
    assert forward.quarantine.equals(backward.quarantine)
    assert forward.quarantine["rule"].to_list() == ["off_scale", "zero_for_unknown"]
