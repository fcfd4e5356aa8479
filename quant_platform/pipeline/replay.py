"""The stages of the weekly evidence: what the gate's verdicts were worth as of a week, and the report of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from quant_platform.labs.equity.features.equity import factor_names
from quant_platform.labs.equity.replay.calibration import calibration
from quant_platform.labs.equity.replay.hit_rate import hit_rate
from quant_platform.market.stated_facts import applied_actions
from quant_platform.pipeline.data_checks import EQUITY_RAW
from quant_platform.pipeline.equity_page import last_session_of, write_report
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import FrameStage, Made, Reads
from quant_platform.pipeline.studies import EVERYTHING, JUDGED, StudyTables, study_factors, sweep_gate
from quant_platform.specification.features import load_equity_features
from quant_platform.specification.replay import ReplaySpec, load_sweeps


def hit_rates(home: Home, keys: Sequence[str], *, judged: pl.LazyFrame) -> pl.DataFrame:
    """How often and how much the gate's setups won, as known at each of some weeks."""
    spec = home.load("replay/equity.yaml", ReplaySpec)
    weeks = [date.fromisoformat(key) for key in keys]
    return pl.concat(hit_rate(as_of, _until(judged, as_of), spec) for as_of in weeks)


def calibrations(home: Home, keys: Sequence[str], *, judged: pl.LazyFrame) -> pl.DataFrame:
    """How well the stated probabilities of reaching the target held, as known at each of some weeks."""
    spec = home.load("replay/equity.yaml", ReplaySpec)
    weeks = [date.fromisoformat(key) for key in keys]
    return pl.concat(calibration(as_of, _until(judged, as_of), spec) for as_of in weeks)


def report(
    home: Home,
    keys: Sequence[str],
    *,
    hits: pl.LazyFrame,
    calibrated: pl.LazyFrame,
    judged: pl.LazyFrame,
    candidates: pl.LazyFrame,
    swept: pl.LazyFrame,
    factors: pl.LazyFrame,
    securities: pl.LazyFrame,
    bars: pl.LazyFrame,
    features: pl.LazyFrame,
    actions: pl.LazyFrame,
) -> Made:
    """The report of each of some weeks; that of a past week judges again what was there at its last session."""
    tables = StudyTables(features, bars, applied_actions(actions), securities)
    members, verdicts = securities.collect(), judged.collect()
    rows, pages = [], {}
    for as_of in map(date.fromisoformat, keys):
        seen = last_session_of(home, as_of)
        came_later = bool(bars.select((pl.col("session") > seen).any()).collect().item())
        priced = bars.filter(pl.col("missing_reason").is_null(), pl.col("session") <= seen)
        if came_later:
            names = factor_names(load_equity_features(home.specs))
            studied = study_factors(home, names, tables.until(seen))
            moved = sweep_gate(home, sorted(load_sweeps(home.specs / "sweeps")), verdicts, as_of)
        else:
            studied, moved = factors.collect(), swept.collect()
        row, page = write_report(
            home,
            as_of,
            EVERYTHING,
            hit_rate=hits.filter(pl.col("as_of_week") == as_of).collect(),
            calibration=calibrated.filter(pl.col("as_of_week") == as_of).collect(),
            sweeps=moved,
            factors=studied,
            securities=members,
            last_bars=priced.group_by("ticker").agg(_LAST).collect(),
            judged=verdicts.filter(pl.col("week") == as_of),
            candidates=candidates.filter(pl.col("date_sig").dt.truncate("1w") == as_of).collect(),
        )
        rows.append(row)
        pages[f"page of {as_of}" if len(keys) > 1 else "page"] = page
    return Made(pl.concat(rows), pages, {"headline": rows[-1]["headline"][0]})


# The last bar of each name, for membership and for levels as prices of its session.
_LAST = (
    pl.col("session").max().alias("last_session"),
    pl.col("close", "close_unadjusted").sort_by("session").last(),
)


def _until(judged: pl.LazyFrame, as_of: date) -> pl.DataFrame:
    return judged.filter(pl.col("week") <= as_of).collect()


HIT_RATE = FrameStage(
    outputs=("replay.hit_rate",),
    compute=hit_rates,
    specs=JUDGED,
    kinds=("numpy", "parquet"),
    inputs={"judged": Reads("replay.qualified", "all")},
    together=True,
)
CALIBRATION = FrameStage(
    outputs=("replay.calibration",),
    compute=calibrations,
    specs=JUDGED,
    kinds=("numpy", "parquet"),
    inputs={"judged": Reads("replay.qualified", "all")},
    together=True,
)
REPORT = FrameStage(
    outputs=("replay.report",),
    compute=report,
    specs=EVERYTHING,
    kinds=("html", "parquet"),
    inputs={
        "hits": Reads("replay.hit_rate"),
        "calibrated": Reads("replay.calibration"),
        "judged": Reads("replay.qualified", "all"),
        "candidates": Reads("replay.candidates", "all"),
        "swept": Reads("replay.activation_sweep", "all"),
        "factors": Reads("factors.information_coefficient", "all"),
        "securities": Reads("raw.securities"),
        "bars": Reads("clean.equity_bars", "all"),
        "features": Reads("features.equity", "all"),
        "actions": Reads("clean.corporate_actions", "all"),
    },
    deps=("audit.findings", *EQUITY_RAW),
    together=True,
)
STAGES = (HIT_RATE, CALIBRATION, REPORT)
