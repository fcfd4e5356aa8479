"""From one row per world and factor to the rates and means that the tables state."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from quant_platform.statistics import wilson_interval

LEVEL = 0.05
PRIMARY = "p_nonoverlapping"
TESTS = (PRIMARY, "p_ewc", "p_naive")
FIRST_WORLDS = 20
Summary = dict[str, Any]


def standard_error_of_rate(worlds: int) -> float:
    """Of the rejection rate that an exact 5 % test has over independent worlds."""
    return math.sqrt(LEVEL * (1.0 - LEVEL) / worlds)


def factors_of(rows: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """Factors in the order of the rows, each with its rows by seed."""
    names = rows["factor"].unique(maintain_order=True).to_list()
    return [(name, rows.filter(pl.col("factor") == name).sort("seed")) for name in names]


def null_summary(rows: pl.DataFrame) -> list[Summary]:
    """Rejection rates per factor and test where nothing predicts anything.

    ``within`` is the verdict: the rate lies within three standard errors of 5 %. A missing p is a test that was made
    and did not reject.
    """
    return [
        {
            "factor": factor,
            "worlds": own.height,
            "n_independent": mean_of(own["n_independent"])["mean"],
            "ic": mean_of(own["ic"]),
            "spread": mean_of(own["spread"]),
            **{test: rejections(own[test]) for test in TESTS},
            "first_worlds": rejections(own.head(FIRST_WORLDS)[PRIMARY]),
        }
        for factor, own in factors_of(rows)
    ]


def planted_summary(rows: pl.DataFrame, signs: dict[str, int]) -> list[Summary]:
    """How often and how strongly each factor shows its expected sign where premia are planted."""
    out: list[Summary] = []
    for factor, own in factors_of(rows):
        sign = signs[factor]
        right = own["ic"] * sign > 0
        out.append(
            {
                "factor": factor,
                "expected_sign": sign,
                "worlds": own.height,
                "ic": mean_of(own["ic"]),
                "spread": mean_of(own["spread"]),
                "right_sign": share(right),
                "significant_with_right_sign": share(right & (own[PRIMARY] < LEVEL).fill_null(value=False)),
                "significant_with_wrong_sign": share(~right & (own[PRIMARY] < LEVEL).fill_null(value=False)),
            }
        )
    return out


def damage_summary(adjusted: pl.DataFrame, unadjusted: pl.DataFrame) -> list[Summary]:
    """Spread and IC with and without splits and dividends, world by world; ``change`` is unadjusted less adjusted."""
    out: list[Summary] = []
    for factor, own in factors_of(unadjusted):
        pair = own.join(adjusted.filter(pl.col("factor") == factor), on="seed", suffix="_adjusted").sort("seed")
        out.append(
            {
                "factor": factor,
                "worlds": pair.height,
                **{
                    value: {
                        "adjusted": mean_of(pair[f"{value}_adjusted"]),
                        "unadjusted": mean_of(pair[value]),
                        "change": mean_of(pair[value] - pair[f"{value}_adjusted"]),
                    }
                    for value in ("spread", "ic")
                },
            }
        )
    return out


def mean_of(values: pl.Series) -> dict[str, float]:
    """Mean over worlds, its standard error, and the standard deviation of one world."""
    known = values.drop_nulls().to_numpy().astype(np.float64)
    sd = float(known.std(ddof=1)) if known.size > 1 else math.nan
    return {"mean": float(known.mean()), "standard_error": sd / math.sqrt(known.size), "sd": sd}


def rejections(p: pl.Series) -> dict[str, Any]:
    """Rejections at 5 % with Wilson's interval and the verdict."""
    found = share((p < LEVEL).fill_null(value=False))
    within = abs(found["rate"] - LEVEL) <= 3.0 * standard_error_of_rate(p.len())
    return {**found, "within": bool(within)}


def share(hits: pl.Series) -> dict[str, Any]:
    """How many worlds, as a count and a rate with Wilson's 95 % interval."""
    count = int(hits.sum())
    interval = wilson_interval(count, hits.len())
    return {"count": count, "rate": float(interval.rate), "low": float(interval.low), "high": float(interval.high)}
