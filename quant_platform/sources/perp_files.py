"""Perpetual and spot bars and funding out of feather or Parquet files, as freqtrade writes them.

One file per pair and kind with the columns ``date, open, high, low, close, volume``. A funding file has the rate in
``open`` and zeros elsewhere; its stamps are late by milliseconds, and are passed on as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SourceMalformed, SourceNotFound, SpecError
from quant_platform.sources.files.text import require_columns, require_file
from quant_platform.sources.perp_protocol import (
    bars_schema,
    book_schema,
    funding_schema,
    liquidations_schema,
    open_interest_schema,
    require_month,
    require_symbol,
)
from quant_platform.specification.perp_sources import PerpFilesSpec, PerpSourceSpec

_PRICES = ("open", "high", "low", "close", "volume")
_UTC = pl.Datetime("us", "UTC")
_FEATHER = (".feather", ".arrow", ".ipc")

# This many equal steps in a row are an interval, not a coincidence of holes.
_RUN_BARS = 12


@dataclass(frozen=True)
class PerpFilesSource:
    """Raw tables out of a folder; each file is read once per instance."""

    spec: PerpSourceSpec
    folder: Path

    @property
    def name(self) -> str:
        """Name of the source spec."""
        return self.spec.name

    @property
    def simulated(self) -> bool:
        """Files are taken for real."""
        return False

    def symbols(self) -> list[str]:
        """The symbols of the spec whose file of perpetual bars is there."""
        return sorted(name for name in self._section.symbols if self._path(self._section.perp, name).is_file())

    def months(self, symbol: str) -> list[str]:
        """Months from the first bar of the perpetual to the last.

        Raises
        ------
        SourceMalformed
            When a month between them has no bar.
        """
        self._require(symbol)
        found = self._bars("perp", symbol)["month"].unique().sort().to_list()
        first, last = _number(found[0]), _number(found[-1])
        wanted = [f"{m // 12:04d}-{m % 12 + 1:02d}" for m in range(first, last + 1)]
        gone = [month for month in wanted if month not in set(found)]
        if gone:
            raise SourceMalformed(
                f"months without a single bar lie between others: {', '.join(gone[:5])}",
                where=str(self._path(self._section.perp, symbol)),
                how_many=f"{len(gone)} of {len(wanted)} months",
                cause="a download that was broken off and taken up later",
                action="download the missing months into the file",
            )
        return found

    def bars(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.perp_bars``."""
        require_month(month, self.months(symbol), symbol, self.name)
        return self._bars("perp", symbol).filter(pl.col("month") == month)

    def spot_bars(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.spot_bars``; empty where there is no file."""
        require_month(month, self.months(symbol), symbol, self.name)
        pattern = self._section.spot
        if pattern is None or not self._path(pattern, symbol).is_file():
            return bars_schema().to_frame()
        return self._bars("spot", symbol).filter(pl.col("month") == month)

    def funding(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.funding``; empty where there is no file."""
        require_month(month, self.months(symbol), symbol, self.name)
        pattern = self._section.funding
        if pattern is None or not self._path(pattern, symbol).is_file():
            return funding_schema().to_frame()
        return self._funding(symbol).filter(pl.col("month") == month)

    def open_interest(self, symbol: str, month: str) -> pl.DataFrame:
        """Empty: the layout has none."""
        require_month(month, self.months(symbol), symbol, self.name)
        return open_interest_schema().to_frame()

    def liquidations(self, symbol: str, month: str) -> pl.DataFrame:
        """Empty: the layout has none."""
        require_month(month, self.months(symbol), symbol, self.name)
        return liquidations_schema().to_frame()

    def book(self, symbol: str, month: str) -> pl.DataFrame:
        """Empty: the layout has none."""
        require_month(month, self.months(symbol), symbol, self.name)
        return book_schema().to_frame()

    @property
    def _section(self) -> PerpFilesSpec:
        if self.spec.perp_files is None:
            raise SpecError("the source spec has no section 'perp_files'", where=f"source {self.spec.name!r}")
        return self.spec.perp_files

    def _require(self, symbol: str) -> None:
        if symbol in self._section.symbols:
            require_file(self._path(self._section.perp, symbol))
        require_symbol(symbol, self.symbols(), self.name)

    def _path(self, pattern: str, symbol: str) -> Path:
        return self.folder / pattern.replace("*", self._section.symbols[symbol])

    @cached_property
    def _held(self) -> dict[tuple[str, str], pl.DataFrame]:
        return {}

    def _bars(self, market: str, symbol: str) -> pl.DataFrame:
        held = self._held.get((market, symbol))
        if held is None:
            pattern = self._section.perp if market == "perp" else self._section.spot
            held = self._read_bars(self._path(pattern or "", symbol), symbol)
            self._held[market, symbol] = held
        return held

    def _read_bars(self, path: Path, symbol: str) -> pl.DataFrame:
        seconds = self._section.bar_seconds
        frame = _read(path, _PRICES)
        _refuse_other_interval(path, frame, seconds)
        return (
            frame.select(
                pl.lit(symbol).alias("symbol"),
                pl.col("date").dt.strftime("%Y-%m").alias("month"),
                pl.col("date").alias("open_time"),
                pl.lit(seconds, dtype=pl.Int64).alias("interval_seconds"),
                *_PRICES,
                *(
                    pl.lit(None, dtype=pl.Float64).alias(name)
                    for name in ("quote_volume", "trades", "taker_buy_volume")
                ),
                (pl.col("date") + pl.duration(seconds=seconds)).alias("known_at"),
                pl.lit(self.name).alias("source"),
            )
            .with_columns(pl.int_range(pl.len(), dtype=pl.Int64).over("month").alias("source_row"))
            .select(bars_schema().names())
            .cast(bars_schema())
        )

    def _funding(self, symbol: str) -> pl.DataFrame:
        held = self._held.get(("funding", symbol))
        if held is None:
            path = self._path(self._section.funding or "", symbol)
            held = self._read_funding(path, symbol)
            self._held["funding", symbol] = held
        return held

    def _read_funding(self, path: Path, symbol: str) -> pl.DataFrame:
        column = self._section.funding_rate_column
        frame = _read(path, (column,))
        wrong = frame.filter(pl.col(column).is_null() | ~pl.col(column).is_finite() | (pl.col(column).abs() >= 1.0))
        if wrong.height:
            raise SourceMalformed(
                f"the column {column!r} holds what is no funding rate",
                where=str(path),
                how_many=f"{wrong.height} of {frame.height} rows",
                rows=wrong.select("date", column),
                cause="another column holds the rate, or it is in percent or basis points",
                action="correct funding_rate_column in the source spec",
            )
        repeated = frame.filter(pl.col("date").is_duplicated())
        if repeated.height:
            raise SourceMalformed(
                "a settlement stands twice",
                where=str(path),
                how_many=f"{repeated.height} of {frame.height} rows",
                rows=repeated.select("date", column),
                action="remove one of the rows, or download the file again",
            )
        return (
            frame.select(
                pl.lit(symbol).alias("symbol"),
                pl.col("date").dt.strftime("%Y-%m").alias("month"),
                pl.col("date").alias("settle_time"),
                pl.col(column).alias("funding_rate"),
                pl.lit(None, dtype=pl.Float64).alias("interval_hours"),
                pl.col("date").alias("known_at"),
                pl.lit(self.name).alias("source"),
            )
            .select(funding_schema().names())
            .cast(funding_schema())
        )


def _number(month: str) -> int:
    return int(month[:4]) * 12 + int(month[5:]) - 1


def _refuse_other_interval(path: Path, frame: pl.DataFrame, seconds: int) -> None:
    """Refuse a file, or a stretch of one, whose bars lie another step apart: a longer bar would pass for a short one.

    Single rows out of step are holes, duplicates or strays, and are left to cleaning.
    """
    runs = (
        frame.select(pl.col("date").diff().dt.total_seconds().alias("step").rle())
        .unnest("step")
        .with_columns(pl.col("len").cum_sum().alias("end"))
    )
    other = runs.filter((pl.col("value") != seconds) & (pl.col("value") != 0) & (pl.col("len") >= _RUN_BARS))
    if other.height:
        steps, end = int(other["len"][0]), int(other["end"][0])
        raise SourceMalformed(
            f"bars lie {int(other['value'][0])} seconds apart, not {seconds}",
            where=f"{path}, row {end - steps}, {frame['date'][end - steps]}",
            how_many=f"{int(other['len'].sum())} of {frame.height} rows",
            cause="a file of another interval, or an interval that changed on the way",
            action="download the file again with one interval, or correct bar_seconds in the source spec",
        )


def _read(path: Path, numbers: tuple[str, ...]) -> pl.DataFrame:
    """Read ``date`` and columns of numbers."""
    require_file(path)
    try:
        frame = pl.read_ipc(path) if path.suffix in _FEATHER else pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceMalformed(
            f"the file is not readable: {str(error).splitlines()[0]}",
            where=str(path),
            cause="a download that was broken off, or another format under this name",
            action="download it again",
        ) from error
    require_columns(frame.columns, ["date", *numbers], str(path))
    if frame.height == 0:
        raise SourceNotFound("the file has no rows", where=str(path), action="download it again, or remove it")
    stamps = frame.schema["date"]
    if not isinstance(stamps, pl.Datetime) or stamps.time_zone != "UTC":
        raise SourceMalformed(
            f"the column 'date' is {stamps}, not a UTC time",
            where=str(path),
            cause="a file of another program: without a zone nobody knows when a bar opened",
        )
    wrong = [f"{name} ({frame.schema[name]})" for name in numbers if not frame.schema[name].is_numeric()]
    if wrong:
        raise SourceMalformed(f"columns are not numbers: {', '.join(wrong)}", where=str(path))
    if frame["date"].null_count():
        raise SourceMalformed(
            "rows have no time", where=str(path), how_many=f"{frame['date'].null_count()} of {frame.height} rows"
        )
    return frame.select(pl.col("date").cast(_UTC), *(pl.col(name).cast(pl.Float64) for name in numbers))
