from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import CalendarError
from quant_platform.labs.suite.panel import signal_panel
from quant_platform.labs.suite.sessions import align_dates, session_clock
from quant_platform_tests.labs.suite.worlds import make_panel

CLOCK = session_clock("XNYS")

# Worked out by hand from the New York calendar: 2024-07-03 closed at 13:00, 07-04 was a holiday, 07-06 a Saturday.
CASES = [
    # date_sig, date_avail, hour -> close, ret, openret
    ("2024-07-01", "2024-07-01", None, "2024-07-02", "2024-07-03", "2024-07-02"),
    ("2024-07-01", "2024-07-02", None, "2024-07-02", "2024-07-03", "2024-07-02"),
    ("2024-07-01", "2024-07-01", 3.0, "2024-07-02", "2024-07-03", "2024-07-02"),  # before the close it has seen
    ("2024-07-01", "2024-07-02", 9.0, "2024-07-02", "2024-07-03", "2024-07-02"),  # before the open
    ("2024-07-01", "2024-07-02", 9.5, "2024-07-02", "2024-07-03", "2024-07-03"),  # at the open is too late for it
    ("2024-07-01", "2024-07-02", 15.9, "2024-07-02", "2024-07-03", "2024-07-03"),
    ("2024-07-01", "2024-07-02", 16.0, "2024-07-03", "2024-07-05", "2024-07-03"),  # at the close is too late for it
    ("2024-07-02", "2024-07-03", 12.9, "2024-07-03", "2024-07-05", "2024-07-05"),  # half day
    ("2024-07-02", "2024-07-03", 14.0, "2024-07-05", "2024-07-08", "2024-07-05"),  # half day, after its close
    ("2024-07-03", "2024-07-03", None, "2024-07-05", "2024-07-08", "2024-07-05"),
    ("2024-07-03", "2024-07-04", 12.0, "2024-07-05", "2024-07-08", "2024-07-05"),  # known on a holiday
    ("2024-07-05", "2024-07-06", 12.0, "2024-07-08", "2024-07-09", "2024-07-08"),  # known on a Saturday
    ("2024-07-05", "2024-07-05", 24.0, "2024-07-08", "2024-07-09", "2024-07-08"),
    ("2024-03-08", "2024-03-10", 2.5, "2024-03-11", "2024-03-12", "2024-03-11"),  # an hour that the clocks skipped
    ("2024-11-01", "2024-11-03", 1.5, "2024-11-04", "2024-11-05", "2024-11-04"),  # an hour that came twice
]


def frame(cases: list[tuple[str | float | None, ...]]) -> pl.DataFrame:
    schema = {"date_sig": pl.String, "date_avail": pl.String, "avail_hour": pl.Float64}
    return pl.DataFrame([case[:3] for case in cases], schema=schema, orient="row").with_columns(
        pl.col("date_sig", "date_avail").str.to_date()
    )


def test_dates_by_hand():
    found = align_dates(frame(CASES), CLOCK)
    said = found.select(pl.col("date_close", "date_ret", "date_openret").cast(pl.String)).rows()
    assert said == [case[3:] for case in CASES]


def test_a_lag_moves_everything_by_sessions():
    plain, moved = align_dates(frame(CASES), CLOCK), align_dates(frame(CASES), CLOCK, lag=3)
    for name in ("date_close", "date_ret", "date_openret"):
        rows = CLOCK.rows(plain[name].to_numpy())
        np.testing.assert_array_equal(CLOCK.rows(moved[name].to_numpy()), rows + 3)


def test_look_ahead_cannot_be_configured():
    with pytest.raises(CalendarError, match="the lag was -1"):
        align_dates(frame(CASES), CLOCK, lag=-1)
    # Whatever a file claims about its hours, nothing is traded at or before the close that date_sig has seen.
    days = CLOCK.days[15000:15250]
    for hour in (None, 0.0, 9.0, 24.0):
        made = pl.DataFrame({"date_sig": days, "date_avail": days}).with_columns(
            pl.lit(hour, dtype=pl.Float64).alias("avail_hour")
        )
        found = align_dates(made, CLOCK)
        assert (found["date_close"] > found["date_sig"]).all()
        assert (found["date_openret"] > found["date_sig"]).all()
        assert (found["date_ret"] > found["date_close"]).all()


def test_a_signal_date_that_is_no_session_is_refused():
    with pytest.raises(CalendarError, match=r"(?s)no session.*2024-07-04.*validate the signal first"):
        align_dates(frame([("2024-07-04", "2024-07-04", None)]), CLOCK)


def test_days_in_utc_have_no_weekend():
    clock = session_clock("UTC")
    found = align_dates(frame([("2024-07-06", "2024-07-06", None), ("2024-07-06", "2024-07-07", 0.5)]), clock)
    assert found["date_close"].to_list() == [date(2024, 7, 7)] * 2
    assert found["date_ret"].to_list() == [date(2024, 7, 8)] * 2
    # Midnight is both the close of one day and the open of the next: neither may be used at that moment.
    assert found["date_openret"].to_list() == [date(2024, 7, 8)] * 2


def test_beyond_the_calendar_there_is_no_date():
    last = date(2049, 12, 31)
    found = align_dates(pl.DataFrame({"date_sig": [last], "date_avail": [last]}), CLOCK)
    assert found.select("date_close", "date_ret", "date_openret").row(0) == (None, None, None)


def test_a_signal_stands_where_it_can_first_be_traded():
    panel = make_panel(1, names=30, sessions=20)
    days = panel.sessions
    rows = pl.DataFrame(
        {
            "security_id": ["N0000", "N0001", "N0002", "N0002", "N0003", "XXXX"],
            "date_sig": days[[2, 2, 2, 3, 19, 2]],
            "date_avail": days[[2, 4, 4, 3, 19, 2]],
            "avail_hour": [None, 17.0, 10.0, None, None, None],
            "signal": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        },
        schema_overrides={"avail_hour": pl.Float64},
    )
    made = signal_panel(rows, panel, name="s")
    assert [(t, i, made.at_close[t, i]) for t, i in np.argwhere(np.isfinite(made.at_close)).tolist()] == [
        (3, 0, 1.0),
        (4, 2, 4.0),
        (5, 1, 2.0),
    ]
    assert made.at_open[5, 2] == 3.0
    assert made.at_open[4, 2] == 4.0
    assert (made.rows, made.outside, made.superseded) == (6, 2, 1)
    assert made.by_date[2, 2] == 3.0
