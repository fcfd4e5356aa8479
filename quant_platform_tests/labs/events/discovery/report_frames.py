"""Rows of the discovery tables made by hand: whatever a test does not set has a plain default."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl

from quant_platform.contracts.schemas.discovery import (
    DiscoveryBlueprints,
    DiscoveryBridge,
    DiscoveryCandidates,
    DiscoveryHypotheses,
    DiscoveryTrials,
)
from quant_platform.labs.events.discovery.report import ReportContext
from quant_platform.specification.discovery import DiscoverySpec, DiscoverySpecs, GatesSpec
from quant_platform.specification.loading import load_spec

SPECS = Path(__file__).resolve().parents[4] / "specs"
HASH = "5f3c9d0a77e1b24c" * 4
CUTOFF = "2024-12"
START, END, LAST = (datetime(year, 1, 1, tzinfo=UTC) for year in (2023, 2024, 2025))
GATES = (
    *("gate_sample", "gate_economic", "gate_economic_conservative", "gate_pays"),
    *("gate_stability", "gate_heterogeneity"),
    *("gate_leave_one_out", "gate_recent", "gate_symbols", "gate_concentration", "gate_state_information"),
    *("gate_discovery", "gate_power"),
)
REFUSING = GATES[:-1]


def specs() -> DiscoverySpecs:
    """Defaults and gates as they are committed, and no event."""
    return DiscoverySpecs(
        events={},
        templates={},
        discovery=load_spec(SPECS / "discovery.yaml", DiscoverySpec),
        gates=load_spec(SPECS / "gates.yaml", GatesSpec),
        ontology_hash=HASH,
    )


def context(**changes: Any) -> ReportContext:
    given: dict[str, Any] = {"cutoff": CUTOFF, "last_bar_date": date(2024, 12, 31), "simulated": True, "specs": specs()}
    return ReportContext(**(given | changes))


def cell(**changes: Any) -> dict[str, Any]:
    """What identifies a cell; the alias group follows from the rest."""
    row = {
        "cutoff": CUTOFF, "event_id": "BAND_BREAK", "template": "continuation", "horizon_bars": 12, "symbol": "ALL",
        "dimension": "ALL", "state": "ALL", "family": "FORCED_FLOW", "question": "direction", "test": "forward_return",
        "counted": True, "side": 1, "ontology_hash": HASH,
    }  # fmt: skip
    row |= {name: value for name, value in changes.items() if name in row}
    names = ("event_id", "test", "horizon_bars", "symbol", "dimension", "state")
    return row | {"alias_group": "|".join(str(row[name]) for name in names)}


def judged(*, passes: Sequence[str] = ("gate_sample",), **changes: Any) -> dict[str, Any]:
    """A hypothesis that passes the gates it is told to, and the numbers to go with them."""
    tested = "gate_sample" in passes
    row = cell(**changes) | {
        "n": 400, "n_days": 200, "tested": tested, "effect_bps": 3.0, "standard_error_bps": 1.5, "cost_bps": 9.0,
        "funding_bps": 0.5, "t": 2.0, "prior_bps": 0.0, "own_weight": 0.5, "shrunk_bps": 1.5, "posterior_sd_bps": 1.0,
        "shrunk_net_bps": -8.0, "shrunk_stressed_bps": -12.5, "net_low_bps": -11.0,
        "p_raw": 0.04, "p_shrunk": 0.1, "p_fdr": 0.1,
        "n_tests": 100, "fdr_group": f"{changes.get('event_id', 'BAND_BREAK')}|forward_return|"
        f"{changes.get('horizon_bars', 12)}", "q_group": 0.2, "q_level1": 0.3, "selected_level1": False,
        "level_within": 0.001, "selected": "gate_discovery" in passes, "q_global": 0.4, "mde_bps": 5.0,
        "plausible_bps": 27.7, "blocks_agreeing": 4, "heterogeneity_p": 0.5, "leave_one_out_t": 1.2,
        "recent_t": 0.8, "leave_one_symbol_out_t": 1.1,
        "largest_block_share": 0.4, "q_level2": 0.2,
    }  # fmt: skip
    row |= {name: name in passes for name in GATES}
    failed = [name for name in REFUSING if name not in passes]
    row |= {
        "gates_failed": failed,
        "track": "none" if failed else "standard",
        "finding": "not_tested" if not tested else "discovery" if row["selected"] else "no_effect",
    }
    return row | {name: value for name, value in changes.items() if name in row}


def candidate(of: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The candidate of a hypothesis, with 201 clusters."""
    row = {name: of[name] for name in DiscoveryCandidates.column_names() if name in of}
    row |= {
        "kind": "hypothesis", "train_start": START, "train_end": END, "entry_lag_bars": 1, "cluster": "day",
        "n_clusters": 201, "wild": False, "block_signs": "+++-+",
    }  # fmt: skip
    return row | changes


def bridged(of: dict[str, Any], **changes: Any) -> dict[str, Any]:
    row = {name: of[name] for name in DiscoveryBridge.column_names() if name in of}
    row |= {
        "window": "validation", "window_start": END, "window_end": LAST, "n_trades": 90, "n_days": 60,
        "gross_bps": 24.0, "standard_error_bps": 4.0, "t": 3.5, "p_one_sided": 0.0004, "p_adjusted": 0.0012,
        "cost_bps": 9.0, "funding_bps": 1.0, "net_bps": 14.0, "stressed_bps": 9.5, "edge_over_cost": 2.6,
        "in_sample_bps": 30.0, "out_over_in": 0.8, "verdict": "pass", "reasons": [],
    }  # fmt: skip
    return row | changes


def trial(number: int, *, tested: bool = True, **changes: Any) -> dict[str, Any]:
    row = {name: value for name, value in cell().items() if name in DiscoveryTrials.column_names()}
    row |= {"trial_id": f"{number:032x}", "train_start": START, "train_end": END, "tested": tested, "n": 400}
    return row | {"t": 1.0, "p_raw": 0.3, "trade_sharpe": 0.05} | changes


def frame(schema: type[dy.Schema], rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=schema.create_empty().schema)


def frames(
    hypotheses: Sequence[dict[str, Any]] = (),
    bridge: Sequence[dict[str, Any]] = (),
    *,
    kinds: Sequence[str] = (),
    checks: Sequence[dict[str, Any]] = (),
    trials: Sequence[dict[str, Any]] = (),
    blueprints: Sequence[dict[str, Any]] = (),
) -> dict[str, pl.DataFrame]:
    """Arguments of ``build_report``; candidates follow from the hypotheses."""
    kinds = kinds or ["hypothesis"] * len(hypotheses)
    candidates = [candidate(row, kind=kind) for row, kind in zip(hypotheses, kinds, strict=True)]
    return {
        "checks": pl.DataFrame(list(checks), infer_schema_length=None),
        "candidates": frame(DiscoveryCandidates, candidates),
        "hypotheses": frame(DiscoveryHypotheses, hypotheses),
        "bridge": frame(DiscoveryBridge, bridge),
        "blueprints": frame(DiscoveryBlueprints, blueprints),
        "trials": frame(DiscoveryTrials, trials),
    }


def check(event_id: str, status: str = "passed", **changes: Any) -> dict[str, Any]:
    """A row of ``events.registry.checks_frame``."""
    row = {
        "event_id": event_id, "family": "FORCED_FLOW", "status": status, "bars": 100_000, "events": 250,
        "per_10k": 25.0, "per_10k_low": 22.1, "per_10k_high": 28.3, "bound_min": 3.3, "bound_max": 212.0,
        "clustering": 0.05, "join_rate": 1.0, "symbols": 4, "thin_symbols": "", "reasons": "",
    }  # fmt: skip
    if status not in ("passed", "failed"):
        nothing = float("nan")
        row |= {"bars": 0, "events": 0, "per_10k": nothing, "per_10k_low": 0.0, "per_10k_high": 10_000.0}
        row |= {"clustering": nothing, "join_rate": nothing, "symbols": 0}
    return row | changes
