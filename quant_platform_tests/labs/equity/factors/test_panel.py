"""Forward returns and panels against hand-computed values."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import StatisticError
from quant_platform.labs.equity.factors.panel import (
    Axes,
    ForwardReturns,
    axes_of,
    forward_returns,
    panel,
    rebalances_per_window,
    week_last_rows,
)

NAN = float("nan")


def test_panel_places_every_value_and_leaves_the_rest_missing() -> None:
    frame = pl.DataFrame(
        {
            "ticker": ["B", "A", "A"],
            "session": [date(2020, 1, 3), date(2020, 1, 2), date(2020, 1, 3)],
            "close": [5.0, 1.0, None],
        }
    )
    axes = axes_of(frame)
    assert axes == Axes((date(2020, 1, 2), date(2020, 1, 3)), ("A", "B"))
    np.testing.assert_array_equal(panel(frame, "close", axes), [[1.0, NAN], [NAN, 5.0]])


def test_panel_ignores_names_and_sessions_off_its_axes() -> None:
    frame = pl.DataFrame({"ticker": ["A", "Z"], "session": [date(2020, 1, 2), date(2020, 1, 2)], "close": [1.0, 9.0]})
    axes = Axes((date(2020, 1, 2), date(2020, 1, 3)), ("A",))
    np.testing.assert_array_equal(panel(frame, "close", axes), [[1.0], [NAN]])


def test_a_doubled_row_is_refused() -> None:
    frame = pl.DataFrame({"ticker": ["A", "A"], "session": [date(2020, 1, 2)] * 2, "close": [1.0, 2.0]})
    with pytest.raises(StatisticError, match=r"two rows for one session.*\n.*how many: 1 of 2 rows"):
        panel(frame, "close", axes_of(frame))


def test_last_rows_of_weeks_follow_the_iso_calendar_over_a_new_year() -> None:
    # 2020-12-28 to 2021-01-03 is one ISO week: 2021-01-01 belongs to 2020-W53.
    days = [date(2020, 12, 30), date(2020, 12, 31), date(2021, 1, 4), date(2021, 1, 8), date(2021, 1, 11)]
    np.testing.assert_array_equal(week_last_rows(days), [1, 3, 4])


def _returns(
    close: list[list[float]], *, ended: list[bool], delisting: list[float], horizon: int = 2, unknown: float = NAN
) -> ForwardReturns:
    array = np.array(close, dtype=float)
    return forward_returns(
        array,
        np.arange(array.shape[0]),
        horizon_sessions=horizon,
        entry_lag_sessions=1,
        ended=np.array(ended),
        delisting_return=np.array(delisting),
        unknown_delisting_return=unknown,
    )


def test_the_return_starts_one_session_after_the_signal() -> None:
    found = _returns([[100.0], [110.0], [120.0], [132.0], [99.0]], ended=[False], delisting=[NAN])
    # At t=0: entry close[1]=110, exit close[3]=132: +20 %. At t=1: 120 to 99. Later windows run past the data.
    np.testing.assert_allclose(found.simple[:, 0], [0.2, -0.175, NAN, NAN, NAN], rtol=1e-15)
    assert not found.ended.any()


def test_a_delisted_name_earns_to_its_last_close_and_the_delisting_return() -> None:
    close = [[100.0, 10.0], [110.0, 10.0], [120.0, 8.0], [132.0, NAN], [99.0, NAN]]
    found = _returns(close, ended=[False, True], delisting=[NAN, -0.5])
    # t=0: entry 10, last close 8, then -50 %: 4 / 10 - 1.
    assert found.simple[0, 1] == pytest.approx(-0.6)
    # t=1: entry at the last close itself, only the delisting return is earned.
    assert found.simple[1, 1] == pytest.approx(-0.5)
    np.testing.assert_array_equal(found.ended[:, 1], [True, True, False, False, False])
    assert np.isnan(found.simple[2:, 1]).all()


def test_what_nobody_said_of_a_delisting_is_left_out_or_stated_and_counted_in_both_cases() -> None:
    close = [[100.0, 10.0], [110.0, 10.0], [120.0, 8.0], [132.0, NAN], [99.0, NAN]]
    left_out = _returns(close, ended=[False, True], delisting=[NAN, NAN])
    assert np.isnan(left_out.simple[:, 1]).all()
    assert not left_out.ended.any()
    stated = _returns(close, ended=[False, True], delisting=[NAN, NAN], unknown=-0.3)
    # t=0: entry 10, last close 8, then -30 %: 5.6 / 10 - 1.
    np.testing.assert_allclose(stated.simple[:2, 1], [-0.44, -0.3])
    for found in (left_out, stated):
        np.testing.assert_array_equal(found.untold[:, 1], [True, True, False, False, False])


def test_a_vendor_hole_is_not_a_delisting_and_nothing_is_carried_forward() -> None:
    close = [[100.0], [110.0], [120.0], [NAN], [99.0]]
    found = _returns(close, ended=[False], delisting=[NAN])
    assert np.isnan(found.simple[0, 0])
    assert found.simple[1, 0] == pytest.approx(99.0 / 120.0 - 1.0)


def test_windows_past_the_data_are_unknown_for_the_dead_as_for_the_living() -> None:
    close = [[100.0, 10.0], [110.0, 10.0], [120.0, NAN]]
    found = _returns(close, ended=[False, True], delisting=[NAN, -1.0], horizon=5)
    assert np.isnan(found.simple).all()


def test_rebalances_per_window_counts_short_weeks() -> None:
    assert rebalances_per_window(np.arange(0, 500, 5), 30) == 6
    # One week of four sessions: six weeks hold 29 sessions only, so windows of 30 need seven.
    assert rebalances_per_window(np.array([0, 5, 10, 14, 19, 24, 29, 34, 39]), 30) == 7
    assert rebalances_per_window(np.arange(0, 50, 5), 1) == 1


def test_sessions_are_kept_as_dates() -> None:
    day = date(2021, 3, 1)
    frame = pl.DataFrame(
        {"ticker": ["A"] * 3, "session": [day + timedelta(days=k) for k in range(3)], "x": [1.0, 2.0, 3.0]}
    )
    assert axes_of(frame).sessions == (day, day + timedelta(days=1), day + timedelta(days=2))
