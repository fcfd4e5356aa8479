"""``quant signal``: check a file of signals, register it, list what is registered."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console

from quant_platform.cli.homes import HomeOption, open_home
from quant_platform.cli.lake import FOUND_SOMETHING, JsonOption, to_json
from quant_platform.cli.query import show
from quant_platform.pipeline import baselines, composites, experiments, submissions
from quant_platform.pipeline.home import Home

signal_app = typer.Typer(help="Check and register files of signals.", no_args_is_help=True, add_completion=False)

_FOLD = ("fold", "train_to", "predict_from", "predict_to", "penalty", "slope", "inner_correlation", "abstains")
FileArgument = Annotated[Path, typer.Argument(help="CSV, Parquet or Arrow with the columns of the contract.")]


@signal_app.command("validate")
def signal_validate(file: FileArgument, home: HomeOption = None) -> None:
    """Say everything that is wrong with a file, before anything is run; exit code 3 when rows are refused."""
    found = submissions.validate_file(open_home(home), file)
    print(found.message())
    if not found.clean:
        raise typer.Exit(FOUND_SOMETHING)


@signal_app.command("submit")
def signal_submit(
    file: FileArgument,
    name: Annotated[str | None, typer.Option(help="Name; the file's own signal_name when not given.")] = None,
    author: Annotated[str, typer.Option(help="Who stands behind it.")] = submissions.NOBODY,
    region: Annotated[str | None, typer.Option(help="Market it is meant for.")] = None,
    universe: Annotated[str | None, typer.Option(help="Universe it is meant for.")] = None,
    version: Annotated[str | None, typer.Option(help="Its version, as its author counts.")] = None,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Register the good rows although others are refused.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Register a file under a name, once and for all; exit code 3, and nothing stored, when rows are refused."""
    opened = open_home(home)
    found = submissions.validate_file(opened, file)
    print(found.message())
    if not found.clean and not leave_out:
        print("nothing was registered; correct the file, or register the good rows with --leave-out")
        raise typer.Exit(FOUND_SOMETHING)
    made = submissions.submit(
        opened, file, found, name=name, author=author, region=region, universe=universe, version=version
    )
    print(
        f"registered as {made.name} by {made.author} at {made.submitted_at}, hash {made.signal_hash[:16]}\n"
        f"next: quant suite {made.name}"
    )


@signal_app.command("register")
def signal_register(
    file: Annotated[
        str, typer.Argument(help="Statement of an experiment: a YAML file, or the name of one in specs/experiments.")
    ],
    by: Annotated[str | None, typer.Option(help="Who registers it; the author in the file when not given.")] = None,
    home: HomeOption = None,
) -> None:
    """Freeze what is believed of a signal before it is judged, and lock the last part of the sample."""
    opened = open_home(home)
    made = experiments.register_experiment(opened, experiments.experiment_file(opened, file), registered_by=by)
    stated = made.experiment
    print(
        f"experiment {stated.name} of the signal {stated.signal} is registered by {made.registered_by} at "
        f"{made.registered_at:%Y-%m-%d %H:%M:%S} UTC, hash {made.hash[:16]}\n"
        f"sessions from {made.holdout_from} on are locked: quant suite {stated.signal} does not see them\n"
        f'opened once: quant suite {stated.signal} --open-holdout-by "YOUR NAME"'
    )


@signal_app.command("experiments")
def signal_experiments(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the registered experiments of a home, and whether their holdout was opened."""
    rows = [
        {
            "experiment": one.experiment.name,
            "signal": one.experiment.signal,
            "registered_at": one.registered_at.isoformat(timespec="seconds"),
            "registered_by": one.registered_by,
            "hash": one.hash[:16],
            "holdout_from": one.holdout_from.isoformat(),
            "opened_at": one.opening.opened_at.isoformat(timespec="seconds") if one.opening else "",
            "opened_by": one.opening.opened_by if one.opening else "",
            "snapshot": one.opening.snapshot_id if one.opening else "",
        }
        for one in experiments.registrations(open_home(home))
    ]
    if as_json:
        print(to_json(rows))
        return
    if not rows:
        print("no experiment is registered; quant signal register FILE does that")
        return
    show(pl.DataFrame(rows), Console(), len(rows))


@signal_app.command("compose")
def signal_compose(
    composite: Annotated[str, typer.Argument(help="Name of a composite in specs/suite/composites.")],
    snapshot: Annotated[str | None, typer.Option(help="What it is fitted on; the newest one when not given.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the signal; the composite's own when not given.")] = None,
    home: HomeOption = None,
) -> None:
    """Fit a composite of signals on the past of each fold, and register its values as a signal."""
    opened = open_home(home)
    spec = composites.composite_spec(opened, composite)
    where = _snapshot(opened, snapshot)
    found = composites.compose(opened, spec, where, name=name)
    show(found.made.models.filter(pl.col("position") == 0).select(_FOLD), Console(), len(found.made.folds))
    show(
        found.made.models.pivot(on="member", index="fold", values="weight").sort("fold"),
        Console(),
        len(found.made.folds),
    )
    print(
        f"registered as {found.said.name} by {found.said.author} at {found.said.submitted_at}, fitted on {where}, "
        f"{found.said.rows} rows from {found.said.first_date} to {found.said.last_date}\n"
        f"next: quant suite {found.said.name}"
    )


@signal_app.command("baselines")
def signal_baselines(
    names: Annotated[list[str] | None, typer.Argument(help="Which; all of specs/suite/baselines.yaml if none.")] = None,
    snapshot: Annotated[
        str | None, typer.Option(help="What they are computed on; the newest one when not given.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Compute baselines on a snapshot and register each as a signal, so that it can be judged like any other."""
    opened = open_home(home)
    chosen = _snapshot(opened, snapshot)
    found, missing = baselines.submit_baselines(opened, chosen, names)
    for baseline, cause in missing.items():
        print(f"{baseline}: not available, {cause}")
    for said in found.values():
        print(
            f"registered as {said.name} by {said.author} at {said.submitted_at}, {said.rows} rows of "
            f"{said.securities} securities from {said.first_date} to {said.last_date}"
        )
    # A baseline that is the same on two snapshots is registered once, with the first of them.
    print("\n".join(f"next: quant suite {said.name} --snapshot {chosen}" for said in found.values()))


@signal_app.command("list")
def signal_list(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the registered signals of a home."""
    found = submissions.submissions(open_home(home))
    if as_json:
        print(to_json([asdict(one) for one in found]))
        return
    columns = ("name", "author", "submitted_at", "rows", "rejected", "securities", "first_date", "last_date")
    rows = [[getattr(one, column) for column in columns] for one in found]
    show(pl.DataFrame(rows, schema=list(columns), orient="row"), Console(), len(rows))


def _snapshot(home: Home, named: str | None) -> str:
    """The snapshot that was named, or the last whole one."""
    found = named or composites.last_snapshot(home)
    if found is None:
        raise typer.BadParameter(
            "the home has no snapshot; quant suite of any signal makes one, and so do quant run suite_dates, "
            "quant run suite_panel and quant snapshot create US",
            param_hint="snapshot",
        )
    return found
