"""Checks and rules that every reader of perpetuals shares, whatever its files look like."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from quant_platform.contracts.errors import SourceMalformed
from quant_platform.contracts.findings import Finding, examples

# The venues bound a rate at a few percent of an interval; a rate of one would take the whole position.
LARGEST_RATE = 1.0

_DELIVERY = re.compile(r".*_\d{6}")
_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Part:
    """Rows of one file: the period in its name (YYYY-MM or YYYY-MM-DD), the file, what it states."""

    period: str
    file: str
    frame: pl.DataFrame


def one_per_stamp(
    parts: Sequence[Part], stamp: str, month: str, what: str
) -> tuple[pl.DataFrame | None, list[Finding]]:
    """Rows whose stamp lies in a month, each stamp once, and where files contradict each other.

    A stamp may stand at the end of one file, at the beginning of the next, or in both. It belongs to the month it lies
    in. Where several rows state it, the file of its own period stands before others, and within a file the later row.

    Parameters
    ----------
    parts
        Files that may hold rows of the month, in the order of time.
    stamp
        Column of the time, UTC.
    month
        YYYY-MM.
    what
        Of what, for the finding.

    Returns
    -------
    tuple
        Rows sorted by stamp with the columns of the parts, None where there is none; and at most one finding that
        names both files of the first contradictions.
    """
    filled = [
        part.frame.with_columns(
            pl.lit(part.file).alias("__file"),
            (pl.col(stamp).dt.strftime(_pattern(part.period)) == part.period).alias("__own"),
        ).with_row_index("__row")
        for part in parts
        if part.frame.height
    ]
    if not filled:
        return None, []
    rows = pl.concat(filled, how="diagonal_relaxed").filter(pl.col(stamp).dt.strftime("%Y-%m") == month)
    if rows.height == 0:
        return None, []
    values = [name for name in rows.columns if name not in (stamp, "__file", "__own", "__row")]
    ordered = rows.sort(stamp, "__own", "__row", descending=[False, True, True], maintain_order=True)
    standing = ordered.unique(stamp, keep="first", maintain_order=True)
    against = (
        ordered.join(
            standing.select(stamp, pl.struct(values).alias("__stands"), pl.col("__file").alias("__by")), on=stamp
        )
        .filter(pl.struct(values).ne_missing(pl.col("__stands")))
        .sort(stamp, maintain_order=True)
    )
    found = []
    if against.height:
        shown = (
            f"{row[stamp]:%Y-%m-%d %H:%M:%S} {row[values[0]]:g} in {row['__file']} against "
            f"{row['__stands'][values[0]]:g} in {row['__by']}, which stands"
            for row in against.head(5).iter_rows(named=True)
        )
        found.append(
            Finding(
                "stamp_stated_twice",
                f"{what}, {month}",
                "files state one stamp with different values; the file of its own day or month stands",
                against.height,
                rows.height,
                examples(shown),
            )
        )
    return standing.drop("__file", "__own", "__row").sort(stamp), found


def without_value(parts: Sequence[Part], month: str, symbol: str) -> list[Finding]:
    """Rows that have a stamp and no value, as at most one finding."""
    rows = [part.frame.filter(pl.col("stamp").dt.strftime("%Y-%m") == month) for part in parts]
    count = sum(frame.height for frame in rows)
    if not count:
        return []
    first = pl.concat(rows)["stamp"].head(5)
    return [
        Finding(
            "open_interest_without_value",
            f"open interest of {symbol}, {month}",
            "rows have a stamp and no value; they are left out, and the value is unknown there",
            count,
            examples=examples(f"{stamp:%Y-%m-%d %H:%M}" for stamp in first),
            severity="refused",
        )
    ]


def months_lacking(what: str, symbol: str, lacking: Sequence[str], months: Sequence[str], reason: str) -> list[Finding]:
    """Months in which a symbol has bars and lacks something else, as at most one finding."""
    if not lacking:
        return []
    return [
        Finding(
            f"{what}_missing",
            symbol,
            f"months without {what.replace('_', ' ')}: unknown there, never zero",
            len(lacking),
            len(months),
            examples(lacking),
            reason,
        )
    ]


def ends_early(symbol: str, bars: pl.DataFrame, month: str, now: datetime) -> list[Finding]:
    """A last month whose bars end before the month does, as at most one finding; the running month is no such month.

    Whether the contract ended or the download did, the file does not say: bars that never came are not counted as
    missing after the last one.
    """
    year, number = divmod(int(month[:4]) * 12 + int(month[5:]), 12)
    end = datetime(year, number + 1, 1, tzinfo=UTC)
    last = bars["open_time"].max()
    if bars.is_empty() or not isinstance(last, datetime) or now < end:
        return []
    length = timedelta(seconds=int(bars["interval_seconds"][0]))
    short = int((end - (last + length)) / length)
    if short <= 0:
        return []
    return [
        Finding(
            "ends_before_the_month",
            symbol,
            f"the bars of the last month, {month}, end at {last + length:%Y-%m-%d %H:%M}, before the month does",
            short,
            int((end - datetime(int(month[:4]), int(month[5:]), 1, tzinfo=UTC)) / length),
            action="fine where the contract ended or was just downloaded; otherwise fetch the rest",
        )
    ]


def delivers(symbol: str) -> bool:
    """Whether a symbol is a contract with a delivery date (``BTCUSDT_240329``), which settles no funding."""
    return _DELIVERY.fullmatch(symbol) is not None


def in_units_of(spot: pl.DataFrame, symbol: str, units: float) -> pl.DataFrame:
    """Spot bars in units of the perpetual: prices times the units, amounts divided by them, under its symbol."""
    return spot.with_columns(
        pl.lit(symbol).alias("symbol"),
        *(pl.col(name) * units for name in _PRICES),
        *(pl.col(name) / units for name in ("volume", "taker_buy_volume")),
    )


def refuse_no_rates(frame: pl.DataFrame, where: str, action: str) -> None:
    """Raise ``SourceMalformed`` where ``funding_rate`` is absent, infinite, or as large as the position."""
    rate = pl.col("funding_rate")
    wrong = frame.filter(rate.is_null() | ~rate.is_finite() | (rate.abs() >= LARGEST_RATE))
    if wrong.height:
        raise SourceMalformed(
            "the file holds what is no funding rate",
            where=where,
            how_many=f"{wrong.height} of {frame.height} rows",
            rows=wrong.select("settle_time", "funding_rate"),
            cause="another column holds the rate, or it is in percent or basis points",
            action=action,
        )


def refuse_repeated(frame: pl.DataFrame, stamp: str, what: str, where: str) -> None:
    """Raise ``SourceMalformed`` where one file states a stamp twice with different values."""
    repeated = frame.filter(pl.col(stamp).is_duplicated())
    if repeated.height:
        raise SourceMalformed(
            f"{what} stands twice",
            where=where,
            how_many=f"{repeated.height} of {frame.height} rows",
            rows=repeated,
            action="remove one of the rows, or download the file again",
        )


def refuse_gaps(months: Sequence[str], where: str) -> None:
    """Raise ``SourceMalformed`` where a month lies without a bar between others; ``months`` are sorted."""
    first, last = (int(text[:4]) * 12 + int(text[5:]) - 1 for text in (months[0], months[-1]))
    wanted = [f"{m // 12:04d}-{m % 12 + 1:02d}" for m in range(first, last + 1)]
    gone = sorted(set(wanted) - set(months))
    if gone:
        raise SourceMalformed(
            f"months without a single bar lie between others: {', '.join(gone[:5])}",
            where=where,
            how_many=f"{len(gone)} of {len(wanted)} months",
            cause="a download that was broken off and taken up later",
            action="download the missing months into the file",
        )


def _pattern(period: str) -> str:
    return "%Y-%m" if len(period) == len("2024-01") else "%Y-%m-%d"
