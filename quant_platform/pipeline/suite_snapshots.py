"""Snapshots that a suite can be run on: whole ones, and small ones of the names that traded most."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SnapshotInvalid
from quant_platform.lake import snapshots
from quant_platform.lake.data_catalog import DATES, EXPOSURES, RETURNS, DataCatalog
from quant_platform.lake.manifest import Selection, file_path
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.suite_market import lacking, tables_of
from quant_platform.specification.suite import (
    LightweightSpec,
)


def snapshots_folder(home: Home) -> Path:
    """Where the manifests of a home are."""
    return home.settings.home / "snapshots"


def default_region(home: Home) -> str:
    """Region of the snapshots of a home, where nobody says another: US, or CRYPTO for perpetuals."""
    return "US" if home.has_equities else "CRYPTO"


def newest_snapshot(home: Home, region: str) -> str | None:
    """The last snapshot of a region that holds what a suite reads, as the lake holds it now; None without one."""
    files = {name: {str(path) for path in home.lake.current_by_key(name).values()} for name in tables_of(home)}
    now = {name: paths for name, paths in files.items() if paths}
    naming = [one for one in snapshots.list_snapshots(snapshots_folder(home)) if one.selection is None]
    for snapshot in reversed(naming):
        held = {
            table.name: {str(file_path(home.lake, file)) for file in table.files}
            for table in snapshot.tables
            if table.name in tables_of(home)
        }
        if snapshot.region == region and held == now and not lacking(list(held)):
            return snapshot.snapshot_id
    return None


def make_lightweight_snapshot(
    home: Home, region: str, *, names: int | None = None, since: date | None = None, name: str | None = None
) -> str:
    """Write a small snapshot: the names that traded most, from a day on.

    Parameters
    ----------
    home
        The market.
    region
        Part of the snapshot's name.
    names
        How many securities: those with the highest median ADV over the sessions since the day; the number in
        ``specs/suite/lightweight.yaml`` when not given.
    since
        First session of the panel, that of the specs when not given. Bars, actions and fundamentals keep their
        history: baselines look back a year.
    name
        Of the snapshot; the next free one when not given.

    Returns
    -------
    str
        The id, which every number of a suite on it carries.

    Raises
    ------
    SnapshotInvalid
        When the panel of the suite is not in the lake, or holds no traded value since the day.

    Notes
    -----
    The names are chosen with hindsight, so that a suite on them is for trying out; pages and commands say so.
    """
    stated = home.load("suite/lightweight.yaml", LightweightSpec)
    most, since = names or stated.names, since or stated.since
    held = held_tables(home)
    absent = lacking(held)
    if absent:
        raise SnapshotInvalid(
            f"the lake does not hold {', '.join(absent)}",
            where=str(home.lake.root),
            action="make the panel of the suite first: quant run suite_dates, then quant run suite_panel",
        )
    traded = (
        home.lake.scan(RETURNS)
        .filter(pl.col("priced") & (pl.col("session") >= since) & pl.col("adv").is_not_null())
        .group_by("ticker")
        .agg(pl.col("adv").median())
        .sort(["adv", "ticker"], descending=[True, False])
        .collect()
    )
    if traded.height == 0:
        raise SnapshotInvalid(
            f"no security has a traded value from {since} on", where=RETURNS, action="name an earlier day with --since"
        )
    chosen = sorted(traded["ticker"].head(most).to_list())
    selection = Selection(
        rule=f"the {len(chosen)} of {traded.height} names with the highest median ADV from {since} on, chosen with "
        "hindsight",
        securities=tuple(chosen),
        considered=traded.height,
        since=since,
        cut=(DATES, RETURNS, EXPOSURES),
    )
    made = snapshots.create(
        home.lake, snapshots_folder(home), region, tables=held, snapshot_id=name, selection=selection
    )
    return made.snapshot_id


def make_snapshot(home: Home, region: str) -> str:
    """Name the current versions of what a suite reads."""
    return snapshots.create(home.lake, snapshots_folder(home), region, tables=held_tables(home)).snapshot_id


def held_tables(home: Home) -> list[str]:
    """Which of the tables that a suite reads a home holds."""
    return [name for name in tables_of(home) if home.lake.partitions(name)]


def names_of(catalog: DataCatalog) -> str:
    """Which securities a snapshot holds, in words."""
    return catalog.snapshot.selection.rule if catalog.snapshot.selection is not None else "all of the lake"
