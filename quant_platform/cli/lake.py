"""``quant lake`` and ``quant snapshot``: looking after the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table as Grid

from quant_platform.cli.market import HomeOption, open_home
from quant_platform.contracts.errors import SettingsError
from quant_platform.lake import Finding, check, snapshots, vacuum
from quant_platform.pipeline.home import Home
from quant_platform.specification.lake import lake_spec

FOUND_SOMETHING = 3

lake_app = typer.Typer(no_args_is_help=True, add_completion=False)
snapshot_app = typer.Typer(no_args_is_help=True, add_completion=False)


def snapshot_folder(home: Home) -> Path:
    """Where the manifests of a home are."""
    return home.settings.home / "snapshots"


@lake_app.command("check")
def lake_check(home: HomeOption = None) -> None:
    """Read every file and say what should not be there; exit code 3 when something is found. Nothing is deleted."""
    opened, console = open_home(home), Console()
    if not opened.settings.lake.is_dir():
        raise SettingsError(
            "there is no lake yet",
            where=str(opened.settings.lake),
            action="name the home with --home or QUANT_HOME; quant demo and quant import make one",
        )
    _report(check(opened.lake), console, f"every file under {opened.settings.lake} is whole and in its place")


@lake_app.command("vacuum")
def lake_vacuum(
    home: HomeOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
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
) -> None:
    """Name the current version of every partition, once and for all."""
    opened = open_home(home)
    made = snapshots.create(opened.lake, snapshot_folder(opened), region, tables=table, snapshot_id=name)
    print(made.snapshot_id)


@snapshot_app.command("list")
def snapshot_list(home: HomeOption = None) -> None:
    """List the snapshots of a home."""
    grid = Grid()
    for heading in ("snapshot", "created", "tables", "rows"):
        grid.add_column(heading, justify="right" if heading in ("tables", "rows") else "left")
    for found in snapshots.list_snapshots(snapshot_folder(open_home(home))):
        rows = sum(table.rows for table in found.tables)
        grid.add_row(found.snapshot_id, str(found.created_at), str(len(found.tables)), f"{rows:,}")
    Console().print(grid)


@snapshot_app.command("verify")
def snapshot_verify(
    name: Annotated[str, typer.Argument(help="Name of the snapshot.")], home: HomeOption = None
) -> None:
    """Hash every file of a snapshot again; exit code 3 when one is not what it was."""
    opened = open_home(home)
    findings = snapshots.verify(opened.lake, snapshot_folder(opened), name)
    _report(findings, Console(), f"{name}: every file is what it was")


@snapshot_app.command("export")
def snapshot_export(
    name: Annotated[str, typer.Argument(help="Name of the snapshot.")],
    target: Annotated[Path, typer.Argument(help="A new folder.")],
    home: HomeOption = None,
) -> None:
    """Copy a snapshot into a folder that needs nothing else."""
    opened = open_home(home)
    print(snapshots.export(opened.lake, snapshot_folder(opened), name, target))


def _report(findings: Sequence[Finding], console: Console, nothing: str) -> None:
    if not findings:
        console.print(f"[green]ok[/green] {nothing}", highlight=False, soft_wrap=True)
        return
    for found in findings:
        console.print(
            f"{found.kind}: {found.path}\n  {found.message}\n  next: {found.action}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    raise typer.Exit(FOUND_SOMETHING)
