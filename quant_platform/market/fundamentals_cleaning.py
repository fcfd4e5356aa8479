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
from functools import lru_cache
from itertools import groupby, pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.contracts.empty_frames import column_types, empty_frame
from quant_platform.contracts.errors import PlatformError
from quant_platform.contracts.schemas.clean import CleanFundamentals, CleanFundamentalsQuarantine
from quant_platform.market.medians import median, medians_before
from quant_platform.specification.cleaning import FundamentalsCleaningSpec

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Days = NDArray[np.datetime64]
Places = NDArray[np.intp]

FUNDAMENTAL_RULES = ("not_finite", "zero_for_unknown", "negative", "off_scale")
_REPAIRED = frozenset({"off_scale"})
_OFF_SCALE = FUNDAMENTAL_RULES.index("off_scale")
# What was traded a day says nothing once no session has come for so long.
_STILL_KNOWN = np.timedelta64(30, "D")


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
        ``session`` and ``dollar_volume`` of ``clean.equity_bars`` of the ticker: its traded value anchors a
        capitalisation. Without bars around a date the history of the metric decides.

    Notes
    -----
    **Timing.** ``off_scale`` looks at later values too and says so in ``check_kind``; the others are causal.

    **Missing values.** A null is kept: it says that nothing was published.

    What it does not catch: a value that is wrong by less than a hundredfold; a metric whose every value is off by as
    much and that nothing traded can be held against.
    """
    rows = _in_order(raw)
    value = rows["value"].to_numpy().astype(np.float64)
    metrics = _metrics(rows["metric"].to_list())
    rule = np.full(rows.height, -1, np.int8)
    expected = np.full(rows.height, np.nan)

    def note(name: str, bad: Flags) -> None:
        rule[bad & (rule < 0)] = FUNDAMENTAL_RULES.index(name)

    note("not_finite", ~np.isfinite(value) & _published(rows["value"]))
    note("zero_for_unknown", (value == 0) & _of_metrics(metrics, spec.zero_is_unknown, rows.height))
    note("negative", (value < 0) & _of_metrics(metrics, spec.never_negative, rows.height))
    comparable = (rule < 0) & (value != 0) & np.isfinite(value)
    for name, history in metrics.items():
        at = history.start + np.flatnonzero(comparable[history])
        if len(at) == 0:
            continue
        at, off = _off_scale(name, at, value, rows, spec, bars)
        rule[at[off != 0]] = _OFF_SCALE
        expected[at[off != 0]] = (value[at] * 10.0**-off)[off != 0]
    good = np.flatnonzero(rule < 0)
    clean = _columns(rows if len(good) == rows.height else rows[good], CleanFundamentals.column_names())
    quarantine = _quarantine(rows, rule, expected)
    if clean.height + quarantine.height != raw.height:
        raise PlatformError(
            "raw rows were lost or doubled while cleaning",
            where="raw.fundamentals",
            how_many=f"{raw.height} delivered, {clean.height} clean, {quarantine.height} in quarantine",
            action="report this as a defect, with the raw rows",
        )
    counts = {name: int((rule == k).sum()) for k, name in enumerate(FUNDAMENTAL_RULES)}
    return FundamentalsResult(clean, quarantine, {**counts, "delivered": rows.height, "clean": clean.height})


def _in_order(raw: pl.DataFrame) -> pl.DataFrame:
    """The rows by metric and, within one, by publication; a file has them so."""
    metric, known_at = raw["metric"], raw["known_at"]
    if metric.null_count() == 0 and known_at.null_count() == 0:
        keys = zip(metric.to_list(), known_at.to_numpy().astype(np.int64).tolist(), strict=True)
        if all(earlier < later for earlier, later in pairwise(keys)):
            return raw
    return raw.sort("metric", "known_at")


def _metrics(names: list[str]) -> dict[str, slice]:
    """Where the rows of each metric stand, which follow each other."""
    found, end = {}, 0
    for name, rows in groupby(names):
        start, end = end, end + len(list(rows))
        found[name] = slice(start, end)
    return found


def _published(value: pl.Series) -> Flags | bool:
    """Which values are no null."""
    return value.is_not_null().to_numpy() if value.null_count() else True


@lru_cache(maxsize=1024)
def _is_one_of(metric: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(metric, pattern) for pattern in patterns)


def _of_metrics(metrics: Mapping[str, slice], patterns: tuple[str, ...], rows: int) -> Flags:
    """Which rows are of a metric that a pattern names."""
    found = np.zeros(rows, dtype=np.bool_)
    for name, history in metrics.items():
        found[history] = _is_one_of(name, patterns)
    return found


def _off_scale(
    metric: str,
    at: Places,
    value: Floats,
    rows: pl.DataFrame,
    spec: FundamentalsCleaningSpec,
    bars: pl.DataFrame | None,
) -> tuple[Places, Floats]:
    """The rows of a metric that something could be held against, and by how many decades each is off."""
    if _is_one_of(metric, spec.capitalisations):
        traded = _traded(rows["known_at"][at], bars)
        anchored = np.isfinite(traded)
        if anchored.sum() >= len(at) / 2:
            return at[anchored], _off_by_turnover(value[at[anchored]], traded[anchored], spec)
    return at, _off_by_history(np.abs(value[at]), spec)


def _columns(rows: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    return rows if rows.columns == names else rows.select(names)


def _quarantine(rows: pl.DataFrame, rule: NDArray[np.int8], expected: Floats) -> pl.DataFrame:
    bad = np.flatnonzero(rule >= 0)
    if len(bad) == 0:
        return empty_frame(CleanFundamentalsQuarantine)
    kept = rows[bad]
    names = [FUNDAMENTAL_RULES[k] for k in rule[bad]]
    columns = {
        **kept.to_dict(),
        "rule": names,
        "expected": pl.Series(expected[bad], nan_to_null=True),
        "check_kind": ["repair_time" if name in _REPAIRED else "causal" for name in names],
    }
    schema = column_types(CleanFundamentalsQuarantine)
    return pl.DataFrame({name: columns[name] for name in schema}, schema=schema)


def _traded(known_at: pl.Series, bars: pl.DataFrame | None) -> Floats:
    """Median value traded a day over the 20 sessions up to each publication; NaN where unknown."""
    if bars is None or bars.is_empty():
        return np.full(len(known_at), np.nan)
    sessions, dollars = _by_session(bars)
    published = known_at.to_numpy().astype("datetime64[D]")
    # The rows up to the last session that is not after the day of publication.
    rows = np.searchsorted(sessions, published, side="right")
    traded = medians_before(dollars, rows, length=20, required=5)
    last = sessions[np.maximum(rows - 1, 0)]
    return np.where((rows > 0) & (published - last <= _STILL_KNOWN), traded, np.nan)


def _by_session(bars: pl.DataFrame) -> tuple[Days, Floats]:
    """Sessions in order, and the value traded on each, NaN where unknown."""
    sessions = bars["session"].to_numpy().astype("datetime64[D]")
    dollars = bars["dollar_volume"].to_numpy().astype(np.float64)
    if (sessions[1:] >= sessions[:-1]).all():
        return sessions, dollars
    order = np.argsort(sessions, kind="stable")
    return sessions[order], dollars[order]


def _off_by_turnover(value: Floats, traded: Floats, spec: FundamentalsCleaningSpec) -> Floats:
    """Decades by which each capitalisation is off, 0 where it is not.

    A company trades between a thousandth and a tenth of its value a day, give or take. The decade shift of each value
    that brings its turnover nearest to the usual one is taken over thousands: it is off by 3 or more, or not.
    """
    distance = np.log10(traded / value) - np.log10(spec.usual_turnover)
    return np.where(np.abs(distance) > spec.scale_decades / 2 + 0.5, -3.0 * np.rint(distance / 3.0), 0.0)


def _off_by_history(size: Floats, spec: FundamentalsCleaningSpec) -> Floats:
    """Decades by which each size is off from the median of its history; 0 where it is not, or too many disagree."""
    decades = np.log10(size)
    distance = decades - median(decades)
    off = np.abs(distance) >= spec.scale_decades
    if off.sum() / len(off) > spec.largest_minority:
        return np.zeros(len(size))
    return np.where(off, np.rint(distance), 0.0)
