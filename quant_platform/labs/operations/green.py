"""Signals with a green verdict as paper orders: hold the ends of the ranking, leave what has left them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from quant_platform.specification.operations import SignalsSpec


@dataclass(frozen=True)
class SignalMoves:
    """What a signal asks for after a session.

    Attributes
    ----------
    enter
        Direction by ticker, of names to open.
    leave
        Direction by ticker, of names held that no longer stand at their end of the ranking.
    weight
        Gross share of equity of each entry.
    """

    enter: Mapping[str, str]
    leave: Mapping[str, str]
    weight: float


def green_signals(verdicts: pl.DataFrame, day: date) -> list[str]:
    """Names of the signals whose newest verdict that could be known on a day is green.

    Parameters
    ----------
    verdicts
        Rows of ``suite.verdict`` with ``seen_to``, the last session whose returns the verdict has seen; null where
        that is not known, and then it counts on no day.
    day
        Session after whose close is decided.

    Notes
    -----
    **Timing.** A verdict counts from the session after the last one that it has seen: orders of a past week must not be
    given to a signal because it did well in that week.
    """
    known = verdicts.filter(pl.col("seen_to") < day)
    newest = known.sort("snapshot_id").group_by("signal", maintain_order=True).agg(pl.col("verdict").last())
    return sorted(newest.filter(pl.col("verdict").cast(pl.String) == "green")["signal"].to_list())


def route_signal(values: pl.DataFrame, held: Mapping[str, str], spec: SignalsSpec) -> SignalMoves:
    """Names to open and to leave.

    Parameters
    ----------
    values
        Ticker and value of one session; rows without a value are left out.
    held
        Direction by ticker of what the signal holds or has on order.
    spec
        Gross weight, and the share of names on each side.

    Notes
    -----
    Ties are broken by ticker. With fewer names than make one on each side nothing is opened and everything is left.
    """
    ranked = values.drop_nulls("value").filter(pl.col("value").is_not_nan()).sort("value", "ticker")
    side = int(ranked.height * spec.fractile)
    wanted = {str(ticker): "short" for ticker in ranked["ticker"].head(side)} if side else {}
    wanted |= {str(ticker): "long" for ticker in ranked["ticker"].tail(side)} if side else {}
    leave = {ticker: direction for ticker, direction in held.items() if wanted.get(ticker) != direction}
    enter = {ticker: direction for ticker, direction in sorted(wanted.items()) if ticker not in held}
    return SignalMoves(enter, leave, spec.gross / (2 * side) if side else 0.0)
