"""One run of one strategy, and its rows of ``backtest.trades``, ``backtest.fills`` and ``backtest.strategy_pnl``."""

from __future__ import annotations

from dataclasses import dataclass, replace

import dataframely as dy
import numpy as np
import polars as pl

from quant_platform.contracts.schemas.backtest import BacktestFills, BacktestStrategyPnl, BacktestTrades
from quant_platform.engine.backtest import market_of, run
from quant_platform.engine.bars import Bars
from quant_platform.engine.config import EngineConfig
from quant_platform.engine.decisions import Orders
from quant_platform.engine.identities import verify
from quant_platform.engine.layout import Market
from quant_platform.engine.result import BacktestResult
from quant_platform.labs.events.backtest.decisions import StrategyOrders
from quant_platform.labs.events.backtest.strategies import Strategy
from quant_platform.labs.events.discovery.segments import Segment
from quant_platform.market.perp_panel import BARS_PER_DAY

STATES = ("vol_regime", "funding_bucket", "trend_state")
STAMP = pl.Datetime("us", "UTC")


@dataclass(frozen=True, eq=False)
class Venue:
    """Bars with their costs laid out once, so that many runs share them."""

    bars: Bars
    config: EngineConfig
    market: Market

    @classmethod
    def of(cls, bars: Bars, config: EngineConfig) -> Venue:
        """Lay out what runs share."""
        return cls(bars, config, market_of(bars, config))

    def trade(self, orders: Orders) -> BacktestResult:
        """Run orders; the books are worked out again before anything is believed."""
        result = run(self.bars, orders, self.config, market=self.market)
        verify(result)
        return result


@dataclass(frozen=True, eq=False)
class StrategyRun:
    """A strategy, its orders and what became of them."""

    strategy: Strategy
    decided: StrategyOrders
    result: BacktestResult


def trades_of(done: StrategyRun, windows: tuple[Segment, ...]) -> pl.DataFrame:
    """Trades with the segment and the states of their event; columns of ``backtest.trades`` but for key and scheme.

    Parameters
    ----------
    done
        The run.
    windows
        Segments of discovery for the family of the event.
    """
    return labelled_trades(done.result, done.strategy.status, done.decided.events, windows)


def labelled_trades(
    result: BacktestResult, status: str, events: pl.DataFrame, windows: tuple[Segment, ...]
) -> pl.DataFrame:
    """Trades of any run; ``events`` are the rows behind its orders, in their order, with the states."""
    entries = result.fills.filter(pl.col("reason").cast(pl.String) == "entry").select(
        pl.col("asset"), pl.col("bar").alias("entry_bar"), "order"
    )
    states = events.with_row_index("order").select(pl.col("order").cast(pl.Int64), *STATES)
    trades = result.trades.join(entries, on=["asset", "entry_bar"], how="left", validate="1:1").join(
        states, on="order", how="left"
    )
    value = pl.col("quantity") * pl.col("entry_price")
    reason = pl.when(pl.col("exit_bar").is_null()).then(pl.lit("none")).otherwise(pl.col("exit_reason").cast(pl.String))
    return trades.sort("entry_bar", "asset").select(
        status=pl.lit(status),
        segment=pl.Series(segment_names(trades.sort("entry_bar", "asset")["entry_bar"].to_numpy(), windows)),
        symbol="asset",
        side=pl.col("side").cast(pl.String),
        entry_bar=_stamp("entry_stamp"),
        exit_bar=_stamp("exit_stamp"),
        exit_reason=reason,
        quantity="quantity",
        entry_price="entry_price",
        exit_price="exit_price",
        price_pnl="price_pnl",
        commission="commission",
        spread="spread",
        impact="impact",
        funding="funding",
        net_pnl="net_pnl",
        net_bps=1e4 * pl.col("net_pnl") / value,
        mae="mae",
        mfe="mfe",
        bars_held="bars_held",
        **{name: pl.col(name).cast(pl.String) for name in STATES},
    )


def segment_names(bars: np.ndarray, windows: tuple[Segment, ...]) -> list[str]:
    """Segment of each bar; ``none`` in an embargo."""
    found = np.full(len(bars), "none", dtype=object)
    for window in windows:
        found[(bars >= window.bars.start) & (bars < window.bars.stop)] = window.name
    return [str(name) for name in found]


def numbered(trades: pl.DataFrame, cutoff: str, strategy_id: str, scheme: str) -> pl.DataFrame:
    """Rows of ``backtest.trades``: key, scheme and number before the rest."""
    fold = [] if "fold" in trades.columns else [pl.lit(None, pl.Int32).alias("fold")]
    rows = trades.with_row_index("number").with_columns(
        pl.lit(cutoff).alias("cutoff"), pl.lit(strategy_id).alias("strategy_id"), pl.lit(scheme).alias("scheme"), *fold
    )
    return _as(rows, BacktestTrades)


def fills_of(result: BacktestResult, cutoff: str, strategy_id: str) -> pl.DataFrame:
    """Rows of ``backtest.fills``."""
    rows = result.fills.with_row_index("number").select(
        pl.lit(cutoff).alias("cutoff"),
        pl.lit(strategy_id).alias("strategy_id"),
        "number",
        _stamp("stamp").alias("bar"),
        pl.col("asset").alias("symbol"),
        pl.col("reason").cast(pl.String),
        *("quantity", "price", "reference_price", "commission", "spread", "impact", "position"),
    )
    return _as(rows, BacktestFills)


def daily_of(result: BacktestResult, windows: tuple[Segment, ...]) -> pl.DataFrame:
    """The account by UTC day: ``day, segment, equity, ret, drawdown, gross, entries``."""
    equity = result.equity["equity"].to_numpy()
    last = np.arange(BARS_PER_DAY - 1, len(equity), BARS_PER_DAY)
    closing = equity[last]
    before = np.concatenate([[result.config.initial_cash], closing[:-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        ret = np.where(before > 0.0, closing / before - 1.0, np.nan)
    deepest = result.equity["drawdown"].to_numpy()[: len(last) * BARS_PER_DAY].reshape(len(last), -1).max(axis=1)
    days = result.bars.stamps[last].astype("datetime64[ns]").astype("datetime64[D]")
    entered = result.trades["entry_bar"].to_numpy() // BARS_PER_DAY
    return pl.DataFrame(
        {
            "day": days,
            "segment": segment_names(last, windows),
            "equity": closing,
            "ret": pl.Series(ret, nan_to_null=True),
            "drawdown": np.clip(deepest, 0.0, 1.0),
            "gross": result.exposures["gross"].gather(last),
            "entries": np.bincount(entered, minlength=len(last))[: len(last)],
        }
    )


def pnl_rows(daily: pl.DataFrame, cutoff: str, strategy_id: str, status: str) -> pl.DataFrame:
    """Rows of ``backtest.strategy_pnl``."""
    rows = daily.with_columns(
        pl.lit(cutoff).alias("cutoff"), pl.lit(strategy_id).alias("strategy_id"), pl.lit(status).alias("status")
    )
    return _as(rows, BacktestStrategyPnl)


def later(decided: StrategyOrders, bars: int) -> StrategyOrders:
    """The same orders, decided so many bars later; their levels stay."""
    places = decided.orders.places.copy()
    places[:, 0] += bars
    return replace(decided, orders=Orders(decided.orders.numbers, places))


def subset(decided: StrategyOrders, kept: np.ndarray) -> StrategyOrders:
    """Some of the orders, with their events."""
    orders = Orders(decided.orders.numbers[kept], decided.orders.places[kept])
    return replace(decided, orders=orders, events=decided.events.filter(pl.Series(kept)))


def _stamp(name: str) -> pl.Expr:
    return pl.col(name).dt.replace_time_zone("UTC").cast(STAMP)


def _as(rows: pl.DataFrame, schema: type[dy.Schema]) -> pl.DataFrame:
    """Columns in the order and of the types of a table, sorted by its key."""
    columns = schema.columns()
    return rows.select(pl.col(name).cast(column.dtype) for name, column in columns.items()).sort(schema.primary_key())
