"""Figures over time, against numbers worked out by hand."""

from __future__ import annotations

import math
from datetime import date, timedelta

import polars as pl
import pytest

from quant_platform.reports.charts.figures import Figure, Words
from quant_platform.reports.suite.over_time import COST_FACTORS, WINDOW, cost_sweep, distribution_of_ics, over_time

SESSIONS = WINDOW + 2


def say(title: str, description: str, sql: str, note: str = "") -> Words:
    return Words(title, description, note=note, sql=sql)


def query(columns: str) -> str:
    return f"select {columns} from suite.daily where variant = 'v'"


@pytest.fixture(scope="module")
def daily() -> pl.DataFrame:
    """Net returns of +2 % and 0 % in turn, so that mean and spread of any even window are known; costs of 1 %."""
    even = [row % 2 == 0 for row in range(SESSIONS)]
    return pl.DataFrame(
        {
            "session": [date(2020, 1, 1) + timedelta(days=row) for row in range(SESSIONS)],
            "net": [0.02 if up else 0.0 for up in even],
            "gross": [0.03 if up else 0.01 for up in even],
            "linear_cost": [0.004] * SESSIONS,
            "impact_cost": [0.006] * SESSIONS,
            "turnover": [float(row) for row in range(SESSIONS)],
            "names_long": [10] * SESSIONS,
            "names_short": [9] * SESSIONS,
            "ic": [None, float("nan"), *([0.05] * (SESSIONS - 2))],
        }
    )


def rows(figure: Figure) -> list[dict[str, object]]:
    return [dict(row) for row in figure.data]


def test_a_rolling_ratio_begins_when_its_window_is_full(daily: pl.DataFrame) -> None:
    ratio = rows(over_time(daily, say, query, sessions_per_year=252.0)[0])
    # Half the sessions at 0.02, half at 0: mean 0.01, sample deviation 0.01 x sqrt(n / (n - 1)).
    expected = math.sqrt((WINDOW - 1) / WINDOW) * math.sqrt(252.0)
    assert [row["sharpe"] for row in ratio] == pytest.approx([expected] * 3)


def test_a_session_without_an_ic_adds_nothing(daily: pl.DataFrame) -> None:
    summed = rows(over_time(daily, say, query, sessions_per_year=252.0)[1])
    assert len(summed) == SESSIONS - 2
    assert summed[-1]["summed"] == pytest.approx(0.05 * (SESSIONS - 2))


def test_turnover_is_the_mean_of_a_month(daily: pl.DataFrame) -> None:
    traded = rows(over_time(daily, say, query, sessions_per_year=252.0)[2])
    assert traded[0]["turnover"] == pytest.approx(10.0)
    assert len(traded) == SESSIONS - 20


def test_both_legs_stand_beside_each_other(daily: pl.DataFrame) -> None:
    held = rows(over_time(daily, say, query, sessions_per_year=252.0)[3])
    assert {(row["leg"], row["names"]) for row in held} == {("long", 10), ("short", 9)}


def test_the_distribution_leaves_out_what_is_missing(daily: pl.DataFrame) -> None:
    counted, placed = distribution_of_ics(daily, say, query)
    assert f"{SESSIONS - 2} sessions" in counted.words.description
    assert len(rows(placed)) == SESSIONS - 2


def test_dearer_trades_have_a_lower_ratio(daily: pl.DataFrame) -> None:
    sweep = {row["factor"]: row["sharpe"] for row in rows(cost_sweep(daily, say, query, sessions_per_year=252.0))}
    assert set(sweep) == set(COST_FACTORS)
    # Gross averages 0.02 and varies as net does; each cost takes 0.01: at 2 nothing is left, at 3 it is as far below.
    spread = 0.01 * math.sqrt(SESSIONS / (SESSIONS - 1))
    for factor in COST_FACTORS:
        assert sweep[factor] == pytest.approx((0.02 - 0.01 * factor) / spread * math.sqrt(252.0), abs=1e-9)
