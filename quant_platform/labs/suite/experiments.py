"""Pre-registration: what was stated before anything was computed, and the holdout that is opened once.

1. An experiment is registered: its text is hashed, and the sessions of its holdout begin on a date that never moves
   (:func:`register`, :func:`holdout_start`).
2. Until it is opened, a suite sees a panel that ends before that date (:func:`development_panel`).
3. Opened once, by somebody, on one snapshot, the criteria are held against the locked sessions alone
   (:func:`judge_experiment`).
4. Every suite is a look at the sessions it has seen, whoever asked and whether it was registered or not
   (:func:`look_rows`), so that each page can say how often a holdout was looked at (:func:`looks_at`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import ExperimentChanged
from quant_platform.contracts.schemas.suite import REGISTRATIONS
from quant_platform.labs.suite.backtest import BacktestResult
from quant_platform.labs.suite.panel import Panel
from quant_platform.specification.ontology import spec_hash
from quant_platform.specification.suite import ExperimentSpec
from quant_platform.statistics.sharpe_interval import sharpe_estimate

Kind = TypeVar("Kind", bound=np.generic)
MET, NOT_MET, LOCKED, UNREGISTERED = REGISTRATIONS
MEANING = {
    MET: "hypothesis, sign and criteria were stated before the data were looked at, and held on sessions that nothing "
    "was chosen on",
    NOT_MET: "the criteria that were stated beforehand do not hold on the locked holdout",
    LOCKED: "the criteria were stated beforehand; the holdout was not opened, and no number here has seen it",
    UNREGISTERED: "nothing was stated beforehand: the hypothesis may have been found in the data it is judged on",
}
LOOK_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "look_id": pl.String,
    "signal": pl.String,
    "snapshot_id": pl.String,
    "signal_hash": pl.String,
    "preset": pl.String,
    "experiment": pl.String,
    "experiment_hash": pl.String,
    "date_from": pl.Date,
    "date_to": pl.Date,
    "looked_at": pl.Datetime("us", "UTC"),
    "looked_by": pl.String,
}
CRITERIA_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "variant": pl.String,
    "decides": pl.Boolean,
    "metric": pl.String,
    "value": pl.Float64,
    "above": pl.Float64,
    "met": pl.Boolean,
}


@dataclass(frozen=True)
class Opening:
    """The one look at the holdout of a registration.

    Attributes
    ----------
    opened_at, opened_by
        When, UTC, and who.
    snapshot_id
        On which data.
    holdout_to
        The last session of that snapshot: later ones were not there to be looked at.
    """

    opened_at: datetime
    opened_by: str
    snapshot_id: str
    holdout_to: date


@dataclass(frozen=True)
class Registration:
    """An experiment as it was frozen.

    Attributes
    ----------
    experiment
        What was stated.
    hash
        Of the statement.
    registered_at, registered_by
        When, UTC, and who.
    holdout_from
        First locked session.
    number
        Which registration of its signal this is, from 1: earlier ones were withdrawn unopened, or are about earlier
        sessions.
    opening
        The look at its holdout; None while it is locked.
    """

    experiment: ExperimentSpec
    hash: str
    registered_at: datetime
    registered_by: str
    holdout_from: date
    number: int
    opening: Opening | None = None


@dataclass(frozen=True)
class Outcome:
    """What stands beside the colour.

    Attributes
    ----------
    state
        One of ``REGISTRATIONS``.
    registration
        The experiment; None for a signal that has none.
    criteria
        ``CRITERIA_SCHEMA``: value in the direction of the expected sign, one row per variant and criterion; empty where
        no holdout was opened.
    """

    state: str
    registration: Registration | None
    criteria: pl.DataFrame


@dataclass(frozen=True)
class Looks:
    """How often a holdout was looked at, by anybody.

    Attributes
    ----------
    first, last
        Its sessions.
    count
        Looks that saw any of them.
    signals, people
        Signals and people among these.
    """

    first: date
    last: date
    count: int
    signals: int
    people: int

    @property
    def sentence(self) -> str:
        """In words."""
        return (
            f"the sessions {self.first} to {self.last} were looked at {_times(self.count)}, with "
            f"{self.signals} signal{'s' * (self.signals != 1)}, by {self.people} "
            f"{'person' if self.people == 1 else 'people'}"
        )


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
            where=f"hash {registered[experiment.name][:12]} then, {made[:12]} now",
            action="restore what was registered, or register the new text under a new name",
        )
    return made


def holdout_start(sessions: npt.NDArray[np.datetime64], share: float) -> date:
    """First session of the locked part: the last ``share`` of the sessions, one at least."""
    first: date = sessions[len(sessions) - max(1, round(share * len(sessions)))].astype("datetime64[D]").item()
    return first


def holdout_row(panel: Panel, first: date) -> int:
    """Row of the first locked session; the number of rows where the panel ends before it."""
    return int(np.searchsorted(panel.sessions, np.datetime64(first, "D")))


def development_panel(panel: Panel, first: date) -> Panel:
    """Return the panel without its locked part: what may be computed as often as one likes.

    Parameters
    ----------
    panel
        The market.
    first
        First locked session.

    Notes
    -----
    **Timing.** Returns of the last session before the lock are the last that are known; nothing of the locked part is
    in any array.
    """
    stop = holdout_row(panel, first)

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
        funding_unknown_hours=cut_known(panel.funding_unknown_hours),
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


def judge_experiment(registration: Registration | None, results: Mapping[str, BacktestResult], panel: Panel) -> Outcome:
    """Hold the criteria against the locked part.

    Parameters
    ----------
    registration
        The experiment of the signal, if it has one.
    results
        Variant to result over the whole panel; only rows of the locked part are read. A variant that is missing, since
        the data cannot carry it, has met nothing.
    panel
        The market, with its locked part where that was opened.

    Notes
    -----
    All criteria must hold for the first variant, which is the one that was named first; the others are reported. A book
    on the locked part starts from the positions it had before, as it would have in life. With an expected sign of -1
    the book is held the other way round: it earns minus the gross return and pays the same costs.
    """
    empty = pl.DataFrame(schema=CRITERIA_SCHEMA)
    if registration is None:
        return Outcome(UNREGISTERED, None, empty)
    if registration.opening is None:
        return Outcome(LOCKED, registration, empty)
    experiment = registration.experiment
    first = holdout_row(panel, registration.holdout_from)
    stop = int(np.searchsorted(panel.sessions, np.datetime64(registration.opening.holdout_to, "D"), side="right"))
    lines = []
    for place, config in enumerate(experiment.variants):
        measured = _measure(results.get(config.variant), slice(first, stop), experiment.expected_sign, panel)
        for criterion in experiment.criteria:
            value = measured[criterion.metric]
            lines.append(
                (config.variant, place == 0, criterion.metric, value, criterion.above, value > criterion.above)
            )
    criteria = pl.DataFrame(lines, schema=CRITERIA_SCHEMA, orient="row")
    met = bool(criteria.filter("decides")["met"].all())
    return Outcome(MET if met else NOT_MET, registration, criteria)


def look_rows(
    *,
    signal: str,
    signal_hash: str,
    snapshot_id: str,
    preset: str,
    sessions: npt.NDArray[np.datetime64],
    registration: Registration | None,
    looked_at: datetime,
    looked_by: str,
) -> pl.DataFrame:
    """Return the ledger row of one suite: which sessions it has seen, for whom.

    Parameters
    ----------
    sessions
        Those of the panel it was computed on.
    registration
        The experiment; opened, the look is that of the person who opened it.
    looked_at, looked_by
        When, UTC, and for whom.

    Notes
    -----
    The id hashes everything but time and person: the same suite made twice is one look.
    """
    opening = registration.opening if registration is not None else None
    first, last = sessions[0].astype("datetime64[D]").item(), sessions[-1].astype("datetime64[D]").item()
    name, made = (registration.experiment.name, registration.hash) if registration is not None else ("", "")
    row = (
        spec_hash([signal, signal_hash, snapshot_id, preset, made, str(first), str(last)])[:32],
        signal,
        snapshot_id,
        signal_hash,
        preset,
        name,
        made,
        first,
        last,
        opening.opened_at if opening is not None and opening.snapshot_id == snapshot_id else looked_at,
        opening.opened_by if opening is not None and opening.snapshot_id == snapshot_id else looked_by,
    )
    return pl.DataFrame([row], schema=LOOK_SCHEMA, orient="row")


def merge_looks(earlier: pl.DataFrame, made: pl.DataFrame) -> pl.DataFrame:
    """Add looks to those of before; one that is known keeps the time and the person it was first made by."""
    known = earlier.select(pl.col(name).cast(dtype) for name, dtype in LOOK_SCHEMA.items())
    return pl.concat([known, made.join(known, on="look_id", how="anti")]).sort("look_id")


def looks_at(looks: pl.DataFrame, first: date, last: date) -> Looks:
    """Count the looks that saw any session of a holdout, by anybody, for any signal.

    Parameters
    ----------
    looks
        Rows of ``suite.looks``.
    first, last
        Its sessions.
    """
    seen = looks.filter((pl.col("date_to") >= first) & (pl.col("date_from") <= last))
    return Looks(first, last, seen.height, seen["signal_hash"].n_unique(), seen["looked_by"].n_unique())


def _measure(result: BacktestResult | None, rows: slice, sign: int, panel: Panel) -> dict[str, float]:
    if result is None:
        return dict.fromkeys(("sharpe_net", "sharpe_gross", "ann_return_net", "ic_mean"), math.nan)
    inside = slice(max(rows.start, result.book.first), rows.stop)
    gross = sign * result.book.gross[inside]
    net = gross - result.book.cost[inside]
    # The IC of a row is about the return after it; that of the last row would be about one past the holdout.
    ic = sign * result.first_ic[rows.start : max(rows.start, rows.stop - 1)]
    seen = ic[~np.isnan(ic)]
    return {
        "sharpe_net": sharpe_estimate(net).annual(panel.periods_per_year)[0],
        "sharpe_gross": sharpe_estimate(gross).annual(panel.periods_per_year)[0],
        "ann_return_net": float(net.mean()) * panel.periods_per_year if net.size else math.nan,
        "ic_mean": float(seen.mean()) if seen.size else math.nan,
    }


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
