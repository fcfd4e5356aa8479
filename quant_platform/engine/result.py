"""What a run leaves: one frozen result, its tables made when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.engine import layout
from quant_platform.engine.bars import Bars
from quant_platform.engine.config import EngineConfig
from quant_platform.engine.layout import Floats, Integers
from quant_platform.engine.metrics import Metrics, measure

REASON = pl.Enum(layout.REASONS)


@dataclass(frozen=True, eq=False)
class BacktestResult:
    """Fills, trades and curves of one run.

    Attributes
    ----------
    bars, config
        What was run.
    counts
        How often something did not go as decided, or a stated pessimistic number stood in for one that is not known.
    """

    bars: Bars
    config: EngineConfig
    counts: Mapping[str, int]
    totals: Mapping[str, float]
    lot_units: Floats
    _fills: Floats
    _trades: Floats
    _curve: Floats
    _clips: Floats
    _trips: Floats

    @cached_property
    def clips(self) -> pl.DataFrame:
        """What the risk layers took, in order: one row per bar, asset and layer that made a weight smaller.

        ``before`` and ``after`` are fractions of equity: signed target weights of a rebalance, sizes of single orders.
        """
        places = self._clips[:, : layout.CLIP_BEFORE].astype(np.int64)
        return pl.DataFrame(
            {
                "bar": places[:, layout.CLIP_BAR],
                "stamp": self._stamps(places[:, layout.CLIP_BAR]),
                "asset": self._names(places[:, layout.CLIP_ASSET]),
                "layer": pl.Series(layout.LAYERS, dtype=pl.Enum(layout.LAYERS)).gather(places[:, layout.CLIP_LAYER]),
                "before": self._clips[:, layout.CLIP_BEFORE],
                "after": self._clips[:, layout.CLIP_AFTER],
            }
        )

    @cached_property
    def trips(self) -> pl.DataFrame:
        """Switches that tripped, in order: by the close of ``bar``, stopping what opens from the next bar on."""
        places = self._trips[:, : layout.TRIP_VALUE].astype(np.int64)
        return pl.DataFrame(
            {
                "bar": places[:, layout.TRIP_BAR],
                "stamp": self._stamps(places[:, layout.TRIP_BAR]),
                "switch": pl.Series(
                    [layout.SWITCHES[code] for code in places[:, layout.TRIP_SWITCH].tolist()], dtype=pl.String
                ),
                "value": self._trips[:, layout.TRIP_VALUE],
                "bound": self._trips[:, layout.TRIP_BOUND],
            }
        )

    @cached_property
    def fills(self) -> pl.DataFrame:
        """One row per fill, in the order in which they happened.

        ``quantity`` is signed; ``price`` is paid, ``reference_price`` what the market showed; ``position`` is held
        after it; ``order`` is the row of the decision, -1 where the engine itself decided.
        """
        numbers = self._fills
        places = numbers.astype(np.int64)
        asset = places[:, layout.FILL_ASSET]
        return pl.DataFrame(
            {
                "bar": places[:, layout.FILL_BAR],
                "stamp": self._stamps(places[:, layout.FILL_BAR]),
                "asset": self._names(asset),
                "reason": pl.Series(layout.REASONS, dtype=REASON).gather(places[:, layout.FILL_REASON]),
                "quantity": self._units(numbers[:, layout.FILL_LOTS], asset),
                "price": numbers[:, layout.FILL_PRICE],
                "reference_price": numbers[:, layout.FILL_REFERENCE],
                "commission": numbers[:, layout.FILL_COMMISSION],
                "spread": numbers[:, layout.FILL_SPREAD],
                "impact": numbers[:, layout.FILL_IMPACT],
                "position": self._units(numbers[:, layout.FILL_AFTER], asset),
                "order": places[:, layout.FILL_ORDER],
            }
        )

    @cached_property
    def trades(self) -> pl.DataFrame:
        """One row per position from flat to flat, open ones last with no exit and marked at their last price.

        ``net_pnl = price_pnl - commission - spread - impact - funding - borrow + dividends``; ``mae`` and ``mfe`` are
        the worst and best price while held against the average entry, as signed fractions of it; ``break_even_bps`` is
        the cost per side and traded value at which the trade would have earned nothing.
        """
        numbers = self._trades
        # Whole numbers that the kernel always writes; an exit bar of -1 is a trade that is open.
        entry_bar, exit_bar, asset, side, reason = (
            numbers[:, column].astype(np.int64)
            for column in (
                layout.TRADE_ENTRY_BAR, layout.TRADE_EXIT_BAR, layout.TRADE_ASSET, layout.TRADE_SIDE,
                layout.TRADE_REASON,
            )
        )  # fmt: skip
        closed = exit_bar >= 0
        value = numbers[:, layout.TRADE_UNITS] * numbers[:, layout.TRADE_ENTRY_PRICE]
        frame = pl.DataFrame(
            {
                "asset": self._names(asset),
                "side": pl.Series(["long", "short"], dtype=pl.Enum(["long", "short"])).gather(
                    (side < 0).astype(np.uint32)
                ),
                "entry_bar": entry_bar,
                "entry_stamp": self._stamps(entry_bar),
                "exit_bar": pl.Series(exit_bar).set(pl.Series(~closed), None),
                "exit_stamp": self._stamps(exit_bar),
                "exit_reason": pl.Series(layout.REASONS, dtype=REASON).gather(reason),
                "quantity": numbers[:, layout.TRADE_UNITS],
                "entry_price": numbers[:, layout.TRADE_ENTRY_PRICE],
                "exit_price": pl.Series(numbers[:, layout.TRADE_EXIT_PRICE], nan_to_null=True),
                "price_pnl": numbers[:, layout.TRADE_PRICE_PNL],
                "commission": numbers[:, layout.TRADE_COMMISSION],
                "spread": numbers[:, layout.TRADE_SPREAD],
                "impact": numbers[:, layout.TRADE_IMPACT],
                "funding": numbers[:, layout.TRADE_FUNDING],
                "borrow": numbers[:, layout.TRADE_BORROW],
                "dividends": numbers[:, layout.TRADE_DIVIDENDS],
                "mae": numbers[:, layout.TRADE_MAE],
                "mfe": numbers[:, layout.TRADE_MFE],
            }
        )
        other = pl.col("funding") + pl.col("borrow") - pl.col("dividends")
        costs = pl.col("commission") + pl.col("spread") + pl.col("impact")
        return frame.with_columns(
            net_pnl=pl.col("price_pnl") - costs - other,
            bars_held=pl.col("exit_bar") - pl.col("entry_bar"),
            break_even_bps=1e4 * (pl.col("price_pnl") - other) / (2.0 * pl.Series(value)),
        )

    @cached_property
    def equity(self) -> pl.DataFrame:
        """One row per bar, marked at its close: cash, equity, return since the bar before, drawdown from the peak."""
        equity = self._curve[:, layout.CURVE_EQUITY]
        before = np.concatenate([[self.config.initial_cash], equity[:-1]])
        peak = np.maximum.accumulate(np.maximum(equity, self.config.initial_cash))
        with np.errstate(divide="ignore", invalid="ignore"):
            returns = np.where(before > 0.0, equity / before - 1.0, np.nan)
        return pl.DataFrame(
            {
                "bar": np.arange(len(equity)),
                "stamp": self._stamps(np.arange(len(equity))),
                "cash": self._curve[:, layout.CURVE_CASH],
                "equity": equity,
                "return": pl.Series(returns, nan_to_null=True),
                "drawdown": 1.0 - equity / peak,
            }
        )

    @cached_property
    def exposures(self) -> pl.DataFrame:
        """One row per bar: value held long and short, gross and net as multiples of equity, assets held."""
        long, short = self._curve[:, layout.CURVE_LONG], self._curve[:, layout.CURVE_SHORT]
        equity = self._curve[:, layout.CURVE_EQUITY]
        with np.errstate(divide="ignore", invalid="ignore"):
            gross = np.where(equity > 0.0, (long + short) / equity, np.nan)
            net = np.where(equity > 0.0, (long - short) / equity, np.nan)
        return pl.DataFrame(
            {
                "bar": np.arange(len(equity)),
                "stamp": self._stamps(np.arange(len(equity))),
                "long": long,
                "short": short,
                "gross": pl.Series(gross, nan_to_null=True),
                "net": pl.Series(net, nan_to_null=True),
                "held": self._curve[:, layout.CURVE_HELD].astype(np.int64),
            }
        )

    @cached_property
    def positions(self) -> pl.DataFrame:
        """One row per asset and bar on which its position changed: units held after that bar."""
        return self.fills.group_by("asset", "bar", maintain_order=True).agg(
            pl.col("stamp").last(), pl.col("position").last(), pl.col("quantity").sum().alias("change")
        ).sort("bar", "asset")  # fmt: skip

    @cached_property
    def metrics(self) -> Metrics:
        """Return, risk and cost figures; annualised with ``periods_per_year`` of the configuration."""
        return measure(self)

    @property
    def raw_fills(self) -> Floats:
        """The fills as the kernel wrote them, columns ``FILL_*`` of the layout: quantities in lots."""
        return self._fills

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Which assets trade in whole lots, shape (assets,)."""
        if self.config.units == "fractional":
            return np.zeros(len(self.bars.assets), dtype=np.bool_)
        if self.config.units == "whole" or self.bars.lot is None:
            return np.full(len(self.bars.assets), self.config.units == "whole")
        return np.asarray(self.bars.lot > 0.0)

    @property
    def curve(self) -> Floats:
        """Shape (sessions, 5): cash, equity, long, short, assets held."""
        return self._curve

    def _names(self, asset: Integers) -> pl.Series:
        names = pl.Series(self.bars.assets, dtype=pl.String)
        return names.gather(asset.astype(np.uint32))

    def _stamps(self, bar: Integers) -> pl.Series:
        stamps = self.bars.stamps[np.maximum(bar, 0)].astype("datetime64[ns]")
        stamps[bar < 0] = np.datetime64("NaT")
        return pl.Series(stamps, dtype=pl.Datetime("ns"))

    def _units(self, lots: Floats, asset: Integers) -> Floats:
        units: Floats = lots * self.lot_units[0, asset] / self.lot_units[1, asset]
        return units
