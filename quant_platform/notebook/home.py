"""A home as a notebook sees it: its tables, SQL over them, prices, members, snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from quant_platform.cli.declare import require_home
from quant_platform.contracts.errors import PartitionMissing
from quant_platform.contracts.tables import TABLES
from quant_platform.lake import connect, snapshots
from quant_platform.lake.data_catalog import DataCatalog
from quant_platform.lake.manifest import load, region_of
from quant_platform.notebook.frames import as_polars, html_of
from quant_platform.pipeline.home import Home as Market
from quant_platform.pipeline.submissions import registered_rows
from quant_platform.pipeline.suite_market import lacking
from quant_platform.pipeline.suite_snapshots import snapshots_folder
from quant_platform.specification.settings import Settings, require_usable, settings

PRICES = "clean.equity_bars"


@dataclass(frozen=True)
class Home:
    """One market, read-only. Every frame is what is current at the moment of the call.

    Attributes
    ----------
    market
        The home as the pipeline sees it: folders and specs.
    """

    market: Market

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self.market.settings.home

    @property
    def simulated(self) -> bool:
        """Whether its numbers are made up."""
        return self.market.simulated

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that hold anything."""
        return tuple(name for name in TABLES if self.market.lake.partitions(name))

    def table(
        self, name: str, keys: Sequence[str] | str | None = None, columns: Sequence[str] | None = None
    ) -> pl.LazyFrame:
        """Scan a table.

        Parameters
        ----------
        name
            For example ``suite.returns``.
        keys
            Partitions, for example tickers; all of them when not given.
        columns
            Columns wanted; all of them when not given.

        Raises
        ------
        UnknownTable, PartitionMissing, SchemaViolation
            For a name, a partition or a column that does not exist.
        """
        return self.market.lake.scan(name, keys, columns)

    def sql(self, text: str, **frames: Any) -> pl.DataFrame:
        """Answer a question in SQL over the tables and over frames of yours.

        Parameters
        ----------
        text
            A query, in DuckDB's SQL.
        frames
            Polars or pandas frames by the name the query calls them.
        """
        with connect(self.folder) as connection:
            for name, frame in frames.items():
                connection.register(name, as_polars(frame, name).to_arrow())
            return pl.DataFrame(connection.sql(text).pl())

    def prices(
        self,
        tickers: Sequence[str] | str | None = None,
        start: date | str | None = None,
        end: date | str | None = None,
    ) -> pl.DataFrame:
        """Read adjusted daily bars, ``clean.equity_bars``.

        Parameters
        ----------
        tickers
            Names; all of them when not given.
        start, end
            First and last session, both included; dates or ISO texts.

        Notes
        -----
        **Missing values.** A session without a price is a row whose prices are NaN and whose reason is stated.
        """
        frame = self.table(PRICES, [tickers] if isinstance(tickers, str) else tickers)
        if start is not None:
            frame = frame.filter(pl.col("session") >= _day(start))
        if end is not None:
            frame = frame.filter(pl.col("session") <= _day(end))
        return frame.collect()

    def universe(self, on: date | str) -> pl.DataFrame:
        """Members of the universe on a day: ``ticker, name, sector, start_date, end_date``.

        Parameters
        ----------
        on
            A date or an ISO text.
        """
        day = _day(on)
        held = (pl.col("start_date") <= day) & (pl.col("end_date").is_null() | (pl.col("end_date") >= day))
        return (
            self.table("raw.securities")
            .filter(held & (pl.col("universe") == self.market.universe.name))
            .select("ticker", "name", "sector", "start_date", "end_date")
            .sort("ticker")
            .collect()
        )

    @property
    def snapshots(self) -> tuple[str, ...]:
        """Ids of the snapshots, oldest first."""
        return tuple(found.snapshot_id for found in snapshots.list_snapshots(snapshots_folder(self.market)))

    def snapshot(self, snapshot_id: str | None = None) -> DataCatalog:
        """Open a snapshot, the only door through which a suite sees data.

        Parameters
        ----------
        snapshot_id
            For example ``2026-02-05-US-v1``; the newest whole one that holds what a suite reads when not
            given.

        Raises
        ------
        SnapshotInvalid
            When there is no such snapshot.
        PartitionMissing
            When there is none at all that a suite could read.
        """
        if snapshot_id is None:
            snapshot_id = self._newest()
        return DataCatalog(snapshot_id, region_of(snapshot_id), self.folder)

    def signal(self, name: str) -> pl.DataFrame:
        """Read the rows of a registered signal, in the columns of the contract; raises UnknownSignal."""
        _, validated = registered_rows(self.market, name)
        return validated.good

    def _newest(self) -> str:
        folder = snapshots_folder(self.market)
        for name in reversed(self.snapshots):
            found = load(folder, name)
            if found.selection is None and not lacking([table.name for table in found.tables]):
                return name
        raise PartitionMissing(
            "no snapshot holds what a suite reads",
            where=str(folder),
            action=f"quant suite NAME --home {self.folder} makes one; quant signal submit registers a signal first",
        )

    def _repr_html_(self) -> str:
        sizes = self.market.table_sizes()
        frame = pl.DataFrame(sizes, schema=["table", "partitions", "rows"], orient="row")
        return html_of(f"Home {self.folder.name}", self.market.title, frame)


def open_home(folder: Path | str | None = None, specs: Path | str | None = None) -> Home:
    """Open a home that ``quant demo`` or an import has made.

    Parameters
    ----------
    folder
        The home; ``QUANT_HOME`` or ``data`` when not given.
    specs
        Folder of the spec files; ``QUANT_SPECS`` or those of the package when not given.

    Raises
    ------
    SettingsError
        When there is no home, with the name of one that was perhaps meant.
    """
    given = {name: Path(value) for name, value in (("home", folder), ("specs", specs)) if value is not None}
    found = settings().model_copy(update={name: path.expanduser().resolve() for name, path in given.items()})
    where = Settings(home=require_usable(found.home), specs=found.specs)
    require_home(where.home)
    return Home(Market(where))


def _day(value: date | str) -> date:
    return date.fromisoformat(value) if isinstance(value, str) else value
