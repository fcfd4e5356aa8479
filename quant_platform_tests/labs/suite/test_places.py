"""Values at their places, rows of days, and moments that are looked at once."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from quant_platform.expressions import Kind, compile_plan
from quant_platform.labs.suite.build import evaluated_signals
from quant_platform.labs.suite.own_panel import index_bars
from quant_platform.labs.suite.panel import Places
from quant_platform.labs.suite.sessions import DayRows, entry_rows, session_clock
from quant_platform_tests.labs.suite.worlds import make_panel


def test_values_at_their_places_by_hand() -> None:
    rows = np.array([0, 1, 1, -1, 2, 0])
    columns = np.array([1, 0, 0, 0, 0, 2])
    places = Places((2, 2), rows, columns)
    assert places.inside == 3
    np.testing.assert_array_equal(places.lay(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])), [[np.nan, 1.0], [3.0, np.nan]])
    np.testing.assert_array_equal(
        places.flag(np.array([True, True, False, True, True, True])), [[False, True], [False, False]]
    )
    codes = places.code(np.array([4, 5, 6, 7, 8, 9], dtype=np.int16))
    assert codes.dtype == np.int16
    assert codes.tolist() == [[-1, 4], [6, -1]]
    np.testing.assert_array_equal(Places((1, 2), np.array([0]), np.array([1])).lay(np.array([True])), [[np.nan, 1.0]])


def test_rows_of_days_by_hand() -> None:
    days = np.array(["2024-01-05", "2024-01-08", "2024-01-09"], dtype="datetime64[D]")
    asked = np.array(["2024-01-04", "2024-01-05", "2024-01-06", "2024-01-09", "2024-01-10", "1900-01-01", "NaT"])
    assert DayRows(days).rows(asked.astype("datetime64[D]")).tolist() == [-1, 0, -1, 2, -1, -1, -1]
    assert DayRows(days[:1]).rows(days).tolist() == [0, -1, -1]


def test_moments_in_any_order_have_the_same_entries() -> None:
    clock = session_clock("XNYS")
    rng = np.random.default_rng(4)
    sessions = clock.days[clock.rows(np.array(["2020-03-02"], dtype="datetime64[D]"))[0] + rng.integers(0, 40, 300)]
    hours = pl.Series(rng.choice([np.nan, 0.0, 9.5, 16.0, 23.5], 300)).fill_nan(None)
    frame = pl.DataFrame(
        {
            "date_sig": pl.Series(sessions, dtype=pl.Date),
            "date_avail": pl.Series(sessions + rng.integers(0, 4, 300), dtype=pl.Date),
            "avail_hour": hours,
        }
    )
    opened, closed = entry_rows(frame, clock)
    alone = [entry_rows(frame[k], clock) for k in range(frame.height)]
    assert opened.tolist() == [one[0].item() for one in alone]
    assert closed.tolist() == [one[1].item() for one in alone]
    ordered = frame.sort("date_sig", "date_avail", "avail_hour")
    assert sorted(opened.tolist()) == sorted(entry_rows(ordered, clock)[0].tolist())
    assert entry_rows(frame.clear(), clock)[0].size == 0
    assert frame["date_sig"][0] >= date(2020, 3, 2)


def test_names_that_do_not_stand_in_one_piece_are_put_together() -> None:
    panel = make_panel(3, names=6, sessions=40)
    plan = compile_plan({"change": "close/lag(close,2)-1"}, {"close": Kind.NUMBER, "market_cap": Kind.NUMBER})
    bars = index_bars(panel)
    (whole,), _ = evaluated_signals(plan, bars, panel)
    (mixed,), _ = evaluated_signals(plan, bars.sort("session", maintain_order=True), panel)
    np.testing.assert_array_equal(whole.by_date, mixed.by_date)
    level = bars.filter(pl.col("ticker") == "N0002")["close"].to_numpy()
    np.testing.assert_allclose(whole.by_date[2:, 2], level[2:] / level[:-2] - 1.0, rtol=1e-14)
