"""What a home knows of its suites, one row per signal and snapshot: for the app, a notebook, a person in a hurry."""

from __future__ import annotations

import polars as pl

from quant_platform.labs.suite.experiments import UNREGISTERED
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.submissions import submissions
from quant_platform.pipeline.verification import stored_runs

HISTORY_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "signal": pl.String,
    "snapshot_id": pl.String,
    "verdict": pl.String,
    "registration": pl.String,
    "author": pl.String,
    "preset": pl.String,
    "evaluated_at": pl.Datetime("us", "UTC"),
    "reference": pl.String,
    "sharpe_net": pl.Float64,
    "sharpe_net_low": pl.Float64,
    "sharpe_net_high": pl.Float64,
    "turnover": pl.Float64,
    "run_id": pl.String,
    "mlflow_run_id": pl.String,
}


def suite_history(home: Home) -> pl.DataFrame:
    """The last suite of every signal and snapshot, newest first.

    Returns
    -------
    polars.DataFrame
        ``HISTORY_SCHEMA``; figures are those of the variant that was judged. ``mlflow_run_id`` is empty where a suite
        was not logged, ``author`` where the signal is no longer registered.
    """
    keys = [key for key in home.lake.partitions("suite.verdict") if isinstance(key, tuple)]
    if not keys:
        return pl.DataFrame(schema=HISTORY_SCHEMA)
    verdicts = (
        home.lake.scan("suite.verdict")
        .select("signal", "snapshot_id", "verdict", "registration", "reference")
        .unique()
        .collect()
    )
    figures = (
        home.lake.scan("suite.results")
        .filter(pl.col("slice_kind") == "overall")
        .select(
            "signal", "snapshot_id", pl.col("variant").alias("reference"), "sharpe_net", "sharpe_net_low",
            "sharpe_net_high", "turnover",
        )
        .collect()
    )  # fmt: skip
    authors = {said.name: said.author for said in submissions(home)}
    # Runs come oldest first: the last one of a pair is the one that is stored.
    runs = {run.key: run for run in stored_runs(home)}
    made = pl.DataFrame(
        [
            (
                *run.key,
                authors.get(run.key[0], ""),
                run.preset,
                run.evaluated_at,
                run.run_id,
                run.mlflow_run_id,
            )
            for run in runs.values()
        ],
        schema={name: HISTORY_SCHEMA[name] for name in (
            "signal", "snapshot_id", "author", "preset", "evaluated_at", "run_id", "mlflow_run_id",
        )},
        orient="row",
    )  # fmt: skip
    joined = verdicts.with_columns(pl.col("verdict", "registration").cast(pl.String)).with_columns(
        pl.col("registration").fill_null(UNREGISTERED)
    )
    joined = joined.join(made, on=["signal", "snapshot_id"], how="left").join(
        figures, on=["signal", "snapshot_id", "reference"], how="left"
    )
    return joined.select(*HISTORY_SCHEMA).sort("evaluated_at", descending=True, nulls_last=True, maintain_order=True)
