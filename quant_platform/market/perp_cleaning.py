"""Raw perpetual or spot bars of one symbol and month to the full grid of five-minute bars, and a quarantine.

1. Each row is judged: its interval and time (`_time_rules`), whether it is a later version of a bar (`_restated`), its
   values by the rules that daily bars pass too (`rules.judge`), its takers' volume. The first rule it breaks is its
   reason.
2. Good rows of five minutes are bars. Good minutes make a bar where enough of the five are there.
3. Every five minutes of the month, from the listing on, get a row; where there is no bar, prices are NaN and the reason
   says why. A bar without any trade is a halt: its price is one that nobody traded at.
4. Rows are counted: delivered = in bars + in incomplete bars + in quarantine, or the month is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.contracts.empty_frames import empty_frame
from quant_platform.contracts.errors import PlatformError, SchemaViolation
from quant_platform.contracts.schemas.perp import (
    PERP_MISSING_REASONS,
    CleanPerpBars5m,
    CleanPerpQuarantine,
)
from quant_platform.market.row_verdict import RowVerdict
from quant_platform.market.rules import PRICES, RULES, judge
from quant_platform.specification.perp_market import PerpCleaningSpec

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Market = Literal["perp", "spot"]

BAR = timedelta(minutes=5)
BAR_SECONDS = 300
FLOWS = ("volume", "quote_volume", "trades", "taker_buy_volume")
PERP_RULES = (
    "changed_interval",
    "off_grid",
    "outside_month",
    "unfinished",
    "restated",
    *(rule.name for rule in RULES if rule.name != "not_a_session"),
    "taker_above_volume",
)
_REASON = pl.Enum(PERP_MISSING_REASONS)
_REPAIRED = frozenset(rule.name for rule in RULES if rule.check_kind == "repair_time")


@dataclass(frozen=True)
class PerpCleanResult:
    """What became of the raw rows of one symbol and month.

    Attributes
    ----------
    bars
        ``clean.perp_bars_5m`` or ``clean.spot_bars_5m``.
    quarantine
        ``clean.perp_quarantine``.
    counts
        Rows per rule and bars per missing reason (zeros included), and under ``delivered``, ``in_bars``,
        ``in_incomplete_bars``, ``bars`` and ``missing_bars`` the totals.
    """

    bars: pl.DataFrame
    quarantine: pl.DataFrame
    counts: Mapping[str, int]


def clean_perp_bars(
    raw: pl.DataFrame,
    spec: PerpCleaningSpec,
    *,
    market: Market = "perp",
    listed_from: datetime | None = None,
    listed_to: datetime | None = None,
) -> PerpCleanResult:
    """Judge the bars of one symbol and month, and complete the grid.

    Parameters
    ----------
    raw
        ``raw.perp_bars`` or ``raw.spot_bars`` of one symbol and month, any order; minutes or five minutes.
    spec
        The rules.
    market
        Which of the two, for the quarantine.
    listed_from, listed_to
        Open of the symbol's first bar, and close of its last one so far; the grid keeps inside them. By default the
        grid is the whole calendar month.

    Raises
    ------
    SchemaViolation
        When the rows are of several symbols or months, of an interval that five minutes are no multiple of, or lie
        outside the listing.

    Notes
    -----
    **Timing.** All rules but ``decimal_shift_row``, ``changed_interval`` and ``restated`` decide from rows up to the
    one judged; those say so in ``check_kind``. Of a restated bar the version that was known first stands, unless the
    spec says otherwise: the correction was not there to be traded on.

    **Missing values.** A missing bar has NaN prices and flows and a reason. A flow that the source lacks is null.

    What it does not catch: a wrong price that is plausible, a venue that repeats its last price with a little volume.
    """
    if raw.height == 0:
        return PerpCleanResult(empty_frame(CleanPerpBars5m), empty_frame(CleanPerpQuarantine), _counts([], None, 0, 0))
    symbol, month = _one(raw, "symbol"), _one(raw, "month")
    rows = raw.sort("open_time", "source_row")
    interval = _interval(rows)
    verdict = _judge(rows, month, interval, spec)
    marked = rows.with_columns(
        pl.Series("good", verdict.rule == ""), pl.col("open_time").dt.truncate("5m").alias("bar")
    )
    grid = _grid(month, listed_from, listed_to)
    made = _bars(marked.filter("good"), interval, spec)
    _refuse_outside(made, grid, symbol, month)

    spoilt = marked.filter(~pl.col("good")).select("bar", pl.lit(True).alias("spoilt")).unique()
    bars = _complete(grid, made, spoilt, spec, raw)
    bars = bars.select(
        pl.lit(symbol).alias("symbol"), pl.lit(month).alias("month"), "bar", *PRICES, *FLOWS, "missing_reason"
    )
    quarantine = _quarantine(rows, verdict, market)
    complete = made["complete"]
    in_bars, in_incomplete = int(made["minutes"].filter(complete).sum()), int(made["minutes"].filter(~complete).sum())
    if in_bars + in_incomplete + quarantine.height != raw.height:
        raise PlatformError(
            "raw rows were lost or doubled while cleaning",
            where=f"{market} bars of {symbol}, {month}",
            how_many=f"{raw.height} delivered, {in_bars} in bars, {in_incomplete} in incomplete bars, "
            f"{quarantine.height} in quarantine",
            action="report this as a defect, with the raw rows",
        )
    return PerpCleanResult(bars, quarantine, _counts(quarantine["rule"].to_list(), bars, in_bars, in_incomplete))


def _one(raw: pl.DataFrame, column: str) -> str:
    values = raw[column].unique()
    if len(values) != 1:
        raise SchemaViolation(
            f"the rows have {len(values)} different values of {column}",
            where=f"raw bars, column {column}",
            rows=[{column: value} for value in values.head(5).to_list()],
            action="clean one symbol and month at a time",
        )
    return str(values[0])


def _interval(rows: pl.DataFrame) -> int:
    """The interval of most rows, in seconds."""
    counts = rows["interval_seconds"].value_counts().sort("count", "interval_seconds", descending=[True, False])
    interval = int(counts["interval_seconds"][0])
    if interval > BAR_SECONDS or BAR_SECONDS % interval:
        raise SchemaViolation(
            f"bars of {interval} seconds cannot be made into bars of five minutes",
            where=f"raw bars of {rows['symbol'][0]}, {rows['month'][0]}, column interval_seconds",
            how_many=f"{counts['count'][0]} of {rows.height} rows",
            action="fetch bars of one or five minutes",
        )
    return interval


def _judge(rows: pl.DataFrame, month: str, interval: int, spec: PerpCleaningSpec) -> RowVerdict:
    n = rows.height
    verdict = RowVerdict.of(n)
    _time_rules(verdict, rows, month, interval)
    _restated(verdict, rows, spec.restated)

    kept = np.flatnonzero(verdict.rule == "")
    values = {name: _numbers(rows[name])[kept] for name in (*PRICES, "volume")}
    stamps = rows["open_time"].to_numpy().astype("datetime64[us]")[kept]
    found = judge(stamps, values, np.ones(len(kept)), spec, stamps)
    for k, rule in enumerate(RULES):
        at = np.flatnonzero(found.rule == k)
        for position in at:
            target = kept[position]
            verdict.rule[target] = rule.name
            verdict.column[target] = found.columns[found.column[position]]
            verdict.observed[target] = found.observed[position]
            verdict.expected[target] = found.expected[position]

    taker, volume = _numbers(rows["taker_buy_volume"]), _numbers(rows["volume"])
    with np.errstate(invalid="ignore"):
        bad = (taker > volume * (1.0 + spec.taker_tolerance)) | (taker < 0)
    verdict.note("taker_above_volume", bad, "taker_buy_volume", taker, volume)
    return verdict


def _time_rules(verdict: RowVerdict, rows: pl.DataFrame, month: str, interval: int) -> None:
    stamps = rows["open_time"]
    microseconds = stamps.dt.epoch("us").to_numpy()
    seconds = microseconds / 1e6
    stated = rows["interval_seconds"].to_numpy()
    verdict.note(
        "changed_interval",
        stated != interval,
        "interval_seconds",
        stated.astype(np.float64),
        np.full(len(stated), float(interval)),
    )
    step = interval * 1_000_000
    off = microseconds % step != 0
    # A row with several others inside its own span is of a shorter interval than stated; one alone is a stray.
    strays = np.append(0, np.cumsum(off))
    ends = np.searchsorted(microseconds, microseconds + step, side="left")
    inside = strays[ends] - strays[np.arange(len(off)) + 1]
    gap = np.append(np.diff(microseconds) / 1e6, np.nan)
    shorter = ~off & (inside > 1)
    verdict.note("changed_interval", shorter, "open_time", gap, np.full(len(gap), float(interval)))
    verdict.note("off_grid", off, "open_time", seconds, np.floor(seconds / interval) * interval)
    outside = (stamps.dt.strftime("%Y-%m") != month).to_numpy()
    verdict.note("outside_month", outside, "open_time", seconds)
    known = rows["known_at"].dt.epoch("us").to_numpy()
    # What was read before the bar had closed is not the bar.
    verdict.note("unfinished", known < microseconds + step, "known_at", known / 1e6, seconds + interval)


def _restated(verdict: RowVerdict, rows: pl.DataFrame, keep: Literal["first", "last"]) -> None:
    """Of the versions of a bar that became known at different times, one stands; those that agree are duplicates."""
    if rows["open_time"].is_unique().all():
        return
    values = (*PRICES, *FLOWS)
    versions = rows.filter(pl.Series(verdict.rule == "")).sort("known_at", maintain_order=True)
    standing = versions.unique("open_time", keep=keep, maintain_order=True).select("open_time", "known_at", *values)
    both = rows.join(standing, on="open_time", how="left", suffix="_standing", maintain_order="left")
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_standing")) for name in values)
    later = (pl.col("known_at") != pl.col("known_at_standing")).fill_null(False)
    other = both.select(later & differs).to_series().to_numpy()
    verdict.note("restated", other, "close", _numbers(rows["close"]), _numbers(both["close_standing"]))


def _numbers(series: pl.Series) -> Floats:
    return np.asarray(series.cast(pl.Float64).fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _grid(month: str, listed_from: datetime | None, listed_to: datetime | None) -> pl.DataFrame:
    year, number = int(month[:4]), int(month[5:])
    start = datetime(year, number, 1, tzinfo=UTC)
    end = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    start = max(start, listed_from) if listed_from else start
    end = min(end, listed_to) if listed_to else end
    start -= timedelta(minutes=start.minute % 5, seconds=start.second, microseconds=start.microsecond)
    bars = pl.datetime_range(start, end, BAR, closed="left", time_unit="us", time_zone="UTC", eager=True)
    return pl.DataFrame({"bar": bars})


def _bars(good: pl.DataFrame, interval: int, spec: PerpCleaningSpec) -> pl.DataFrame:
    """One row per five minutes with a good row: prices, flows, how many rows, and whether they are enough."""
    needed = 1 if interval == BAR_SECONDS else spec.minutes_required * 60 // interval
    return (
        good.group_by("bar", maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            *(pl.col(name).fill_null(float("nan")).sum() for name in FLOWS),
            pl.len().cast(pl.Int64).alias("minutes"),
        )
        .with_columns((pl.col("minutes") >= needed).alias("complete"))
    )


def _refuse_outside(made: pl.DataFrame, grid: pl.DataFrame, symbol: str, month: str) -> None:
    outside = made.join(grid, on="bar", how="anti")
    if outside.height:
        raise SchemaViolation(
            "there are bars outside the listing that was stated",
            where=f"{symbol}, {month}",
            how_many=f"{outside.height} of {made.height} bars",
            rows=outside.select("bar", "close"),
            action="state the open of the first and the close of the last bar, or neither",
        )


def _complete(
    grid: pl.DataFrame, made: pl.DataFrame, spoilt: pl.DataFrame, spec: PerpCleaningSpec, raw: pl.DataFrame
) -> pl.DataFrame:
    joined = grid.join(made, on="bar", how="left", maintain_order="left").join(
        spoilt, on="bar", how="left", maintain_order="left"
    )
    halted = pl.col("complete") & (pl.col("volume") == 0) & (pl.col("high") == pl.col("low"))
    reason = (
        pl.when(pl.col("complete").fill_null(False) & ~(halted & spec.no_trade_is_halt).fill_null(False))
        .then(pl.lit(None, dtype=_REASON))
        .when(halted.fill_null(False))
        .then(pl.lit("halt", dtype=_REASON))
        .when(pl.col("spoilt").is_not_null())
        .then(pl.lit("quarantined", dtype=_REASON))
        .when(pl.col("minutes").is_not_null())
        .then(pl.lit("incomplete", dtype=_REASON))
        .otherwise(pl.lit("vendor_hole", dtype=_REASON))
    )
    judged = joined.with_columns(reason.alias("missing_reason"))
    there = pl.col("missing_reason").is_null()
    lacking = [name for name in FLOWS if raw[name].null_count() == raw.height]
    return judged.with_columns(
        *(
            pl.when(there).then(pl.col(name)).otherwise(float("nan")).alias(name)
            for name in (*PRICES, *FLOWS)
            if name not in lacking
        ),
        *(pl.lit(None, dtype=pl.Float64).alias(name) for name in lacking),
    )


def _quarantine(rows: pl.DataFrame, verdict: RowVerdict, market: Market) -> pl.DataFrame:
    bad = np.flatnonzero(verdict.rule != "")
    kept = rows[bad]
    repaired = _REPAIRED | {"changed_interval", "restated"}
    return pl.DataFrame(
        {
            "symbol": kept["symbol"],
            "month": kept["month"],
            "market": [market] * len(bad),
            "source_row": kept["source_row"],
            "open_time": kept["open_time"],
            "rule": verdict.rule[bad].tolist(),
            "column": verdict.column[bad].tolist(),
            "observed": verdict.observed[bad],
            "expected": verdict.expected[bad],
            "check_kind": ["repair_time" if name in repaired else "causal" for name in verdict.rule[bad]],
            "interval_seconds": kept["interval_seconds"],
            **{name: kept[name] for name in (*PRICES, "volume")},
        },
        schema=empty_frame(CleanPerpQuarantine).schema,
    ).with_columns(pl.col("expected").fill_nan(None))


def _counts(rules: list[str], bars: pl.DataFrame | None, in_bars: int, in_incomplete: int) -> dict[str, int]:
    reasons = bars["missing_reason"].cast(pl.String).to_list() if bars is not None else []
    missing = {name: reasons.count(name) for name in PERP_MISSING_REASONS}
    return {
        **{name: rules.count(name) for name in PERP_RULES},
        **missing,
        "delivered": in_bars + in_incomplete + len(rules),
        "in_bars": in_bars,
        "in_incomplete_bars": in_incomplete,
        "bars": len(reasons) - sum(missing.values()),
        "missing_bars": sum(missing.values()),
    }
