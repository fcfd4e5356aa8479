"""Published fundamentals of one ticker to clean values and a quarantine, every row in exactly one of them.

1. ``not_finite``: infinite or NaN. A null stays: the vendor published that it has none.
2. ``zero_for_unknown``: a zero where zero is no possible value of the metric.
3. ``negative``: below zero where the metric cannot be.
4. ``off_scale``: a value a hundred times or more from where it can be. A capitalisation is held against the value
   traded a day (`_off_by_turnover`), other metrics against the rest of their own history (`_off_by_history`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.contracts.empty_frames import empty_frame
from quant_platform.contracts.errors import PlatformError
from quant_platform.contracts.schemas.clean import CleanFundamentals, CleanFundamentalsQuarantine
from quant_platform.specification.cleaning import FundamentalsCleaningSpec

Floats = NDArray[np.float64]

FUNDAMENTAL_RULES = ("not_finite", "zero_for_unknown", "negative", "off_scale")
_REPAIRED = frozenset({"off_scale"})


@dataclass(frozen=True)
class FundamentalsResult:
    """``clean.fundamentals``, ``clean.fundamentals_quarantine``, and rows per rule with ``delivered`` and ``clean``."""

    values: pl.DataFrame
    quarantine: pl.DataFrame
    counts: Mapping[str, int]


def clean_fundamentals(
    raw: pl.DataFrame, spec: FundamentalsCleaningSpec, bars: pl.DataFrame | None = None
) -> FundamentalsResult:
    """Judge every published value of one ticker.

    Parameters
    ----------
    raw
        ``raw.fundamentals`` of one ticker, any order.
    spec
        The rules, ``specs/cleaning/fundamentals.yaml``.
    bars
        ``clean.equity_bars`` of the ticker: its traded value anchors a capitalisation. Without bars around a date the
        history of the metric decides.

    Notes
    -----
    **Timing.** ``off_scale`` looks at later values too and says so in ``check_kind``; the others are causal.

    **Missing values.** A null is kept: it says that nothing was published.

    What it does not catch: a value that is wrong by less than a hundredfold; a metric whose every value is off by as
    much and that nothing traded can be held against.
    """
    rows = raw.sort("metric", "known_at")
    n = rows.height
    value = rows["value"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    published = rows["value"].is_not_null().to_numpy()
    metric = rows["metric"].to_list()
    rule = np.full(n, "", dtype="U24")
    expected = np.full(n, np.nan)

    def note(name: str, bad: NDArray[np.bool_]) -> None:
        rule[bad & (rule == "")] = name

    note("not_finite", published & ~np.isfinite(value))
    note("zero_for_unknown", (value == 0) & _matches(metric, spec.zero_is_unknown))
    note("negative", (value < 0) & _matches(metric, spec.never_negative))
    traded = _traded(rows, bars)
    capital = _matches(metric, spec.capitalisations)
    for name in dict.fromkeys(metric):
        at = np.flatnonzero((np.array(metric) == name) & (rule == "") & (value != 0) & np.isfinite(value))
        anchored = at[np.isfinite(traded[at])]
        if len(at) == 0:
            continue
        if capital[at[0]] and len(anchored) >= len(at) / 2:
            off = _off_by_turnover(value[anchored], traded[anchored], spec)
            rule[anchored[off != 0]] = "off_scale"
            expected[anchored[off != 0]] = (value[anchored] * 10.0**-off)[off != 0]
        else:
            off = _off_by_history(np.abs(value[at]), spec)
            rule[at[off != 0]] = "off_scale"
            expected[at[off != 0]] = (value[at] * 10.0**-off)[off != 0]
    kept_out = rows.with_columns(
        pl.Series("rule", rule),
        pl.Series("expected", expected).fill_nan(None),
        pl.Series("check_kind", ["repair_time" if name in _REPAIRED else "causal" for name in rule]),
    ).filter(pl.col("rule") != "")
    quarantine = kept_out.select(CleanFundamentalsQuarantine.column_names()).cast(
        empty_frame(CleanFundamentalsQuarantine).schema
    )
    clean = rows.filter(pl.Series(rule == "")).select(CleanFundamentals.column_names())
    if clean.height + quarantine.height != raw.height:
        raise PlatformError(
            "raw rows were lost or doubled while cleaning",
            where="raw.fundamentals",
            how_many=f"{raw.height} delivered, {clean.height} clean, {quarantine.height} in quarantine",
            action="report this as a defect, with the raw rows",
        )
    counts = {name: int((rule == name).sum()) for name in FUNDAMENTAL_RULES}
    return FundamentalsResult(clean, quarantine, {**counts, "delivered": n, "clean": clean.height})


def _matches(names: list[str], patterns: tuple[str, ...]) -> NDArray[np.bool_]:
    found = {name: any(fnmatchcase(name, pattern) for pattern in patterns) for name in set(names)}
    return np.array([found[name] for name in names], dtype=np.bool_)


def _traded(rows: pl.DataFrame, bars: pl.DataFrame | None) -> Floats:
    """Median value traded a day over the 20 sessions up to each publication; NaN where unknown."""
    if bars is None or bars.is_empty() or rows.is_empty():
        return np.full(rows.height, np.nan)
    usual = bars.sort("session").select(
        "session", pl.col("dollar_volume").fill_nan(None).rolling_median(20, min_samples=5).alias("traded")
    )
    order = rows.with_row_index("position").select("position", pl.col("known_at").dt.date().alias("session"))
    joined = order.sort("session").join_asof(usual, on="session", strategy="backward", tolerance="30d")
    return joined.sort("position")["traded"].cast(pl.Float64).fill_null(np.nan).to_numpy()


def _off_by_turnover(value: Floats, traded: Floats, spec: FundamentalsCleaningSpec) -> Floats:
    """Decades by which each capitalisation is off, 0 where it is not.

    A company trades between a thousandth and a tenth of its value a day, give or take. The decade shift of each value
    that brings its turnover nearest to the usual one is taken over thousands: it is off by 3 or more, or not.
    """
    distance = np.log10(traded / value) - np.log10(spec.usual_turnover)
    return np.where(np.abs(distance) > spec.scale_decades / 2 + 0.5, -3.0 * np.rint(distance / 3.0), 0.0)


def _off_by_history(size: Floats, spec: FundamentalsCleaningSpec) -> Floats:
    """Decades by which each size is off from the median of its history; 0 where it is not, or too many disagree."""
    distance = np.log10(size) - np.median(np.log10(size))
    off = np.abs(distance) >= spec.scale_decades
    if off.mean() > spec.largest_minority:
        return np.zeros(len(size))
    return np.where(off, np.rint(distance), 0.0)
