"""The traffic light: red is decided first, then what is short of green is yellow, then green.

Every number stands in ``specs/suite/verdict.yaml``. A verdict lists each rule with what was measured, what is asked,
and how far it is, so that nobody has to guess what would change it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.special import ndtri

from quant_platform.labs.suite.backtest import BacktestResult
from quant_platform.labs.suite.trials import Selection
from quant_platform.labs.suite.uniqueness import PartialIC
from quant_platform.specification.suite import BacktestConfig, VerdictSpec
from quant_platform.statistics.sharpe_interval import sharpe_estimate

Floats = npt.NDArray[np.float64]
Colour = Literal["red", "yellow", "green"]
REASON_SCHEMA = {
    "code": pl.String,
    "colour": pl.String,
    "text": pl.String,
    "value": pl.Float64,
    "threshold": pl.Float64,
    "distance": pl.Float64,
    "met": pl.Boolean,
}


@dataclass(frozen=True)
class Reason:
    """One rule and what it found.

    Attributes
    ----------
    code
        Stable name of the rule.
    colour
        The colour that the rule is about: a red rule makes red where it is met, a green one is needed for green.
    text
        The finding in words.
    value, threshold
        Measured and asked for.
    distance
        What is missing for the better side, in the unit of the value; 0 or less where nothing is.
    met
        Whether the rule applies (red, caution) or is satisfied (green).
    """

    code: str
    colour: Literal["red", "caution", "green"]
    text: str
    value: float
    threshold: float
    distance: float
    met: bool


@dataclass(frozen=True)
class Verdict:
    """A colour with its reasons.

    Attributes
    ----------
    colour
        The verdict.
    because
        The reasons that decided it, in words.
    reasons
        Every rule, those that did not decide included.
    next_colour
        The better colour, None for green.
    to_next
        What stands between this verdict and the next colour, in words.
    what_would_change
        Changes of the assumptions that would move the colour, up or down, in words.
    """

    colour: Colour
    because: tuple[str, ...]
    reasons: tuple[Reason, ...]
    next_colour: Colour | None
    to_next: tuple[str, ...]
    what_would_change: tuple[str, ...]

    def to_frame(self) -> pl.DataFrame:
        """Return the reasons as rows."""
        return pl.DataFrame([vars(reason) for reason in self.reasons], schema=REASON_SCHEMA)


def reference_of(configs: Sequence[BacktestConfig], spec: VerdictSpec) -> BacktestConfig:
    """Return the variant that is judged: the first one with the lag and residualisation of the rules."""
    wanted = [c for c in configs if c.lag == spec.reference.lag and c.residualize == spec.reference.residualize]
    return wanted[0] if wanted else configs[0]


def judge(
    reference: BacktestResult,
    results: Sequence[BacktestResult],
    selection: Selection,
    correlations: pl.DataFrame,
    partial: PartialIC,
    spec: VerdictSpec,
    *,
    periods_per_year: int,
    not_available: Sequence[str] = (),
    look_ahead: Sequence[str] = (),
    holdout: pl.DataFrame | None = None,
) -> Verdict:
    """Apply the rules to a suite.

    Parameters
    ----------
    reference
        The variant that is judged.
    results
        All variants.
    selection
        Deflation of the reference.
    correlations
        Rows of `uniqueness.correlations`.
    partial
        What is left of the IC.
    spec
        The rules.
    periods_per_year
        Of the panel.
    not_available
        Causes why variants are missing; a rule about a missing variant is not satisfied, and says so.
    look_ahead
        Findings of the audit; any is red.
    holdout
        Criteria of a registered experiment that decide, measured on its locked holdout: ``metric, value, above, met``;
        any that is not met is red.

    Notes
    -----
    A number that is NaN satisfies nothing: it is red where a red rule asks for it, and never green.
    """
    sharpe = reference.overall("sharpe_net")
    lagged = _companion(reference, results, lag=reference.config.lag + 1)
    industry = _companion(reference, results, residualize="industry")
    closest = _closest(correlations)
    sessions = reference.daily.height
    red = [
        *(Reason("look_ahead", "red", text, 1.0, 0.0, 1.0, True) for text in look_ahead),
        *_holdout(holdout),
        *_red(sharpe, lagged, closest, partial, sessions, spec),
    ]
    green = _green(sharpe, lagged, industry, closest, selection, spec, not_available)
    caution = _caution(reference, spec)
    reasons = (*red, *green, *caution)
    if any(reason.met for reason in red):
        colour: Colour = "red"
        because = tuple(reason.text for reason in red if reason.met)
        following: Colour | None = "yellow"
        to_next = tuple(_needed(reason) for reason in red if reason.met)
    elif any(not reason.met for reason in green) or any(reason.met for reason in caution):
        colour, following = "yellow", "green"
        open_rules = [r for r in green if not r.met] + [r for r in caution if r.met]
        because = tuple(reason.text for reason in open_rules)
        to_next = tuple(_needed(reason) for reason in open_rules)
    else:
        colour, following, to_next = "green", None, ()
        because = tuple(reason.text for reason in green)
    change = _what_would_change(reference, selection, spec, periods_per_year)
    return Verdict(colour, because, reasons, following, to_next, change)


def _companion(
    reference: BacktestResult,
    results: Sequence[BacktestResult],
    *,
    lag: int | None = None,
    residualize: str | None = None,
) -> float:
    update = {"lag": lag} if lag is not None else {"residualize": residualize}
    wanted = reference.config.model_copy(update=update)
    found = [result for result in results if result.config == wanted]
    return found[0].overall("sharpe_net") if found else math.nan


def _closest(correlations: pl.DataFrame) -> tuple[str, float]:
    known = correlations.filter(pl.col("pnl_correlation").is_not_nan())
    if known.height == 0:
        return "", math.nan
    row = known.sort(pl.col("pnl_correlation").abs(), descending=True, maintain_order=True).row(0, named=True)
    return str(row["baseline"]), float(row["pnl_correlation"])


def _holdout(criteria: pl.DataFrame | None) -> list[Reason]:
    rows = criteria.iter_rows(named=True) if criteria is not None else ()
    return [
        Reason(
            "registered_not_met",
            "red",
            f"{row['metric']} {row['value']:.3g} on the locked holdout, above {row['above']:g} was stated beforehand",
            row["value"],
            row["above"],
            row["above"] - row["value"],
            not row["met"],
        )
        for row in rows
    ]


def _red(
    sharpe: float, lagged: float, closest: tuple[str, float], partial: PartialIC, sessions: int, spec: VerdictSpec
) -> list[Reason]:
    rules = spec.red
    name, correlation = closest
    left = partial.p <= rules.clone_partial_p and partial.share >= rules.clone_partial_share
    clone = abs(correlation) >= rules.clone_correlation and not left
    if name:
        remains = f"partial IC {partial.mean:+.4f} (p {partial.p:.3f})" if partial.n else "nothing left to rank"
        about = f"PnL correlation {correlation:+.2f} with {name}, {remains}"
    else:
        about = "no baseline could be computed"
    return [
        Reason(
            "sample_too_short",
            "red",
            f"{sessions} sessions of PnL, {spec.min_sessions} are needed",
            float(sessions),
            float(spec.min_sessions),
            float(spec.min_sessions - sessions),
            sessions < spec.min_sessions,
        ),
        Reason(
            "sharpe_too_low",
            "red",
            f"net Sharpe ratio {sharpe:.2f}, below {rules.sharpe_below:g} is red",
            sharpe,
            rules.sharpe_below,
            rules.sharpe_below - sharpe,
            not sharpe >= rules.sharpe_below,
        ),
        Reason(
            "dies_with_lag",
            "red",
            f"net Sharpe ratio {lagged:.2f} with one more lag, {rules.lagged_sharpe_at_most:g} or less is red",
            lagged,
            rules.lagged_sharpe_at_most,
            rules.lagged_sharpe_at_most - lagged,
            not lagged > rules.lagged_sharpe_at_most,
        ),
        Reason(
            "baseline_clone",
            "red",
            f"{'a clone: ' if clone else ''}{about}",
            abs(correlation),
            rules.clone_correlation,
            abs(correlation) - rules.clone_correlation,
            clone,
        ),
    ]


def _green(
    sharpe: float,
    lagged: float,
    industry: float,
    closest: tuple[str, float],
    selection: Selection,
    spec: VerdictSpec,
    not_available: Sequence[str],
) -> list[Reason]:
    rules = spec.green
    probability = selection.deflated.probability
    name, correlation = closest
    bound = rules.surviving_sharpe_above
    cause = next((text for text in not_available if "industry" in text), "not computed by this preset")
    survives = (
        f"net Sharpe ratio {industry:.2f} of industry residuals"
        if industry == industry
        else (f"industry residuals are not available ({cause})")
    )
    return [
        Reason(
            "sharpe",
            "green",
            f"net Sharpe ratio {sharpe:.2f}, above {rules.sharpe_above:g} is asked",
            sharpe,
            rules.sharpe_above,
            rules.sharpe_above - sharpe,
            sharpe > rules.sharpe_above,
        ),
        Reason(
            "significant_after_deflation",
            "green",
            f"deflated probability {probability:.3f} after {selection.trials} trials "
            f"(worth {selection.effective_trials:.1f}), {rules.deflated_probability:g} is asked",
            probability,
            rules.deflated_probability,
            rules.deflated_probability - probability,
            probability >= rules.deflated_probability,
        ),
        Reason(
            "survives_lag",
            "green",
            f"net Sharpe ratio {lagged:.2f} with one more lag, above {bound:g} is asked",
            lagged,
            bound,
            bound - lagged,
            lagged > bound,
        ),
        Reason(
            "survives_industry",
            "green",
            f"{survives}, above {bound:g} is asked",
            industry,
            bound,
            bound - industry,
            industry > bound,
        ),
        Reason(
            "unlike_baselines",
            "green",
            f"largest PnL correlation {correlation:+.2f} ({name}), below {rules.baseline_correlation_below:g} is asked"
            if name
            else "no baseline could be computed",
            abs(correlation),
            rules.baseline_correlation_below,
            abs(correlation) - rules.baseline_correlation_below,
            abs(correlation) < rules.baseline_correlation_below,
        ),
    ]


def _caution(reference: BacktestResult, spec: VerdictSpec) -> list[Reason]:
    rules = spec.caution
    turnover = reference.overall("turnover")
    buckets = reference.summary.filter((pl.col("slice_kind") == "cap") & (pl.col("slice") != "unknown"))
    smallest = float(buckets["share_of_gross"][0]) if buckets.height > 1 else math.nan
    return [
        Reason(
            "high_turnover",
            "caution",
            f"{turnover:.2f} of capital traded per session, above {rules.turnover_above:g} is high",
            turnover,
            rules.turnover_above,
            turnover - rules.turnover_above,
            turnover > rules.turnover_above,
        ),
        Reason(
            "small_cap_concentration",
            "caution",
            f"{smallest:.0%} of the gross profit is earned in the smallest cap bucket, above "
            f"{rules.small_cap_share_above:.0%} is concentrated"
            if smallest == smallest
            else "market caps are not available",
            smallest,
            rules.small_cap_share_above,
            smallest - rules.small_cap_share_above,
            smallest > rules.small_cap_share_above,
        ),
    ]


def _needed(reason: Reason) -> str:
    if not math.isfinite(reason.distance):
        return f"{reason.code}: {reason.text}"
    return f"{reason.code}: {abs(reason.distance):.3g} away ({reason.text})"


def _what_would_change(
    reference: BacktestResult, selection: Selection, spec: VerdictSpec, periods_per_year: int
) -> tuple[str, ...]:
    """Costs and lengths of the sample at which a rule would turn, other things being equal."""
    book = reference.book
    gross, cost = book.gross[book.first :], book.cost[book.first :]
    found = []
    for name, threshold in (("green", spec.green.sharpe_above), ("red", spec.red.sharpe_below)):
        multiple = _cost_multiple(gross, cost, threshold, periods_per_year)
        if multiple is None:
            found.append(f"no cost, not even none, brings the net Sharpe ratio to {threshold:g} ({name})")
        elif math.isfinite(multiple):
            found.append(f"the net Sharpe ratio is {threshold:g} ({name}) at {multiple:.2f} times these costs")
    probability = selection.deflated.probability
    if selection.estimate.ratio > selection.deflated.benchmark and probability < spec.green.deflated_probability:
        found.append(
            f"at this Sharpe ratio {_periods_for(selection, spec) / periods_per_year:.1f} years of data instead of "
            f"{selection.estimate.n / periods_per_year:.1f} would be significant after deflation"
        )
    return tuple(found)


def _cost_multiple(gross: Floats, cost: Floats, threshold: float, periods_per_year: int) -> float | None:
    """Multiple of the costs at which the net Sharpe ratio is the threshold; None where free trading is below it."""

    def ratio(multiple: float) -> float:
        return sharpe_estimate(gross - multiple * cost).annual(periods_per_year)[0]

    if not ratio(0.0) > threshold:
        return None
    low, high = 0.0, 1.0
    while ratio(high) > threshold:
        low, high = high, 2.0 * high
        if high > 1e4:
            return math.inf
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if ratio(middle) > threshold else (low, middle)
    return high


def _periods_for(selection: Selection, spec: VerdictSpec) -> float:
    """Periods at which the probability reaches the asked one, were ratio, moments and benchmark the same."""
    estimate, wanted = selection.estimate, float(ndtri(spec.green.deflated_probability))
    reached = float(ndtri(selection.deflated.probability))
    return 1.0 + (estimate.n - 1.0) * (wanted / reached) ** 2 if reached > 0.0 else math.inf
