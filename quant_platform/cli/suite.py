"""``quant suite``: from a registered signal to a verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Annotated

import polars as pl
import typer
from rich.console import Console

from quant_platform.cli.homes import HomeOption, open_checked_home
from quant_platform.cli.market import announce
from quant_platform.cli.progress import watching
from quant_platform.labs.suite.experiments import MEANING
from quant_platform.lake.data_catalog import DataCatalog
from quant_platform.lake.manifest import load, region_of
from quant_platform.pipeline import suite as pipeline
from quant_platform.pipeline import suite_evaluation, suite_snapshots
from quant_platform.pipeline.experiments import open_holdout, registration_of
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.submissions import submission
from quant_platform.pipeline.suite_panel import dates_are_current
from quant_platform.pipeline.tracking import tracking_uri

_STYLES = {"red": "bold red", "yellow": "bold yellow", "green": "bold green"}


def suite(
    signal: Annotated[str, typer.Argument(help="Name of a registered signal; see quant signal list.")],
    snapshot: Annotated[
        str | None, typer.Option(help="Snapshot to judge it on; the newest when it is current, else a new one.")
    ] = None,
    preset: Annotated[str, typer.Option(help="STANDARD, QUICK or DEEP.")] = pipeline.DEFAULT_PRESET,
    region: Annotated[
        str | None,
        typer.Option(help="Region of a snapshot that is made, part of its name; US, or CRYPTO for perpetuals."),
    ] = None,
    open_holdout_by: Annotated[
        str | None,
        typer.Option(
            help="Open the locked holdout of the signal's experiment, once and for all; the name goes on record."
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Judge a registered signal on a snapshot: verdict, reasons, tear sheet."""
    opened, console = open_checked_home(home), Console()
    started = time.monotonic()
    submission(opened, signal)
    if snapshot is not None:
        load(suite_snapshots.snapshots_folder(opened), snapshot)
    announce(opened, console)
    snapshot = judge(
        opened,
        console,
        [signal],
        snapshot=snapshot,
        preset=preset,
        region=region,
        track=True,
        open_holdout_by=open_holdout_by,
    )
    opened.refresh_catalogue()
    _say(opened, console, (signal, snapshot), time.monotonic() - started)


def judge(
    home: Home,
    console: Console,
    signals: Sequence[str],
    *,
    snapshot: str | None = None,
    preset: str = pipeline.DEFAULT_PRESET,
    region: str | None = None,
    track: bool = False,
    open_holdout_by: str | None = None,
) -> str:
    """Bring the panel up to date, make a snapshot where none is current, and judge registered signals on it.

    The catalogue is left to the caller.

    Parameters
    ----------
    home
        The market.
    console
        Where the progress of each job is shown.
    signals
        Names of registered signals.
    snapshot
        What they are judged on; the newest when it is current, else a new one.
    preset
        The matrix.
    region
        Region of a snapshot that is made; that of the home when not given.
    track
        Log the suites to MLflow.
    open_holdout_by
        Who opens the locked holdouts of the signals' experiments; nobody when not given.

    Returns
    -------
    str
        The snapshot.
    """
    from quant_platform.defs import runs
    from quant_platform.defs.jobs import job_named

    with runs.instance_of(home) as instance:
        runs.register_tickers(home, instance)

        def run(job: str, *keys: str) -> str:
            tables = job_named(job).tables
            with watching(console, f"{job:<22}", home.lake, tables, len(keys) or 1):
                return runs.execute(runs.Launch(job, keys), instance, in_process=True)

        if snapshot is None:
            if not dates_are_current(home):
                run("suite_dates")
            run("suite_panel", *job_named("suite_panel").scheme.keys(home, instance))
            place = region or suite_snapshots.default_region(home)
            snapshot = suite_snapshots.newest_snapshot(home, place) or suite_snapshots.make_snapshot(home, place)
        keys = []
        for signal in signals:
            if open_holdout_by is not None:
                found = load(suite_snapshots.snapshots_folder(home), snapshot)
                open_holdout(home, signal, found, opened_by=open_holdout_by)
            pipeline.ask_for(home, (signal, snapshot), preset)
            keys.append(runs.register_suite(instance, signal, snapshot))
        for together in runs.consecutive("suite_signals", signals, home, instance):
            run("suite_signals", *together)
        for together in runs.consecutive("suite", keys, home, instance):
            run("suite", *together)
        if track:
            for together in runs.consecutive("suite_tracking", keys, home, instance):
                run("suite_tracking", *together)
    return snapshot


def _say(home: Home, console: Console, key: tuple[str, str], seconds: float) -> None:
    """Print the verdict with its reasons, the variants, and where to look."""
    verdict = home.lake.read("suite.verdict", [key])
    results = home.lake.read("suite.results", [key]).filter(pl.col("slice_kind") == "overall")
    colour, reference = verdict["verdict"][0], verdict["reference"][0]
    console.print(f"{key[0]} on {key[1]}: {colour.upper()}", style=_STYLES[colour], markup=False, highlight=False)
    lines = [*_registered(home, key, suite_evaluation.stored_registration(verdict)), f"judged on {reference}:"]
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
    made = home.lake.current("suite.verdict", key)
    assert made is not None, "it was read above"
    run_id = made.provenance.run_id
    names = suite_snapshots.names_of(DataCatalog(key[1], region_of(key[1]), home.settings.home))
    tracked = home.lake.read("suite.tracking", [key]).filter(pl.col("run_id") == run_id)
    lines += [
        f"made in {seconds:.0f} s, run {run_id}; securities: {names}",
        f"  tear sheet {pipeline.tear_sheet_path(home, key)}",
        f"  mlflow     run {tracked['mlflow_run_id'][0]}; mlflow ui --backend-store-uri {tracking_uri(home)}",
        f"  verify     quant verify{option} {run_id}",
        f'  tables     quant sql{option} "select * from suite.results where {where}"',
        f"  assets     quant up{option}",
    ]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _registered(home: Home, key: tuple[str, str], state: str) -> list[str]:
    """What stands beside the colour: the registration, its criteria, and how often the holdout was looked at."""
    stated = home.lake.read("suite.experiments", [key])
    lines = [f"{state}: {MEANING[state]}"]
    lines += [
        f"  {'decides' if row['decides'] else 'reported'} {row['variant']}: {row['metric']} "
        f"{'locked' if row['value'] is None else format(row['value'], '.3g')}, above {row['above']:g} was stated"
        for row in stated.iter_rows(named=True)
    ]
    looks = suite_evaluation.stored_looks(home, key, registration_of(home, key[0]))
    return [*lines, f"looks at the holdout, by anybody: {looks.sentence}"]


def sentence(home: Home, key: tuple[str, str]) -> str:
    """A verdict in one line: colour, net Sharpe ratio with its interval, what decided it."""
    verdict = home.lake.read("suite.verdict", [key])
    row = home.lake.read("suite.results", [key]).row(
        by_predicate=(pl.col("slice_kind") == "overall") & (pl.col("variant") == verdict["reference"][0]), named=True
    )
    against = [str(rule["code"]) for rule in verdict.iter_rows(named=True) if _against(rule)]
    return (
        f"{key[0]} is {verdict['verdict'][0].upper()}: net Sharpe {_number(row['sharpe_net']).strip()} "
        f"[{_number(row['sharpe_net_low']).strip()}, {_number(row['sharpe_net_high']).strip()}]"
        f"{', against it: ' + ', '.join(against) if against else ', every rule is satisfied'}"
    )


def _against(rule: Mapping[str, object]) -> bool:
    """Whether a rule speaks against the signal: of red or caution it applies, of green it is not satisfied."""
    return bool(rule["met"] if rule["colour"] != "green" else not rule["met"])


def _mark(rule: Mapping[str, object]) -> str:
    """What a rule is about, and whether it speaks against the signal."""
    return f"{rule['colour']:<8}{'against' if _against(rule) else 'passed ':<8}"


def _number(value: object) -> str:
    return f"{value:6.2f}" if isinstance(value, float) else "   n/a"
