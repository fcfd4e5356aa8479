"""``quant import``: from nothing to a market with tables, assets and a report; what ``quant demo`` shares with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table as Grid

from quant_platform.cli.declare import declared_home, declared_perps, say
from quant_platform.cli.homes import HomeOption, open_checked_home
from quant_platform.cli.lanes import How, log_of, run_each
from quant_platform.cli.progress import worker_output_to
from quant_platform.contracts.errors import PlatformError, SettingsError
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sharing import starting_ahead
from quant_platform.pipeline.sources import perp_source_of
from quant_platform.sources.protocol import reading_report
from quant_platform.specification.loading import load_spec
from quant_platform.specification.settings import settings
from quant_platform.specification.sources import SourceSpec

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from quant_platform.defs.runs import Launch

LiveOption = Annotated[
    bool,
    typer.Option("--live", help="The market goes on: the home has no last date, and later runs read what has come."),
]


def announce(home: Home, console: Console) -> None:
    """Say before a run that its numbers are made up, where they are."""
    if home.simulated:
        console.print(home.title, style="bold magenta", markup=False, highlight=False, soft_wrap=True)


def import_market(
    source: Annotated[str, typer.Argument(help="Name of a file in specs/sources, without the suffix.")],
    data: Annotated[Path, typer.Argument(help="Folder of the data.", exists=False)],
    universe: Annotated[
        str | None,
        typer.Option(help="Name of a file in specs/universe, without the suffix; the one of the source if not given."),
    ] = None,
    home: HomeOption = None,
    location: Annotated[
        list[str] | None, typer.Option(help="A further folder the source reads, as name=folder; may be repeated.")
    ] = None,
    only_raw: Annotated[
        bool,
        typer.Option("--only-raw", help="Stop after the tables by ticker: no ranks, no gate, no studies, no report."),
    ] = False,
    live: LiveOption = False,
) -> None:
    """Fill a home from a folder of real data and materialise the whole graph on it."""
    where = settings() if home is None else settings().model_copy(update={"home": home.resolve()})
    locations = {"data": data, **_locations(location or [])}
    for name, folder in locations.items():
        if not folder.exists():
            raise SettingsError(
                f"the folder of the location {name!r} does not exist", where=str(folder), action="check the path"
            )
    chosen = universe or load_spec(where.specs / "sources" / f"{source}.yaml", SourceSpec).universe
    console = Console()
    started = time.monotonic()
    declaration = declared_home(where.home, source, chosen, locations, where.specs, live=live)
    say(console, declaration)
    with declaration.in_force():
        opened = open_checked_home(where.home)
        if not opened.has_bars:
            run_everything(opened, console, launches=_panel_launches)
            opened.refresh_catalogue()
            where_to_look(opened, console, time.monotonic() - started)
            return
        only = ("securities", "ticker_graph", "equity_audit") if only_raw else None
        left_out = run_everything(opened, console, only=only)
    finish(opened, console, started, left_out)


def import_perps(
    source: Annotated[str, typer.Argument(help="Name of a file in specs/sources, without the suffix.")],
    data: Annotated[Path | None, typer.Argument(help="Folder of the data; none for a source that fetches.")] = None,
    home: HomeOption = None,
    live: LiveOption = False,
) -> None:
    """Fill a home with perpetuals and materialise everything that is built on them."""
    where = settings() if home is None else settings().model_copy(update={"home": home.resolve()})
    if data is not None and not data.exists():
        raise SettingsError("the folder of the data does not exist", where=str(data), action="check the path")
    console = Console()
    started = time.monotonic()
    declaration = declared_perps(where.home, source, data, where.specs, live=live)
    say(console, declaration)
    with declaration.in_force():
        opened = open_checked_home(where.home)
        left_out = run_everything(opened, console)
    if data is None:
        for finding in reading_report(perp_source_of(opened)):
            console.print(finding.sentence(), style="yellow", markup=False, highlight=False, soft_wrap=True)
    finish(opened, console, started, left_out)


def run_everything(
    home: Home,
    console: Console,
    only: Sequence[str] | None = None,
    *,
    launches: Callable[[Home, DagsterInstance], Sequence[Launch]] | None = None,
    refresh: bool = False,
    in_process: bool | None = None,
    workers: int | None = None,
    begun: bool = False,
    lanes: int = 2,
) -> PlatformError | None:
    """Run the jobs of the graph in order, each with a progress line; the options are those of `runs.execute`.

    Where some run is worth a second process that shares it, one also takes a part of the other jobs, which then run
    beside each other as far as what they read allows it.

    Parameters
    ----------
    home, console
        The market, and where the lines go.
    only
        Names of the jobs that are run; all when not given.
    launches
        Gives the runs in the place of the whole graph.
    begun
        Whether the command has done before what comes first: the tickers have their partitions, and it was said whether
        the market is simulated.
    lanes
        How many jobs may run at a time: one where another process has the other core already.

    Returns
    -------
    PlatformError or None
        What says which tickers were left out because they failed.
    """
    from quant_platform.defs import runs

    if not begun:
        announce(home, console)
    how = How(refresh, in_process, workers)
    with runs.instance_of(home) as instance, ExitStack() as ended:
        if not begun:
            runs.register_tickers(home, instance)
        chosen = runs.everything(home, instance, only=only) if launches is None else launches(home, instance)
        beside = [runs.processes_of(launch, in_process=in_process, workers=workers) for launch in chosen]
        with worker_output_to(log_of(home)):
            ended.enter_context(starting_ahead(next(filter(None, beside), 0)))
        waits = runs.waits_of(chosen, home, alone=[count > 0 for count in beside])
        return run_each(chosen, waits, how, home, instance, console, two=lanes > 1 and any(beside))


def finish(
    home: Home,
    console: Console,
    started: float,
    left_out: PlatformError | None,
    verdicts: Sequence[str] = (),
) -> None:
    """Bring the catalogue up to date; say where to look and what the audit found, then what is not in it.

    Raises
    ------
    PlatformError
        The one given, or the one of data past a limit.
    """
    home.follow_catalogue()
    home.collect_pages()
    where_to_look(home, console, time.monotonic() - started, verdicts)
    conclude(home, console)
    if left_out is not None:
        raise left_out


def conclude(home: Home, console: Console) -> None:
    """Say what the audit of the home found.

    Raises
    ------
    AuditFailed
        When the data are past a limit of ``specs/checks.yaml``.
    """
    from quant_platform.pipeline.audit import audit_lines, require_within_limits

    console.print("\n".join(audit_lines(home)), highlight=False, soft_wrap=True, markup=False)
    require_within_limits(home)


def where_to_look(home: Home, console: Console, seconds: float, verdicts: Sequence[str] = ()) -> None:
    """Print the tables with their rows, the reports, verdicts on signals, and the commands to go on with."""
    grid = Grid(title=home.title)
    grid.add_column("table")
    grid.add_column("partitions", justify="right")
    grid.add_column("rows", justify="right")
    for name, partitions, rows in home.table_sizes():
        grid.add_row(name, f"{partitions:,}", f"{rows:,}")
    console.print(grid)
    folder = home.settings.home / "reports"
    newest = {page.parent: page for page in sorted(folder.rglob("*.html")) if page.parent != folder / "suite"}
    pages = [shown(page) for page in newest.values()]
    place = shown(home.settings.home)
    option = "" if place == "data" else f" --home {place}"
    traded = bool(home.lake.partitions("ops.book"))
    example = "discovery.hypotheses limit 20" if home.has_perps and not home.has_equities else "replay.hit_rate"
    if not home.has_bars and home.has_equities:
        example = "suite.returns limit 20"
    lines = [
        f"made in {seconds:.0f} s on {date.today()}; everything is under {place}/",
        f"  reports    {', '.join(pages) or 'none yet'}",
        *(f"  {'' if number else 'verdicts':<10} {line}" for number, line in enumerate(verdicts)),
        *([f"  signals    quant app{option}   to run one of your own"] if verdicts else []),
        *([f"  operations {place}/outputs/*.json, and quant proposals list{option}"] if traded else []),
        f'  tables     quant sql{option} "select * from {example}"',
        f"             or: duckdb {shown(home.settings.catalogue)}",
        f"  assets     quant up{option}   then http://localhost:3000",
        f"  health     quant lake check{option}",
    ]
    console.print("\n".join(lines), highlight=False, soft_wrap=True)


def shown(path: Path) -> str:
    """A path as it is printed: from where the command was started, if it lies below."""
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)


def _panel_launches(home: Home, instance: DagsterInstance) -> list[Launch]:
    """What a panel without bars is imported by."""
    from quant_platform.defs.jobs import job_named
    from quant_platform.defs.runs import Launch

    years = job_named("suite_panel").scheme.keys(home, instance)
    return [Launch("suite_dates"), Launch("suite_panel", tuple(years))]


def _locations(pairs: Sequence[str]) -> dict[str, Path]:
    found = {}
    for pair in pairs:
        name, separator, folder = pair.partition("=")
        if not separator or not name or not folder:
            raise typer.BadParameter(f"was {pair!r}, must be name=folder", param_hint="--location")
        found[name] = Path(folder)
    return found
