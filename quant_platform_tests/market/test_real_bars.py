"""The S&P 500 set and the Lean set: real vendors, real errors, real crashes."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from quant_platform.market.calendar import session_array
from quant_platform.market.cleaning import CleanResult, clean_bars
from quant_platform.market.universe import members_on
from quant_platform.sources import Source, open_source
from quant_platform_tests.market.builders import actions as no_actions
from quant_platform_tests.market.builders import cleaning_spec
from quant_platform_tests.sources.builders import shipped

pytestmark = [pytest.mark.real_data, pytest.mark.long]

CALENDAR = session_array("XNYS", date(1998, 1, 1), date(2021, 12, 31))

# Every name that is in both sets.
COMMON = ("AAPL", "AIG", "BAC", "FB", "GOOG", "GOOGL", "IBM", "WM")


@pytest.fixture(scope="module")
def sp500(shared_data: Path) -> Source:
    return open_source(shipped("sp500_daily"), shared_data / "us_sp500_daily_2000_2015")


@pytest.fixture(scope="module")
def lean(shared_data: Path) -> Source:
    return open_source(shipped("lean"), shared_data / "us_corporate_actions_lean" / "raw" / "equity" / "usa")


@pytest.fixture(scope="module")
def cleaned(sp500: Source) -> dict[str, CleanResult]:
    spec, nothing = cleaning_spec(), no_actions()
    frames = sp500.bars_many(sp500.tickers()).partition_by("ticker", as_dict=True)
    return {str(key[0]): clean_bars(frame, nothing, spec, CALENDAR) for key, frame in frames.items()}


def test_every_row_of_the_set_is_clean_or_in_quarantine(cleaned: dict[str, CleanResult]) -> None:
    assert len(cleaned) == 633
    clean = sum(result.bars["close"].is_not_nan().sum() for result in cleaned.values())
    quarantined = pl.concat([result.quarantine for result in cleaned.values()])
    assert clean + quarantined.height == 1_998_292
    assert quarantined.select("ticker", "source_row").is_duplicated().sum() == 0
    # Counted in the raw file by hand: 45 rows contradict themselves, 15 more have one low at a tenth or a hundredth,
    # and 23 have no volume and one price. Of the 58 at a wrong power 13 have a wrong close and go: those whose close is
    # less than a third or more than three times the close before and the close after. The others keep it.
    counts = dict(quarantined["rule"].value_counts().iter_rows())
    assert counts == {"decimal_shift": 13, "ohlc_inconsistent": 2, "no_trade": 23}


@pytest.mark.parametrize(
    ("ticker", "session", "fall"),
    [
        ("AIG", date(2008, 9, 15), -0.6),  # the weekend of Lehman
        ("GGP", date(2008, 11, 11), -0.6),
        ("MTG", date(2012, 8, 2), -0.6),
        ("STT", date(2009, 1, 20), -0.55),
        ("ETFC", date(2007, 11, 12), -0.55),
        ("AAPL", date(2000, 9, 29), -0.5),
        ("DYN", date(2002, 7, 23), -0.6),
    ],
)
def test_real_crashes_stay(cleaned: dict[str, CleanResult], ticker: str, session: date, fall: float) -> None:
    bars = cleaned[ticker].bars.filter(pl.col("close").is_not_nan())
    change = bars.with_columns(pl.col("close").pct_change().alias("change"))
    assert change.filter(pl.col("session") == session)["change"][0] < fall


@pytest.mark.parametrize(
    ("ticker", "session"),
    [
        ("UAL", date(2008, 9, 8)),  # a six-year-old bankruptcy story; the low of 3.00 traded
        ("CTL", date(2010, 5, 6)),  # the flash crash
        ("XL", date(2015, 8, 24)),
    ],
)
def test_real_lows_that_recovered_within_the_day_stay(
    cleaned: dict[str, CleanResult], ticker: str, session: date
) -> None:
    bar = cleaned[ticker].bars.filter(pl.col("session") == session).row(0, named=True)
    assert bar["low"] < 0.4 * bar["close"]


def test_the_known_digit_errors_are_named(cleaned: dict[str, CleanResult]) -> None:
    rows = cleaned["SLG"].quarantine.filter(pl.col("session") == date(2014, 3, 4))
    assert rows.select("rule", "column", "observed").row(0) == ("decimal_shift", "close", 0.9161)
    assert rows["expected"][0] == pytest.approx(91.61)


def test_the_index_had_about_five_hundred_members(sp500: Source) -> None:
    for day in (date(2000, 6, 1), date(2008, 9, 15), date(2015, 6, 1)):
        assert 480 <= len(members_on(sp500.securities(), "sp500", day)) <= 510
    # Lehman was a member on its last Monday before the removal and is not in the price files.
    assert "BRK.B" in members_on(sp500.securities(), "sp500", date(2015, 6, 1))


def _returns(source: Source, ticker: str, actions: pl.DataFrame) -> pl.DataFrame:
    bars = clean_bars(source.bars(ticker), actions, cleaning_spec(), CALENDAR).bars
    return bars.select("session", pl.col("close").pct_change().alias(source.name)).filter(
        pl.col(source.name).is_not_nan() & pl.col(source.name).is_not_null()
    )


def _both(sp500: Source, lean: Source, ticker: str) -> pl.DataFrame:
    """``session, ours, vendor``: adjusted closes of the sessions both sets have."""
    ours = clean_bars(lean.bars(ticker), lean.actions(ticker), cleaning_spec(), CALENDAR).bars
    vendor = clean_bars(sp500.bars(ticker), no_actions(), cleaning_spec(), CALENDAR).bars
    both = ours.select("session", pl.col("close").alias("ours")).join(
        vendor.select("session", pl.col("close").alias("vendor")), on="session"
    )
    return both.filter(pl.col("ours").is_not_nan() & pl.col("vendor").is_not_nan()).sort("session")


def _correlation(both: pl.DataFrame, sessions: int = 1) -> float:
    changes = both.select(pl.col("ours", "vendor").pct_change(sessions)).drop_nulls().to_numpy()
    return float(np.corrcoef(changes.T)[0, 1])


@pytest.mark.parametrize("ticker", ["AAPL", "BAC", "FB", "GOOG", "WM"])
def test_our_adjustment_agrees_with_the_vendor_day_by_day(sp500: Source, lean: Source, ticker: str) -> None:
    assert _correlation(_both(sp500, lean, ticker)) > 0.99


@pytest.mark.parametrize("ticker", COMMON)
def test_our_adjustment_agrees_with_the_vendor_month_by_month(sp500: Source, lean: Source, ticker: str) -> None:
    # One set closes on the last print, the other on the auction. In 2000 and 2008 they are up to 30 % apart (AIG
    # 2008-09-18: 2.39 and 2.69; GOOGL 2008-09-30: 294.57, later corrected to 400.52). That is gone in 21 sessions; a
    # wrong factor is not.
    assert _correlation(_both(sp500, lean, ticker), 21) > 0.99


@pytest.mark.parametrize("ticker", ["AIG", "GOOGL", "IBM"])
def test_where_the_two_closes_are_the_same_print_the_days_agree_too(sp500: Source, lean: Source, ticker: str) -> None:
    both = _both(sp500, lean, ticker)
    level = (both["ours"] / both["vendor"]).log()
    same = (level - level.rolling_median(11, center=True, min_samples=3)).abs() < 0.005
    assert same.mean() > 0.95
    changes = both.select(pl.col("ours", "vendor").pct_change())
    changes = changes.filter(same & same.shift(1)).drop_nulls().to_numpy()
    assert np.corrcoef(changes.T)[0, 1] > 0.99


def test_the_level_does_not_step_at_a_split(sp500: Source, lean: Source) -> None:
    judged = 0
    for ticker in COMMON:
        both = _both(sp500, lean, ticker)
        level = (both["ours"] / both["vendor"]).log().to_numpy()
        splits = lean.actions(ticker).filter(pl.col("kind") == "split")
        for ex_date in splits["ex_date"]:
            at = int(both["session"].search_sorted(ex_date))
            if 10 <= at <= both.height - 10:
                # A dividend that this vendor leaves unadjusted may fall into the window (BAC 2004-09-01, 1 %).
                assert abs(np.median(level[at : at + 10]) - np.median(level[at - 10 : at])) < 0.02, (ticker, ex_date)
                judged += 1
    assert judged >= 7


@pytest.mark.parametrize(
    ("ticker", "ex_date", "damage"),
    [
        ("AAPL", date(2014, 6, 9), -0.85),  # 7:1
        ("AAPL", date(2005, 2, 28), -0.45),  # 2:1
        ("BAC", date(2004, 8, 30), -0.45),  # 2:1
    ],
)
def test_without_adjustment_a_split_is_a_crash(
    lean: Source, sp500: Source, ticker: str, ex_date: date, damage: float
) -> None:
    naive = _returns(lean, ticker, no_actions()).filter(pl.col("session") == ex_date)["lean"][0]
    adjusted = _returns(lean, ticker, lean.actions(ticker)).filter(pl.col("session") == ex_date)["lean"][0]
    vendor = _returns(sp500, ticker, no_actions()).filter(pl.col("session") == ex_date)["sp500_daily"][0]
    assert naive < damage
    assert adjusted == pytest.approx(vendor, abs=0.005)


def test_a_reverse_split_is_a_miracle_without_adjustment(lean: Source) -> None:
    naive = _returns(lean, "AIG", no_actions()).filter(pl.col("session") == date(2009, 7, 1))["lean"][0]
    adjusted = _returns(lean, "AIG", lean.actions("AIG")).filter(pl.col("session") == date(2009, 7, 1))["lean"][0]
    assert naive > 10
    assert abs(adjusted) < 0.5
