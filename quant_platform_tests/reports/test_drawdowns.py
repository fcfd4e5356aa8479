"""Months and drawdowns of a few sessions, counted by hand."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from quant_platform.reports.drawdowns import Fall, falls, monthly

DAYS = [date(2020, 1, 30), date(2020, 1, 31), date(2020, 2, 3), date(2020, 2, 4), date(2020, 2, 5), date(2020, 2, 6)]


def test_months_compound() -> None:
    daily = pl.DataFrame({"session": DAYS, "net": [0.1, 0.1, -0.5, 1.0, 0.0, 0.2]})
    found = monthly(daily)
    assert found["month"].to_list() == [date(2020, 1, 1), date(2020, 2, 1)]
    assert found["ret"].to_list() == pytest.approx([0.21, 0.2])


def test_falls_run_from_the_peak_to_the_session_that_is_above_it_again() -> None:
    daily = pl.DataFrame({"session": DAYS, "drawdown": [-0.02, 0.0, -0.1, -0.3, 0.0, -0.05]})
    assert falls(daily, 5) == [
        Fall(DAYS[1], DAYS[3], DAYS[4], -0.3, 2),
        Fall(DAYS[4], DAYS[5], None, -0.05, 1),
        Fall(None, DAYS[0], DAYS[1], -0.02, 1),
    ]
    assert [fall.depth for fall in falls(daily, 1)] == [-0.3]


def test_what_never_falls_has_no_fall() -> None:
    assert falls(pl.DataFrame({"session": DAYS[:2], "drawdown": [0.0, 0.0]}), 5) == []
