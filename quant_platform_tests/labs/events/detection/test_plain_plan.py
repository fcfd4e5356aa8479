"""How far back a plan looks, what it computes first, and what is not there: on specs and bars written down here."""

from __future__ import annotations

import datetime as dt
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.labs.events.detection import compute
from quant_platform.labs.events.detection.compute import compute_events, compute_month, compute_symbol, each_symbol
from quant_platform.labs.events.detection.context import market_context
from quant_platform.labs.events.detection.plan import EventPlan, event_plan, one_event_plan
from quant_platform.specification.event_lab import EventLab
from quant_platform.specification.states import AfterEventState
from quant_platform_tests.labs.events.detection.worlds import NAMES, START, lab, one_symbol, plan

FIRST, SECOND = "BAND_BREAK", "VOL_SHOCK"
RULE = {
    "condition": "close>lag(close,10)", "direction": "sgn(lag(close,20))", "intensity": "lag(close,3)", "exit": None,
    "definitions": {}, "params": {}, "inputs": ("close",), "onset": "level", "cooldown_bars": 0, "max_active_bars": 30,
}  # fmt: skip


def small(*, slow: int = 1, band: int = 5, **changes: Any) -> EventLab:
    """Two events, one feature and a state of each kind; all that is not said reads close a few bars ago."""
    shipped = lab()
    name, feature = next(iter(shipped.features.features.items()))
    features = replace(
        shipped.features,
        features={name: feature.model_copy(update={"expression": f"lag(close,{slow})"})},
        definitions={},
    )
    first = shipped.events[FIRST].model_copy(update=RULE | changes)
    second = shipped.events[SECOND].model_copy(update=RULE)
    states = dict(shipped.states)
    window = states["event_window"]
    assert isinstance(window, AfterEventState)
    kept = {
        "vol_regime": states["vol_regime"].model_copy(
            update={"expression": f"lag(close,{band})", "cadence_bars": 4}
        ),
        "trend_state": states["trend_state"].model_copy(
            update={"rules": {"up": "close>lag(close,7)", "down": "close<lag(close,9)"}, "cadence_bars": 3}
        ),
        "session": states["session"],
        "event_window": window.model_copy(update={"events": (FIRST, SECOND)}),
    }  # fmt: skip
    places = dict(shipped.places) | {(FIRST, "exit"): shipped.places[FIRST, "condition"]}
    places |= {("trend_state", label): shipped.places["trend_state", "up"] for label in ("up", "down")}
    return replace(
        shipped, features=features, events={FIRST: first, SECOND: second}, states=kept, hysteresis_memory_bars=100,
        places=places,
    )  # fmt: skip


def test_an_event_remembers_its_longest_part_the_bar_before_an_onset_and_its_quiet_period() -> None:
    assert event_plan(small()).event_memory[FIRST] == 20
    assert event_plan(small(onset="rising")).event_memory[FIRST] == 21
    assert event_plan(small(onset="rising", cooldown_bars=6)).event_memory[FIRST] == 27
    assert event_plan(small(intensity="lag(close,40)", cooldown_bars=6)).event_memory[FIRST] == 46
    assert event_plan(small(condition="close>lag(close,41)")).event_memory[FIRST] == 41
    alone = one_event_plan(small(), small(onset="rising", cooldown_bars=6).events[FIRST])
    assert (alone.event_memory, alone.warm_bars) == ({FIRST: 27}, 27)
    assert (alone.event_columns, alone.state_columns) == ({FIRST: frozenset({"close"})}, {})


def needed(given: EventLab) -> int:
    return event_plan(given).warm_bars


def test_as_many_bars_come_first_as_the_longest_of_features_states_and_events_needs() -> None:
    """A band of five bars looks back 100 and is renewed every 4: 5 + 100 + 3. A window is as long as 30 after 20."""
    assert needed(small()) == 108
    assert needed(small(band=50)) == 153
    assert needed(small(slow=200)) == 200
    assert needed(small(cooldown_bars=300)) == 20 + 300 + 30
    # An exit that looks further back than the event itself is looked at until the window is over.
    assert needed(small(exit="close<lag(close,150)")) == 150 + 30
    assert needed(small(max_active_bars=400)) == 20 + 400
    given = small()
    without = {name: state for name, state in given.states.items() if name != "vol_regime"}
    assert needed(replace(given, states=without)) == 20 + 30
    rules = {name: state for name, state in without.items() if name != "event_window"}
    trend = rules["trend_state"].model_copy(update={"cadence_bars": 50})
    # The longest rule looks back 9 and the label is kept for 49 bars after its own.
    assert needed(replace(given, states={**rules, "trend_state": trend})) == 9 + 49


def test_a_state_reads_what_its_expressions_read_and_a_window_what_its_events_read() -> None:
    given = small(condition="oi>lag(close,10)", inputs=("close", "oi"))
    found = event_plan(given).state_columns
    assert found == {
        "vol_regime": frozenset({"close"}), "trend_state": frozenset({"close"}), "session": frozenset(),
        "event_window": frozenset({"close", "oi"}),
    }  # fmt: skip
    assert event_plan(given).event_columns == {FIRST: frozenset({"close", "oi"}), SECOND: frozenset({"close"})}


def windowed(*names: str) -> EventPlan:
    state = lab().states["event_window"].model_copy(update={"events": names})
    return replace(plan(), lab=replace(lab(), states=dict(lab().states) | {"event_window": state}))


def test_a_window_is_not_available_where_none_of_its_events_is() -> None:
    frame = one_symbol(9, rows=30).drop("spot_close", "oi")
    context = market_context({"BTCUSDT": frame}, lab().context)["BTCUSDT"]

    def lacking(*names: str) -> tuple[str, ...] | None:
        return compute_symbol(frame, context, windowed(*names)).not_available.get("event_window")

    assert lacking("BASIS_DISLOC") == ("spot_close",)
    assert lacking("BASIS_DISLOC", "OI_FLUSH") == ("oi", "spot_close")
    assert lacking("BASIS_DISLOC", "BAND_BREAK") is None


def test_symbols_come_in_alphabetical_order_and_no_more_are_worked_on_than_there_are_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of five symbols with two workers: when the first is handed over three were begun, and none waits for the second.

    The second takes until it is let go.
    """
    let_go, begun = threading.Event(), []

    def one(market: str, context: str, plan: object, *, since: dt.datetime | None) -> Any:
        begun.append((market, since))
        if market == "market of b":
            let_go.wait(5.0)
        return SimpleNamespace(symbol=market[-1], context=context)

    monkeypatch.setattr(compute, "compute_symbol", one)
    names = ["d", "a", "e", "b", "c"]
    market: Any = {name: f"market of {name}" for name in [*names, "z"]}
    context: Any = {name: f"context of {name}" for name in names}
    found = each_symbol(market, context, plan(), since=START, workers=2)
    first = next(found)
    assert (first.symbol, first.context) == ("a", "context of a")
    assert not let_go.is_set()
    # The other worker is free: it begins the third, and nothing that was not asked for.
    until = time.monotonic() + 5.0
    while len(begun) < 3 and time.monotonic() < until:
        time.sleep(0.001)
    time.sleep(0.02)
    assert {name for name, _ in begun} == {f"market of {name}" for name in "abc"}
    let_go.set()
    assert [each.symbol for each in found] == ["b", "c", "d", "e"]
    assert {since for _, since in begun} == {START}
    assert [each.symbol for each in each_symbol(market, context, plan())] == ["a", "b", "c", "d", "e"]


def test_two_workers_compute_what_one_does() -> None:
    market = {name: one_symbol(k, rows=30, symbol=name) for k, name in enumerate(NAMES)}
    one, two = compute_events(market, lab()), compute_events(market, lab(), workers=2)
    assert list(one.symbols) == list(two.symbols) == sorted(NAMES)
    for name in NAMES:
        assert one.symbols[name].symbol == name
        for part in ("features", "states", "flags"):
            assert getattr(one.symbols[name], part).equals(getattr(two.symbols[name], part), null_equal=True)


def test_a_month_is_its_own_bars_and_nothing_after_them_is_looked_at() -> None:
    """Ten bars of January and twenty of February, then one of March that no lab could read."""
    start = dt.datetime(2024, 2, 1, tzinfo=dt.UTC) - 10 * dt.timedelta(minutes=5)
    frame = one_symbol(9, rows=30, start=start)
    torn = one_symbol(9, rows=1, start=dt.datetime(2024, 3, 7, tzinfo=dt.UTC))
    found = compute_month({"BTCUSDT": pl.concat([frame, torn])}, lab(), "2024-02")
    bars = found.symbols["BTCUSDT"].features["bar"]
    assert (bars.len(), bars[0]) == (20, dt.datetime(2024, 2, 1, tzinfo=dt.UTC))
    assert found.context["BTCUSDT"]["bar"].equals(bars)
    with pytest.raises(SchemaViolation, match="full five-minute grid"):
        compute_events({"BTCUSDT": pl.concat([frame, torn])}, lab())


def test_a_context_of_other_bars_is_refused() -> None:
    frame = one_symbol(9, rows=5)
    context = market_context({"BTCUSDT": frame}, lab().context)["BTCUSDT"]
    with pytest.raises(SchemaViolation, match=r"other bars than the market[\s\S]*4 and 5 rows"):
        compute_symbol(frame, context.head(4), plan())
