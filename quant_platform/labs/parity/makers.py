"""Makers of decisions: each reads bars once and states everything, sizes included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.engine.backtest import Bars
from quant_platform.labs.parity.decisions import DecisionTable

Levels = Mapping[str, float | int]


def moving_average_crossover(bars: Bars, fast: int, slow: int, money: float, lot: float) -> DecisionTable:
    """Buy when the fast mean of closes rises above the slow one, sell when it falls below; long only.

    Parameters
    ----------
    bars
        Without missing ones.
    fast, slow
        Bars of the two means, the running one included.
    money
        What a purchase is worth at the close that decides it.
    lot
        Its quantity is rounded down to whole ones of this.
    """
    close = bars.close
    above = np.zeros(bars.shape, dtype=bool)
    known = _mean(close, slow)
    above[slow - 1 :] = (_mean(close, fast)[slow - fast :] > known)[: bars.shape[0] - slow + 1]
    change = np.diff(above.astype(np.int8), axis=0, prepend=np.zeros((1, bars.shape[1]), dtype=np.int8))
    quantity = np.floor(money / close / lot + 1e-9) * lot
    rounded = np.round(quantity, 9)
    return _signals(bars, change > 0, change < 0, rounded, {})


def random_signals(
    bars: Bars,
    seed: int,
    *,
    sides: Sequence[str] = ("long",),
    entries: float = 0.08,
    exits: float = 0.06,
    largest: int = 400,
    fraction: float = 1.0,
    levels: Levels | None = None,
    first: int = 1,
    last: int | None = None,
    together: bool = False,
) -> DecisionTable:
    """Entries and exits at random bars.

    Parameters
    ----------
    bars
        The market; nothing is decided on a missing bar.
    seed
        Of the generator.
    sides
        ``long``, ``short`` or both.
    entries, exits
        Share of the bars with one, per side.
    largest, fraction
        Quantities are whole numbers up to ``largest`` of ``fraction`` units.
    levels
        ``stop``, ``target``, ``trail`` and ``time_bars`` of every entry.
    first, last
        Bars between which something is decided; by default all but the first bar and the last three.
    together
        Whether an entry and an exit may fall on one bar of one asset, as may entries of both sides.
    """
    draw = np.random.default_rng(seed)
    open_bars = ~np.isnan(bars.close)
    open_bars[:first] = False
    open_bars[bars.shape[0] - 3 if last is None else last + 1 :] = False
    quantity = draw.integers(1, largest + 1, bars.shape).astype(np.float64) * fraction
    tables, taken = [], np.zeros(bars.shape, dtype=bool)
    for side in sides:
        enter = (draw.random(bars.shape) < entries) & open_bars
        leave = (draw.random(bars.shape) < exits) & open_bars
        if not together:
            enter &= ~taken
            leave &= ~enter & ~taken
            taken |= enter | leave
        tables.append(_signals(bars, enter, leave, np.round(quantity, 9), levels or {}, side).frame)
    return DecisionTable.of(pl.concat(tables))


def trades_to_weights(bars: Bars, weights: NDArray[np.float64], at: Sequence[int], money: float) -> DecisionTable:
    """Trades of whole units that bring holdings to weights of a constant amount of money, at prices of the decision."""
    held = np.zeros(bars.shape[1])
    rows: list[dict[str, object]] = []
    for row, bar in enumerate(at):
        wanted = np.trunc(weights[row] * money / bars.close[bar])
        for column in np.flatnonzero(wanted != held):
            change = float(wanted[column] - held[column])
            rows.append({"bar": int(bar), "asset": bars.assets[column], "action": "trade", "quantity": change})
        held = wanted
    return DecisionTable.of(pl.DataFrame(rows))


def stated(*rows: tuple[int, str, str] | tuple[int, str, str, float], **levels: float) -> DecisionTable:
    """Decisions written by hand: bar, asset, action and, for entries and trades, quantity; levels go to every entry."""
    entries = ("long_entry", "short_entry")
    return DecisionTable.of(
        pl.DataFrame(
            [
                {"bar": row[0], "asset": row[1], "action": row[2], "quantity": row[3] if len(row) > 3 else None}
                | {name: value if row[2] in entries else None for name, value in levels.items()}
                for row in rows
            ]
        )
    )


def _mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Means of ``window`` rows, the first ending at row ``window - 1``."""
    view = np.lib.stride_tricks.sliding_window_view(values, window, axis=0)
    means: NDArray[np.float64] = view.mean(axis=-1)
    return means


def _signals(
    bars: Bars,
    enter: NDArray[np.bool_],
    leave: NDArray[np.bool_],
    quantity: NDArray[np.float64],
    levels: Levels,
    side: str = "long",
) -> DecisionTable:
    names = np.array(bars.assets)
    tables = []
    for action, where in (("entry", enter), ("exit", leave)):
        bar, column = np.nonzero(where)
        columns: dict[str, object] = {"bar": bar, "asset": names[column]}
        if action == "entry":
            columns["quantity"] = quantity[where]
        frame = pl.DataFrame(columns, schema_overrides={"asset": pl.String}).with_columns(
            action=pl.lit(f"{side}_{action}")
        )
        if action == "entry":
            frame = frame.with_columns(pl.lit(value).alias(name) for name, value in levels.items())
        tables.append(DecisionTable.of(frame).frame)
    return DecisionTable.of(pl.concat(tables))
