"""When a name moves between sleeves, and why it mostly does not."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from quant_platform.labs.operations.evidence import TradeLog
from quant_platform.labs.operations.sleeves import NameTrades, day_number, sleeve_promotions, sleeve_summary
from quant_platform.specification.operations import SleevesSpec
from quant_platform_tests.labs.operations.builders import EVIDENCE, SLEEVES

UNTIL = date(2024, 12, 27)
WEEK = date(2024, 12, 23)


def trades(r: list[float], until: date = UNTIL) -> NameTrades:
    """One trade a week, the last one known at the end of the week."""
    known = day_number(until) - 7 * np.arange(len(r))[::-1]
    return NameTrades(TradeLog(known - 4, known, np.array(r)), 0.005 * np.array(r))


def moved(r: list[float], until: date = UNTIL, **changes: Any) -> dict[str, Any]:
    content = SLEEVES.model_dump(mode="json")
    content["members"] = {}
    content |= changes
    spec = SleevesSpec.model_validate(content)
    found = sleeve_promotions(WEEK, UNTIL, {"AAA": trades(r, until)}, ["AAA", "BBB"], EVIDENCE, spec)
    return {row["ticker"]: row for row in found.iter_rows(named=True)}


WINNING = [1.0, 0.8, -0.3, 1.2, 0.9] * 8
LOSING = [-1.0, -0.8, 0.3, -1.2, -0.9] * 8


def test_weeks_of_the_same_good_evidence_move_a_name_up() -> None:
    row = moved(WINNING)["AAA"]
    assert (row["says"], row["streak"], row["proposed"]) == ("up", 4, "core")
    assert row["reason"] == "4 weeks in a row say up"


def test_a_name_without_trades_stays() -> None:
    row = moved(WINNING)["BBB"]
    assert (row["says"], row["proposed"], row["reason"]) == ("stay", None, "0 closed trades, 20 are needed")


def test_evidence_of_one_week_is_not_enough() -> None:
    # Until the last week a trade short of the minimum: this week says up for the first time.
    row = moved(WINNING[:20])["AAA"]
    assert (row["says"], row["streak"], row["proposed"]) == ("up", 1, None)


def test_a_loser_goes_down_and_not_below_the_lowest() -> None:
    assert moved(LOSING)["AAA"]["reason"] == "there is no sleeve further down"
    old = {"AAA": {"sleeve": "safe", "since": "2020-01-01"}}
    assert moved(LOSING, members=old)["AAA"]["proposed"] == "core"


def test_a_name_that_was_put_there_lately_stays() -> None:
    lately = {"AAA": {"sleeve": "core", "since": (UNTIL - timedelta(weeks=25)).isoformat()}}
    row = moved(WINNING, members=lately)["AAA"]
    assert (row["proposed"], row["held_weeks"]) == (None, 25)
    before = {"AAA": {"sleeve": "core", "since": (UNTIL - timedelta(weeks=26)).isoformat()}}
    assert moved(WINNING, members=before)["AAA"]["proposed"] == "safe"


def test_within_the_band_nothing_moves() -> None:
    # Profit factor 1.1, between 0.8 and 1.3.
    row = moved([1.1, -1.0] * 20)["AAA"]
    assert (row["says"], row["proposed"]) == ("stay", None)


def test_trades_that_overlap_count_once_and_move_nothing() -> None:
    # Forty winning trades held at once are one observation.
    together = NameTrades(
        TradeLog(np.full(40, day_number(UNTIL) - 30), np.full(40, day_number(UNTIL)), np.array(WINNING)),
        0.005 * np.array(WINNING),
    )
    spec = SLEEVES.model_copy(update={"members": {}})
    row = sleeve_promotions(WEEK, UNTIL, {"AAA": together}, ["AAA"], EVIDENCE, spec).row(0, named=True)
    assert (row["n"], row["mean_r_low"], row["says"]) == (40, None, "stay")


def test_a_summary_by_hand_looks_back_a_year() -> None:
    r = [5.0] * 10 + [1.0, -0.5] * 26
    found = sleeve_summary(WEEK, UNTIL, {"executed": {"AAA": trades(r)}}, {"AAA": "US_EQUITY", "BBB": "FX"}, EVIDENCE,
                           SLEEVES)  # fmt: skip
    row = found.row(0, named=True)
    assert (row["n"], row["evidence"], row["asset_class"]) == (52, "executed", "US_EQUITY")
    assert row["profit_factor"] == pytest.approx(2.0)
    assert row["annual_pnl"] == pytest.approx(0.005 * 13)
    assert row["max_drawdown"] == pytest.approx(0.0025)
    empty = found.row(1, named=True)
    assert (empty["ticker"], empty["n"], empty["annual_pnl"], empty["win_rate"]) == ("BBB", 0, None, None)
