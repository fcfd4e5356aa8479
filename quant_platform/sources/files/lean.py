"""The open Lean layout: zipped unadjusted daily bars, factor files, map files.

A *map file* is one security: rows of ``last date, ticker then in use``, the first row giving the listing date. Its bars
are cut from the zip of each ticker within the dates the security bore it, so that the Washington Mutual which once
traded as WM does not become the Waste Management of today. A last date before 2050-12-31 is a delisting.

A *factor file* row ``date, price factor p, split factor s, reference price`` holds for dates up to and including its
own. Rows are skipped as Lean's own parser skips them, and counted: those whose text holds ``inf`` or ``e+`` (a factor
written that way has lost the digits it needs) and those whose factors are zero. Between a row i and the next one, on
the session after date i:

- split: ``s[i+1] / s[i]`` new shares per old,
- cash dividend: ``reference price x (1 - p[i] / p[i+1])`` per unadjusted share, from ``p[i] / p[i+1] = 1 - D / P``.

References
----------
QuantConnect Lean, "Data Formats / Equity"; ``CorporateFactorRow.Parse`` and ``MapFile``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SourceMalformed, SourceNotFound
from quant_platform.contracts.findings import Finding, examples
from quant_platform.contracts.limits import ZIP_DAMAGED
from quant_platform.market.calendar import next_session
from quant_platform.sources.files.bars import our_ticker, refuse_duplicates, refuse_future, unknown_ticker
from quant_platform.sources.files.dates import to_dates
from quant_platform.sources.files.text import LINE, PLAIN, parse_csv_text, read_csv_text, to_numbers
from quant_platform.sources.protocol import (
    action_known_at,
    actions_schema,
    bars_schema,
    securities_schema,
)
from quant_platform.specification.sources import FilesSpec, LeanFolders, SourceSpec

_STILL_LISTED = date(2050, 12, 31)
_BAR_COLUMNS = ("time", "open", "high", "low", "close", "volume")
_PRICES = ("open", "high", "low", "close")
_FACTOR_COLUMNS = ("date", "price_factor", "split_factor", "reference_price")
_DATES = PLAIN.model_copy(update={"date_format": "%Y%m%d"})
_BAR_TIMES = PLAIN.model_copy(update={"date_format": "%Y%m%d %H:%M"})


@dataclass(frozen=True)
class Tenure:
    """One ticker borne by a security from ``first`` to ``last``, both included."""

    vendor: str
    first: date
    last: date


@dataclass(frozen=True)
class LeanFiles:
    """Bars, actions and listing intervals of the securities that have at least one zip."""

    spec: SourceSpec
    files: FilesSpec
    lean: LeanFolders
    folder: Path
    today: date
    found: dict[tuple[str, str], tuple[Finding, ...]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def tickers(self) -> tuple[str, ...]:
        """The names of the map files, sorted: ``AAPL``, and ``AAA.1`` for an older bearer of a ticker."""
        return tuple(sorted(self._tenures))

    def read(self, tickers: Sequence[str]) -> pl.DataFrame:
        """Cut and join the bars of each security; ``source_row`` counts over its zips."""
        return pl.concat([self._one(ticker) for ticker in tickers]) if tickers else pl.DataFrame(schema=bars_schema())

    def actions(self, ticker: str) -> pl.DataFrame:
        """Splits and cash dividends out of the factor file, the delisting out of the map file."""
        tenures = self._of(ticker)
        rows = [*self._factor_actions(ticker), *self._delisting(tenures)]
        return pl.DataFrame(
            [(ticker, day, kind, value, action_known_at(kind, day), self.spec.name) for day, kind, value in rows],
            schema=actions_schema(),
            orient="row",
        ).sort("ex_date", "kind")

    def securities(self) -> pl.DataFrame:
        """One interval per security, from its listing to its delisting."""
        rows = [
            (
                ticker,
                self.spec.universe,
                tenures[0].first,
                None if tenures[-1].last >= _STILL_LISTED else tenures[-1].last,
                None,
                None,
                self.spec.name,
            )
            for ticker, tenures in sorted(self._tenures.items())
        ]
        return pl.DataFrame(rows, schema=securities_schema(), orient="row")

    def _of(self, ticker: str) -> tuple[Tenure, ...]:
        if ticker not in self._tenures:
            raise unknown_ticker(ticker, self.spec.name)
        return self._tenures[ticker]

    @cached_property
    def _tenures(self) -> Mapping[str, tuple[Tenure, ...]]:
        maps, daily = self.folder / self.lean.map_files, self.folder / self.lean.daily
        for folder in (maps, daily):
            if not folder.is_dir():
                raise SourceNotFound("a folder of the Lean layout does not exist", where=str(folder))
        zips = {path.stem for path in daily.glob("*.zip")}
        found = {}
        for path in sorted(maps.glob("*.csv")):
            tenures = _read_map(path)
            if any(self._zip_has_rows(tenure) for tenure in tenures if tenure.vendor in zips):
                found[our_ticker(path.stem, self.files, where=str(path))] = tenures
        if not found:
            raise SourceNotFound("no map file has bars in the folder", where=str(daily))
        return found

    def _zip_has_rows(self, tenure: Tenure) -> bool:
        return self._cut(tenure).height > 0

    def _one(self, ticker: str) -> pl.DataFrame:
        parts = [self._cut(tenure) for tenure in self._of(ticker) if self._path(tenure).is_file()]
        return (
            pl.concat(parts)
            .with_columns(
                pl.lit(ticker).alias("ticker"),
                pl.int_range(pl.len(), dtype=pl.Int64).alias("source_row"),
                pl.lit(self.spec.adjustment).alias("adjustment"),
                pl.lit(self.spec.name).alias("source"),
            )
            .select(bars_schema().names())
            .cast(bars_schema())
            .sort("session", "source_row")
        )

    def _path(self, tenure: Tenure) -> Path:
        return self.folder / self.lean.daily / f"{tenure.vendor}.zip"

    def _cut(self, tenure: Tenure) -> pl.DataFrame:
        return self._zip(tenure.vendor).filter(pl.col("session").is_between(tenure.first, tenure.last))

    def _zip(self, vendor: str) -> pl.DataFrame:
        path = self.folder / self.lean.daily / f"{vendor}.zip"
        if vendor in self._read:
            return self._read[vendor]
        try:
            with zipfile.ZipFile(path) as archive:
                content = archive.read(archive.namelist()[0])
        except ZIP_DAMAGED as error:
            raise SourceMalformed(
                f"the file is not a readable zip: {error}", where=str(path), cause="a truncated download"
            ) from error
        frame = parse_csv_text(content, str(path), names=_BAR_COLUMNS)
        frame = to_dates(frame, "time", str(path), _BAR_TIMES).rename({"time": "session"})
        frame = to_numbers(frame, _BAR_COLUMNS[1:], str(path))
        frame = frame.with_columns((pl.col(name) * self.lean.price_scale).round(6) for name in _PRICES)
        named = frame.with_columns(pl.lit(vendor).alias("ticker"))
        refuse_future(named, self.today, self.files.max_future_days, str(path))
        refuse_duplicates(named, str(path))
        self._read[vendor] = frame.drop(LINE)
        return self._read[vendor]

    @cached_property
    def _read(self) -> dict[str, pl.DataFrame]:
        return {}

    def _factor_actions(self, ticker: str) -> list[tuple[date, str, float]]:
        path = self.folder / self.lean.factor_files / f"{ticker.lower()}.csv"
        if not path.is_file():
            return []
        where = str(path)
        frame = read_csv_text(path, names=("date", "price_factor", "split_factor", "reference_price"))
        lost = pl.concat_str(pl.col(_FACTOR_COLUMNS).fill_null(""), separator=",").str.contains_any(["inf", "e+"])
        kept = to_dates(frame.filter(~lost), "date", where, _DATES)
        kept = to_numbers(kept, _FACTOR_COLUMNS[1:], where)
        unset = kept.filter(pl.col("price_factor").is_null() | pl.col("split_factor").is_null())
        if unset.height:
            raise SourceMalformed(
                "a row has no factor",
                where=f"{where}, line {unset[LINE][0]}",
                how_many=f"{unset.height} of {frame.height} rows",
                action="fetch the file again",
            )
        zero = pl.col("price_factor") * pl.col("split_factor") == 0
        self._skipped(where, frame.filter(lost), kept.filter(zero), frame.height)
        rows = kept.filter(~zero).sort("date").select(_FACTOR_COLUMNS).rows()
        found: list[tuple[date, str, float]] = []
        for (day, price, split, reference), (_, next_price, next_split, _) in pairwise(rows):
            if not (price > 0 and split > 0 and next_price > 0 and next_split > 0):
                raise SourceMalformed(
                    "a factor was negative", where=f"{where}, date {day}", action="fetch the file again"
                )
            if price != next_price and not (reference and reference > 0):
                self.found[where, f"reference {day}"] = (
                    Finding(
                        "dividend_without_reference",
                        where,
                        "the price factor changes and no reference price says how much cash it was: left out",
                        1,
                        len(rows),
                        (str(day),),
                        "fetch the file again, or state the dividend",
                        "refused",
                    ),
                )
                if split == next_split:
                    continue
                price = next_price
            if price == next_price and split == next_split:
                continue
            ex_date = next_session(self.spec.exchange, day)
            if split != next_split:
                found.append((ex_date, "split", next_split / split))
            if price != next_price:
                found.append((ex_date, "cash_dividend", reference * (1 - price / next_price)))
        return found

    def _skipped(self, where: str, lost: pl.DataFrame, zero: pl.DataFrame, total: int) -> None:
        skipped = pl.concat([lost.select(LINE), zero.select(LINE)]).sort(LINE)
        if skipped.height:
            self.found[where, "factors"] = (
                Finding(
                    "lean_factor_rows_skipped",
                    where,
                    "factors are infinite, written with an exponent, or zero; Lean skips such rows too",
                    skipped.height,
                    total,
                    examples(f"line {line}" for line in skipped[LINE]),
                    "splits and dividends up to these dates are not known",
                    "refused",
                ),
            )

    def _delisting(self, tenures: Sequence[Tenure]) -> list[tuple[date, str, float]]:
        last = tenures[-1].last
        return [] if last >= _STILL_LISTED else [(last, "delisting", self.lean.delisting_return)]


def _read_map(path: Path) -> tuple[Tenure, ...]:
    """The tenures of a security, oldest first."""
    lines = [line.split(",") for line in path.read_text(encoding="utf-8").split()]
    if len(lines) < 2 or any(len(line) < 2 for line in lines):
        raise SourceMalformed("the map file does not have at least two rows of date and ticker", where=str(path))
    frame = pl.DataFrame(
        [(day, ticker.lower(), k + 1) for k, (day, ticker, *_) in enumerate(lines)],
        schema={"date": pl.String, "ticker": pl.String, LINE: pl.Int64},
        orient="row",
    )
    rows = to_dates(frame, "date", str(path), _DATES).sort("date").select("date", "ticker").rows()
    first = rows[0][0]
    tenures = []
    for last, vendor in rows[1:]:
        tenures.append(Tenure(vendor, first, last))
        # The next bearer begins on the day after; a day without trading has no bars to take.
        first = date.fromordinal(last.toordinal() + 1)
    return tuple(tenures)
