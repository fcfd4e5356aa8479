"""Prices and features of all symbols on one grid of five-minute bars that begins and ends at UTC midnight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.statistics.checks import Floats, Longs

BARS_PER_DAY = 288
BAR = timedelta(minutes=5)
DAY = timedelta(days=1)
STAMP = pl.Datetime("us", "UTC")
PRICES = ("open", "high", "low", "close")
OPTIONAL = (
    "spot_close",
    "quote_volume",
    "spread_bps",
    "funding_rate",
    "funding_settle",
    "rv12",
    "rv288",
    "tstat96",
    "tstat288",
    "beta2016b",
)


@dataclass(frozen=True)
class PricePanel:
    """Columns of several symbols on one grid.

    Attributes
    ----------
    symbols
        In the order of the rows.
    start
        Open time of the first bar, a UTC midnight.
    columns
        ``[symbol, bar]`` by name; NaN where a bar or a value is missing. ``open, high, low, close`` always; a column
        that no symbol has is absent.
    """

    symbols: tuple[str, ...]
    start: datetime
    columns: Mapping[str, Floats]

    @property
    def periods(self) -> int:
        """Bars, a whole number of days."""
        return int(self.columns["open"].shape[1])

    @property
    def days(self) -> int:
        """UTC days."""
        return self.periods // BARS_PER_DAY

    @property
    def end(self) -> datetime:
        """Open time of the first bar after the panel."""
        return self.start + self.periods * BAR

    @property
    def first_day(self) -> int:
        """Days from 1970-01-01 to the first bar."""
        return int(self.start.timestamp()) // 86_400

    def column(self, name: str) -> Floats:
        """Return a column, all NaN where it is absent."""
        found = self.columns.get(name)
        return np.full((len(self.symbols), self.periods), np.nan) if found is None else found

    def positions(self, bars: pl.Series) -> Longs:
        """Bar numbers of open times; they may lie outside 0 .. periods - 1."""
        stamps = bars.cast(STAMP).to_physical().to_numpy()
        origin = int(self.start.timestamp() * 1_000_000)
        return ((stamps - origin) // (BAR // timedelta(microseconds=1))).astype(np.int64)


def price_panel(markets: Mapping[str, pl.DataFrame], features: Mapping[str, pl.DataFrame] | None = None) -> PricePanel:
    """Lay the bars of several symbols on one grid.

    Parameters
    ----------
    markets
        Rows of ``clean.market_5m`` by symbol.
    features
        Rows of ``features.market_5m`` by symbol; those of :data:`OPTIONAL` are taken.

    Raises
    ------
    SchemaViolation
        If there is no bar, a bar stands twice, or an open time is no multiple of five minutes.
    """
    symbols = tuple(sorted(markets))
    stamps = pl.concat([pl.Series([], dtype=STAMP), *(markets[symbol]["bar"].cast(STAMP) for symbol in symbols)])
    first, last = stamps.min(), stamps.max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        raise SchemaViolation("there is no bar", where="clean.market_5m", action="materialise the symbols first")
    start = first.replace(hour=0, minute=0, second=0, microsecond=0)
    periods = (-(-(last + BAR - start) // DAY)) * BARS_PER_DAY
    columns: dict[str, Floats] = {}
    for row, symbol in enumerate(symbols):
        for frame in (markets[symbol], (features or {}).get(symbol)):
            if frame is None or not frame.height:
                continue
            places = _places(frame, symbol, start, periods)
            for name in (*PRICES, *OPTIONAL):
                if name in frame.columns:
                    column = columns.setdefault(name, np.full((len(symbols), periods), np.nan))
                    column[row, places] = frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
    for name in PRICES:
        columns.setdefault(name, np.full((len(symbols), periods), np.nan))
        columns[name][~(columns[name] > 0.0)] = np.nan
    return PricePanel(symbols, start, columns)


def _places(frame: pl.DataFrame, symbol: str, start: datetime, periods: int) -> Longs:
    stamps = frame["bar"].cast(STAMP).to_physical().to_numpy()
    offset = stamps - int(start.timestamp() * 1_000_000)
    step = BAR // timedelta(microseconds=1)
    places = (offset // step).astype(np.int64)
    off_grid = (offset % step != 0) | (places < 0) | (places >= periods)
    if off_grid.any():
        raise SchemaViolation(
            "bars do not lie on the five-minute grid of the market",
            where=f"{symbol}, column bar",
            how_many=f"{int(off_grid.sum())} of {places.size} rows",
            rows=frame.select("bar").filter(pl.Series(off_grid)),
        )
    if np.unique(places).size != places.size:
        raise SchemaViolation("a bar stands twice", where=f"{symbol}, column bar")
    return places
