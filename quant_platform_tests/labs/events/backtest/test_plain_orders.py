"""Orders of single events on a market of one day: when they are decided, and at which levels."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from quant_platform.engine import layout
from quant_platform.labs.events.backtest.decisions import StrategyOrders, strategy_orders
from quant_platform.labs.events.backtest.market import EventMarket
from quant_platform.labs.events.backtest.strategies import Strategy
from quant_platform.labs.events.discovery.cells import ALL
from quant_platform.labs.events.discovery.labels import LabelStore
from quant_platform.market.perp_panel import PricePanel
from quant_platform_tests.labs.events.discovery.worlds import START, event_spec, specs

SPECS = specs([event_spec("E")])
AT = 50
# Half a sigma of six bars: 0.5 x 10 bps x sqrt(6).
PULLBACK_BPS = 5.0 * math.sqrt(6.0)


def market(moves: dict[int, float], **columns: float) -> EventMarket:
    """One symbol; ``moves`` are closes of single bars in bps off 100, all others are 100."""
    shape = (1, 288)
    price = np.full(shape, 100.0)
    for bar, bps in moves.items():
        price[0, bar] = 100.0 * math.exp(1e-4 * bps)
    numbers = {"rv12": 1e-3, "tstat96": 1.0, "tstat288": 1.0, **columns}
    made = {"open": price, "close": price, "high": price * 1.001, "low": price * 0.999}
    panel = PricePanel(("A",), START, made | {name: np.full(shape, value) for name, value in numbers.items()})
    return EventMarket(LabelStore(panel, SPECS.discovery), SPECS.discovery)


def events(*directions: int, bars: tuple[int, ...] = (AT,)) -> pl.DataFrame:
    stamps = [START + timedelta(minutes=5 * bar) for bar in bars]
    return pl.DataFrame(
        {
            "event_id": "E",
            "symbol": "A",
            "bar": pl.Series(stamps, dtype=pl.Datetime("us", "UTC")),
            "direction": directions,
        }
    )


def orders(template: str, found: pl.DataFrame, given: EventMarket, **options: object) -> StrategyOrders:
    side = SPECS.templates[template].side or 1
    strategy = Strategy("S", "blueprint", "E", template, 12, side, ("A",), ALL, ALL)
    return strategy_orders(strategy, found, given, SPECS, **options)  # type: ignore[arg-type]


def decided(made: StrategyOrders) -> list[int]:
    bars: list[int] = made.orders.places[:, 0].tolist()
    return bars


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(
    ("bar", "bps", "at"),
    [
        (AT - 1, 40.0, None),
        (AT + 1, 12.3, AT + 1),
        (AT + 1, 12.2, None),
        (AT + 4, 12.3, AT + 4),
        (AT + 6, 12.3, AT + 6),
        (AT + 7, 40.0, None),
    ],
)
def test_a_pullback_is_decided_with_the_first_close_beyond_its_level_in_six_bars(
    direction: int, bar: int, bps: float, at: int | None
) -> None:
    assert 12.2 < PULLBACK_BPS < 12.3
    made = orders("pullback_entry", events(direction), market({bar: -direction * bps}))
    assert decided(made) == ([] if at is None else [at])
    assert made.untraded == ({"no pullback": 1} if at is None else {})
    # What goes the event's way is no pullback.
    assert decided(orders("pullback_entry", events(direction), market({bar: direction * bps}))) == []


def test_a_later_entry_waits_later_and_the_first_of_two_pullbacks_is_taken() -> None:
    given = market({AT + 2: -20.0, AT + 8: -20.0})
    assert decided(orders("pullback_entry", events(1), given)) == [AT + 2]
    assert decided(orders("pullback_entry", events(1), given, later_bars=1)) == [AT + 2]
    assert decided(orders("pullback_entry", events(1), given, later_bars=2)) == [AT + 8]


def test_an_order_is_decided_a_bar_before_its_entry_and_a_confirmed_one_a_bar_later() -> None:
    given = market({AT + 1: 5.0})
    assert decided(orders("continuation", events(1), given)) == [AT]
    assert decided(orders("continuation", events(1), given, later_bars=2)) == [AT + 2]
    assert decided(orders("breakout_followthrough", events(1), given)) == [AT + 1]
    refused = orders("breakout_followthrough", events(-1), given)
    assert (decided(refused), refused.untraded) == ([], {"not of the template's subset": 1})
    assert orders("continuation", events(0), given).untraded == {"not of the template's subset": 1}


def test_trends_choose_the_events_of_their_templates() -> None:
    both = events(1, -1, bars=(AT, AT + 1))
    for template, columns, kept in (
        ("trend_continuation", {"tstat288": 0.1}, [AT]),
        ("trend_continuation", {"tstat288": -0.1}, [AT + 1]),
        ("momentum_fade", {"tstat96": 1.0}, [AT]),
        ("momentum_fade", {"tstat96": 0.9}, []),
        ("momentum_fade", {"tstat96": -1.0}, [AT + 1]),
    ):
        assert decided(orders(template, both, market({}, **columns))) == kept, (template, columns)


def test_orders_stand_by_bar_with_the_side_of_the_event_times_that_of_the_template() -> None:
    rows = events(-1, 1, bars=(AT + 9, AT))
    for template, flip, sides in (
        ("continuation", False, [layout.LONG_ENTRY, layout.SHORT_ENTRY]),
        ("continuation", True, [layout.SHORT_ENTRY, layout.LONG_ENTRY]),
        ("mean_reversion", False, [layout.SHORT_ENTRY, layout.LONG_ENTRY]),
    ):
        made = orders(template, rows, market({}), flip=flip)
        assert decided(made) == [AT, AT + 9]
        assert made.events["direction"].to_list() == [1, -1]
        assert made.orders.places[:, layout.ORDER_SIGNAL].tolist() == sides


def test_an_event_at_the_end_has_no_bar_to_be_decided_on_and_one_at_the_start_has() -> None:
    assert decided(orders("continuation", events(1, bars=(0,)), market({}))) == [0]
    rows = events(1, 1, bars=(286, 287))
    assert decided(orders("continuation", rows, market({}))) == [286, 287]
    assert decided(orders("continuation", rows, market({}), later_bars=1)) == [287]


@pytest.mark.parametrize("direction", [1, -1])
def test_levels_are_those_of_the_bar_of_the_event(direction: int) -> None:
    """The hour before the event moved forty bps its way: half of that is the target back, as much again the stop."""
    made = orders("overshoot_repair", events(direction), market({AT: direction * 40.0}))
    target, stop = made.orders.numbers[0, layout.TARGET_PRICE], made.orders.numbers[0, layout.STOP_PRICE]
    assert 1e4 * math.log(target / 100.0) == pytest.approx(direction * 20.0)
    assert 1e4 * math.log(stop / 100.0) == pytest.approx(direction * 80.0)
    against = orders("overshoot_repair", events(direction), market({AT: -direction * 40.0}))
    assert (decided(against), against.untraded) == ([], {"no stop": 1})
    # To the horizon, given up beyond the extreme of the hour: a tenth of a percent beyond the close.
    free = orders("exhaustion_reversal", events(direction), market({}))
    assert np.isnan(free.orders.numbers[0, layout.TARGET_PRICE])
    assert free.orders.numbers[0, layout.STOP_PRICE] == pytest.approx(100.0 * (1.0 + direction * 0.001))


def test_a_state_keeps_the_events_that_were_in_it() -> None:
    rows = events(1, 1, 1, bars=(AT, AT + 20, AT + 40)).with_columns(vol_regime=pl.Series(["low", "high", None]))
    strategy = replace(Strategy("S", "blueprint", "E", "continuation", 12, 1, ("A",), ALL, ALL), dimension="vol_regime")
    made = strategy_orders(replace(strategy, state="high"), rows, market({}), SPECS)
    assert decided(made) == [AT + 20]


def test_an_order_holds_for_its_horizon_and_compares_its_levels_with_closes() -> None:
    made = orders("overshoot_repair", events(1), market({AT: 40.0}))
    assert made.orders.places[0, layout.ORDER_TIME] == 12
    assert made.orders.places[0, layout.ORDER_FLAGS] == layout.TRIGGER_AT_CLOSE | layout.DROP_PASSED_TARGET


def test_only_events_of_the_strategy_with_a_direction_are_traded() -> None:
    rows = pl.concat([events(1, 1, 1, bars=(AT, AT + 20, AT + 40)).with_columns(direction=pl.Series([1, None, 1]))])
    rows = rows.with_columns(event_id=pl.Series(["E", "E", "OTHER"]))
    made = orders("continuation", rows, market({}))
    assert (decided(made), made.untraded) == ([AT], {"not of the template's subset": 1})


def test_a_close_at_the_level_to_the_last_digit_is_a_pullback() -> None:
    """Without volatility the level is the close of the event, and the next close is there."""
    for direction in (1, -1):
        assert decided(orders("pullback_entry", events(direction), market({}, rv12=0.0))) == [AT + 1]


def test_what_could_not_be_decided_anyway_is_not_counted_as_without_a_stop() -> None:
    made = orders("overshoot_repair", events(1, 1, bars=(AT, 287)), market({}), later_bars=1)
    assert (decided(made), made.untraded) == ([], {"no stop": 1})


def test_orders_of_two_symbols_stand_by_bar_and_symbol_whatever_the_order_of_decision() -> None:
    """The first symbol's pullback comes two bars later than the second's, although its event was first."""
    one = market({AT + 5: -20.0}).panel
    two = market({AT + 3: -20.0}).panel
    columns = {name: np.vstack([one.columns[name], two.columns[name]]) for name in one.columns}
    both = EventMarket(LabelStore(PricePanel(("A", "B"), START, columns), SPECS.discovery), SPECS.discovery)
    rows = pl.concat([events(1).with_columns(symbol=pl.lit(name)) for name in ("B", "A")])
    strategy = Strategy("S", "blueprint", "E", "pullback_entry", 12, 1, ("A", "B"), ALL, ALL)
    made = strategy_orders(strategy, rows, both, SPECS)
    assert made.orders.places[:, : layout.ORDER_SIGNAL].tolist() == [[AT + 3, 1], [AT + 5, 0]]
    assert made.events["symbol"].to_list() == ["B", "A"]
    at_once = replace(strategy, template="continuation")
    assert strategy_orders(at_once, rows, both, SPECS).events["symbol"].to_list() == ["A", "B"]
    assert strategy_orders(replace(at_once, symbols=("B",)), rows, both, SPECS).events["symbol"].to_list() == ["B"]
