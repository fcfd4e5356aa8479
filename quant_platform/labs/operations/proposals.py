"""The evidence of a week as proposed changes: where, old and new value, and the rows that speak for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any

import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.labs.operations.frames import rows_frame
from quant_platform.labs.operations.sweep import OFF
from quant_platform.specification.operations import ROUTING, SLEEVES, EvidenceSpec, RoutingSpec, SleevesSpec

# Proposals of a cost parameter keep this many digits of a fraction of the price.
_DIGITS = 6


@dataclass(frozen=True, eq=False)
class WeekEvidence:
    """What a week's proposals are made from.

    Attributes
    ----------
    sweep, costs, windows, promotions
        Rows of the tables of these names.
    trials
        Trials in the ledger, by ticker.
    closed_overall
        Closed paper trades over all names.
    """

    sweep: pl.DataFrame
    costs: pl.DataFrame
    windows: pl.DataFrame
    promotions: pl.DataFrame
    trials: Mapping[str, int]
    closed_overall: int


@dataclass(frozen=True)
class Change:
    """One proposed change, before it is stamped.

    Attributes
    ----------
    kind, file, path
        What and where; the keys of the path from the top of the file.
    old, new
        JSON values; None for old where nothing stands there.
    n, estimate, low, high
        The evidence in numbers.
    effect
        What the change is expected to do.
    trials
        Trials that the choice was made among.
    table, key, where
        Rows of the evidence: table, partition, and column values.
    """

    kind: str
    file: str
    path: tuple[str, ...]
    old: Any
    new: Any
    n: int
    estimate: float | None
    low: float | None
    high: float | None
    effect: str
    trials: int
    table: str
    key: str
    where: Mapping[str, Any]


def config_proposals(
    week: date,
    until: date,
    evidence: WeekEvidence,
    routing: RoutingSpec,
    sleeves: SleevesSpec,
    spec: EvidenceSpec,
    *,
    spec_hashes: Mapping[str, str],
    hash_of: Callable[[pl.DataFrame], str],
) -> pl.DataFrame:
    """Proposed changes of a week.

    Parameters
    ----------
    week, until
        Monday of the week and its last session.
    evidence
        Its tables.
    routing, sleeves
        What is in force: what stands there already is not proposed.
    spec
        How many closed trades it takes before a threshold or a sleeve is proposed.
    spec_hashes
        Hash of the content of each spec file.
    hash_of
        Content hash of rows.

    Returns
    -------
    DataFrame
        Schema ``ops.config_proposals``.

    Notes
    -----
    Costs and hours rest on imported fills and are proposed whatever the number of closed trades; thresholds and sleeves
    only from ``minimum_closed`` on.
    """
    found = [*_costs(week, evidence.costs, routing, spec), *_windows(week, evidence.windows, routing)]
    if evidence.closed_overall >= spec.minimum_closed:
        found += [*_thresholds(evidence, routing), *_sleeves(week, until, evidence.promotions, sleeves)]
    rows = []
    for change in found:
        chosen = _rows(evidence, change)
        evidence_hash = hash_of(chosen)
        old, new = (None if value is None else json.dumps(value) for value in (change.old, change.new))
        path = "/".join(change.path)
        text = "|".join([change.file, path, str(old), str(new), evidence_hash])
        rows.append(
            {
                "week": week,
                "proposal_id": hashlib.sha256(text.encode()).hexdigest()[:12],
                "kind": change.kind,
                "file": change.file,
                "path": path,
                "old": old,
                "new": new,
                "n": change.n,
                "estimate": change.estimate,
                "low": change.low,
                "high": change.high,
                "expected_effect": change.effect,
                "trials": change.trials,
                "spec_hash": spec_hashes[change.file],
                "evidence_table": change.table,
                "evidence_key": json.dumps({"partition": change.key, "rows": change.where}),
                "evidence_hash": evidence_hash,
            }
        )
    return rows_frame("ops.config_proposals", rows)


def evidence_rows(frame: pl.DataFrame, where: Mapping[str, Any]) -> pl.DataFrame:
    """Rows of an evidence table with these column values, in the order of its key."""
    conditions = [pl.col(name).cast(pl.String) == str(value) for name, value in where.items()]
    return frame.filter(conditions) if conditions else frame


def _rows(evidence: WeekEvidence, change: Change) -> pl.DataFrame:
    frames = {
        "ops.threshold_sweep": evidence.sweep,
        "ops.transaction_costs": evidence.costs,
        "ops.slippage_windows": evidence.windows,
        "ops.sleeve_promotions": evidence.promotions,
    }
    return evidence_rows(frames[change.table], change.where).sort(*table(change.table).primary_key)


def _thresholds(evidence: WeekEvidence, routing: RoutingSpec) -> Iterator[Change]:
    """Floors of a name whose chosen cell is not the one in force, where the rule itself earned out of sample."""
    for row in evidence.sweep.filter("chosen").sort("ticker").iter_rows(named=True):
        if row["rule_pnl"] is None or row["rule_pnl"] <= 0.0 or row["shrunk_r"] is None or row["shrunk_r"] <= 0.0:
            continue
        general = next((one for name, one in routing.asset_classes.items() if name == row["asset_class"]), None)
        if general is None:
            continue
        own = routing.tickers.get(row["ticker"])
        in_force = routing.thresholds(row["ticker"], row["asset_class"])
        assert in_force is not None
        wanted = {name: row[name] for name in ("min_confidence", "min_expected_return")}
        if row["max_risk"] < OFF:
            wanted["max_risk"] = row["max_risk"]
        for name, value in wanted.items():
            if getattr(in_force, name) == value:
                continue
            yield Change(
                kind="threshold",
                file=ROUTING,
                path=("tickers", row["ticker"], name),
                old=None if own is None else getattr(own, name),
                new=value,
                n=row["n"],
                estimate=row["shrunk_r"],
                low=None if row["error_r"] is None else row["mean_r"] - 1.96 * row["error_r"],
                high=None if row["error_r"] is None else row["mean_r"] + 1.96 * row["error_r"],
                effect=f"the cell earned {row['annual_pnl']:.2%} a year in sample; the rule that chose it "
                f"{row['rule_pnl']:.2%} out of sample",
                trials=evidence.trials.get(row["ticker"], 0),
                table="ops.threshold_sweep",
                key=row["ticker"],
                where={"ticker": row["ticker"]},
            )


def _costs(week: date, costs: pl.DataFrame, routing: RoutingSpec, spec: EvidenceSpec) -> Iterator[Change]:
    """Half spread and impact coefficient whose interval leaves out what the model assumes.

    Of each asset class at its own place, once fills of several are known; else, and where names are estimated apart,
    of the largest group for all.
    """
    fitted = costs.filter(pl.col("measure").is_in(["half_spread", "impact_coefficient"]), pl.col("low").is_not_null())
    if fitted.is_empty():
        return
    apart = spec.costs.grouping == "asset_class" and costs["group"].n_unique() > 1
    largest = fitted.sort("n", "group", descending=[True, False])["group"][0]
    chosen = fitted if apart else fitted.filter(pl.col("group") == largest)
    for row in chosen.sort("group", "measure").iter_rows(named=True):
        if row["low"] <= row["modelled"] <= row["high"] or row["value"] < 0.0:
            continue
        group, measure = row["group"], row["measure"]
        listed = next((one for name, one in routing.asset_classes.items() if name == group), None)
        if apart and listed is None:
            # A class that is not traded needs no cost model.
            continue
        own = None if listed is None else getattr(listed.costs, measure)
        its_own = apart or own is not None
        scale = 1e-4 if measure == "half_spread" else 1.0
        yield Change(
            kind="costs",
            file=ROUTING,
            path=("asset_classes", group, "costs", measure) if its_own else ("costs", measure),
            old=own if its_own else getattr(routing.costs, measure),
            new=round(row["value"] * scale, _DIGITS),
            n=row["n"],
            estimate=row["value"] * scale,
            low=row["low"] * scale,
            high=row["high"] * scale,
            effect=f"paper fills will pay what the fills of {group} have paid, laws {', '.join(row['laws'])}",
            trials=0,
            table="ops.transaction_costs",
            key=week.isoformat(),
            where={"group": group, "measure": measure},
        )


def _windows(week: date, windows: pl.DataFrame, routing: RoutingSpec) -> Iterator[Change]:
    """Hours that are proposed and not left out already, all in one change of the list."""
    for row in windows.filter("proposed").sort("asset_class", "hour").iter_rows(named=True):
        start, zone = time(row["hour"]), row["timezone"] or "UTC"
        known = any(
            one.asset_class == row["asset_class"] and one.start == start and one.timezone == zone
            for one in routing.no_trade_windows
        )
        if known:
            continue
        listed = [one.model_dump(mode="json") for one in routing.no_trade_windows]
        window = {
            "asset_class": row["asset_class"],
            "start": f"{row['hour']:02d}:00",
            "end": f"{(row['hour'] + 1) % 24:02d}:00",
            "timezone": zone,
            "reason": f"slippage {row['excess_bps']:.1f} bps above the other hours over {row['n']} fills",
        }
        yield Change(
            kind="no_trade_window",
            file=ROUTING,
            path=("no_trade_windows",),
            old=listed,
            new=[*listed, window],
            n=row["n"],
            estimate=row["excess_bps"],
            low=row["excess_low_bps"],
            high=None,
            effect=f"no order of {row['asset_class']} meets the hour from {row['hour']:02d}:00 {zone}",
            trials=24,
            table="ops.slippage_windows",
            key=week.isoformat(),
            where={"asset_class": row["asset_class"], "hour": row["hour"]},
        )


def _sleeves(week: date, until: date, promotions: pl.DataFrame, sleeves: SleevesSpec) -> Iterator[Change]:
    for row in promotions.filter(pl.col("proposed").is_not_null()).sort("ticker").iter_rows(named=True):
        member = sleeves.members.get(row["ticker"])
        old, new = sleeves.sleeves[row["sleeve"]].cap, sleeves.sleeves[row["proposed"]].cap
        yield Change(
            kind="sleeve",
            file=SLEEVES,
            path=("members", row["ticker"]),
            old=None if member is None else member.model_dump(mode="json"),
            new={"sleeve": row["proposed"], "since": until.isoformat()},
            n=row["n"],
            estimate=row["mean_r"],
            low=row["mean_r_low"],
            high=row["mean_r_high"],
            effect=f"{row['reason']}; the name shares a cap of {new:.0%} instead of {old:.0%}",
            trials=0,
            table="ops.sleeve_promotions",
            key=week.isoformat(),
            where={"ticker": row["ticker"]},
        )
