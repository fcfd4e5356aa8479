from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import SchemaViolation
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


US = pl.Datetime("us", "UTC")


def belongs(*rows: tuple[str, int, int | None]) -> pl.DataFrame:
    """Symbol, first bar and the one after the last, None while it lasts."""
    stamps = [(name, bar(first), None if last is None else bar(last)) for name, first, last in rows]
    return pl.DataFrame(stamps, schema={"symbol": pl.String, "start": US, "end": US}, orient="row")


def bar(number: int) -> dt.datetime:
    return START + dt.timedelta(minutes=5 * number)


def test_a_member_counts_from_its_first_bar_up_to_its_end_and_again_when_it_comes_back() -> None:
    """B moves by 2 on every bar: A's benchmark is there on the bars on which B belongs."""
    market = {"A": bars("A", powers(0, 0, 0, 0, 0, 0)), "B": bars("B", powers(0, 2, 4, 6, 8, 10))}
    members = belongs(("A", 0, None), ("B", 1, 3), ("B", 4, None), ("Z", 0, None))
    found = market_context(market, spec(), members)["A"]["bench_ret"].to_list()
    assert found == pytest.approx([NAN, 2.0, 2.0, NAN, 2.0, 2.0], nan_ok=True)
    none = market_context(market, spec(), belongs(("A", 0, None)))["A"]["bench_ret"].to_list()
    assert none == pytest.approx([NAN] * 6, nan_ok=True)


def test_as_many_others_are_needed_as_the_spec_asks_for() -> None:
    market = {name: bars(name, powers(0, k, 2 * k)) for name, k in (("A", 1), ("B", 2), ("C", 4))}
    market["C"] = market["C"].with_columns(close=pl.Series(powers(0, 4, NAN)))
    two = market_context(market, spec(min_bench_members=2))
    assert two["A"]["bench_ret"].to_list() == pytest.approx([NAN, 3.0, NAN], nan_ok=True)
    # With three symbols nobody has three others: the column cannot exist.
    assert market_context(market, spec(min_bench_members=3))["A"]["bench_ret"].null_count() == 3


def test_a_price_of_nothing_is_missing() -> None:
    market = {"A": bars("A", powers(0, 0, 0, 0)), "B": bars("B", [1.0, 0.0, 2.0, 2.0])}
    found = market_context(market, spec())["A"]["bench_ret"].to_list()
    assert found == pytest.approx([NAN, NAN, NAN, 0.0], nan_ok=True)


def test_the_median_of_funding_is_over_the_members_that_have_a_rate_on_the_bar() -> None:
    """Per eight hours 1, 2, 4 and 9 bps; on the second bar 9 is missing, on the third 1 and 9, on the fourth all.

    On the fifth bar the rate of 4 belongs to the universe no more.
    """
    rates = {"A": [1.0, 1.0, NAN, NAN, 1.0], "B": [2.0, 2.0, 2.0, NAN, 2.0], "C": [2.0, 2.0, 2.0, NAN, 2.0]}
    rates["D"] = [9.0, NAN, NAN, NAN, 9.0]
    hours = {"A": 8.0, "B": 8.0, "C": 4.0, "D": 8.0}
    market = {
        name: bars(name, [1.0] * 5, funding_rate=[1e-4 * x for x in own], funding_interval_hours=[hours[name]] * 5)
        for name, own in rates.items()
    }
    members = belongs(("A", 0, None), ("B", 0, None), ("C", 0, 4), ("D", 0, None))
    found = market_context(market, spec(), members)
    assert found["A"]["xs_funding_med_bps"].to_list() == pytest.approx([3.0, 2.0, 3.0, NAN, 2.0], nan_ok=True)
    without = {name: frame.drop("funding_interval_hours") for name, frame in market.items()}
    assert market_context(without, spec())["A"]["xs_funding_med_bps"].null_count() == 5


def test_symbols_lie_on_one_grid_from_the_first_bar_of_any_to_the_last() -> None:
    """B begins two bars later and ends a bar later; C has no bar at all."""
    market = {
        "A": bars("A", powers(0, 1, 3, 6)),
        "B": bars("B", powers(0, 5, 5), start=bar(2)),
        "C": bars("C", [1.0]).clear(),
    }
    found = market_context(market, spec())
    assert sorted(found) == ["A", "B"]
    assert found["A"]["bench_ret"].to_list() == pytest.approx([NAN, NAN, NAN, 5.0], nan_ok=True)
    assert found["B"]["bench_ret"].to_list() == pytest.approx([2.0, 3.0, NAN], nan_ok=True)
    assert market_context({}, spec()) == {}
    with pytest.raises(SchemaViolation, match="no symbol has a bar"):
        market_context({"C": market["C"]}, spec())


def test_funding_is_due_at_the_scheduled_hours_where_the_data_do_not_say() -> None:
    """Four bars to 04:00: a contract that settles each four hours by the schedule, and one that says so on one bar."""
    start = dt.datetime(2024, 7, 8, 3, 40, tzinfo=dt.UTC)
    funding = spec().funding.model_copy(update={"interval_hours": 8, "symbols": {"A": 4}})
    market = {
        "A": bars("A", [1.0] * 4, start=start),
        "B": bars("B", [1.0] * 4, start=start),
        "C": bars("C", [1.0] * 4, start=start, funding_interval_hours=[NAN, NAN, NAN, 2.0]),
        "D": bars("D", [1.0] * 4, start=start, funding_interval_hours=[2.0, 2.0, 2.0, NAN]),
    }
    found = market_context(market, spec(funding=funding))
    due = {name: found[name]["funding_time_close"].to_list() for name in market}
    at_four, never = [False, False, False, True], [False] * 4
    assert due == {"A": at_four, "B": never, "C": at_four, "D": never}


def test_hours_hold_from_their_first_day_to_their_last() -> None:
    """London at other hours on 8 and 9 July alone, which are one session each; then only on the 9th."""
    (london,) = (session for session in spec().sessions if session.exchange == "XLON")
    day = dt.datetime(2024, 7, 8, tzinfo=dt.UTC)

    def opens(since: int, until: int) -> list[str]:
        own = london.model_copy(
            update={"opens": dt.time(12, 0), "since": dt.date(2024, 7, since), "until": dt.date(2024, 7, until)}
        )
        frame = market_context({"A": bars("A", [1.0] * 288 * 3, start=day)}, spec(sessions=(own,)))["A"]
        return frame.filter("session_open_close")["bar"].dt.strftime("%d %H:%M").to_list()

    # Noon in London's summer is 11:00.
    assert opens(8, 9) == ["08 10:55", "09 10:55"]
    assert opens(9, 9) == ["09 10:55"]
    assert opens(10, 9) == []


def test_a_session_is_found_on_the_first_and_the_last_bar_and_from_clocks_a_day_away() -> None:
    """Tokyo's 9 July opens at midnight of UTC, and closes at 06:00; a clock far west would open on the day before."""
    start = dt.datetime(2024, 7, 8, 23, 55, tzinfo=dt.UTC)
    found = market_context({"A": bars("A", [1.0], start=start)}, spec())["A"]
    assert found["session_open_close"].to_list() == [True]
    (london,) = (session for session in spec().sessions if session.exchange == "XLON")
    west = london.model_copy(update={"timezone": "Pacific/Honolulu", "opens": dt.time(20, 0), "since": None})
    # 20:00 of 8 July in Honolulu is 06:00 of 9 July.
    morning = bars("A", [1.0], start=dt.datetime(2024, 7, 9, 5, 55, tzinfo=dt.UTC))
    assert market_context({"A": morning}, spec(sessions=(west,)))["A"]["session_open_close"].to_list() == [True]


def test_a_release_that_was_public_just_long_enough_before_counts() -> None:
    release = spec().news.releases[0].model_copy(
        update={
            "published": dt.datetime(2024, 6, 10, 12, 30, tzinfo=dt.UTC), "clock": dt.time(8, 30),
            "timezone": "America/New_York", "days": (dt.date(2024, 6, 12),),
        }
    )  # fmt: skip
    frame = bars("A", [1.0] * 288, start=dt.datetime(2024, 6, 12, tzinfo=dt.UTC))
    for hours, count in ((48.0, 1), (48.1, 0)):
        news = spec().news.model_copy(update={"releases": (release,), "min_notice_hours": hours})
        assert market_context({"A": frame}, spec(news=news))["A"]["news_release"].sum() == count
