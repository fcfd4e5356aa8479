"""``quant compare``: what is another number than before, between two weeks, two snapshots or two suites."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console

from quant_platform.cli.homes import HomeOption, open_home
from quant_platform.cli.lake import snapshot_folder, to_json
from quant_platform.cli.query import show
from quant_platform.contracts.errors import PartitionMissing
from quant_platform.lake.comparison import Difference, compare_partitions, compare_snapshots
from quant_platform.lake.lake import Lake
from quant_platform.lake.manifest import load
from quant_platform.pipeline.home import Home

SHOWN_CELLS = 20


def compare(
    first: Annotated[
        str,
        typer.Argument(
            help="A snapshot, a partition such as a week (2019-12-23), or a suite: its run, or signal@snapshot."
        ),
    ],
    second: Annotated[str, typer.Argument(help="What it is compared with, of the same kind.")],
    home: HomeOption = None,
    table: Annotated[str | None, typer.Option(help="Only this table, with the cells that differ.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Cells shown, the largest differences first.")] = SHOWN_CELLS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, every cell included.")] = False,
) -> None:
    """Compare two weeks (or other partitions), two snapshots, or two suites: what came, went and changed."""
    opened = open_home(home)
    if table is not None:
        opened.lake.table(table)
    folder = snapshot_folder(opened)
    if table is None and _names_a_suite(opened, first, second):
        _suites(opened, first, second, as_json)
        return
    if (folder / first).is_dir() and (folder / second).is_dir():
        found = compare_snapshots(opened.lake, load(folder, first), load(folder, second))
    else:
        found = _partitions(opened.lake, folder, first, second, table)
    if table is not None:
        found = {name: difference for name, difference in found.items() if name == table}
    if as_json:
        print(json.dumps({"first": first, "second": second, "tables": _plain(found)}, indent=1))
        return
    console = Console()
    rows = [(name, d.only_first, d.only_second, d.changed, d.same) for name, d in found.items()]
    heading = ["table", f"only in {first}", f"only in {second}", "changed", "same"]
    show(pl.DataFrame(rows, schema=heading, orient="row"), console, len(rows))
    if table is not None:
        for difference in found.values():
            if difference.cells.height:
                largest = difference.cells.sort(
                    pl.col("difference").abs(), descending=True, nulls_last=True, maintain_order=True
                )
                show(largest, console, limit)


def _names_a_suite(home: Home, *names: str) -> bool:
    """Whether both names are of suites; asked where there is one at all, for it reads the record of each."""
    if not home.lake.partitions("suite.verdict"):
        return False
    from quant_platform.pipeline.verification import UnknownRun, find_runs

    try:
        return all(find_runs(home, name) for name in names)
    except UnknownRun:
        return False


def _suites(home: Home, first: str, second: str, as_json: bool) -> None:
    """Show how two suites were made, what they measured, and where their books part."""
    from quant_platform.pipeline.suite_comparison import compare_suites, one_run
    from quant_platform.pipeline.verification import find_runs

    runs = [one_run(find_runs(home, name), name) for name in (first, second)]
    found = compare_suites(home, *runs)
    equity = pl.DataFrame([asdict(one) for one in found.equity])
    if as_json:
        frames = {"settings": found.settings, "metrics": found.metrics, "equity": equity.fill_nan(None)}
        print(to_json({"first": first, "second": second, **{name: rows.to_dicts() for name, rows in frames.items()}}))
        return
    console = Console()
    show(found.settings, console, found.settings.height)
    show(found.metrics, console, found.metrics.height)
    if found.equity:
        show(equity, console, equity.height)
    else:
        console.print("they have no variant in common, so there are no books to compare", highlight=False)


def _partitions(lake: Lake, snapshots: Path, first: str, second: str, table: str | None) -> dict[str, Difference]:
    """Compare every table that has both partitions.

    Raises
    ------
    PartitionMissing
        When no table has both.
    """
    names = [name for name, known in lake.tables.items() if len(known.dimensions) == 1 and table in (None, name)]
    keys = {name: [str(key) for key in lake.partitions(name)] for name in names}
    both = [name for name in names if {first, second} <= set(keys[name])]
    if not both:
        known = sorted({key for found in keys.values() for key in found} | {path.name for path in snapshots.glob("*")})
        lacking = first if first not in known else second
        close = get_close_matches(lacking[:80], known, n=1)
        way = f"did you mean {close[0]!r}?" if close else "`quant sql 'from lake.partitions'` lists the partitions"
        raise PartitionMissing(
            f"no table has the partitions {first[:80]!r} and {second[:80]!r}, and they are no two snapshots",
            where=table or str(lake.root),
            cause="" if lacking in known else f"there is no partition and no snapshot {lacking[:80]!r}",
            action=way,
        )
    return {name: compare_partitions(lake, lake.table(name), first, second) for name in both}


def _plain(found: Mapping[str, Difference]) -> list[dict[str, object]]:
    return [
        {
            "table": name,
            "only_first": difference.only_first,
            "only_second": difference.only_second,
            "changed": difference.changed,
            "same": difference.same,
            "cells": difference.cells.to_dicts(),
        }
        for name, difference in found.items()
    ]
