"""From the tables of a cutoff to its JSON and its page under ``<home>/reports/discovery``."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import polars as pl

from quant_platform.contracts.schemas.events import FeaturesContext5m
from quant_platform.labs.events.discovery.report import ReportContext, build_report, report_row
from quant_platform.lake.atomic import atomic_text
from quant_platform.pipeline.data_checks import perp_checks
from quant_platform.pipeline.discovery import discovery_specs, months_until
from quant_platform.pipeline.home import Home


def write_discovery_report(
    home: Home,
    cutoff: str,
    *,
    checks: pl.DataFrame,
    candidates: pl.DataFrame,
    hypotheses: pl.DataFrame,
    bridge: pl.DataFrame,
    blueprints: pl.DataFrame,
    trials: pl.DataFrame,
) -> tuple[pl.DataFrame, Path]:
    """Build the report of a cutoff and write its two files.

    Parameters
    ----------
    home
        The market; the files go to ``<home>/reports/discovery/<cutoff>.{json,html}``.
    cutoff
        Month up to whose end data were used.
    checks
        Registry checks, one row per event.
    candidates, hypotheses, bridge, blueprints, trials
        Rows of the cutoff.

    Returns
    -------
    (row, path)
        The row of ``discovery.report`` and the page.
    """
    specs = discovery_specs(home)
    keys = months_until(home, cutoff)
    market = home.lake.scan("clean.market_5m", keys, missing="ignore")
    columns = _delivered(market) | set(FeaturesContext5m.column_names())
    last = market.select(pl.col("bar").max()).collect().item()
    report = build_report(
        ReportContext(
            cutoff=cutoff,
            last_bar_date=last.date() if last is not None else date.fromisoformat(f"{cutoff}-01"),
            simulated=home.simulated,
            specs=specs,
            columns=columns,
            conventions={
                "source": home.perps.source,
                "symbols": ", ".join(home.perps.symbols),
                "months": f"{home.perps.months[0]} to {cutoff}",
            },
        ),
        checks=checks,
        candidates=candidates,
        hypotheses=hypotheses,
        bridge=bridge,
        blueprints=blueprints,
        trials=trials,
    )
    folder = home.settings.home / "reports" / "discovery"
    atomic_text(folder / f"{cutoff}.json", json.dumps(report, indent=1, sort_keys=True))
    home.lake.store.publish([folder / f"{cutoff}.json"])
    page = folder / f"{cutoff}.html"
    # Drawing imports Altair; a process that only lists assets should not wait for it.
    from quant_platform.reports.events.report import render_discovery_report

    atomic_text(page, render_discovery_report(report, perp_checks(home)))
    return report_row(report, page.relative_to(home.settings.home).as_posix()), page


def _delivered(market: pl.LazyFrame) -> set[str]:
    """Columns of the market that hold a value of any symbol; the others are not delivered by the source."""
    counts = market.select(pl.all().count()).collect().row(0, named=True)
    return {name for name, count in counts.items() if count > 0}
