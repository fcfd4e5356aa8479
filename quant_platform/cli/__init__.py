"""The ``quant`` command.

Exit codes: 0 done, 1 an error with one paragraph on standard error, 2 wrong usage, 3 a check found something,
130 interrupted. ``--debug`` before the command shows the traceback.
"""

from __future__ import annotations

import errno
import sys
from typing import Annotated

import typer
from rich.console import Console

from quant_platform import __version__
from quant_platform.cli import backtest, inspect, lake, market, work
from quant_platform.contracts.errors import PlatformError, StorageFailed

INTERRUPTED = 130

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
app.command("import-perps")(market.import_perps)
app.command("run")(work.run)
app.command("up")(work.up)
app.command("backtest")(backtest.backtest)
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
    debug = "--debug" in sys.argv
    try:
        app()
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            _say("interrupted: what was written is whole; start the same command again to go on")
        raise
    except PlatformError as error:
        if debug:
            raise
        _say(str(error))
        raise SystemExit(1) from None
    except OSError as error:
        if debug:
            raise
        _say(str(_storage_failure(error)))
        raise SystemExit(1) from None
    except Exception as error:
        if debug:
            raise
        text = " ".join(str(error).split())
        _say(f"unexpected: {type(error).__name__}: {text[:300]}; `quant --debug ...` shows where it comes from")
        raise SystemExit(1) from None


def _storage_failure(error: OSError) -> StorageFailed:
    return StorageFailed(
        error.strerror or str(error),
        where=str(error.filename or ""),
        cause="the disk is full" if error.errno == errno.ENOSPC else "",
        action="make room or choose another folder with --home; `quant doctor` looks at both",
    )


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, style="red", markup=False)
