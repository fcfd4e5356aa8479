"""``quant sql``, ``quant doctor``, ``quant docs``: looking at what is there."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from quant_platform.cli.homes import HomeOption, home_settings, open_home
from quant_platform.contracts.errors import PlatformError, SettingsError
from quant_platform.lake.atomic import atomic_text
from quant_platform.specification.settings import Settings

if TYPE_CHECKING:
    from quant_platform.pipeline.home import Home


def sql(
    query: Annotated[str, typer.Argument(help="A query on the catalogue; - reads it from standard input.")],
    home: HomeOption = None,
    output: Annotated[Literal["table", "csv", "json"], typer.Option(help="How rows are printed.")] = "table",
    limit: Annotated[int, typer.Option(min=1, help="Rows printed of a table.")] = 50,
) -> None:
    """Query the catalogue read-only."""
    from quant_platform.cli.query import ask, csv, show

    where = home_settings(home)
    catalogue = where.catalogue
    if not catalogue.is_file():
        from quant_platform.cli.declare import require_home

        require_home(where.home)
        raise SettingsError(
            "there is no catalogue yet",
            where=str(catalogue),
            action="make the tables first: quant demo, or quant import",
        )
    rows = ask(catalogue, sys.stdin.read() if query == "-" else query)
    if output == "csv":
        print(csv(rows), end="")
    elif output == "json":
        print(rows.write_json())
    else:
        show(rows, Console(), limit)


def doctor(
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program instead of text.")] = False,
) -> None:
    """Check that this machine and home can do the work; exit code 3 when something is wrong."""
    from quant_platform.cli import paragraph
    from quant_platform.defs.workers import can_fork, worker_count
    from quant_platform.pipeline.sources import panel_source_of, perp_source_of, tickers_of
    from quant_platform.pipeline.spec_check import check_specs

    opened, console = open_home(home, may_be_new=True), Console()
    findings: list[tuple[bool, str]] = [
        (sys.version_info >= (3, 11), f"Python {sys.version.split()[0]}"),
        ((os.cpu_count() or 1) >= 1, f"{os.cpu_count()} cores, worker processes at a time: {worker_count()}"),
        (
            can_fork(),
            "worker processes come from a fork server" if can_fork() else "no fork here: work runs in one process",
        ),
        _writable(opened.settings.home),
        _free_space(opened.settings.home),
        *store_findings(opened),
    ]
    try:
        findings.append((True, f"specs {opened.specs}: {check_specs(opened)} files"))
        findings.append((True, opened.title))
        findings += [(True, line) for line in _deployed(opened.settings)]
        if opened.has_equities:
            tickers = tickers_of(opened) if opened.has_bars else panel_source_of(opened).tickers()
            findings.append((bool(tickers), f"source {opened.spec.source}: {len(tickers)} tickers"))
        if opened.has_perps:
            symbols = perp_source_of(opened).symbols()
            findings.append((bool(symbols), f"source {opened.perps.source}: {len(symbols)} perpetuals"))
    except PlatformError as error:
        findings.append((False, paragraph(error)))
    catalogue = opened.settings.catalogue
    findings.append(
        (catalogue.is_file(), f"catalogue {catalogue}" + ("" if catalogue.is_file() else " does not exist yet"))
    )
    if as_json:
        print(json.dumps([{"good": good, "finding": text} for good, text in findings], indent=1, ensure_ascii=False))
    for good, text in () if as_json else findings:
        state = Text("ok  ", style="green") if good else Text("look", style="red")
        console.print(state, Text(text), highlight=False, soft_wrap=True)
    if not all(good for good, _ in findings):
        raise typer.Exit(3)


def docs(
    folder: Annotated[Path, typer.Option(help="Folder the pages are written to.")] = Path("docs/reference"),
) -> None:
    """Write the reference pages that are generated: tables from the schemas, specs from the models."""
    from quant_platform.reports.documentation.reference import write_reference
    from quant_platform.specification.settings import settings

    for path in write_reference(settings().specs, folder):
        print(path)


def _deployed(where: Settings) -> list[str]:
    """What a deployment on more than this machine says, once it was seen to work."""
    from quant_platform.specification.deployment import deployment, postgres_address

    spec, lines = deployment(where), []
    if postgres_address(where, spec) is not None:
        # Dagster takes seconds to import, and a home on one machine has nothing to ask it.
        from quant_platform.defs.instances import require_database

        lines.append(f"runs in Postgres: {require_database(where).url}")
    if spec.executor.distributed:
        from quant_platform.defs.executors import require_workers

        require_workers(spec.executor)
        lines.append(f"steps on {spec.executor.name}, {spec.executor.workers} at a time")
    return lines


def _writable(folder: Path) -> tuple[bool, str]:
    if not folder.is_dir():
        return False, f"home {folder} does not exist yet: quant demo or quant import make one"
    good = os.access(folder, os.W_OK)
    return good, f"home {folder}" + ("" if good else " is not writable")


def store_findings(home: Home) -> list[tuple[bool, str]]:
    """Whether the store answers that a home names; nothing to say of a home whose lake is a folder."""
    from quant_platform.cli import paragraph
    from quant_platform.specification.lake import LAKE_FILE

    if not (home.settings.home / LAKE_FILE).is_file():
        return []
    try:
        home.lake.store.names(home.lake.root)
    except PlatformError as error:
        return [(False, paragraph(error))]
    return [(True, f"lake {home.lake.store.address} answers")]


def _free_space(folder: Path) -> tuple[bool, str]:
    free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.is_dir())).free
    return free > 2**31, f"{free / 2**30:.1f} GiB free"


def results(
    output: Annotated[Path, typer.Argument(help="The Markdown page to write.")],
    title: Annotated[str, typer.Option(help="Heading of the page.")],
    home: HomeOption = None,
    command: Annotated[str, typer.Option(help="The command that made the home, as a reader would type it.")] = "",
    market: Annotated[
        Literal["equities", "perpetuals"] | None, typer.Option(help="Which of the two, in a home that holds both.")
    ] = None,
) -> None:
    """Write a page with the numbers of a home: its bars, what was kept out of them, and what the evidence says."""
    from importlib.metadata import version

    from quant_platform import __version__
    from quant_platform.lake import connect
    from quant_platform.reports.documentation.results import discovery_results, equity_results

    opened = open_home(home)
    if not opened.table_sizes():
        raise SettingsError(
            "this home holds no table, so there is nothing to write a page of",
            where=str(opened.settings.home),
            action="name the home with --home or QUANT_HOME; quant demo, quant import and quant import-perps fill one",
        )
    held = {"equities": opened.has_bars, "perpetuals": opened.has_perps}
    if not any(held.values()):
        raise SettingsError(
            "this home holds returns and no bars, and a page is of what the labs on bars found",
            where=str(opened.settings.home),
            action="quant suite NAME makes the page of a signal",
        )
    if market is None and all(held.values()):
        raise SettingsError(
            "this home holds two markets, and a page is of one",
            where=str(opened.settings.home),
            action="say which: --market equities, or --market perpetuals",
        )
    if market is not None and not held[market]:
        raise SettingsError(
            f"this home holds no {market}", where=str(opened.settings.home), action="leave out --market"
        )
    libraries = ("polars", "duckdb", "numpy", "numba", "dagster")
    about = {"made by": f"quant_platform {__version__}, " + ", ".join(f"{name} {version(name)}" for name in libraries)}
    if market == "equities" or (market is None and opened.has_bars):
        page = equity_results
        about["source"] = f"{opened.spec.source}: {opened.source_spec.description}"
        about["universe"] = f"{opened.universe.name}: {opened.universe.description}"
    else:
        page = discovery_results
        about["source"] = f"{opened.perps.source}: {opened.perp_source_spec.description}"
        about["symbols"] = ", ".join(opened.perps.symbols)
    if command:
        about["command"] = f"`{command}`"
    with connect(opened.settings.home) as connection:
        atomic_text(output, page(connection, title, about))
    print(output)
