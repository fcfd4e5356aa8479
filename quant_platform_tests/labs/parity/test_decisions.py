from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from quant_platform.engine.layout import LONG_ENTRY, LONG_EXIT, ORDER_SIGNAL, QUANTITY, STOP
from quant_platform.labs.parity.cases import CASES
from quant_platform.labs.parity.decisions import DecisionTable, ParityDecisionsInvalid
from quant_platform.labs.parity.makers import moving_average_crossover, stated
from quant_platform.labs.parity.worlds import bars_of

FLAT = (100.0, 101.0, 99.0, 100.0)


def rows(**changed: object) -> pl.DataFrame:
    row: dict[str, object] = {"bar": 1, "asset": "A", "action": "long_entry", "quantity": 5.0}
    return pl.DataFrame([row | changed])


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"action": "buy"}, "an action is not known"),
        ({"quantity": None}, "an entry states no positive quantity"),
        ({"quantity": float("nan")}, "an entry states no positive quantity"),
        ({"quantity": -1.0}, "an entry states no positive quantity"),
        ({"action": "trade", "quantity": 0.0}, "a trade states no quantity"),
        ({"stop": 0.0}, "a level is not positive"),
        ({"bar": -1}, "a bar is negative"),
        ({"time_bars": 0}, "a holding time is below one bar"),
        ({"bar": None}, "a bar is negative"),
    ],
)
def test_a_row_that_no_framework_should_see_is_refused(changed, complaint):
    with pytest.raises(ParityDecisionsInvalid, match=complaint):
        DecisionTable.of(rows(**changed))


def test_unsorted_doubled_and_foreign_decisions_are_refused():
    sorted_ = DecisionTable.of(pl.concat([rows(bar=3), rows(bar=1)]))
    assert sorted_.frame["bar"].to_list() == [1, 3]
    with pytest.raises(ParityDecisionsInvalid, match="not sorted"):
        DecisionTable(sorted_.frame.reverse())
    with pytest.raises(ParityDecisionsInvalid, match="occurs twice"):
        DecisionTable.of(pl.concat([rows(), rows()]))
    with pytest.raises(ParityDecisionsInvalid, match="columns were"):
        DecisionTable(rows())
    bars = bars_of([FLAT] * 3)
    for wrong in (rows(asset="Z"), rows(bar=3)):
        with pytest.raises(ParityDecisionsInvalid, match="assets or bars that do not exist"):
            DecisionTable.of(wrong).require_fits(bars)


def test_the_hash_is_of_what_the_rows_say_and_of_nothing_else():
    one, same = DecisionTable.of(rows()), DecisionTable.of(rows().select("quantity", "action", "asset", "bar"))
    assert one.content_hash == same.content_hash
    assert one.content_hash != DecisionTable.of(rows(quantity=6.0)).content_hash
    with pytest.raises(AttributeError):
        one.content_hash = "other"


def test_signals_of_one_bar_become_one_order_with_the_levels_of_the_entry():
    table = stated((1, "A", "long_entry", 7.0), (1, "A", "long_exit"), (2, "A", "long_exit"), stop=0.03)
    orders = table.as_orders(bars_of([FLAT] * 4))
    assert orders.places[:, ORDER_SIGNAL].tolist() == [LONG_ENTRY | LONG_EXIT, LONG_EXIT]
    assert orders.numbers[0, [QUANTITY, STOP]].tolist() == [7.0, 0.03]
    assert np.isnan(orders.numbers[1, QUANTITY])


def test_a_crossover_is_decided_where_the_means_cross():
    closes = [10.0, 10.0, 10.0, 13.0, 13.0, 13.0, 8.0, 8.0, 8.0]
    bars = bars_of([(c, c, c, c) for c in closes])
    found = moving_average_crossover(bars, fast=2, slow=3, money=1000.0, lot=1.0).frame
    # Means of 2 and 3 at bars 2..8: 10|10, 11.5|11, 13|12, 13|13, 10.5|11.33, 8|9.67, 8|8: above at 3 and 4.
    assert found.select("bar", "action", "quantity").rows() == [(3, "long_entry", 76.0), (5, "long_exit", None)]


@pytest.mark.parametrize("name", sorted(set(CASES) - {"ma_crossover_btc_5min", "rebalance_500"}))
def test_every_case_makes_the_same_decisions_again(name):
    case = CASES[name]
    first = case.decide(bars := case.bars(None))
    first.require_fits(bars)
    assert first.frame.height > 0
    assert case.decide(case.bars(None)).content_hash == first.content_hash
