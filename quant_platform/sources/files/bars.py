"""Bars in one long file, or in one file per ticker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Protocol

import polars as pl

from quant_platform.contracts.columns import distinct
from quant_platform.contracts.errors import SourceMalformed, SourceNotFound, SpecError
from quant_platform.contracts.findings import Finding, examples
from quant_platform.contracts.ordering import sorted_by
from quant_platform.sources.files.dates import to_dates
from quant_platform.sources.files.text import LINE, read_csv, require_columns, require_file, to_numbers
from quant_platform.sources.protocol import bars_schema, safe_ticker
from quant_platform.specification.sources import PRICE_COLUMNS, BarFiles, FilesSpec, SourceSpec, TickerRule

# Names that no vendor gives a column, so that a file may have columns called ticker or source_row.
TICKER, ROW = "__ticker", "__row"

_ORDER = ("ticker", "session", "source_row")

MOST_KEPT_BYTES = 512 << 20
BYTES_A_FIELD = 8


class BarReader(Protocol):
    """How one layout finds and reads bars."""

    @property
    def tickers(self) -> tuple[str, ...]:
        """Our tickers, sorted."""
        ...

    @property
    def found(self) -> Mapping[tuple[str, str], tuple[Finding, ...]]:
        """What reading brought to light so far, by file and what was read of it."""
        ...

    def read(self, tickers: Sequence[str]) -> pl.DataFrame:
        """``raw.equity_bars`` of some tickers, sorted by ticker and session."""
        ...


def our_ticker(vendor: str, files: FilesSpec, *, where: str, rule: TickerRule | None = None) -> str:
    """The vendor's ticker in our spelling, by the rule of the file where it has one of its own."""
    return safe_ticker(respelled(vendor, rule or files.ticker), where=where)


def respelled(vendor: str, rule: TickerRule) -> str:
    """The vendor's ticker by a rule, whatever comes of it."""
    text = vendor.strip().upper()
    for old, new in rule.replace.items():
        text = text.replace(old.upper(), new)
    return text


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
    found: dict[tuple[str, str], tuple[Finding, ...]] = field(default_factory=dict, repr=False, compare=False)

    def shape(self, frame: pl.DataFrame, where: str) -> pl.DataFrame:
        """Parse, check and rename; `frame` has the vendor's columns, `TICKER` and `ROW`.

        Raises
        ------
        SourceMalformed
            For text in a number, a date in another format or in the future, and two rows of one key where the spec
            refuses them.
        """
        columns = self.layout.columns
        names = {name: str(getattr(columns, name)) for name in PRICE_COLUMNS}
        frame = to_dates(frame, columns.session, where, self.layout, exchange=self.spec.exchange, must_be_sessions=True)
        prices = list(dict.fromkeys(names[name] for name in PRICE_COLUMNS if name != "volume"))
        frame = to_numbers(frame, prices, where, self.layout)
        if names["volume"] not in prices:
            frame = to_numbers(frame, [names["volume"]], where, self.layout, suffixes=True)
        shaped = frame.select(
            pl.col(TICKER).alias("ticker"),
            pl.col(ROW).cast(pl.Int64).alias("source_row"),
            pl.col(columns.session).alias("session"),
            *(pl.col(vendor).alias(name) for name, vendor in names.items()),
            pl.lit(self.spec.adjustment, bars_schema()["adjustment"]).alias("adjustment"),
            pl.lit(self.spec.name).alias("source"),
            *[name for name in (LINE, *self.action_columns) if name in frame.columns],
        )
        refuse_future(shaped, self.today, self.files.max_future_days, where)
        if self.layout.on_duplicate_key == "refuse":
            refuse_duplicates(shaped, where)
        self._note(shaped, where)
        bars = shaped.select(bars_schema().names())
        # Rows of a file mostly come by date.
        return sorted_by(bars if bars.schema == bars_schema() else bars.cast(bars_schema()), _ORDER)

    @property
    def wanted(self) -> list[str]:
        """The vendor's columns that are read, each once."""
        columns = self.layout.columns
        return list(
            dict.fromkeys([*(str(getattr(columns, n)) for n in ("session", *PRICE_COLUMNS)), *self.action_columns])
        )

    @property
    def action_columns(self) -> tuple[str, ...]:
        """The vendor's columns of corporate actions."""
        beside = self.layout.action_columns
        return () if beside is None else tuple(name for name in (beside.split, beside.cash_dividend) if name)

    def note(self, where: str, findings: Sequence[Finding]) -> None:
        """Keep what reading a file brought to light."""
        if findings:
            self.found[where, "file"] = tuple(findings)

    def _note(self, shaped: pl.DataFrame, where: str) -> None:
        tickers = distinct(shaped["ticker"])
        key = (where, ",".join(tickers) if len(tickers) < 3 else "many")
        self.found.pop(key, None)
        prices = [name for name in PRICE_COLUMNS if name != "volume"]
        if not all(shaped[name].null_count() for name in prices):
            return
        without = shaped.filter(pl.all_horizontal(pl.col(name).is_null() for name in prices))
        if without.height:
            self.found[key] = (
                Finding(
                    "rows_without_prices",
                    where,
                    "rows have a date and no price; they are kept as delivered, and cleaning counts them",
                    without.height,
                    shaped.height,
                    examples(f"{ticker} {day}" for ticker, day in without.select("ticker", "session").iter_rows()),
                ),
            )


def refuse_future(frame: pl.DataFrame, today: date, max_future_days: int, where: str) -> None:
    """Raise ``SourceMalformed`` where a bar is dated later than the day it was read."""
    last, newest = today + timedelta(days=max_future_days), frame["session"].max()
    if isinstance(newest, date) and newest > last:
        future = frame.filter(pl.col("session") > last)
        raise SourceMalformed(
            f"bars are dated after today, {today}",
            where=where,
            how_many=f"{future.height} of {frame.height} rows",
            rows=future.select("ticker", "session", "close", *([LINE] if LINE in future.columns else [])),
            cause="day and month exchanged by the date format, or a vendor's forecast row",
            action="correct files.bars.date_format in the source spec, or the file",
        )


def refuse_duplicates(frame: pl.DataFrame, where: str) -> None:
    """Raise ``SourceMalformed`` where a ticker and date stand in several rows."""
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
    """``<folder>/<ticker><suffix>``: the file name is the ticker.

    ``others`` are files of other sections of the spec, which may lie in the folder of the bars.
    """

    shape: BarShape
    folder: Path
    others: frozenset[Path] = frozenset()

    @cached_property
    def _paths(self) -> Mapping[str, Path]:
        pattern = Path(self.shape.layout.path)
        parent = self.folder / pattern.parent
        if not parent.is_dir():
            raise SourceNotFound("the folder of bars does not exist", where=str(parent))
        if ".." in pattern.parts or pattern.is_absolute():
            raise SpecError(
                f"bars.path leaves the folder of the source: {self.shape.layout.path!r}", where="source spec"
            )
        prefix, suffix = pattern.name.split("*")
        found: dict[str, Path] = {}
        for path in sorted(parent.glob(pattern.name)):
            if path in self.others:
                continue
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

    @property
    def found(self) -> Mapping[tuple[str, str], tuple[Finding, ...]]:
        """What reading brought to light so far."""
        return self.shape.found

    def read(self, tickers: Sequence[str]) -> pl.DataFrame:
        """Read one file after the other."""
        return pl.concat([self._one(ticker) for ticker in tickers]) if tickers else pl.DataFrame(schema=bars_schema())

    def rows(self, ticker: str) -> tuple[pl.DataFrame, str]:
        """Rows of one ticker in the vendor's columns, and where they stand."""
        path = self._paths.get(ticker)
        if path is None:
            raise unknown_ticker(ticker, self.shape.spec.name)
        frame = _read_any(path, ticker, self.shape)
        return frame.with_columns(pl.lit(ticker).alias(TICKER), pl.int_range(pl.len(), dtype=pl.Int64).alias(ROW)), str(
            path
        )

    def _one(self, ticker: str) -> pl.DataFrame:
        return self.shape.shape(*self.rows(ticker))


def _read_any(path: Path, ticker: str, shape: BarShape) -> pl.DataFrame:
    wanted, where = shape.wanted, str(path)
    if path.suffix == ".parquet":
        require_file(path)
        lazy = _open_parquet(path)
        require_columns(lazy.collect_schema().names(), wanted, where, shape.layout.ignored_columns)
        return lazy.select(wanted).collect()
    table = read_csv(path, shape.layout)
    require_columns(table.frame.columns, wanted, where, shape.layout.ignored_columns)
    named = [respelled(name, shape.files.ticker) for name in table.tickers]
    other = [name for name in named if name != ticker]
    identity = (
        []
        if not other
        else [
            Finding(
                "header_names_another_ticker",
                where,
                f"the header says that the bars are of {', '.join(other)}, the name of the file says {ticker}",
                1,
                action="rename the file, or fetch it again",
            )
        ]
    )
    shape.note(where, [*table.findings, *identity])
    return table.frame.select(*wanted, LINE)


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

    The file is read once and kept, the rows of a ticker together, so that a ticker costs its own rows. A Parquet file
    of more than `MOST_KEPT_BYTES` is not: from it one ticker costs the row groups it lies in, which are few where it is
    sorted by ticker.
    """

    shape: BarShape
    path: Path

    @property
    def _ticker_column(self) -> str:
        return str(self.shape.layout.columns.ticker)

    @cached_property
    def _rows(self) -> pl.LazyFrame:
        require_file(self.path)
        shape, where = self.shape, str(self.path)
        wanted = list(dict.fromkeys([self._ticker_column, *shape.wanted]))
        if self.path.suffix == ".parquet":
            lazy = _open_parquet(self.path)
            schema = lazy.collect_schema()
            require_columns(schema.names(), wanted, where, shape.layout.ignored_columns)
            # The file's own columns are taken by name first, so that no name of ours can meet one of them.
            return lazy.select(wanted).with_row_index(ROW).with_columns(_as_text(self._ticker_column, schema))
        table = read_csv(self.path, shape.layout)
        require_columns(table.frame.columns, wanted, where, shape.layout.ignored_columns)
        shape.note(where, table.findings)
        return table.frame.select(*wanted, LINE).with_row_index(ROW).lazy()

    @cached_property
    def _together(self) -> tuple[pl.DataFrame, Mapping[str, tuple[int, int]]] | None:
        """The rows by ticker, and where those of each of the vendor's begin and how many they are; None if too many."""
        column = self._ticker_column
        width = len(self._rows.collect_schema())
        if self.path.suffix == ".parquet" and self._count() * width * BYTES_A_FIELD > MOST_KEPT_BYTES:
            return None
        frame = self._rows.collect()
        if not frame[column].is_sorted():
            # Rows of one ticker stay in the order of the file.
            frame = frame.sort(column, maintain_order=True)
        runs = frame[column].rle().struct.unnest()
        begins = runs["len"].cum_sum() - runs["len"]
        return frame, dict(zip(runs["value"], zip(begins, runs["len"], strict=True), strict=True))

    def _count(self) -> int:
        return int(self._rows.select(pl.len()).collect().item())

    @cached_property
    def _vendor_names(self) -> Mapping[str, str]:
        names = self._rows.select(pl.col(self._ticker_column).unique()).collect()[self._ticker_column].cast(pl.String)
        if names.null_count():
            raise SourceMalformed("rows have no ticker", where=f"{self.path}, column {self._ticker_column!r}")
        found: dict[str, str] = {}
        for vendor in names.sort().to_list():
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

    @property
    def found(self) -> Mapping[tuple[str, str], tuple[Finding, ...]]:
        """What reading brought to light so far."""
        return self.shape.found

    def read(self, tickers: Sequence[str]) -> pl.DataFrame:
        """Read the rows of some tickers in one pass."""
        return self.shape.shape(*self.rows(*tickers)) if tickers else pl.DataFrame(schema=bars_schema())

    def rows(self, *tickers: str) -> tuple[pl.DataFrame, str]:
        """Rows of some tickers in the vendor's columns, and where they stand."""
        ours = {}
        for ticker in tickers:
            if ticker not in self._vendor_names:
                raise unknown_ticker(ticker, self.shape.spec.name)
            ours[self._vendor_names[ticker]] = ticker
        column = pl.col(self._ticker_column)
        named = pl.lit(tickers[0]) if len(ours) == 1 else column.replace_strict(ours, return_dtype=pl.String)
        return self._rows_of(list(ours)).with_columns(named.alias(TICKER)), str(self.path)

    def _rows_of(self, vendors: Sequence[str]) -> pl.DataFrame:
        if self._together is not None:
            frame, spans = self._together
            parts = [frame.slice(*spans[vendor]) for vendor in vendors]
            return parts[0] if len(parts) == 1 else pl.concat(parts)
        column = pl.col(self._ticker_column)
        # One name is compared, so that the statistics of the row groups can rule the others out.
        chosen = column == vendors[0] if len(vendors) == 1 else column.is_in(list(vendors))
        return self._rows.filter(chosen).collect()


def _as_text(column: str, schema: pl.Schema) -> pl.Expr:
    """Tickers as text; whole numbers, such as a PERMNO, without a decimal point."""
    dtype = schema[column]
    if dtype.is_float():
        whole = pl.col(column).cast(pl.Int64, strict=False)
        return pl.when(whole == pl.col(column)).then(whole.cast(pl.String)).otherwise(pl.col(column).cast(pl.String))
    return pl.col(column) if dtype == pl.String else pl.col(column).cast(pl.String)
