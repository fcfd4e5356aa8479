"""Every strategy of a cutoff traded and judged: the rows of all ``backtest.*`` tables but the report.

1. `strategies.choose`: blueprints, and refused cells beside them.
2. For each: its events become orders, the orders a run; the run becomes trades, fills, profit by day, attribution.
3. `walk_forward`, `robustness` (each perturbation is a run of its own), `acceptance`.
4. `promotions` over all of them; `allocation` among the promoted; their composite is run and judged like the rest.
5. `drift` of the features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.engine.backtest import run
from quant_platform.engine.identities import verify
from quant_platform.engine.result import BacktestResult
from quant_platform.labs.events.backtest.acceptance import Entries, accept
from quant_platform.labs.events.backtest.allocation import composite, shares
from quant_platform.labs.events.backtest.attribution import attribution
from quant_platform.labs.events.backtest.decisions import StrategyOrders, strategy_orders
from quant_platform.labs.events.backtest.drift import drift_rows
from quant_platform.labs.events.backtest.market import EventMarket, config_of
from quant_platform.labs.events.backtest.promotions import Evidence, promote
from quant_platform.labs.events.backtest.robustness import (
    Change,
    bootstrapped,
    by_state,
    keep_at_random,
    perturbed,
    scaled_thresholds,
    summary,
)
from quant_platform.labs.events.backtest.runs import (
    STATES,
    StrategyRun,
    Venue,
    daily_of,
    fills_of,
    labelled_trades,
    later,
    numbered,
    pnl_rows,
    subset,
    trades_of,
)
from quant_platform.labs.events.backtest.strategies import Chosen, Strategy, choose
from quant_platform.labs.events.backtest.walk_forward import SCHEMES, Folds, positive_folds, walk_forward
from quant_platform.labs.events.discovery.segments import Segment, segments
from quant_platform.specification.discovery import ONE_SIDED, DiscoverySpecs
from quant_platform.specification.event_backtest import EventBacktestSpec
from quant_platform.specification.events import EventSpec
from quant_platform.statistics.checks import Floats

COMPOSITE = "COMPOSITE"
STUDY_TABLES = tuple(
    f"backtest.{name}"
    for name in (
        "trades", "fills", "strategy_pnl", "walk_forward", "robustness", "attribution", "acceptance", "promotions",
        "allocation", "drift",
    )
)  # fmt: skip
Redetect = Callable[[EventSpec], pl.DataFrame]


@dataclass(frozen=True, eq=False)
class Discovered:
    """What discovery left for a cutoff: rows of its tables."""

    cutoff: str
    blueprints: pl.DataFrame
    hypotheses: pl.DataFrame
    bridge: pl.DataFrame
    events: pl.DataFrame


@dataclass(frozen=True, eq=False)
class Book:
    """Resting value by side, ``[symbol, bar]`` in quote currency, NaN where it is not known."""

    bid_usd: Floats
    ask_usd: Floats


@dataclass(frozen=True, eq=False)
class BacktestStudy:
    """What was chosen, and the rows of every table of :data:`STUDY_TABLES`."""

    chosen: Chosen
    frames: Mapping[str, pl.DataFrame]
    composite: BacktestResult | None


def study(
    found: Discovered,
    market: EventMarket,
    book: Book,
    specs: DiscoverySpecs,
    spec: EventBacktestSpec,
    redetect: Redetect,
) -> BacktestStudy:
    """Trade and judge every strategy of a cutoff.

    Parameters
    ----------
    found
        What discovery left.
    market
        Prices up to the cutoff.
    book
        Resting value.
    specs, spec
        Specs of discovery, and of these backtests.
    redetect
        Makes rows of ``events.events`` of an event whose numbers were changed.
    """
    return _Study(found, market, book, specs, spec, redetect).done()


class _Study:
    """What the strategies of one cutoff share."""

    def __init__(
        self,
        found: Discovered,
        market: EventMarket,
        book: Book,
        specs: DiscoverySpecs,
        spec: EventBacktestSpec,
        redetect: Redetect,
    ) -> None:
        self.found, self.market, self.book = found, market, book
        self.specs, self.spec, self.redetect = specs, spec, redetect
        self.plain = Venue.of(market.bars, config_of(market.spec))
        self.cash = self.plain.config.initial_cash
        self._dear: dict[float, Venue] = {}
        self._changed: dict[tuple[str, float], pl.DataFrame | str] = {}
        self.rows: dict[str, list[pl.DataFrame]] = {name: [] for name in STUDY_TABLES}

    def done(self) -> BacktestStudy:
        """Run everything."""
        found, spec = self.found, self.spec
        chosen = choose(found.blueprints, found.hypotheses, self.specs, spec.strategies, self.market.panel.symbols)
        runs = [self._run(strategy) for strategy in chosen.run]
        evidence = [self._judged(one) for one in runs]
        # Every cell that reached the bridge was looked at on the days these ratios are of.
        n_trials = max(1, found.bridge["alias_group"].n_unique())
        rows = promote(evidence, n_trials, spec.promotion)
        by_id = {one.strategy.strategy_id: one for one in runs}
        promoted = [by_id[str(row["strategy_id"])] for row in rows if row["promoted"]]
        together = self._composite(promoted, {one.strategy_id: one for one in evidence})
        if together is not None:
            result, one = together
            rows += promote([one], 1, spec.promotion.model_copy(update={"max_pnl_correlation": 1.0}))
            self._kept(COMPOSITE, "composite", result)
        rows += [
            {
                "strategy_id": strategy.strategy_id,
                "status": strategy.status,
                "was_run": False,
                "promoted": False,
                "reasons": [reason],
            }
            for strategy, reason in chosen.not_run
        ]
        self._add("backtest.promotions", rows)
        training = segments(self.market.panel.days, self.market.spec.split, "")[0]
        drift = drift_rows(self.market.panel, training, found.cutoff, spec.drift)
        frames = {name: self._table(name, parts) for name, parts in self.rows.items()} | {"backtest.drift": drift}
        return BacktestStudy(chosen, frames, None if together is None else together[0])

    def windows(self, strategy: Strategy) -> tuple[Segment, ...]:
        """Segments of discovery for the family of a strategy's event."""
        family = self.specs.events[strategy.event_id].family
        return segments(self.market.panel.days, self.market.spec.split, family)

    def _run(self, strategy: Strategy) -> StrategyRun:
        decided = strategy_orders(strategy, self.found.events, self.market, self.specs)
        return StrategyRun(strategy, decided, self.plain.trade(decided.orders))

    def _again(self, one: StrategyRun, decided: StrategyOrders, venue: Venue | None = None) -> pl.DataFrame:
        result = (venue or self.plain).trade(decided.orders)
        return trades_of(StrategyRun(one.strategy, decided, result), self.windows(one.strategy))

    def _judged(self, one: StrategyRun) -> Evidence:
        """Everything about one strategy but whether it is promoted."""
        strategy, spec = one.strategy, self.spec
        name, cutoff = strategy.strategy_id, self.found.cutoff
        windows = self.windows(strategy)
        trades = trades_of(one, windows)
        daily = daily_of(one.result, windows)
        self.rows["backtest.trades"].append(numbered(trades, cutoff, name, "whole"))
        self.rows["backtest.fills"].append(fills_of(one.result, cutoff, name))
        self.rows["backtest.strategy_pnl"].append(pnl_rows(daily, cutoff, name, strategy.status))
        folds = self._walked(one, trades)
        self._add("backtest.walk_forward", folds.rows, name)
        for scheme in SCHEMES:
            self.rows["backtest.trades"].append(numbered(folds.trades[scheme], cutoff, name, scheme))
        self._add("backtest.attribution", attribution(trades, strategy.event_id), name)
        robust = [summary("base", "as decided", trades, self.cash)]
        robust += perturbed(self._changes(one), self.cash) + by_state(trades, self.cash)
        robust += bootstrapped(daily["ret"].fill_null(np.nan).to_numpy(), spec.bootstrap)
        self._add("backtest.robustness", robust, name)
        checks = accept(self._entries(one.result), spec.acceptance)
        self._add("backtest.acceptance", checks, name)
        refused = tuple(f"{row['check']} {row['reason']}" for row in checks if not row["accepted"])
        return Evidence(
            strategy_id=name,
            status=strategy.status,
            returns=_after_training(daily, windows[0]),
            n_trades=int(trades["exit_bar"].is_not_null().sum()),
            trades=trades,
            positive_folds=positive_folds(folds.rows),
            refused_checks=refused,
            max_drawdown=float(daily["drawdown"].to_numpy().max()),
            total_return=float(daily["equity"][-1] / self.cash - 1.0),
        )

    def _walked(self, one: StrategyRun, trades: pl.DataFrame) -> Folds:
        side = one.strategy.side
        by_side = {side: trades}
        if self.specs.templates[one.strategy.template].label not in ONE_SIDED:
            turned = strategy_orders(one.strategy, self.found.events, self.market, self.specs, flip=True)
            by_side[-side] = self._again(one, turned)
        panel = self.market.panel
        return walk_forward(by_side, panel.start, panel.days, self.spec.walk_forward)

    def _changes(self, one: StrategyRun) -> Iterator[Change]:
        """Every perturbation of ``specs/backtest.yaml``; each is a run of its own."""
        spec, decided = self.spec.perturbations, one.decided
        for bars in spec.entry_later_bars:
            yield "entry_later", f"{bars} bars", partial(self._again, one, self._in_time(later(decided, bars)))
        for factor in spec.threshold_factors:
            yield "threshold", f"times {factor:g}", partial(self._rethresholded, one, factor)
        for factor in spec.cost_factors:
            yield "cost", f"times {factor:g}", partial(self._again, one, decided, self._venue(factor))
        kept = keep_at_random(len(decided.events), spec.dropped_share, self.spec.bootstrap.seed)
        yield "dropped", f"{spec.dropped_share:.0%} of the events", partial(self._again, one, subset(decided, kept))

    def _in_time(self, decided: StrategyOrders) -> StrategyOrders:
        return subset(decided, decided.orders.places[:, 0] < self.market.panel.periods)

    def _venue(self, factor: float) -> Venue:
        if factor not in self._dear:
            self._dear[factor] = Venue.of(self.market.stressed(factor), config_of(self.market.spec, factor))
        return self._dear[factor]

    def _rethresholded(self, one: StrategyRun, factor: float) -> pl.DataFrame | str:
        key = one.strategy.event_id, factor
        if key not in self._changed:
            event = scaled_thresholds(self.specs.events[key[0]], factor)
            self._changed[key] = "the event has no threshold" if event is None else self.redetect(event)
        changed = self._changed[key]
        if isinstance(changed, str):
            return changed
        return self._again(one, strategy_orders(one.strategy, changed, self.market, self.specs))

    def _entries(self, result: BacktestResult) -> Entries:
        fills = result.fills.filter(pl.col("reason").cast(pl.String) == "entry")
        place = {name: row for row, name in enumerate(self.market.panel.symbols)}
        symbol = np.array([place[name] for name in fills["asset"].to_list()], dtype=np.int64)
        bar, quantity = fills["bar"].to_numpy(), fills["quantity"].to_numpy()
        # What was quoted when the order was decided.
        seen = np.maximum(bar - 1, 0)
        value = np.abs(quantity) * fills["reference_price"].to_numpy()
        with np.errstate(divide="ignore", invalid="ignore"):
            return Entries(
                spread_bps=self.market.panel.column("spread_bps")[symbol, seen],
                depth_usd=np.where(quantity > 0.0, self.book.ask_usd[symbol, seen], self.book.bid_usd[symbol, seen]),
                impact_bps=1e4 * fills["impact"].to_numpy() / value,
                participation=value / self.market.panel.column("quote_volume")[symbol, bar],
                order_usd=value,
            )

    def _composite(
        self, promoted: list[StrategyRun], evidence: Mapping[str, Evidence]
    ) -> tuple[BacktestResult, Evidence] | None:
        """All promoted strategies as one account; nothing where none was promoted."""
        if not promoted:
            return None
        names = [one.strategy.strategy_id for one in promoted]
        capital = shares([evidence[name].returns for name in names], self.spec.allocation)
        made = composite(names, [one.result for one in promoted], capital, self.spec.allocation)
        self._add("backtest.allocation", made.rows)
        result = run(self.plain.bars, made.weights, replace(self.plain.config, tolerance=0.0), market=self.plain.market)
        verify(result)
        windows = segments(self.market.panel.days, self.market.spec.split, "")
        trades = _unlabelled(result, windows)
        daily = daily_of(result, windows)
        folds = [evidence[name].positive_folds for name in names]
        one = Evidence(
            strategy_id=COMPOSITE,
            status="composite",
            returns=_after_training(daily, windows[0]),
            n_trades=int(trades["exit_bar"].is_not_null().sum()),
            trades=pl.concat([evidence[name].trades for name in names]),
            positive_folds=min((share for share in folds if share is not None), default=None),
            refused_checks=(),
            max_drawdown=float(daily["drawdown"].to_numpy().max()),
            total_return=float(daily["equity"][-1] / self.cash - 1.0),
        )
        return result, one

    def _kept(self, name: str, status: str, result: BacktestResult) -> None:
        windows = segments(self.market.panel.days, self.market.spec.split, "")
        cutoff = self.found.cutoff
        self.rows["backtest.trades"].append(numbered(_unlabelled(result, windows), cutoff, name, "whole"))
        self.rows["backtest.fills"].append(fills_of(result, cutoff, name))
        self.rows["backtest.strategy_pnl"].append(pnl_rows(daily_of(result, windows), cutoff, name, status))

    def _add(self, name: str, rows: list[dict[str, object]] | pl.DataFrame, strategy_id: str = "") -> None:
        """Give rows their key and the columns of their table."""
        schema = {column: held.dtype for column, held in table(name).schema.columns().items()}
        given = (
            rows
            if isinstance(rows, pl.DataFrame)
            else pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)
        )
        key = [pl.lit(self.found.cutoff).alias("cutoff")]
        key += [pl.lit(strategy_id).alias("strategy_id")] if strategy_id else []
        given = given.with_columns(key)
        self.rows[name].append(
            given.select(
                (pl.col(column) if column in given.columns else pl.lit(None)).cast(dtype).alias(column)
                for column, dtype in schema.items()
            )
        )

    def _table(self, name: str, parts: list[pl.DataFrame]) -> pl.DataFrame:
        schema = table(name).schema
        empty = pl.DataFrame(schema={column: held.dtype for column, held in schema.columns().items()})
        return pl.concat([empty, *parts]).sort(schema.primary_key())


def _after_training(daily: pl.DataFrame, training: Segment) -> Floats:
    """Daily returns, NaN on the days of training."""
    returns = daily["ret"].fill_null(np.nan).to_numpy().copy()
    returns[: training.last_day] = np.nan
    return returns


def _unlabelled(result: BacktestResult, windows: tuple[Segment, ...]) -> pl.DataFrame:
    """Trades of the composite: several events may stand behind one, so that it has no state."""
    none = pl.DataFrame(schema=dict.fromkeys(STATES, pl.String))
    return labelled_trades(result, "composite", none, windows)
