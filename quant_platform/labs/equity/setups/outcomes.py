"""What became of setups: one function for the replay and for the open trades of the live scan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import polars as pl

from quant_platform.contracts.schemas.equity import OUTCOMES
from quant_platform.labs.equity.setups import kernel
from quant_platform.labs.equity.setups.bars import TradedBars
from quant_platform.labs.equity.setups.kernel import Floats, Integers
from quant_platform.labs.equity.setups.setups import session_series
from quant_platform.specification.replay import ReplaySpec

OUTCOME = pl.Enum(OUTCOMES)
_CODES = np.array(
    [
        OUTCOMES.index(name) for name in ("pending", "target", "stop", "timeout", "delisted", "no_entry")
    ],  # by kernel code 0 to 5
    dtype=np.uint32,
)

_OPEN_RESULTS = [kernel.EXIT_PRICE, kernel.GROSS_R, kernel.MAE_R, kernel.MFE_R]
_OPEN_STATES = [kernel.EXIT_POSITION, kernel.BARS_HELD]


@dataclass(frozen=True)
class Outcomes:
    """Results of m setups: prices and R in ``results`` (m, 5), code, positions and bars held in ``states`` (m, 5)."""

    bars: TradedBars
    results: Floats
    states: Integers
    cost_r: Floats

    def without_marks(self) -> Outcomes:
        """Leave out what is not final: the mark of an open trade is no result and would bias every mean."""
        pending = self.states[:, kernel.OUTCOME] == kernel.PENDING
        results, states = self.results.copy(), self.states.copy()
        results[np.ix_(pending, _OPEN_RESULTS)] = np.nan
        states[np.ix_(pending, _OPEN_STATES)] = -1
        return replace(self, results=results, states=states)

    def frame(self) -> pl.DataFrame:
        """Outcome columns of ``replay.candidates``, open trades marked to the last close."""
        sessions = self.bars.sessions
        outcome = _outcomes().gather(_CODES[self.states[:, kernel.OUTCOME]])
        held = self.states[:, kernel.BARS_HELD]
        return pl.DataFrame(
            {
                "outcome": outcome,
                "date_entry": session_series(sessions, self.states[:, kernel.ENTRY_POSITION]),
                "entry_price": _known(self.results[:, kernel.ENTRY_PRICE]),
                "date_exit": session_series(sessions, self.states[:, kernel.EXIT_POSITION]),
                "exit_price": _known(self.results[:, kernel.EXIT_PRICE]),
                "gross_r": _known(self.results[:, kernel.GROSS_R]),
                "realised_r": _known(self.results[:, kernel.GROSS_R] - self.cost_r),
                "bars_held": _known(np.where(held >= 0, held, np.nan)).cast(pl.Int32),
                "mae_r": _known(self.results[:, kernel.MAE_R]),
                "mfe_r": _known(self.results[:, kernel.MFE_R]),
                "resolved_at": session_series(sessions, self.states[:, kernel.RESOLVED_POSITION]),
            }
        )


def follow(
    bars: TradedBars,
    bar: Integers,
    direction: Floats,
    levels: Floats,
    entry_reference: Floats,
    spec: ReplaySpec,
    delisting_return: float | None = None,
) -> Outcomes:
    """Trade setups on the bars after their signal.

    Parameters
    ----------
    bars
        The ticker's traded bars, up to the market's last session.
    bar
        Shape (m,), the bar of each signal.
    direction
        Shape (m,), +1 long or -1 short.
    levels
        Shape (m, 3): stop, target, R in price.
    entry_reference
        Shape (m,), the close of the signal bar; cost in R is ``cost_bps`` over the stop distance in bps of it.
    spec
        Horizon, cost, and after how many sessions without a bar a ticker counts as gone.
    delisting_return
        Return after the last bar of a ticker that went. None, where it is not known, takes the spec's: a long loses
        ``unknown_delisting_loss``, a short gains nothing.

    Notes
    -----
    1. The order is for the open of the session after the signal. No bar on that session, or an open at or beyond stop
       or target: ``no_entry``.
    2. Each later bar: an open at or beyond stop or target exits there, at the open. Then the stop, then the target,
       each at its price: a bar that holds both is a stop. The entry bar is judged from the second rule on.
    3. After ``horizon_sessions`` sessions, the entry session the first: ``timeout`` at the close of the last bar
       inside. Sessions without a bar count, and nothing trades on them.
    4. A ticker whose bars end inside the horizon is ``delisted`` once ``delisted_after_sessions`` market sessions have
       passed since; before that, as while the horizon has not passed, the trade is ``pending``.

    R is the planned risk |entry_reference - stop|, not the distance from the entry: a fair price then has expectation
    zero whatever the overnight gap. **Timing.** ``resolved_at`` is the session whose close settles the outcome: that
    of the exit, or the last of the horizon for a time-out, or the one on which a delisting counts as such.
    """
    results, states = kernel.replay_setups(
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        bars.position,
        bar,
        direction,
        np.ascontiguousarray(levels),
        spec.horizon_sessions,
        bars.last_position,
        spec.delisted_after_sessions,
        _delisting_returns(direction, delisting_return, spec),
    )
    cost_r = spec.cost_bps * entry_reference / (1e4 * levels[:, 2])
    return Outcomes(bars=bars, results=results, states=states, cost_r=cost_r)


@cache  # not on import: a column starts the threads of Polars, which no fork survives
def _outcomes() -> pl.Series:
    return pl.Series(OUTCOMES, dtype=OUTCOME)


def _known(numbers: Floats) -> pl.Series:
    return pl.Series(numbers, nan_to_null=True)


def _delisting_returns(direction: Floats, known: float | None, spec: ReplaySpec) -> Floats:
    """What each trade is given after the last bar: the known return, or the worse of what it may be."""
    if known is not None:
        return np.full(direction.shape, known)
    return np.where(direction > 0.0, -spec.unknown_delisting_loss, 0.0)
