"""Features of daily equity bars, as ``specs/features/equity*.yaml`` declares them.

Values are a function of sessions up to and including their own; they are known at its close and may be acted on at the
next open at the earliest.
"""

from __future__ import annotations

import polars as pl

from quant_platform.contracts.columns import distinct
from quant_platform.contracts.errors import SchemaViolation
from quant_platform.expressions import Formula, Kind, Location, Plan, compile_plan, evaluate_frame
from quant_platform.specification.features import FeatureSet

# Columns of clean.equity_bars that expressions may name. The adjustment factor is not among them: it holds every later
# split and dividend, which nobody knew on the day.
COLUMNS = ("open", "high", "low", "close", "volume", "close_unadjusted", "dollar_volume")


def feature_plan(specs: FeatureSet) -> Plan:
    """Check the expressions of the specs and make the plan that computes them together.

    Raises
    ------
    ExpressionError
        An expression is not valid; the message points into its file.
    """
    return compile_plan(
        {name: _formula(specs, name, feature.expression) for name, feature in specs.features.items()},
        dict.fromkeys(COLUMNS, Kind.NUMBER),
        {name: _formula(specs, name, text) for name, text in specs.definitions.items()},
    )


def factor_names(specs: FeatureSet) -> list[str]:
    """Features that are factors, in the order of the files."""
    return [name for name, feature in specs.features.items() if feature.factor]


def compute_equity_features(bars: pl.DataFrame, specs: FeatureSet, plan: Plan | None = None) -> pl.DataFrame:
    """Compute every feature of one ticker.

    Parameters
    ----------
    bars
        Rows of ``clean.equity_bars`` of one ticker, sorted by session, with one row for *every* exchange session
        between the first and the last: lags and windows count rows, so an absent row would shift them.
    specs
        What to compute.
    plan
        ``feature_plan(specs)``, to compile once for many tickers; compiled here when None.

    Returns
    -------
    polars.DataFrame
        ``ticker``, ``session`` and one Float64 column per feature, one row per row of ``bars``. A value whose inputs
        are missing is null, never zero and never carried forward.

    Raises
    ------
    SchemaViolation
        More than one ticker, sessions out of order or repeated, or a column that a feature needs is absent.
    """
    _require_one_sorted_ticker(bars)
    values, not_available = evaluate_frame(plan or feature_plan(specs), bars)
    if not_available:
        absent = sorted({column for columns in not_available.values() for column in columns})
        raise SchemaViolation(
            f"columns that features need are absent: {', '.join(absent)}",
            where="clean.equity_bars",
            how_many=f"{len(not_available)} of {len(specs.features)} features",
            rows=[{"feature": name, "needs": ", ".join(columns)} for name, columns in not_available.items()],
            action="give the bars as clean.equity_bars declares them",
        )
    return bars.select("ticker", "session").hstack(values)


def _formula(specs: FeatureSet, name: str, text: str) -> Formula:
    place = specs.places.get(name)
    return Formula(text, location=Location(place.file, place.line, place.column) if place else Location(name))


def _require_one_sorted_ticker(bars: pl.DataFrame) -> None:
    tickers = distinct(bars["ticker"])
    if len(tickers) > 1:
        raise SchemaViolation(
            "bars of several tickers were given at once",
            where="column ticker",
            how_many=f"{len(tickers)} tickers",
            cause="a window would run from one company into the next",
            action="call once per ticker, for example over bars.partition_by('ticker')",
        )
    days = bars["session"].to_numpy()
    if (days[1:] <= days[:-1]).any():
        disorder = bars.filter(pl.col("session") <= pl.col("session").shift(1))
        raise SchemaViolation(
            "sessions were not in strictly rising order",
            where="column session",
            how_many=f"{disorder.height} of {bars.height} rows",
            rows=disorder.select("ticker", "session"),
            action="sort by session and remove repeated sessions",
        )
