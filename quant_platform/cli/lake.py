"""``quant lake`` and ``quant snapshot``: looking after the files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console

from quant_platform.cli.homes import HomeOption, open_home
from quant_platform.cli.query import show
from quant_platform.contracts.errors import SettingsError
from quant_platform.lake import Finding, check, snapshots, vacuum
from quant_platform.lake.manifest import Snapshot, load
from quant_platform.pipeline import suite_snapshots
from quant_platform.pipeline.home import Home
from quant_platform.specification.lake import lake_spec

FOUND_SOMETHING = 3

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a program instead of text.")]

lake_app = typer.Typer(help="Look after the partition files.", no_args_is_help=True, add_completion=False)
snapshot_app = typer.Typer(
    help="Immutable, named sets of partition versions.", no_args_is_help=True, add_completion=False
)


def snapshot_folder(home: Home) -> Path:
    """Where the manifests of a home are."""
    return home.settings.home / "snapshots"


@lake_app.command("check")
def lake_check(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Read every file and say what should not be there; exit code 3 when something is found. Nothing is deleted."""
    opened, console = open_home(home), Console()
    if not opened.settings.lake.is_dir() and not opened.lake.store.names(opened.lake.root):
        raise SettingsError(
            "there is no lake yet",
            where=str(opened.settings.lake),
            action="name the home with --home or QUANT_HOME; quant demo and quant import make one",
        )
    _report(
        check(opened.lake),
        console,
        f"every file under {opened.lake.store.address}/lake is whole and in its place",
        as_json,
    )


@lake_app.command("vacuum")
def lake_vacuum(
    home: HomeOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove superseded versions older than specs/lake.yaml keeps them, unless a snapshot names them."""
    opened = open_home(home)
    spec = lake_spec(opened.specs)
    found = vacuum(
        opened.lake,
        spec.keep,
        snapshot_folder(opened),
        dry_run,
        temporary_age=spec.temporary_age,
        catalogue=opened.settings.catalogue,
    )
    if as_json:
        said = {"versions": found.versions, "temporary": found.temporary, "bytes": found.bytes}
        print(to_json({**said, "named_by_snapshots": found.named_by_snapshots, "dry_run": found.dry_run}))
        return
    verb = "would remove" if found.dry_run else "removed"
    print(
        f"{verb} {len(found.versions)} superseded versions and {len(found.temporary)} temporary files, "
        f"{found.bytes / 2**20:.1f} MiB; {found.named_by_snapshots} more are named by snapshots"
    )


@lake_app.command("refresh")
def lake_refresh(home: HomeOption = None) -> None:
    """Build the DuckDB catalogue again, for example after the home was moved."""
    opened = open_home(home)
    opened.refresh_catalogue()
    print(opened.settings.catalogue)


@snapshot_app.command("create")
def snapshot_create(
    region: Annotated[str, typer.Argument(help="Region of the market, part of the name, for example US.")],
    home: HomeOption = None,
    table: Annotated[list[str] | None, typer.Option(help="A table to include; all when not given.")] = None,
    name: Annotated[str | None, typer.Option(help="Name; <date>-<region>-v<n> when not given.")] = None,
    lightweight: Annotated[
        bool, typer.Option("--lightweight", help="What a suite reads, of the names that traded most, as a small copy.")
    ] = False,
    names: Annotated[
        int | None,
        typer.Option(min=1, help="Names of a lightweight one, by median ADV; as in specs/suite/lightweight.yaml."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Its first session; as in specs/suite/lightweight.yaml."),
    ] = None,
) -> None:
    """Name the current version of every partition, once and for all."""
    opened = open_home(home)
    if lightweight:
        if table:
            raise typer.BadParameter("a lightweight snapshot holds what a suite reads, --table is not for it")
        day = since.date() if since is not None else None
        small = suite_snapshots.make_lightweight_snapshot(opened, region, names=names, since=day, name=name)
        print(f"{small}\n{_selection(load(snapshot_folder(opened), small))}")
        return
    made = snapshots.create(opened.lake, snapshot_folder(opened), region, tables=table, snapshot_id=name)
    print(made.snapshot_id)


def _selection(made: Snapshot) -> str:
    assert made.selection is not None, "it was made with one"
    held = sum(file.bytes for table in made.tables for file in table.files)
    return f"{made.selection.rule}; {held / 2**20:.1f} MiB"


@snapshot_app.command("list")
def snapshot_list(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the snapshots of a home."""
    found = snapshots.list_snapshots(snapshot_folder(open_home(home)))
    if as_json:
        print(
            to_json(
                [
                    {
                        "snapshot_id": one.snapshot_id,
                        "region": one.region,
                        "created_at": one.created_at,
                        "simulated": one.simulated,
                        "source_hash": one.source_hash,
                        "sha256": one.sha256,
                        "selection": one.selection.rule if one.selection is not None else None,
                        "tables": {table.name: table.rows for table in one.tables},
                    }
                    for one in found
                ]
            )
        )
        return
    rows = [
        (one.snapshot_id, str(one.created_at), len(one.tables), sum(table.rows for table in one.tables))
        for one in found
    ]
    show(pl.DataFrame(rows, schema=["snapshot", "created", "tables", "rows"], orient="row"), Console(), len(rows))


@snapshot_app.command("verify")
def snapshot_verify(
    name: Annotated[str, typer.Argument(help="Name of the snapshot.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hash every file of a snapshot again; exit code 3 when one is not what it was."""
    opened = open_home(home)
    findings = snapshots.verify(opened.lake, snapshot_folder(opened), name)
    _report(findings, Console(), f"{name}: every file is what it was", as_json)


@snapshot_app.command("export")
def snapshot_export(
    name: Annotated[str, typer.Argument(help="Name of the snapshot.")],
    target: Annotated[Path, typer.Argument(help="A new folder.")],
    home: HomeOption = None,
) -> None:
    """Copy a snapshot into a folder that needs nothing else."""
    opened = open_home(home)
    print(snapshots.export(opened.lake, snapshot_folder(opened), name, target))


def to_json(content: object) -> str:
    """JSON of what a command has found, one key a line; paths and dates as text."""
    return json.dumps(content, indent=1, default=str, ensure_ascii=False)


def _report(findings: Sequence[Finding], console: Console, nothing: str, as_json: bool) -> None:
    if as_json:
        print(to_json([asdict(found) for found in findings]))
    elif not findings:
        console.print(f"[green]ok[/green] {nothing}", highlight=False, soft_wrap=True)
    else:
        for found in findings:
            console.print(
                f"{found.kind}: {found.path}\n  {found.message}\n  next: {found.action}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    if findings:
        raise typer.Exit(FOUND_SOMETHING)
