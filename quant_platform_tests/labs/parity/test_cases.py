"""The engine on the cases that are written by hand: the answers stand here, worked out on paper."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from quant_platform.labs.parity.adapters import OurAdapter
from quant_platform.labs.parity.cases import CASES, CaseUnknown, case_named
from quant_platform.labs.parity.execution import Execution
from quant_platform.labs.parity.study import prepare

# Entered with 100 at the open of bar 2, which is 100.0; exit bar and price.
ANSWERS = {
    "gap_through_stop": (4, 95.0),
    "stop_and_target_in_one_bar": (4, 97.0),
    "open_over_target_with_stop": (4, 107.0),
    "touch": (4, 97.0),
    "stop_on_entry_bar": (None, None),
    "exit_decided_and_stop": (4, 99.0),
    "delisting": (5, 80.0),
    "delisting_recovery": (5, 8.0),
    "last_bar": (None, None),
}


# What `make parity` wrote when it last ran the frameworks themselves.
PUBLISHED = Path(__file__).resolve().parents[3] / "docs" / "evidence" / "parity.json"


@cache
def foreign_results() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in json.loads(PUBLISHED.read_text(encoding="utf-8"))["rows"]:
        if row["framework"] != "quant_platform" and row["outcome"] == "agrees":
            found.setdefault(row["case"], []).append(row)
    return found


def traded(name: str) -> Execution:
    prepared = prepare(case_named(name))
    case = prepared.case
    return OurAdapter().run_with_signals(
        prepared.bars, prepared.decisions, case.initial_capital, case.commission_rate, case.terms
    )


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_the_engine_gives_the_answer_worked_out_by_hand(name):
    (trade,) = traded(name).trades.to_dicts()
    bar, price = ANSWERS[name]
    rate = CASES[name].commission_rate
    assert (trade["asset"], trade["side"], trade["entry_bar"]) == ("A", "long", 2)
    assert (trade["quantity"], trade["entry_price"]) == (100.0, 100.0)
    assert trade["exit_bar"] == bar
    assert trade["exit_price"] == (None if price is None else pytest.approx(price, rel=1e-12))
    marked = 100.0 if price is None else price
    fees = rate * 100.0 * (100.0 + (0.0 if price is None else price))
    assert trade["commission"] == pytest.approx(fees, abs=1e-9)
    assert trade["pnl"] == pytest.approx(100.0 * (marked - 100.0) - fees, abs=1e-9)


def test_an_order_waits_for_a_halted_bar_to_be_over():
    (trade,) = traded("halted_bar").trades.to_dicts()
    # Bars 2 and 5 are missing: bought at the open of 3, sold at that of 6.
    assert (trade["entry_bar"], trade["entry_price"]) == (3, 103.0)
    assert (trade["exit_bar"], trade["exit_price"]) == (6, 105.0)


def test_what_a_volume_does_not_take_waits_for_later_bars():
    fills = traded("participation").fills
    # A tenth of 400 a bar.
    assert fills.select("bar", "quantity", "price").rows() == [(2, 40.0, 102.0), (3, 40.0, 103.0), (4, 20.0, 104.0)]


def test_a_case_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(CaseUnknown, match="one of ma_crossover_btc_daily"):
        case_named("unknown")


@pytest.mark.parametrize("name", ["bracket_wild", "rebalance", "slippage_rate_bracket"])
def test_no_position_is_opened_that_no_decision_states(name):
    prepared, execution = prepare(case_named(name)), traded(name)
    entries = prepared.decisions.frame.filter(~prepared.decisions.frame["action"].str.ends_with("exit"))
    decided = set(entries.select(entries["bar"] + 1, "asset").rows())
    opened = set(execution.trades.select("entry_bar", "asset").rows())
    assert opened <= decided


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.real])
def test_a_case_is_the_one_that_the_frameworks_have_traded(name):
    execution = traded(name)
    others = foreign_results()[name]
    assert {row["trades"] for row in others} == {execution.trades.height}
    for row in others:
        assert execution.final_value == pytest.approx(row["final_value"], rel=1e-9, abs=0.0)


def test_cases_on_real_bars_have_as_many_without_them():
    # 252, 251, 251, 253 and 252 sessions of New York in the years 2005 to 2009.
    assert CASES["sp500_members"].bars(None).shape == (1259, 10)
    # 30 days of five minutes.
    assert CASES["ma_crossover_btc_5min"].bars(None).shape == (30 * 24 * 12, 1)
    assert CASES["ma_crossover_btc_daily"].bars(None).shape == (495, 1)
