"""A panel of returns: hand-made numbers in, the same numbers on their sessions out."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import CalendarError, SchemaViolation
from quant_platform.labs.suite.build import baseline_signals
from quant_platform.labs.suite.own_panel import OwnFrames, index_bars, own_panel, own_sessions
from quant_platform.labs.suite.sessions import session_clock
from quant_platform.market.calendar import session_array
from quant_platform.specification.loading import load_spec
from quant_platform.specification.suite import BaselinesFile, load_suite
from quant_platform_tests.homes import SHIPPED

SUITE = load_suite(SHIPPED).suite
DAYS = session_array("XNYS", date(2024, 1, 2), date(2024, 2, 15))
NONE = pl.DataFrame(schema={"ticker": pl.String, "session": pl.Date})


def day(row: int) -> date:
    found: date = DAYS[row].item()
    return found


def rows(columns: dict[str, pl.DataType | type[pl.DataType]], *lines: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(lines, schema={"ticker": pl.String, "session": pl.Date} | columns, orient="row")


def returns(*lines: tuple[str, int, float | None]) -> pl.DataFrame:
    return rows(
        dict.fromkeys(("ret", "ret_open_to_close", "ret_open_to_open"), pl.Float64),
        *((name, day(row), ret, None, None) for name, row, ret in lines),
    )


def steady() -> list[tuple[str, int, float | None]]:
    """A has a return on every session; B has a hole on row 2; C is listed on row 3 and gone after row 5."""
    everywhere: list[tuple[str, int, float | None]] = [("A", row, 0.01) for row in range(len(DAYS))]
    holed: list[tuple[str, int, float | None]] = [("B", row, -0.02) for row in range(len(DAYS)) if row != 2]
    return [*everywhere, *holed, ("C", 3, None), ("C", 4, 0.5), ("C", 5, -0.6)]


def frames(made: pl.DataFrame | None = None, **changes: Any) -> OwnFrames:
    found = {"descriptors": NONE, "risk": NONE, "dates": None, "descriptors_age": 0, "risk_age": 0} | changes
    return OwnFrames(returns=returns(*steady()) if made is None else made, **found)


def test_prices_endings_and_holes_are_those_of_the_rows() -> None:
    made = own_panel(frames(), SUITE, exchange="XNYS")
    assert made.tickers == ("A", "B", "C")
    np.testing.assert_array_equal(made.sessions, DAYS)
    assert made.priced[:, 0].all()
    assert not made.priced[2, 1]
    assert made.priced[:, 1].sum() == len(DAYS) - 1
    np.testing.assert_array_equal(np.flatnonzero(made.priced[:, 2]), [3, 4, 5])
    assert np.isnan(made.returns[2, 1])
    assert (made.returns[3, 1], made.returns[5, 2]) == (-0.02, -0.6)
    # C is gone: what its delisting paid stands in its last row, and nothing comes after it.
    np.testing.assert_array_equal(made.last, [len(DAYS), len(DAYS), 5])
    assert made.returns[6, 2] == 0.0
    assert np.isnan(made.returns[7, 2])
    np.testing.assert_array_equal(made.universe, made.priced)
    assert made.not_available == {
        "market_cap": "the data have no market caps and no shares outstanding",
        "industry": "the data have no sectors",
        "adv": "the data have no traded values",
        "open": "the data have no opens",
        "exposures": "no style exposure was given, and none could be computed",
    }
    # Sixty-three sessions of volatility want at least half as many returns, and those of A are all alike.
    assert np.isnan(made.volatility[:30]).all()
    assert made.volatility[30, 0] == pytest.approx(0.0, abs=1e-12)


def test_descriptors_hold_for_their_days_and_a_null_withdraws_them() -> None:
    columns = {"adv": pl.Float64, "market_cap": pl.Float64, "industry": pl.String, "member": pl.Float64}
    stated = rows(
        columns,
        ("A", date(2023, 12, 29), 1e6, 2e9, "Energy", 1.0),
        # Sunday: known on the session after it.
        ("A", date(2024, 1, 7), 3e6, None, "Banks", 1.0),
        ("B", day(1), 4e6, 1e9, None, 0.0),
    )
    made = own_panel(frames(descriptors=stated, descriptors_age=10), SUITE, exchange="XNYS")
    monday = int(np.searchsorted(DAYS, np.datetime64("2024-01-08")))
    assert (made.adv[0, 0], made.adv[monday - 1, 0], made.adv[monday, 0]) == (1e6, 1e6, 3e6)
    assert made.market_cap is not None
    assert made.market_cap[monday - 1, 0] == 2e9
    assert np.isnan(made.market_cap[monday, 0])
    assert made.industries == ("Banks", "Energy")
    assert [made.industry[row, 0] for row in (0, monday)] == [1, 0]
    aged = int(np.searchsorted(DAYS, np.datetime64("2024-01-18")))
    assert np.isfinite(made.adv[aged - 1, 0])
    assert np.isnan(made.adv[aged, 0])
    assert made.industry[aged, 0] == -1
    # B is out, C was never said to be in, and A is in for as long as its rows hold.
    assert not made.universe[:, 1:].any()
    np.testing.assert_array_equal(np.flatnonzero(made.universe[:, 0]), np.arange(aged))


def test_styles_are_those_of_the_file_standardised_or_computed_from_the_returns() -> None:
    exposures = rows({"value": pl.Float64}, ("A", day(0), 10.0), ("B", day(0), 30.0))
    made = own_panel(frames(risk=exposures), SUITE, exchange="XNYS")
    assert set(made.exposures) == {"value"}
    np.testing.assert_allclose(made.exposures["value"][0], [-1.0, 1.0, np.nan])
    assert np.isnan(made.exposures["value"][1]).all()

    long = session_array("XNYS", date(2023, 1, 3), date(2024, 2, 15))
    drift = {"A": 0.001, "B": 0.002, "C": 0.003}
    many = rows(
        dict.fromkeys(("ret", "ret_open_to_close", "ret_open_to_open"), pl.Float64),
        *((name, stamp.item(), ret, None, None) for name, ret in drift.items() for stamp in long),
    )
    computed = own_panel(frames(many), SUITE, exchange="XNYS")
    assert {"momentum"} <= set(computed.exposures) <= {"beta", "momentum", "volatility"}
    # From 252 to 21 sessions ago 231 returns of each: the middle one is nearly the mean.
    first = SUITE.history.momentum
    gains = np.array([(1.0 + ret) ** (first - SUITE.history.momentum_skip) - 1.0 for ret in drift.values()])
    expected = (gains - gains.mean()) / gains.std()
    np.testing.assert_allclose(computed.exposures["momentum"][first], expected, rtol=1e-9)
    assert np.isnan(computed.exposures["momentum"][first - 1]).all()


def test_a_baseline_reads_the_returns_as_prices() -> None:
    made = own_panel(frames(), SUITE, exchange="XNYS")
    bars = index_bars(made)
    assert bars.filter(pl.col("ticker") == "C").rows() == [
        ("C", day(3), 1.0, None),
        ("C", day(4), 1.5, None),
        ("C", day(5), pytest.approx(0.6), None),
    ]
    file = load_spec(SHIPPED / "suite" / "baselines.yaml", BaselinesFile)
    signals, missing = baseline_signals(None, made, SUITE, file)
    assert set(missing) == {"momentum_12_1", "value", "low_volatility", "size", "high_52w"}
    (reversal,) = signals
    assert reversal.by_date[5, 0] == pytest.approx(1.0 - 1.01**5)
    # A hole in the window is a session without a price: the index is carried over it.
    assert reversal.by_date[8, 1] == pytest.approx(1.0 - 0.98**5)
    assert reversal.by_date[6, 1] == pytest.approx(1.0 - 0.98**4)


def test_dates_that_are_no_sessions_are_refused() -> None:
    clock = session_clock("XNYS")
    with pytest.raises(SchemaViolation, match="there are no returns"):
        own_sessions(frames(returns().clear()), clock)
    holiday = pl.concat([returns(*steady()), returns(("A", 0, 0.0)).with_columns(session=date(2024, 1, 15))])
    with pytest.raises(CalendarError, match=r"no session of XNYS(?s:.*)file of returns(?s:.*)1 of \d+ rows"):
        own_sessions(frames(holiday), clock)
    monthly = rows({"adv": pl.Float64}, ("A", date(2024, 1, 6), 1.0))
    with pytest.raises(CalendarError, match=r"file of descriptors(?s:.*)max_age_days"):
        own_sessions(frames(descriptors=monthly), clock)
    assert len(own_sessions(frames(descriptors=monthly, descriptors_age=31), clock)) == len(DAYS)
    stated = pl.Series([*DAYS[:-3].tolist(), DAYS[-1].item(), date(2024, 1, 6)]).sort()
    with pytest.raises(CalendarError, match=r"1 dates are no session, 2 sessions are not stated(?s:.*)2024-01-06"):
        own_sessions(frames(dates=stated), clock)
    # Dates beyond the returns are nobody's business.
    beyond = pl.Series([*DAYS.tolist(), day(len(DAYS) - 1) + timedelta(days=400)])
    assert len(own_sessions(frames(dates=beyond), clock)) == len(DAYS)


def test_days_in_utc_are_sessions_too() -> None:
    weekend = rows(
        dict.fromkeys(("ret", "ret_open_to_close", "ret_open_to_open"), pl.Float64),
        *(("BTC", date(2024, 1, 5) + timedelta(days=k), 0.01, None, None) for k in range(4)),
    )
    made = own_panel(frames(weekend), SUITE, exchange="UTC")
    assert len(made.sessions) == 4
    assert made.periods_per_year == SUITE.days_per_year
