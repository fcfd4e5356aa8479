"""The tables of a discovery report: each a few lines of counting over rows that others have judged."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import polars as pl
from scipy.special import stdtrit

from quant_platform.labs.events.discovery.cells import ALL
from quant_platform.labs.events.discovery.hypotheses import GATES
from quant_platform.specification.discovery import DiscoverySpecs

CELL = ("event_id", "template", "horizon_bars", "symbol", "dimension", "state")
MAIN_TEST = "forward_return"
"""The test whose effects the fan shows: the return in the direction of the event's impulse."""
STABLE = (
    *("gate_stability", "gate_heterogeneity", "gate_leave_one_out", "gate_recent", "gate_symbols"),
    "gate_concentration",
)
STAGES = (
    ("tested", ("gate_sample",)),
    ("economic", ("gate_economic",)),
    ("conservative", ("gate_economic_conservative",)),
    ("pays", ("gate_pays",)),
    ("stable", STABLE),
    ("own_information", ("gate_state_information",)),
    ("discovery", ("gate_discovery",)),
)
"""Stages of the funnel with the gates that each asks for, in the order of :data:`hypotheses.GATES`."""
INTERVAL = 0.95


def cells(rows: pl.DataFrame) -> int:
    """Number of alias groups."""
    return rows["alias_group"].n_unique()


def with_kind(hypotheses: pl.DataFrame, candidates: pl.DataFrame) -> pl.DataFrame:
    """Add whether a row is a hypothesis or a filter, which its candidate knows, and whether it could be traded."""
    kinds = candidates.select("alias_group", "template", "kind").unique(["alias_group", "template"])
    tradable = (pl.col("kind") == "hypothesis") & (pl.col("question").cast(pl.String) != "risk")
    return hypotheses.join(kinds, on=["alias_group", "template"], how="left").with_columns(
        tradable=tradable.fill_null(value=False)
    )


def of_track(bridge: pl.DataFrame, window: str, track: str) -> pl.DataFrame:
    """Rows of a bridge of one window and track."""
    return bridge.filter((pl.col("window") == window) & (pl.col("track").cast(pl.String) == track))


def prevalence(checks: pl.DataFrame, specs: DiscoverySpecs, columns: Collection[str]) -> list[dict[str, Any]]:
    """Rows of the registry checks, families together, with the inputs that an unavailable event misses."""
    if checks.is_empty():
        return []
    rows = checks.sort("family", "event_id").to_dicts()
    for row in rows:
        event = specs.events.get(row["event_id"])
        absent = row["status"] == "not_available" and event is not None
        row["missing_inputs"] = sorted(set(event.inputs) - set(columns)) if absent and event is not None else []
    return rows


def funnel(judged: pl.DataFrame, bridge: pl.DataFrame) -> list[dict[str, Any]]:
    """Cells that are left after each stage, and cells that pass the stage taken alone, of those one could trade."""
    rows = judged.filter("tradable")
    stages = [{"stage": "evaluated", "left": cells(rows), "alone": cells(rows)}]
    tested = rows.filter("gate_sample")
    left = rows
    for name, gates in STAGES:
        left = left.filter(pl.all_horizontal(gates))
        stages.append({"stage": name, "left": cells(left), "alone": cells(tested.filter(pl.all_horizontal(gates)))})
    outcome = of_track(bridge, "validation", "standard")
    passed = cells(outcome.filter(pl.col("verdict").cast(pl.String) == "pass"))
    return [*stages, {"stage": "validated", "left": passed, "alone": None}]


def findings(judged: pl.DataFrame) -> list[dict[str, Any]]:
    """Counted cells by question and by what may be said about them."""
    counted = judged.filter("counted").with_columns(pl.col("question", "finding").cast(pl.String))
    says = {name: (pl.col("finding") == name).sum() for name in ("discovery", "no_effect", "cannot_say", "not_tested")}
    return counted.group_by("question").agg(cells=pl.len(), **says).sort("question").to_dicts()


def heat(judged: pl.DataFrame) -> list[dict[str, Any]]:
    """Smallest group q by question, family and horizon, with the tests and groups behind it."""
    tested = judged.filter("counted", "tested").with_columns(pl.col("question").cast(pl.String))
    return (
        tested.group_by("question", "family", "horizon_bars")
        .agg(
            q=pl.col("q_level1").min(),
            tests=pl.len(),
            groups=pl.col("fdr_group").n_unique(),
            selected=pl.col("selected").sum(),
        )
        .sort("question", "family", "horizon_bars")
        .to_dicts()
    )


def effects(judged: pl.DataFrame, candidates: pl.DataFrame) -> list[dict[str, Any]]:
    """Raw and shrunk effect of every event and horizon over all symbols and states, along the event's impulse.

    Rows of the test :data:`MAIN_TEST` that count and were tested. The interval of the raw effect is Student's with the
    clusters less one as degrees of freedom; that of the shrunk one is normal, as the posterior is.
    """
    key = ["alias_group", "template"]
    clusters = candidates.select(*key, "n_clusters").unique(key)
    rows = (
        judged.filter(
            pl.col("counted")
            & pl.col("tested")
            & (pl.col("test") == MAIN_TEST)
            & (pl.col("symbol") == ALL)
            & (pl.col("dimension") == ALL)
        )
        .join(clusters, on=key, how="left")
        .sort("horizon_bars", "family", "event_id")
    )
    side = pl.col("side").cast(pl.Float64)
    freedom = rows["n_clusters"].cast(pl.Float64).fill_null(float("nan")).to_numpy() - 1.0
    tail = (1.0 + INTERVAL) / 2.0
    multiple = np.where(freedom >= 1.0, stdtrit(np.fmax(freedom, 1.0), tail), np.nan)
    half = pl.col("standard_error_bps") * pl.Series("multiple", multiple, dtype=pl.Float64)
    # The 97.5 % point of the normal, as Student's with very many degrees of freedom.
    half_shrunk = pl.col("posterior_sd_bps") * float(stdtrit(1e12, tail))
    return (
        rows.with_columns(effect_bps=side * pl.col("effect_bps"), shrunk_bps=side * pl.col("shrunk_bps"))
        .select(
            *("event_id", "family", "horizon_bars", "n", "n_days", "effect_bps", "shrunk_bps"),
            *("own_weight", "p_fdr", "q_level1", "selected", "cost_bps"),
            low=pl.col("effect_bps") - half,
            high=pl.col("effect_bps") + half,
            shrunk_low=pl.col("shrunk_bps") - half_shrunk,
            shrunk_high=pl.col("shrunk_bps") + half_shrunk,
        )
        .fill_nan(None)
        .to_dicts()
    )


def gate_table(judged: pl.DataFrame, specs: DiscoverySpecs, *, most: int) -> dict[str, Any]:
    """Bars, how many tested cells pass each gate, and the cells that came furthest with their numbers.

    The cells are the best reading each: standard first, then the weaker track, then fewest failed gates, then p,
    then net.
    """
    tradable = judged.filter("tradable", "tested").with_columns(pl.col("track", "question", "finding").cast(pl.String))
    best = (
        tradable.with_columns(
            rank=pl.col("track").replace_strict({"standard": 0, "fallback_only": 1}, default=2),
            n_failed=pl.col("gates_failed").list.len(),
            loss=-pl.col("shrunk_net_bps"),
        )
        .sort("rank", "n_failed", "p_fdr", "loss", *CELL, nulls_last=True)
        .unique("alias_group", keep="first", maintain_order=True)
    )
    names = [*GATES, "gate_power"]
    gates, cell = specs.gates, specs.discovery.cells
    return {
        "bars": {
            "gate_sample": cell.min_events,
            "gate_economic": gates.min_net_bps,
            "gate_economic_conservative": gates.min_stressed_bps,
            "gate_pays": gates.min_net_low_bps,
            "gate_stability": gates.min_blocks_agreeing,
            "gate_heterogeneity": gates.min_heterogeneity_p,
            "gate_leave_one_out": gates.min_leave_one_out_t,
            "gate_recent": gates.min_recent_t,
            "gate_symbols": gates.min_leave_one_symbol_out_t,
            "gate_concentration": gates.max_block_share,
            "gate_state_information": gates.min_own_weight,
            "gate_discovery": None,
            "gate_power": None,
        },
        "min_days": cell.min_days,
        "time_blocks": specs.discovery.errors.time_blocks,
        "passed": [{"gate": name, "passed": cells(tradable.filter(name)), "of": cells(tradable)} for name in names],
        "n_rows": best.height,
        "rows": best.head(most)
        .select(
            *CELL, "family", "question", "side", "n", "n_days", "effect_bps", "standard_error_bps", "cost_bps",
            *("shrunk_bps", "shrunk_net_bps", "shrunk_stressed_bps", "net_low_bps"),
            *("blocks_agreeing", "heterogeneity_p"),
            *("leave_one_out_t", "recent_t", "leave_one_symbol_out_t", "largest_block_share", "own_weight"),
            *("p_fdr", "q_level1", "q_level2", "level_within"),
            *("q_global", "n_tests", "mde_bps", "plausible_bps", "track", "finding", "gates_failed", *names),
        )
        .to_dicts(),
    }  # fmt: skip
