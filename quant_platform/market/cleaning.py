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
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.contracts.empty_frames import column_types, empty_frame
from quant_platform.contracts.errors import PlatformError, SchemaViolation
from quant_platform.contracts.schemas.clean import (
    MISSING_REASONS,
    CleanEquityBars,
    CleanEquityQuarantine,
    CleanEquitySuspects,
)
from quant_platform.market.adjustment import Adjustment, adjustment_factors, split_factor
from quant_platform.market.rules import PRICES, RULES, SUSPECT_RULES, Verdict, after_the_end, among_sessions, judge
from quant_platform.market.stated_facts import BARS_AROUND_END, DELISTING, JudgedActions, as_stated, judge_actions
from quant_platform.specification.cleaning import CleaningSpec

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Days = NDArray[np.datetime64]

# Where the reason of a session stands in `_reasons`.
_PRICED, _HOLE, _JUDGED = np.arange(3, dtype=np.uint32)
# Open counts 1, high 2, low 4 and close 8: at the sum of those that are suspect stand their names in `_suspect_fields`.
_FIELD_BITS = 1 << np.arange(len(PRICES), dtype=np.uint32)


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
        return CleanResult(
            empty_frame(CleanEquityBars),
            empty_frame(CleanEquityQuarantine),
            empty_frame(CleanEquitySuspects),
            judged,
            counts,
        )
    ticker, delivered = _one(raw, "ticker"), _one(raw, "adjustment")
    rows = _in_order(raw)
    stamps = rows["session"].to_numpy().astype("datetime64[D]")
    values = {name: rows[name].to_numpy().astype(np.float64) for name in (*PRICES, "volume")}
    on_session = among_sessions(stamps, days)
    facts = _judged_actions(actions, *_sane_closes(stamps, values["close"], on_session), delivered, spec)
    verdict = judge(stamps, values, split_factor(stamps, facts.applied, delivered), spec, days)
    another = after_the_end(verdict, stamps, values["close"], _end(facts.applied), BARS_AROUND_END)

    grid = days[slice(*_span(stamps[on_session & ~another], days))]
    bars = _bars(ticker, grid, stamps, values, verdict, facts.applied, delivered)
    quarantine = _quarantine(ticker, rows, verdict)
    suspects = _suspects(ticker, rows, values, verdict)

    has_price = ~np.isnan(bars["close"].to_numpy())
    priced = int(has_price.sum())
    if priced + quarantine.height != raw.height:
        raise PlatformError(
            "raw rows were lost or doubled while cleaning",
            where=f"ticker {ticker}",
            how_many=f"{raw.height} delivered, {priced} clean, {quarantine.height} in quarantine",
            action="report this as a defect, with the raw rows",
        )
    volume_missing = int((has_price & np.isnan(bars["volume"].to_numpy())).sum())
    counts = _counts(verdict.rule, bars.height - priced, volume_missing, suspects.height)
    return CleanResult(bars, quarantine, suspects, facts.judged, counts)


def _in_order(raw: pl.DataFrame) -> pl.DataFrame:
    """The rows by session and, within one, as the source has them; mostly they come so."""
    session, place = raw["session"], raw["source_row"]
    if session.null_count() == 0 and place.null_count() == 0:
        day, row = session.to_numpy(), place.to_numpy()
        if ((day[1:] > day[:-1]) | ((day[1:] == day[:-1]) & (row[1:] > row[:-1]))).all():
            return raw
    return raw.sort("session", "source_row")


def _sane_closes(stamps: Days, close: Floats, on_session: Flags) -> tuple[Days, Floats]:
    """Sessions and closes that actions are compared with: positive, on a session, the first of each."""
    good = np.isfinite(close) & (close > 0) & on_session
    kept, closes = stamps[good], close[good]
    first = np.append(True, kept[1:] != kept[:-1])[: len(kept)]
    return kept[first], closes[first]


def _judged_actions(
    actions: pl.DataFrame, sessions: Days, close: Floats, delivered: str, spec: CleaningSpec
) -> JudgedActions:
    if spec.stated_facts is None:
        return as_stated(actions, delivered)
    return judge_actions(actions, sessions, close, delivered, spec.stated_facts)


def _end(applied: pl.DataFrame) -> np.datetime64 | None:
    """Session of the delisting that is applied."""
    ends = [
        day
        for day, kind in zip(applied["ex_date"].to_list(), applied["kind"].to_list(), strict=True)
        if kind == DELISTING
    ]
    return np.datetime64(ends[-1]) if ends else None


def _one(raw: pl.DataFrame, column: str) -> str:
    """The one value of a column."""
    stated = raw[column]
    # To find the values costs more than to see that there is one, which is what there mostly is.
    if stated.null_count() == 0 and stated.min() == stated.max():
        return str(stated[0])
    values = stated.unique()
    if len(values) != 1:
        raise SchemaViolation(
            f"the rows have {len(values)} different values of {column}",
            where=f"raw.equity_bars, column {column}",
            rows=[{column: value} for value in values.head(5).to_list()],
            action="clean one ticker at a time",
        )
    return str(values[0])


def _span(inside: Days, days: Days) -> tuple[int, int]:
    """Where the first and the day after the last of some sessions, which come in order, stand among all days."""
    if len(inside) == 0:
        return 0, 0
    first, last = np.searchsorted(days, inside[[0, -1]])
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
    for name, column in placed.items():
        column[at] = values[name][good]
    # Zero volume beside a price range is judged by the range as delivered: a suspect low is still no quote.
    no_volume = (placed["volume"] == 0) & (placed["high"] > placed["low"])
    suspect = np.zeros(len(grid), dtype=np.uint32)
    for k, name in enumerate(PRICES):
        flagged = at[verdict.suspect[good, k] >= 0]
        placed[name][flagged] = np.nan
        suspect[flagged] |= _FIELD_BITS[k]
    close = placed["close"]
    volume = np.where(no_volume, np.nan, placed["volume"])
    factors: Adjustment = adjustment_factors(grid, close, actions, delivered)
    reason = np.where(np.isnan(close), _HOLE, _PRICED)
    # A row without a date is of no session, and the first in order.
    judged = stamps[~good & ~np.isnat(stamps)]
    reason[np.isnan(close) & among_sessions(grid, judged)] = _JUDGED
    # A vendor that adjusted prices for a split has adjusted volume for it too; what it has not, both wait for.
    unadjusted_close = close * factors.to_unadjusted
    unadjusted_volume = volume / factors.to_unadjusted
    numbers = {
        **{name: placed[name] * factors.total for name in PRICES},
        "volume": volume * factors.shares,
        "close_unadjusted": unadjusted_close,
        "dollar_volume": unadjusted_close * unadjusted_volume,
        "adjustment_factor": factors.total,
    }
    return pl.DataFrame(
        [
            pl.Series("ticker", [ticker]).new_from_index(0, len(grid)),
            # Days as Polars keeps them: it takes five times as long over days as NumPy keeps them.
            pl.Series("session", grid.astype(np.int32)).cast(pl.Date),
            *(pl.Series(name, column) for name, column in numbers.items()),
            _reasons()[reason],
            _suspect_fields()[suspect],
        ]
    )


# Both are made on their first use: polars starts its threads over them, which a process that is forked would lack.
@cache
def _reasons() -> pl.Series:
    """The words of ``missing_reason``."""
    return pl.Series("missing_reason", [None, "vendor_hole", "quarantined"], dtype=pl.Enum(MISSING_REASONS))


@cache
def _suspect_fields() -> pl.Series:
    """The words of ``suspect``."""
    named = [
        ",".join(name for name, bit in zip(PRICES, _FIELD_BITS, strict=True) if total & bit)
        for total in range(2 ** len(PRICES))
    ]
    return pl.Series("suspect", [names or None for names in named])


def _quarantine(ticker: str, rows: pl.DataFrame, verdict: Verdict) -> pl.DataFrame:
    bad = np.flatnonzero(verdict.rule >= 0)
    if len(bad) == 0:
        return empty_frame(CleanEquityQuarantine)
    kept = rows[bad]
    return pl.DataFrame(
        {
            "ticker": [ticker] * len(bad),
            "source_row": kept["source_row"],
            "session": kept["session"],
            "rule": [RULES[k].name for k in verdict.rule[bad]],
            "column": [verdict.columns[k] for k in verdict.column[bad]],
            "observed": verdict.observed[bad],
            "expected": pl.Series(verdict.expected[bad], nan_to_null=True),
            "check_kind": [RULES[k].check_kind for k in verdict.rule[bad]],
            **{name: kept[name] for name in (*PRICES, "volume")},
        },
        schema=column_types(CleanEquityQuarantine),
    )


def _suspects(ticker: str, rows: pl.DataFrame, values: Mapping[str, Floats], verdict: Verdict) -> pl.DataFrame:
    suspect = verdict.suspect >= 0
    if not suspect.any():
        return empty_frame(CleanEquitySuspects)
    at, field = np.nonzero(suspect)
    prices = np.column_stack([values[name][at] for name in PRICES])
    rule = verdict.suspect[at, field]
    return pl.DataFrame(
        {
            "ticker": [ticker] * len(at),
            "source_row": rows["source_row"][at],
            "column": [PRICES[k] for k in field],
            "session": rows["session"][at],
            "rule": [SUSPECT_RULES[k].name for k in rule],
            "observed": prices[np.arange(len(at)), field],
            "expected": pl.Series(verdict.suspect_expected[at, field], nan_to_null=True),
            "close": prices[:, 3],
            "check_kind": [SUSPECT_RULES[k].check_kind for k in rule],
        },
        schema=column_types(CleanEquitySuspects),
    )


def _counts(rule: NDArray[np.int8], missing: int, volume_missing: int, suspect_fields: int) -> dict[str, int]:
    # Rows that broke no rule have -1 and are counted first.
    clean, *found = np.bincount(rule + 1, minlength=len(RULES) + 1).tolist()
    return {
        **{each.name: count for each, count in zip(RULES, found, strict=True)},
        "delivered": len(rule),
        "clean": clean,
        "missing_sessions": missing,
        "volume_missing": volume_missing,
        "suspect_fields": suspect_fields,
    }
