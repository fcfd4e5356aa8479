"""The one adapter to MLflow: a run of its experiment ``backtest-poc`` for every suite, on SQLite below the home.

1. The record of a suite is read from the lake: verdict, results, daily series, and what their files say of their making
   (:func:`record_of`).
2. It is logged in one batch of tags, params and metrics, with the tear sheet, the daily rows, the summary and two
   figures as artifacts (:func:`log_run`).
3. A row of ``suite.tracking`` keeps which MLflow run shows which run of Dagster, and the content hashes of that time,
   so that a suite is logged once and can be verified when it was replaced since.

MLflow takes two seconds to import and one to open its database; nothing imports it before a suite is logged. It is told
to send nothing anywhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from quant_platform.contracts.errors import PartitionMissing, PlatformError
from quant_platform.contracts.tables import table
from quant_platform.lake.lake import Version
from quant_platform.lake.manifest import region_of
from quant_platform.lake.provenance import Provenance
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import BatchStage, Done
from quant_platform.pipeline.submissions import submission
from quant_platform.pipeline.suite import SPECS, SUITE_TABLES, tear_sheet_path
from quant_platform.pipeline.suite_evaluation import SignalSnapshot, stored_registration
from quant_platform.pipeline.suite_market import stored_rows
from quant_platform.specification.suite import BacktestConfig, load_suite

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

EXPERIMENT = "backtest-poc"
TRACKED = "suite.tracking"
_ROOT = Path(__file__).resolve().parents[2]
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
# Metric of MLflow by column of suite.results.
_METRICS = {
    "sharpe": "sharpe_net",
    "sharpe_gross": "sharpe_gross",
    "ann_ret": "ann_return_net",
    "ann_vol": "ann_volatility",
    "max_dd": "max_drawdown_net",
    "turnover": "turnover",
}
# ... and by measure of suite.diagnostics: of each variant, and of the whole suite.
_OF_VARIANT = {"coverage": "coverage_mean", "ic": "ic_mean"}
_OF_SUITE = ("deflated_probability", "overfitting_probability", "break_even_bps", "capacity_capital", "partial_ic")


class TrackingFailed(PlatformError, RuntimeError):
    """MLflow could not take a run."""

    code = "tracking_failed"


@dataclass(frozen=True)
class SuiteRecord:
    """What a suite says of itself, ready to be logged.

    Attributes
    ----------
    name
        Of the run: signal and time.
    tags, params, metrics
        By name; metrics that are not known are left out.
    row
        Of ``suite.tracking``, without MLflow's run.
    frames
        Rows of the tables that become artifacts.
    page
        The tear sheet.
    """

    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    row: Mapping[str, object]
    frames: Mapping[str, pl.DataFrame]
    page: Path


def tracking_uri(home: Home) -> str:
    """Where MLflow's database of a home is; ``mlflow ui --backend-store-uri`` takes it."""
    return f"sqlite:///{home.settings.home.resolve() / 'mlflow' / 'mlflow.db'}"


def record_of(home: Home, key: SignalSnapshot) -> SuiteRecord:
    """Read a stored suite.

    Raises
    ------
    PartitionMissing
        When a table of it is not there.
    """
    made = {name: _made(home, name, key) for name in SUITE_TABLES}
    verdict = made["suite.verdict"]
    provenance = verdict.provenance
    at = datetime.fromisoformat(str(provenance.extra["evaluated_at"]))
    said = submission(home, key[0])
    frames = {name: home.lake.read(name, [key]) for name in ("suite.results", "suite.daily", "suite.diagnostics")}
    rules = home.lake.read("suite.verdict", [key])
    colour, reference, beside = str(rules["verdict"][0]), str(rules["reference"][0]), stored_registration(rules)
    configs = dict(home.lake.read("suite.trials", [key]).select("variant", "config").iter_rows())
    commit = git_commit(_ROOT)
    name = f"{key[0]}_{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    row = {
        "signal": key[0],
        "snapshot_id": key[1],
        "run_id": provenance.run_id,
        "run_name": name,
        "preset": provenance.inputs["preset"],
        "verdict": colour,
        "registration": beside,
        "author": said.author,
        "evaluated_at": at,
        "signal_hash": said.signal_hash,
        "code_version": provenance.code_version,
        "ontology_hash": provenance.ontology_hash,
        "platform": str(provenance.extra["platform"]),
        "git_sha": commit,
        "content_hashes": json.dumps({table_name: found.content_hash for table_name, found in made.items()}),
    }
    return SuiteRecord(
        name=name,
        tags={
            "signal_name": key[0],
            "author": said.author,
            "region": said.region or region_of(key[1]),
            "git_sha": commit or "not in a repository",
            "data_snapshot_id": key[1],
            "engine_version": f"{provenance.extra['platform']}+{provenance.code_version}",
            "ontology_hash": provenance.ontology_hash,
            "verdict": colour,
            "registration": beside,
            "dagster_run_id": provenance.run_id,
            "simulated": str(provenance.simulated).lower(),
        },
        params={
            "preset": provenance.inputs["preset"],
            "reference": reference,
            "signal_hash": said.signal_hash,
            "naive_bps": f"{load_suite(home.specs).costs.naive_bps:g}",
            **_params(BacktestConfig.model_validate_json(configs[reference])),
        },
        metrics=dict(_metrics(frames["suite.results"], frames["suite.diagnostics"])),
        row=row,
        frames={name: frame for name, frame in frames.items() if name != "suite.diagnostics"},
        page=tear_sheet_path(home, key),
    )


def log_run(home: Home, record: SuiteRecord) -> str:
    """Write one finished run into MLflow; returns its id.

    Raises
    ------
    TrackingFailed
        When MLflow refuses. A run that was begun is then marked as failed.
    """
    with _client(home) as client:
        from mlflow.entities import Metric, Param, RunTag

        found = client.get_experiment_by_name(EXPERIMENT)
        place = (home.settings.home.resolve() / "mlflow" / "artifacts").as_uri()
        experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT, artifact_location=place)
        at = record.row["evaluated_at"]
        assert isinstance(at, datetime)
        stamp = int(at.timestamp() * 1000)
        run = client.create_run(experiment, start_time=stamp, run_name=record.name)
        run_id: str = run.info.run_id
        ended = "FAILED"
        try:
            client.log_batch(
                run_id,
                metrics=[Metric(name, value, stamp, 0) for name, value in record.metrics.items()],
                params=[Param(name, value) for name, value in record.params.items()],
                tags=[RunTag(name, value) for name, value in record.tags.items()],
            )
            with tempfile.TemporaryDirectory(prefix="quant-run-") as folder:
                _write_artifacts(record, Path(folder))
                client.log_artifacts(run_id, folder)
            ended = "FINISHED"
        finally:
            client.set_terminated(run_id, ended)
    return run_id


def run_tracking(home: Home, keys: Sequence[SignalSnapshot], *, run_id: str, refresh: bool, workers: int) -> list[Done]:
    """Log suites that are not logged yet.

    Parameters
    ----------
    home
        The market.
    keys
        Pairs of signal and snapshot.
    run_id
        Goes into the provenance of every file.
    refresh
        Log again what is logged.
    workers
        Not used.
    """
    del workers
    version, ontology = TRACKING.code_version(home), home.ontology(SPECS)
    done = []
    for key in keys:
        if home.lake.current("suite.verdict", key) is None:
            # It was asked for and never made: the run that failed says why.
            done.append(Done(key, "current", stored_rows(home, [TRACKED], key)))
            continue
        earlier = home.lake.read(TRACKED, [key], missing="ignore")
        record = record_of(home, key)
        logged = record.row["run_id"] in earlier["run_id"].to_list()
        if refresh or not logged:
            kept = earlier.filter(pl.col("run_id") != record.row["run_id"])
            schema = dict(table(TRACKED).schema.create_empty().schema)
            made = pl.DataFrame([{**record.row, "mlflow_run_id": log_run(home, record)}], schema=schema)
            stamp = Provenance(
                asset=TRACKED,
                code_version=version,
                ontology_hash=ontology.hash,
                ontology_files=dict(ontology.files),
                run_id=run_id,
                inputs={"suite": str(record.row["run_id"])},
                simulated=record.tags["simulated"] == "true",
            )
            home.lake.write(TRACKED, key, pl.concat([kept.select(*schema), made]), stamp)
        done.append(Done(key, "written" if refresh or not logged else "current", stored_rows(home, [TRACKED], key)))
    return done


def git_commit(folder: Path) -> str:
    """Commit of the working tree a folder is in, with ``-dirty`` where it was changed since; empty outside one."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


@contextmanager
def _client(home: Home) -> Iterator[MlflowClient]:
    """MLflow's client on the database of a home; what MLflow raises becomes an error of ours."""
    os.environ.update(_QUIET)
    (home.settings.home / "mlflow").mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # MLflow calls what SQLAlchemy has deprecated; nobody here can change that.
        warnings.simplefilter("ignore", DeprecationWarning)
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        with _errors_of_ours(home, MlflowException):
            yield MlflowClient(tracking_uri(home))


@contextmanager
def _errors_of_ours(home: Home, theirs: type[MlflowException]) -> Iterator[None]:
    try:
        yield
    except theirs as error:
        raise TrackingFailed(
            f"MLflow refused: {error.message}",
            where=tracking_uri(home),
            cause="a database of another version of MLflow, or one that somebody holds locked",
            action="run the job suite_tracking again; the suite itself is stored",
        ) from error


def _made(home: Home, name: str, key: SignalSnapshot) -> Version:
    found = home.lake.current(name, key)
    if found is None or "evaluated_at" not in found.provenance.extra:
        raise PartitionMissing(
            f"the suite of {key[0]} on {key[1]} is not there",
            where=name,
            cause="it was never made, or by an older version of the platform",
            action=f"quant suite {key[0]} --snapshot {key[1]}",
        )
    return found


def _params(config: BacktestConfig) -> dict[str, str]:
    return {name: json.dumps(value) for name, value in config.model_dump(mode="json").items()}


def _metrics(results: pl.DataFrame, diagnostics: pl.DataFrame) -> Iterator[tuple[str, float]]:
    for row in results.filter(pl.col("slice_kind") == "overall").iter_rows(named=True):
        for name, column in _METRICS.items():
            if row[column] is not None:
                yield f"{name}_{row['variant']}", row[column]
    measured = diagnostics.drop_nulls("value")
    names = {measure: name for name, measure in _OF_VARIANT.items()}
    shown = measured.filter(pl.col("measure").is_in(list(names))).sort("at")
    first = shown.unique(["variant", "measure"], keep="first", maintain_order=True)
    for row in first.sort("variant", "measure").iter_rows(named=True):
        yield f"{names[row['measure']]}_{row['variant']}", row["value"]
    for row in measured.filter(pl.col("measure").is_in(_OF_SUITE) & (pl.col("variant") == "")).iter_rows(named=True):
        yield row["measure"], row["value"]


def _write_artifacts(record: SuiteRecord, folder: Path) -> None:
    from quant_platform.reports.charts.figures import Words, png
    from quant_platform.reports.suite.figures import below_the_high, cumulative_return

    (folder / "tear_sheet.html").write_bytes(record.page.read_bytes())
    record.frames["suite.daily"].write_parquet(folder / "daily_pnl.parquet")
    record.frames["suite.results"].write_csv(folder / "summary.csv")
    daily = record.frames["suite.daily"].filter(pl.col("variant") == record.params["reference"])
    simulated = record.tags["simulated"] == "true"
    (folder / "figures").mkdir()
    for draw, title in ((cumulative_return, "Cumulative return"), (below_the_high, "Underwater")):
        figure = draw(daily, Words(f"{title} of {record.tags['signal_name']}", title, simulated=simulated))
        (folder / "figures" / f"{title.lower().replace(' ', '_')}.png").write_bytes(png(figure))


TRACKING = BatchStage(
    outputs=(TRACKED,),
    upstream=SUITE_TABLES,
    compute=run_tracking,
    kinds=("mlflow", "parquet"),
)
