"""``quant runs``: the last runs of a home, with the ids that ``quant run --resume`` takes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from quant_platform.cli.homes import HomeOption, open_home
from quant_platform.cli.lake import JsonOption, to_json
from quant_platform.cli.query import show
from quant_platform.contracts.errors import SettingsError


def list_runs(
    home: HomeOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the last runs of a home: id, job, state, when it began, how long it took."""
    import polars as pl

    from quant_platform.defs import instances

    opened = open_home(home)
    if not instances.has_history(opened):
        raise SettingsError(
            "nothing has run in this home",
            where=str(opened.settings.home),
            action="name the home with --home or QUANT_HOME; quant demo and quant import fill one",
        )
    with instances.instance_of(opened) as instance:
        records = instance.get_run_records(limit=limit)
    rows = [
        {
            "run": record.dagster_run.run_id,
            "job": record.dagster_run.job_name,
            "state": record.dagster_run.status.value.lower(),
            "began": None if record.start_time is None else _moment(record.start_time),
            "seconds": _seconds(record.start_time, record.end_time),
            "partitions": record.dagster_run.tags.get("dagster/partition") or _range(dict(record.dagster_run.tags)),
        }
        for record in records
    ]
    if as_json:
        print(to_json(rows))
        return
    types = {"seconds": pl.Float64}
    show(pl.DataFrame(rows, schema_overrides=types, infer_schema_length=None), Console(), limit)


def _moment(stamp: float) -> str:
    return datetime.fromtimestamp(stamp, UTC).isoformat(timespec="seconds")


def _seconds(began: float | None, ended: float | None) -> float | None:
    return None if began is None or ended is None else round(ended - began, 1)


def _range(tags: dict[str, str]) -> str:
    first, last = (tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    return f"{first} to {last}" if first and last else ""
