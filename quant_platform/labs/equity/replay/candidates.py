"""All setups of a ticker's history, rebuilt week by week, with what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from quant_platform.labs.equity.setups import kernel
from quant_platform.labs.equity.setups.bars import Sessions, traded_bars
from quant_platform.labs.equity.setups.outcomes import follow
from quant_platform.labs.equity.setups.setups import find_setups
from quant_platform.specification.replay import ReplaySpec
from quant_platform.specification.setups import SetupSpec


def replay_ticker(
    bars: pl.DataFrame,
    setup_spec: SetupSpec,
    replay_spec: ReplaySpec,
    *,
    signal_sessions: Sequence[date] | Sessions,
    sessions: Sequence[date] | Sessions,
    delisting_return: float | None = None,
) -> pl.DataFrame:
    """Rebuild the setups of both directions at each signal session and trade them.

    Parameters
    ----------
    bars
        Rows of ``clean.equity_bars`` of one ticker, ascending.
    setup_spec, replay_spec
        The specs.
    signal_sessions
        Sessions at whose close setups are rebuilt, ascending: ``market.calendar.week_last_sessions`` for the weekly
        replay.
    sessions
        The market's sessions, from the first bar at the latest, to the last one that has happened.
    delisting_return
        Return after the last bar, where it is known.

    Returns
    -------
    DataFrame
        Schema ``replay.candidates``, sorted by ``date_sig`` and direction; no row where no setup is valid.

    Notes
    -----
    **Timing.** Columns up to ``conflict`` have seen bars up to ``date_sig``; the others are known at ``resolved_at``.
    """
    traded = traded_bars(bars, sessions)
    setups = find_setups(traded, signal_sessions, setup_spec, replay_spec.horizon_sessions)
    values = setups.values
    outcomes = follow(
        traded,
        setups.bar,
        setups.direction,
        values[:, [kernel.STOP_PRICE, kernel.TARGET_PRICE, kernel.RISK]],
        values[:, kernel.ENTRY_REFERENCE],
        replay_spec,
        delisting_return,
    )
    return pl.concat([setups.frame(), outcomes.without_marks().frame()], how="horizontal")
