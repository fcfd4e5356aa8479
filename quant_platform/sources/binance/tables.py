"""Zips of the archive as frames, with errors that name file and line.

The archive changed over the years: files with and without a header, stamps in milliseconds and (spot, from 2025) in
microseconds, more or fewer blanks. Columns are read by the name that the header gives them, in whatever order; without
a header by position, after their number was checked.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SourceMalformed
from quant_platform.contracts.limits import ZIP_DAMAGED
from quant_platform.sources.files.text import LINE, MOST_BYTES, parse_csv_text, to_numbers
from quant_platform.sources.perp_checks import refuse_no_rates, refuse_repeated

_UTC = pl.Datetime("us", "UTC")
_MICROSECONDS_FROM = 100_000_000_000_000

KLINES = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "trades",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
FUNDING = ("calc_time", "funding_interval_hours", "last_funding_rate")
METRICS = (
    "create_time",
    "symbol",
    "sum_open_interest",
    "sum_open_interest_value",
    "count_toptrader_long_short_ratio",
    "sum_toptrader_long_short_ratio",
    "count_long_short_ratio",
    "sum_taker_long_short_vol_ratio",
)
BOOK_DEPTH = ("timestamp", "percentage", "depth", "notional")
BOOK_TICKER = (
    "update_id",
    "best_bid_price",
    "best_bid_qty",
    "best_ask_price",
    "best_ask_qty",
    "transaction_time",
    "event_time",
)

# What the archive's headers called a column at other times.
_ALSO = {
    "trades": ("count", "number_of_trades"),
    "quote_volume": ("quote_asset_volume",),
    "taker_buy_volume": ("taker_buy_base_asset_volume", "taker_buy_base_volume"),
    "taker_buy_quote_volume": ("taker_buy_quote_asset_volume",),
    "calc_time": ("funding_time", "fundingTime"),
    "last_funding_rate": ("funding_rate", "fundingRate"),
    "funding_interval_hours": ("interval_hours",),
}


@dataclass(frozen=True)
class Expected:
    """What the rows of a file of bars must be: a period (YYYY-MM or YYYY-MM-DD) and an interval."""

    period: str
    interval_seconds: int


def read_table(path: Path, names: Sequence[str], needed: Sequence[str] | None = None) -> pl.DataFrame:
    """The one CSV in a zip as text, with the line of each row.

    Parameters
    ----------
    names
        Our names of all columns, in the order of a file without a header.
    needed
        Those that are read; by default all.

    Raises
    ------
    SourceMalformed
        When the zip is truncated, damaged or too large, holds another number of files, its header lacks a column, or
        its rows have another number of fields.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [item for item in archive.infolist() if not item.is_dir()]
            content = b""
            if len(members) == 1:
                with archive.open(members[0]) as file:
                    content = file.read(MOST_BYTES + 1)
    except ZIP_DAMAGED as error:
        raise SourceMalformed(
            f"the zip is truncated or damaged: {error}",
            where=str(path),
            cause="a download that was broken off",
            action="remove the file and fetch it again",
        ) from error
    if len(members) != 1:
        raise SourceMalformed(f"the zip holds {len(members)} files, not one", where=str(path), action="fetch it again")
    if len(content) > MOST_BYTES:
        raise SourceMalformed(
            f"the zip holds more than {MOST_BYTES >> 30} GiB of text", where=str(path), action="fetch it again"
        )
    where = f"{path}!{members[0].filename}"
    first = content[: content.find(b"\n")].decode("utf-8", errors="replace").strip()
    headed = bool(first) and not first.lstrip('"')[0].isdigit()
    if headed:
        return _named(parse_csv_text(content, where), names if needed is None else needed, where)
    _require_fields(first.count(",") + 1, names, where, first)
    return parse_csv_text(content, where, names=names)


def _named(frame: pl.DataFrame, needed: Sequence[str], where: str) -> pl.DataFrame:
    """Columns under our names, found by what the header calls them."""
    plain = {name.strip().lower(): name for name in frame.columns if name != LINE}
    chosen = {}
    for name in needed:
        found = next((plain[text] for text in (name, *map(str.lower, _ALSO.get(name, ()))) if text in plain), None)
        if found is not None:
            chosen[name] = found
    missing = [name for name in needed if name not in chosen]
    if missing:
        raise SourceMalformed(
            f"the header lacks {', '.join(missing)}",
            where=f"{where}, line 1",
            how_many=f"{len(missing)} of {len(needed)} columns",
            cause=f"another kind of file, or a new layout; it has {', '.join(plain.values())}",
            action="fetch the file again",
        )
    return frame.select(*(pl.col(found).alias(name) for name, found in chosen.items()), LINE)


def _require_fields(found: int, names: Sequence[str], where: str, first: str) -> None:
    if found != len(names):
        raise SourceMalformed(
            f"the rows have {found} fields, not {len(names)}",
            where=f"{where}, line 1",
            rows=[{"line": 1, "text": first[:120]}],
            cause=f"another kind of file, or a new layout; expected {', '.join(names)}",
        )


def klines(path: Path, expected: Expected, irregular_rows: str) -> pl.DataFrame:
    """Bars of one zip: ``open_time, interval_seconds``, prices and flows, in the order of the file.

    Raises
    ------
    SourceMalformed
        For text in a number, and, where irregular rows are refused, for rows of another interval or period, repeated
        rows and rows out of order.
    """
    frame = to_numbers(read_table(path, KLINES, KLINES[:-1]), KLINES[:-1], str(path))
    frame = frame.with_columns(_stamp("open_time"), _stamp("close_time"))
    length = (pl.col("close_time") - pl.col("open_time")).dt.total_microseconds()
    # The close time is the last millisecond, or microsecond, of the bar.
    frame = frame.with_columns((length / 1e6).ceil().cast(pl.Int64).alias("interval_seconds"))
    broken = frame.filter(pl.col("interval_seconds").is_null() | (pl.col("interval_seconds") <= 0))
    _refuse(path, frame, broken, "rows have no time, or close before they open", "a damaged file")
    if irregular_rows == "refuse":
        _refuse_irregular(path, frame, expected)
    return frame.select(
        "open_time",
        "interval_seconds",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "quote_volume",
        "trades",
        "taker_buy_volume",
    )


def _refuse_irregular(path: Path, frame: pl.DataFrame, expected: Expected) -> None:
    interval = expected.interval_seconds
    other = frame.filter(pl.col("interval_seconds") != interval)
    _refuse(path, frame, other, f"the interval changes: rows are not of {interval} seconds", "two files under one name")
    off = frame.filter(pl.col("open_time").dt.epoch("us") % (interval * 1_000_000) != 0)
    _refuse(path, frame, off, f"rows do not open on the grid of {interval} seconds", "a changed interval")
    pattern = "%Y-%m" if len(expected.period) == len("2024-01") else "%Y-%m-%d"
    outside = frame.filter(pl.col("open_time").dt.strftime(pattern) != expected.period)
    _refuse(path, frame, outside, f"rows lie outside {expected.period}", "months or days that overlap")
    step = pl.col("open_time").diff()
    _refuse(path, frame, frame.filter(step == pl.duration()), "rows are repeated", "a file that was put together twice")
    _refuse(path, frame, frame.filter(step < pl.duration()), "rows are out of order", "a file that was put together")


def _refuse(path: Path, frame: pl.DataFrame, bad: pl.DataFrame, what: str, cause: str) -> None:
    if bad.height:
        raise SourceMalformed(
            what,
            where=f"{path}, line {bad[LINE][0]}",
            how_many=f"{bad.height} of {frame.height} rows",
            rows=bad.select(pl.col(LINE).alias("line"), "open_time", "interval_seconds", "close"),
            cause=cause,
            action="fetch the file again; if the archive is so, set irregular_rows: quarantine in the source spec",
        )


def funding(path: Path) -> pl.DataFrame:
    """``settle_time, funding_rate, interval_hours`` of one zip.

    Raises
    ------
    SourceMalformed
        When a settlement lacks a field, is no funding rate, or stands twice with another value.
    """
    frame = to_numbers(read_table(path, FUNDING), FUNDING, str(path)).with_columns(_stamp("calc_time"))
    wrong = frame.filter(pl.any_horizontal(pl.col(name).is_null() for name in FUNDING))
    if wrong.height:
        raise SourceMalformed(
            "settlements lack their time, interval or rate",
            where=f"{path}, line {wrong[LINE][0]}",
            how_many=f"{wrong.height} of {frame.height} rows",
            rows=wrong.rename({LINE: "line"}),
        )
    settled = frame.select(
        pl.col("calc_time").alias("settle_time"),
        pl.col("last_funding_rate").alias("funding_rate"),
        pl.col("funding_interval_hours").alias("interval_hours"),
    )
    refuse_no_rates(settled, str(path), "the archive is damaged: fetch the file again")
    settled = settled.unique(maintain_order=True)
    refuse_repeated(settled, "settle_time", "a settlement", str(path))
    return settled


def metrics(path: Path, symbol: str) -> pl.DataFrame:
    """``stamp, open_interest`` (base units) of one zip, in the order of the file; null where the row has no value.

    Raises
    ------
    SourceMalformed
        When a stamp is none, a number is none, or a row is of another symbol.
    """
    frame = read_table(path, METRICS, ("create_time", "symbol", "sum_open_interest"))
    frame = to_numbers(frame, ("sum_open_interest",), str(path))
    other = frame.filter(pl.col("symbol").str.strip_chars() != symbol)
    if other.height:
        raise SourceMalformed(
            f"rows are of another symbol than {symbol}",
            where=f"{path}, line {other[LINE][0]}",
            how_many=f"{other.height} of {frame.height} rows",
            rows=other.select(pl.col(LINE).alias("line"), "create_time", "symbol"),
            cause="a file under a wrong name",
            action="fetch it again",
        )
    frame = _written_stamp(frame, "create_time", path)
    return frame.select(pl.col("create_time").alias("stamp"), pl.col("sum_open_interest").alias("open_interest"))


def book_depth(path: Path, percent: float) -> pl.DataFrame:
    """Mean value resting within a band around the mid, per bar: ``bar, bid_depth_usd, ask_depth_usd``.

    Raises
    ------
    SourceMalformed
        When the file has no such band.
    """
    frame = to_numbers(read_table(path, BOOK_DEPTH), ("percentage", "depth", "notional"), str(path))
    bands = frame["percentage"].unique().sort()
    if percent not in bands or -percent not in bands:
        raise SourceMalformed(
            f"the file has no band of {percent:g} percent",
            where=str(path),
            cause=f"it has {', '.join(f'{band:g}' for band in bands.drop_nulls())}",
            action="choose one of them as book_depth_percent in the source spec",
        )
    frame = _written_stamp(frame, "timestamp", path).with_columns(pl.col("timestamp").dt.truncate("5m").alias("bar"))
    sides = [pl.col("notional").filter(pl.col("percentage") == side * percent).mean() for side in (-1.0, 1.0)]
    return (
        frame.group_by("bar", maintain_order=True)
        .agg(sides[0].alias("bid_depth_usd"), sides[1].alias("ask_depth_usd"))
        .with_columns(pl.lit(None, dtype=pl.Float64).alias("spread_bps"))
        .sort("bar")
    )


def book_ticker(path: Path) -> pl.DataFrame:
    """Time-weighted spread and best level per bar: ``bar, spread_bps, bid_depth_usd, ask_depth_usd``.

    A quote stands until the next one, over the open of a bar too; before the first quote of a file nothing stands.
    """
    frame = to_numbers(read_table(path, BOOK_TICKER), BOOK_TICKER, str(path)).with_columns(_stamp("transaction_time"))
    bid, ask = pl.col("best_bid_price"), pl.col("best_ask_price")
    quotes = frame.filter((bid > 0) & (ask >= bid)).select(
        pl.col("transaction_time").alias("at"),
        ((ask - bid) / (0.5 * (ask + bid)) * 1e4).alias("spread_bps"),
        (bid * pl.col("best_bid_qty")).alias("bid_depth_usd"),
        (ask * pl.col("best_ask_qty")).alias("ask_depth_usd"),
    )
    quotes = quotes.sort("at", maintain_order=True).unique("at", keep="last", maintain_order=True)
    if quotes.height == 0:
        return quotes.select(pl.col("at").alias("bar"), "spread_bps", "bid_depth_usd", "ask_depth_usd")
    ends = [pl.col("at").min().dt.truncate("5m"), pl.col("at").max().dt.truncate("5m")]
    opens = quotes.select(pl.datetime_range(ends[0], ends[1], "5m").alias("at"))
    filled = (
        pl.concat([quotes, opens.join(quotes, on="at", how="anti")], how="diagonal")
        .sort("at")
        .with_columns(pl.exclude("at").forward_fill(), pl.col("at").dt.truncate("5m").alias("bar"))
        .drop_nulls("spread_bps")
    )
    end = pl.col("bar") + pl.duration(minutes=5)
    stood = (pl.min_horizontal(pl.col("at").shift(-1).fill_null(end), end) - pl.col("at")).dt.total_microseconds()
    return (
        filled.with_columns(stood.alias("stood"))
        .group_by("bar", maintain_order=True)
        .agg(
            (pl.col(name) * pl.col("stood")).sum() / pl.col("stood").sum()
            for name in ("spread_bps", "bid_depth_usd", "ask_depth_usd")
        )
        .with_columns(pl.exclude("bar").fill_nan(None))
    )


def _stamp(column: str) -> pl.Expr:
    """Milliseconds or microseconds since 1970 as a time."""
    number = pl.col(column)
    in_microseconds = pl.when(number >= _MICROSECONDS_FROM).then(number).otherwise(number * 1e3)
    return in_microseconds.cast(pl.Int64).cast(_UTC).alias(column)


def _written_stamp(frame: pl.DataFrame, column: str, path: Path) -> pl.DataFrame:
    parsed = frame.with_columns(
        pl.col(column).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us", time_zone="UTC")
    )
    wrong = frame.filter(parsed[column].is_null())
    if wrong.height:
        raise SourceMalformed(
            f"the column {column!r} holds what is no time",
            where=f"{path}, line {wrong[LINE][0]}",
            how_many=f"{wrong.height} of {frame.height} rows",
            rows=wrong.select(pl.col(LINE).alias("line"), column),
        )
    return parsed
