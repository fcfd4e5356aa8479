"""What surrounds each symbol on a bar: ``features.context_5m``.

1. :func:`market_context` puts the symbols on one grid and masks who is in the universe when;
2. ``_bench_returns`` takes the mean return of all *other* members, ``_median_funding`` the median over members;
3. clocks, calendars and the fee schedule come from the spec (:mod:`.clocks`).

The context of a bar depends on that bar and the 12 before it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.labs.events.detection.clocks import fees_at, funding_times, releases_at, session_times
from quant_platform.labs.events.detection.grid import BAR_US, stamps
from quant_platform.specification.market_context import ContextSpec

CONTEXT_MEMORY_BARS = 12

Numbers = npt.NDArray[np.float64]


def market_context(
    market: Mapping[str, pl.DataFrame], spec: ContextSpec, members: pl.DataFrame | None = None
) -> dict[str, pl.DataFrame]:
    """Compute ``features.context_5m`` of every symbol.

    Parameters
    ----------
    market
        Symbol to its rows of ``clean.market_5m``, sorted, on the full grid; they may begin and end at different bars.
    spec
        Partners, sessions, funding times, releases and fees.
    members
        ``symbol, start, end``: stretches in which a symbol belongs to the universe, ``end`` exclusive and null while it
        lasts, both Datetime in UTC. All symbols always belong when None; either way a bar without a return counts not.

    Returns
    -------
    dict
        Symbol to rows with the columns of ``features.context_5m``. What cannot exist (no other symbol, no partner, no
        funding anywhere, no fee schedule) is null on every row; what is missing on a bar is NaN.

    Notes
    -----
    **Timing.** Everything is known at the close of the bar, given that the bars of all symbols are.
    """
    names = sorted(market)
    if not names:
        return {}
    bars = {name: stamps(market[name]) for name in names}
    filled = [own for own in bars.values() if own.size]
    if not filled:
        raise SchemaViolation("no symbol has a bar", where="clean.market_5m", action="give at least one month")
    first, last = min(int(own[0]) for own in filled), max(int(own[-1]) for own in filled)
    rows = (last - first) // BAR_US + 1
    place = {
        name: slice(int(own[0] - first) // BAR_US, int(own[0] - first) // BAR_US + own.size)
        for name, own in bars.items()
        if own.size
    }
    in_universe = _membership(names, members, first, rows)
    closes = {name: _spread(market[name], "close", place[name], rows) for name in place}
    returns = np.array([_log_change(closes[name], 1) if name in closes else np.full(rows, np.nan) for name in names])
    bench = _bench_returns(np.where(in_universe, returns, np.nan), spec.min_bench_members)
    medians = _median_funding(market, names, place, in_universe, rows)
    found = {}
    for number, name in enumerate(names):
        if name not in place:
            continue
        own, here = bars[name], place[name]
        partner = spec.partners.of(name, names)
        columns: dict[str, pl.Series | npt.NDArray[np.generic] | None] = {
            "bench_ret": bench[number, here] if len(names) > spec.min_bench_members else None,
            "partner_ret12": _log_change(closes[partner], 12)[here] if partner in closes else None,
            "xs_funding_med_bps": medians[here] if medians is not None else None,
            "session_open_close": session_times(own + BAR_US, spec, "opens"),
            "session_close_close": session_times(own + BAR_US, spec, "closes"),
            "funding_time_close": funding_times(own + BAR_US, _interval_hours(market[name], name, spec)),
            "news_release": releases_at(own, spec),
            "fee_taker_bps": fees_at(own, spec) if spec.fees else None,
        }
        found[name] = (
            market[name]
            .select("symbol", "month", "bar")
            .with_columns(
                pl.lit(None, pl.Float64).alias(column) if values is None else pl.Series(column, values)
                for column, values in columns.items()
            )
        )
    return found


def _spread(frame: pl.DataFrame, column: str, place: slice, rows: int) -> Numbers:
    values = np.full(rows, np.nan)
    values[place] = frame[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return values


def _log_change(close: Numbers, bars: int) -> Numbers:
    with np.errstate(all="ignore"):
        logs = np.log(np.where(close > 0, close, np.nan))
    change = np.full(close.size, np.nan)
    change[bars:] = logs[bars:] - logs[:-bars]
    return change


def _membership(names: list[str], members: pl.DataFrame | None, first: int, rows: int) -> npt.NDArray[np.bool_]:
    if members is None:
        return np.ones((len(names), rows), dtype=np.bool_)
    grid = first + BAR_US * np.arange(rows, dtype=np.int64)
    mask = np.zeros((len(names), rows), dtype=np.bool_)
    us = pl.Datetime("us", "UTC")
    spans = members.select("symbol", pl.col("start", "end").cast(us).to_physical())
    for symbol, start, end in spans.iter_rows():
        if symbol in names:
            mask[names.index(symbol)] |= (grid >= start) & (grid < (end if end is not None else np.iinfo(np.int64).max))
    return mask


def _bench_returns(returns: Numbers, min_members: int) -> Numbers:
    """Mean over the other rows, as sums of those before and those after: nothing of the own row is ever added."""
    known = ~np.isnan(returns)
    values = np.where(known, returns, 0.0)
    none = np.zeros((1, returns.shape[1]))
    before = np.concatenate([none, np.cumsum(values, axis=0)[:-1]])
    after = np.concatenate([np.cumsum(values[::-1], axis=0)[::-1][1:], none])
    count = known.sum(axis=0) - known
    with np.errstate(all="ignore"):
        return np.where(count >= min_members, (before + after) / count, np.nan)


def _median_funding(
    market: Mapping[str, pl.DataFrame],
    names: list[str],
    place: Mapping[str, slice],
    in_universe: npt.NDArray[np.bool_],
    rows: int,
) -> Numbers | None:
    needed = {"funding_rate", "funding_interval_hours"}
    paying = [name for name in names if name in place and needed <= set(market[name].columns)]
    if not paying:
        return None
    rates = np.full((len(paying), rows), np.nan)
    for number, name in enumerate(paying):
        rate = _spread(market[name], "funding_rate", place[name], rows)
        hours = _spread(market[name], "funding_interval_hours", place[name], rows)
        with np.errstate(all="ignore"):
            rates[number] = np.where(in_universe[names.index(name)], 10000 * rate * 8 / hours, np.nan)
    ordered = np.sort(rates, axis=0)
    count = (~np.isnan(rates)).sum(axis=0)
    column = np.arange(rows)
    low, high = ordered[np.maximum(count - 1, 0) // 2, column], ordered[np.minimum(count // 2, len(paying) - 1), column]
    return np.where(count > 0, low + (high - low) * 0.5, np.nan)


def _interval_hours(frame: pl.DataFrame, symbol: str, spec: ContextSpec) -> Numbers:
    scheduled = float(spec.funding.symbols.get(symbol, spec.funding.interval_hours))
    if "funding_interval_hours" not in frame.columns:
        return np.full(frame.height, scheduled)
    hours = frame["funding_interval_hours"].cast(pl.Float64).fill_nan(None).fill_null(scheduled)
    return np.asarray(hours.to_numpy(), dtype=np.float64)
