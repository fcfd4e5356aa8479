from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from quant_platform.labs.events.detection.context import market_context
from quant_platform.specification.market_context import ContextSpec, Fee, Partners
from quant_platform_tests.labs.events.detection.worlds import START, lab


def bars(symbol: str, close: list[float], *, start: dt.datetime = START, **columns: list[float]) -> pl.DataFrame:
    stamps = [start + dt.timedelta(minutes=5 * i) for i in range(len(close))]
    frame = pl.DataFrame({"symbol": symbol, "bar": stamps, "close": close, **columns})
    return frame.with_columns(
        pl.col("bar").cast(pl.Datetime("us", "UTC")), month=pl.col("bar").dt.strftime("%Y-%m")
    ).sort("bar")


def spec(**changes: object) -> ContextSpec:
    return lab().context.model_copy(update=changes)


def powers(*exponents: float) -> list[float]:
    return [float(np.exp(e)) if e == e else float("nan") for e in exponents]


NAN = float("nan")


def test_the_benchmark_is_the_mean_of_the_others_at_that_time() -> None:
    market = {
        "A": bars("A", powers(0, 1, 3, 3)),
        "B": bars("B", powers(0, 2, NAN, 4)),
        "C": bars("C", powers(5, 5, 9), start=START + dt.timedelta(minutes=5)),
    }
    found = {name: frame["bench_ret"].to_list() for name, frame in market_context(market, spec()).items()}
    # Returns by bar: A nan 1 2 0; B nan 2 nan nan; C (from the second bar) nan 0 4.
    assert found["A"] == pytest.approx([NAN, 2.0, 0.0, 4.0], nan_ok=True)
    assert found["B"] == pytest.approx([NAN, 1.0, 1.0, 2.0], nan_ok=True)
    assert found["C"] == pytest.approx([1.5, 2.0, 0.0], nan_ok=True)


def test_who_left_the_universe_is_no_part_of_the_benchmark() -> None:
    market = {name: bars(name, powers(0, k, 2 * k)) for name, k in (("A", 1), ("B", 2), ("C", 3))}
    us = pl.Datetime("us", "UTC")
    third = START + dt.timedelta(minutes=10)
    members = pl.DataFrame(
        {"symbol": ["A", "B", "C"], "start": [START] * 3, "end": [None, third, None]},
        schema={"symbol": pl.String, "start": us, "end": us},
    )
    found = market_context(market, spec(), members)
    assert found["A"]["bench_ret"].to_list() == pytest.approx([NAN, 2.5, 3.0], nan_ok=True)
    assert found["B"]["bench_ret"].to_list() == pytest.approx([NAN, 2.0, 2.0], nan_ok=True)


def test_a_symbol_alone_has_no_benchmark_and_no_partner() -> None:
    found = market_context({"BTCUSDT": bars("BTCUSDT", powers(0, 1))}, spec())["BTCUSDT"]
    assert found["bench_ret"].null_count() == found["partner_ret12"].null_count() == 2
    assert found["xs_funding_med_bps"].null_count() == 2


def test_the_partner_is_the_designated_one() -> None:
    line = [0.01 * i for i in range(14)]
    market = {
        "BTCUSDT": bars("BTCUSDT", powers(*line)),
        "ETHUSDT": bars("ETHUSDT", powers(*[2 * x for x in line])),
        "LTCUSDT": bars("LTCUSDT", powers(*[3 * x for x in line])),
    }
    found = market_context(market, spec())
    assert found["LTCUSDT"]["partner_ret12"].to_list() == pytest.approx([NAN] * 12 + [0.12, 0.12], nan_ok=True)
    assert found["BTCUSDT"]["partner_ret12"][13] == pytest.approx(0.24)
    partners = Partners(defaults=(), pairs={"BTCUSDT": "LTCUSDT"})
    other = market_context(market, spec(partners=partners))
    assert other["BTCUSDT"]["partner_ret12"][13] == pytest.approx(0.36)
    assert other["LTCUSDT"]["partner_ret12"].null_count() == 14


def test_median_funding_is_per_eight_hours_whatever_the_interval() -> None:
    rates = (("A", 0.0001, 8.0), ("B", 0.0002, 4.0), ("C", 0.0001, 1.0))
    market = {
        name: bars(name, [1.0], funding_rate=[rate], funding_interval_hours=[hours]) for name, rate, hours in rates
    }
    market["D"] = bars("D", [1.0])
    # 1, 4 and 8 basis points per eight hours; D has no funding and no say.
    assert market_context(market, spec())["D"]["xs_funding_med_bps"].to_list() == pytest.approx([4.0])
    del market["C"]
    assert market_context(market, spec())["A"]["xs_funding_med_bps"].to_list() == pytest.approx([2.5])


def flagged(column: str, day: str, days: int = 1, **columns: list[float]) -> list[str]:
    start = dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC)
    frame = market_context({"A": bars("A", [1.0] * 288 * days, start=start, **columns)}, spec())["A"]
    return frame.filter(pl.col(column))["bar"].dt.strftime("%d %H:%M").to_list()


def test_sessions_open_on_their_own_clocks_and_holidays() -> None:
    # Bars are named by their open, five minutes before the session's time.
    assert flagged("session_open_close", "2024-01-08") == ["08 07:55", "08 14:25", "08 23:55"]
    assert flagged("session_open_close", "2024-01-07") == []  # Sunday, and the Monday after is a holiday in Tokyo
    assert flagged("session_open_close", "2024-07-08") == ["08 06:55", "08 13:25", "08 23:55"]
    assert flagged("session_open_close", "2024-12-25") == ["25 23:55"]
    assert flagged("session_open_close", "2024-07-06") == []
    assert flagged("session_close_close", "2024-07-08") == ["08 05:55", "08 15:25", "08 19:55"]


def test_tokyo_closes_later_since_november_2024() -> None:
    assert flagged("session_close_close", "2024-11-01")[0] == "01 05:55"
    assert flagged("session_close_close", "2024-11-05")[0] == "05 06:25"


def test_funding_times_follow_the_interval_of_the_contract() -> None:
    assert flagged("funding_time_close", "2024-07-08") == ["08 07:55", "08 15:55", "08 23:55"]
    four = [4.0] * 288
    assert len(flagged("funding_time_close", "2024-07-08", funding_interval_hours=four)) == 6


def test_a_release_counts_when_its_calendar_was_public() -> None:
    assert flagged("news_release", "2024-06-12") == ["12 12:30", "12 18:00"]
    assert flagged("news_release", "2024-01-11") == ["11 13:30"]
    late = lab().context.news.model_copy(update={"min_notice_hours": 24.0 * 400})
    frame = bars("A", [1.0] * 288, start=dt.datetime(2024, 6, 12, tzinfo=dt.UTC))
    assert not market_context({"A": frame}, spec(news=late))["A"]["news_release"].any()


def test_releases_of_a_shutdown_count_on_the_day_that_was_set_anew() -> None:
    # Of September 2025, prices moved from 15 to 24 October, and employment from 3 October to 20 November.
    assert flagged("news_release", "2025-10-15") == flagged("news_release", "2025-10-03") == []
    assert flagged("news_release", "2025-10-24") == ["24 12:30"]
    assert flagged("news_release", "2025-11-20") == ["20 13:30"]
    # Set on 4 February 2026, a week before.
    assert flagged("news_release", "2026-02-11") == ["11 13:30"]
    late = lab().context.news.model_copy(update={"min_notice_hours": 24.0 * 7})
    frame = bars("A", [1.0] * 288, start=dt.datetime(2026, 2, 11, tzinfo=dt.UTC))
    assert not market_context({"A": frame}, spec(news=late))["A"]["news_release"].any()


def test_a_fee_holds_from_its_date() -> None:
    fees = tuple(Fee(since=START + dt.timedelta(minutes=5 * k), taker_bps=rate) for k, rate in ((1, 4.0), (3, 5.0)))
    found = market_context({"A": bars("A", [1.0] * 5)}, spec(fees=fees))["A"]["fee_taker_bps"]
    assert found.to_list() == pytest.approx([NAN, 4.0, 4.0, 5.0, 5.0], nan_ok=True)
    assert market_context({"A": bars("A", [1.0])}, spec(fees=()))["A"]["fee_taker_bps"].null_count() == 1
