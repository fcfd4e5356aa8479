"""The ``quant`` command.

Exit codes: 0 done, 1 an error with one paragraph on standard error, 2 wrong usage, 3 a check found something,
130 interrupted. ``--debug`` before the command shows the traceback.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from quant_platform import __version__
from quant_platform.cli import inspect, lake, market, work
from quant_platform.contracts.errors import PlatformError

app = typer.Typer(
    name="quant",
    help="Quantitative research on a Dagster asset graph over a DuckDB-queryable Parquet lake.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(lake.lake_app, name="lake", help="Look after the partition files.")
app.add_typer(lake.snapshot_app, name="snapshot", help="Immutable, named sets of partition versions.")
app.command("demo")(market.demo)
app.command("import")(market.import_market)
app.command("run")(work.run)
app.command("up")(work.up)
app.command("sql")(inspect.sql)
app.command("doctor")(inspect.doctor)
app.command("docs")(inspect.docs)
app.command("results")(inspect.results)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"quant_platform {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Options that stand before the command; :func:`main` acts on ``--debug``."""
    del debug, version


def main() -> None:
    """Run the command and turn an error into one readable paragraph."""
    if "--debug" in sys.argv:
        app()
        return
    try:
        app()
    except PlatformError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(str(error), style="red", markup=False)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted: what was written is whole; start the same command again to go on")
        raise SystemExit(130) from None
