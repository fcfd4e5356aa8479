from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.contracts.schemas import perp
from quant_platform.market.perp_cleaning import PERP_RULES, PerpCleanResult, clean_perp_bars
from quant_platform_tests.market.perp_builders import START, at, bar, cleaning, raw


def clean(rows: list[dict[str, Any]], interval: int = 300, **options: Any) -> PerpCleanResult:
    result = clean_perp_bars(raw(rows, interval=interval), cleaning(), **options)
    perp.CleanPerpBars5m.validate(result.bars)
    perp.CleanPerpQuarantine.validate(result.quarantine)
    return result


def broken(result: PerpCleanResult) -> list[tuple[int, str]]:
    return list(result.quarantine.select("source_row", "rule").iter_rows())


def test_the_grid_is_the_whole_month_and_what_is_missing_is_nan_with_a_reason() -> None:
    result = clean([bar(0), bar(5), bar(15)])
    assert result.bars.height == 29 * 288
    assert result.bars["bar"].to_list() == [START + timedelta(minutes=5 * k) for k in range(29 * 288)]
    assert result.bars["missing_reason"].to_list()[:5] == [None, None, "vendor_hole", None, "vendor_hole"]
    assert np.isnan(result.bars["close"][2])
    assert result.bars["taker_buy_volume"][0] == 4.0
    assert result.bars["quote_volume"].null_count() == result.bars.height
    assert result.counts["bars"] == 3
    assert result.counts["vendor_hole"] == 29 * 288 - 3


def test_the_grid_keeps_to_the_listing() -> None:
    result = clean([bar(10), bar(15)], listed_from=at(10), listed_to=at(25))
    assert result.bars["bar"].to_list() == [at(10), at(15), at(20)]
    with pytest.raises(SchemaViolation, match=r"outside the listing[\s\S]*1 of 2 bars"):
        clean([bar(10), bar(15)], listed_from=at(15))


@pytest.mark.parametrize(
    ("change", "rule", "column"),
    [
        ({"close": None}, "missing_value", "close"),
        ({"low": 0.0}, "non_positive", "low"),
        ({"volume": -1.0}, "non_positive", "volume"),
        ({"high": 99.0}, "ohlc_inconsistent", "high"),
        ({"low": 100.4}, "ohlc_inconsistent", "low"),
        ({"high": 1010.0}, "decimal_shift", "high"),
        ({"taker_buy_volume": 11.0}, "taker_above_volume", "taker_buy_volume"),
        ({"taker_buy_volume": -1.0}, "taker_above_volume", "taker_buy_volume"),
        ({"open_time": at(6)}, "off_grid", "open_time"),
        ({"open_time": at(-5)}, "outside_month", "open_time"),
        ({"open_time": at(29 * 1440)}, "outside_month", "open_time"),
        ({"interval_seconds": 60}, "changed_interval", "interval_seconds"),
        ({"known_at": at(9.9)}, "unfinished", "known_at"),
    ],
)
def test_a_row_that_breaks_a_rule_is_kept_out_and_named(change: dict[str, Any], rule: str, column: str) -> None:
    result = clean([bar(0), bar(5) | change, bar(10), bar(15)])
    assert result.quarantine.select("source_row", "rule", "column").rows() == [(1, rule, column)]
    assert result.counts[rule] == 1
    assert sum(result.counts[name] for name in PERP_RULES) == 1
    assert result.counts["in_bars"] == 3
    expected = "quarantined" if change.get("open_time", at(5)) in (at(5), at(6)) else "vendor_hole"
    assert result.bars["missing_reason"].to_list()[:4] == [None, expected, None, None]


def test_rows_that_agree_keep_the_first_and_rows_that_disagree_none() -> None:
    result = clean([bar(0), bar(5), bar(5), bar(10), bar(15), bar(15, close=101.0)])
    assert broken(result) == [(2, "duplicate_key"), (4, "duplicate_key"), (5, "duplicate_key")]
    assert result.bars["missing_reason"].to_list()[:4] == [None, None, None, "quarantined"]


def test_of_a_restated_bar_the_version_known_first_stands() -> None:
    rows = [
        bar(0),
        bar(5),
        bar(5, close=101.0, known_at=at(60)),
        bar(5, close=102.0, known_at=at(30)),
        bar(5, known_at=at(90)),
        bar(10),
    ]
    result = clean(rows)
    assert broken(result) == [(2, "restated"), (3, "restated"), (4, "duplicate_key")]
    assert result.quarantine["expected"].to_list() == [100.0, 100.0, 100.0]
    assert result.bars["close"].to_list()[:3] == [100.0, 100.0, 100.0]
    last = clean_perp_bars(raw(rows[:4] + rows[5:]), cleaning(restated="last"))
    assert last.bars["close"].to_list()[:3] == [100.0, 101.0, 100.0]
    # A version that was read before the bar had closed is not the first one.
    early = [bar(0), bar(5, close=99.0, known_at=at(9)), bar(5, known_at=at(60)), bar(10)]
    assert broken(clean(early)) == [(1, "unfinished")]
    assert clean(early).bars["close"].to_list()[:3] == [100.0, 100.0, 100.0]


def test_a_listing_within_a_bar_takes_the_whole_bar() -> None:
    rows = [bar(k) for k in range(2, 12)]
    result = clean(rows, interval=60, listed_from=at(2), listed_to=at(12))
    assert result.bars["bar"].to_list() == [at(0), at(5), at(10)]
    assert result.bars["missing_reason"].to_list() == ["incomplete", None, "incomplete"]


@pytest.mark.real_data
def test_successive_snapshots_differ_only_in_bars_that_had_not_closed(shared_data: Path) -> None:
    stamp = pl.from_epoch("ts", time_unit="ms").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    read = pl.read_parquet(shared_data / "okx_sol_swap_snapshots" / "ohlcv_5m.parquet").with_columns(
        stamp.alias("open_time"),
        pl.col("_snapshot_generated_at").str.to_datetime(time_unit="us", time_zone="UTC").alias("known_at"),
        stamp.dt.strftime("%Y-%m").alias("month"),
    )
    june = read.filter(pl.col("month") == "2026-06")
    names = ("open_time", "known_at", "open", "high", "low", "close", "volume")
    frame = raw(june.select(names).with_columns(pl.lit(None).alias("taker_buy_volume")).to_dicts(), symbol="SOLUSDT")
    result = clean_perp_bars(frame.with_columns(pl.lit("2026-06").alias("month")), cleaning())
    # Eight snapshots, some of which also held the bar that opened while they were being read.
    assert result.counts["unfinished"] == 12
    assert result.counts["restated"] == 0
    closed = june.filter(pl.col("known_at") >= pl.col("open_time") + pl.duration(minutes=5))
    assert result.counts["bars"] == closed["open_time"].n_unique()
    assert result.counts["duplicate_key"] == closed.height - closed["open_time"].n_unique()


def test_a_whole_row_at_a_tenth_that_comes_back_needs_later_rows_to_be_known() -> None:
    shifted = bar(10, open=9.95, high=10.1, low=9.9, close=10.0)
    result = clean([bar(0), bar(5), shifted, bar(15)])
    assert broken(result) == [(2, "decimal_shift_row")]
    assert result.quarantine["check_kind"].to_list() == ["repair_time"]
    assert result.quarantine["expected"][0] == pytest.approx(100.0)


def test_a_crash_that_stays_is_data() -> None:
    crash = bar(10, open=100.0, high=100.0, low=9.0, close=10.0)
    assert broken(clean([bar(0), bar(5), crash, *(bar(5 * k, close=10.0) for k in range(3, 40))])) == []


def test_minutes_that_say_they_are_five_are_kept_out() -> None:
    result = clean([bar(0), bar(5), *(bar(10 + k) for k in range(5)), bar(15)])
    assert broken(result) == [(2, "changed_interval"), *((k, "off_grid") for k in range(3, 7))]
    assert result.bars["missing_reason"].to_list()[:4] == [None, None, "quarantined", None]


def test_five_minutes_make_a_bar_and_four_do_not() -> None:
    rows = [
        bar(k, close=100.0 + k, open=99.5 + k, high=101.0 + k, low=99.0 + k, volume=1.0 + k, taker_buy_volume=0.5)
        for k in (0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14)
    ]
    rows[12] |= {"low": -1.0}
    result = clean(rows, interval=60)
    first = result.bars.row(0, named=True)
    assert (first["open"], first["high"], first["low"], first["close"]) == (99.5, 105.0, 99.0, 104.0)
    assert (first["volume"], first["taker_buy_volume"]) == (15.0, 2.5)
    assert result.bars["missing_reason"].to_list()[:4] == [None, "incomplete", "quarantined", "vendor_hole"]
    assert result.counts["delivered"] == 14
    assert (result.counts["in_bars"], result.counts["in_incomplete_bars"], result.counts["non_positive"]) == (5, 8, 1)
    lenient = clean_perp_bars(raw(rows, interval=60), cleaning(minutes_required=4))
    assert lenient.bars["missing_reason"].to_list()[:4] == [None, None, None, "vendor_hole"]


def test_minutes_agree_with_pandas() -> None:
    random = np.random.default_rng(5)
    close = 100.0 * np.exp(np.cumsum(random.normal(0, 0.001, 1440)))
    opened = np.append(100.0, close[:-1])
    rows = [
        bar(
            k,
            open=opened[k],
            close=close[k],
            high=max(opened[k], close[k]) * 1.0003,
            low=min(opened[k], close[k]) * 0.9998,
            volume=float(k % 7 + 1),
            trades=float(k % 5),
            taker_buy_volume=0.5,
        )
        for k in range(1440)
    ]
    result = clean(rows, interval=60).bars.head(288)
    twin = (
        pd.DataFrame(rows)
        .set_index("open_time")
        .resample("5min")
        .agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum", "trades": "sum"})
    )
    for name in twin.columns:
        np.testing.assert_allclose(result[name].to_numpy(), twin[name].to_numpy(), rtol=1e-15)


def test_a_bar_without_a_trade_is_a_halt_and_a_minute_without_one_is_not() -> None:
    silent = {"open": 100.0, "high": 100.0, "low": 100.0, "close": 100.0, "volume": 0.0, "taker_buy_volume": 0.0}
    assert clean([bar(0), bar(5, **silent), bar(10)]).bars["missing_reason"].to_list()[:3] == [None, "halt", None]
    minutes = [bar(0), *(bar(k, **silent) for k in range(1, 5))]
    result = clean(minutes, interval=60)
    assert result.bars["missing_reason"][0] is None
    assert result.bars["close"][0] == 100.0
    quiet = clean_perp_bars(raw([bar(0, **silent)]), cleaning(no_trade_is_halt=False))
    assert quiet.bars["close"][0] == 100.0


def test_no_rows_make_no_bars() -> None:
    result = clean([])
    assert (result.bars.height, result.quarantine.height, result.counts["delivered"]) == (0, 0, 0)


def test_an_interval_that_makes_no_five_minutes_is_refused() -> None:
    with pytest.raises(SchemaViolation, match="bars of 900 seconds"):
        clean([bar(0)], interval=900)


def test_several_months_at_once_are_refused() -> None:
    with pytest.raises(SchemaViolation, match="2 different values of month"):
        clean([bar(0), bar(5, month="2024-03")])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-2, 20),
            st.sampled_from([0.0, 1.0, 100.0, 100.5, -3.0, 1000.0]),
            st.sampled_from([0.0, 0.1, 5.0]),
        ),
        max_size=30,
    ),
    st.sampled_from([60, 300]),
)
def test_every_row_is_accounted_for_and_no_clean_bar_is_impossible(
    rows: list[tuple[int, float, float]], interval: int
) -> None:
    minutes = interval // 60
    result = clean([bar(k * minutes, close=price, volume=volume) for k, price, volume in rows], interval=interval)
    counts = result.counts
    assert counts["delivered"] == len(rows)
    assert counts["in_bars"] + counts["in_incomplete_bars"] + result.quarantine.height == len(rows)
    there = result.bars.filter(pl.col("missing_reason").is_null())
    assert there.height == counts["bars"]
    assert (there["low"] > 0).all()
    assert (there["high"] >= there["low"]).all()
    gone = result.bars.filter(pl.col("missing_reason").is_not_null())
    assert gone["close"].is_nan().all()
