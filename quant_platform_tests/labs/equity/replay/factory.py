"""Rows of ``replay.qualified`` made by hand or at random, for the rooms that only judge them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from quant_platform.contracts.tables import table

MONDAY = date(2021, 1, 4)
SCHEMA = table("replay.qualified").schema


def row(week: int, outcome: str, realised_r: float | None, **changes: Any) -> dict[str, Any]:
    monday = MONDAY + timedelta(weeks=week)
    friday = monday + timedelta(days=4)
    return {
        "week": monday,
        "ticker": "AAA",
        "date_sig": friday,
        "direction": "long",
        "momentum_percentile": 90.0,
        "rr": 2.0,
        "target_probability": 0.3,
        "expected_value_r": 0.0,
        "confidence": 60.0,
        "conflict": False,
        "qualified": True,
        "refusals": [],
        "outcome": outcome,
        "realised_r": realised_r,
        "bars_held": None if realised_r is None else 4,
        "resolved_at": None if outcome == "pending" else friday + timedelta(days=3),
        **changes,
    }


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return SCHEMA.validate(pl.DataFrame(list(rows), schema=SCHEMA.create_empty().schema))


def random_rows(seed: int, weeks: int = 60, names: int = 20, slope: float = 1.0) -> pl.DataFrame:
    """Trades whose target comes with odds ``slope`` times the stated log odds; weeks share a shock in R."""
    rng = np.random.default_rng(seed)
    rows = []
    for week in range(weeks):
        shock = 0.3 * rng.standard_normal()
        for name in range(names):
            p = float(rng.uniform(0.1, 0.6))
            rr = 1.0 / p - 1.0
            hit = rng.random() < 1.0 / (1.0 + (1.0 / p - 1.0) ** slope)
            rows.append(
                row(
                    week,
                    "target" if hit else "stop",
                    (rr if hit else -1.0) + shock,
                    ticker=f"T{name:03}",
                    direction="long" if name % 2 else "short",
                    rr=rr,
                    target_probability=p,
                    confidence=float(rng.uniform(30, 90)),
                    momentum_percentile=float(rng.uniform(0, 100)) if name % 5 else None,
                )
            )
    return frame(*rows)
