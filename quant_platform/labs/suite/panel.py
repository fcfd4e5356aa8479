"""The dense panel of a suite: everything about a market that a book, an IC or a residual needs, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import NotAvailable
from quant_platform.contracts.ordering import sorted_by
from quant_platform.labs.suite.kernels import forward_return_rows, median_distance_rows
from quant_platform.labs.suite.ranking import Ranked, rank_panel, row_blocks
from quant_platform.labs.suite.sessions import SessionClock, entry_rows

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int16]
Bools = npt.NDArray[np.bool_]
Days = npt.NDArray[np.datetime64]

# Why a panel lacks what it lacks, whatever it is made of.
NOT_KNOWN = {
    "market_cap": "the data have no market caps and no shares outstanding",
    "open": "the data have no opens",
    "adv": "the data have no traded values",
    "industry": "the data have no sectors",
}


@dataclass(frozen=True)
class Panel:
    """Arrays of shape ``[sessions, names]``.

    Attributes
    ----------
    sessions
        ``[T]`` consecutive sessions, ``datetime64[D]``.
    tickers
        ``[N]`` names, delisted ones included.
    returns
        Simple total return from the last price before to this close; NaN without one. On the row after the last price
        of a delisted name stands the return of its delisting; NaN where nobody says what that was.
    open_returns
        From the open of the session before to this open; None where opens are not known.
    intraday
        From the open to the close of the session; None where opens are not known.
    priced
        The name has a price on that row, so that it can be traded.
    universe
        It has a price and belongs to the universe: every cross-section is taken over these.
    last
        ``[N]`` row of the last price of a name that was delisted; ``T`` for the others.
    adv, volatility
        Average traded value per session and volatility per session, trailing windows that end on the row.
    market_cap
        Price times shares outstanding; None where shares are not known.
    cap_bucket
        Code of the cap bucket; 0 is unknown, then small to large.
    cap_buckets
        Names of the codes.
    industry
        Code of the industry, -1 where it is not known.
    industries
        Names of the codes; empty where there are none.
    exposures
        Style exposures by name, standardised by date; NaN where unknown.
    not_available
        What the data cannot carry, and why.
    periods_per_year
        Rows per year, for annual figures.
    snapshot_id, simulated
        Where it came from.
    funding_unknown_hours
        Hours since the last price for which nobody knows what funding a holder paid; None where no funding is due.
    """

    sessions: Days
    tickers: tuple[str, ...]
    returns: Floats
    open_returns: Floats | None
    priced: Bools
    universe: Bools
    last: Longs
    adv: Floats
    volatility: Floats
    market_cap: Floats | None
    cap_bucket: Codes
    cap_buckets: tuple[str, ...]
    industry: Codes
    industries: tuple[str, ...]
    exposures: Mapping[str, Floats]
    clock: SessionClock
    periods_per_year: int
    not_available: Mapping[str, str] = field(default_factory=dict)
    snapshot_id: str = ""
    simulated: bool = False
    intraday: Floats | None = None
    funding_unknown_hours: Floats | None = None

    def __post_init__(self) -> None:
        """Make arrays contiguous and writable: numba would compile every kernel once more for others."""
        kinds = {
            np.float64: (
                *("returns", "open_returns", "intraday", "adv", "volatility", "market_cap"),
                "funding_unknown_hours",
            ),
            np.bool_: ("priced", "universe"),
            np.int64: ("last",),
            np.int16: ("cap_bucket", "industry"),
        }
        for kind, names in kinds.items():
            for name in names:
                values = getattr(self, name)
                if values is not None:
                    object.__setattr__(self, name, np.require(values, kind, ["C", "W"]))

    @property
    def shape(self) -> tuple[int, int]:
        """``(sessions, names)``."""
        return len(self.sessions), len(self.tickers)

    @cached_property
    def next_return(self) -> Floats:
        """``[T, N]`` return of the row after."""
        return self.forward(1)

    @cached_property
    def next_ranked(self) -> Ranked:
        """Ranks of the return of the row after, of names of the universe on the row: ranked once for all ICs."""
        return rank_panel(self.next_return)

    @cached_property
    def return_ranked(self) -> Ranked:
        """Ranks of the returns by their own row, whatever was tradable before."""
        return rank_panel(self.returns)

    @cached_property
    def move_ranked(self) -> Ranked:
        """Ranks of the sizes of the returns: their distances from the middle of their own row."""
        returns = self.return_ranked
        size = np.empty(self.shape)
        median_distance_rows(self.returns, returns.doubled, returns.counts, size)
        return rank_panel(size)

    def forward(self, horizon: int) -> Floats:
        """Compound return of the ``horizon`` rows after each row, of its universe; NaN past the end."""
        out = np.empty((1, *self.shape))
        forward_return_rows(self.returns, self.universe, self.last, np.array([horizon], dtype=np.int64), 0, out)
        found: Floats = out[0]
        return found

    def forward_ranked(self, horizons: Sequence[int]) -> list[Ranked]:
        """Ranks of :meth:`forward` of each horizon; a longer horizon goes on where a shorter one ended."""
        dates, names = self.shape
        ascending = sorted(set(horizons))
        found = {
            horizon: Ranked(np.empty((dates, names), dtype=np.int32), np.empty(dates, dtype=np.int64))
            for horizon in ascending
        }
        for rows in row_blocks(dates, names):
            out = np.empty((len(ascending), rows.stop - rows.start, names))
            wanted = np.array(ascending, dtype=np.int64)
            forward_return_rows(self.returns, self.universe, self.last, wanted, rows.start, out)
            for horizon, values in zip(ascending, out, strict=True):
                some = rank_panel(values)
                found[horizon].doubled[rows], found[horizon].counts[rows] = some.doubled, some.counts
        return [found[horizon] for horizon in horizons]

    def market_return(self) -> Floats:
        """Equal-weighted mean return over the universe of the row before, ``[T]``; NaN where no name has one."""
        held = np.zeros(self.shape, dtype=np.bool_)
        held[1:] = self.universe[:-1]
        counts = held & ~np.isnan(self.returns)
        total, names = np.where(counts, self.returns, 0.0).sum(axis=1), counts.sum(axis=1)
        result: Floats = np.divide(total, names, out=np.full(total.shape, np.nan), where=names > 0)
        return result

    @property
    def ends(self) -> tuple[int, int]:
        """Names that are gone, and those of them of which nobody says what their holders got."""
        gone = np.flatnonzero(self.last < self.shape[0] - 1)
        return len(gone), int(np.isnan(self.returns[self.last[gone] + 1, gone]).sum())

    @property
    def funding_unknown_share(self) -> float | None:
        """Share of the returns over whose time some funding is not known; None where no funding is due."""
        if self.funding_unknown_hours is None:
            return None
        held = np.isfinite(self.returns) & self.priced
        return float((self.funding_unknown_hours[held] > 0.0).mean()) if held.any() else 0.0

    def require(self, what: str) -> None:
        """Raise NotAvailable, with its cause, for something the data cannot carry."""
        if what in self.not_available:
            raise NotAvailable(
                f"{what} is not available: {self.not_available[what]}",
                where=f"snapshot {self.snapshot_id}" if self.snapshot_id else "the panel",
                action="leave the variant out, or use a snapshot that holds the data",
            )


@dataclass(frozen=True)
class SignalPanel:
    """A signal on the rows on which it can first be traded.

    Attributes
    ----------
    name
        Of the signal.
    at_close, at_open
        ``[T, N]`` the value to act on at the close, and at the open, of the row; NaN without one.
    by_date
        ``[T, N]`` the value on the row of its ``date_sig``, for the look-ahead audit only.
    rows
        Rows of the signal.
    outside
        Rows that fell outside the panel's sessions or names.
    superseded
        Rows that another row with a later ``date_sig`` replaced before they could be traded.
    """

    name: str
    at_close: Floats
    at_open: Floats
    by_date: Floats
    rows: int
    outside: int
    superseded: int


class Places:
    """Places of rows of a table on ``[T, N]``, for as many of its columns as are laid out.

    Parameters
    ----------
    shape
        T and N.
    rows, columns
        Place of each row; one outside the shape is left out.
    """

    def __init__(self, shape: tuple[int, int], rows: Longs, columns: Longs) -> None:
        inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        self.shape, self.inside = shape, int(np.count_nonzero(inside))
        self._kept = None if self.inside == inside.size else inside
        at = rows * shape[1] + columns
        self._at: Longs = at if self._kept is None else at[self._kept]

    def lay(self, values: npt.NDArray[Any]) -> Floats:
        """Numbers or flags at their places, NaN where there is none. The last value of a place wins."""
        return self._scatter(values, np.full(self.shape[0] * self.shape[1], np.nan))

    def flag(self, values: npt.NDArray[np.bool_]) -> Bools:
        """Flags at their places, False where there is none. The last value of a place wins."""
        return self._scatter(values, np.zeros(self.shape[0] * self.shape[1], dtype=np.bool_))

    def code(self, values: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        """Codes at their places, -1 where there is none. The last value of a place wins."""
        return self._scatter(values, np.full(self.shape[0] * self.shape[1], -1, dtype=np.int16))

    def _scatter(self, values: npt.NDArray[Any], out: npt.NDArray[Any]) -> npt.NDArray[Any]:
        # Numpy keeps the last of repeated positions.
        out[self._at] = values if self._kept is None else values[self._kept]
        return out.reshape(self.shape)


def signal_panel(signal: pl.DataFrame, panel: Panel, *, name: str = "signal") -> SignalPanel:
    """Spread a validated signal over the panel.

    Parameters
    ----------
    signal
        ``security_id, date_sig, date_avail, avail_hour, signal``, as `contract.validate` returns it.
    panel
        Sessions and names.
    name
        Of the signal.

    Notes
    -----
    **Timing.** A value stands on the row on which it can first be traded: see `sessions.align_dates`.
    **Missing values.** Rows beyond the sessions or names of the panel are counted, not squeezed in.
    """
    ordered = sorted_by(signal, ["date_sig"])
    names = ordered["security_id"].cast(pl.Enum(panel.tickers), strict=False)
    columns = names.to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    values = ordered["signal"].to_numpy()
    opened, closed = entry_rows(ordered, panel.clock)
    first = int(panel.clock.rows(panel.sessions[:1])[0])
    seen = panel.clock.rows(ordered["date_sig"].to_numpy())
    # Later signal dates come last and win.
    places = Places(panel.shape, closed - first, columns)
    at_close, inside_all = places.lay(values), places.inside
    same = np.array_equal(opened, closed)
    at_open = at_close if same else Places(panel.shape, opened - first, columns).lay(values)
    by_date = Places(panel.shape, seen - first, columns).lay(values)
    kept_all = int(np.count_nonzero(~np.isnan(at_close)))
    return SignalPanel(
        name=name,
        at_close=at_close,
        at_open=at_open,
        by_date=by_date,
        rows=signal.height,
        outside=signal.height - inside_all,
        superseded=inside_all - kept_all,
    )


def dense_signal(name: str, values: Floats) -> SignalPanel:
    """Make a signal panel of values by the row whose close they have seen, as the platform's own signals are.

    They are traded at the open or close of the row after.
    """
    shifted = np.full(values.shape, np.nan)
    shifted[1:] = values[:-1]
    present = int(np.count_nonzero(~np.isnan(values)))
    return SignalPanel(name, shifted, shifted, values, present, int(np.count_nonzero(~np.isnan(values[-1]))), 0)
