"""Two suites side by side: how they were made, what they measured, and the first session on which their books part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from quant_platform.contracts.errors import PartitionMissing
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.verification import SuiteRun, stored_rows_of

MEASURES = ("sharpe_net", "sharpe_gross", "ann_return_net", "ann_volatility", "max_drawdown_net", "turnover")


@dataclass(frozen=True)
class EquityDifference:
    """The daily net returns of one variant in two suites.

    Attributes
    ----------
    variant
        Which.
    common, only_first, only_second
        Sessions of both, and of one alone.
    parts_on
        First session whose net return differs, or that one of them lacks; None where they are the same.
    correlation
        Of the common sessions; NaN below three.
    """

    variant: str
    common: int
    only_first: int
    only_second: int
    parts_on: date | None
    correlation: float


@dataclass(frozen=True)
class SuiteComparison:
    """What differs between two suites.

    Attributes
    ----------
    settings
        ``what, first, second, same``: signal, snapshot, preset, code, specs, verdict.
    metrics
        ``variant, measure, first, second, difference`` over the whole sample; null where one has no such variant.
    equity
        One for each variant of both.
    """

    settings: pl.DataFrame
    metrics: pl.DataFrame
    equity: tuple[EquityDifference, ...]


def compare_suites(home: Home, first: SuiteRun, second: SuiteRun) -> SuiteComparison:
    """Compare two suites whose rows are still stored.

    Parameters
    ----------
    home
        The market.
    first, second
        Two runs: of two signals, two snapshots, or one suite under two presets or codes.

    Raises
    ------
    PartitionMissing
        When a later run has replaced the rows of one, and they were removed since.
    """
    verdicts = [stored_rows_of(home, run, "suite.verdict") for run in (first, second)]
    said = {
        "run": [run.run_id for run in (first, second)],
        "signal": [run.key[0] for run in (first, second)],
        "snapshot": [run.key[1] for run in (first, second)],
        "preset": [run.preset for run in (first, second)],
        "evaluated at": [run.evaluated_at.isoformat(timespec="seconds") for run in (first, second)],
        "rows of the signal": [run.signal_hash[:16] for run in (first, second)],
        "code": [f"{run.code_version} ({run.platform})" for run in (first, second)],
        "specs": [run.ontology_hash[:16] for run in (first, second)],
        "verdict": [str(rows["verdict"][0]) for rows in verdicts],
        "judged on": [str(rows["reference"][0]) for rows in verdicts],
    }
    settings = pl.DataFrame(
        [(what, one, other, one == other) for what, (one, other) in said.items()],
        schema=["what", "first", "second", "same"],
        orient="row",
    )
    one, other = (_overall(stored_rows_of(home, run, "suite.results")) for run in (first, second))
    metrics = one.join(other, on=["variant", "measure"], how="full", coalesce=True, suffix="_second").select(
        "variant",
        "measure",
        pl.col("value").alias("first"),
        pl.col("value_second").alias("second"),
        (pl.col("value_second") - pl.col("value")).alias("difference"),
    )
    daily = [stored_rows_of(home, run, "suite.daily") for run in (first, second)]
    variants = sorted(set(daily[0]["variant"]) & set(daily[1]["variant"]))
    equity = tuple(equity_difference(variant, *(_of(frame, variant) for frame in daily)) for variant in variants)
    return SuiteComparison(settings, metrics.sort("variant", "measure"), equity)


def equity_difference(variant: str, first: pl.DataFrame, second: pl.DataFrame) -> EquityDifference:
    """Compare the net returns of one variant, session by session.

    Parameters
    ----------
    variant
        Its name.
    first, second
        ``session`` and ``net``.

    Notes
    -----
    Returns are compared exactly: two suites of the same bytes never part.
    """
    both = first.select("session", "net").join(
        second.select("session", "net"), on="session", how="full", coalesce=True, suffix="_second"
    )
    parting = both.filter(pl.col("net").ne_missing(pl.col("net_second")))["session"].min()
    common = both.drop_nulls()
    correlation = math.nan
    if common.height > 2 and common["net"].std() and common["net_second"].std():
        correlation = float(np.corrcoef(common["net"].to_numpy(), common["net_second"].to_numpy())[0, 1])
    return EquityDifference(
        variant=variant,
        common=common.height,
        only_first=int(both["net_second"].null_count()),
        only_second=int(both["net"].null_count()),
        parts_on=parting if isinstance(parting, date) else None,
        correlation=correlation,
    )


def one_run(found: list[SuiteRun], wanted: str) -> SuiteRun:
    """The only suite of a run.

    Raises
    ------
    PartitionMissing
        When the run judged several signals: which one is meant has to be said.
    """
    if len(found) != 1:
        raise PartitionMissing(
            f"the run {wanted} judged {len(found)} signals",
            where=", ".join("@".join(run.key) for run in found),
            action=f"name one as signal@snapshot, for example {'@'.join(found[0].key)}",
        )
    return found[0]


def _overall(results: pl.DataFrame) -> pl.DataFrame:
    whole = results.filter(pl.col("slice_kind") == "overall")
    return whole.unpivot(on=MEASURES, index="variant", variable_name="measure", value_name="value")


def _of(daily: pl.DataFrame, variant: str) -> pl.DataFrame:
    return daily.filter(pl.col("variant") == variant)
