"""From the tables of a week to its JSON and its page under ``<home>/reports``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from quant_platform.labs.equity.replay.report import ReportContext, build_report, report_row, universe_summary
from quant_platform.labs.equity.replay.week_setups import week_setups
from quant_platform.lake.atomic import atomic_text
from quant_platform.market.calendar import previous_session, session_array
from quant_platform.pipeline.data_checks import equity_checks
from quant_platform.pipeline.home import Home
from quant_platform.specification.factors import FactorSpec
from quant_platform.specification.features import load_equity_features
from quant_platform.specification.replay import ReplaySpec


def last_session_of(home: Home, week: date) -> date:
    """The last session of a week, which is named by its Monday."""
    return previous_session(home.universe.exchange, week + timedelta(days=7))


def write_report(
    home: Home,
    as_of: date,
    specs: Sequence[str],
    *,
    hit_rate: pl.DataFrame,
    calibration: pl.DataFrame,
    sweeps: pl.DataFrame,
    factors: pl.DataFrame,
    securities: pl.DataFrame,
    last_bars: pl.DataFrame,
    judged: pl.DataFrame,
    candidates: pl.DataFrame,
) -> tuple[pl.DataFrame, Path]:
    """Build the report of a week and write its two files.

    Parameters
    ----------
    home
        The market; the files go to ``<home>/reports/equity/<week>.{json,html}``.
    as_of
        Monday of the week.
    specs
        The spec files whose hash the report carries.
    hit_rate, calibration
        Rows of the week.
    sweeps, factors
        Rows of all sweeps and factors, as known at the last session of the week.
    securities
        ``raw.securities``.
    last_bars
        Ticker, last_session, close and close_unadjusted of it, of every name with prices by then.
    judged, candidates
        Rows of ``replay.qualified`` of the week, and of ``replay.candidates`` with its signal dates.

    Returns
    -------
    (row, path)
        The row of ``replay.report`` and the page.
    """
    replay = home.load("replay/equity.yaml", ReplaySpec)
    study = home.load("factors/equity.yaml", FactorSpec)
    exchange = home.universe.exchange
    date_sig = last_session_of(home, as_of)
    gone_since = session_array(exchange, home.spec.first_session, date_sig)[-replay.delisted_after_sessions - 1].item()
    own = securities.filter(pl.col("universe") == home.universe.name)
    report = build_report(
        ReportContext(
            as_of_week=as_of,
            date_sig=date_sig,
            simulated=home.simulated,
            spec_hash=home.ontology(specs).hash,
            horizon_sessions=study.horizon_sessions,
            star=study.star,
            conventions={
                "source": home.spec.source,
                "universe": home.universe.name,
                "entry": replay.entry,
                "cost_bps_round_trip": replay.cost_bps,
                "horizon_sessions": replay.horizon_sessions,
                "factor_entry_lag_sessions": study.entry_lag_sessions,
                "last_signal_of_factors": str(factors["date_sig"].max()),
            },
        ),
        hit_rate=hit_rate,
        calibration=calibration,
        sweeps=sweeps,
        information_coefficients=factors,
        universe=universe_summary(last_bars, date_sig, gone_since, own),
        setups=week_setups(judged, candidates, last_bars.rename({"last_session": "session"})),
        expected_signs={
            name: feature.expected_sign
            for name, feature in load_equity_features(home.specs).features.items()
            if feature.factor and feature.expected_sign is not None
        },
    )
    folder = home.settings.home / "reports" / "equity"
    atomic_text(folder / f"{as_of}.json", json.dumps(report, indent=1, sort_keys=True))
    home.lake.store.publish([folder / f"{as_of}.json"])
    page = folder / f"{as_of}.html"
    # Drawing imports Altair; a process that only lists assets should not wait for it.
    from quant_platform.reports.equity.report import render_equity_report

    atomic_text(page, render_equity_report(report, equity_checks(home)))
    return report_row(report, page.relative_to(home.settings.home).as_posix()), page
