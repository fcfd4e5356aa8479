"""A folder of files as a source: bars by layout, the other tables by the sections of the spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import chain
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SpecError
from quant_platform.contracts.findings import Finding
from quant_platform.sources.files.bars import BarReader, BarShape, FilePerTicker, LongFile, unknown_ticker
from quant_platform.sources.files.dates import to_dates
from quant_platform.sources.files.fundamentals import read_fundamentals
from quant_platform.sources.files.lean import LeanFiles
from quant_platform.sources.files.names import doubtful_members, unmatched
from quant_platform.sources.files.sections import Section, actions_beside_bars, read_actions, read_membership
from quant_platform.sources.files.sectors import DatedSectors, read_sectors
from quant_platform.sources.protocol import actions_schema, fundamentals_schema, securities_schema
from quant_platform.specification.sources import ActionColumns, FilesSpec, SourceSpec


@dataclass(frozen=True)
class FilesSource:
    """Raw tables out of a folder. Files are read when they are asked for, once per instance where they are shared."""

    spec: SourceSpec
    files: FilesSpec
    folders: Mapping[str, Path]
    reader: BarReader

    @property
    def name(self) -> str:
        """Name of the source spec."""
        return self.spec.name

    @property
    def simulated(self) -> bool:
        """Files are taken for real."""
        return False

    def tickers(self) -> list[str]:
        """Every ticker with bars."""
        return list(self.reader.tickers)

    def bars(self, ticker: str, start: date | None = None, end: date | None = None) -> pl.DataFrame:
        """``raw.equity_bars`` of one ticker."""
        frame = self.reader.read([ticker])
        if start is not None:
            frame = frame.filter(pl.col("session") >= start)
        if end is not None:
            frame = frame.filter(pl.col("session") <= end)
        return frame

    def bars_many(self, tickers: Sequence[str]) -> pl.DataFrame:
        """``raw.equity_bars`` of several tickers in one pass."""
        return self.reader.read(tickers)

    def actions(self, ticker: str) -> pl.DataFrame:
        """``raw.corporate_actions`` of one ticker; empty where the spec has no actions."""
        self._known(ticker)
        if isinstance(self.reader, LeanFiles):
            return self.reader.actions(ticker)
        beside = self.files.bars.action_columns if self.files.bars is not None else None
        if beside is not None:
            return self._beside(ticker, beside)
        return self._actions.rows.filter(pl.col("ticker") == ticker)

    def fundamentals(self, ticker: str) -> pl.DataFrame:
        """``raw.fundamentals`` of one ticker; empty where the spec or the caller has none."""
        self._known(ticker)
        return self._fundamentals_of.get((ticker,), pl.DataFrame(schema=fundamentals_schema()))

    def securities(self) -> pl.DataFrame:
        """``raw.securities``; without a membership file every ticker is a member from its first bar."""
        if isinstance(self.reader, LeanFiles):
            return self.reader.securities()
        return self._sectors.applied(self._members) if self._sectors is not None else self._members

    @cached_property
    def _members(self) -> pl.DataFrame:
        if self._membership is not None:
            return self._membership.rows
        return (
            self.extent.select(
                "ticker",
                pl.lit(self.spec.universe).alias("universe"),
                pl.col("first").alias("start_date"),
                pl.lit(None).alias("end_date"),
                pl.lit(None).alias("name"),
                pl.lit(None).alias("sector"),
                pl.lit(self.spec.name).alias("source"),
            )
            .cast(securities_schema())
            .sort("ticker")
        )

    @cached_property
    def extent(self) -> pl.DataFrame:
        """What there is of each ticker: ``ticker, rows, first, last, traded``, the median value traded in a session."""
        value = pl.col("close") * pl.col("volume")
        return (
            self.bars_many(self.tickers())
            .group_by("ticker")
            .agg(
                pl.len().alias("rows"),
                pl.col("session").min().alias("first"),
                pl.col("session").max().alias("last"),
                value.filter(value > 0).median().alias("traded"),
            )
            .sort("ticker")
        )

    def reading_report(self) -> tuple[Finding, ...]:
        """What reading everything brought to light: lines passed over, names that match nothing, doubtful identity.

        Raises
        ------
        SourceMalformed
            For names that match nothing where the spec refuses them.
        """
        tickers = self.extent["ticker"].to_list()
        found: list[Finding] = []
        if isinstance(self.reader, LeanFiles):
            for ticker in tickers:
                self.reader.actions(ticker)
            return (*chain.from_iterable(self.reader.found.values()),)
        files = self.files
        if files.actions is not None and self._actions.where:
            found += [*self._actions.findings, *unmatched("action", self._actions, tickers, files.actions.unmatched)]
        if files.fundamentals is not None and self._fundamentals.where:
            section = self._fundamentals
            found += [*section.findings, *unmatched("fundamental", section, tickers, files.fundamentals.unmatched)]
        if files.membership is not None and self._membership is not None:
            section = self._membership
            found += [*section.findings, *unmatched("member", section, tickers, files.membership.unmatched)]
            found += doubtful_members(section, self.extent, files.membership)
        return (*chain.from_iterable(self.reader.found.values()), *found)

    def _known(self, ticker: str) -> None:
        if ticker not in self._ticker_set:
            raise unknown_ticker(ticker, self.spec.name)

    @cached_property
    def _ticker_set(self) -> frozenset[str]:
        return frozenset(self.reader.tickers)

    def _beside(self, ticker: str, beside: ActionColumns) -> pl.DataFrame:
        if not isinstance(self.reader, FilePerTicker | LongFile) or self.files.bars is None:
            return pl.DataFrame(schema=actions_schema())
        frame, where = self.reader.rows(ticker)
        style = self.files.bars
        dates = to_dates(frame, style.columns.session, where, style, exchange=self.spec.exchange)
        return actions_beside_bars(frame, dates[style.columns.session], beside, style, self.spec, where)

    @cached_property
    def _actions(self) -> Section:
        section = self.files.actions
        if section is None or section.location not in self.folders:
            return Section(pl.DataFrame(schema=actions_schema()), "")
        return read_actions(self.folders[section.location] / section.path, section, self.spec, self.files)

    @cached_property
    def _membership(self) -> Section | None:
        section = self.files.membership
        if section is None or section.location not in self.folders:
            return None
        return read_membership(self.folders[section.location] / section.path, section, self.spec, self.files)

    @cached_property
    def _sectors(self) -> DatedSectors | None:
        section = self.files.sectors
        if section is None or section.location not in self.folders:
            return None
        return read_sectors(self.folders[section.location] / section.path, section, self.files)

    @cached_property
    def _fundamentals_of(self) -> Mapping[tuple[object, ...], pl.DataFrame]:
        return self._fundamentals.rows.partition_by("ticker", as_dict=True, maintain_order=True)

    @cached_property
    def _fundamentals(self) -> Section:
        section = self.files.fundamentals
        if section is None or section.location not in self.folders:
            return Section(pl.DataFrame(schema=fundamentals_schema()), "")
        return read_fundamentals(self.folders[section.location] / section.path, section, self.spec, self.files)


def open_files(spec: SourceSpec, files: FilesSpec, folders: Mapping[str, Path], today: date) -> FilesSource:
    """Choose the reader of the layout."""
    main = folders["data"]
    if files.lean is not None:
        return FilesSource(spec, files, folders, LeanFiles(spec, files, files.lean, main, today))
    if files.bars is None:
        raise SpecError(f"the source {spec.name!r} has no section of bars", where="specs/sources")
    shape = BarShape(spec, files, files.bars, today)
    sections = (files.actions, files.membership, files.fundamentals, files.sectors)
    others = frozenset(folders[one.location] / one.path for one in sections if one and one.location in folders)
    reader: BarReader = (
        LongFile(shape, main / files.bars.path) if files.layout == "long_file" else FilePerTicker(shape, main, others)
    )
    return FilesSource(spec, files, folders, reader)
