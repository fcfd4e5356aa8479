"""Small raw frames for the tests of this room."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from quant_platform.specification.cleaning import CleaningSpec
from quant_platform.specification.loading import load_spec

Bar = tuple[Any, ...]

SPECS = Path(__file__).resolve().parents[2] / "specs"


def cleaning_spec() -> CleaningSpec:
    return load_spec(SPECS / "cleaning" / "equity.yaml", CleaningSpec)


def raw_bars(rows: Sequence[Bar], *, ticker: str = "AAA", adjustment: str = "none") -> pl.DataFrame:
    names = ("session", "open", "high", "low", "close", "volume")
    schema = {"session": pl.Date, **dict.fromkeys(names[1:], pl.Float64)}
    frame = pl.DataFrame(rows, schema=schema, orient="row").with_row_index("source_row")
    return frame.select(
        pl.lit(ticker).alias("ticker"),
        pl.col("source_row").cast(pl.Int64),
        *names,
        pl.lit(adjustment).alias("adjustment"),
        pl.lit("test").alias("source"),
    )


def flat(days: Sequence[date], close: float = 100.0, *, wiggle: float = 0.01) -> list[Bar]:
    """Bars around one price, each a little different, so that no rule about repetition fires."""
    return [
        (
            day,
            close * (1 + wiggle * (k % 3) / 10),
            close * (1 + wiggle),
            close * (1 - wiggle),
            close * (1 + wiggle * (k % 5 - 2) / 10),
            1000.0 + k,
        )
        for k, day in enumerate(days)
    ]


def actions(rows: Sequence[tuple[date, str, float]] = (), ticker: str = "AAA") -> pl.DataFrame:
    schema = {
        "ticker": pl.String,
        "ex_date": pl.Date,
        "kind": pl.String,
        "value": pl.Float64,
        "known_at": pl.Datetime("us", "UTC"),
        "source": pl.String,
    }
    return pl.DataFrame(
        [
            (ticker, day, kind, value, datetime(day.year, day.month, day.day, tzinfo=UTC), "test")
            for day, kind, value in rows
        ],
        schema=schema,
        orient="row",
    )
