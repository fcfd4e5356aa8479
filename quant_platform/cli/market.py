"""``quant demo`` and ``quant import``: from nothing to a market with tables, assets and a report."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table as Grid

from quant_platform.cli.progress import watching, worker_output_to
from quant_platform.contracts.errors import HomeMixed, PlatformError, SettingsError, SourceNotFound
from quant_platform.pipeline.home import Home
from quant_platform.sources import Source
from quant_platform.specification.home import HomeSpec, UniverseSpec
from quant_platform.specification.loading import load_spec
from quant_platform.specification.settings import settings
from quant_platform.specification.sources import SourceSpec

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of the market; QUANT_HOME or ./data when not given.", file_okay=False),
]


def open_home(home: Path | None) -> Home:
    """Open the home a command names, or the one of the environment."""
    if home is not None:
        os.environ["QUANT_HOME"] = str(home.resolve())
    return Home(settings())


def open_checked_home(home: Path | None) -> Home:
    """Open a home that work is about to be done in: its specs are read first."""
    from quant_platform.pipeline.spec_check import check_specs

    opened = open_home(home)
    check_specs(opened)
    return opened


def demo(home: HomeOption = None) -> None:
    """Materialise the whole graph on the built-in simulated market and say where to look."""
    opened = open_checked_home(home)
    if not opened.simulated:
        raise HomeMixed(
            "this home holds a real market, the demo would mix it with a simulated one",
            where=str(opened.spec_file),
            action="choose another folder: quant demo --home data-demo",
        )
    console = Console()
    started = time.monotonic()
    finish(opened, console, started, run_everything(opened, console))


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
    load_spec(where.specs / "universe" / f"{chosen}.yaml", UniverseSpec)
    declare_home(where.home, source, chosen, locations, where.specs)
    opened = open_checked_home(where.home)
    console = Console()
    started = time.monotonic()
    left_out = run_everything(opened, console, only=("securities", "ticker_graph") if only_raw else None)
    finish(opened, console, started, left_out)


def import_perps(
    source: Annotated[str, typer.Argument(help="Name of a file in specs/sources, without the suffix.")],
    data: Annotated[Path | None, typer.Argument(help="Folder of the data; none for a source that fetches.")] = None,
    home: HomeOption = None,
) -> None:
    """Fill a home with perpetuals and materialise everything that is built on them."""
    where = settings() if home is None else settings().model_copy(update={"home": home.resolve()})
    if data is not None and not data.exists():
        raise SettingsError("the folder of the data does not exist", where=str(data), action="check the path")
    declare_perps(where.home, source, data, where.specs)
    opened = open_checked_home(where.home)
    console = Console()
    started = time.monotonic()
    finish(opened, console, started, run_everything(opened, console))


def declare_perps(folder: Path, source: str, location: Path | None, specs: Path) -> None:
    """Write ``perps.yaml``, or make sure that the one which is there says the same.

    Raises
    ------
    HomeMixed
        When the folder already holds other perpetuals, or the simulated market.
    """
    from quant_platform.sources.open_perp import open_perp_source
    from quant_platform.specification.home import PerpMarketSpec
    from quant_platform.specification.loading import load_spec
    from quant_platform.specification.perp_sources import PerpSourceSpec

    resolved = None if location is None else location.resolve()
    path = folder / "perps.yaml"
    if path.is_file():
        present = load_spec(path, PerpMarketSpec)
        if (present.source, present.location) == (source, resolved):
            return
        raise HomeMixed(
            f"this home holds the source {present.source!r} from {present.location}, "
            f"{source!r} from {resolved} was about to be imported into it",
            where=str(path),
            cause="a home holds one market of perpetuals, so that no number can mix two",
            action="choose another folder with --home, or remove this one",
        )
    if (folder / "lake").is_dir() and not (folder / "home.yaml").is_file():
        raise HomeMixed(
            "this home holds the simulated market",
            where=str(folder),
            action="choose another folder: quant import-perps ... --home data-real",
        )
    spec = load_spec(specs / "sources" / f"{source}.yaml", PerpSourceSpec)
    opened = open_perp_source(spec, resolved, cache=folder / "downloads")
    months = sorted({month for symbol in opened.symbols() for month in opened.months(symbol)})
    if not months:
        raise SourceNotFound(
            "the source has no month",
            where=f"source {source!r}, folder {resolved or folder / 'downloads'}",
            cause="no file there has a name that the source spec asks for, under the symbols it lists",
            action=f"check the folder and {specs / 'sources' / source}.yaml",
        )
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "source": source,
        "location": None if resolved is None else str(resolved),
        "symbols": opened.symbols(),
        "first_month": months[0],
        "last_month": months[-1],
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def declare_home(folder: Path, source: str, universe: str, locations: dict[str, Path], specs: Path) -> None:
    """Write ``home.yaml``, or make sure that the one which is there says the same.

    Raises
    ------
    HomeMixed
        When the folder already holds another market.
    """
    from quant_platform.sources import open_source

    resolved = {name: path.resolve() for name, path in locations.items()}
    path = folder / "home.yaml"
    if path.is_file():
        present = load_spec(path, HomeSpec)
        if (present.source, present.universe, dict(present.locations)) == (source, universe, resolved):
            return
        raise HomeMixed(
            f"this home holds {_market(present.source, present.universe, present.locations)}; "
            f"{_market(source, universe, resolved)} was about to be imported into it",
            where=str(path),
            cause="a home holds one market, so that no number can mix two",
            action="choose another folder with --home, or remove this one",
        )
    if (folder / "lake").is_dir() and not (folder / "perps.yaml").is_file():
        raise HomeMixed(
            "this home holds the simulated market",
            where=str(folder),
            action="choose another folder: quant import ... --home data-real",
        )
    spec = load_spec(specs / "sources" / f"{source}.yaml", SourceSpec)
    opened = open_source(spec, resolved)
    first, last = market_span(opened)
    if spec.kind == "files":
        read_shared_files(opened)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "source": source,
        "universe": universe,
        "locations": {name: str(location) for name, location in resolved.items()},
        "first_session": first,
        "last_session": last,
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def market_span(source: Source) -> tuple[date, date]:
    """First and last session of everything a source has; reads all of it, so a malformed file shows up here.

    Raises
    ------
    SourceNotFound
        When the source has no bar at all.
    """
    sessions = source.bars_many(source.tickers()).get_column("session")
    first, last = sessions.min(), sessions.max()
    if not isinstance(first, date) or not isinstance(last, date):
        raise SourceNotFound(
            "the source has no bar", where=f"source {source.name!r}", action="check the folder and the source spec"
        )
    return first, last


def read_shared_files(source: Source) -> None:
    """Read what all tickers share (actions, fundamentals, membership), so that a malformed file is one error, here."""
    ticker = source.tickers()[0]
    source.actions(ticker)
    source.fundamentals(ticker)
    source.securities()


def run_everything(
    home: Home,
    console: Console,
    only: Sequence[str] | None = None,
    *,
    refresh: bool = False,
    in_process: bool | None = None,
    workers: int | None = None,
) -> PlatformError | None:
    """Run the jobs of the graph in order, each with a progress line; the options are those of `runs.execute`.

    Returns
    -------
    PlatformError or None
        What says which tickers were left out because they failed.
    """
    from quant_platform.defs import runs
    from quant_platform.defs.jobs import job_named

    left_out = None
    with runs.instance_of(home) as instance:
        runs.register_tickers(home, instance)
        for launch in runs.everything(home, instance):
            if only is not None and launch.job not in only:
                continue
            tables = job_named(launch.job).tables
            with (
                watching(console, f"{launch.job:<22}", home.settings.lake, tables, len(launch.keys) or 1),
                worker_output_to(home.settings.home / "dagster" / "workers.log"),
            ):
                try:
                    runs.execute(
                        launch,
                        instance,
                        refresh=refresh,
                        in_process=in_process,
                        workers=workers,
                        may_leave_out=home.schedules.left_out_max,
                    )
                except runs.TickersLeftOut as error:
                    left_out = error
    home.refresh_catalogue()
    return left_out


def finish(home: Home, console: Console, started: float, left_out: PlatformError | None) -> None:
    """Say where to look; then, with the exit code of a failure, which tickers are not in it.

    Raises
    ------
    PlatformError
        The one given.
    """
    where_to_look(home, console, time.monotonic() - started)
    if left_out is not None:
        raise left_out


def where_to_look(home: Home, console: Console, seconds: float) -> None:
    """Print the tables with their rows, the report, and the commands to go on with."""
    grid = Grid(title=home.title)
    grid.add_column("table")
    grid.add_column("partitions", justify="right")
    grid.add_column("rows", justify="right")
    for name, partitions, rows in home.table_sizes():
        grid.add_row(name, f"{partitions:,}", f"{rows:,}")
    console.print(grid)
    newest = {page.parent: page for page in sorted((home.settings.home / "reports").rglob("*.html"))}
    pages = [_shown(page) for page in newest.values()]
    shown = _shown(home.settings.home)
    option = "" if shown == "data" else f" --home {shown}"
    example = "replay.hit_rate" if home.has_equities else "discovery.hypotheses limit 20"
    lines = [
        f"made in {seconds:.0f} s on {date.today()}; everything is under {shown}/",
        f"  reports    {', '.join(pages) or 'none yet'}",
        f'  tables     quant sql{option} "select * from {example}"',
        f"             or: duckdb {_shown(home.settings.catalogue)}",
        f"  assets     quant up{option}   then http://localhost:3000",
        f"  health     quant lake check{option}",
    ]
    console.print("\n".join(lines), highlight=False, soft_wrap=True)


def _shown(path: Path) -> str:
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)


def _market(source: str, universe: str, locations: Mapping[str, Path]) -> str:
    folders = ", ".join(f"{name}={folder}" for name, folder in sorted(locations.items()))
    return f"{source!r} with the universe {universe!r} from {folders or 'no folder'}"


def _locations(pairs: Sequence[str]) -> dict[str, Path]:
    found = {}
    for pair in pairs:
        name, separator, folder = pair.partition("=")
        if not separator or not name or not folder:
            raise typer.BadParameter(f"was {pair!r}, must be name=folder", param_hint="--location")
        found[name] = Path(folder)
    return found
