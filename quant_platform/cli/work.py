"""``quant run``: jobs from the shell."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from quant_platform.cli.homes import HomeOption, open_checked_home
from quant_platform.cli.market import announce, conclude, finish, run_everything
from quant_platform.cli.progress import watching, worker_output_to
from quant_platform.pipeline.home import Home

# Runs that bring or judge data end with the audit of their lab.
AUDIT_AFTER = {
    "daily_pipeline": "equity_audit",
    "intraday_pipeline": "equity_audit",
    "weekly_fundamentals": "equity_audit",
    "ticker_graph": "equity_audit",
    "data_backfill": "equity_audit",
    "perp_graph": "perp_audit",
}


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
        int | None,
        typer.Option(
            min=1, help="Further processes, or workers; of the deployment, or all cores but one, when not given."
        ),
    ] = None,
    in_process: Annotated[bool, typer.Option("--in-process", help="Do everything in one process.")] = False,
    only_changed: Annotated[
        bool,
        typer.Option("--changed", help="Only what was made under other specs or by other code, and what reads it."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --changed: say what would be made, no more.")
    ] = False,
) -> None:
    """Run a job over a range of its partitions; what is current is skipped, so a stopped run goes on where it was."""
    import time

    from quant_platform.defs import runs
    from quant_platform.defs.jobs import job_named

    opened, console = open_checked_home(home), Console()
    started = time.monotonic()
    if (only_changed or dry_run) and (job != "everything" or refresh or first or last or resume):
        raise typer.BadParameter("--changed and --dry-run look at the whole graph; leave out the job and other options")
    if only_changed or dry_run:
        _run_changed(opened, console, dry_run, {"in_process": in_process or None, "workers": workers})
        return
    if job == "everything":
        if first or last or resume:
            raise typer.BadParameter("--from, --to and --resume need a job; everything covers all partitions")
        options: dict[str, Any] = {"refresh": refresh, "in_process": in_process or None, "workers": workers}
        finish(opened, console, started, run_everything(opened, console, **options))
        return
    announce(opened, console)
    # A table in SQL is made by the job of its name.
    job = job.replace(".", "_")
    _require_held(opened, job)
    with runs.instance_of(opened) as instance:
        runs.register_tickers(opened, instance)
        keys = runs.partition_range(opened, instance, job, first, last)
        with (
            watching(console, f"{job:<22}", opened.lake, job_named(job, opened).tables, len(keys) or 1),
            worker_output_to(opened.settings.home / "dagster" / "workers.log"),
        ):
            # A run that is resumed covers what it covered.
            for together in [tuple(keys)] if resume else job_named(job, opened).runs_over(keys):
                run_id = runs.execute(
                    runs.Launch(job, together),
                    instance,
                    refresh=refresh,
                    in_process=in_process or None,
                    workers=workers,
                    resume=resume,
                    may_leave_out=opened.schedules.left_out_max,
                )
            audit = AUDIT_AFTER.get(job)
            if audit is not None:
                runs.execute(runs.Launch(audit, ()), instance, in_process=True)
    opened.refresh_catalogue()
    console.print(f"{job}: {len(keys) or 1} partitions in {time.monotonic() - started:.0f} s, run {run_id}")
    if audit is not None:
        conclude(opened, console)


def _run_changed(home: Home, console: Console, dry_run: bool, options: dict[str, Any]) -> None:
    """Make again what a changed spec, or changed code, has made stale, without asking a source for other tables."""
    import time

    from quant_platform.defs import runs

    started = time.monotonic()
    with runs.instance_of(home) as instance:
        runs.register_tickers(home, instance)
        plan = runs.stale_launches(home, instance)
    for launch, stale in plan:
        for one in stale:
            tables = ", ".join(one.stage.outputs)
            console.print(f"{tables} ({len(launch.keys) or 1} partitions): {one.why}", highlight=False, soft_wrap=True)
    if not plan:
        console.print("everything was made by today's code under today's specs")
    if not plan or dry_run:
        return
    left_out = run_everything(home, console, launches=lambda *_: [launch for launch, _ in plan], **options)
    finish(home, console, started, left_out)


def _require_held(home: Home, job: str) -> None:
    """Refuse a job of a market that this home does not hold; one that is no job at all is refused where it is run."""
    from quant_platform.defs.definitions import definitions_of
    from quant_platform.defs.jobs import jobs_of
    from quant_platform.defs.runs import RunFailed

    held = {found.name for found in definitions_of(home.settings).resolve_all_job_defs()}
    known = jobs_of(home)
    if job in known and job not in held:
        raise RunFailed(
            f"this home has no job {job!r}",
            where=str(home.settings.home),
            cause=f"it holds {home.title}, and the job is of another market",
            action=f"import that market, or choose one of: {', '.join(name for name in known if name in held)}",
        )
