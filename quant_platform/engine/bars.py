"""The bars a run walks over: frozen arrays, sessions by assets, with what happened to each asset."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.engine.config import BacktestInvalid
from quant_platform.engine.layout import DELISTING, DIVIDEND, FUNDING, SPLIT, Bools, Floats, Integers

PRICES = ("open", "high", "low", "close")
_LAYERS = (*PRICES, "volume", "half_spread")
NANOSECONDS_PER_DAY = 86_400_000_000_000
NANOSECONDS_PER_YEAR = 365.25 * NANOSECONDS_PER_DAY


@dataclass(frozen=True)
class Event:
    """Something that happens to an asset before the open of a bar.

    Attributes
    ----------
    bar, asset
        Positions in the bars.
    value
        ``split``: new units per old one; ``dividend``: money per unit (after a split of that bar); ``funding``: what a
        unit of value held long pays, NaN where a settlement is known and its rate is not; ``delisting``: fraction of
        the last close that is recovered, NaN where it is not known.
    """

    bar: int
    asset: int
    value: float


@dataclass(frozen=True, eq=False)
class Bars:
    """Prices of many assets on one calendar.

    Attributes
    ----------
    assets
        Names, n of them.
    stamps
        Shape (t,), time of each bar in nanoseconds since 1970, ascending; UTC.
    open, high, low, close
        Shape (t, n); NaN in all four where an asset has no bar, positive elsewhere. As traded where splits and
        dividends are stated, adjusted where they are not: never both.
    volume
        Shape (t, n) in units, NaN where not known; None where none is known.
    half_spread
        Shape (t, n), a fraction of the price, NaN where not known; None takes the one of the costs.
    lot, tick, minimum_notional
        Shape (n,); zero for none.
    splits, dividends, funding, delistings
        Events. A delisting stands on the first session without the asset. Funding settled at a moment stands on the
        first bar whose stamp is not before it.

    panel
        Shape (6, t, n), made of the above: what the kernels read; open, high, low, close, volume and half spread.

    Raises
    ------
    BacktestInvalid
        With the first rows, when shapes differ, stamps do not ascend, a bar is partly missing, a price is not positive,
        a high is below or a low above the rest of its bar, or an event lies outside.

    Notes
    -----
    **Missing values.** A bar that is missing fills nothing and is marked at the last close; nothing is carried forward
    in the arrays themselves.
    """

    assets: tuple[str, ...]
    stamps: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats | None = None
    half_spread: Floats | None = None
    lot: Floats | None = None
    tick: Floats | None = None
    minimum_notional: Floats | None = None
    splits: tuple[Event, ...] = field(default=())
    dividends: tuple[Event, ...] = field(default=())
    funding: tuple[Event, ...] = field(default=())
    delistings: tuple[Event, ...] = field(default=())
    panel: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _set(self, "assets", tuple(self.assets))
        _set(self, "stamps", np.require(np.asarray(self.stamps), np.int64, ["C", "W"]))
        if not self.assets or len(set(self.assets)) != len(self.assets):
            raise BacktestInvalid("assets must be named, each once", where="Bars.assets")
        shape = (len(self.stamps), len(self.assets))
        panel = np.full((len(_LAYERS), *shape), np.nan)
        for layer, name in enumerate(_LAYERS):
            given = getattr(self, name)
            if given is not None:
                panel[layer] = _array(given, name, shape)
                _set(self, name, panel[layer])
        _set(self, "panel", panel)
        for name in ("lot", "tick", "minimum_notional"):
            given = getattr(self, name)
            values = np.zeros(shape[1]) if given is None else _array(given, name, (shape[1],))
            if not np.all(np.isfinite(values) & (values >= 0.0)):
                raise BacktestInvalid(f"{name} holds a number below zero or none", where=f"Bars.{name}")
            _set(self, name, values)
        self._check_stamps()
        self._check_prices()
        for name in ("splits", "dividends", "funding", "delistings"):
            _set(self, name, tuple(getattr(self, name)))
            self._check_events(name)

    @property
    def shape(self) -> tuple[int, int]:
        """Sessions and assets."""
        return len(self.stamps), len(self.assets)

    @classmethod
    def from_frame(cls, frame: pl.DataFrame, *, asset: str = "ticker", stamp: str = "session", **more: Any) -> Bars:
        """Take a long table, one row per asset and bar; a session in which an asset has no row is missing to it.

        Parameters
        ----------
        frame
            Columns ``asset``, ``stamp`` (Date or Datetime), open, high, low, close and, where known, volume and
            half_spread. Rows with a missing price are left out.
        more
            Further fields of :class:`Bars`.

        Raises
        ------
        BacktestInvalid
            Also when an asset has two rows of one stamp.
        """
        absent = [name for name in (asset, stamp, *PRICES) if name not in frame.columns]
        if absent:
            raise BacktestInvalid(
                f"the bars have no column {', '.join(map(repr, absent))}", where=f"columns {', '.join(frame.columns)}"
            )
        frame = _readable(frame, asset, stamp)
        double = frame.filter(pl.struct(asset, stamp).is_duplicated())
        if double.height:
            raise BacktestInvalid(
                "an asset has more than one bar at one time",
                how_many=f"{double.height} of {frame.height} rows",
                rows=double.select(asset, stamp, *PRICES),
                action="keep one row of each",
            )
        complete = frame.filter(
            pl.all_horizontal(pl.col(name).is_not_null() & ~pl.col(name).is_nan() for name in PRICES)
        )
        names = sorted(str(name) for name in frame[asset].unique())
        times = frame[stamp].unique().sort()
        rows = times.search_sorted(complete[stamp]).to_numpy()
        columns = pl.Series(names).search_sorted(complete[asset].cast(pl.String)).to_numpy()
        arrays: dict[str, Any] = {}
        for name in (*PRICES, "volume", "half_spread"):
            if name in frame.columns:
                array = np.full((len(times), len(names)), np.nan)
                array[rows, columns] = complete[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
                arrays[name] = array
        stamps = times.cast(pl.Datetime("ns")).to_physical().to_numpy()
        return cls(assets=tuple(names), stamps=stamps, **arrays, **more)

    def with_ends(self, gone_after: int, recoveries: Mapping[str, float] | None = None) -> Bars:
        """The same with a delisting of every asset whose bars end well before the market does.

        Parameters
        ----------
        gone_after
            Bars without a price, at the end of an asset's bars, from which on it counts as gone.
        recoveries
            Fraction of the last close that is recovered, by asset; where it is not known the costs say it.

        Notes
        -----
        **Timing.** The delisting stands on the first bar without the asset: nobody can trade it from then on, so that
        it does not matter who knew.
        """
        known = recoveries or {}
        stated = {event.asset for event in self.delistings}
        last = len(self.stamps) - 1 - np.argmax(~np.isnan(self.close[::-1]), axis=0)
        ends = tuple(
            Event(int(bar) + 1, asset, known.get(self.assets[asset], math.nan))
            for asset, bar in enumerate(last)
            if bar + gone_after < len(self.stamps) and asset not in stated and not np.isnan(self.close[bar, asset])
        )
        return replace(self, delistings=(*self.delistings, *ends))

    def position_of(self, asset: str) -> int:
        """Column of an asset."""
        return self.assets.index(asset)

    def events(self) -> tuple[Integers, Integers, Integers, Floats]:
        """All events as arrays in the order in which they happen: bar, asset, kind, value."""
        found = [
            (event.bar, kind, event.asset, position, event.value)
            for kind, events in (
                (DELISTING, self.delistings), (SPLIT, self.splits), (DIVIDEND, self.dividends), (FUNDING, self.funding),
            )
            for position, event in enumerate(events)
        ]  # fmt: skip
        found.sort()
        whole = np.array([row[:3] for row in found], dtype=np.int64).reshape(len(found), 3)
        values = np.array([row[4] for row in found], dtype=np.float64)
        bar, kind, asset = (np.ascontiguousarray(whole[:, column]) for column in range(3))
        return bar, asset, kind, values

    def _check_stamps(self) -> None:
        if len(self.stamps) == 0:
            raise BacktestInvalid("there is no bar", where="Bars.stamps")
        wrong = np.flatnonzero(np.diff(self.stamps) <= 0)
        if wrong.size:
            raise BacktestInvalid(
                "stamps do not ascend",
                where="Bars.stamps",
                how_many=f"{wrong.size} of {len(self.stamps)} bars",
                rows=[
                    {"bar": int(i) + 1, "stamp": str(np.datetime64(int(self.stamps[i + 1]), "ns"))} for i in wrong[:5]
                ],
                action="sort the bars by time and keep one of each",
            )

    def _check_prices(self) -> None:
        prices = [getattr(self, name) for name in PRICES]
        missing = [np.isnan(price) for price in prices]
        partly = np.logical_or.reduce(missing) & ~np.logical_and.reduce(missing)
        self._refuse(partly, "a bar holds some of its prices and not others")
        positive = np.logical_and.reduce([np.isnan(p) | ((p > 0.0) & np.isfinite(p)) for p in prices])
        self._refuse(~positive, "a price is zero, negative or infinite")
        with np.errstate(invalid="ignore"):
            crossed = (self.high < np.maximum(self.open, self.close)) | (self.low > np.minimum(self.open, self.close))
        self._refuse(crossed, "a high is below, or a low above, the open or close of its bar")
        if self.volume is not None:
            with np.errstate(invalid="ignore"):
                self._refuse(self.volume < 0.0, "a volume is negative")

    def _refuse(self, wrong: Bools, what: str) -> None:
        if not wrong.any():
            return
        rows, columns = np.nonzero(wrong)
        shown = [
            {
                "asset": self.assets[column],
                "stamp": str(np.datetime64(int(self.stamps[row]), "ns").astype("datetime64[s]")),
                **{name: float(getattr(self, name)[row, column]) for name in PRICES},
            }
            for row, column in zip(rows[:5], columns[:5], strict=True)
        ]
        raise BacktestInvalid(
            what, where="Bars", how_many=f"{len(rows)} of {wrong.size} bars", rows=shown,
            action="clean the bars first; a bar that is not known is NaN in all four prices",
        )  # fmt: skip

    def _check_events(self, name: str) -> None:
        smallest = {"splits": 0.0, "dividends": 0.0, "funding": -math.inf, "delistings": 0.0}[name]
        for event in getattr(self, name):
            inside = 0 <= event.bar < len(self.stamps) and 0 <= event.asset < len(self.assets)
            known = event.value >= smallest and math.isfinite(event.value)
            if name == "splits":
                known = known and event.value > 0.0
            if name in ("funding", "delistings"):
                known = known or math.isnan(event.value)
            if not (inside and known):
                raise BacktestInvalid(
                    f"{event} lies outside the bars or has no value it can have", where=f"Bars.{name}"
                )


def _readable(frame: pl.DataFrame, asset: str, stamp: str) -> pl.DataFrame:
    """Names as text, and stamps and prices that are what they should be; raises BacktestInvalid."""
    when = frame.schema[stamp]
    if when != pl.Date and not isinstance(when, pl.Datetime):
        raise BacktestInvalid(
            f"the column {stamp!r} holds {when}, not dates",
            where="bars",
            rows=frame.select(asset, stamp).head(3),
            cause="dates that are written another way than 2024-01-31, or numbers",
            action="write dates as 2024-01-31, or Parquet with a column of dates",
        )
    numbers = [name for name in (*PRICES, "volume", "half_spread") if name in frame.columns]
    wrong = [f"{name} ({frame.schema[name]})" for name in numbers if not _numeric(frame.schema[name])]
    if wrong:
        raise BacktestInvalid(
            f"columns of the bars are no numbers: {', '.join(wrong)}",
            where="bars",
            rows=frame.select(asset, stamp, *numbers).head(3),
            action="write plain numbers, with a point before the decimals",
        )
    nameless = frame.filter(pl.col(asset).is_null() | pl.col(stamp).is_null())
    if nameless.height:
        raise BacktestInvalid(
            f"bars have no {asset} or no {stamp}",
            where="bars",
            how_many=f"{nameless.height} of {frame.height} rows",
            rows=nameless.select(asset, stamp, *PRICES),
            action="name each bar, or leave it out",
        )
    return frame.with_columns(pl.col(asset).cast(pl.String), *(pl.col(name).cast(pl.Float64) for name in numbers))


def _numeric(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype == pl.Null


def _set(target: object, name: str, value: object) -> None:
    object.__setattr__(target, name, value)


def _array(given: npt.ArrayLike, name: str, shape: Sequence[int]) -> Floats:
    array = np.require(np.asarray(given, dtype=np.float64), np.float64, ["C", "W"])
    if array.shape != tuple(shape):
        raise BacktestInvalid(
            f"{name} has shape {array.shape}, {tuple(shape)} is needed", where=f"Bars.{name}",
            cause="rows are sessions, columns are assets",
        )  # fmt: skip
    return array
