"""Rows of funding, open interest, liquidations and book, each rule with its own row, and real files whole."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.schemas.perp import (
    PERP_FACT_TABLES,
    CleanPerpFactQuarantine,
    RawBook,
    RawLiquidations,
)
from quant_platform.contracts.tables import table
from quant_platform.market.perp_facts import FactsResult, clean_perp_facts
from quant_platform.sources.open_perp import open_perp_source
from quant_platform.specification.loading import load_spec
from quant_platform.specification.perp_sources import PerpSourceSpec
from quant_platform_tests.market.builders import SPECS
from quant_platform_tests.market.perp_builders import START, cleaning

FACTS = cleaning().facts


def rows(fact: str, stamps: list[datetime], **values: list[Any]) -> pl.DataFrame:
    schema = table(f"raw.{fact}").schema.create_empty().schema
    stamp = {"funding": "settle_time", "open_interest": "stamp"}.get(fact, "bar")
    lag = timedelta(minutes=5)
    known = {"symbol": "AAAUSDT", "month": "2024-02", "source": "test", "interval_hours": None}
    return pl.DataFrame(
        [
            {**{k: v for k, v in known.items() if k in schema}, stamp: at, "known_at": at + lag}
            | {name: column[k] for name, column in values.items()}
            for k, at in enumerate(stamps)
        ],
        schema=schema,
    )


def every(hours: float, n: int) -> list[datetime]:
    return [START + timedelta(hours=hours) * k for k in range(n)]


def cleaned(fact: str, raw: pl.DataFrame) -> FactsResult:
    result = clean_perp_facts(fact, raw, FACTS)
    table(f"clean.{fact}").schema.validate(result.rows)
    CleanPerpFactQuarantine.validate(result.quarantine)
    assert result.rows.height + result.quarantine.height == raw.height
    backward = clean_perp_facts(fact, raw.reverse(), FACTS)
    assert backward.rows.equals(result.rows, null_equal=True)
    return result


def broken(result: FactsResult) -> list[tuple[datetime, str]]:
    return list(result.quarantine.select("stamp", "rule").iter_rows())


def test_good_funding_passes_with_its_true_zeros() -> None:
    rate = [1e-4, -2e-4, 0.0, 3e-4, 0.0, 1e-4]
    assert cleaned("funding", rows("funding", every(8, 6), funding_rate=rate)).quarantine.height == 0


@pytest.mark.parametrize(("value", "rule"), [(8.0, "implausible"), (-0.2, "implausible"), (None, "not_finite")])
def test_a_rate_that_cannot_be_goes(value: float | None, rule: str) -> None:
    raw = rows("funding", every(8, 5), funding_rate=[1e-4, 1e-4, value, 2e-4, 1e-4])
    assert broken(cleaned("funding", raw)) == [(START + timedelta(hours=16), rule)]


def test_zeros_that_fill_a_file_up_to_the_hour_go_and_settlements_stay() -> None:
    stamps = every(1, 72)
    rate = [0.0] * 72
    for hour in range(0, 72, 8):
        rate[hour] = 1e-4 if hour != 40 else 0.0  # a settlement of zero is one
    result = cleaned("funding", rows("funding", stamps, funding_rate=rate))
    assert result.rows["settle_time"].to_list() == stamps[::8]
    assert result.quarantine["rule"].unique().to_list() == ["filled_zero"]


def test_an_hourly_symbol_with_many_zeros_keeps_them() -> None:
    random = np.random.default_rng(3)
    rate = np.where(random.random(200) < 0.3, 1e-5, 0.0).tolist()
    assert cleaned("funding", rows("funding", every(1, 200), funding_rate=rate)).quarantine.height == 0


def test_two_values_of_one_stamp_known_at_once_keep_the_first() -> None:
    stamps = [START, START + timedelta(hours=8), START + timedelta(hours=8, milliseconds=1)]
    raw = rows("funding", stamps, funding_rate=[1e-4, 2e-4, 3e-4]).with_columns(
        pl.col("known_at").dt.truncate("1s").alias("known_at")
    )
    assert broken(cleaned("funding", raw)) == [(stamps[2], "contradiction")]


@pytest.mark.parametrize(
    ("value", "rule"), [(0.0, "non_positive"), (-5.0, "negative"), (None, "not_finite"), (100_700.0, "off_scale")]
)
def test_open_interest_that_cannot_be_goes(value: float | None, rule: str) -> None:
    values: list[float | None] = [1000.0 + k for k in range(20)]
    values[7] = value
    result = cleaned("open_interest", rows("open_interest", every(1 / 12, 20), open_interest=values))
    assert broken(result) == [(START + timedelta(minutes=35), rule)]
    if rule == "off_scale":
        assert result.quarantine["expected"][0] == pytest.approx(1007.0)


def test_open_interest_that_halves_stays() -> None:
    values = [1000.0 + k for k in range(20)] + [480.0 + k for k in range(20)]
    assert cleaned("open_interest", rows("open_interest", every(1 / 12, 40), open_interest=values)).rows.height == 40


def test_a_book_band_that_never_changes_goes_and_its_first_row_stays() -> None:
    n = 40
    raw = rows(
        "book",
        every(1 / 12, n),
        spread_bps=[1.0 + k / 100 for k in range(n)],
        bid_depth_usd=[5e5 + k for k in range(n)],
        ask_depth_usd=[4e5] * n,
    )
    result = cleaned("book", raw)
    assert result.rows["bar"].to_list() == [START]
    assert result.quarantine.select("rule", "column").unique().row(0) == ("unchanging", "ask_depth_usd")


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"spread_bps": 0.0}, "non_positive"),
        ({"bid_depth_usd": -1.0}, "negative"),
        ({"spread_bps": 5e3}, "implausible"),
    ],
)
def test_a_book_row_that_cannot_be_goes(changes: dict[str, float], rule: str) -> None:
    good = {"spread_bps": 1.0, "bid_depth_usd": 5e5, "ask_depth_usd": 4e5}
    columns = {name: [value, value + 0.01, value + 0.02] for name, value in good.items()}
    for name, value in changes.items():
        columns[name][1] = value
    raw = rows("book", every(1 / 12, 3), **columns)
    RawBook.validate(raw)
    assert broken(cleaned("book", raw)) == [(START + timedelta(minutes=5), rule)]


def test_a_column_the_source_lacks_is_not_judged() -> None:
    raw = rows("book", every(1 / 12, 3), spread_bps=[1.0, 1.1, 1.2], bid_depth_usd=[None] * 3, ask_depth_usd=[None] * 3)
    assert cleaned("book", raw).rows.height == 3


def test_liquidations_of_zero_are_values_and_negative_ones_are_not() -> None:
    raw = rows("liquidations", every(1 / 12, 3), liq_long_usd=[0.0, 0.0, -1.0], liq_short_usd=[0.0, 5.0, 0.0])
    RawLiquidations.validate(raw)
    assert broken(cleaned("liquidations", raw)) == [(START + timedelta(minutes=10), "negative")]


def test_what_comes_later_does_not_change_a_causal_verdict() -> None:
    values = [1000.0, 0.0, 1001.0, -1.0, 1002.0]
    raw = rows("open_interest", every(1 / 12, 5), open_interest=values)
    for cut in range(1, 6):
        whole = cleaned("open_interest", raw).quarantine.filter(pl.col("stamp") < START + timedelta(minutes=5 * cut))
        assert cleaned("open_interest", raw.head(cut)).quarantine.equals(whole, null_equal=True)


def test_empty_tables_stay_empty() -> None:
    for fact in PERP_FACT_TABLES:
        result = cleaned(fact, table(f"raw.{fact}").schema.create_empty())
        assert (result.rows.height, result.quarantine.height) == (0, 0)


@pytest.mark.real_data
@pytest.mark.parametrize("folder", ["binance_um_5m_2023_2024", "binance_spot_perp_5m_2025q1"])
def test_real_funding_passes_whole(shared_data: Path, folder: str) -> None:
    """Binance's own rates: every row a settlement, counted in the files without the platform."""
    source = open_perp_source(load_spec(SPECS / "sources" / "perp_files.yaml", PerpSourceSpec), shared_data / folder)
    for symbol in source.symbols():
        name = f"{symbol.removesuffix('USDT')}_USDT_USDT-8h-funding_rate.parquet"
        delivered = pl.read_parquet(shared_data / folder / name).height
        results = [clean_perp_facts("funding", source.funding(symbol, month), FACTS) for month in source.months(symbol)]
        assert sum(result.quarantine.height for result in results) == 0
        in_months = sum(result.rows.height for result in results)
        assert 0 < in_months <= delivered


@pytest.mark.real_data
def test_real_open_interest_of_successive_snapshots_is_accounted_for(shared_data: Path) -> None:
    """Every row of OKX's snapshots is clean or in quarantine, restated ones included; no value of it is a zero."""
    read = pl.read_parquet(shared_data / "okx_sol_swap_snapshots" / "open_interest.parquet")
    raw = read.select(
        pl.lit("SOLUSDT").alias("symbol"),
        pl.from_epoch("ts", time_unit="ms").dt.strftime("%Y-%m").alias("month"),
        pl.from_epoch("ts", time_unit="ms").dt.replace_time_zone("UTC").dt.cast_time_unit("us").alias("stamp"),
        pl.col("oi").cast(pl.Float64).alias("open_interest"),
        pl.int_range(pl.len()).alias("k"),
        pl.lit("okx").alias("source"),
    ).with_columns((pl.col("stamp") + pl.duration(minutes=5, milliseconds=pl.col("k"))).alias("known_at"))
    result = clean_perp_facts("open_interest", raw.drop("k"), FACTS)
    assert result.rows.height + result.quarantine.height == read.height
    assert result.rows.height == read.filter(pl.col("oi").cast(pl.Float64) > 0).height
