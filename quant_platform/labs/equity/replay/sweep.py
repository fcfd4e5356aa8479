"""Threshold sweeps: the gate applied again to stored candidates with one number moved; nothing is replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from quant_platform.contracts.errors import SpecError
from quant_platform.contracts.tables import table
from quant_platform.labs.equity.replay.trades import Judged, counted_weeks, judged_until, weeks_of
from quant_platform.labs.equity.setups.gate import qualifies
from quant_platform.specification.activation import ActivationSpec
from quant_platform.specification.replay import ReplaySpec, SweepSpec
from quant_platform.statistics import PeriodInterval, holm, mean_over_periods

_SCHEMA = table("replay.activation_sweep").schema

OFF = -1.0


@dataclass(frozen=True)
class _Cell:
    """One gate that was tried: what it lets through, and what that earned."""

    n_qualified: int
    hits: int
    result: PeriodInterval


def activation_sweeps(
    names: Sequence[str],
    sweeps: Mapping[str, SweepSpec],
    qualified: pl.DataFrame,
    activation: ActivationSpec,
    spec: ReplaySpec,
    *,
    as_of_week: date | None = None,
) -> pl.DataFrame:
    """Expectancy of what the gate would have passed, for each threshold of some parameters.

    Parameters
    ----------
    names
        The sweeps whose rows are wanted, the partition keys.
    sweeps
        Every sweep there is, by name: the p-values are corrected over all of them, wanted or not.
    qualified
        Rows of ``replay.qualified``: every candidate with its percentile attached, whatever the verdict was.
    activation
        The gate in force; all its other rules stay as they are.
    spec
        How long trades last, and how few weeks are too few.
    as_of_week
        Monday of the week after which nothing is known; None stands for everything that is known.

    Returns
    -------
    DataFrame
        Schema ``replay.activation_sweep``, one row per sweep and threshold, the one in force with ``is_current``.

    Raises
    ------
    SpecError
        If a name is no sweep.

    Notes
    -----
    The p-value tests that the expectancy after cost is zero, with the error and the degrees of freedom of its interval
    (:mod:`quant_platform.statistics.period_sums`). Holm adjusts over the distinct gates of all sweeps together; the one
    in force stands in every sweep and is one trial. Cells share most of their trades, and the best of them was chosen
    after the fact: a threshold is to be judged on weeks that came later.
    """
    unknown = [name for name in names if name not in sweeps]
    if unknown:
        raise SpecError(f"there is no sweep {unknown[0]!r}", where="specs/sweeps", action=f"known: {sorted(sweeps)}")
    judged = judged_until(qualified, as_of_week)
    trades = judged.trades.sort("date_sig", "ticker", "direction")
    gates = {
        (name, threshold): activation.model_copy(update={sweep.parameter: threshold})
        for name, sweep in sweeps.items()
        for threshold in sweep.grid(activation)
    }
    cells: dict[str, _Cell] = {}
    for gate in gates.values():
        if gate.model_dump_json() not in cells:
            cells[gate.model_dump_json()] = _evaluate(gate, judged, trades, spec)
    p_adjusted = dict(
        zip(cells, holm([cell.result.p for cell in cells.values()], level=0.05).adjusted_p.tolist(), strict=True)
    )
    rows = []
    for (name, threshold), gate in gates.items():
        if name not in names:
            continue
        key, parameter = gate.model_dump_json(), sweeps[name].parameter
        cell = cells[key]
        found = cell.result
        rows.append(
            {
                "sweep": name,
                "parameter": parameter,
                "threshold": OFF if threshold is None else threshold,
                "is_current": threshold == getattr(activation, parameter),
                "n_cells": len(sweeps[name].grid(activation)),
                "n_trials": len(cells),
                "n_candidates": judged.candidates.height,
                "n_qualified": cell.n_qualified,
                "n_resolved": found.n,
                "n_weeks": found.n_periods,
                "hit_rate": cell.hits / found.n if found.n else None,
                "expectancy_r": found.estimate,
                "expectancy_low": found.low,
                "expectancy_high": found.high,
                "t": found.t,
                "p_value": found.p,
                "p_adjusted": p_adjusted[key],
            }
        )
    frame = pl.DataFrame(rows, schema=_SCHEMA.create_empty().schema)
    return frame.with_columns(pl.selectors.float().fill_nan(None)).sort("sweep", "threshold")


def _evaluate(gate: ActivationSpec, judged: Judged, trades: pl.DataFrame, spec: ReplaySpec) -> _Cell:
    passes = qualifies(gate)
    passed = trades.filter(passes)
    return _Cell(
        # Not the sum: where no rule is on, what passes is the one value True.
        n_qualified=judged.candidates.filter(passes).height,
        hits=int((passed["outcome"] == "target").sum()),
        result=mean_over_periods(passed["realised_r"], weeks_of(passed), counted_weeks(spec)),
    )
