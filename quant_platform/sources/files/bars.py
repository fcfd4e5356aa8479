"""Bars in one long file, or in one file per ticker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Protocol

import polars as pl

from quant_platform.contracts.errors import SourceMalformed, SourceNotFound
from quant_platform.sources.files.text import (
    LINE,
    read_csv_text,
    require_columns,
    require_file,
    to_dates,
    to_numbers,
)
from quant_platform.sources.protocol import bars_schema, safe_ticker
from quant_platform.specification.sources import PRICE_COLUMNS, BarFiles, FilesSpec, SourceSpec


class BarReader(Protocol):
    """How one layout finds and reads bars."""

    @property
    def tickers(self) -> tuple[str, ...]:
        """Our tickers, sorted."""
        ...

    def read(self, tickers: Sequence[str]) -> pl.DataFrame:
        """``raw.equity_bars`` of some tickers, sorted by ticker and session."""
        ...


def our_ticker(vendor: str, files: FilesSpec, *, where: str) -> str:
    """The vendor's ticker in our spelling."""
    text = vendor.strip().upper()
    for old, new in files.ticker.replace.items():
        text = text.replace(old.upper(), new)
    return safe_ticker(text, where=where)


def unknown_ticker(ticker: str, source: str) -> SourceNotFound:
    """The error for a ticker the source does not have."""
    return SourceNotFound(
        f"the source has no ticker {ticker!r}",
        where=f"source {source!r}",
        action="ask the source for its tickers; they are upper case",
    )


@dataclass(frozen=True)
class BarShape:
    """What turns a frame in the vendor's columns into ``raw.equity_bars``."""

    spec: SourceSpec
    files: FilesSpec
    layout: BarFiles
    today: date

    def shape(self, frame: pl.DataFrame, where: str) -> pl.DataFrame:
        """Parse, check and rename; `frame` has the vendor's columns, ``ticker`` and ``source_row`` in ours.

        Raises
        ------
        SourceMalformed
            For text in a number, a date in another format or in the future, and two rows of one key where the spec
            refuses them.
        """
        columns = self.layout.columns
        names = {name: str(getattr(columns, name)) for name in PRICE_COLUMNS}
        frame = to_dates(frame, columns.session, self.layout.date_format, where)
        frame = to_numbers(frame, list(names.values()), where)
        line = [LINE] if LINE in frame.columns else []
        shaped = frame.select(
            "ticker",
            "source_row",
            pl.col(columns.session).alias("session"),
            *(pl.col(vendor).alias(name) for name, vendor in names.items()),
            pl.lit(self.spec.adjustment).alias("adjustment"),
            pl.lit(self.spec.name).alias("source"),
            *line,
        )
        refuse_future(shaped, self.today, self.files.max_future_days, where)
        if self.layout.on_duplicate_key == "refuse":
            _refuse_duplicates(shaped, where)
        return shaped.select(bars_schema().names()).cast(bars_schema()).sort("ticker", "session", "source_row")


def refuse_future(frame: pl.DataFrame, today: date, max_future_days: int, where: str) -> None:
    """Raise ``SourceMalformed`` where a bar is dated later than the day it was read."""
    future = frame.filter(pl.col("session") > today + timedelta(days=max_future_days))
    if future.height:
        raise SourceMalformed(
            f"bars are dated after today, {today}",
            where=where,
            how_many=f"{future.height} of {frame.height} rows",
            rows=future.select("ticker", "session", "close", *([LINE] if LINE in future.columns else [])),
            cause="day and month exchanged by the date format, or a vendor's forecast row",
            action="correct files.bars.date_format in the source spec, or the file",
        )


def _refuse_duplicates(frame: pl.DataFrame, where: str) -> None:
    repeated = frame.filter(pl.struct("ticker", "session").is_duplicated()).sort("ticker", "session")
    if repeated.height:
        raise SourceMalformed(
            "several rows have the same ticker and date",
            where=where,
            how_many=f"{repeated.height} of {frame.height} rows",
            rows=repeated.select("ticker", "session", "close", *([LINE] if LINE in repeated.columns else [])),
            action="correct the file, or set files.bars.on_duplicate_key: quarantine to let cleaning judge them",
        )


@dataclass(frozen=True)
class FilePerTicker:
    """``<folder>/<ticker><suffix>``: the file name is the ticker."""

    shape: BarShape
    folder: Path

    @cached_property
    def _paths(self) -> Mapping[str, Path]:
        pattern = Path(self.shape.layout.path)
        parent = self.folder / pattern.parent
        if not parent.is_dir():
            raise SourceNotFound("the folder of bars does not exist", where=str(parent))
        prefix, suffix = pattern.name.split("*")
        found: dict[str, Path] = {}
        for path in sorted(parent.glob(pattern.name)):
            vendor = path.name[len(prefix) : len(path.name) - len(suffix)]
            ticker = our_ticker(vendor, self.shape.files, where=str(path))
            if ticker in found:
                raise SourceMalformed(
                    f"two files are named for the ticker {ticker!r}", where=f"{found[ticker]} and {path}"
                )
            found[ticker] = path
        if not found:
            raise SourceNotFound("no file matches the pattern of the source spec", where=str(parent / pattern.name))
        return found

    @property
    def tickers(self) -> tuple[str, ...]:
        """Our tickers, sorted."""
        return tuple(sorted(self._paths))

    def read(self, tickers: Sequence[str]) -> pl.DataFrame:
        """Read one file after the other."""
        return pl.concat([self._one(ticker) for ticker in tickers]) if tickers else pl.DataFrame(schema=bars_schema())

    def _one(self, ticker: str) -> pl.DataFrame:
        path = self._paths.get(ticker)
        if path is None:
            raise unknown_ticker(ticker, self.shape.spec.name)
        frame = _read_any(path, self.shape.layout)
        frame = frame.with_columns(
            pl.lit(ticker).alias("ticker"), pl.int_range(pl.len(), dtype=pl.Int64).alias("source_row")
        )
        return self.shape.shape(frame, str(path))


def _read_any(path: Path, layout: BarFiles) -> pl.DataFrame:
    columns = layout.columns
    wanted = [str(getattr(columns, name)) for name in ("session", *PRICE_COLUMNS)]
    if path.suffix == ".parquet":
        require_file(path)
        frame = _open_parquet(path).collect()
    else:
        frame = read_csv_text(path, separator=layout.separator)
    require_columns(frame.columns, wanted, str(path), layout.ignored_columns)
    return frame


def _open_parquet(path: Path) -> pl.LazyFrame:
    try:
        lazy = pl.scan_parquet(path)
        lazy.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceMalformed(
            f"the file is not readable Parquet: {str(error).splitlines()[0]}",
            where=str(path),
            cause="a truncated download, or another format under this name",
        ) from error
    return lazy


@dataclass(frozen=True)
class LongFile:
    """One file of all tickers; ``source_row`` is the position in that file.

    From Parquet sorted by ticker, one ticker costs the row groups it lies in; a CSV is read once and kept.
    """

    shape: BarShape
    path: Path

    @property
    def _ticker_column(self) -> str:
        return str(self.shape.layout.columns.ticker)

    @cached_property
    def _rows(self) -> pl.LazyFrame:
        require_file(self.path)
        layout = self.shape.layout
        wanted = [self._ticker_column, *(str(getattr(layout.columns, n)) for n in ("session", *PRICE_COLUMNS))]
        if self.path.suffix == ".parquet":
            lazy = _open_parquet(self.path)
            require_columns(lazy.collect_schema().names(), wanted, str(self.path), layout.ignored_columns)
            return pl.scan_parquet(self.path, row_index_name="source_row")
        frame = read_csv_text(self.path, separator=layout.separator)
        require_columns(frame.columns, wanted, str(self.path), layout.ignored_columns)
        return frame.with_columns((pl.int_range(pl.len(), dtype=pl.Int64)).alias("source_row")).lazy()

    @cached_property
    def _vendor_names(self) -> Mapping[str, str]:
        names = self._rows.select(pl.col(self._ticker_column).unique()).collect()[self._ticker_column]
        if names.null_count():
            raise SourceMalformed("rows have no ticker", where=f"{self.path}, column {self._ticker_column!r}")
        found: dict[str, str] = {}
        for vendor in names.cast(pl.String).sort().to_list():
            ticker = our_ticker(vendor, self.shape.files, where=f"{self.path}, column {self._ticker_column!r}")
            if ticker in found:
                raise SourceMalformed(
                    f"two of the vendor's tickers become {ticker!r}: {found[ticker]!r} and {vendor!r}",
                    where=str(self.path),
                )
            found[ticker] = vendor
        if not found:
            raise SourceMalformed("the file has no rows", where=str(self.path), action="fetch it again")
        return found

    @property
    def tickers(self) -> tuple[str, ...]:
        """Our tickers, sorted."""
        return tuple(sorted(self._vendor_names))

    def read(self, tickers: Sequence[str]) -> pl.DataFrame:
        """Read the rows of some tickers in one pass."""
        ours = {}
        for ticker in tickers:
            if ticker not in self._vendor_names:
                raise unknown_ticker(ticker, self.shape.spec.name)
            ours[self._vendor_names[ticker]] = ticker
        column = pl.col(self._ticker_column)
        # One name is compared, so that the statistics of the row groups can rule the others out.
        chosen = column == next(iter(ours)) if len(ours) == 1 else column.is_in(list(ours))
        frame = self._rows.filter(chosen).collect()
        # Ours may have the vendor's name for the column; the vendor's goes first.
        frame = frame.with_columns(
            column.replace_strict(ours, return_dtype=pl.String).alias("__ours"), pl.col("source_row").cast(pl.Int64)
        )
        frame = frame.drop(self._ticker_column).rename({"__ours": "ticker"})
        return self.shape.shape(frame, str(self.path))
