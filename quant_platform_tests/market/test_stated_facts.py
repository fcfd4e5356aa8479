"""Stated actions against prices made by hand: what really happened is known, what is stated is wrong in a known way."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.schemas.clean import CleanCorporateActions
from quant_platform.market.calendar import session_array
from quant_platform.market.cleaning import CleanResult, clean_bars
from quant_platform.market.stated_facts import applied_actions
from quant_platform.sources import open_source
from quant_platform_tests.market.builders import actions, cleaning_spec, raw_bars
from quant_platform_tests.sources.builders import shipped

DAYS = session_array("XNYS", date(2019, 6, 3), date(2020, 6, 30))
CALENDAR = session_array("XNYS", date(2019, 1, 2), date(2020, 12, 31))
AT = 150
EX: date = DAYS[AT].item()
FAIR = np.exp(np.cumsum(np.random.default_rng(5).normal(0, 0.012, len(DAYS))))


def traded(factor_before: float = 1.0, *, at: int = AT, level: float = 50.0) -> np.ndarray:
    """Closes of a name whose fair value is `FAIR`, quoted ``factor_before`` times as high before bar ``at``."""
    return level * FAIR * np.where(np.arange(len(DAYS)) < at, factor_before, 1.0)


def cleaned(close: np.ndarray, stated: list[tuple[date, str, float]], adjustment: str = "none") -> CleanResult:
    rows = [
        (day, c * 0.999, c * 1.004, c * 0.995, c, 1e6 + k)
        for k, (day, c) in enumerate(zip(DAYS.tolist(), close.tolist(), strict=True))
    ]
    result = clean_bars(raw_bars(rows, adjustment=adjustment), actions(stated), cleaning_spec(), CALENDAR)
    CleanCorporateActions.validate(result.actions, cast=True)
    assert result.actions.height == len(stated)
    return result


def only(result: CleanResult) -> dict[str, Any]:
    return result.actions.row(0, named=True)


def largest_error(result: CleanResult, truth: np.ndarray = FAIR) -> float:
    """Largest difference between a log return of the clean closes and that of the fair value."""
    got = np.diff(np.log(result.bars["close"].to_numpy()))
    return float(np.abs(got - np.diff(np.log(truth))).max())


@pytest.mark.parametrize("ratio", [2.0, 1.5, 7.0, 0.1, 1.0 / 190.0])
def test_a_right_split_is_confirmed_and_returns_are_fair(ratio: float) -> None:
    result = cleaned(traded(ratio), [(EX, "split", ratio)])
    assert (only(result)["verdict"], only(result)["applied"]) == ("confirmed", True)
    assert largest_error(result) < 1e-12


@pytest.mark.parametrize("late", [-5, -2, -1, 1, 2, 5])
@pytest.mark.parametrize("ratio", [2.0, 0.1])
def test_a_split_stated_on_another_session_is_applied_where_prices_show_it(late: int, ratio: float) -> None:
    stated: date = DAYS[AT + late].item()
    result = cleaned(traded(ratio), [(stated, "split", ratio)])
    found = only(result)
    assert (found["verdict"], found["ex_date"], found["applied_date"]) == ("shown_on_another_session", stated, EX)
    assert largest_error(result) < 1e-12


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize("ratio", [2.0, 0.2])
def test_a_split_upside_down_is_turned(late: int, ratio: float) -> None:
    result = cleaned(traded(ratio), [(DAYS[AT + late].item(), "split", 1.0 / ratio)])
    found = only(result)
    assert (found["verdict"], found["applied_date"]) == ("inverted", EX)
    assert found["applied_value"] == pytest.approx(ratio)
    assert largest_error(result) < 1e-12


@pytest.mark.parametrize("ratio", [2.0, 0.1, 1.5])
def test_a_split_that_prices_hold_already_is_not_applied_twice(ratio: float) -> None:
    result = cleaned(traded(), [(EX, "split", ratio)])
    found = only(result)
    assert (found["verdict"], found["in_prices"], found["applied"]) == ("in_prices_already", True, False)
    assert largest_error(result) < 1e-12
    assert result.bars["close_unadjusted"][AT - 1] == pytest.approx(50.0 * FAIR[AT - 1])
    assert result.bars["dollar_volume"][AT - 1] == pytest.approx(50.0 * FAIR[AT - 1] * (1e6 + AT - 1))


@pytest.mark.parametrize("adjustment", ["split", "split_dividend"])
def test_a_split_the_vendor_forgot_to_adjust_for_is_applied(adjustment: str) -> None:
    result = cleaned(traded(3.0), [(EX, "split", 3.0)], adjustment)
    assert only(result)["verdict"] == "not_in_prices"
    assert largest_error(result) < 1e-12


@pytest.mark.parametrize("adjustment", ["split", "split_dividend"])
def test_a_split_the_vendor_did_adjust_for_is_confirmed(adjustment: str) -> None:
    result = cleaned(traded(), [(EX, "split", 3.0)], adjustment)
    assert (only(result)["verdict"], only(result)["in_prices"]) == ("confirmed", True)
    assert largest_error(result) < 1e-12


def test_an_ex_date_without_a_session_is_judged_on_the_next() -> None:
    monday = next(k for k in range(AT, AT + 10) if DAYS[k] - DAYS[k - 1] >= np.timedelta64(3, "D"))
    saturday: date = (DAYS[monday] - np.timedelta64(2, "D")).item()
    right = cleaned(traded(2.0, at=monday), [(saturday, "split", 2.0)])
    assert (only(right)["verdict"], only(right)["hint"]) == ("confirmed", "no bar on the ex-date")
    assert largest_error(right) < 1e-12
    assert only(cleaned(traded(), [(saturday, "split", 2.0)]))["verdict"] == "in_prices_already"


def test_split_and_dividend_of_one_session_are_seen_together() -> None:
    close = traded(2.0)
    close[:AT] *= 1.0 / (1.0 - 5.0 / 100.0)
    cash = 0.05 * close[AT - 1]
    result = cleaned(close, [(EX, "split", 2.0), (EX, "cash_dividend", cash)])
    assert dict(result.actions.select("kind", "verdict").iter_rows()) == {
        "split": "confirmed",
        "cash_dividend": "too_small_to_see",
    }
    assert largest_error(result) < 1e-12


def test_a_liquidating_dividend_that_prices_show_is_applied() -> None:
    close = traded()
    close[:AT] *= 10.0
    cash = 0.9 * close[AT - 1]
    result = cleaned(close, [(EX, "cash_dividend", cash)])
    assert only(result)["verdict"] == "confirmed"
    assert largest_error(result) < 1e-12


@pytest.mark.parametrize(
    ("cash", "verdict", "applied"),
    [
        (0.4, "too_small_to_see", True),
        (40.0, "no_such_move", False),  # 40 pence on a price of about 50 pounds
        (500.0, "impossible", False),
        (-0.4, "impossible", False),
        (float("nan"), "impossible", False),
        (0.004, "implausibly_small", True),  # pounds on pence
    ],
)
def test_dividends_of_another_unit(cash: float, verdict: str, applied: bool) -> None:
    result = cleaned(traded(), [(EX, "cash_dividend", cash)])
    assert (only(result)["verdict"], only(result)["applied"]) == (verdict, applied)
    if not applied:
        assert largest_error(result) < 1e-12


def test_the_hint_names_the_value_that_would_fit() -> None:
    assert only(cleaned(traded(), [(EX, "cash_dividend", 40.0)]))["hint"].startswith("0.4 would be ")


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (-30.0, "impossible"), (-1.01, "impossible"), (-1.0, "confirmed"), (-0.3, "confirmed"), (0.25, "confirmed"),
        (12.5, "impossible"), (30.0, "impossible"),
    ],
)  # fmt: skip
def test_delisting_returns(value: float, verdict: str) -> None:
    last: date = DAYS[-1].item()
    result = cleaned(traded(), [(last, "delisting", value)])
    assert only(result)["verdict"] == verdict
    assert applied_actions(result.actions)["value"].to_list() == ([] if verdict == "impossible" else [value])


def test_a_delisting_on_the_saturday_after_the_last_bar_is_confirmed() -> None:
    days = DAYS[: next(k for k in range(200, 220) if DAYS[k].item().weekday() == 4) + 1]
    rows = [(day, 50.0, 50.5 + k % 3, 49.5, 50.0, 1e6 + k) for k, day in enumerate(days.tolist())]
    saturday: date = (days[-1] + np.timedelta64(1, "D")).item()
    result = clean_bars(raw_bars(rows), actions([(saturday, "delisting", -0.5)]), cleaning_spec(), CALENDAR)
    assert (only(result)["verdict"], only(result)["applied_value"]) == ("confirmed", -0.5)


def test_a_gain_in_per_cent_after_a_delisting_is_refused_with_what_would_fit() -> None:
    row = only(cleaned(traded(), [(DAYS[-1].item(), "delisting", 30.0)]))
    assert not row["applied"]
    assert "0.3 would fit, in percent?" in row["hint"]


@pytest.mark.parametrize("first", [-0.2, -1.0])
def test_of_two_delistings_the_one_at_the_last_bar_counts(first: float) -> None:
    stated = [(DAYS[-3].item(), "delisting", first), (DAYS[-1].item(), "delisting", -0.3)]
    result = cleaned(traded(), stated)
    assert applied_actions(result.actions)["value"].to_list() == [-0.3]
    assert "a name ends once" in result.actions.sort("ex_date")["hint"][0]


def test_bars_of_another_company_under_the_ticker_are_kept_out() -> None:
    # Ends at 10 on bar 100; sixty sessions later another company lists at 80, and splits.
    first, second = DAYS[:101], DAYS[160:]
    rows = [
        (day, c, c * 1.01, c * 0.99, c, 1e6 + k)
        for k, (day, c) in enumerate(
            [*((d, 50.0 - 0.4 * k) for k, d in enumerate(first.tolist())), *((d, 80.0) for d in second.tolist())]
        )
    ]
    stated = [(first[-1].item(), "delisting", -1.0), (second[20].item(), "split", 2.0)]
    result = clean_bars(raw_bars(rows), actions(stated), cleaning_spec(), CALENDAR)
    assert result.bars["session"].to_list() == first.tolist()
    np.testing.assert_allclose(result.bars["close"], 50.0 - 0.4 * np.arange(101))
    assert result.quarantine["rule"].unique().to_list() == ["after_delisting"]
    assert result.quarantine["session"].to_list() == second.tolist()
    # A few bars after a delisting that is dated early are of the same company.
    few = clean_bars(raw_bars(rows[:101]), actions([(first[-4].item(), "delisting", -1.0)]), cleaning_spec(), CALENDAR)
    assert few.quarantine.is_empty()
    assert few.bars.height == 101


def test_bars_that_go_on_refuse_a_delisting() -> None:
    result = cleaned(traded(), [(EX, "delisting", -1.0)])
    assert (only(result)["verdict"], only(result)["applied"]) == ("bars_go_on", False)


def test_a_crash_on_the_ex_date_keeps_the_stated_split_and_is_named() -> None:
    fair = FAIR * np.where(np.arange(len(DAYS)) < AT, 1.0, 0.7)
    close = 50.0 * fair * np.where(np.arange(len(DAYS)) < AT, 2.0, 1.0)
    result = cleaned(close, [(EX, "split", 2.0)])
    assert (only(result)["verdict"], only(result)["applied"]) == ("another_move", True)
    assert largest_error(result, fair) < 1e-12


def test_a_ratio_in_per_cent_is_refused() -> None:
    result = cleaned(traded(2.0), [(EX, "split", 200.0)])
    assert (only(result)["verdict"], only(result)["applied"]) == ("another_move", False)


def test_an_action_outside_the_bars_has_nothing_to_be_compared_with() -> None:
    result = cleaned(traded(), [(date(2018, 1, 3), "split", 2.0), (date(2020, 12, 1), "split", 3.0)])
    assert set(result.actions["verdict"]) == {"no_prices"}
    assert largest_error(result) < 1e-12


@pytest.mark.real_data
def test_of_the_lean_set_every_split_is_confirmed_and_no_action_is_refused(shared_data: Path) -> None:
    """21 US names 1998 to 2021, among them a reverse split of 20 to 1 whose day moved by -20 %."""
    source = open_source(shipped("lean"), shared_data / "us_corporate_actions_lean" / "raw" / "equity" / "usa")
    days = session_array("XNYS", date(1998, 1, 1), date(2021, 12, 31))
    judged = pl.concat(
        clean_bars(source.bars(name), source.actions(name), cleaning_spec(), days).actions for name in source.tickers()
    )
    assert judged["applied"].all()
    splits = judged.filter(pl.col("kind") == "split")
    assert splits.height == 18
    # 1.0027 new shares per old, the Class C dividend of Google of 2015, is the one that no price can show.
    assert splits.filter(pl.col("verdict") != "confirmed")["value"].round(4).to_list() == [1.0027]
