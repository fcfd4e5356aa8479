"""What a framework made of the decisions, in one form for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

TRADES: dict[str, pl.DataType] = {
    "asset": pl.String(),
    "side": pl.String(),
    "entry_bar": pl.Int64(),
    "exit_bar": pl.Int64(),
    "quantity": pl.Float64(),
    "entry_price": pl.Float64(),
    "exit_price": pl.Float64(),
    "commission": pl.Float64(),
    "pnl": pl.Float64(),
}
FILLS: dict[str, pl.DataType] = {
    "bar": pl.Int64(),
    "asset": pl.String(),
    "quantity": pl.Float64(),
    "price": pl.Float64(),
    "commission": pl.Float64(),
}
EQUITY: dict[str, pl.DataType] = {"bar": pl.Int64(), "equity": pl.Float64()}


@dataclass(frozen=True, eq=False)
class Execution:
    """One run of one framework.

    Attributes
    ----------
    framework, version
        Whose.
    trades
        From flat to flat, columns of ``TRADES``: exit null while open, prices as averages of the fills, ``pnl`` after
        commission; that of an open trade is marked at its last close.
    fills
        Columns of ``FILLS``, in the order in which they happened; a framework that turns a position with one order has
        one fill where another has two.
    equity
        Columns of ``EQUITY``, marked at every close.
    by_adapter
        Rules that this run needed and that stand in the adapter, not in the framework.
    recomputed
        Figures of the trades that the framework does not report and the adapter worked out from its fills.
    seconds
        Processor seconds of the simulation: without imports, start of the interpreter and exchange of files.
    """

    framework: str
    version: str
    trades: pl.DataFrame
    fills: pl.DataFrame
    equity: pl.DataFrame
    by_adapter: tuple[str, ...] = ()
    recomputed: tuple[str, ...] = ()
    seconds: float = 0.0
    peak_mb: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def final_value(self) -> float:
        """Equity at the last close."""
        return float(self.equity["equity"][-1])
