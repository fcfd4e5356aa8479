"""Raw bars of one ticker to clean bars and a quarantine, every row in exactly one of them.

1. Every stated action is compared with the raw closes around its ex-date; what they show is applied
   (`stated_facts.judge_actions`).
2. Each row is judged by the rules of ``specs/cleaning/equity.yaml`` in a fixed order; the first rule it breaks is its
   reason (`rules.judge`).
3. Rows that broke none become the bar of their session; there is one per session by then. A suspect field of such a row
   is NaN in the bar, and a line of the suspects says what stood there.
4. Every session of the exchange between the ticker's first and last row gets a line; where it has no bar, prices are
   NaN and the reason says whether the row is in quarantine or never came.
5. Factors come from the judged actions and the clean closes (`adjustment.adjustment_factors`); prices are multiplied,
   volume is divided by the split part.
6. Rows are counted: delivered = clean + quarantined, or the ticker is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.contracts.errors import PlatformError, SchemaViolation
from quant_platform.contracts.schemas.clean import CHECK_KINDS, MISSING_REASONS
from quant_platform.market.adjustment import Adjustment, adjustment_factors, split_factor
from quant_platform.market.rules import PRICES, RULES, SUSPECT_RULES, Verdict, after_the_end, judge
from quant_platform.market.stated_facts import BARS_AROUND_END, DELISTING, JudgedActions, as_stated, judge_actions
from quant_platform.specification.cleaning import CleaningSpec

Floats = NDArray[np.float64]
Days = NDArray[np.datetime64]

_REASON = pl.Enum(MISSING_REASONS)
_KIND = pl.Enum(CHECK_KINDS)
_NUMBERS = (*PRICES, "volume", "close_unadjusted", "dollar_volume", "adjustment_factor")


@dataclass(frozen=True)
class CleanResult:
    """What became of the raw rows of one ticker.

    Attributes
    ----------
    bars
        ``clean.equity_bars``.
    quarantine
        ``clean.equity_quarantine``.
    suspects
        ``clean.equity_suspects``.
    actions
        ``clean.corporate_actions``.
    counts
        Rows per rule (zeros included), and under ``delivered``, ``clean``, ``missing_sessions``, ``volume_missing`` and
        ``suspect_fields`` the totals.
    """

    bars: pl.DataFrame
    quarantine: pl.DataFrame
    suspects: pl.DataFrame
    actions: pl.DataFrame
    counts: Mapping[str, int]


def clean_bars(raw: pl.DataFrame, actions: pl.DataFrame, spec: CleaningSpec, sessions: Days) -> CleanResult:
    """Judge, complete and adjust the bars of one ticker.

    Parameters
    ----------
    raw
        ``raw.equity_bars`` of one ticker, any order.
    actions
        ``raw.corporate_actions`` of the same ticker; may be empty.
    spec
        The rules.
    sessions
        Sorted sessions of the exchange, ``datetime64[D]`` (`calendar.session_array`), covering the rows.

    Raises
    ------
    SchemaViolation
        When the rows are of several tickers or adjustments.

    Notes
    -----
    **Timing.** All rules but ``decimal_shift_row`` decide from rows up to the one judged; that one needs later rows
    and says so in ``check_kind``.

    **Missing values.** A session without a bar has NaN prices and volume and a reason. A volume of zero beside a price
    range is a missing volume, NaN.

    What it does not catch: a wrong price that is plausible, a split nobody stated (`audit.unexplained_jumps` names what
    looks like one), a shifted last row.
    """
    days = np.asarray(sessions, dtype="datetime64[D]")
    if raw.height == 0:
        judged = _judged_actions(actions, np.empty(0, "datetime64[D]"), np.empty(0), "none", spec).judged
        counts = _counts(np.empty(0, np.int8), 0, 0, 0)
        return CleanResult(_empty_bars(), _empty_quarantine(), _empty_suspects(), judged, counts)
    ticker, delivered = _one(raw, "ticker"), _one(raw, "adjustment")
    rows = raw.sort("session", "source_row")
    stamps = rows["session"].to_numpy().astype("datetime64[D]")
    values = {name: rows[name].to_numpy().astype(np.float64) for name in (*PRICES, "volume")}
    facts = _judged_actions(actions, *_sane_closes(stamps, values["close"], days), delivered, spec)
    verdict = judge(stamps, values, split_factor(stamps, facts.applied, delivered), spec, days)
    another = after_the_end(verdict, stamps, values["close"], _end(facts.applied), BARS_AROUND_END)

    grid = days[slice(*_span(stamps[~another], days))]
    bars = _bars(ticker, grid, stamps, values, verdict, facts.applied, delivered)
    quarantine = _quarantine(ticker, rows, verdict)
    suspects = _suspects(ticker, rows, values, verdict)

    priced = int(bars["close"].is_not_nan().sum())
    if priced + quarantine.height != raw.height:
        raise PlatformError(
            "raw rows were lost or doubled while cleaning",
            where=f"ticker {ticker}",
            how_many=f"{raw.height} delivered, {priced} clean, {quarantine.height} in quarantine",
            action="report this as a defect, with the raw rows",
        )
    volume_missing = int((bars["close"].is_not_nan() & bars["volume"].is_nan()).sum())
    counts = _counts(verdict.rule, bars.height - priced, volume_missing, suspects.height)
    return CleanResult(bars, quarantine, suspects, facts.judged, counts)


def _sane_closes(stamps: Days, close: Floats, days: Days) -> tuple[Days, Floats]:
    """Sessions and closes that actions are compared with: positive, on a session, the first of each."""
    good = np.isfinite(close) & (close > 0) & np.isin(stamps, days)
    kept, first = np.unique(stamps[good], return_index=True)
    return kept, close[good][first]


def _judged_actions(
    actions: pl.DataFrame, sessions: Days, close: Floats, delivered: str, spec: CleaningSpec
) -> JudgedActions:
    if spec.stated_facts is None:
        return as_stated(actions, delivered)
    return judge_actions(actions, sessions, close, delivered, spec.stated_facts)


def _end(applied: pl.DataFrame) -> np.datetime64 | None:
    """Session of the delisting that is applied."""
    ends = applied.filter(pl.col("kind").cast(pl.String) == DELISTING)["ex_date"].to_list()
    return np.datetime64(ends[-1]) if ends else None


def _one(raw: pl.DataFrame, column: str) -> str:
    values = raw[column].unique()
    if len(values) != 1:
        raise SchemaViolation(
            f"the rows have {len(values)} different values of {column}",
            where=f"raw.equity_bars, column {column}",
            rows=[{column: value} for value in values.head(5).to_list()],
            action="clean one ticker at a time",
        )
    return str(values[0])


def _span(stamps: Days, days: Days) -> tuple[int, int]:
    inside = stamps[np.isin(stamps, days)]
    if len(inside) == 0:
        return 0, 0
    first, last = np.searchsorted(days, [inside[0], inside[-1]])
    return int(first), int(last) + 1


def _bars(
    ticker: str,
    grid: Days,
    stamps: Days,
    values: Mapping[str, Floats],
    verdict: Verdict,
    actions: pl.DataFrame,
    delivered: str,
) -> pl.DataFrame:
    good = verdict.rule < 0
    at = np.searchsorted(grid, stamps[good])
    placed = {name: np.full(len(grid), np.nan) for name in values}
    suspect = np.full(len(grid), "", dtype=object)
    for name, column in placed.items():
        column[at] = values[name][good]
    # Zero volume beside a price range is judged by the range as delivered: a suspect low is still no quote.
    no_volume = (placed["volume"] == 0) & (placed["high"] > placed["low"])
    for k, name in enumerate(PRICES):
        flagged = at[verdict.suspect[good, k] >= 0]
        placed[name][flagged] = np.nan
        suspect[flagged] = [f"{before},{name}" if before else name for before in suspect[flagged]]
    close = placed["close"]
    unpriced = np.isnan(close)
    volume = np.where(no_volume, np.nan, placed["volume"])
    factors: Adjustment = adjustment_factors(grid, close, actions, delivered)
    judged = unpriced & np.isin(grid, stamps[~good])
    # A vendor that adjusted prices for a split has adjusted volume for it too; what it has not, both wait for.
    unadjusted_close = close * factors.to_unadjusted
    unadjusted_volume = volume / factors.to_unadjusted
    frame = pl.DataFrame(
        {
            "session": grid,
            **{name: placed[name] * factors.total for name in PRICES},
            "volume": volume * factors.shares,
            "close_unadjusted": unadjusted_close,
            "dollar_volume": unadjusted_close * unadjusted_volume,
            "adjustment_factor": factors.total,
            "unpriced": unpriced,
            "judged": judged,
            "suspect": pl.Series(suspect, dtype=pl.String),
        }
    )
    reason = (
        pl.when("judged")
        .then(pl.lit("quarantined", dtype=_REASON))
        .when("unpriced")
        .then(pl.lit("vendor_hole", dtype=_REASON))
    )
    return frame.select(
        pl.lit(ticker).alias("ticker"),
        "session",
        *_NUMBERS,
        reason.alias("missing_reason"),
        pl.when(pl.col("suspect") != "").then("suspect").alias("suspect"),
    )


def _quarantine(ticker: str, rows: pl.DataFrame, verdict: Verdict) -> pl.DataFrame:
    bad = np.flatnonzero(verdict.rule >= 0)
    kept = rows[bad]
    return pl.DataFrame(
        {
            "ticker": [ticker] * len(bad),
            "source_row": kept["source_row"],
            "session": kept["session"],
            "rule": [RULES[k].name for k in verdict.rule[bad]],
            "column": [verdict.columns[k] for k in verdict.column[bad]],
            "observed": verdict.observed[bad],
            "expected": verdict.expected[bad],
            "check_kind": [RULES[k].check_kind for k in verdict.rule[bad]],
            **{name: kept[name] for name in (*PRICES, "volume")},
        },
        schema=_quarantine_schema(),
    ).with_columns(pl.col("expected").fill_nan(None))


def _suspects(ticker: str, rows: pl.DataFrame, values: Mapping[str, Floats], verdict: Verdict) -> pl.DataFrame:
    at, field = np.nonzero(verdict.suspect >= 0)
    prices = np.column_stack([values[name] for name in PRICES])
    rule = verdict.suspect[at, field]
    return pl.DataFrame(
        {
            "ticker": [ticker] * len(at),
            "source_row": rows["source_row"].gather(at),
            "column": [PRICES[k] for k in field],
            "session": rows["session"].gather(at),
            "rule": [SUSPECT_RULES[k].name for k in rule],
            "observed": prices[at, field],
            "expected": verdict.suspect_expected[at, field],
            "close": prices[at, 3],
            "check_kind": [SUSPECT_RULES[k].check_kind for k in rule],
        },
        schema=_suspects_schema(),
    ).with_columns(pl.col("expected").fill_nan(None))


def _counts(rule: NDArray[np.int8], missing: int, volume_missing: int, suspect_fields: int) -> dict[str, int]:
    found = {each.name: int((rule == k).sum()) for k, each in enumerate(RULES)}
    return {
        **found,
        "delivered": len(rule),
        "clean": int((rule < 0).sum()),
        "missing_sessions": missing,
        "volume_missing": volume_missing,
        "suspect_fields": suspect_fields,
    }


def _bars_schema() -> dict[str, pl.DataType | type[pl.DataType]]:
    return {
        "ticker": pl.String,
        "session": pl.Date,
        **dict.fromkeys(_NUMBERS, pl.Float64),
        "missing_reason": _REASON,
        "suspect": pl.String,
    }


def _quarantine_schema() -> dict[str, pl.DataType | type[pl.DataType]]:
    return {
        "ticker": pl.String,
        "source_row": pl.Int64,
        "session": pl.Date,
        "rule": pl.String,
        "column": pl.String,
        "observed": pl.Float64,
        "expected": pl.Float64,
        "check_kind": _KIND,
        **dict.fromkeys((*PRICES, "volume"), pl.Float64),
    }


def _suspects_schema() -> dict[str, pl.DataType | type[pl.DataType]]:
    return {
        "ticker": pl.String,
        "source_row": pl.Int64,
        "column": pl.String,
        "session": pl.Date,
        "rule": pl.String,
        "observed": pl.Float64,
        "expected": pl.Float64,
        "close": pl.Float64,
        "check_kind": _KIND,
    }


def _empty_bars() -> pl.DataFrame:
    return pl.DataFrame(schema=_bars_schema())


def _empty_quarantine() -> pl.DataFrame:
    return pl.DataFrame(schema=_quarantine_schema())


def _empty_suspects() -> pl.DataFrame:
    return pl.DataFrame(schema=_suspects_schema())
