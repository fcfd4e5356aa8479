"""The qualification gate: one vectorised implementation for the replay, the sweeps and the live scan.

A candidate qualifies when no rule of ``specs/activation.yaml`` refuses it; every refusal says the value and the floor.
A value equal to its floor passes.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from quant_platform.specification.activation import ActivationSpec


@dataclass(frozen=True)
class Rule:
    """One rule that is on: where it refuses, and what it says there."""

    name: str
    refuses: pl.Expr
    reason: pl.Expr


def directed_percentile(percentile: str = "percentile") -> pl.Expr:
    """Momentum percentile in the direction of the trade: p for a long, 100 - p for a short; null where not attached."""
    value = pl.col(percentile).fill_nan(None)
    return pl.when(pl.col("direction") == "short").then(100.0 - value).otherwise(value)


def rules(activation: ActivationSpec) -> tuple[Rule, ...]:
    """The rules that are on, in the order in which reasons are listed.

    Notes
    -----
    They read the columns rr, confidence, momentum_percentile (directed), target_probability, expected_value_r and
    conflict. **Missing values.** A momentum percentile that is null is not attached, and its rule does not apply to
    that row; a missing value of any other column is refused.
    """
    found = [
        _floor("rr", "min_rr", activation.min_rr),
        _floor("confidence", "min_confidence", activation.min_confidence),
        _floor("momentum_percentile", "min_momentum_percentile", activation.min_momentum_percentile, optional=True),
        _floor("target_probability", "min_target_probability", activation.min_target_probability),
        _floor("expected_value_r", "min_expected_value", activation.min_expected_value),
    ]
    if activation.high_conviction_only:
        rr, confidence = activation.high_conviction.min_rr, activation.high_conviction.min_confidence
        reaches = (pl.col("rr") >= rr) & (pl.col("confidence") >= confidence)
        reason = pl.format(
            f"not high conviction: rr {{}} and confidence {{}}, floors {rr:g} and {confidence:g}",
            pl.col("rr").round(4),
            pl.col("confidence").round(4),
        )
        found.append(Rule("high_conviction_only", ~reaches.fill_null(False), reason))
    if activation.exclude_conflicts:
        reason = pl.lit("the other direction has a valid setup too")
        found.append(Rule("exclude_conflicts", pl.col("conflict").fill_null(True), reason))
    return tuple(rule for rule in found if rule is not None)


def qualifies(activation: ActivationSpec) -> pl.Expr:
    """Boolean expression: true where no rule refuses."""
    return ~pl.any_horizontal(pl.lit(False), *(rule.refuses for rule in rules(activation)))


def apply_gate(candidates: pl.DataFrame, activation: ActivationSpec) -> pl.DataFrame:
    """Add the gate's verdict to candidates.

    Parameters
    ----------
    candidates
        Rows with direction, rr, confidence, target_probability, expected_value_r and conflict, and, where the momentum
        is attached, the ticker's ``percentile`` in the universe.
    activation
        The gate.

    Returns
    -------
    DataFrame
        The rows with ``percentile`` replaced by ``momentum_percentile`` (directed, null when not attached),
        ``qualified`` and ``refusals`` (one text for each rule that refused, empty when qualified).
    """
    attached = (
        candidates.with_columns(directed_percentile().alias("momentum_percentile")).drop("percentile")
        if "percentile" in candidates.columns
        else candidates.with_columns(momentum_percentile=pl.lit(None, dtype=pl.Float64))
    )
    reasons = [pl.when(rule.refuses).then(rule.reason) for rule in rules(activation)]
    texts = pl.concat_list(reasons).list.drop_nulls() if reasons else pl.lit([], dtype=pl.List(pl.String))
    return attached.with_columns(qualified=qualifies(activation), refusals=texts)


def _floor(column: str, name: str, floor: float | None, *, optional: bool = False) -> Rule | None:
    if floor is None:
        return None
    value = pl.col(column).fill_nan(None)
    below = value < floor
    reason = pl.format(f"{column} {{}} is below {name} {floor:g}", value.round(4).cast(pl.String).fill_null("missing"))
    return Rule(name, below.fill_null(not optional), reason)
