"""The stages of the parity lab: decisions of the cases, and the cases through every framework.

Bars are the drawn ones: a case is the same in every home. A framework that is not installed has no result and a row
that says so; once it is installed, its partitions are no longer current. Nothing here imports a framework.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.labs.parity.adapters import OURS
from quant_platform.labs.parity.cases import case_named
from quant_platform.labs.parity.environments import PEERS, environment
from quant_platform.labs.parity.study import Outcome, Prepared, prepare, study
from quant_platform.lake.provenance import Provenance
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import BatchStage, Done, FrameStage

RUN_TABLES = ("parity.executions", "parity.diff")


def decide(home: Home, keys: Sequence[str]) -> pl.DataFrame:
    """Decisions of some cases: rows of ``parity.decisions``."""
    del home
    frames = []
    for key in keys:
        made = prepare(case_named(key)).decisions
        frames.append(
            made.frame.select(pl.lit(key).alias("case"), pl.all(), pl.lit(made.content_hash).alias("content_hash"))
        )
    return pl.concat(frames)


def run_cases(home: Home, keys: Sequence[tuple[str, str]], *, run_id: str, refresh: bool, workers: int) -> list[Done]:
    """Run cases through frameworks; rows of ``parity.executions`` and ``parity.diff``.

    Parameters
    ----------
    home
        Where the tables are.
    keys
        Pairs of case and framework.
    run_id
        Goes into the provenance of every file.
    refresh
        Run also what is current.
    workers
        Not used: each framework is a process of its own.
    """
    del workers
    version, ontology = RUNS.code_version(home), home.ontology(RUNS.specs)
    prepared: dict[str, Prepared] = {}
    done = []
    for case, framework in keys:
        if case not in prepared:
            prepared[case] = prepare(case_named(case))
        inputs = {"decisions": prepared[case].decisions.content_hash, "environment": _state(framework)}
        current = all(
            home.lake.is_current(name, (case, framework), version, ontology.hash, inputs) for name in RUN_TABLES
        )
        frames: dict[str, pl.DataFrame] = {}
        if refresh or not current:
            asked = [] if framework == OURS else [framework]
            *_, outcome = study(prepared[case], asked)
            frames = frames_of(prepared[case], outcome)
            for name, frame in frames.items():
                stamp = Provenance(
                    asset=name, code_version=version, ontology_hash=ontology.hash, ontology_files=dict(ontology.files),
                    run_id=run_id, inputs=inputs, simulated=True,
                )  # fmt: skip
                home.lake.write(name, (case, framework), frame, stamp)
        rows = {name: home.lake.read(name, [(case, framework)]).height for name in RUN_TABLES}
        done.append(Done((case, framework), "written" if frames else "current", rows))
    return done


def frames_of(prepared: Prepared, outcome: Outcome) -> dict[str, pl.DataFrame]:
    """The rows of both tables for one case and framework."""
    key = {"case": outcome.case, "framework": outcome.framework}
    execution, compared, mark = outcome.execution, outcome.comparison, outcome.mark
    columns = table("parity.executions").schema.columns()
    if execution is None:
        trades = pl.DataFrame(schema={name: column.dtype for name, column in columns.items()})
    else:
        trades = execution.trades.with_row_index("trade").select(
            *(pl.lit(value).alias(name) for name, value in key.items()), pl.col("trade").cast(pl.Int64),
            pl.exclude("trade"),
        )  # fmt: skip
    row = key | {
        "outcome": outcome.outcome,
        "explained": outcome.explained,
        "trades": None if execution is None else execution.trades.height,
        "differing_trades": None if compared is None else compared.differing,
        "largest_relative_error": None if compared is None else compared.largest_error,
        "equity_error": None if compared is None else compared.equity_error,
        "first_divergent_bar": None if compared is None else compared.first_divergent_bar,
        "cause": "" if compared is None else compared.cause,
        "final_value": None if execution is None else execution.final_value,
        "by_adapter": "" if execution is None else "; ".join(execution.by_adapter),
        "mark": None if mark is None else mark.kind,
        "reason": outcome.said if mark is None else mark.reason,
        "version": "" if execution is None else execution.version,
        "decisions_hash": prepared.decisions.content_hash,
    }
    kinds = {name: column.dtype for name, column in table("parity.diff").schema.columns().items()}
    return {"parity.executions": trades, "parity.diff": pl.DataFrame([row], schema=kinds)}


def _state(framework: str) -> str:
    """What a result of a framework depends on beside decisions and code: its environment."""
    if framework == OURS:
        return ""
    found = environment(framework)
    if not found.installed:
        return "not installed"
    # The scripts are started, not imported: the code version of a stage does not know them.
    scripts = [PEERS / "exchange.py", PEERS / f"{framework}_run.py"]
    content = hashlib.sha256(b"".join(path.read_bytes() for path in scripts)).hexdigest()[:12]
    return f"{found.folder.name} {content}"


DECISIONS = FrameStage(outputs=("parity.decisions",), compute=decide, kinds=("polars", "parquet"), together=True)
RUNS = BatchStage(outputs=RUN_TABLES, upstream=("parity.decisions",), compute=run_cases, kinds=("numba", "parquet"))
