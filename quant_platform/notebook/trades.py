"""Decisions traded on bars in a notebook: the engine with frames in and a frozen result out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from quant_platform.engine.backtest import BacktestResult as EngineResult
from quant_platform.engine.backtest import Bars, EngineConfig, Orders, Signals, Weights, run
from quant_platform.engine.decision_table import from_table
from quant_platform.engine.identities import verify
from quant_platform.engine.metrics import Metrics
from quant_platform.notebook.frames import as_polars, html_of
from quant_platform.reports.charts.figures import Words
from quant_platform.specification.loading import load_spec
from quant_platform.specification.settings import settings
from quant_platform.specification.strategies import StrategySpec
from quant_platform.strategies.configuration import engine_config


@dataclass(frozen=True, eq=False)
class Trades:
    """What became of some decisions.

    Attributes
    ----------
    result
        Everything the engine says.
    """

    result: EngineResult

    @property
    def trades(self) -> pl.DataFrame:
        """One row per position from flat to flat."""
        return self.result.trades

    @property
    def fills(self) -> pl.DataFrame:
        """One row per fill."""
        return self.result.fills

    @property
    def equity(self) -> pl.DataFrame:
        """One row per bar: cash, equity, return, drawdown."""
        return self.result.equity

    @property
    def metrics(self) -> Metrics:
        """Figures of the run, each with its annualisation stated."""
        return self.result.metrics

    def to_frame(self) -> pl.DataFrame:
        """Return the trades."""
        return self.trades

    def plot(self) -> Any:
        """Draw the equity."""
        from quant_platform.reports.charts import builders
        from quant_platform.reports.charts.builders import Field

        return builders.lines(
            self.equity.select(pl.col("stamp").dt.date().alias("session"), "equity"),
            Words("Equity", f"Equity after costs over {self.equity.height} bars."),
            x=Field("session", "session", "date"),
            y=Field("equity", "equity"),
            at=self.result.config.initial_cash,
        ).chart

    def _repr_html_(self) -> str:
        figures = asdict(self.metrics)
        frame = pl.DataFrame([(k, v) for k, v in figures.items()], schema=["figure", "value"], orient="row")
        return html_of("Backtest", f"{self.trades.height} trades, {self.fills.height} fills", frame)


def backtest(decisions: Any, bars: Any, config: EngineConfig | None = None) -> Trades:
    """Trade decisions on bars, with costs.

    Parameters
    ----------
    decisions
        A frame of orders (``asset, date, action, ...``) or of weights (``asset, date, weight``), or the engine's own
        ``Orders``, ``Weights`` or ``Signals``. ``date`` is the bar whose close made the decision.
    bars
        A frame with ``ticker, session, open, high, low, close`` and, where known, ``volume``, as
        ``home.prices()`` returns it; or the engine's ``Bars``.
    config
        Fills, sizing, costs and limits; those of ``specs/strategies/default.yaml`` when not given.

    Raises
    ------
    DecisionsInvalid
        With every kind of bad row, its count and the first five.
    BacktestInvalid
        When decisions do not fit the bars.

    Notes
    -----
    The accounting identities of the run are verified before it is returned.
    """
    market = bars if isinstance(bars, Bars) else Bars.from_frame(as_polars(bars, "bars"))
    decided = decisions
    if not isinstance(decisions, (Orders, Weights, Signals)):
        decided = from_table(as_polars(decisions, "decisions"), market, where="the frame")
    result = run(market, decided, config or _default())
    verify(result)
    return Trades(result)


def _default() -> EngineConfig:
    return engine_config(load_spec(settings().specs / "strategies" / "default.yaml", StrategySpec))
