"""The backtests of a cutoff as one plain dictionary, as Markdown, and as the row of ``backtest.report``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from quant_platform.contracts.schemas.backtest import BacktestReport

PARTS = ("promotions", "walk_forward", "robustness", "acceptance", "allocation")
COLUMNS = ("status", "n_trades", "total_return", "max_drawdown", "sharpe", "psr", "dsr", "positive_folds", "promoted")


def build_report(
    frames: Mapping[str, pl.DataFrame], *, cutoff: str, simulated: bool, ontology_hash: str
) -> dict[str, Any]:
    """Put the tables of a cutoff together.

    Parameters
    ----------
    frames
        Rows of the ``backtest.*`` tables of the cutoff, by name.
    cutoff, simulated, ontology_hash
        Of the data and the specs.

    Returns
    -------
    dict
        JSON values: ``headline``, counts, the rows of promotions, folds, robustness, acceptance and allocation, and the
        drift alarms.
    """
    promotions = frames["backtest.promotions"]
    alarms = frames["backtest.drift"].filter("alarm")
    return {
        "cutoff": cutoff,
        "simulated": simulated,
        "ontology_hash": ontology_hash,
        "headline": headline(promotions),
        "strategies": int(promotions["was_run"].sum()),
        "promoted": _promoted(promotions).height,
        **{name: json.loads(frames[f"backtest.{name}"].write_json()) for name in PARTS},
        "drift_alarms": json.loads(alarms.write_json()),
    }


def headline(promotions: pl.DataFrame) -> str:
    """The result in one sentence; that nothing was promoted is a result."""
    status = pl.col("status").cast(pl.String)
    run = promotions.filter(pl.col("was_run"))
    made, refused = (run.filter(status == name).height for name in ("blueprint", "refused"))
    if not made and not refused:
        return "There was nothing to trade: no blueprint, and no cell that was tested."
    if not made:
        return f"No blueprint: the {refused} strongest refused cells were traded, marked as such, and none is promoted."
    traded = f"{made} blueprints and {refused} refused cells beside them"
    promoted = _promoted(promotions)
    if promoted.is_empty():
        return f"Nothing was promoted of {traded} that were traded."
    together = promotions.filter(status == "composite")
    returned = together["total_return"][0] if together.height else None
    words = f"{promoted.height} promoted of {traded} that were traded"
    return f"{words}; together they made {returned:+.1%} after costs." if returned is not None else f"{words}."


def markdown(report: Mapping[str, Any]) -> str:
    """The report for a reader of text."""
    title = f"Backtests of the event lab, data up to {report['cutoff']}"
    warning = ["", "SIMULATED: the market is made up."] if report["simulated"] else []
    lines = [f"# {title}", *warning, "", str(report["headline"]), "", f"| strategy | {' | '.join(COLUMNS)} | reasons |"]
    lines.append("|---" * (len(COLUMNS) + 2) + "|")
    for row in report["promotions"]:
        cells = [_written(row[name]) for name in COLUMNS]
        lines.append(f"| {row['strategy_id']} | {' | '.join(cells)} | {'; '.join(row['reasons'])} |")
    return "\n".join(lines) + "\n"


def report_row(report: Mapping[str, Any], html_path: str, manifest_path: str) -> pl.DataFrame:
    """The row of ``backtest.report``."""
    schema = {name: column.dtype for name, column in BacktestReport.columns().items()}
    row = {name: report[name] for name in schema if name in report} | {
        "json": json.dumps(report, sort_keys=True),
        "markdown": markdown(report),
        "html_path": html_path,
        "manifest_path": manifest_path,
    }
    return pl.DataFrame([row], schema=schema)


def _promoted(promotions: pl.DataFrame) -> pl.DataFrame:
    return promotions.filter(pl.col("promoted"), pl.col("status").cast(pl.String) != "composite")


def _written(value: Any) -> str:
    if value is None:
        return "n/a"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
