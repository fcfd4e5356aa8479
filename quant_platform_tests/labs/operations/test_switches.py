"""What is known after a session, and limits that are met exactly, by hand."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.labs.operations.book import _why_void
from quant_platform.labs.operations.cost_tables import _excess
from quant_platform.labs.operations.costs import Estimate, percentile
from quant_platform.labs.operations.dashboard import as_json
from quant_platform.labs.operations.switches import WINDOW_SESSIONS, Slippage, observations

DAYS = [date(2024, 3, 4) + timedelta(days=k) for k in range(4)]


def orders(*days: date, action: str = "enter") -> pl.DataFrame:
    return pl.DataFrame({"day": list(days), "action": [action] * len(days)})


def test_orders_count_when_they_have_met_the_market_and_refusals_at_once() -> None:
    sent = pl.concat([orders(DAYS[0], DAYS[0], DAYS[2], DAYS[3]), orders(DAYS[1], action="leave")])
    slippage = {DAYS[1]: Slippage(realised=3.0, modelled=2.0, fills=5), DAYS[2]: Slippage(10.0, 4.0, 7)}
    found = observations(
        np.array(DAYS, dtype="datetime64[D]"),
        np.array([100.0, 101.0, 99.0, 98.0]),
        np.array([DAYS[0], DAYS[1]], dtype="datetime64[D]"),
        sent,
        [DAYS[1], DAYS[1], DAYS[3]],
        slippage,
    )
    assert [one.orders for one in found] == [0, 2, 2, 3]
    assert [one.rejects for one in found] == [0, 2, 2, 3]
    assert [one.fills for one in found] == [0, 5, 12, 12]
    assert [one.realised_slippage for one in found] == [0.0, 3.0, 13.0, 13.0]
    assert [one.modelled_slippage for one in found] == [0.0, 2.0, 6.0, 6.0]
    assert [one.bars_since_data for one in found] == [0.0, 0.0, 1.0, 2.0]
    assert [one.equity for one in found] == [100.0, 101.0, 99.0, 98.0]


def test_without_any_price_the_age_grows_from_the_first_session_and_the_window_ends() -> None:
    days = [date(2024, 1, 1) + timedelta(days=k) for k in range(WINDOW_SESSIONS + 2)]
    found = observations(
        np.array(days, dtype="datetime64[D]"), np.ones(len(days)), np.array([], dtype="datetime64[D]"),
        orders(*days), [days[0], days[1]], {},
    )  # fmt: skip
    assert [one.bars_since_data for one in found[:3]] == [1.0, 2.0, 3.0]
    # The window holds 63 sessions; the orders of its last one have not met the market yet.
    assert [found[-1].orders, found[-3].orders] == [WINDOW_SESSIONS - 1, WINDOW_SESSIONS - 1]
    assert [found[-3].rejects, found[-2].rejects, found[-1].rejects] == [2, 1, 0]


@pytest.mark.parametrize(
    ("direction", "shown", "code"),
    [
        ("long", 9.0, "open_beyond_stop"),
        ("long", 9.01, "no_room"),
        ("long", 12.0, "open_beyond_target"),
        ("long", 11.99, "no_room"),
        ("short", 12.0, "open_beyond_stop"),
        ("short", 9.0, "open_beyond_target"),
    ],
)
def test_an_open_at_a_level_has_passed_it(direction: str, shown: float, code: str) -> None:
    levels = {"stop": 9.0, "target": 12.0} if direction == "long" else {"stop": 12.0, "target": 9.0}
    row: dict[str, Any] = {"direction": direction, **levels}
    assert _why_void(row, shown, 1.0)[0] == code
    # After a split of two for one the levels are halved.
    assert _why_void(row, shown / 2.0, 2.0)[0] == code


def test_the_lower_limit_of_an_excess_lies_below_it() -> None:
    """5 - 2 = 3; errors of 0.3 and 0.4 make 0.5; t of 95 % with 10 degrees of freedom is 2.2281."""
    here, there = Estimate(11, 5.0, 0.3, 0.0, 0.0), Estimate(90, 2.0, 0.4, 0.0, 0.0)
    assert _excess(here, there, 0.95) == pytest.approx((3.0, 3.0 - 2.2281389 * 0.5))


def test_no_value_has_no_percentile_and_counts_none() -> None:
    found = percentile([], 0.5, 0.95)
    assert (found.n, math.isnan(found.value), math.isnan(found.low)) == (0, True, True)


def test_an_output_that_is_no_number_is_refused_and_not_written() -> None:
    assert as_json({"b": 1.5, "a": None}) == '{\n "a": null,\n "b": 1.5\n}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json({"a": math.nan})
