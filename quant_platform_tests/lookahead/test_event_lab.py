"""No feature, state or event of the event lab sees the future, with cuts at and just after each event's firings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import polars as pl
import pytest

from quant_platform_tests.labs.events.detection.worlds import lab, one_symbol, plan
from quant_platform_tests.lookahead import harness
from quant_platform_tests.lookahead.components_events import event_cuts, event_lab
from quant_platform_tests.lookahead.harness import Component

SEED = 11


@cache
def full() -> pl.DataFrame:
    return event_lab().function(event_lab().world(SEED))


@cache
def cuts() -> tuple[object, ...]:
    return tuple(event_cuts(full()))


def shown(found: list[harness.Violation]) -> str:
    return "\n".join(f"{each.check} at {each.cut}" for each in found[:5])


def test_the_cuts_visit_nearly_every_event() -> None:
    fired = [name for name in lab().active if (full()[name] == 1.0).any()]
    assert len(fired) >= 50
    assert len(cuts()) >= 120


@pytest.mark.long
@pytest.mark.parametrize("part", range(4))
def test_cutting_the_data_changes_nothing_before(part: int) -> None:
    component = event_lab()
    found = list(harness.truncation(component, component.world(SEED), cuts()[part::4]))
    assert not found, shown(found)


def test_another_future_changes_nothing_before() -> None:
    component = event_lab()
    found = list(harness.future_perturbation(component, component.world(SEED), cuts()[::40]))
    assert not found, shown(found)


def test_the_derived_memory_is_enough() -> None:
    component = event_lab()
    known = [cut for cut in cuts() if full()["bar"].to_list().index(cut) >= plan().warm_bars]
    found = list(harness.start(component, component.world(SEED), known[::6]))
    assert len(known[::6]) >= 10
    assert not found, shown(found)


def test_no_column_is_used_before_its_bar() -> None:
    component = event_lab()
    found = list(harness.availability(component, component.world(SEED), cuts()[100:101]))
    assert not found, shown(found)


change = pl.col("close").fill_nan(None).log().diff()
move = pl.col("close").fill_nan(None).log().diff(12)


def _control(name: str, expression: pl.Expr) -> Component:
    def function(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.select("bar", value=expression)

    return Component(name, function, lambda seed: one_symbol(seed, rows=1500, symbol="ETHUSDT"), time="bar")


def full_sample_quantile() -> Component:
    """A volatility shock against the quantile of the whole sample."""
    shock = change.rolling_std(12)
    return _control("full_sample_quantile", (shock >= shock.quantile(0.99)).fill_null(False))


def future_confirmation() -> Component:
    """Exhaustion of a forced flow, kept where the next 32 bars make no new extreme, stamped at the anchor."""
    later_low = pl.col("low").fill_nan(None).reverse().rolling_min(32).reverse().shift(-1)
    return _control("future_confirmation", ((move < -0.012) & (later_low >= pl.col("low"))).fill_null(False))


def centred_window() -> Component:
    """Mean return around the bar."""
    return _control("centred_window", change.rolling_mean(13, center=True))


def shift_minus_one() -> Component:
    """The return of the next bar."""
    return _control("shift_minus_one", change.shift(-1))


def full_sample_z() -> Component:
    """Hourly return in deviations of the whole sample."""
    return _control("full_sample_z", (move - move.mean()) / move.std())


@pytest.mark.parametrize(
    "control",
    [full_sample_quantile, future_confirmation, centred_window, shift_minus_one, full_sample_z],
    ids=lambda control: control.__name__,
)
@pytest.mark.parametrize("check", [harness.truncation, harness.future_perturbation])
def test_negative_control_of_bars_is_caught(
    control: Callable[[], Component], check: Callable[..., Iterator[harness.Violation]]
) -> None:
    component = control()
    frame = component.world(SEED)
    output = component.function(frame)
    assert output["value"].drop_nulls().n_unique() > 1
    assert list(check(component, frame, harness.choose_cuts(component, frame, output)))


def test_labels_moved_by_a_bar_show_no_leak() -> None:
    """Returns before the entry explode for events that read them; returns after it must not (shift canary).

    On a market without drift the mean return over the 12 bars after the entry, in units of its standard error, is small
    for every event, and the label that begins one bar early is not.
    """
    frame = event_lab().world(SEED)
    logs = np.log(frame["close"].to_numpy())
    forward = np.full(logs.size, np.nan)
    forward[:-12] = logs[12:] - logs[:-12]
    early = np.full(logs.size, np.nan)
    early[1:] = forward[:-1]
    honest, leaking = [], []
    for name, event in lab().active.items():
        fired = (full()[name] == 1.0).fill_null(False).to_numpy()
        signs = np.nan_to_num(full()[f"{name}__direction"].to_numpy()[fired])
        if event.direction_kind == "none" or fired.sum() < 20:
            continue
        for kept, label in ((honest, forward), (leaking, early)):
            values = (label[fired] * signs)[~np.isnan(label[fired])]
            kept.append(values.mean() / (values.std(ddof=1) / np.sqrt(values.size)))
    assert len(honest) > 15
    assert max(map(abs, honest)) < 4.5
    assert max(leaking) > 4.5
