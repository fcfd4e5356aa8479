"""The registry of tables: stable names, partition dimensions, schemas. Everything that lists tables reads it here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import dataframely as dy

from quant_platform.contracts.errors import UnknownTable
from quant_platform.contracts.schemas import (
    audit,
    backtest,
    clean,
    discovery,
    discovery_report,
    equity,
    events,
    operations,
    parity,
    perp,
    raw,
    suite,
)


@dataclass(frozen=True)
class Table:
    """A table of the lake.

    ``dimensions`` are the partition dimensions in folder order, empty for an unpartitioned table; each is also the name
    of the column that holds the key, unless ``key_columns`` says otherwise. ``open_columns`` marks a table that carries
    additional Float64 columns which its spec files declare.
    """

    name: str
    schema: type[dy.Schema]
    dimensions: tuple[str, ...]
    key_columns: Mapping[str, str] = field(default_factory=dict)
    open_columns: bool = False

    @property
    def database_schema(self) -> str:
        """The part of the name before the dot, a schema in DuckDB and a folder in the lake."""
        return self.name.split(".")[0]

    @property
    def relation(self) -> str:
        """The part of the name after the dot."""
        return self.name.split(".")[1]

    @property
    def description(self) -> str:
        """First paragraph of the schema's docstring."""
        return (self.schema.__doc__ or "").strip().split("\n\n")[0]

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Columns that identify a row, also the sort order of the files."""
        return tuple(self.schema.primary_key())

    def key_column(self, dimension: str) -> str:
        """Name of the column that holds the partition key of a dimension."""
        return self.key_columns.get(dimension, dimension)


@dataclass(frozen=True)
class SqlTable:
    """A table made by a query that a file of ``specs/sql`` holds.

    Attributes
    ----------
    table
        What the registry would say of it.
    path
        The file.
    query
        The statement.
    reads
        Tables of the lake that it names, sorted.
    lineage
        For each column, the (table, column) pairs its values are made of; none for a count or a constant.
    """

    table: Table
    path: Path
    query: str
    reads: tuple[str, ...]
    lineage: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)


_SYMBOL_MONTH = ("symbol", "month")
_SIGNAL_SNAPSHOT = ("signal", "snapshot")
_SNAPSHOT_ID = {"snapshot": "snapshot_id"}

_ALL = (
    Table("raw.equity_bars", raw.RawEquityBars, ("ticker",)),
    Table("raw.corporate_actions", raw.RawCorporateActions, ("ticker",)),
    Table("raw.fundamentals", raw.RawFundamentals, ("ticker",)),
    Table("raw.securities", raw.RawSecurities, ()),
    Table("clean.equity_bars", clean.CleanEquityBars, ("ticker",)),
    Table("clean.equity_quarantine", clean.CleanEquityQuarantine, ("ticker",)),
    Table("clean.corporate_actions", clean.CleanCorporateActions, ("ticker",)),
    Table("clean.equity_suspects", clean.CleanEquitySuspects, ("ticker",)),
    Table("clean.fundamentals", clean.CleanFundamentals, ("ticker",)),
    Table("clean.fundamentals_quarantine", clean.CleanFundamentalsQuarantine, ("ticker",)),
    Table("clean.equity_accounting", clean.CleanEquityAccounting, ()),
    Table("features.equity", equity.FeaturesEquity, ("ticker",), open_columns=True),
    Table("replay.candidates", equity.ReplayCandidates, ("ticker",)),
    Table("signals.momentum_rank", equity.SignalsMomentumRank, ("week",)),
    Table("replay.qualified", equity.ReplayQualified, ("week",)),
    Table("replay.hit_rate", equity.ReplayHitRate, ("as_of_week",)),
    Table("replay.calibration", equity.ReplayCalibration, ("as_of_week",)),
    Table("replay.activation_sweep", equity.ReplayActivationSweep, ("sweep",)),
    Table("replay.trials", equity.ReplayTrials, ()),
    Table("factors.information_coefficient", equity.FactorsInformationCoefficient, ("factor",)),
    Table("replay.report", equity.ReplayReport, ("as_of_week",)),
    Table("live.scan", equity.LiveScan, ("day",)),
    Table("live.outcomes", equity.LiveOutcomes, ("day",)),
    Table("live.marks", equity.LiveMarks, ("day",)),
    Table("audit.findings", audit.AuditFindings, ()),
    Table("audit.perp_findings", audit.AuditPerpFindings, ()),
    Table("raw.perp_bars", perp.RawPerpBars, _SYMBOL_MONTH),
    Table("raw.spot_bars", perp.RawSpotBars, _SYMBOL_MONTH),
    Table("raw.funding", perp.RawFunding, _SYMBOL_MONTH),
    Table("raw.open_interest", perp.RawOpenInterest, _SYMBOL_MONTH),
    Table("raw.liquidations", perp.RawLiquidations, _SYMBOL_MONTH),
    Table("raw.book", perp.RawBook, _SYMBOL_MONTH),
    Table("clean.perp_bars_5m", perp.CleanPerpBars5m, _SYMBOL_MONTH),
    Table("clean.spot_bars_5m", perp.CleanSpotBars5m, _SYMBOL_MONTH),
    Table("clean.perp_quarantine", perp.CleanPerpQuarantine, _SYMBOL_MONTH),
    Table("clean.funding", perp.CleanFunding, _SYMBOL_MONTH),
    Table("clean.open_interest", perp.CleanOpenInterest, _SYMBOL_MONTH),
    Table("clean.liquidations", perp.CleanLiquidations, _SYMBOL_MONTH),
    Table("clean.book", perp.CleanBook, _SYMBOL_MONTH),
    Table("clean.perp_fact_quarantine", perp.CleanPerpFactQuarantine, _SYMBOL_MONTH),
    Table("clean.market_5m", perp.CleanMarket5m, _SYMBOL_MONTH, open_columns=True),
    Table("features.market_5m", events.FeaturesMarket5m, _SYMBOL_MONTH, open_columns=True),
    Table("features.context_5m", events.FeaturesContext5m, _SYMBOL_MONTH),
    Table("features.states_5m", events.FeaturesStates5m, _SYMBOL_MONTH),
    Table("events.event_flags", events.EventsEventFlags, _SYMBOL_MONTH, open_columns=True),
    Table("events.events", events.EventsEvents, ("event", "cutoff"), key_columns={"event": "event_id"}),
    Table("discovery.candidates", discovery.DiscoveryCandidates, ("event", "cutoff"), {"event": "event_id"}),
    Table("discovery.hypotheses", discovery.DiscoveryHypotheses, ("cutoff",)),
    Table("discovery.bridge", discovery.DiscoveryBridge, ("cutoff",)),
    Table("discovery.blueprints", discovery.DiscoveryBlueprints, ("cutoff",)),
    Table("discovery.trials", discovery.DiscoveryTrials, ("cutoff",)),
    Table("discovery.report", discovery_report.DiscoveryReport, ("cutoff",)),
    Table("backtest.trades", backtest.BacktestTrades, ("cutoff",)),
    Table("backtest.fills", backtest.BacktestFills, ("cutoff",)),
    Table("backtest.strategy_pnl", backtest.BacktestStrategyPnl, ("cutoff",)),
    Table("backtest.walk_forward", backtest.BacktestWalkForward, ("cutoff",)),
    Table("backtest.robustness", backtest.BacktestRobustness, ("cutoff",)),
    Table("backtest.attribution", backtest.BacktestAttribution, ("cutoff",)),
    Table("backtest.acceptance", backtest.BacktestAcceptance, ("cutoff",)),
    Table("backtest.promotions", backtest.BacktestPromotions, ("cutoff",)),
    Table("backtest.allocation", backtest.BacktestAllocation, ("cutoff",)),
    Table("backtest.drift", backtest.BacktestDrift, ("cutoff",)),
    Table("backtest.report", backtest.BacktestReport, ("cutoff",)),
    Table("suite.returns", suite.SuiteReturns, ("year",)),
    Table("suite.exposures", suite.SuiteExposures, ("year",)),
    Table("suite.dates", suite.SuiteDates, ()),
    Table("suite.signals", suite.SuiteSignals, ("signal",)),
    Table("suite.rejects", suite.SuiteRejects, ("signal",)),
    Table("suite.composite", suite.SuiteComposite, ("signal",)),
    Table("suite.results", suite.SuiteResults, _SIGNAL_SNAPSHOT, _SNAPSHOT_ID),
    Table("suite.daily", suite.SuiteDaily, _SIGNAL_SNAPSHOT, _SNAPSHOT_ID),
    Table("suite.fractiles", suite.SuiteFractiles, _SIGNAL_SNAPSHOT, _SNAPSHOT_ID),
    Table("suite.diagnostics", suite.SuiteDiagnostics, _SIGNAL_SNAPSHOT, _SNAPSHOT_ID),
    Table("suite.correlations", suite.SuiteCorrelations, _SIGNAL_SNAPSHOT, _SNAPSHOT_ID),
    Table("suite.trials", suite.SuiteTrials, _SIGNAL_SNAPSHOT, _SNAPSHOT_ID),
    Table("suite.experiments", suite.SuiteExperiments, _SIGNAL_SNAPSHOT, _SNAPSHOT_ID),
    Table("suite.looks", suite.SuiteLooks, _SIGNAL_SNAPSHOT, _SNAPSHOT_ID),
    Table("suite.verdict", suite.SuiteVerdict, _SIGNAL_SNAPSHOT, _SNAPSHOT_ID),
    Table("ops.orders", operations.OpsOrders, ("day",)),
    Table("ops.executions", operations.OpsExecutions, ("day",)),
    Table("ops.skips", operations.OpsSkips, ("day",)),
    Table("ops.trades", operations.OpsTrades, ("day",)),
    Table("ops.marks", operations.OpsMarks, ("day",)),
    Table("ops.book", operations.OpsBook, ("day",)),
    Table("ops.fills", operations.OpsFills, ()),
    Table("ops.threshold_sweep", operations.OpsThresholdSweep, ("ticker",)),
    Table("ops.trials", operations.OpsTrials, ("ticker",)),
    Table("ops.transaction_costs", operations.OpsTransactionCosts, ("week",)),
    Table("ops.slippage_windows", operations.OpsSlippageWindows, ("week",)),
    Table("ops.sleeve_summary", operations.OpsSleeveSummary, ("week",)),
    Table("ops.sleeve_promotions", operations.OpsSleevePromotions, ("week",)),
    Table("ops.config_proposals", operations.OpsConfigProposals, ("week",)),
    Table("ops.dashboard", operations.OpsDashboard, ("day",)),
    Table("suite.tracking", suite.SuiteTracking, _SIGNAL_SNAPSHOT, _SNAPSHOT_ID),
    Table("parity.decisions", parity.ParityDecisions, ("case",)),
    Table("parity.executions", parity.ParityExecutions, ("case", "framework")),
    Table("parity.diff", parity.ParityDiff, ("case", "framework")),
)

TABLES: Mapping[str, Table] = {table.name: table for table in _ALL}


def table(name: str) -> Table:
    """Look a table up by its stable name.

    Raises
    ------
    UnknownTable
        With the closest registered name.
    """
    found = TABLES.get(name)
    if found is None:
        close = get_close_matches(name, TABLES, n=1)
        raise UnknownTable(
            f"there is no table {name!r}",
            where="the table registry (quant_platform/contracts/tables.py)",
            action=f"did you mean {close[0]!r}?" if close else f"choose one of: {', '.join(TABLES)}",
        )
    return found
