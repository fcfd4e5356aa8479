"""``quant suite``: from a registered signal to a verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated

import polars as pl
import typer
from rich.console import Console

from quant_platform.cli.homes import HomeOption, open_checked_home
from quant_platform.cli.market import announce
from quant_platform.cli.progress import watching
from quant_platform.lake.manifest import load
from quant_platform.pipeline import suite as pipeline
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.submissions import submission
from quant_platform.pipeline.suite_panel import dates_are_current

_STYLES = {"red": "bold red", "yellow": "bold yellow", "green": "bold green"}


def suite(
    signal: Annotated[str, typer.Argument(help="Name of a registered signal; see quant signal list.")],
    snapshot: Annotated[
        str | None, typer.Option(help="Snapshot to judge it on; the newest when it is current, else a new one.")
    ] = None,
    preset: Annotated[str, typer.Option(help="STANDARD, QUICK or DEEP.")] = pipeline.DEFAULT_PRESET,
    region: Annotated[str, typer.Option(help="Region of a snapshot that is made, part of its name.")] = "US",
    home: HomeOption = None,
) -> None:
    """Judge a registered signal on a snapshot: verdict, reasons, tear sheet."""
    from quant_platform.defs import runs
    from quant_platform.defs.jobs import job_named

    opened, console = open_checked_home(home), Console()
    started = time.monotonic()
    submission(opened, signal)
    if snapshot is not None:
        load(pipeline.snapshots_folder(opened), snapshot)
    announce(opened, console)
    with runs.instance_of(opened) as instance:
        runs.register_tickers(opened, instance)

        def run(job: str, *keys: str) -> str:
            tables = job_named(job).tables
            with watching(console, f"{job:<22}", opened.lake, tables, len(keys) or 1):
                return runs.execute(runs.Launch(job, keys), instance, in_process=True)

        if snapshot is None:
            if not dates_are_current(opened):
                run("suite_dates")
            run("suite_panel", *job_named("suite_panel").scheme.keys(opened, instance))
            snapshot = pipeline.newest_snapshot(opened, region) or pipeline.make_snapshot(opened, region)
        pipeline.ask_for(opened, (signal, snapshot), preset)
        key = runs.register_suite(instance, signal, snapshot)
        run("suite_signals", signal)
        run_id = run("suite", key)
    opened.refresh_catalogue()
    _say(opened, console, (signal, snapshot), run_id, time.monotonic() - started)


def _say(home: Home, console: Console, key: tuple[str, str], run_id: str, seconds: float) -> None:
    """Print the verdict with its reasons, the variants, and where to look."""
    verdict = home.lake.read("suite.verdict", [key])
    results = home.lake.read("suite.results", [key]).filter(pl.col("slice_kind") == "overall")
    colour, reference = verdict["verdict"][0], verdict["reference"][0]
    console.print(f"{key[0]} on {key[1]}: {colour.upper()}", style=_STYLES[colour], markup=False, highlight=False)
    lines = [f"judged on {reference}:"]
    lines += [f"  {_mark(rule)} {rule['text']}" for rule in verdict.iter_rows(named=True)]
    wide = max(len(name) for name in results["variant"])
    lines.append(f"{'variant':<{wide}} net Sharpe [95% interval]  gross   turnover")
    lines += [
        f"{row['variant']:<{wide}} {_number(row['sharpe_net'])} [{_number(row['sharpe_net_low'])}, "
        f"{_number(row['sharpe_net_high'])}]  {_number(row['sharpe_gross'])}  {_number(row['turnover'])}"
        for row in results.iter_rows(named=True)
    ]
    option = f" --home {home.settings.home}"
    where = f"signal = '{key[0]}' and snapshot_id = '{key[1]}'"
    lines += [
        f"made in {seconds:.0f} s, run {run_id}",
        f"  tear sheet {pipeline.tear_sheet_path(home, key)}",
        f'  tables     quant sql{option} "select * from suite.results where {where}"',
        f"  assets     quant up{option}",
    ]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _mark(rule: Mapping[str, object]) -> str:
    """What a rule says of the signal: a red rule or a caution that applies, a green one that is not satisfied."""
    wanting = rule["met"] if rule["colour"] != "green" else not rule["met"]
    return f"{rule['colour']:<8}{'against' if wanting else 'passed ':<8}"


def _number(value: object) -> str:
    return f"{value:6.2f}" if isinstance(value, float) else "   n/a"
