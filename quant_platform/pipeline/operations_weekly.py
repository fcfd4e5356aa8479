"""The weekly stages of operations: sweep and ledger by name, then costs, hours, sleeves and proposals of a week.

Every table of a week looks back the same number of days from its last session, and uses what was known by its close.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import polars as pl

from quant_platform.labs.operations.cost_tables import slippage_windows, transaction_costs
from quant_platform.labs.operations.frames import empty
from quant_platform.labs.operations.proposals import WeekEvidence, config_proposals
from quant_platform.labs.operations.sleeves import (
    NameTrades,
    executed,
    replayed,
    sleeve_promotions,
    sleeve_summary,
)
from quant_platform.labs.operations.sweep import sweep_trials, threshold_sweep
from quant_platform.lake.content_hash import content_hash
from quant_platform.market.calendar import calendar
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.operations_fills import within
from quant_platform.pipeline.sessions import last_final, signal_sessions
from quant_platform.pipeline.stage import FrameStage, Reads
from quant_platform.specification.home import AssetClass
from quant_platform.specification.operations import (
    EVIDENCE,
    ROUTING,
    SLEEVES,
    EvidenceSpec,
    RoutingSpec,
    SleevesSpec,
)

_UNIVERSE = "universe/{universe}.yaml"
_SWEPT = (ROUTING, EVIDENCE, _UNIVERSE)
_JUDGED = (ROUTING, SLEEVES, EVIDENCE, _UNIVERSE)


def classes_of(home: Home) -> dict[str, AssetClass]:
    """Asset class of every name that has candidates."""
    return {str(key): home.universe.class_of(str(key)) for key in home.lake.partitions("replay.candidates")}


def sweeps(home: Home, keys: Sequence[str], *, candidates: pl.LazyFrame, trades: pl.LazyFrame) -> pl.DataFrame:
    """Thresholds of some names over the candidates of all of them."""
    return threshold_sweep(
        keys,
        candidates.collect(),
        classes_of(home),
        home.load(EVIDENCE, EvidenceSpec),
        home.load(ROUTING, RoutingSpec),
        seen_until=last_final(home),
        closed_overall=trades.select(pl.len()).collect().item(),
    )


def trials(home: Home, keys: Sequence[str], *, swept: pl.LazyFrame) -> pl.DataFrame:
    """The ledger of some names with what was swept now."""
    earlier = home.lake.read("ops.trials", list(keys), missing="ignore")
    rows = swept.filter(pl.col("ticker").is_in(list(keys))).collect()
    return sweep_trials(rows, home.validated((ROUTING, EVIDENCE))[:16], earlier)


def _weeks(home: Home, keys: Sequence[str]) -> list[tuple[date, date]]:
    """Monday and last session of some weeks; in a home of perpetuals, which trade on Sundays too, the last day."""
    if not home.has_bars:
        mondays = [date.fromisoformat(key) for key in keys]
        return [(first, first + timedelta(days=6)) for first in mondays]
    ends = [session.item() for session in signal_sessions(home, keys)]
    return [(end - timedelta(days=end.weekday()), end) for end in ends]


def costs(home: Home, keys: Sequence[str], *, fills: pl.LazyFrame) -> pl.DataFrame:
    """What trading has cost, as known at the end of some weeks."""
    known, evidence = fills.collect(), home.load(EVIDENCE, EvidenceSpec)
    routing = home.load(ROUTING, RoutingSpec)
    back = timedelta(days=evidence.lookback_days - 1)
    made = [
        transaction_costs(week, within(known, end - back, end), evidence, routing) for week, end in _weeks(home, keys)
    ]
    return pl.concat([empty("ops.transaction_costs"), *made])


def windows(home: Home, keys: Sequence[str], *, fills: pl.LazyFrame) -> pl.DataFrame:
    """Slippage by hour, as known at the end of some weeks."""
    known, evidence = fills.collect(), home.load(EVIDENCE, EvidenceSpec)
    back = timedelta(days=evidence.lookback_days - 1)
    zone = calendar(home.universe.exchange).time_zone if home.has_bars else "UTC"
    made = [slippage_windows(week, within(known, end - back, end), evidence, zone) for week, end in _weeks(home, keys)]
    return pl.concat([empty("ops.slippage_windows"), *made])


def summaries(home: Home, keys: Sequence[str], *, candidates: pl.LazyFrame, trades: pl.LazyFrame) -> pl.DataFrame:
    """How names did, as known at the end of some weeks."""
    evidence, sleeves = home.load(EVIDENCE, EvidenceSpec), home.load(SLEEVES, SleevesSpec)
    known, classes = _evidence(home, candidates, trades), classes_of(home)
    made = [sleeve_summary(week, end, known, classes, evidence, sleeves) for week, end in _weeks(home, keys)]
    return pl.concat([empty("ops.sleeve_summary"), *made])


def promotions(home: Home, keys: Sequence[str], *, candidates: pl.LazyFrame, trades: pl.LazyFrame) -> pl.DataFrame:
    """Which names should move, as known at the end of some weeks."""
    evidence, sleeves = home.load(EVIDENCE, EvidenceSpec), home.load(SLEEVES, SleevesSpec)
    known, classes = _evidence(home, candidates, trades)[sleeves.promotions.evidence], classes_of(home)
    made = [sleeve_promotions(week, end, known, list(classes), evidence, sleeves) for week, end in _weeks(home, keys)]
    return pl.concat([empty("ops.sleeve_promotions"), *made])


def _evidence(home: Home, candidates: pl.LazyFrame, trades: pl.LazyFrame) -> Mapping[str, Mapping[str, NameTrades]]:
    routing = home.load(ROUTING, RoutingSpec)
    return {
        "executed": executed(trades.collect()),
        "replayed": replayed(candidates.collect(), routing, classes_of(home)),
    }


def proposals(
    home: Home,
    keys: Sequence[str],
    *,
    swept: pl.LazyFrame,
    costs: pl.LazyFrame,
    windows: pl.LazyFrame,
    promotions: pl.LazyFrame,
    ledger: pl.LazyFrame,
    trades: pl.LazyFrame,
) -> pl.DataFrame:
    """Changes that the evidence of some weeks speaks for; thresholds are proposed in the newest week only.

    A sweep is known as of now and stored once, so that a past week has none of its own.
    """
    routing, sleeves = home.load(ROUTING, RoutingSpec), home.load(SLEEVES, SleevesSpec)
    spec, newest = home.load(EVIDENCE, EvidenceSpec), last_final(home)
    hashes = {name: spec_file_hash(home, name) for name in (ROUTING, SLEEVES)}
    count = dict(ledger.group_by("ticker").len().collect().iter_rows())
    sweep = swept.collect()
    made = []
    for week, end in _weeks(home, keys):
        known = WeekEvidence(
            sweep=sweep if week + timedelta(days=6) >= newest - timedelta(days=6) else sweep.clear(),
            costs=costs.filter(pl.col("week") == week).collect(),
            windows=windows.filter(pl.col("week") == week).collect(),
            promotions=promotions.filter(pl.col("week") == week).collect(),
            trials=count,
            closed_overall=trades.filter(pl.col("day") <= end).select(pl.len()).collect().item(),
        )
        made.append(
            config_proposals(week, end, known, routing, sleeves, spec, spec_hashes=hashes, hash_of=content_hash)
        )
    return pl.concat([empty("ops.config_proposals"), *made])


def spec_file_hash(home: Home, name: str) -> str:
    """Hash of what a spec file says, as its model reads it; comments and layout do not count."""
    return home.validated((name,))[:16]


SWEEP = FrameStage(
    outputs=("ops.threshold_sweep",),
    compute=sweeps,
    specs=_SWEPT,
    kinds=("numpy", "parquet"),
    inputs={"candidates": Reads("replay.candidates", "all"), "trades": Reads("ops.trades", "all", required=False)},
    together=True,
)
TRIALS = FrameStage(
    outputs=("ops.trials",),
    compute=trials,
    specs=_SWEPT,
    kinds=("polars", "parquet"),
    inputs={"swept": Reads("ops.threshold_sweep", "all")},
    together=True,
)
COSTS = FrameStage(
    outputs=("ops.transaction_costs",),
    compute=costs,
    specs=_SWEPT,
    kinds=("numpy", "parquet"),
    inputs={"fills": Reads("ops.fills")},
    together=True,
)
WINDOWS = FrameStage(
    outputs=("ops.slippage_windows",),
    compute=windows,
    specs=(EVIDENCE,),
    kinds=("numpy", "parquet"),
    inputs={"fills": Reads("ops.fills")},
    together=True,
)
SUMMARY = FrameStage(
    outputs=("ops.sleeve_summary",),
    compute=summaries,
    specs=_JUDGED,
    kinds=("numpy", "parquet"),
    inputs={"candidates": Reads("replay.candidates", "all"), "trades": Reads("ops.trades", "all", required=False)},
    together=True,
)
PROMOTIONS = FrameStage(
    outputs=("ops.sleeve_promotions",),
    compute=promotions,
    specs=_JUDGED,
    kinds=("numpy", "parquet"),
    inputs={"candidates": Reads("replay.candidates", "all"), "trades": Reads("ops.trades", "all", required=False)},
    together=True,
)
PROPOSALS = FrameStage(
    outputs=("ops.config_proposals",),
    compute=proposals,
    specs=_JUDGED,
    kinds=("polars", "parquet"),
    inputs={
        "swept": Reads("ops.threshold_sweep", "all"),
        "costs": Reads("ops.transaction_costs"),
        "windows": Reads("ops.slippage_windows"),
        "promotions": Reads("ops.sleeve_promotions"),
        "ledger": Reads("ops.trials", "all"),
        "trades": Reads("ops.trades", "all", required=False),
    },
    together=True,
)
BY_NAME = (SWEEP, TRIALS)
BY_WEEK = (COSTS, WINDOWS, SUMMARY, PROMOTIONS, PROPOSALS)
