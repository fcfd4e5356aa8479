from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import polars as pl
import pytest

from quant_platform_tests.labs.equity.features.bars import simulated_bars
from quant_platform_tests.lookahead import harness
from quant_platform_tests.lookahead.components import COMPONENTS
from quant_platform_tests.lookahead.controls import CONTROLS, honest_late_pivot, honest_mean
from quant_platform_tests.lookahead.harness import Component

ALL = [component for components in COMPONENTS for component in components()]


@pytest.mark.parametrize("component", ALL, ids=lambda component: component.name)
def test_component_does_not_see_the_future(component: Component) -> None:
    found = harness.violations(component)
    assert not found, "\n".join(map(str, found[:3]))


@pytest.mark.parametrize("component", ALL, ids=lambda component: component.name)
def test_component_says_something(component: Component) -> None:
    """A component that is silent everywhere would pass every check above."""
    output = component.function(component.world(11))
    values = output.drop([component.time, *component.keys], strict=False)
    assert all(values[name].drop_nulls().n_unique() > 1 for name in values.columns)


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.__name__)
@pytest.mark.parametrize("check", [harness.truncation, harness.future_perturbation, harness.availability])
def test_negative_control_is_caught(
    control: Callable[[], Component], check: Callable[..., Iterator[harness.Violation]]
) -> None:
    component = control()
    frame = component.world(11)
    cuts = harness.choose_cuts(component, frame, component.function(frame))
    assert list(check(component, frame, cuts))


@pytest.mark.parametrize("honest", [honest_mean, honest_late_pivot])
def test_honest_component_is_left_alone(honest: Callable[[], Component]) -> None:
    assert harness.violations(honest()) == []


def test_own_cuts_find_repainting_that_random_cuts_miss() -> None:
    """A rare event that is confirmed later: cuts around its own firings catch it, as many at random do not."""

    def function(frame: pl.DataFrame) -> pl.DataFrame:
        close = pl.col("close").fill_nan(None)
        fired = (close.pct_change() < -0.045) & (close.shift(-1) > close)
        return frame.select("session", value=fired.fill_null(False))

    component = Component("rare", function, simulated_bars, time="session")
    frame = component.world(11)
    output = function(frame)
    assert 1 <= output["value"].sum() <= 8
    own = harness.choose_cuts(component, frame, output, random=0)
    drawn = harness.choose_cuts(component, frame, output, random=len(own), own=0)
    assert list(harness.truncation(component, frame, own))
    assert not list(harness.truncation(component, frame, drawn))


def test_understated_memory_is_caught() -> None:
    component = dataclasses.replace(honest_mean(), memory=3)
    frame = component.world(11).with_columns(pl.col("close").fill_nan(50.0))
    cuts = harness.choose_cuts(component, frame, component.function(frame))
    assert list(harness.start(component, frame, cuts))
    assert list(harness.partitions(component, frame))
    enough = dataclasses.replace(component, memory=4)
    assert not list(harness.start(enough, frame, cuts))
    assert not list(harness.partitions(enough, frame))


def test_input_that_is_used_before_it_is_known_is_caught() -> None:
    def component(lag: int) -> Component:
        def function(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.select("session", value=pl.col("volume").shift(lag))

        return Component("volume", function, simulated_bars, time="session", delays={"volume": 1})

    frame = simulated_bars(11)
    cuts = frame["session"].gather([100, 200, 300]).to_list()
    assert list(harness.availability(component(0), frame, cuts))
    assert not list(harness.availability(component(1), frame, cuts))


def test_rows_that_appear_or_vanish_are_caught() -> None:
    """Events as rows, as a detector would return them: only the largest move of the sample."""

    def function(frame: pl.DataFrame) -> pl.DataFrame:
        move = pl.col("close").fill_nan(None).pct_change().abs()
        return frame.with_columns(move=move).drop_nulls("move").top_k(1, by="move").select("session")

    component = Component("largest move", function, simulated_bars, time="session")
    frame = component.world(11)
    cuts = frame["session"].gather([50, 100, 200]).to_list()
    found = list(harness.truncation(component, frame, cuts))
    assert found
    assert "truncation at" in str(found[0])


def test_two_tickers_are_compared_row_by_row() -> None:
    """A rank over the names of a day is causal; a rank over the whole sample is not."""

    def world(seed: int) -> pl.DataFrame:
        return pl.concat([simulated_bars(seed + k, rows=200, ticker=f"T{k}") for k in range(3)])

    def component(over: str | None) -> Component:
        def function(frame: pl.DataFrame) -> pl.DataFrame:
            rank = pl.col("close").fill_nan(None).rank()
            return frame.select("ticker", "session", rank=rank.over(over) if over else rank)

        return Component("rank", function, world, time="session", keys=("ticker", "session"))

    assert harness.violations(component("session")) == []
    assert harness.violations(component(None))
