"""What the tables of a suite's panel are made of, as the lake or a snapshot holds it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import polars as pl

from quant_platform.contracts.errors import PartitionMissing
from quant_platform.labs.suite.frames import sessions_frame
from quant_platform.labs.suite.published import MarketTables
from quant_platform.labs.suite.sessions import session_clock
from quant_platform.lake.data_catalog import DATES, EXPOSURES, RETURNS, DataCatalog
from quant_platform.lake.keys import shown_key
from quant_platform.market.calendar import session_array
from quant_platform.pipeline.home import Home

BARS = "clean.equity_bars"
MARKET = (BARS, "clean.corporate_actions", "clean.fundamentals", "raw.securities")
PANEL = (DATES, RETURNS, EXPOSURES)
SNAPSHOT_TABLES = (*MARKET, *PANEL)


def market_tables(read: Callable[[str], pl.DataFrame]) -> MarketTables:
    """What a panel is made of, from the lake or from a snapshot; actions that were refused are left out."""
    bars, actions, fundamentals, securities = (read(name) for name in MARKET)
    return MarketTables(bars, actions.filter(pl.col("applied")), fundamentals, securities)


def snapshot_market(catalog: DataCatalog) -> MarketTables | None:
    """What the panel of a snapshot is made of; None for a panel without bars."""
    return market_tables(catalog.read) if set(MARKET) & set(catalog.tables) else None


def lacking(held: Sequence[str]) -> list[str]:
    """What a suite would read and is not held: the panel, and beside bars all that it is made of.

    Parameters
    ----------
    held
        Names of tables.
    """
    needed = SNAPSHOT_TABLES if set(MARKET) & set(held) else PANEL
    return [name for name in needed if name not in held]


def bar_sessions(home: Home) -> pl.DataFrame:
    """``suite.dates`` from the first bar of a home to the last.

    Raises
    ------
    PartitionMissing
        When there are no bars.
    """
    if not home.lake.partitions(BARS):
        raise PartitionMissing("there are no bars", where=BARS, action="make them first: quant run ticker_graph")
    bars = home.lake.scan(BARS)
    span = bars.select(pl.col("session").min().alias("first"), pl.col("session").max().alias("last")).collect()
    exchange = home.universe.exchange
    return sessions_frame(session_array(exchange, span["first"][0], span["last"][0]), session_clock(exchange))


def versions_of(home: Home, name: str) -> str:
    """Hash of the current versions of every partition of a table."""
    current = home.lake.current_by_key(name)
    named = sorted(f"{shown_key(key)}/{path.name}" for key, path in current.items())
    return hashlib.sha256("|".join(named).encode()).hexdigest()


def stored_rows(home: Home, names: Sequence[str], key: str | tuple[str, ...]) -> dict[str, int]:
    """Rows of the current version of a partition, by table."""
    versions = {name: home.lake.current(name, key) for name in names}
    return {name: version.rows if version else 0 for name, version in versions.items()}
