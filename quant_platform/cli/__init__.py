"""The ``quant`` command.

Exit codes: 0 done, 1 an error with one paragraph on standard error, 2 wrong usage, 3 a check found something,
130 interrupted. ``--debug`` before the command shows the traceback.

A command's module is imported when the command is called: the libraries behind all of them take seconds to load, and
``quant --help`` needs none.
"""

from __future__ import annotations

import errno
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from quant_platform import __version__
from quant_platform.cli.leaving import leaving_at_once

if TYPE_CHECKING:
    from quant_platform.contracts.errors import PlatformError

INTERRUPTED = 130
SHOWN_CHARACTERS = 600
"""Of one line of an error; what a person typed or a file holds may be longer than a screen."""


@dataclass(frozen=True)
class Entry:
    """A command: the module below this one, the function or group in it, and what ``quant --help`` says of it.

    ``processes`` is how many of its own work at a time.
    """

    module: str
    attribute: str
    help: str
    processes: int = 1

    def load(self, name: str) -> Any:
        """Import the module and build the command."""
        if self.processes > 1:
            # Read when Polars is imported. Threads beyond the cores spend their time on handing work to each other.
            os.environ.setdefault("POLARS_MAX_THREADS", str(max(1, (os.cpu_count() or 1) // self.processes)))
        found = getattr(import_module(f"{__name__}.{self.module}"), self.attribute)
        application = found
        if not isinstance(found, typer.Typer):
            application = typer.Typer(add_completion=False)
            application.command(name)(found)
        command = typer.main.get_command(application)
        command.name = name
        return command


COMMANDS: Mapping[str, Entry] = {
    "demo": Entry(
        "demo",
        "demo",
        "Materialise the whole graph on the built-in simulated market and say where to look.",
        processes=2,
    ),
    "init": Entry(
        "init",
        "init",
        "Look at a folder of bars, guess how it is written, and write specs/sources and specs/universe for it.",
    ),
    "import": Entry(
        "market",
        "import_market",
        "Fill a home from a folder of real data and materialise the whole graph on it.",
    ),
    "import-perps": Entry(
        "market", "import_perps", "Fill a home with perpetuals and materialise everything that is built on them."
    ),
    "run": Entry(
        "work",
        "run",
        "Run a job over a range of its partitions; what is current is skipped, so a stopped run goes on where it was.",
    ),
    "runs": Entry(
        "runs", "list_runs", "List the last runs of a home: id, job, state, when it began, how long it took."
    ),
    "up": Entry("serving", "up", "Start Dagster's code server, daemon and web server on this home, until interrupted."),
    "app": Entry(
        "app",
        "app",
        "Start the web app on this home, until interrupted: run signals, read verdicts, look back, start jobs.",
    ),
    "backtest": Entry(
        "backtest", "backtest", "Trade decisions on bars, with costs, and write trades, fills, equity and figures."
    ),
    "sql": Entry("inspect", "sql", "Query the catalogue read-only."),
    "compare": Entry(
        "compare",
        "compare",
        "Compare two weeks (or other partitions), two snapshots, or two suites: what came, went and changed.",
    ),
    "doctor": Entry(
        "inspect", "doctor", "Check that this machine and home can do the work; exit code 3 when something is wrong."
    ),
    "docs": Entry(
        "inspect",
        "docs",
        "Write the reference pages that are generated: tables from the schemas, specs from the models.",
    ),
    "results": Entry(
        "inspect",
        "results",
        "Write a page with the numbers of a home: its bars, what was kept out of them, and what the evidence says.",
    ),
    "lake": Entry("lake", "lake_app", "Look after the partition files."),
    "snapshot": Entry("lake", "snapshot_app", "Immutable, named sets of partition versions."),
    "parity": Entry(
        "parity", "parity_app", "The same decisions through Backtrader, VectorBT and Zipline, compared trade by trade."
    ),
    "signal": Entry("signal", "signal_app", "Check and register files of signals."),
    "fills": Entry("operations", "fills_app", "Import a broker's own fills, which teach what trading costs."),
    "proposals": Entry(
        "operations", "proposals_app", "Look at proposed changes of the specs, apply one, or take one back."
    ),
    "operations": Entry(
        "operations", "operations_app", "Run the weekly evidence of operations, or open the kill switches again."
    ),
    "verify": Entry(
        "verify", "verify", "Compute a suite again from snapshot, specs and code, and say byte for byte what equals."
    ),
    "suite": Entry("suite", "suite", "Judge a registered signal on a snapshot: verdict, reasons, tear sheet."),
}


class Commands(TyperGroup):
    """The group of all commands; each is a name and a sentence until it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name, help=entry.help))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command of the first argument and load it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, COMMANDS[name].load(name) if name is not None else command, rest


# Not `app`: that is the name of a module of this package, which takes its place once it is imported.
QUANT = typer.Typer(
    cls=Commands,
    name="quant",
    help="Quantitative research on a Dagster asset graph over a DuckDB-queryable Parquet lake.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"quant_platform {__version__}")
        raise typer.Exit


@QUANT.callback()
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
    try:
        QUANT(prog_name="quant")
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            _say("interrupted: what was written is whole; start the same command again to go on")
        raise
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        _say(paragraph(error))
        raise SystemExit(1) from None


def run() -> None:
    """The command as a process of its own: what `main` does, then the end at once."""
    leaving_at_once(main)


def paragraph(error: Exception) -> str:
    """What a person reads of an error: what, where, how many, likely cause, next action."""
    from quant_platform.contracts.errors import PlatformError, StorageFailed

    if isinstance(error, OSError) and not isinstance(error, PlatformError):
        error = StorageFailed(
            error.strerror or str(error),
            where=str(error.filename or ""),
            cause="the disk is full" if error.errno == errno.ENOSPC else "",
            action="make room or choose another folder with --home; `quant doctor` looks at both",
        )
    refused = _refused_by_sqlite(error)
    if refused:
        error = StorageFailed(
            "the history of runs cannot be read or written; no table was changed by that",
            cause=f"the disk is full, a folder cannot be written, or another process holds the file; SQLite: {refused}",
            action="free space, correct the permissions, or end the other process, then run again: what is current is "
            "not recomputed",
        )
    if isinstance(error, PlatformError):
        lines = str(_complete(error)).split("\n")
        return "\n".join(line if len(line) <= SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS]}..." for line in lines)
    text = " ".join(str(error).split())
    return f"unexpected: {type(error).__name__}: {text[:300]}; `quant --debug ...` shows where it comes from"


def _refused_by_sqlite(error: BaseException | None) -> str:
    """What SQLite says of a file that it cannot use, however deep in the error; empty where it says nothing."""
    import sqlite3

    while error is not None:
        inner = getattr(error, "orig", error)  # SQLAlchemy wraps what the database said
        if isinstance(inner, sqlite3.OperationalError):
            return " ".join(str(inner).split())[:200]
        error = error.__cause__ or error.__context__
    return ""


def _complete(error: PlatformError) -> PlatformError:
    """The error with the command as its place and its help as the next action, where it names none itself."""
    if error.where and error.action:
        return error
    typed = [argument for argument in sys.argv[1:] if argument != "--debug"]
    command = " ".join(["quant", *[word for word in typed[:2] if word in COMMANDS]])
    return type(error)(
        error.what,
        where=error.where or f"the command: {shlex.join(['quant', *typed])[:200]}",
        how_many=error.how_many,
        rows=error.rows,
        cause=error.cause,
        action=error.action or f"correct what is named above; `{command} --help` explains the command",
    )


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, style="red", markup=False)
