"""The weekly report as one plain dictionary: what `reporting` draws and what the JSON holds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.replay.calibration import SUMMARY
from quant_platform.specification.factors import StarSpec
from quant_platform.statistics.multiplicity import holm

_SCHEMA = table("replay.report").schema


@dataclass(frozen=True)
class UniverseSummary:
    """How much of the universe the data hold; a result on the names that survived flatters.

    Attributes
    ----------
    n_names
        Names with bars.
    n_ended
        Names whose bars end more than ``gone_after`` sessions before the report.
    survivorship_share
        Share of the names with bars that still trade; close to one over many years means that the dead are missing.
    n_members_ever
        Names that were members up to the report; null without membership data.
    n_members_without_bars, missing_share
        Of them, those without any bar.
    """

    n_names: int
    n_ended: int
    survivorship_share: float | None
    n_members_ever: int | None
    n_members_without_bars: int | None
    missing_share: float | None


@dataclass(frozen=True)
class ReportContext:
    """What the tables do not say themselves."""

    as_of_week: date
    date_sig: date
    simulated: bool
    spec_hash: str
    horizon_sessions: int
    star: StarSpec
    conventions: Mapping[str, str | float | int | bool | None]


def universe_summary(
    last_bars: pl.DataFrame, date_sig: date, gone_since: date, securities: pl.DataFrame | None = None
) -> UniverseSummary:
    """Count who is there, who ended, and who is missing.

    Parameters
    ----------
    last_bars
        One row per ticker with bars: ticker, last_session.
    date_sig
        Last session of the report.
    gone_since
        A ticker whose last bar is before this session has ended.
    securities
        Rows of ``raw.securities``; None where the source has no membership.
    """
    n = last_bars.height
    ended = int((last_bars["last_session"] < gone_since).sum())
    members = without = None
    if securities is not None:
        ever = securities.filter(pl.col("start_date") <= date_sig)["ticker"].unique()
        members = ever.len()
        without = int((~ever.is_in(last_bars["ticker"].implode())).sum())
    return UniverseSummary(
        n_names=n,
        n_ended=ended,
        survivorship_share=(n - ended) / n if n else None,
        n_members_ever=members,
        n_members_without_bars=without,
        missing_share=without / members if members and without is not None else None,
    )


def build_report(
    context: ReportContext,
    *,
    hit_rate: pl.DataFrame,
    calibration: pl.DataFrame,
    sweeps: pl.DataFrame,
    information_coefficients: pl.DataFrame,
    universe: UniverseSummary,
    setups: Mapping[str, Any] | None = None,
    expected_signs: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Put the tables of a week together.

    Parameters
    ----------
    context
        Week, dates, hash and conventions.
    hit_rate, calibration
        Rows of the as-of week.
    sweeps
        Rows of ``replay.activation_sweep`` of all sweeps.
    information_coefficients
        Rows of ``factors.information_coefficient`` of all factors.
    universe
        From :func:`universe_summary`.
    setups
        From :func:`~quant_platform.labs.equity.replay.week_setups.week_setups`; None where they are not known.
    expected_signs
        Factor to the sign that its spec states; None where they are not known.

    Returns
    -------
    dict
        Plain values only: dates as ISO text, a missing number as None. ``signal_edge`` is the table of factors at the
        main horizon: ``starred`` (significant) where the combined p, Holm-adjusted over the factors, and the number of
        independent windows are as ``context.star`` says. ``reliable`` and ``precise`` are said beside it; a row that is
        not reliable is never starred.
    """
    summaries = information_coefficients.filter(pl.col("kind") == "summary")
    rebalances = information_coefficients.filter(
        pl.col("kind") == "rebalance", pl.col("horizon_sessions") == context.horizon_sessions
    )
    n_gates = int(str(sweeps["n_trials"].max())) if sweeps.height else 0
    report = {
        "headline": headline(hit_rate),
        "as_of_week": context.as_of_week,
        "date_sig": context.date_sig,
        "simulated": context.simulated,
        "spec_hash": context.spec_hash,
        "trial_count": summaries.height + n_gates,
        "horizon_sessions": context.horizon_sessions,
        "universe": asdict(universe),
        "setups": setups,
        "signal_edge": [
            {**row, "expected_sign": (expected_signs or {}).get(row["factor"])}
            for row in _signal_edge(
                summaries.filter(pl.col("horizon_sessions") == context.horizon_sessions), context.star
            )
        ],
        "ic_series": rebalances.select("factor", "date_sig", "ic").sort("factor", "date_sig").to_dicts(),
        "decay": summaries.select(
            "factor", "horizon_sessions", "ic", "half_width", "n_independent", "reliable", "precise"
        )
        .sort("factor", "horizon_sessions")
        .to_dicts(),
        "calibration": {
            model: {
                "summary": next(iter(part.filter(pl.col("bin") == SUMMARY).to_dicts()), None),
                "bins": part.filter(pl.col("bin") != SUMMARY).sort("bin").to_dicts(),
            }
            for model in ("stated", "recalibrated")
            for part in (calibration.filter(pl.col("model") == model),)
        },
        "hit_rate": hit_rate.sort("group", "value").to_dicts(),
        "sweeps": [
            {"sweep": name, "parameter": part["parameter"][0], "rows": part.sort("threshold").to_dicts()}
            for (name,), part in sorted(sweeps.group_by("sweep"), key=lambda item: str(item[0][0]))
        ],
        "conventions": dict(context.conventions),
    }
    plain: dict[str, Any] = _plain(report)
    return plain


def report_row(report: Mapping[str, Any], html_path: str) -> pl.DataFrame:
    """The report as its one row of ``replay.report``."""
    row = {
        "as_of_week": date.fromisoformat(report["as_of_week"]),
        "date_sig": date.fromisoformat(report["date_sig"]),
        "json": json.dumps(report, allow_nan=False, sort_keys=True),
        "html_path": html_path,
        **{name: report[name] for name in ("simulated", "spec_hash", "trial_count", "headline")},
    }
    return pl.DataFrame([row], schema=_SCHEMA.create_empty().schema)


def headline(hit_rate: pl.DataFrame) -> str:
    """The result of the qualified setups in one sentence that says when there is none."""
    row = next(iter(hit_rate.filter(pl.col("value") == "qualified").to_dicts()), None)
    if row is None or row["n"] == 0:
        return "No qualified setup has a known outcome yet."
    text = (
        f"{row['n']:,} qualified setups in {row['n_weeks']:,} weeks made {row['expectancy_r']:+.3f} R each after cost"
    )
    low, high = row["expectancy_low"], row["expectancy_high"]
    if low is None or high is None:
        return f"{text}; too few weeks for an interval."
    verdict = "above zero" if low > 0.0 else "below zero" if high < 0.0 else "not distinguishable from zero"
    return f"{text} (95 % {low:+.3f} to {high:+.3f}), {verdict}; the target came first in {row['hit_rate']:.1%}."


def _signal_edge(rows: pl.DataFrame, star: StarSpec) -> list[dict[str, Any]]:
    ordered = rows.sort("factor")
    if ordered.height == 0:
        return []
    adjusted = holm(
        ordered["p_nonoverlapping"].fill_null(float("nan")).to_numpy(), level=star.max_adjusted_p
    ).adjusted_p
    return [
        {
            **row,
            "p_adjusted": float(p),
            "starred": bool(row["reliable"])
            and int(row["n_independent"] or 0) >= star.min_independent_windows
            and bool(p <= star.max_adjusted_p),
        }
        for row, p in zip(ordered.to_dicts(), adjusted, strict=True)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if isinstance(value, date) else value
