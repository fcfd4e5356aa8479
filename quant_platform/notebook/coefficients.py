"""The rank information coefficient of two frames, with errors that do not lie about overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import SchemaViolation, StatisticError
from quant_platform.notebook.frames import as_polars, html_of
from quant_platform.reports.charts.figures import Words
from quant_platform.statistics.overlap import ewc_test, nonoverlapping_test
from quant_platform.statistics.ranks import rank_ic

Floats = npt.NDArray[np.float64]
_SECURITY, _SESSION = ("security_id", "ticker"), ("session", "date_ret", "date")


@dataclass(frozen=True, eq=False)
class InformationCoefficient:
    """Rank IC of a signal with the returns after it.

    Attributes
    ----------
    by_date
        ``date_sig, ic, names``; ``ic`` is null where too few names have both.
    horizon, entry_lag
        Sessions that are earned, and sessions between the signal's close and the close at which it is traded.
    mean
        Of all dates.
    n, n_independent
        Dates with an IC, and non-overlapping windows they are worth.
    t_nonoverlapping, p_nonoverlapping
        Primary test; see `statistics.overlap`.
    t_ewc, p_ewc
        Second opinion.
    """

    by_date: pl.DataFrame
    horizon: int
    entry_lag: int
    mean: float
    n: int
    n_independent: int
    t_nonoverlapping: float
    p_nonoverlapping: float
    t_ewc: float
    p_ewc: float

    def to_frame(self) -> pl.DataFrame:
        """Return the ICs by date."""
        return self.by_date

    def plot(self) -> Any:
        """Draw the sum of the ICs over time: a steady climb is an edge that lasts."""
        from quant_platform.reports.charts import builders
        from quant_platform.reports.charts.builders import Field

        held = self.by_date.drop_nulls("ic").with_columns(pl.col("ic").cum_sum().alias("sum"))
        return builders.lines(
            held.select("date_sig", "sum"),
            Words("Cumulative IC", f"Sum of {held.height} rank ICs, horizon {self.horizon}.", note=self._said()),
            x=Field("date_sig", "date_sig", "date"),
            y=Field("sum", "sum of ICs"),
            at=0.0,
        ).chart

    def _said(self) -> str:
        return (
            f"mean {self.mean:.4f} over {self.n} dates, {self.n_independent} independent; "
            f"t {self.t_nonoverlapping:.2f} (p {self.p_nonoverlapping:.3f}), EWC t {self.t_ewc:.2f}"
        )

    def _repr_html_(self) -> str:
        return html_of(f"Rank IC, horizon {self.horizon}", self._said(), self.by_date.drop_nulls("ic"))


def information_coefficient(
    signal: Any, returns: Any, *, horizon: int = 1, entry_lag: int = 1, min_names: int = 20
) -> InformationCoefficient:
    """Rank IC of a signal, date by date, with tests of its mean.

    Parameters
    ----------
    signal
        ``security_id`` (or ``ticker``), ``date_sig`` and ``signal``; Polars or pandas.
    returns
        ``ticker`` (or ``security_id``), ``session`` and ``ret``, the simple return *of* the session from the close
        before, as in ``suite.returns``. Not shifted: this function does that.
    horizon
        Sessions that are earned.
    entry_lag
        Sessions between the close that the signal has seen and the close at which it is traded, at least 1.
    min_names
        Fewest names of a date with both.

    Returns
    -------
    InformationCoefficient

    Raises
    ------
    SchemaViolation
        When a column is missing, a pair of security and date stands twice, or a signal is dated on no session.
    StatisticError
        When ``horizon`` or ``entry_lag`` is below 1.

    Notes
    -----
    **Timing.** A signal of session t is traded at the close of t + ``entry_lag`` and earns the sessions after that.
    **Missing values.** A name without a return in any session of its window has no pair. The ICs are on the grid of the
    signal's dates; windows overlap where ``horizon`` is longer than the usual step between them, and the tests know.
    """
    for value, what in ((horizon, "horizon"), (entry_lag, "entry_lag")):
        if value < 1:
            raise StatisticError(f"{what} was {value}, at least 1 is needed", where=what)
    left = _long(as_polars(signal, "a signal"), _SECURITY, ("date_sig",), "signal")
    right = _long(as_polars(returns, "returns"), _SECURITY, _SESSION, "ret")
    sessions = right["day"].unique().sort()
    names = right["name"].unique().sort()
    outside = left.filter(~pl.col("day").is_in(sessions.implode()))
    if outside.height:
        raise SchemaViolation(
            "signal dates are not among the sessions of the returns",
            where="date_sig",
            how_many=f"{outside.height} of {left.height} rows",
            rows=outside.select("name", "day"),
            action="cut the signal to the span of the returns, or date it on sessions",
        )
    values, earned = _dense(left, sessions, names), _dense(right, sessions, names)
    forward = _forward(earned, horizon, entry_lag)
    dates = np.flatnonzero(np.isfinite(values).any(axis=1))
    ic = rank_ic(values[dates], forward[dates], min_names=min_names)
    both = (np.isfinite(values[dates]) & np.isfinite(forward[dates])).sum(axis=1)
    step = float(np.median(np.diff(dates))) if dates.size > 1 else 1.0
    overlap = math.ceil(horizon / step)
    primary, second = nonoverlapping_test(ic, overlap), ewc_test(ic, overlap=overlap)
    by_date = pl.DataFrame(
        {"date_sig": sessions.gather(dates), "ic": pl.Series(ic, nan_to_null=True), "names": pl.Series(both)}
    )
    return InformationCoefficient(
        by_date=by_date,
        horizon=horizon,
        entry_lag=entry_lag,
        mean=primary.mean,
        n=primary.n,
        n_independent=primary.n_independent,
        t_nonoverlapping=primary.t,
        p_nonoverlapping=primary.p,
        t_ewc=second.t,
        p_ewc=second.p,
    )


def _long(frame: pl.DataFrame, names: tuple[str, ...], days: tuple[str, ...], value: str) -> pl.DataFrame:
    """``name, day, value`` without missing values."""
    found = [next((one for one in wanted if one in frame.columns), None) for wanted in (names, days, (value,))]
    if None in found:
        lacking = [" or ".join(w) for w, one in zip((names, days, (value,)), found, strict=True) if one is None]
        raise SchemaViolation(
            f"the frame lacks {', '.join(lacking)}", how_many=f"it has {', '.join(frame.columns)[:200]}"
        )
    name, day, number = (str(one) for one in found)
    long = frame.select(
        pl.col(name).cast(pl.String).alias("name"),
        pl.col(day).cast(pl.Date).alias("day"),
        pl.col(number).cast(pl.Float64).fill_nan(None).alias("value"),
    ).drop_nulls()
    twice = long.filter(pl.struct("name", "day").is_duplicated())
    if twice.height:
        raise SchemaViolation(
            f"{name} and {day} stand twice",
            where=value,
            how_many=f"{twice.height} of {long.height} rows",
            rows=twice,
            action="keep one row of each",
        )
    return long


def _dense(long: pl.DataFrame, sessions: pl.Series, names: pl.Series) -> Floats:
    out = np.full((len(sessions), len(names)), np.nan)
    kept = long.filter(pl.col("name").is_in(names.implode()))
    out[sessions.search_sorted(kept["day"]).to_numpy(), names.search_sorted(kept["name"]).to_numpy()] = kept["value"]
    return out


def _forward(earned: Floats, horizon: int, entry_lag: int) -> Floats:
    """Compound return of the ``horizon`` sessions after the entry; NaN where one of them is missing or beyond."""
    out = np.full(earned.shape, np.nan)
    first = entry_lag + 1
    rows = earned.shape[0] - entry_lag - horizon
    if rows > 0:
        grown = np.ones((rows, earned.shape[1]))
        for k in range(horizon):
            grown *= 1.0 + earned[first + k : first + k + rows]
        out[:rows] = grown - 1.0
    return out
