"""Sectors out of dated lists: a sector is known from the day after its list, and never before the first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SourceMalformed
from quant_platform.sources.files.fundamentals import publication_times, read_table
from quant_platform.sources.files.sections import with_tickers
from quant_platform.sources.files.text import plain_text, require_columns
from quant_platform.sources.protocol import securities_schema
from quant_platform.specification.sources import FilesSpec, SectorFile


@dataclass(frozen=True)
class DatedSectors:
    """Sectors by ticker: the days from which each is known, in order."""

    by_ticker: Mapping[str, Sequence[tuple[date, str]]]

    def applied(self, securities: pl.DataFrame) -> pl.DataFrame:
        """Cut membership intervals where a sector becomes known or changes.

        Parameters
        ----------
        securities
            ``raw.securities``.

        Returns
        -------
        polars.DataFrame
            ``raw.securities``: pieces of the same intervals, each with the sector that was known during it, null before
            the first list that names the ticker. A ticker that a later list leaves out keeps its last sector.
        """
        rows = [piece for row in securities.iter_rows(named=True) for piece in self._pieces(row)]
        return pl.DataFrame(rows, schema=securities_schema(), orient="row").sort("ticker", "start_date")

    def _pieces(self, row: Mapping[str, object]) -> list[dict[str, object]]:
        start, end = row["start_date"], row["end_date"]
        changes = self.by_ticker.get(str(row["ticker"]), ())
        held = [sector for day, sector in changes if isinstance(start, date) and day <= start]
        pieces = [{**row, "sector": held[-1] if held else None}]
        for day, sector in changes:
            inside = isinstance(start, date) and start < day and (not isinstance(end, date) or day <= end)
            if inside and sector != pieces[-1]["sector"]:
                pieces[-1]["end_date"] = day - timedelta(days=1)
                pieces.append({**row, "start_date": day, "end_date": end, "sector": sector})
        return pieces


def read_sectors(path: Path, section: SectorFile, files: FilesSpec) -> DatedSectors:
    """Read every list of a file.

    Raises
    ------
    SourceNotFound
        When there is no such file.
    SourceMalformed
        When a publication time cannot be read, a row has no ticker, or a list states two sectors of one ticker.

    Notes
    -----
    **Timing.** What was published on a day, UTC, is known from the day after it.

    **Missing values.** A row without a sector says nothing.
    """
    frame, _ = read_table(path, section)
    where = str(path)
    require_columns(frame.columns, [section.ticker, section.known_at, section.sector], where)
    frame = with_tickers(frame, section.ticker, section.ticker_rule or files.ticker, where, "sectors")
    known = publication_times(frame, section.ticker, section.known_at, path)
    stated = (
        frame.select(
            pl.col("__ours").alias("ticker"),
            known.dt.date().alias("day"),
            plain_text(frame[section.sector].cast(pl.String), section).replace(section.replace).alias("sector"),
        )
        .drop_nulls("sector")
        .unique()
        .sort("ticker", "day", "sector")
    )
    twice = stated.filter(pl.struct("ticker", "day").is_duplicated())
    if twice.height:
        raise SourceMalformed(
            "a list states two sectors of one ticker",
            where=where,
            how_many=f"{twice['ticker'].n_unique()} of {stated['ticker'].n_unique()} tickers",
            rows=twice,
            action="remove one of the rows, or map one text to the other under `replace`",
        )
    found: dict[str, list[tuple[date, str]]] = {}
    for ticker, day, sector in stated.iter_rows():
        before = found.setdefault(ticker, [])
        if not before or before[-1][1] != sector:
            before.append((day + timedelta(days=1), sector))
    return DatedSectors(found)
