"""The accounting identities of a run, worked out again from its fills, apart from the kernel.

1. Positions are the sums of their fills, exactly, and no crumb of one is left behind.
2. Cash is the initial cash less what was bought, plus what was sold, less commission, funding, borrow and interest,
   plus dividends; on every bar where nothing but fills moved it.
3. Equity is cash plus positions at the last price.
4. Commission, spread and impact of fills, trades and totals are the same sums.
5. What trades earned after costs is what the account earned.
6. Cash is never below zero where nothing was borrowed to buy.
"""

from __future__ import annotations

import math

import numpy as np

from quant_platform.contracts.errors import PlatformError
from quant_platform.engine import layout
from quant_platform.engine.layout import Floats
from quant_platform.engine.result import BacktestResult

RELATIVE = 1e-9
CRUMB = 1e-12


class IdentityBroken(PlatformError, AssertionError):
    """A run's books do not add up: a defect of the engine, never of its input."""

    code = "identity_broken"


def verify(result: BacktestResult) -> None:
    """Work out the identities of a run.

    Raises
    ------
    IdentityBroken
        With the first of them that does not hold, and where.
    """
    numbers = result.raw_fills
    bar, asset = numbers[:, layout.FILL_BAR].astype(np.int64), numbers[:, layout.FILL_ASSET].astype(np.int64)
    lots = numbers[:, layout.FILL_LOTS]
    units = lots * result.lot_units[0, asset] / result.lot_units[1, asset]
    positions = _positions(result, bar, asset, lots, numbers[:, layout.FILL_AFTER])
    money = units * numbers[:, layout.FILL_PRICE]
    fees = numbers[:, layout.FILL_COMMISSION]
    curve, start = result.curve, result.config.initial_cash
    scale = max(start, float(np.abs(curve[:, layout.CURVE_EQUITY]).max()), float(np.abs(money).max(initial=0.0)))
    sessions = curve.shape[0]
    by_fills = start - np.cumsum(np.bincount(bar, weights=money + fees, minlength=sessions))
    others = curve[:, layout.CURVE_CASH] - by_fills
    totals = result.totals
    expected = totals["dividends"] - totals["funding"] - totals["borrow"] - totals["interest"]
    quiet = not (result.bars.splits or result.bars.dividends or result.bars.funding)
    if quiet:
        if expected == 0.0:
            _equal(others, np.zeros(sessions), scale, "cash is not what the fills left of it")
        _equal(others[-1:], np.array([expected]), scale, "cash is not what fills and carrying left of it")
    _marks(result, positions, scale)
    trades = result.trades
    for column, name in (
        (layout.FILL_COMMISSION, "commission"), (layout.FILL_SPREAD, "spread"), (layout.FILL_IMPACT, "impact"),
    ):  # fmt: skip
        total = np.array([totals[name]])
        _equal(np.array([numbers[:, column].sum()]), total, scale, f"{name} of the fills is not the total")
        _equal(np.array([trades[name].sum()]), total, scale, f"{name} of the trades is not the total")
    earned = float(trades["net_pnl"].sum()) - totals["interest"]
    gained = float(curve[-1, layout.CURVE_EQUITY]) - start
    _equal(np.array([earned]), np.array([gained]), scale, "the trades did not earn what the account gained")
    long_only = bool(np.all(numbers[:, layout.FILL_AFTER] >= 0.0))
    carried = totals["funding"] or totals["borrow"] or totals["dividends"] < 0.0
    if result.config.leverage <= 1.0 and long_only and not carried:
        lowest = float(curve[:, layout.CURVE_CASH].min())
        if lowest < -RELATIVE * scale:
            raise IdentityBroken(f"cash fell to {lowest} although nothing may be borrowed", where="equity.cash")


def _positions(
    result: BacktestResult, bar: layout.Integers, asset: layout.Integers, lots: Floats, after: Floats
) -> Floats:
    """Lots held after every bar, ``[session, asset]``, from the fills and the splits alone."""
    sessions, assets = result.bars.shape
    held = np.zeros((sessions, assets))
    for a in np.unique(asset):
        rows = np.flatnonzero(asset == a)
        splits = sorted((event.bar, event.value) for event in result.bars.splits if event.asset == a)
        whole = result.config.units != "fractional" and result.whole[a]
        position, largest = 0.0, 0.0
        reasons = result.raw_fills[:, layout.FILL_REASON]
        done = 0
        since, values = [0], [0.0]
        for row in rows:
            # A delisting comes before a split of its bar.
            until = bar[row] - (reasons[row] == layout.REASON_DELISTED)
            while done < len(splits) and splits[done][0] <= until:
                position = _after_split(position, splits[done][1], whole)
                since.append(splits[done][0])
                values.append(position)
                done += 1
            before, position = position, position + lots[row]
            largest = max(largest, abs(before), abs(lots[row]))
            crumb = position != 0.0 and abs(position) < CRUMB * largest
            if position != after[row] or crumb or (whole and position != math.floor(position)):
                raise IdentityBroken(
                    "a position is not the sum of its fills" if not crumb else "a crumb of a position was left",
                    where=f"fills of {result.bars.assets[a]}",
                    rows=[{"bar": int(bar[row]), "before": before, "filled": lots[row], "after": after[row]}],
                )
            since.append(int(bar[row]))
            values.append(position)
        for at, ratio in splits[done:]:
            position = _after_split(position, ratio, whole)
            since.append(at)
            values.append(position)
        held[:, a] = np.array(values)[np.searchsorted(since, np.arange(sessions), side="right") - 1]
    return held


def _after_split(position: float, ratio: float, whole: bool) -> float:
    lots = position * ratio
    return math.copysign(math.floor(abs(lots) + layout.ROUNDING), lots) if whole else lots


def _marks(result: BacktestResult, lots: Floats, scale: float) -> None:
    """Equity is cash plus positions at their close, on every bar on which all that is held has one."""
    units = lots * result.lot_units[0] / result.lot_units[1]
    close = result.bars.close
    traded = ~np.isnan(close)
    if result.bars.volume is not None and result.config.zero_volume_halts:
        traded &= result.bars.volume != 0.0
    marked = np.all(traded | (units == 0.0), axis=1)
    # A missing close is that of an asset that is not held, or of a bar that is not compared.
    worth = np.sum(np.where((units == 0.0) | np.isnan(close), 0.0, units * close), axis=1)
    curve = result.curve
    equity = curve[:, layout.CURVE_EQUITY]
    _equal((curve[:, layout.CURVE_CASH] + worth)[marked], equity[marked], scale, "equity is not cash plus positions")
    both = curve[:, layout.CURVE_CASH] + curve[:, layout.CURVE_LONG] - curve[:, layout.CURVE_SHORT]
    _equal(both, equity, scale, "equity is not cash plus long less short")
    if not np.array_equal(curve[:, layout.CURVE_HELD], (units != 0.0).sum(axis=1)):
        raise IdentityBroken("the number of assets held is not that of the fills", where="exposures.held")


def _equal(found: Floats, expected: Floats, scale: float, what: str) -> None:
    wrong = ~(np.abs(found - expected) <= RELATIVE * scale)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise IdentityBroken(
            what,
            how_many=f"{int(wrong.sum())} of {wrong.size}",
            rows=[{"place": first, "was": float(found[first]), "expected": float(expected[first])}],
        )
