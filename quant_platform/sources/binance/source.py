"""The public archive of Binance behind the protocol every perpetual source follows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import chain
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SourceMalformed, SourceNotFound
from quant_platform.contracts.findings import Finding
from quant_platform.sources.binance import layout, tables
from quant_platform.sources.binance.archive import Archive
from quant_platform.sources.perp_checks import (
    Part,
    delivers,
    ends_early,
    in_units_of,
    months_lacking,
    one_per_stamp,
    without_value,
)
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
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), repr=False, compare=False)

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
        """``raw.spot_bars`` in units of the perpetual; empty where the spec wants none or there is no spot market."""
        require_month(month, self.months(symbol), symbol, self.name)
        if self.section.spot_interval is None:
            return bars_schema().to_frame()
        pair = self.section.spot_symbols.get(symbol)
        found = self._klines("spot", symbol if pair is None else pair.symbol, self.section.spot_interval, month)
        if found is None:
            return bars_schema().to_frame()
        return found if pair is None else in_units_of(found, symbol, pair.units)

    def funding(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.funding``; a settlement is known at its stamp, and belongs to the month of its stamp.

        A month that the archive lacks is empty: the rates are unknown. `reading_report` counts such months.
        """
        require_month(month, self.months(symbol), symbol, self.name)
        if not self.section.wants_funding(symbol) or delivers(symbol):
            return funding_schema().to_frame()
        parts = []
        for other in layout.months_around(month):
            path = self.archive.find(layout.futures("fundingRate", symbol, other))
            if path is not None:
                parts.append(Part(other, path.name, tables.funding(path)))
        rows, found = one_per_stamp(parts, "settle_time", month, f"funding of {symbol}")
        self._note(f"funding {symbol} {month}", found)
        if rows is None:
            return funding_schema().to_frame()
        known = rows.with_columns(pl.col("settle_time").alias("known_at"))
        return self._rows(known, symbol, month, "settle_time", funding_schema())

    def open_interest(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.open_interest`` in base units, known a bar after the minute of its stamp.

        The file of a day may end with the first stamp of the next: a stamp belongs to the month it lies in, whichever
        file it stands in, and to the file of its own day where two files state it. Days that the archive lacks are
        holes; a month without a day is empty.
        """
        require_month(month, self.months(symbol), symbol, self.name)
        if not self.section.metrics:
            return open_interest_schema().to_frame()
        parts = self._daily("metrics", symbol, layout.days_around(month), lambda path: tables.metrics(path, symbol))
        unstated = [
            Part(part.period, part.file, part.frame.filter(pl.col("open_interest").is_null())) for part in parts
        ]
        stated = [
            Part(part.period, part.file, part.frame.filter(pl.col("open_interest").is_not_null())) for part in parts
        ]
        rows, found = one_per_stamp(stated, "stamp", month, f"open interest of {symbol}")
        self._note(f"open interest {symbol} {month}", [*found, *without_value(unstated, month, symbol)])
        if rows is None:
            return open_interest_schema().to_frame()
        known = rows.with_columns((pl.col("stamp").dt.truncate("1m") + _OPEN_INTEREST_DELAY).alias("known_at"))
        return self._rows(known, symbol, month, "stamp", open_interest_schema())

    def liquidations(self, symbol: str, month: str) -> pl.DataFrame:
        """Empty: the archive no longer publishes them."""
        require_month(month, self.months(symbol), symbol, self.name)
        return liquidations_schema().to_frame()

    def book(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.book`` from bookTicker or bookDepth; days that the archive lacks are holes."""
        require_month(month, self.months(symbol), symbol, self.name)
        if self.section.book == "book_ticker":
            parts = self._daily("bookTicker", symbol, layout.days(month), tables.book_ticker)
        elif self.section.book == "book_depth":
            percent = self.section.book_depth_percent
            days = layout.days_around(month)
            parts = self._daily("bookDepth", symbol, days, lambda path: tables.book_depth(path, percent))
        else:
            parts = []
        # A bar at midnight has a few quotes in the file of the day before: parts of a bar, no contradiction.
        rows, _ = one_per_stamp(parts, "bar", month, f"book of {symbol}")
        if rows is None:
            return book_schema().to_frame()
        known = rows.with_columns((pl.col("bar") + pl.duration(minutes=5)).alias("known_at"))
        return self._rows(known, symbol, month, "bar", book_schema())

    def reading_report(self) -> tuple[Finding, ...]:
        """What reading brought to light: months without funding, spot under another name, contradictions, early ends.

        It reads what its checks need; over HTTP that fetches.

        Raises
        ------
        SourceNotFound
            When the spec wants funding and the archive has not one file of it.
        """
        found: list[Finding] = []
        wanted = [symbol for symbol in self.symbols() if self.section.wants_funding(symbol)]
        any_rate = False
        for symbol in self.symbols():
            months = self.months(symbol)
            if symbol in wanted:
                lacking = [month for month in months if self.funding(symbol, month).is_empty()]
                any_rate = any_rate or len(lacking) < len(months)
                found += months_lacking("funding", symbol, lacking, months, self._why_no_funding(symbol))
            if self.section.spot_interval is not None:
                pair = self.section.spot_symbols.get(symbol)
                name = symbol if pair is None else pair.symbol
                interval = self.section.spot_interval
                lacking = [month for month in months if not self._has("spot", name, interval, month)]
                found += months_lacking("spot", symbol, lacking, months, self._why_no_spot(name, months))
            if self.section.metrics:
                lacking = [month for month in months if self.open_interest(symbol, month).is_empty()]
                found += months_lacking("open_interest", symbol, lacking, months, "the archive has no file of metrics")
            found += ends_early(symbol, self.bars(symbol, months[-1]), months[-1], self.now())
        if wanted and not any_rate and not all(delivers(symbol) for symbol in wanted):
            raise SourceNotFound(
                "the archive has no funding at all",
                where=layout.futures("fundingRate", wanted[0], self.months(wanted[0])[0]),
                cause="a copy of the archive without the folder fundingRate",
                action="fetch it, or set funding: false in the source spec",
            )
        return (*chain.from_iterable(self._found.values()), *found)

    def _why_no_funding(self, symbol: str) -> str:
        if delivers(symbol):
            return "a contract with a delivery date pays none"
        return "published with the month's end, or not in this copy of the archive; where it is unknown it is NaN"

    def _why_no_spot(self, name: str, months: list[str]) -> str:
        stem = re.sub(r"^(1000000|1000|1M)(?=[A-Z])", "", name)
        units = {"1000000": 1_000_000, "1M": 1_000_000, "1000": 1_000}.get(name.removesuffix(stem), 0)
        interval = self.section.spot_interval or ""
        if units and any(self._has("spot", stem, interval, month) for month in months):
            return f"spot is called {stem}: state spot_symbols: {{{name}: {{symbol: {stem}, units: {units}}}}}"
        return "the pair has no spot market, or the archive calls it otherwise: then state it under spot_symbols"

    def _has(self, market: str, symbol: str, interval: str, month: str) -> bool:
        if self.archive.has(layout.klines(market, symbol, interval, month)):
            return True
        if month != self._last_month and self.archive.base_url is not None:
            # Over HTTP only the newest month can be out in days and not yet in one file.
            return False
        return any(self.archive.has(layout.klines(market, symbol, interval, day)) for day in layout.days(month))

    def _note(self, key: str, findings: Sequence[Finding]) -> None:
        self._found.pop(key, None)
        if findings:
            self._found[key] = tuple(findings)

    @cached_property
    def _found(self) -> dict[str, tuple[Finding, ...]]:
        return {}

    @property
    def _last_month(self) -> str:
        """The last month of the span; of one that is open the running month."""
        return self.section.last_month or f"{self.now():%Y-%m}"

    @cached_property
    def _months(self) -> dict[str, list[str]]:
        return {}

    def _ask_months(self, symbol: str) -> list[str]:
        interval = self.section.perp_interval
        wanted = layout.months(self.section.first_month, self._last_month)
        there = [month for month in wanted if self._has("perp", symbol, interval, month)]
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

    def _daily(self, kind: str, symbol: str, days: Sequence[str], read: Callable[[Path], pl.DataFrame]) -> list[Part]:
        paths = [(day, self.archive.find(layout.futures(kind, symbol, day))) for day in days]
        return [Part(day, path.name, read(path)) for day, path in paths if path is not None]

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
