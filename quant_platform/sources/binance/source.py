"""The public archive of Binance behind the protocol every perpetual source follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SourceMalformed, SourceNotFound
from quant_platform.sources.binance import layout, tables
from quant_platform.sources.binance.archive import Archive
from quant_platform.sources.perp_protocol import (
    bars_schema,
    book_schema,
    funding_schema,
    liquidations_schema,
    open_interest_schema,
    require_month,
    require_symbol,
)
from quant_platform.specification.perp_sources import BinanceSpec, PerpSourceSpec

_SECONDS = {"1m": 60, "5m": 300}

# The archive stamps open interest with the time it is for; the venue publishes it within one bar.
_OPEN_INTEREST_DELAY = timedelta(minutes=5)


@dataclass(frozen=True)
class BinanceSource:
    """Raw tables out of the archive. A month is one file, or, where it is not out yet, its days."""

    spec: PerpSourceSpec
    section: BinanceSpec
    archive: Archive

    @property
    def name(self) -> str:
        """Name of the source spec."""
        return self.spec.name

    @property
    def simulated(self) -> bool:
        """Never."""
        return False

    def symbols(self) -> list[str]:
        """The symbols of the spec."""
        return sorted(self.section.symbols)

    def months(self, symbol: str) -> list[str]:
        """Months of the spec's span with bars; the archive is asked once per instance.

        Raises
        ------
        SourceNotFound
            When there is none, or one is missing between others.
        """
        require_symbol(symbol, self.symbols(), self.name)
        held = self._months.get(symbol)
        if held is None:
            held = self._months[symbol] = self._ask_months(symbol)
        return held

    def bars(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.perp_bars``."""
        require_month(month, self.months(symbol), symbol, self.name)
        found = self._klines("perp", symbol, self.section.perp_interval, month)
        if found is None:
            name = layout.klines("perp", symbol, self.section.perp_interval, month)
            raise SourceNotFound(
                f"the archive has no bars of {symbol} in {month}", where=name, action="fetch it again later"
            )
        return found

    def spot_bars(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.spot_bars``; empty where the spec wants none or the pair has no spot market."""
        require_month(month, self.months(symbol), symbol, self.name)
        if self.section.spot_interval is None:
            return bars_schema().to_frame()
        found = self._klines("spot", symbol, self.section.spot_interval, month)
        return bars_schema().to_frame() if found is None else found

    def funding(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.funding``; a settlement is known at its stamp.

        Raises
        ------
        SourceNotFound
            When the spec wants funding and the archive has no file of the month.
        """
        require_month(month, self.months(symbol), symbol, self.name)
        if not self.section.funding:
            return funding_schema().to_frame()
        name = layout.futures("fundingRate", symbol, month)
        path = self.archive.find(name)
        if path is None:
            raise SourceNotFound(
                f"the archive has no funding of {symbol} in {month}",
                where=name,
                cause="funding is published with the month's end",
                action="choose an earlier last_month, or set funding: false in the source spec",
            )
        found = tables.funding(path).with_columns(pl.col("settle_time").alias("known_at"))
        return self._rows(found, symbol, month, "settle_time", funding_schema())

    def open_interest(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.open_interest`` in base units, known a bar after the minute of its stamp.

        Days that the archive lacks are holes; a month without a day is empty.
        """
        require_month(month, self.months(symbol), symbol, self.name)
        if not self.section.metrics:
            return open_interest_schema().to_frame()
        found = self._daily("metrics", symbol, month, tables.metrics)
        if not found:
            return open_interest_schema().to_frame()
        known = pl.col("stamp").dt.truncate("1m") + _OPEN_INTEREST_DELAY
        # The file of a day ends with the first stamp of the next, which stands in that day's file again.
        rows = pl.concat(found).with_columns(known.alias("known_at")).unique(maintain_order=True)
        inside = rows.filter(pl.col("stamp").dt.strftime("%Y-%m") == month)
        return self._rows(inside, symbol, month, "stamp", open_interest_schema())

    def liquidations(self, symbol: str, month: str) -> pl.DataFrame:
        """Empty: the archive no longer publishes them."""
        require_month(month, self.months(symbol), symbol, self.name)
        return liquidations_schema().to_frame()

    def book(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.book`` from bookTicker or bookDepth; days that the archive lacks are holes."""
        require_month(month, self.months(symbol), symbol, self.name)
        if self.section.book == "book_ticker":
            found = self._daily("bookTicker", symbol, month, tables.book_ticker)
        elif self.section.book == "book_depth":
            percent = self.section.book_depth_percent
            found = self._daily("bookDepth", symbol, month, lambda path: tables.book_depth(path, percent))
        else:
            found = []
        if not found:
            return book_schema().to_frame()
        rows = pl.concat(found, how="diagonal").with_columns((pl.col("bar") + pl.duration(minutes=5)).alias("known_at"))
        return self._rows(rows, symbol, month, "bar", book_schema())

    @cached_property
    def _months(self) -> dict[str, list[str]]:
        return {}

    def _ask_months(self, symbol: str) -> list[str]:
        interval = self.section.perp_interval
        wanted = layout.months(self.section.first_month, self.section.last_month)
        there = [month for month in wanted if self._has_month(symbol, interval, month)]
        if not there:
            raise SourceNotFound(
                f"the archive has no bars of {symbol}",
                where=layout.klines("perp", symbol, interval, wanted[0]) + f" to {wanted[-1]}",
                action="check the symbol and the span of months in the source spec",
            )
        span = layout.months(there[0], there[-1])
        gone = [month for month in span if month not in there]
        if gone:
            raise SourceNotFound(
                f"a month is missing between others: {', '.join(gone[:5])}",
                where=layout.klines("perp", symbol, interval, gone[0]),
                how_many=f"{len(gone)} of {len(span)} months",
                action="fetch it, or choose a span of months without the hole",
            )
        return there

    def _has_month(self, symbol: str, interval: str, month: str) -> bool:
        if self.archive.has(layout.klines("perp", symbol, interval, month)):
            return True
        if month != self.section.last_month and self.archive.base_url is not None:
            # Over HTTP only the newest month can be out in days and not yet in one file.
            return False
        return any(self.archive.has(layout.klines("perp", symbol, interval, day)) for day in layout.days(month))

    def _klines(self, market: str, symbol: str, interval: str, month: str) -> pl.DataFrame | None:
        seconds, irregular = _SECONDS[interval], self.section.irregular_rows
        path = self.archive.find(layout.klines(market, symbol, interval, month))
        if path is not None:
            frames = [tables.klines(path, tables.Expected(month, seconds), irregular)]
        else:
            frames = self._klines_of_days(market, symbol, interval, month)
        if not frames:
            return None
        rows = pl.concat(frames).with_columns(
            pl.int_range(pl.len(), dtype=pl.Int64).alias("source_row"),
            (pl.col("open_time") + pl.duration(seconds=pl.col("interval_seconds"))).alias("known_at"),
        )
        return self._rows(rows, symbol, month, "source_row", bars_schema())

    def _klines_of_days(self, market: str, symbol: str, interval: str, month: str) -> list[pl.DataFrame]:
        seconds, irregular = _SECONDS[interval], self.section.irregular_rows
        days = layout.days(month)
        paths = {day: self.archive.find(layout.klines(market, symbol, interval, day)) for day in days}
        there = [k for k, day in enumerate(days) if paths[day] is not None]
        if there:
            gone = [day for day in days[there[0] : there[-1] + 1] if paths[day] is None]
            if gone:
                raise SourceMalformed(
                    f"a day is missing between others: {', '.join(gone[:5])}",
                    where=layout.klines(market, symbol, interval, gone[0]),
                    how_many=f"{len(gone)} of {there[-1] - there[0] + 1} days",
                    action="fetch the day, or the file of the whole month",
                )
        found = [(day, path) for day, path in paths.items() if path is not None]
        return [tables.klines(path, tables.Expected(day, seconds), irregular) for day, path in found]

    def _daily(self, kind: str, symbol: str, month: str, read: Callable[[Path], pl.DataFrame]) -> list[pl.DataFrame]:
        paths = [self.archive.find(layout.futures(kind, symbol, day)) for day in layout.days(month)]
        return [read(path) for path in paths if path is not None]

    def _rows(self, rows: pl.DataFrame, symbol: str, month: str, order: str, schema: pl.Schema) -> pl.DataFrame:
        stamped = rows.with_columns(
            pl.lit(symbol).alias("symbol"), pl.lit(month).alias("month"), pl.lit(self.name).alias("source")
        )
        return stamped.select(schema.names()).cast(schema).sort(order)


def open_binance(
    spec: PerpSourceSpec, section: BinanceSpec, location: Path | None, cache: Path | None
) -> BinanceSource:
    """Open the archive in a folder, or over HTTP with a folder that keeps what was fetched.

    Raises
    ------
    SourceNotFound
        When neither folder is given.
    """
    if location is not None:
        return BinanceSource(spec, section, Archive(location, section))
    if cache is None:
        raise SourceNotFound(
            f"the source {spec.name!r} was opened without a folder",
            action="give the folder of a copy of the archive, or one to keep what is fetched",
        )
    return BinanceSource(spec, section, Archive(cache, section, section.base_url.rstrip("/")))
