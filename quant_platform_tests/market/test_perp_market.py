from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.contracts.schemas import perp
from quant_platform.contracts.tables import table
from quant_platform.lake.validation import validated
from quant_platform.market.perp_cleaning import clean_perp_bars
from quant_platform.market.perp_market import market_5m
from quant_platform.sources.simulated_perp import SimulatedPerpSource
from quant_platform.specification.loading import load_spec
from quant_platform.specification.perp_sources import PerpSourceSpec
from quant_platform_tests.market.builders import SPECS
from quant_platform_tests.market.perp_builders import START, at, bar, cleaning, funding, interest, joins, raw

HOUR = 60.0
MEASURED = [name for name in perp.MARKET_COLUMNS if name != "quote_volume_is_proxy"]


def bars(hours: float = 30.0, **options: Any) -> pl.DataFrame:
    rows = [bar(5 * k) for k in range(int(hours * 12))]
    return clean_perp_bars(raw(rows), cleaning(), listed_from=START, listed_to=at(hours * HOUR), **options).bars


def column(frame: pl.DataFrame, name: str, when: datetime) -> float:
    return float(frame.filter(pl.col("bar") == when)[name].item())


def test_columns_the_sources_lack_are_absent_and_the_rest_is_in_order() -> None:
    alone = market_5m(bars(), spec=joins())
    assert alone.columns == ["symbol", "month", "bar", "open", "high", "low", "close", "volume", "taker_buy_volume"]
    empty = funding([])
    assert market_5m(bars(), spec=joins(), funding=empty).columns == alone.columns
    validated(table("clean.market_5m"), ("AAAUSDT", "2024-02"), alone)


def test_a_rate_counts_from_the_bar_that_opens_at_or_after_its_settlement() -> None:
    found = market_5m(
        bars(), spec=joins(), funding=funding([(at(8 * HOUR, seconds=0.029), 1e-4), (at(16 * HOUR), 2e-4)])
    )
    assert np.isnan(column(found, "funding_rate", at(8 * HOUR - 5)))
    assert np.isnan(column(found, "funding_settle", at(8 * HOUR - 5)))
    assert column(found, "funding_rate", at(8 * HOUR)) == 1e-4
    assert column(found, "funding_settle", at(8 * HOUR)) == 1.0
    assert column(found, "funding_settle", at(8 * HOUR + 5)) == 0.0
    assert column(found, "funding_rate", at(16 * HOUR - 5)) == 1e-4
    assert column(found, "funding_rate", at(16 * HOUR)) == 2e-4
    assert found["funding_settle"].fill_nan(0.0).sum() == 2.0
    assert column(found, "funding_interval_hours", at(20 * HOUR)) == 8.0


def test_a_settlement_between_bars_waits_for_the_next_open() -> None:
    found = market_5m(bars(), spec=joins(), funding=funding([(at(8 * HOUR, seconds=61), 1e-4)]))
    assert np.isnan(column(found, "funding_rate", at(8 * HOUR)))
    assert column(found, "funding_settle", at(8 * HOUR + 5)) == 1.0


def test_a_stamp_just_before_the_hour_is_that_hour() -> None:
    found = market_5m(bars(), spec=joins(), funding=funding([(at(8 * HOUR, seconds=-0.01), 1e-4)]))
    assert np.isnan(column(found, "funding_rate", at(8 * HOUR - 5)))
    assert column(found, "funding_settle", at(8 * HOUR)) == 1.0


def test_a_rate_known_late_counts_on_the_bar_at_whose_close_it_was_known() -> None:
    late = funding([(at(8 * HOUR), 1e-4, 8.0, at(8 * HOUR + 17))])
    found = market_5m(bars(), spec=joins(), funding=late)
    assert np.isnan(column(found, "funding_rate", at(8 * HOUR + 10)))
    assert column(found, "funding_settle", at(8 * HOUR + 15)) == 1.0


def test_a_restated_rate_replaces_the_old_one_when_it_was_known_and_settles_nothing() -> None:
    versions = [
        (at(8 * HOUR), 1e-4, 8.0, at(8 * HOUR)),
        (at(8 * HOUR), 5e-4, 8.0, at(10 * HOUR)),
        (at(16 * HOUR), 2e-4, 8.0, at(16 * HOUR)),
        (at(8 * HOUR), 9e-4, 8.0, at(18 * HOUR)),
    ]
    found = market_5m(bars(), spec=joins(), funding=funding(versions))
    assert column(found, "funding_rate", at(10 * HOUR - 10)) == 1e-4
    assert column(found, "funding_rate", at(10 * HOUR - 5)) == 5e-4
    assert column(found, "funding_settle", at(10 * HOUR - 5)) == 0.0
    assert column(found, "funding_rate", at(20 * HOUR)) == 2e-4
    assert found["funding_settle"].fill_nan(0.0).sum() == 2.0


@pytest.mark.parametrize("hours", [1, 2, 4, 8])
def test_the_interval_is_what_lies_between_settlements(hours: int) -> None:
    settled = [(at(k * hours * HOUR, seconds=0.003 * (k % 5)), 1e-5 * k) for k in range(int(24 / hours))]
    found = market_5m(bars(24.0), spec=joins(), funding=funding(settled))
    assert column(found, "funding_interval_hours", at(24 * HOUR - 5)) == hours
    assert column(found, "funding_rate", at(24 * HOUR - 5)) == pytest.approx(1e-5 * (24 / hours - 1))
    assert found["funding_settle"].sum() == 24 / hours


def test_a_missed_settlement_is_no_longer_interval_and_the_old_rate_runs_out() -> None:
    settled = funding([(at(0), 1e-4), (at(4 * HOUR), 2e-4), (at(12 * HOUR + 240), 3e-4)])
    found = market_5m(bars(), spec=joins(), funding=settled)
    assert column(found, "funding_interval_hours", at(4 * HOUR)) == 4.0
    assert column(found, "funding_rate", at(10 * HOUR)) == 2e-4
    assert np.isnan(column(found, "funding_rate", at(10 * HOUR + 5)))
    assert np.isnan(column(found, "funding_settle", at(10 * HOUR + 5)))
    # Twelve hours are no interval a venue uses: the last one stands.
    assert column(found, "funding_interval_hours", at(16 * HOUR)) == 4.0


def test_two_rates_for_one_settlement_known_at_once_are_refused() -> None:
    twice = funding([(at(0), 1e-4), (at(0, seconds=0.0), 2e-4)])
    with pytest.raises(SchemaViolation, match=r"two values of one stamp[\s\S]*raw.funding[\s\S]*2 of 2 rows"):
        market_5m(bars(), spec=joins(), funding=twice)
    same = funding([(at(0), 1e-4), (at(0), 1e-4)])
    assert column(market_5m(bars(), spec=joins(), funding=same), "funding_rate", at(0)) == 1e-4


def test_open_interest_counts_one_bar_after_its_stamp() -> None:
    found = market_5m(bars(), spec=joins(), open_interest=interest([(at(60, seconds=2), 7.0), (at(65), 8.0)]))
    assert np.isnan(column(found, "oi", at(55)))
    # Stamped 01:00, usable from 01:05: the close of the bar that opens at 01:00.
    assert column(found, "oi", at(60)) == 7.0
    assert column(found, "oi", at(65)) == 8.0
    assert column(found, "oi", at(150)) == 8.0
    assert np.isnan(column(found, "oi", at(155)))


def test_open_interest_that_was_published_later_is_not_known_before() -> None:
    versions = interest([(at(60), 7.0, at(65)), (at(65), 8.0, at(81)), (at(60), 7.5, at(68))])
    found = market_5m(bars(), spec=joins(), open_interest=versions)
    assert [column(found, "oi", at(m)) for m in (60, 65, 70, 75, 80)] == [7.0, 7.5, 7.5, 7.5, 8.0]


def test_bar_sums_known_after_the_close_were_not_known() -> None:
    schema = perp.RawLiquidations.create_empty().schema
    rows = [
        ("AAAUSDT", "2024-02", at(m), long, short, known, "test")
        for m, long, short, known in (
            (0, 1.0, 0.0, at(5)),
            (5, 2.0, 0.0, at(11)),
            (10, 3.0, 4.0, at(15)),
            (10, 9.0, 9.0, at(20)),
        )
    ]
    found = market_5m(bars(), spec=joins(), liquidations=pl.DataFrame(rows, schema=schema, orient="row"))
    assert found["liq_long_usd"].to_list()[0] == 1.0
    assert np.isnan(found["liq_long_usd"][1])
    assert (found["liq_long_usd"][2], found["liq_short_usd"][2]) == (3.0, 4.0)
    # No row is no knowledge, not no liquidation.
    assert np.isnan(found["liq_long_usd"][3])


def test_rows_of_another_symbol_are_refused() -> None:
    with pytest.raises(SchemaViolation, match="the funding rows are not all of AAAUSDT"):
        market_5m(bars(), spec=joins(), funding=funding([(at(0), 1e-4)], symbol="BBBUSDT"))


def slow_twin(frame: pl.DataFrame, settled: pl.DataFrame, stamped: pl.DataFrame) -> list[tuple[float, float]]:
    """Rate and open interest per bar, by looking at every row for every bar."""
    out = []
    for when in frame["bar"]:
        close = when + timedelta(minutes=5)
        rates = [
            (row["settle_time"].replace(microsecond=0), row["known_at"], row["funding_rate"])
            for row in settled.iter_rows(named=True)
            if row["settle_time"].replace(microsecond=0) <= when and row["known_at"] <= close
        ]
        levels = [
            (row["stamp"], row["known_at"], row["open_interest"])
            for row in stamped.iter_rows(named=True)
            if row["stamp"] + timedelta(minutes=5) <= close and row["known_at"] <= close
        ]
        rate = max(rates)[2] if rates and when - max(rates)[0] <= timedelta(hours=12) else float("nan")
        level = max(levels)[2] if levels and close - max(levels)[0] <= timedelta(minutes=90) else float("nan")
        out.append((rate, level))
    return out


def test_the_joins_agree_with_looking_at_every_row() -> None:
    random = np.random.default_rng(11)
    settled = funding(
        [
            (at(480 * k, seconds=float(random.integers(0, 30)) / 1e3), float(random.normal()), 8.0, at(480 * k + late))
            for k in range(4)
            for late in sorted(random.uniform(0, 700, 3))
        ]
    )
    stamped = interest(
        [
            (at(5 * int(k)), float(random.normal() ** 2), at(5 * int(k) + float(random.exponential(30))))
            for k in random.integers(0, 250, 150)
        ]
    )
    frame = bars()
    found = market_5m(frame, spec=joins(), funding=settled, open_interest=stamped)
    np.testing.assert_array_equal(
        found.select("funding_rate", "oi").to_numpy(), np.array(slow_twin(frame, settled, stamped))
    )


@pytest.fixture(scope="module")
def simulated() -> SimulatedPerpSource:
    return SimulatedPerpSource(load_spec(SPECS / "sources" / "simulated_perp.yaml", PerpSourceSpec))


def joined(source: SimulatedPerpSource, months: list[str], wanted: list[str] | None = None) -> pl.DataFrame:
    symbol = "SIM02USDT"
    kinds = ("funding", "open_interest", "liquidations", "book")
    rest = {kind: pl.concat(getattr(source, kind)(symbol, month) for month in months) for kind in kinds}
    both = [
        pl.concat(clean_perp_bars(read(symbol, month), cleaning()).bars for month in wanted or months)
        for read in (source.bars, source.spot_bars)
    ]
    return market_5m(both[0], spec=joins(), spot=both[1], **rest)


def test_the_simulated_market_has_every_column_and_month_by_month_equals_one_pass(
    simulated: SimulatedPerpSource,
) -> None:
    months = ["2024-01", "2024-02", "2024-03"]
    whole = joined(simulated, months)
    assert whole.columns == ["symbol", "month", "bar", "open", "high", "low", "close", *MEASURED]
    for before, month in zip([months[0], *months], months, strict=False):
        alone = joined(simulated, sorted({before, month}), [month])
        validated(table("clean.market_5m"), ("SIM02USDT", month), alone)
        assert alone.equals(whole.filter(pl.col("month") == month), null_equal=True)
    assert whole["funding_settle"].sum() == 91 * 3
    assert whole["spot_close"].is_not_nan().all()


def test_what_comes_later_changes_nothing_before(simulated: SimulatedPerpSource) -> None:
    symbol, month = "SIM01USDT", "2024-01"
    perp_bars = clean_perp_bars(simulated.bars(symbol, month), cleaning()).bars
    kinds = ("funding", "open_interest", "liquidations", "book")
    inputs = {kind: getattr(simulated, kind)(symbol, month) for kind in kinds}
    whole = market_5m(perp_bars, spec=joins(), **inputs)
    for row in (0, 95, 96, 97, 5000):
        close = whole["bar"][row] + timedelta(minutes=5)
        known = {kind: frame.filter(pl.col("known_at") <= close) for kind, frame in inputs.items()}
        cut = market_5m(perp_bars.head(row + 1), spec=joins(), **known)
        shared = [name for name in whole.columns if name in cut.columns]
        assert cut[-1].select(shared).equals(whole[row].select(shared), null_equal=True)
        assert {"funding_rate", "spread_bps"} <= set(shared)


def test_the_value_traded_is_approximated_only_where_the_spec_says_so_and_is_marked() -> None:
    """Bars of 100 high, low and close by hand; a source that gives the value keeps its own."""
    found = market_5m(bars(), spec=joins(quote_volume_from_typical_price=True))
    assert found.columns[-1] == "quote_volume_is_proxy"
    first = found.row(0, named=True)
    assert first["quote_volume"] == pytest.approx(first["volume"] * (first["high"] + first["low"] + first["close"]) / 3)
    assert found["quote_volume_is_proxy"].unique().to_list() == [1.0]
    validated(table("clean.market_5m"), ("AAAUSDT", "2024-02"), found)
    given = bars().with_columns(quote_volume=pl.lit(5.0))
    kept = market_5m(given, spec=joins(quote_volume_from_typical_price=True))
    assert kept["quote_volume"].unique().to_list() == [5.0]
    assert "quote_volume_is_proxy" not in kept.columns
