"""The replay on bars that traded: nothing impossible, and no riches that a market would not leave lying about."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.replay.candidates import replay_ticker
from quant_platform.market.calendar import session_array, week_last_sessions
from quant_platform.specification.loading import load_spec
from quant_platform.specification.replay import ReplaySpec
from quant_platform.specification.setups import SetupSpec

SPECS = Path(__file__).resolve().parents[4] / "specs"
TICKERS = ["aapl", "bac", "c", "f", "ge", "ibm", "jnj", "ko", "msft", "pfe", "t", "xom"]


@pytest.mark.real_data
def test_twelve_large_names(shared_data: Path) -> None:
    bars = (
        pl.scan_parquet(shared_data / "us_sp500_daily_2000_2015" / "sp500_members_daily.parquet")
        .filter(pl.col("ticker").is_in(TICKERS))
        .select(
            pl.col("ticker").str.to_uppercase(),
            pl.col("Date").alias("session"),
            *(pl.col(name).cast(pl.Float64).alias(name.lower()) for name in ("Open", "High", "Low", "Close", "Volume")),
        )
        .sort("ticker", "session")
        .collect()
    )
    first, last = bars["session"].min(), bars["session"].max()
    sessions = session_array("XNYS", first, last)
    bars = bars.filter(pl.col("session").is_in(pl.Series(sessions, dtype=pl.Date).implode()))
    setup_spec = load_spec(SPECS / "setups" / "equity.yaml", SetupSpec)
    replay_spec = load_spec(SPECS / "replay" / "equity.yaml", ReplaySpec)
    found = pl.concat(
        replay_ticker(
            rows, setup_spec, replay_spec, signal_sessions=week_last_sessions("XNYS", first, last), sessions=sessions
        )
        for rows in bars.partition_by("ticker")
    )
    table("replay.candidates").schema.validate(found)
    trades = found.filter(pl.col("realised_r").is_not_null())
    assert trades.height > 4000
    # A long and a short of the same levels cannot both be good: together they earn about nothing before cost.
    assert abs(trades["gross_r"].mean()) < 0.06
    assert abs((trades["outcome"] == "target").mean() - trades["target_probability"].mean()) < 0.03
    # An exit lies on or beyond its level, and R follows from entry and exit.
    stopped = trades.filter(pl.col("outcome") == "stop")
    sign = pl.when(pl.col("direction") == "long").then(1.0).otherwise(-1.0)
    assert stopped.select((sign * (pl.col("exit_price") - pl.col("stop")) <= 1e-9).all()).item()
    hit = trades.filter(pl.col("outcome") == "target")
    assert hit.select((sign * (pl.col("exit_price") - pl.col("target")) >= -1e-9).all()).item()
    planned = (pl.col("entry_reference") - pl.col("stop")).abs()
    again = sign * (pl.col("exit_price") - pl.col("entry_price")) / planned
    assert trades.select((again - pl.col("gross_r")).abs().max()).item() < 1e-9
    assert trades.select((pl.col("resolved_at") >= pl.col("date_exit")).all()).item()
    assert trades.select((pl.col("date_entry") == pl.col("date_avail")).all()).item()
    assert trades.select((pl.col("mae_r") <= pl.col("gross_r") + 1e-12).all()).item()
    assert trades.select((pl.col("mfe_r") >= pl.col("gross_r") - 1e-12).all()).item()
