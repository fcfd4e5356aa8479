"""Five components that look ahead on purpose. A harness that lets one of them pass proves nothing."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from quant_platform_tests.labs.equity.features.bars import simulated_bars
from quant_platform_tests.lookahead.harness import Component

close = pl.col("close").fill_nan(None).forward_fill()
change = close.pct_change()


def _component(name: str, expression: pl.Expr) -> Component:
    def function(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.select("session", value=expression)

    return Component(name, function, lambda seed: simulated_bars(seed, rows=400), time="session")


def full_sample_quantile() -> Component:
    """Fires when a move is extreme against the whole sample."""
    return _component("full_sample_quantile", change.abs() > change.abs().quantile(0.95))


def future_confirmation() -> Component:
    """A low is marked on its own bar once the two bars after it were higher."""
    low = change.is_not_null() & (close < close.shift(1)) & (close < close.shift(2))
    confirmed = (close.shift(-1) > close) & (close.shift(-2) > close)
    return _component("future_confirmation", (low & confirmed).fill_null(False))


def centred_window() -> Component:
    """A moving average that stands in the middle of its window."""
    return _component("centred_window", close.rolling_mean(5, center=True))


def shift_minus_one() -> Component:
    """Tomorrow's return as a feature of today."""
    return _component("shift_minus_one", change.shift(-1))


def full_sample_z() -> Component:
    """Standardised with the mean and deviation of the whole sample."""
    return _component("full_sample_z", (change - change.mean()) / change.std())


CONTROLS: list[Callable[[], Component]] = [
    full_sample_quantile,
    future_confirmation,
    centred_window,
    shift_minus_one,
    full_sample_z,
]


def honest_mean() -> Component:
    """A trailing average: the harness must leave it alone."""
    return _component("honest_mean", close.rolling_mean(5))


def honest_late_pivot() -> Component:
    """The same low as in :func:`future_confirmation`, marked where it is known, two bars later."""
    low = (close.shift(2) < close.shift(3)) & (close.shift(2) < close.shift(4))
    confirmed = (close.shift(1) > close.shift(2)) & (close > close.shift(2))
    return _component("honest_late_pivot", (low & confirmed).fill_null(False))
