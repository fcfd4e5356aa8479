"""Small frames and tables that the tests of the lake write."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import dataframely as dy
import polars as pl

from quant_platform.contracts.tables import TABLES, Table
from quant_platform.lake import Provenance

BARS = "clean.equity_bars"
FEATURES = "features.equity"
SECURITIES = "raw.securities"


class SymbolMonths(dy.Schema):
    """A table with two dimensions."""

    symbol = dy.String(primary_key=True, description="Symbol.")
    month = dy.String(primary_key=True, description="Month.")
    value = dy.Float64(description="A number.")


class ListedTags(dy.Schema):
    """A table with a list and a flag."""

    name = dy.String(primary_key=True, description="Name.")
    tags = dy.List(dy.String(), description="Tags.")
    flag = dy.Bool(nullable=True, description="Flag.")


TEST_TABLES = {
    **TABLES,
    "test.symbol_months": Table("test.symbol_months", SymbolMonths, ("symbol", "month")),
    "test.tags": Table("test.tags", ListedTags, ()),
}


def provenance(code_version: str = "1", run_id: str = "run-1", **inputs: str) -> Provenance:
    return Provenance(
        asset="an_asset",
        code_version=code_version,
        ontology_hash="onto",
        ontology_files={"cleaning/equity.yaml": "abc"},
        run_id=run_id,
        inputs=inputs,
        simulated=True,
        extra={"note": "x"},
    )


def bars(ticker: str, closes: Sequence[float], start: dt.date = dt.date(2020, 1, 6)) -> pl.DataFrame:
    n = len(closes)
    prices = pl.Series(closes, dtype=pl.Float64)
    return pl.DataFrame(
        {
            "ticker": pl.Series([ticker] * n, dtype=pl.String),
            "session": pl.Series([start + dt.timedelta(days=i) for i in range(n)], dtype=pl.Date),
            **dict.fromkeys(("open", "high", "low", "close"), prices),
            "volume": pl.Series([1000.0] * n, dtype=pl.Float64),
            "close_unadjusted": prices,
            "dollar_volume": prices * 1000.0,
            "adjustment_factor": pl.Series([1.0] * n, dtype=pl.Float64),
            "missing_reason": pl.Series([None] * n, dtype=TABLES[BARS].schema.create_empty().schema["missing_reason"]),
            "suspect": pl.Series([None] * n, dtype=pl.String),
        }
    )


def features(ticker: str, n: int, **columns: float) -> pl.DataFrame:
    return bars(ticker, [1.0] * n).select("ticker", "session", **{k: pl.lit(v) for k, v in columns.items()})


def securities(*tickers: str) -> pl.DataFrame:
    empty = TABLES[SECURITIES].schema.create_empty()
    rows = [
        {
            "ticker": ticker,
            "universe": "us",
            "start_date": dt.date(2020, 1, 1),
            "end_date": None,
            "name": None,
            "sector": None,
            "source": "test",
            "asset_class": "US_EQUITY",
        }
        for ticker in tickers
    ]
    return pl.DataFrame(rows, schema=empty.schema)
