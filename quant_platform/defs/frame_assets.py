"""What the assets over many tickers share: how they describe themselves, what they read, which sessions they see."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.defs.metadata import column_schema
from quant_platform.defs.resources import SOURCES_TAG
from quant_platform.defs.ticker_assets import OWNERS
from quant_platform.market.calendar import Days, iso_week, session_array, week_last_sessions
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import code_hash


def table_asset(
    home: Home, name: str, *, rooms: Sequence[str], specs: Sequence[str], kinds: set[str], **options: Any
) -> Callable[[Callable[..., pl.DataFrame]], dg.AssetsDefinition]:
    """Declare the asset of a table: everything it says about itself comes from the registry, its code and its specs.

    Parameters
    ----------
    home
        The market.
    name
        Name of the table.
    rooms, specs
        What decides its result: code below ``quant_platform/`` and files below ``specs/``.
    kinds
        As the UI shows them.
    options
        Anything else that ``dagster.asset`` takes.
    """
    definition = table(name)
    content = code_hash(tuple(rooms)) + (home.ontology(specs).hash if specs else "")
    declare: Callable[[Callable[..., pl.DataFrame]], dg.AssetsDefinition] = dg.asset(
        key=dg.AssetKey(name.split(".")),
        group_name=definition.database_schema,
        kinds=kinds,
        owners=OWNERS,
        description=definition.schema.__doc__,
        code_version=hashlib.sha256(content.encode()).hexdigest()[:16],
        metadata={"dagster/column_schema": column_schema(definition), SOURCES_TAG: list(specs)},
        **options,
    )
    return declare


def reads(name: str) -> dg.AssetIn:
    """An input by the name of its table: the partitions that the partition schemes pair up."""
    return dg.AssetIn(key=dg.AssetKey(name.split(".")))


def reads_all(name: str) -> dg.AssetIn:
    """An input by the name of its table: all of its partitions."""
    return dg.AssetIn(key=dg.AssetKey(name.split(".")), partition_mapping=dg.AllPartitionMapping())


def market_sessions(home: Home) -> Days:
    """Sessions of the market up to the last one that has happened."""
    return session_array(home.universe.exchange, home.spec.first_session, home.spec.last_session or date.today())


def signal_sessions(home: Home, mondays: Sequence[str]) -> Days:
    """The last session of each finished week among some weeks, which are named by their Monday."""
    last = home.spec.last_session or date.today()
    ends = week_last_sessions(home.universe.exchange, home.spec.first_session, last)
    return ends[np.isin(iso_week(ends), np.array(mondays, dtype="datetime64[D]"))]


def note_rows(context: dg.AssetExecutionContext, frame: pl.DataFrame, column: str) -> None:
    """Report the row count of each partition of a run over many."""
    counts = dict(frame.group_by(pl.col(column).cast(pl.String)).len().iter_rows())
    for key in context.partition_keys:
        context.add_asset_metadata({"rows": counts.get(key, 0)}, partition_key=key)
