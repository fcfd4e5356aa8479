"""What the UI shows beside an asset: row count, date range, columns, a picture of the rows over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import polars as pl
from dagster._core.execution.context.metadata_logging import AssetMetadataHandle, OutputMetadataAccumulator

from quant_platform.contracts.tables import Table
from quant_platform.reports.charts import thumbnail

_DATES = ("session", "date_sig", "week", "day", "as_of_week", "ex_date", "known_at")


def column_schema(definition: Table, extra: Mapping[str, str] | None = None) -> dg.TableSchema:
    """Columns with types and descriptions, from the table's schema and, for an open table, from its specs."""
    columns = [
        dg.TableColumn(
            name,
            type=str(column.dtype),
            description=column.description,
            constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=False),
        )
        for name, column in definition.schema.columns().items()
    ]
    columns += [dg.TableColumn(name, type="Float64", description=text) for name, text in (extra or {}).items()]
    return dg.TableSchema(columns=columns)


def table_metadata(definition: Table, frame: pl.DataFrame) -> dict[str, Any]:
    """Row count, date range and a picture of one written frame."""
    found: dict[str, Any] = {"dagster/row_count": frame.height}
    column = next((name for name in _DATES if name in frame.columns), None)
    if column is None or frame.is_empty():
        return found
    dates = frame.get_column(column).cast(pl.Date)
    first, last = dates.min(), dates.max()
    if isinstance(first, date) and isinstance(last, date):
        found["first_date"], found["last_date"] = first.isoformat(), last.isoformat()
        counts = frame.group_by(dates.dt.year().alias("year")).len().sort("year")
        found["rows_by_year"] = bar_picture(counts["year"].to_list(), counts["len"].to_list(), definition.name)
    return found


def bar_picture(labels: Sequence[object], values: Sequence[float], title: str) -> dg.MarkdownMetadataValue:
    """A bar chart as inline SVG, so that the UI shows it without a network."""
    return dg.MetadataValue.md(f"![{title}]({thumbnail.bars(labels, values, title)})")


def partition_metadata(rows: int, state: str) -> dict[str, Any]:
    """What is kept of a partition: its rows, and where it was not written but current already, that it was.

    It is stored once per partition and asset; what most of them say alike is left out.
    """
    return {"dagster/partition_row_count": rows} | ({} if state == "written" else {"state": state})


def describe_partitions(
    context: dg.AssetExecutionContext, asset_key: dg.AssetKey, about: Mapping[str, Mapping[str, Any]]
) -> None:
    """Give each partition that a step makes its own metadata, all at once.

    Dagster's `add_asset_metadata` takes one partition, and for each lists all partitions of the run and copies all that
    was said before: a run over n partitions costs n times n.

    Parameters
    ----------
    context
        Of the step.
    asset_key
        One of the assets it makes.
    about
        Metadata by partition key; the keys are partitions of the run.
    """
    step = context.get_step_execution_context()
    said = dict(step._metadata_accumulator.per_output_metadata)
    for key, found in about.items():
        said[AssetMetadataHandle(asset_key=asset_key, partition_key=key)] = dict(found)
    step._metadata_accumulator = OutputMetadataAccumulator(per_output_metadata=said)
