"""Decisions drawn and computed: bars, sizes and bounds worked out on paper."""

from __future__ import annotations

import numpy as np

from quant_platform.labs.parity.makers import moving_average_crossover, random_signals
from quant_platform.labs.parity.worlds import bars_of


def market(*closes):
    return bars_of([(close, close + 1.0, close - 1.0, close) for close in closes])


def test_a_purchase_is_worth_its_money_in_whole_lots():
    # Means of one and two bars: above from bar 2 (30 over 25), below from bar 4 (20 over 30).
    found = moving_average_crossover(market(20.0, 20.0, 30.0, 40.0, 20.0, 20.0), 1, 2, money=1000.0, lot=0.1).frame
    assert found.select("bar", "action").rows() == [(2, "long_entry"), (4, "long_exit")]
    # 33.33 units at 30, in tenths.
    assert found["quantity"].to_list() == [33.3, None]


def test_something_is_decided_between_the_first_and_the_last_bar_alone():
    flat = market(*[100.0] * 10)
    everywhere = {"entries": 1.0, "exits": 0.0}
    assert random_signals(flat, 1, first=3, last=6, **everywhere).frame["bar"].to_list() == [3, 4, 5, 6]
    # By default all but the first bar and the last three.
    assert random_signals(flat, 1, **everywhere).frame["bar"].to_list() == [1, 2, 3, 4, 5, 6]


def test_quantities_are_whole_numbers_of_a_fraction_up_to_the_largest():
    flat = market(*[100.0] * 60)
    ones = random_signals(flat, 2, entries=1.0, exits=0.0, largest=1, fraction=0.25).frame["quantity"]
    assert set(ones) == {0.25}
    threes = random_signals(flat, 2, entries=1.0, exits=0.0, largest=3, fraction=0.5).frame["quantity"]
    assert set(threes) == {0.5, 1.0, 1.5}


def test_an_entry_and_an_exit_of_one_bar_need_leave():
    flat = market(*[100.0] * 8)
    apart = random_signals(flat, 3, entries=1.0, exits=1.0).frame
    assert set(apart["action"]) == {"long_entry"}
    both = random_signals(flat, 3, entries=1.0, exits=1.0, together=True).frame
    assert both.group_by("action").len().sort("action").rows() == [("long_entry", 4), ("long_exit", 4)]


def test_nothing_is_decided_on_a_missing_bar():
    line = (100.0, 101.0, 99.0, 100.0)
    bars = bars_of([line, line, None, line, line, line, line])
    found = random_signals(bars, 4, entries=1.0, exits=0.0).frame["bar"].to_numpy()
    assert np.array_equal(found, [1, 3])
