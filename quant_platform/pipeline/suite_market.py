"""What the tables of a suite's panel are made of, as the lake or a snapshot holds it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import PartitionMissing
from quant_platform.labs.suite.build import baseline_signals
from quant_platform.labs.suite.frames import sessions_frame
from quant_platform.labs.suite.panel import Panel, SignalPanel
from quant_platform.labs.suite.perpetuals import perp_baseline_signals, perp_days
from quant_platform.labs.suite.published import MarketTables
from quant_platform.labs.suite.sessions import session_clock
from quant_platform.lake.data_catalog import DATES, EXPOSURES, RETURNS, DataCatalog
from quant_platform.lake.keys import shown_key
from quant_platform.market.calendar import session_array
from quant_platform.pipeline.home import Home
from quant_platform.specification.loading import load_spec
from quant_platform.specification.suite import BaselinesFile, load_suite

BARS = "clean.equity_bars"
MARKET = (BARS, "clean.corporate_actions", "clean.fundamentals", "raw.securities")
PERPETUALS = "clean.market_5m"
PANEL = (DATES, RETURNS, EXPOSURES)
SNAPSHOT_TABLES = (*MARKET, *PANEL)


def market_tables(read: Callable[[str], pl.DataFrame]) -> MarketTables:
    """What a panel is made of, from the lake or from a snapshot; actions that were refused are left out."""
    bars, actions, fundamentals, securities = (read(name) for name in MARKET)
    return MarketTables(bars, actions.filter(pl.col("applied")), fundamentals, securities)


def tables_of(home: Home) -> tuple[str, ...]:
    """The tables that a suite on a home reads."""
    market = {"bars": MARKET, "returns": (), "perpetuals": (PERPETUALS,)}
    return (*market[home.judges_on], *PANEL)


def snapshot_baselines(
    specs: Path, catalog: DataCatalog, panel: Panel, names: Sequence[str] | None = None
) -> tuple[list[SignalPanel], Mapping[str, str]]:
    """Compute the baselines of a snapshot on its panel.

    Parameters
    ----------
    specs
        Folder of the specs.
    catalog
        The snapshot.
    panel
        Its panel, or the part of it that may be looked at.
    names
        Which of those that are declared; all when not given.

    Returns
    -------
    tuple
        The signals that have values, and by name of the others why they have none.
    """
    held, suite = set(catalog.tables), load_suite(specs).suite
    file = declared_baselines(specs, perpetuals=not set(MARKET) & held and PERPETUALS in held)
    wanted = file.model_copy(
        update={"baselines": {name: one for name, one in file.baselines.items() if names is None or name in names}}
    )
    if set(MARKET) & held:
        return baseline_signals(market_tables(catalog.read), panel, suite, wanted)
    if PERPETUALS in held:
        return perp_baseline_signals(perp_days(catalog.read(PERPETUALS)), panel, wanted)
    return baseline_signals(None, panel, suite, wanted)


def declared_baselines(specs: Path, *, perpetuals: bool) -> BaselinesFile:
    """The baselines that the specs declare, of equities or of perpetuals."""
    name = "perp_baselines.yaml" if perpetuals else "baselines.yaml"
    return load_spec(specs / "suite" / name, BaselinesFile)


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
