"""Perpetual and spot bars and funding out of feather or Parquet files, as freqtrade writes them.

One file per pair and kind with the columns ``date, open, high, low, close, volume``. A funding file has the rate in
``open`` and zeros elsewhere; its stamps are late by milliseconds, and are passed on as they are. Its name holds a time
frame (``-8h-``, of newer versions ``-1h-``) that says nothing about how often the venue settles: any is found, two are
refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SourceMalformed, SourceNotFound, SpecError
from quant_platform.contracts.findings import Finding, examples
from quant_platform.sources.files.text import require_columns, require_file
from quant_platform.sources.perp_checks import (
    ends_early,
    in_units_of,
    months_lacking,
    refuse_gaps,
    refuse_no_rates,
    refuse_repeated,
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
from quant_platform.specification.perp_sources import PerpFilesSpec, PerpSourceSpec

_PRICES = ("open", "high", "low", "close", "volume")
_UTC = pl.Datetime("us", "UTC")
_FEATHER = (".feather", ".arrow", ".ipc")
_FORMATS = (".parquet", *_FEATHER)
_FRAME = re.compile(r"-\d+[smhdwM]-")

# This many equal steps in a row are an interval, not a coincidence of holes.
_RUN_BARS = 12


@dataclass(frozen=True)
class PerpFilesSource:
    """Raw tables out of a folder; each file is read once per instance."""

    spec: PerpSourceSpec
    folder: Path
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), repr=False, compare=False)

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
        found: list[str] = self._bars("perp", symbol)["month"].unique().sort().to_list()
        refuse_gaps(found, str(self._path(self._section.perp, symbol)))
        return found

    def bars(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.perp_bars``."""
        require_month(month, self.months(symbol), symbol, self.name)
        return self._bars("perp", symbol).filter(pl.col("month") == month)

    def spot_bars(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.spot_bars`` in units of the perpetual; empty where there is no file."""
        require_month(month, self.months(symbol), symbol, self.name)
        if not self._spot_path(symbol):
            return bars_schema().to_frame()
        return self._bars("spot", symbol).filter(pl.col("month") == month)

    def funding(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.funding``; empty where there is no file."""
        require_month(month, self.months(symbol), symbol, self.name)
        if self._funding_path(symbol) is None:
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
        return self._stored(self.folder / pattern.replace("*", self._section.symbols[symbol]))

    def _stored(self, path: Path) -> Path:
        """The file, or the one of the same name in another of the formats that freqtrade writes."""
        if path.is_file():
            return path
        others = [other for suffix in _FORMATS if (other := path.with_suffix(suffix)).is_file()]
        return others[0] if others else path

    def _spot_path(self, symbol: str) -> Path | None:
        if self._section.spot is None:
            return None
        pair = self._section.spot_symbols.get(symbol)
        text = self._section.symbols[symbol] if pair is None else pair.symbol
        path = self._stored(self.folder / self._section.spot.replace("*", text))
        return path if path.is_file() else None

    def _funding_path(self, symbol: str) -> Path | None:
        """The funding file of a symbol, of whatever time frame its name says.

        Raises
        ------
        SourceMalformed
            When there are two.
        """
        if self._section.funding is None:
            return None
        wanted = self.folder / self._section.funding.replace("*", self._section.symbols[symbol])
        shape = re.compile(_FRAME.sub(lambda _: r"-\d+[smhdwM]-", re.escape(wanted.stem).replace(r"\-", "-")))
        folder = wanted.parent
        found = sorted(
            path
            for path in (folder.iterdir() if folder.is_dir() else ())
            if path.suffix in (wanted.suffix, *_FORMATS) and shape.fullmatch(path.stem)
        )
        if len(found) > 1:
            raise SourceMalformed(
                f"there are {len(found)} funding files of {symbol}",
                where=", ".join(str(path) for path in found),
                cause="downloads of two versions of freqtrade, which call it differently, or in two formats",
                action="remove the older one: which of them is right nobody can say from here",
            )
        return found[0] if found else None

    def reading_report(self) -> tuple[Finding, ...]:
        """What reading brought to light: symbols without a file, files of no symbol, funding that does not cover."""
        found = [*self._names()]
        for symbol in self.symbols():
            bars = self._bars("perp", symbol)
            months = self.months(symbol)
            found += ends_early(symbol, bars, months[-1], self.now())
            if self._section.spot is not None and self._spot_path(symbol) is None:
                reason = "no such file; spot under another name goes under spot_symbols in the source spec"
                found += months_lacking("spot", symbol, months, months, reason)
            if self._section.funding is not None:
                found += self._funding_coverage(symbol, bars, months)
        return tuple(found)

    def _names(self) -> list[Finding]:
        section, there = self._section, set(self.symbols())
        absent = sorted(set(section.symbols) - there)
        before, after = (self.folder / section.perp).name.split("*", 1) if "*" in section.perp else ("", "")
        folder = (self.folder / section.perp).parent
        texts = {
            path.stem.removeprefix(before).removesuffix(Path(after).stem): path.name
            for path in (sorted(folder.iterdir()) if folder.is_dir() and after else ())
            if path.suffix in _FORMATS and path.stem.startswith(before) and path.stem.endswith(Path(after).stem)
        }
        strange = [name for text, name in texts.items() if text not in section.symbols.values()]
        found = []
        if absent:
            found.append(
                Finding(
                    "symbol_without_file",
                    str(folder),
                    "symbols of the source spec have no file of bars and are left out",
                    len(absent),
                    len(section.symbols),
                    examples(f"{name} ({section.symbols[name]})" for name in absent),
                    "correct perp_files.symbols, or fetch the files",
                )
            )
        if strange:
            found.append(
                Finding(
                    "file_of_no_symbol",
                    str(folder),
                    "files of bars belong to no symbol of the source spec and are not read",
                    len(strange),
                    len(texts),
                    examples(strange),
                    "add them to perp_files.symbols if they are wanted",
                    "info",
                )
            )
        return found

    def _funding_coverage(self, symbol: str, bars: pl.DataFrame, months: list[str]) -> list[Finding]:
        path = self._funding_path(symbol)
        if path is None:
            return months_lacking("funding", symbol, months, months, "no file of funding rates, of any time frame")
        settled = self._funding(symbol)
        lacking = sorted(set(months) - set(settled["month"]))
        found = months_lacking("funding", symbol, lacking, months, f"{path.name} has no settlement in them")
        first, last = bars["open_time"].min(), bars["open_time"].max()
        within = settled.filter(pl.col("settle_time").is_between(first, last))["settle_time"]
        hours = (within.diff().dt.total_seconds() / 3600.0).round().drop_nulls()
        step = hours.filter(hours > 0).mode().min()
        if isinstance(first, datetime) and isinstance(last, datetime) and isinstance(step, float):
            span = max(1, round((last - first) / timedelta(hours=step)))
            found.append(
                Finding(
                    "funding_coverage",
                    f"{symbol}, {path.name}",
                    f"settlements, most of them {step:g} hours apart, of those the bars span",
                    within.len(),
                    max(span, within.len()),
                    severity="info",
                )
            )
        return found

    @cached_property
    def _held(self) -> dict[tuple[str, str], pl.DataFrame]:
        return {}

    def _bars(self, market: str, symbol: str) -> pl.DataFrame:
        held = self._held.get((market, symbol))
        if held is None:
            spot = self._spot_path(symbol) if market == "spot" else None
            held = self._read_bars(spot or self._path(self._section.perp, symbol), symbol)
            pair = self._section.spot_symbols.get(symbol)
            if market == "spot" and pair is not None:
                held = in_units_of(held, symbol, pair.units)
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
            path = self._funding_path(symbol)
            held = funding_schema().to_frame() if path is None else self._read_funding(path, symbol)
            self._held["funding", symbol] = held
        return held

    def _read_funding(self, path: Path, symbol: str) -> pl.DataFrame:
        column = self._section.funding_rate_column
        frame = _read(path, (column,))
        settled = frame.select(pl.col("date").alias("settle_time"), pl.col(column).alias("funding_rate"))
        refuse_no_rates(settled, str(path), f"correct funding_rate_column in the source spec, which says {column!r}")
        refuse_repeated(settled, "settle_time", "a settlement", str(path))
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
    if not isinstance(stamps, pl.Datetime) or stamps.time_zone is None:
        raise SourceMalformed(
            f"the column 'date' is {stamps}, not a time with a zone such as UTC",
            where=str(path),
            cause="a file of another program: without a zone nobody knows when a bar opened",
            action="write the column with its zone",
        )
    wrong = [f"{name} ({frame.schema[name]})" for name in numbers if not frame.schema[name].is_numeric()]
    if wrong:
        raise SourceMalformed(f"columns are not numbers: {', '.join(wrong)}", where=str(path))
    if frame["date"].null_count():
        raise SourceMalformed(
            "rows have no time", where=str(path), how_many=f"{frame['date'].null_count()} of {frame.height} rows"
        )
    # Whatever the zone is called (UTC, Etc/UTC, +00:00, Europe/Berlin), a stamp with one is an instant.
    return frame.select(
        pl.col("date").dt.convert_time_zone("UTC").cast(_UTC), *(pl.col(name).cast(pl.Float64) for name in numbers)
    )
