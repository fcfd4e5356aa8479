"""Today's setups and the state of earlier ones, by the functions of the replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.setups.bars import Sessions, TradedBars, as_sessions, traded_bars
from quant_platform.labs.equity.setups.gate import apply_gate
from quant_platform.labs.equity.setups.outcomes import follow
from quant_platform.labs.equity.setups.setups import find_setups
from quant_platform.specification.activation import ActivationSpec
from quant_platform.specification.replay import ReplaySpec
from quant_platform.specification.setups import SetupSpec

_SCAN = table("live.scan").schema
_OUTCOMES = table("live.outcomes").schema


def scan(
    day: date,
    bars_by_ticker: Mapping[str, pl.DataFrame],
    setup_spec: SetupSpec,
    replay_spec: ReplaySpec,
    activation: ActivationSpec,
    *,
    sessions: Sequence[date] | Sessions,
    momentum: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Setups at the close of a day, with the momentum percentile attached and the gate applied.

    Parameters
    ----------
    day
        The session.
    bars_by_ticker
        Rows of ``clean.equity_bars`` of each ticker that may be traded; bars after ``day`` are not looked at.
    setup_spec, replay_spec, activation
        The specs.
    sessions
        The market's sessions, up to ``day`` or beyond it.
    momentum
        Ticker and percentile at that close, from ``signals.momentum_rank``; None leaves the percentile off.

    Returns
    -------
    DataFrame
        Schema ``live.scan``, sorted by ticker and direction.
    """
    present = {ticker: [day] for ticker in bars_by_ticker}
    known = None if momentum is None else momentum.select("ticker", "percentile", date_sig=pl.lit(day))
    return scan_days(present, bars_by_ticker, setup_spec, replay_spec, activation, sessions=sessions, momentum=known)


def scan_days(
    present: Mapping[str, Sequence[date]],
    bars_by_ticker: Mapping[str, pl.DataFrame],
    setup_spec: SetupSpec,
    replay_spec: ReplaySpec,
    activation: ActivationSpec,
    *,
    sessions: Sequence[date] | Sessions,
    momentum: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """:func:`scan` of several days in one pass over each ticker; every day sees the bars up to its own close.

    Parameters
    ----------
    present
        Days on which each ticker may be traded, ascending.
    bars_by_ticker, setup_spec, replay_spec, activation, sessions
        As in :func:`scan`.
    momentum
        Ticker, date_sig and percentile.

    Returns
    -------
    DataFrame
        Schema ``live.scan``, sorted by day, ticker and direction.
    """
    found = []
    for ticker, days in sorted(present.items()):
        bars = traded_bars(bars_by_ticker[ticker], _until(days[-1], sessions))
        found.append(find_setups(bars, list(days), setup_spec, replay_spec.horizon_sessions).frame())
    if not found:
        return _SCAN.create_empty()
    setups = pl.concat(found).with_columns(day=pl.col("date_sig"))
    if momentum is not None:
        percentiles = momentum.select("ticker", "percentile", "date_sig")
        setups = setups.join(percentiles, on=["ticker", "date_sig"], how="left", maintain_order="left")
    return apply_gate(setups, activation).select(_SCAN.column_names()).sort("day", "ticker", "direction")


def evaluate_open_setups(
    day: date,
    scans: pl.DataFrame,
    bars_by_ticker: Mapping[str, pl.DataFrame],
    replay_spec: ReplaySpec,
    *,
    sessions: Sequence[date] | Sessions,
    delisting_returns: Mapping[str, float] | None = None,
) -> pl.DataFrame:
    """Evaluate the qualified setups of earlier scans against the bars up to a day.

    Parameters
    ----------
    day
        The session up to whose close bars are used.
    scans
        Rows of ``live.scan``; the qualified ones of days before ``day`` are followed.
    bars_by_ticker
        Rows of ``clean.equity_bars``.
    replay_spec
        How a setup is traded.
    sessions
        The market's sessions, up to ``day`` or beyond it.
    delisting_returns
        By ticker, where known.

    Returns
    -------
    DataFrame
        Schema ``live.outcomes``: the setups that are open after ``day`` and those that were resolved on it. An open one
        carries its mark to the last close.

    Notes
    -----
    Adjusted prices of the past are rescaled by every later dividend and split. The levels of a scan are therefore moved
    by the ratio of today's adjusted close of the scan's day to the one the scan saw.
    """
    happened = _until(day, sessions)
    waiting = scans.filter(pl.col("qualified"), pl.col("day") < day).sort("day", "ticker", "direction")
    known = delisting_returns or {}
    frames = [
        _follow_ticker(traded_bars(bars_by_ticker[ticker], happened), rows, replay_spec, known.get(ticker))
        for (ticker,), rows in waiting.group_by("ticker", maintain_order=True)
        if isinstance(ticker, str) and ticker in bars_by_ticker
    ]
    if not frames:
        return _OUTCOMES.create_empty()
    return (
        pl.concat(frames)
        .filter(pl.col("resolved_at").is_null() | (pl.col("resolved_at") == day))
        .with_columns(day=pl.lit(day))
        .select(_OUTCOMES.column_names())
        .sort("date_sig", "ticker", "direction")
    )


def _follow_ticker(
    bars: TradedBars, rows: pl.DataFrame, replay_spec: ReplaySpec, delisting_return: float | None
) -> pl.DataFrame:
    own = bars.sessions[bars.position]
    place = np.searchsorted(own, rows["day"].to_numpy().astype("datetime64[D]"))
    traded = place < len(own)
    traded[traded] = own[place[traded]] == rows["day"].to_numpy().astype("datetime64[D]")[traded]
    rows, place = rows.filter(pl.Series(traded)), place[traded].astype(np.int64)
    scale = bars.close[place] / rows["entry_reference"].to_numpy()
    stop, target = rows["stop"].to_numpy() * scale, rows["target"].to_numpy() * scale
    reference = bars.close[place]
    direction = np.where(rows["direction"].cast(pl.String).to_numpy() == "long", 1.0, -1.0)
    levels = np.column_stack([stop, target, np.abs(reference - stop)])
    outcomes = follow(bars, place, direction, levels, reference, replay_spec, delisting_return)
    keys = rows.select(pl.col("day").alias("date_sig"), "ticker", "direction")
    return pl.concat([keys, outcomes.frame()], how="horizontal")


def _until(day: date, sessions: Sequence[date] | Sessions) -> Sessions:
    market = as_sessions(sessions)
    return as_sessions(market[market <= np.datetime64(day, "D")])
