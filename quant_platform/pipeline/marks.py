"""The stage of the intraday run: what open setups are worth in the session that is running."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl

from quant_platform.contracts.schemas.equity import OUTCOMES
from quant_platform.contracts.schemas.raw import UTC_STAMP
from quant_platform.contracts.tables import table
from quant_platform.labs.equity.setups.live import evaluate_open_setups
from quant_platform.market.calendar import Days
from quant_platform.market.cleaning import clean_bars
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sessions import closing_time, last_final, market_sessions
from quant_platform.pipeline.sources import source_of
from quant_platform.pipeline.stage import FrameStage, Reads
from quant_platform.specification import clock
from quant_platform.specification.cleaning import CleaningSpec
from quant_platform.specification.replay import ReplaySpec


def marks(home: Home, keys: Sequence[str], *, scans: pl.LazyFrame) -> pl.DataFrame:
    """Last price and R so far of the setups that are open, on sessions of which the newest may still be running.

    The running bar is asked of the source and cleaned with the stored ones; it goes into no other table. A ticker that
    has not traded in the running session yet is marked to its last close.
    """
    setups = scans.filter("qualified").collect()
    return pl.concat(_marks_on(home, date.fromisoformat(key), setups) for key in keys)


def _marks_on(home: Home, day: date, setups: pl.DataFrame) -> pl.DataFrame:
    replay, final = home.load("replay/equity.yaml", ReplaySpec), min(day, last_final(home))
    past = market_sessions(home)
    past = past[past <= np.datetime64(final)]
    recent = setups.filter(pl.col("day") < day, pl.col("day") >= _first_open(past, replay))
    found = [_marks_of(home, day, str(name), rows, replay, past) for (name,), rows in recent.group_by("ticker")]
    if not found:
        return table("live.marks").schema.create_empty()
    return pl.concat(found).sort("date_sig", "ticker", "direction")


def _first_open(past: Days, replay: ReplaySpec) -> date:
    """The earliest session whose setups can still be open after the last one of some sessions."""
    return date.fromisoformat(str(past[max(0, len(past) - replay.horizon_sessions - replay.delisted_after_sessions)]))


def _marks_of(home: Home, day: date, ticker: str, setups: pl.DataFrame, replay: ReplaySpec, past: Days) -> pl.DataFrame:
    raw = home.lake.read("raw.equity_bars", [ticker])
    actions = home.lake.read("raw.corporate_actions", [ticker])
    final, as_of = date.fromisoformat(str(past[-1])), clock.now()
    running = raw.clear()
    if day > final:
        running = source_of(home).bars(ticker, start=day, end=day).select(raw.columns)
        actions = source_of(home).actions(ticker)
    if running.is_empty():
        day_seen, sessions, raw = final, past, raw.filter(pl.col("session") <= final)
        as_of = closing_time(home, final)
    else:
        day_seen, sessions = day, np.append(past, np.datetime64(day))
        raw = pl.concat([raw.filter(pl.col("session") < day), running])
    span = sessions[sessions >= raw["session"].to_numpy().astype("datetime64[D]").min()] if raw.height else sessions
    bars = clean_bars(raw, actions, home.load("cleaning/equity.yaml", CleaningSpec), span).bars
    ends = actions.filter(pl.col("kind").cast(pl.String) == "delisting").select("ticker", "value")
    outcomes = evaluate_open_setups(
        day_seen, setups, {ticker: bars}, replay, sessions=sessions, delisting_returns=dict(ends.iter_rows())
    )
    traded = bars.filter(pl.col("close").is_not_nan())
    open_still = pl.col("outcome").cast(pl.String) == "timeout" if day_seen > final else pl.lit(value=False)
    return outcomes.select(
        day=pl.lit(day),
        date_sig="date_sig",
        ticker="ticker",
        direction="direction",
        # The horizon ends with the close of its last session, which is not there yet while that session runs.
        outcome=pl.when(open_still).then(pl.lit("pending")).otherwise(pl.col("outcome").cast(pl.String)),
        entry_price="entry_price",
        last_price=pl.lit(traded["close"][-1] if traded.height else None, dtype=pl.Float64),
        live_rr="realised_r",
        as_of=pl.lit(as_of).cast(UTC_STAMP),
    ).cast({"outcome": pl.Enum(OUTCOMES)})


MARKS = FrameStage(
    outputs=("live.marks",),
    compute=marks,
    specs=("replay/equity.yaml", "cleaning/equity.yaml", "sources/{source}.yaml"),
    kinds=("{source}", "parquet"),
    inputs={"scans": Reads("live.scan", "all")},
    deps=("raw.equity_bars", "raw.corporate_actions"),
    from_source=True,
    together=True,
    running=True,
)
