"""Setups of one ticker at chosen sessions: what stood on the table at the close, and at what odds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.contracts.columns import dates_series
from quant_platform.contracts.schemas.equity import DIRECTIONS
from quant_platform.labs.equity.setups import kernel
from quant_platform.labs.equity.setups.bars import Sessions, TradedBars, as_sessions
from quant_platform.labs.equity.setups.kernel import Floats, Integers, SetupParameters
from quant_platform.specification.setups import SetupSpec

DIRECTION = pl.Enum(DIRECTIONS)


@dataclass(frozen=True)
class Setups:
    """The valid setups of one ticker, ordered by signal bar, long before short.

    ``bar`` and ``direction`` (+1, -1) have shape (m,); ``values`` has shape (m, kernel.SETUP_WIDTH); ``conflict`` is
    true where the other direction has a valid setup at the same bar.
    """

    bars: TradedBars
    bar: Integers
    direction: Floats
    values: Floats
    conflict: NDArray[np.bool_]

    def frame(self) -> pl.DataFrame:
        """Setup columns of ``replay.candidates``: everything that is known at the close of ``date_sig``."""
        v = self.values
        sessions = self.bars.sessions
        position = self.bars.position[self.bar]
        return pl.DataFrame(
            {
                "ticker": pl.Series([self.bars.ticker]).new_from_index(0, len(self.bar)),
                "date_sig": dates_series(sessions[position]),
                "direction": direction_series(self.direction),
                "date_avail": session_series(sessions, np.where(position < self.bars.last_position, position + 1, -1)),
                "entry_reference": v[:, kernel.ENTRY_REFERENCE],
                "stop": v[:, kernel.STOP_PRICE],
                "target": v[:, kernel.TARGET_PRICE],
                "target_2": pl.Series(v[:, kernel.TARGET_2_PRICE], nan_to_null=True),
                "atr": v[:, kernel.ATR],
                "rr": v[:, kernel.REWARD_RISK],
                "stop_distance_bps": 1e4 * v[:, kernel.RISK] / v[:, kernel.ENTRY_REFERENCE],
                "volatility_daily": v[:, kernel.VOLATILITY],
                "target_probability": v[:, kernel.P_TARGET],
                "stop_probability": v[:, kernel.P_STOP],
                "timeout_probability": v[:, kernel.P_TIMEOUT],
                "expected_value_r": v[:, kernel.EXPECTED_VALUE],
                "confidence": v[:, kernel.CONFIDENCE],
                "conflict": self.conflict,
            }
        )


def parameters(spec: SetupSpec, horizon_sessions: int) -> SetupParameters:
    """The spec as the numbers the kernel takes."""
    weights, offset = spec.confidence, spec.probability_offset
    return SetupParameters(
        pivot_bars=spec.pivot_bars,
        lookback_bars=spec.lookback_bars,
        minimum_history_bars=spec.minimum_history_bars,
        atr_window_bars=spec.atr_window_bars,
        cluster_atr=spec.cluster_atr,
        stop_buffer_atr=spec.stop_buffer_atr,
        minimum_rr=spec.minimum_rr,
        minimum_stop_atr=spec.minimum_stop_atr,
        volatility_window_bars=spec.volatility_window_bars,
        volume_window_bars=spec.volume_window_bars,
        horizon_sessions=horizon_sessions,
        weight_touches=weights.touches,
        weight_recency=weights.recency,
        weight_volume=weights.volume,
        touches_full=float(weights.touches_full),
        recency_half_life_bars=weights.recency_half_life_bars,
        relative_volume_full=weights.relative_volume_full,
        offset_intercept=offset.intercept,
        offset_log_rr=offset.log_rr,
        offset_confidence=offset.confidence,
        offset_short=offset.short,
    )


def find_setups(
    bars: TradedBars, signal_sessions: Sequence[date] | Sessions, spec: SetupSpec, horizon_sessions: int
) -> Setups:
    """Rebuild the setups of both directions at each signal session from the bars up to it.

    Parameters
    ----------
    bars
        The ticker's traded bars.
    signal_sessions
        Ascending sessions. One on which the ticker did not trade has no setup.
    spec
        The setup spec.
    horizon_sessions
        Horizon of the probabilities, from the replay spec.

    Notes
    -----
    **Timing.** Values at a session depend on bars up to that session only; a swing pivot of bar j takes part from bar
    j + ``pivot_bars`` on. **Missing values.** No setup where the history is shorter than ``minimum_history_bars``, the
    price has not moved, a level above or below is missing, or the stop would not be positive.
    """
    signal_bars = bars.bars_on(as_sessions(signal_sessions))
    values = kernel.find_setups(
        bars.high, bars.low, bars.close, bars.volume, signal_bars, parameters(spec, horizon_sessions)
    )
    valid = ~np.isnan(values[:, kernel.RISK])
    both = np.repeat(valid[::2] & valid[1::2], 2)
    return Setups(
        bars=bars,
        bar=np.repeat(signal_bars, 2)[valid],
        direction=np.tile([1.0, -1.0], len(signal_bars))[valid],
        values=values[valid],
        conflict=both[valid],
    )


@cache  # not on import: a column starts the threads of Polars, which no fork survives
def _directions() -> pl.Series:
    return pl.Series(DIRECTIONS, dtype=DIRECTION)


def direction_series(direction: Floats) -> pl.Series:
    """+1 and -1 as the enum long and short."""
    return _directions().gather((direction < 0.0).astype(np.uint32))


def session_series(sessions: Sessions, position: Integers) -> pl.Series:
    """Dates at the positions; null where the position is -1."""
    dates = np.full(len(position), np.datetime64("NaT"), dtype="datetime64[D]")
    known = position >= 0
    dates[known] = sessions[position[known]]
    return dates_series(dates)
