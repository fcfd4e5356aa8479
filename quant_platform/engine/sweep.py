"""Many accounts of one asset each in one pass: a grid of entries and exits, judged without keeping its curves.

Algorithm, for each column k (an account of its own, long or flat), over the bars t of its asset:

1. what was decided at the close of an earlier bar happens at the open, once the asset trades: an exit sells everything,
   an entry buys for all the cash, costs included;
2. what is held is marked at the close; return and fall from the peak go into the figures;
3. the decisions of the close of t are read: an exit of what is held or waits to be bought, else an entry where nothing
   is held. An exit wins over an entry of the same bar when something is held, and means nothing when nothing is;
4. an account that has lost everything buys nothing more, and has no returns after that bar.

These are the rules of :func:`quant_platform.engine.backtest.run` with signals and ``Sizing("cash_fraction", 1.0,
"fill")``, and the tests hold each figure of random columns against it. A bar of a flat account costs one byte read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from quant_platform.contracts.compiled import compiled
from quant_platform.engine.bars import Bars
from quant_platform.engine.config import BacktestInvalid, Costs
from quant_platform.engine.layout import Bools, Floats, Integers

FIGURES = (
    "total_return", "sharpe", "max_drawdown", "trades", "hit_rate", "profit_factor", "mean_bars_held", "held_share",
    "commission", "spread", "unknown_spread_fills", "open_at_end",
)  # fmt: skip
_PLAIN = ("commission_rate", "maker_rate", "half_spread", "unknown_half_spread")
_NOTHING, _BUYS, _HOLDS, _SELLS = 0, 1, 2, 3


@dataclass(frozen=True, eq=False)
class SweepResult:
    """Figures of every column.

    Attributes
    ----------
    columns
        Names, k of them.
    assets
        The asset that each traded.
    values
        Shape (k, ``len(FIGURES)``); NaN where there is too little to say. Fractions, not percent; money for
        ``commission`` and ``spread``. ``trades``, ``hit_rate``, ``profit_factor`` and ``mean_bars_held`` are of closed
        trades, ``held_share`` is the share of bars at whose close something is held.
    periods_per_year
        Bars a year is taken to have in ``sharpe``.
    """

    columns: tuple[str, ...]
    assets: tuple[str, ...]
    values: Floats
    periods_per_year: float

    def to_frame(self) -> pl.DataFrame:
        """One row per column: ``column, asset`` and the figures; NaN is null."""
        whole = ("trades", "unknown_spread_fills", "open_at_end")
        figures = pl.DataFrame(self.values, schema=list(FIGURES)).fill_nan(None)
        names = pl.DataFrame({"column": list(self.columns), "asset": list(self.assets)})
        return names.hstack(figures.with_columns(pl.col(whole).cast(pl.Int64)))


def sweep(
    bars: Bars,
    entries: Bools,
    exits: Bools,
    *,
    costs: Costs,
    assets: Sequence[int] | Integers | None = None,
    columns: Sequence[str] | None = None,
    initial_cash: float = 1_000_000.0,
    periods_per_year: float = 252.0,
    zero_volume_halts: bool = True,
) -> SweepResult:
    """Trade every column of a grid of entries and exits in an account of its own, long or flat, with all its cash.

    Parameters
    ----------
    bars
        The market; adjusted prices, without events.
    entries, exits
        Shape (sessions, k): decisions of each close. Arrays in Fortran order are read as they are, others are copied.
    costs
        Commission as a rate and half spread; a sweep knows no others.
    assets
        Shape (k,), position of the asset that each column trades; None where k is the number of assets.
    columns
        Names of the columns; None numbers them.
    initial_cash
        Of each account.
    periods_per_year
        For the Sharpe ratio.
    zero_volume_halts
        Whether a bar without volume trades nothing.

    Returns
    -------
    SweepResult
        One row of figures per column, in order.

    Raises
    ------
    BacktestInvalid
        When shapes differ, an asset is none of the bars, costs are stated that a sweep does not know, or the bars hold
        events.

    Notes
    -----
    **Timing.** A decision of the close of t is filled at the open of the next bar on which the asset trades. **Missing
    values.** A missing bar fills nothing and is marked at the last close; an unknown half spread costs the stated
    pessimistic one and is counted. Every column is a trial: whoever picks the best has to say how many there were.
    """
    sessions, held = bars.shape
    count = entries.shape[1] if entries.ndim == 2 else -1
    places = np.arange(held, dtype=np.int64) if assets is None else np.asarray(assets, dtype=np.int64)
    names = tuple(str(k) for k in range(count)) if columns is None else tuple(columns)
    _check(bars, entries, exits, costs, places, names)
    known = bars.half_spread is not None
    volume = _by_asset(bars.volume) if bars.volume is not None and zero_volume_halts else np.ones((held, sessions))
    halted = volume == 0.0
    opens, closes = _by_asset(bars.open), _by_asset(bars.close)
    values = np.empty((len(names), len(FIGURES)))
    _walk(
        np.where(halted, np.nan, opens),
        np.where(halted, np.nan, closes),
        _by_asset(bars.half_spread) if bars.half_spread is not None else np.zeros((1, 1)),
        known,
        np.ascontiguousarray(entries.T),
        np.ascontiguousarray(exits.T),
        places,
        np.array([costs.commission_rate, costs.half_spread, costs.unknown_half_spread]),
        initial_cash,
        periods_per_year,
        values,
    )
    return SweepResult(names, tuple(bars.assets[a] for a in places), values, periods_per_year)


def _by_asset(values: Floats) -> Floats:
    return np.ascontiguousarray(values.T)


def _check(bars: Bars, entries: Bools, exits: Bools, costs: Costs, places: Integers, names: tuple[str, ...]) -> None:
    sessions, held = bars.shape
    if entries.dtype != np.bool_ or exits.dtype != np.bool_ or entries.shape != exits.shape or entries.ndim != 2:
        raise BacktestInvalid(
            f"entries of {entries.dtype} {entries.shape} and exits of {exits.dtype} {exits.shape}",
            where="sweep",
            action="give two boolean arrays of one shape, sessions by columns",
        )
    if entries.shape != (sessions, len(places)) or len(names) != len(places):
        raise BacktestInvalid(
            f"{entries.shape[0]} sessions by {entries.shape[1]} columns, {len(places)} assets and {len(names)} names "
            f"for bars of {sessions} sessions and {held} assets",
            where="sweep",
            action="name the asset of each column: assets=[...], one position in the bars per column",
        )
    if np.any((places < 0) | (places >= held)):
        raise BacktestInvalid(f"a column names an asset outside the {held} of the bars", where="sweep.assets")
    plain = Costs(costs.commission_rate, costs.half_spread)
    more = [name for name in vars(costs) if name not in _PLAIN and getattr(costs, name) != getattr(plain, name)]
    if more or any((bars.splits, bars.dividends, bars.funding, bars.delistings)):
        raise BacktestInvalid(
            f"a sweep knows a commission rate and a half spread, and no {', '.join(more) or 'events of the bars'}",
            where="sweep",
            action="adjust the prices, or trade the columns that matter with quant_platform.engine.backtest.run",
        )


@compiled
def _walk(
    opens: Floats, closes: Floats, spreads: Floats, known: bool, entries: Bools, exits: Bools, places: Integers,
    costs: Floats, initial_cash: float, periods_per_year: float, values: Floats,
) -> None:  # fmt: skip
    columns, sessions = entries.shape
    rate, stated, unknown = costs[0], costs[1], costs[2]
    for k in range(columns):
        a = places[k]
        state, cash, units, mark, paid, bought = _NOTHING, initial_cash, 0.0, 0.0, 0.0, 0
        equity, peak, fall, total, squares = initial_cash, initial_cash, 0.0, 0.0, 0.0
        trades, wins, gains, losses, bars_held, held = 0, 0, 0.0, 0.0, 0, 0
        fees, spread_paid, unknown_fills = 0.0, 0.0, 0
        seen = sessions
        t = 0
        while t < sessions:
            if state == _NOTHING:
                # Most bars of most columns are these.
                while t < sessions and not entries[k, t]:
                    t += 1
                if t == sessions:
                    break
                state = _BUYS
                t += 1
                continue
            price = opens[a, t]
            if state != _HOLDS and not math.isnan(price):
                share = stated
                if known:
                    share = spreads[a, t]
                    if math.isnan(share):
                        share = unknown
                        unknown_fills += 1
                if state == _BUYS:
                    executed = price * (1.0 + share)
                    units = cash / (executed * (1.0 + rate))
                    while units > 0.0 and units * executed + rate * units * executed > cash:
                        units *= 1.0 - 2.3e-16
                    fee = rate * units * executed
                    paid = units * executed + fee
                    cash -= paid
                    state, mark, bought = _HOLDS, price, t
                else:
                    executed = max(0.0, price * (1.0 - share))
                    fee = rate * units * executed
                    received = units * executed - fee
                    cash += received
                    result = received - paid
                    trades += 1
                    bars_held += t - bought
                    if result > 0.0:
                        wins += 1
                        gains += result
                    else:
                        losses -= result
                    state = _NOTHING
                fees += fee
                spread_paid += units * abs(executed - price)
            now = cash
            if state in (_HOLDS, _SELLS):
                if not math.isnan(closes[a, t]):
                    mark = closes[a, t]
                now += units * mark
                held += 1
            gained = now / equity - 1.0
            equity = now
            total += gained
            squares += gained * gained
            peak = max(peak, equity)
            fall = max(fall, 1.0 - equity / peak)
            if equity <= 0.0:
                # Nothing is left to buy with, and no return can be made of it.
                seen = t + 1
                break
            if state == _HOLDS:
                if exits[k, t]:
                    state = _SELLS
            elif state == _BUYS:
                if exits[k, t]:
                    state = _NOTHING
            elif state == _NOTHING and entries[k, t]:
                state = _BUYS
            t += 1
        row = values[k]
        row[0] = equity / initial_cash - 1.0
        spread = (squares - total * total / seen) / (seen - 1) if seen > 1 else 0.0
        row[1] = total / seen / math.sqrt(spread) * math.sqrt(periods_per_year) if spread > 1e-28 else math.nan
        row[2], row[3] = fall, trades
        row[4] = wins / trades if trades > 0 else math.nan
        row[5] = gains / losses if losses > 0.0 else math.nan
        row[6] = bars_held / trades if trades > 0 else math.nan
        row[7], row[8], row[9] = held / sessions, fees, spread_paid
        row[10], row[11] = unknown_fills, 1.0 if state in (_HOLDS, _SELLS) else 0.0
