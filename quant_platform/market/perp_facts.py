"""Funding, open interest, liquidations and book of one symbol and month: judged, each row clean or in quarantine.

Rules, in the order they are tried; a row carries the first it broke.

1. ``not_finite``: a value is absent where the table has one, infinite or NaN.
2. ``negative``, ``non_positive``: below zero; zero where zero is no possible value (open interest, spread, depth).
3. ``implausible``: beyond what a venue allows or a market can hold (`PerpFactsSpec`).
4. ``contradiction``: of several values of one stamp that became known at the same time the first stands.
5. ``filled_zero``: a funding rate of zero between settlements: a file filled up to the hour (`_filled_zeros`).
6. ``off_scale``: open interest at a power of ten from the values before and after it (`_off_scale`).
7. ``unchanging``: a column that stays the same to the last digit for longer than a live one can (`_unchanging`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.contracts.empty_frames import empty_frame
from quant_platform.contracts.errors import PlatformError
from quant_platform.contracts.schemas.perp import (
    PERP_FACT_TABLES,
    CleanPerpFactQuarantine,
)
from quant_platform.market.row_verdict import RowVerdict
from quant_platform.specification.perp_market import PerpFactsSpec

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FACT_RULES = (
    "not_finite",
    "negative",
    "non_positive",
    "implausible",
    "contradiction",
    "filled_zero",
    "off_scale",
    "unchanging",
)
_REPAIRED = frozenset({"filled_zero", "off_scale", "unchanging"})
_STAMPS = {"funding": "settle_time", "open_interest": "stamp", "liquidations": "bar", "book": "bar"}
_VALUES: Mapping[str, tuple[str, ...]] = {
    "funding": ("funding_rate",),
    "open_interest": ("open_interest",),
    "liquidations": ("liq_long_usd", "liq_short_usd"),
    "book": ("spread_bps", "bid_depth_usd", "ask_depth_usd"),
}


@dataclass(frozen=True)
class FactsResult:
    """The rows that passed (columns of the raw table), ``clean.perp_fact_quarantine``, and rows per rule."""

    rows: pl.DataFrame
    quarantine: pl.DataFrame
    counts: Mapping[str, int]


def clean_perp_facts(table: str, raw: pl.DataFrame, spec: PerpFactsSpec) -> FactsResult:
    """Judge the rows of one of the tables that are joined to bars.

    Parameters
    ----------
    table
        ``funding``, ``open_interest``, ``liquidations`` or ``book``.
    raw
        ``raw.<table>`` of one symbol and month, any order.
    spec
        ``facts`` of ``specs/cleaning/perp.yaml``.

    Notes
    -----
    **Timing.** Rules that look at later rows say so in ``check_kind``. **Missing values.** A column the source lacks is
    null throughout and is not judged.

    What it does not catch: a plausible wrong value; a series that is wrong from its first row to its last.
    """
    stamp, names = _STAMPS[table], _VALUES[table]
    rows = raw.sort(stamp, "known_at")
    verdict = RowVerdict.of(rows.height)
    values = {name: _numbers(rows[name]) for name in names if rows[name].null_count() < rows.height}
    for name, value in values.items():
        verdict.note("not_finite", ~np.isfinite(value), name, value)
        if table != "funding":
            verdict.note("negative", value < 0, name, value)
        if table in ("open_interest", "book"):
            verdict.note("non_positive", value == 0, name, value)
        limit = spec.limits.get(name)
        if limit is not None:
            verdict.note("implausible", np.abs(value) > limit, name, value, np.full(rows.height, limit))
    if rows.height and values:
        first = next(iter(values))
        again = verdict.good & _again(rows, stamp, verdict.good)
        verdict.note("contradiction", again, first, values[first])
        if table == "funding":
            stamps = rows[stamp].dt.epoch("ms").to_numpy() / 3.6e6
            _filled_zeros(verdict, stamps, values[first], spec)
        if table == "open_interest":
            _off_scale(verdict, values[first], spec)
        if table in spec.unchanging_rows:
            for name, value in values.items():
                _unchanging(verdict, name, value, spec.unchanging_rows[table])
    return _result(table, raw, rows, stamp, verdict)


def _numbers(series: pl.Series) -> Floats:
    return np.asarray(series.cast(pl.Float64).fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _again(rows: pl.DataFrame, stamp: str, good: Flags) -> Flags:
    """Good rows that repeat the stamp and the time of knowledge of a good row before them."""
    keyed = rows.select(pl.col(stamp).dt.truncate("1s"), "known_at").with_columns(pl.Series("good", good))
    again: Flags = (
        keyed.select(pl.col("good") & (pl.col("good").cast(pl.Int64).cum_sum().over(stamp, "known_at") > 1))
        .to_series()
        .to_numpy()
    )
    return again


def _filled_zeros(verdict: RowVerdict, hours: Floats, rate: Floats, spec: PerpFactsSpec) -> None:
    """Zeros off the grid on which every other rate is settled, where they are more than the rates themselves."""
    good = verdict.good
    settled = np.flatnonzero(good & (rate != 0))
    zeros = np.flatnonzero(good & (rate == 0))
    if len(settled) < spec.filled_zero_settlements or len(zeros) <= len(settled):
        return
    gaps = np.rint(np.diff(hours[settled]))
    gaps = gaps[gaps > 0]
    if len(gaps) == 0:
        return
    step = float(np.gcd.reduce(gaps.astype(np.int64)))
    offset = (np.rint(hours[zeros] - hours[settled[0]])) % step
    filled = np.zeros(len(rate), bool)
    filled[zeros[offset != 0]] = True
    verdict.note("filled_zero", filled, "funding_rate", rate)


def _off_scale(verdict: RowVerdict, value: Floats, spec: PerpFactsSpec) -> None:
    at = np.flatnonzero(verdict.good)
    if len(at) < 5:
        return
    series = pl.Series(np.log10(value[at]))
    around = series.rolling_median(11, center=True, min_samples=3).to_numpy()
    power = np.rint(series.to_numpy() - around)
    off = (power != 0) & (np.abs(series.to_numpy() - around - power) <= spec.scale_tolerance)
    bad = np.zeros(len(value), bool)
    bad[at[off]] = True
    expected = np.full(len(value), np.nan)
    expected[at[off]] = value[at[off]] / 10.0 ** power[off]
    verdict.note("off_scale", bad, "open_interest", value, expected)


def _unchanging(verdict: RowVerdict, name: str, value: Floats, longest: int) -> None:
    """Every row but the first of a run of equal values longer than a live series can have."""
    at = np.flatnonzero(verdict.good)
    if len(at) == 0:
        return
    kept = value[at]
    starts = np.append(True, kept[1:] != kept[:-1])
    run = np.cumsum(starts) - 1
    bad = np.zeros(len(value), bool)
    bad[at[(np.bincount(run)[run] > longest) & ~starts]] = True
    verdict.note("unchanging", bad, name, value)


def _result(table: str, raw: pl.DataFrame, rows: pl.DataFrame, stamp: str, verdict: RowVerdict) -> FactsResult:
    kept = rows.filter(pl.Series(verdict.good)) if rows.height else rows
    bad = np.flatnonzero(~verdict.good)
    out = rows[bad]
    quarantine = pl.DataFrame(
        {
            "symbol": out["symbol"],
            "month": out["month"],
            "fact": [table] * len(bad),
            "stamp": out[stamp],
            "known_at": out["known_at"],
            "rule": verdict.rule[bad].tolist(),
            "column": verdict.column[bad].tolist(),
            "observed": verdict.observed[bad],
            "expected": verdict.expected[bad],
            "check_kind": ["repair_time" if name in _REPAIRED else "causal" for name in verdict.rule[bad]],
        },
        schema=empty_frame(CleanPerpFactQuarantine).schema,
    ).with_columns(pl.col("expected").fill_nan(None))
    if kept.height + quarantine.height != raw.height:
        raise PlatformError(
            "raw rows were lost or doubled while cleaning",
            where=f"raw.{table}",
            how_many=f"{raw.height} delivered, {kept.height} clean, {quarantine.height} in quarantine",
            action="report this as a defect, with the raw rows",
        )
    counts = {name: int((verdict.rule == name).sum()) for name in FACT_RULES}
    return FactsResult(kept, quarantine, {**counts, "delivered": raw.height, "clean": kept.height})


def clean_all_facts(
    read: Callable[[str], pl.DataFrame], spec: PerpFactsSpec
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """Clean the four tables of one symbol and month: clean rows by fact, and one quarantine.

    Parameters
    ----------
    read
        Gives ``raw.<fact>`` for the name of a fact.
    spec
        The rules.
    """
    results = {fact: clean_perp_facts(fact, read(fact), spec) for fact in PERP_FACT_TABLES}
    return {fact: found.rows for fact, found in results.items()}, pl.concat(
        found.quarantine for found in results.values()
    )
