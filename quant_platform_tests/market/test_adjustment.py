from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.market.adjustment import adjustment_factors, split_factor
from quant_platform.market.calendar import session_array
from quant_platform_tests.market.builders import actions

DAYS = session_array("XNYS", date(2020, 1, 2), date(2020, 1, 9))  # 2, 3, 6, 7, 8, 9 January


def test_a_textbook_split_and_dividend() -> None:
    # Split 2:1 on the 7th; cash 1.00 per share on the 3rd against a close of 100 before it.
    close = np.array([100.0, 99.0, 100.0, 50.0, 51.0, 52.0])
    found = adjustment_factors(
        DAYS, close, actions([(date(2020, 1, 7), "split", 2.0), (date(2020, 1, 3), "cash_dividend", 1.0)]), "none"
    )
    assert found.total == pytest.approx([0.5 * 0.99, 0.5, 0.5, 1.0, 1.0, 1.0])
    assert found.shares == pytest.approx([2.0, 2.0, 2.0, 1.0, 1.0, 1.0])
    assert found.to_unadjusted == pytest.approx(np.ones(6))


def test_the_adjusted_return_over_an_ex_date_is_the_total_return() -> None:
    close = np.array([80.0, 90.0, 30.0, 31.0, 32.0, 33.0])
    found = adjustment_factors(
        DAYS, close, actions([(date(2020, 1, 6), "split", 3.0), (date(2020, 1, 6), "cash_dividend", 6.0)]), "none"
    )
    adjusted = close * found.total
    # One share at 90 pays 6 and becomes three at 30: 90 / (90 - 6).
    assert adjusted[2] / adjusted[1] == pytest.approx(90.0 / 84.0)


def test_actions_outside_the_bars_do_not_count() -> None:
    close = np.full(6, 10.0)
    outside = actions(
        [
            (date(2020, 1, 2), "split", 2.0),
            (date(2019, 12, 2), "cash_dividend", 1.0),
            (date(2020, 1, 10), "split", 4.0),
            (date(2020, 2, 10), "cash_dividend", 1.0),
            (date(2020, 1, 9), "delisting", -0.3),
        ]
    )
    assert adjustment_factors(DAYS, close, outside, "none").total == pytest.approx(np.ones(6))


def test_a_dividend_uses_the_last_close_that_exists() -> None:
    close = np.array([50.0, np.nan, np.nan, 40.0, 40.0, 40.0])
    found = adjustment_factors(DAYS, close, actions([(date(2020, 1, 7), "cash_dividend", 5.0)]), "none")
    assert found.total == pytest.approx([0.9, 0.9, 0.9, 1.0, 1.0, 1.0])


def test_an_ex_date_on_a_day_without_trading_counts_from_the_next_session() -> None:
    found = adjustment_factors(DAYS, np.full(6, 10.0), actions([(date(2020, 1, 4), "split", 2.0)]), "none")
    assert found.total == pytest.approx([0.5, 0.5, 1.0, 1.0, 1.0, 1.0])


def test_a_split_adjusted_vendor_is_adjusted_for_dividends_only() -> None:
    # As traded: 100, 100, 100, 50, 50, 50 with a dividend of 2 before the split; delivered in shares of after it.
    delivered = np.full(6, 50.0)
    found = adjustment_factors(
        DAYS, delivered, actions([(date(2020, 1, 7), "split", 2.0), (date(2020, 1, 3), "cash_dividend", 2.0)]), "split"
    )
    assert delivered * found.to_unadjusted == pytest.approx([100.0, 100.0, 100.0, 50.0, 50.0, 50.0])
    assert found.total == pytest.approx([0.98, 1.0, 1.0, 1.0, 1.0, 1.0])


def test_a_fully_adjusted_vendor_is_left_alone() -> None:
    found = adjustment_factors(DAYS, np.full(6, 10.0), actions([(date(2020, 1, 7), "split", 2.0)]), "split_dividend")
    assert found.total == pytest.approx(np.ones(6))


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("split", 0.0, "split ratio was not positive"),
        ("cash_dividend", 10.0, "not below the close before"),
        ("cash_dividend", -1.0, "was negative"),
    ],
)
def test_an_impossible_action_is_refused(kind: str, value: float, message: str) -> None:
    with pytest.raises(SchemaViolation, match=message):
        adjustment_factors(DAYS, np.full(6, 10.0), actions([(date(2020, 1, 7), kind, value)]), "none")


def test_split_factor_compares_closes_over_a_split() -> None:
    found = split_factor(DAYS, actions([(date(2020, 1, 7), "split", 10.0)]), "none")
    assert found == pytest.approx([0.1, 0.1, 0.1, 1.0, 1.0, 1.0])


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    cut=st.integers(5, 250),
    events=st.lists(
        st.tuples(st.integers(1, 249), st.sampled_from(["split", "cash_dividend"]), st.floats(0.1, 4.0)),
        max_size=6,
        unique_by=lambda event: (event[0], event[1]),
    ),
)
def test_what_happens_later_only_scales_the_history(seed: int, cut: int, events: list[tuple[int, str, float]]) -> None:
    days = session_array("XNYS", date(2019, 1, 2), date(2019, 12, 31))
    close = 50 * np.exp(np.random.default_rng(seed).normal(0, 0.01, len(days)).cumsum())
    all_actions = actions([(days[k].item(), kind, value) for k, kind, value in events])
    whole = adjustment_factors(days, close, all_actions, "none").total[:cut]
    known = adjustment_factors(days[:cut], close[:cut], all_actions, "none").total
    assert whole / whole[-1] == pytest.approx(known, rel=1e-12)
