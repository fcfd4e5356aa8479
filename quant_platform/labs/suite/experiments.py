"""Pre-registration: what was stated before anything was computed, and the holdout that is opened once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import ExperimentChanged
from quant_platform.labs.suite.backtest import BacktestResult
from quant_platform.labs.suite.panel import Panel
from quant_platform.specification.ontology import spec_hash
from quant_platform.specification.suite import ExperimentSpec
from quant_platform.statistics.sharpe_interval import sharpe_estimate

Kind = TypeVar("Kind", bound=np.generic)
Registration = Literal[
    "registered, met on the locked holdout", "registered, not met", "registered, still locked", "not registered"
]
LOOK_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "experiment": pl.String,
    "experiment_hash": pl.String,
    "snapshot_id": pl.String,
    "holdout_from": pl.Date,
    "holdout_to": pl.Date,
    "looked_at": pl.Datetime("us", "UTC"),
    "looked_by": pl.String,
}
MEANING = {
    "registered, met on the locked holdout": "hypothesis, sign and criteria were stated before the data were looked "
    "at, and held on data that nothing was chosen on",
    "registered, not met": "the criteria that were stated beforehand do not hold on the locked holdout",
    "registered, still locked": "the holdout has not been opened",
    "not registered": "the hypothesis may have been found in the same data that it is judged on",
}


@dataclass(frozen=True)
class Outcome:
    """What the locked holdout said.

    Attributes
    ----------
    state
        One of ``MEANING``.
    criteria
        One line per criterion and variant: metric, value times the expected sign, threshold, met.
    looks
        How often anybody has looked at this holdout, over all experiments.
    """

    state: Registration
    criteria: pl.DataFrame
    looks: int


def experiment_hash(experiment: ExperimentSpec) -> str:
    """Hash of everything that was stated; a changed experiment is another one."""
    return spec_hash(experiment.model_dump(mode="json"))


def register(experiment: ExperimentSpec, registered: Mapping[str, str]) -> str:
    """Return the hash to store under the experiment's name.

    Parameters
    ----------
    registered
        Name to hash of every experiment so far.

    Raises
    ------
    ExperimentChanged
        When the name is taken by an experiment that says something else.
    """
    made = experiment_hash(experiment)
    if registered.get(experiment.name, made) != made:
        raise ExperimentChanged(
            f"the experiment {experiment.name!r} was registered before and says something else now",
            where=f"specs/experiments, hash {registered[experiment.name][:12]} then, {made[:12]} now",
            action="restore what was registered, or register the new text under a new name",
        )
    return made


def holdout_row(panel: Panel, share: float) -> int:
    """First row of the locked part: the last ``share`` of the sessions."""
    return panel.shape[0] - max(1, round(share * panel.shape[0]))


def development_panel(panel: Panel, share: float) -> Panel:
    """Return the panel without its locked part: what may be computed as often as one likes.

    Returns of the last row before the lock are the last that are known; nothing of the locked part is in any array.
    """
    stop = holdout_row(panel, share)

    def cut(values: npt.NDArray[Kind]) -> npt.NDArray[Kind]:
        return values[:stop].copy()

    def cut_known(values: npt.NDArray[Kind] | None) -> npt.NDArray[Kind] | None:
        return None if values is None else cut(values)

    return replace(
        panel,
        sessions=panel.sessions[:stop],
        returns=cut(panel.returns),
        open_returns=cut_known(panel.open_returns),
        intraday=cut_known(panel.intraday),
        priced=cut(panel.priced),
        universe=cut(panel.universe),
        last=np.where(panel.last >= stop, stop, panel.last),
        adv=cut(panel.adv),
        volatility=cut(panel.volatility),
        market_cap=cut_known(panel.market_cap),
        cap_bucket=cut(panel.cap_bucket),
        industry=cut(panel.industry),
        exposures={name: cut(values) for name, values in panel.exposures.items()},
    )


def open_holdout(
    experiment: ExperimentSpec, panel: Panel, looks: pl.DataFrame, *, looked_by: str, looked_at: datetime
) -> pl.DataFrame:
    """Record that the holdout of an experiment is opened, before anything of it is computed.

    Returns
    -------
    polars.DataFrame
        The looks with the new one.

    Raises
    ------
    ExperimentChanged
        When this registration has opened it before.
    """
    made = experiment_hash(experiment)
    before = looks.filter(pl.col("experiment_hash") == made)
    if before.height:
        raise ExperimentChanged(
            f"the holdout of {experiment.name!r} was opened before",
            rows=before.select("looked_at", "looked_by", "snapshot_id"),
            cause="a second look would be a choice made with the answer in hand",
            action="register a new experiment; the number of looks at this holdout is shown on every tear sheet",
        )
    first = holdout_row(panel, experiment.holdout_share)
    made_now = pl.DataFrame(
        [
            (
                experiment.name,
                made,
                panel.snapshot_id,
                panel.sessions[first].item(),
                panel.sessions[-1].item(),
                looked_at,
                looked_by,
            )
        ],
        schema=LOOK_SCHEMA,
        orient="row",
    )
    return pl.concat([looks.select(pl.col(n).cast(t) for n, t in LOOK_SCHEMA.items()), made_now])


def looks_at(looks: pl.DataFrame, panel: Panel, share: float) -> int:
    """How often any session of this holdout was looked at, by anybody, for any experiment."""
    first = panel.sessions[holdout_row(panel, share)].item()
    last = panel.sessions[-1].item()
    return looks.filter((pl.col("holdout_to") >= first) & (pl.col("holdout_from") <= last)).height


def judge_experiment(
    experiment: ExperimentSpec, results: Sequence[BacktestResult], panel: Panel, looks: pl.DataFrame
) -> Outcome:
    """Hold the criteria against the locked part.

    Parameters
    ----------
    results
        The experiment's variants, computed over the whole panel; only rows of the locked part are read.

    Notes
    -----
    All criteria must hold for the first variant, which is the one that was named first; the others are reported. A book
    on the locked part starts from the positions it had before, as it would have in life.
    """
    first = holdout_row(panel, experiment.holdout_share)
    by_variant = {result.variant: result for result in results}
    lines = []
    for place, config in enumerate(experiment.variants):
        result = by_variant[config.variant]
        measured = _measure(result, first, panel.periods_per_year)
        for criterion in experiment.criteria:
            value = experiment.expected_sign * measured[criterion.metric]
            lines.append(
                (config.variant, place == 0, criterion.metric, value, criterion.above, value > criterion.above)
            )
    schema = {
        "variant": pl.String,
        "decides": pl.Boolean,
        "metric": pl.String,
        "value": pl.Float64,
        "above": pl.Float64,
        "met": pl.Boolean,
    }
    criteria = pl.DataFrame(lines, schema=schema, orient="row")
    met = bool(criteria.filter("decides")["met"].all())
    state: Registration = "registered, met on the locked holdout" if met else "registered, not met"
    return Outcome(state, criteria, looks_at(looks, panel, experiment.holdout_share))


def _measure(result: BacktestResult, first: int, periods_per_year: int) -> dict[str, float]:
    start = max(first, result.book.first)
    net, gross = result.book.net[start:], result.book.gross[start:]
    # The IC of a row is about the return after it, so that the first row of the locked part is inside.
    ic = result.first_ic[start:]
    seen = ic[~np.isnan(ic)]
    return {
        "sharpe_net": sharpe_estimate(net).annual(periods_per_year)[0],
        "sharpe_gross": sharpe_estimate(gross).annual(periods_per_year)[0],
        "ic_mean": float(seen.mean()) if seen.size else math.nan,
        "ann_return_net": float(net.mean()) * periods_per_year if net.size else math.nan,
    }
