"""Books in numbers: annual figures of a series, cut by year, cap bucket, industry and regime."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.labs.suite.book import Book
from quant_platform.labs.suite.panel import Panel
from quant_platform.specification.suite import SuiteSpec
from quant_platform.statistics.sharpe_interval import drawdowns, sharpe_estimate

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

REGIMES = ("unknown", "low_volatility", "high_volatility")
SUMMARY_SCHEMA: dict[str, type[pl.DataType]] = {
    "variant": pl.String,
    "slice_kind": pl.String,
    "slice": pl.String,
    "sessions": pl.Int64,
    "ann_return_gross": pl.Float64,
    "ann_return_net": pl.Float64,
    "ann_volatility": pl.Float64,
    "sharpe_gross": pl.Float64,
    "sharpe_net": pl.Float64,
    "sharpe_net_low": pl.Float64,
    "sharpe_net_high": pl.Float64,
    "max_drawdown_net": pl.Float64,
    "positive_days": pl.Float64,
    "turnover": pl.Float64,
    "ann_cost": pl.Float64,
    "share_of_gross": pl.Float64,
}


def summarise_book(
    variant: str, book: Book, panel: Panel, spec: SuiteSpec, slices: Sequence[str], regimes: npt.NDArray[np.int8]
) -> pl.DataFrame:
    """One row per slice of a book.

    Returns
    -------
    polars.DataFrame
        ``ann_return`` is the mean per row times the rows per year (capital is constant, so nothing compounds),
        ``ann_volatility`` its standard deviation (divisor n - 1) times the root, the Sharpe ratio their ratio with no
        risk-free rate, ``max_drawdown_net`` of the compounded net returns with the start as first peak, ``turnover``
        the mean traded notional per row over capital (both legs, buys and sells), ``ann_cost`` the mean cost times the
        rows per year, ``share_of_gross`` the slice's part of all gross profit.

    Notes
    -----
    Slices by cap bucket and industry are *contributions*: the profits of the names that were in the bucket on the row,
    in fractions of the whole capital, so that buckets add up to the book. Turnover is known for the whole book only.
    """
    rows = np.arange(panel.shape[0]) >= book.first
    total = float(book.gross[rows].sum())
    everything = (variant, panel.periods_per_year, spec.confidence, total)
    lines: list[tuple[Any, ...]] = []
    for kind in slices:
        if kind == "overall":
            lines.append(_line(*everything, kind, "all", book.gross, book.net, book.traded, rows))
        elif kind == "year":
            years = panel.sessions.astype("datetime64[Y]").astype(np.int64) + 1970
            lines.extend(
                _line(*everything, kind, str(year), book.gross, book.net, book.traded, rows & (years == year))
                for year in np.unique(years[rows]).tolist()
            )
        elif kind == "regime":
            for code, name in enumerate(REGIMES):
                inside = rows & (regimes == code)
                if inside.any():
                    lines.append(_line(*everything, kind, name, book.gross, book.net, book.traded, inside))
        else:
            by = book.by_cap if kind == "cap" else book.by_industry
            names = panel.cap_buckets if kind == "cap" else ("unknown", *panel.industries)
            lines.extend(_bucket_lines(everything, kind, by, book.net_of(by), names, rows))
    return pl.DataFrame(lines, schema=SUMMARY_SCHEMA, orient="row")


def market_regimes(panel: Panel, spec: SuiteSpec) -> npt.NDArray[np.int8]:
    """Code of ``REGIMES`` per row: market volatility against its own past, known before the row.

    Notes
    -----
    **Timing.** Volatility ends on the row before, and is compared with the median of its values up to then.
    **Missing values.** A row is ``unknown`` until both windows are full, and where the market has no return in one.
    """
    market = pl.Series(panel.market_return()).fill_nan(None)
    volatility = market.rolling_std(spec.regime_volatility_sessions).shift(1)
    reference = volatility.rolling_median(spec.regime_reference_sessions)
    high = (volatility > reference).cast(pl.Int8) + 1
    unknown = REGIMES.index("unknown")
    return high.fill_null(unknown).to_numpy().astype(np.int8)


def _bucket_lines(
    everything: tuple[str, int, float, float],
    kind: str,
    by: Floats,
    net: Floats,
    names: Iterable[str],
    rows: Bools,
) -> Iterator[tuple[Any, ...]]:
    for code, name in enumerate(names):
        if np.any(by[:, code] != 0.0):
            yield _line(*everything, kind, name, by[:, code, 0], net[:, code], None, rows)


def _line(
    variant: str,
    per_year: int,
    confidence: float,
    total: float,
    kind: str,
    name: str,
    gross: Floats,
    net: Floats,
    traded: Floats | None,
    rows: Bools,
) -> tuple[Any, ...]:
    earned, kept = gross[rows], net[rows]
    estimate = sharpe_estimate(kept, level=confidence)
    ratio, low, high = estimate.annual(per_year)
    n = int(earned.size)
    sd = float(earned.std(ddof=1)) if n > 1 else 0.0
    before = float(earned.mean()) / sd * math.sqrt(per_year) if sd > 0.0 else math.nan
    return (
        variant,
        kind,
        name,
        n,
        float(earned.mean()) * per_year if n else math.nan,
        float(kept.mean()) * per_year if n else math.nan,
        float(kept.std(ddof=1)) * math.sqrt(per_year) if n > 1 else math.nan,
        before,
        ratio,
        low,
        high,
        float(drawdowns(kept).min()) if n else math.nan,
        float((kept > 0.0).mean()) if n else math.nan,
        float(traded[rows].mean()) if traded is not None and n else None,
        float((earned - kept).mean()) * per_year if n else math.nan,
        float(earned.sum()) / total if total else math.nan,
    )
