"""``quant run`` and ``quant up``: jobs from the shell, and Dagster's web server and daemon."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from quant_platform.cli.market import HomeOption, finish, open_checked_home, run_everything
from quant_platform.cli.progress import watching, worker_output_to
from quant_platform.contracts.errors import SettingsError


def run(
    job: Annotated[str, typer.Argument(help="A job, or the word everything.")] = "everything",
    home: HomeOption = None,
    first: Annotated[
        str | None, typer.Option("--from", help="First partition; the job's first when not given.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last partition; the job's last when not given.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Compute also what is current.")] = False,
    resume: Annotated[
        str | None, typer.Option(help="Id of an interrupted run of this job; with --refresh what it made is kept.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes at a time; all cores but one when not given.")
    ] = None,
    in_process: Annotated[bool, typer.Option("--in-process", help="Do not start worker processes.")] = False,
) -> None:
    """Run a job over a range of its partitions; what is current is skipped, so a stopped run goes on where it was."""
    import time

    from quant_platform.defs import runs
    from quant_platform.defs.jobs import job_named

    opened, console = open_checked_home(home), Console()
    started = time.monotonic()
    if job == "everything":
        if first or last or resume:
            raise typer.BadParameter("--from, --to and --resume need a job; everything covers all partitions")
        options: dict[str, Any] = {"refresh": refresh, "in_process": in_process or None, "workers": workers}
        finish(opened, console, started, run_everything(opened, console, **options))
        return
    with runs.instance_of(opened) as instance:
        runs.register_tickers(opened, instance)
        keys = runs.partition_range(opened, instance, job, first, last)
        with (
            watching(console, f"{job:<22}", opened.settings.lake, job_named(job).tables, len(keys) or 1),
            worker_output_to(opened.settings.home / "dagster" / "workers.log"),
        ):
            run_id = runs.execute(
                runs.Launch(job, keys),
                instance,
                refresh=refresh,
                in_process=in_process or None,
                workers=workers,
                resume=resume,
                may_leave_out=opened.schedules.left_out_max,
            )
    opened.refresh_catalogue()
    console.print(f"{job}: {len(keys) or 1} partitions in {time.monotonic() - started:.0f} s, run {run_id}")


def up(
    home: HomeOption = None,
    port: Annotated[int, typer.Option(help="Port of the web server.")] = 3000,
    host: Annotated[str, typer.Option(help="Address the web server listens on.")] = "127.0.0.1",
) -> None:
    """Start Dagster's web server and daemon on this home, until interrupted."""
    from quant_platform.defs import runs
    from quant_platform.defs.workers import can_fork

    opened = open_checked_home(home)
    _require_free(host, port)
    with runs.instance_of(opened) as instance:
        runs.register_tickers(opened, instance)
    # By the workspace file, so that schedules switched on here and under a deployment are those of one code location.
    workspace = str(runs.deployment_file("workspace.yaml"))
    command = [sys.executable, "-m", "dagster", "dev", "-w", workspace, "-h", host, "-p", str(port)]
    if can_fork():
        # In place of this process, so that whoever stops it stops Dagster.
        os.execv(sys.executable, command)
    raise typer.Exit(subprocess.run(command, check=False).returncode)


def _require_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingsError(
                "the web server cannot listen here",
                where=f"{host}, port {port}",
                cause=f"{error.strerror}; another `quant up` may be running",
                action="stop it, or choose another with --port",
            ) from error
