"""The simulated market as tables, made once per process and spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.market.calendar import session_array
from quant_platform.sources.protocol import action_known_at, actions_schema, bars_schema, fundamentals_schema
from quant_platform.sources.simulated.prices import Bars, Trading, surround, trade
from quant_platform.sources.simulated.returns import simulate_returns
from quant_platform.sources.simulated.streams import streams
from quant_platform.sources.simulated.vendor import PlantedError, plan, spoil
from quant_platform.specification.sources import SimulatedSpec

Days = NDArray[np.datetime64]

_QUARTER = 63
_REPORT_DELAY = timedelta(days=45)
_VALUES = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class SimulatedMarket:
    """All tables of one market.

    Attributes
    ----------
    bars, actions, fundamentals
        The raw tables by ticker, without their ``source``; bars are unadjusted and carry the planted vendor errors.
    listed
        First and last session per ticker, the latter ``None`` while it is listed.
    industry
        Industry per ticker; empty where the spec names none.
    planted_errors
        Ticker and kind of each vendor error.
    oracle
        ``session, ticker, expected_return``: the expected total return of the session given the sessions before it,
        for every bar that traded. The return after a delisting is not in it.
    total_return
        ``session, ticker, total_return``: what the session earned, dividends included.
    """

    bars: Mapping[str, pl.DataFrame]
    actions: Mapping[str, pl.DataFrame]
    fundamentals: Mapping[str, pl.DataFrame]
    listed: Mapping[str, tuple[date, date | None]]
    industry: Mapping[str, str]
    planted_errors: tuple[tuple[str, str], ...]
    oracle: pl.DataFrame
    total_return: pl.DataFrame


@lru_cache(maxsize=4)
def simulate(spec: SimulatedSpec, exchange: str = "XNYS", source: str = "simulated") -> SimulatedMarket:
    """Make the market of a spec; the same spec gives the same bits."""
    last = spec.start.replace(year=spec.start.year + spec.years) - timedelta(days=1)
    days = session_array(exchange, spec.start, last)
    random = streams(spec.seed)
    returns = simulate_returns(spec, len(days), random)
    trading = trade(spec, returns, random)
    bars = surround(spec, trading, returns.volatility, random)
    lengths = np.isfinite(trading.close).sum(axis=0).tolist()
    planted = plan(spec.vendor_errors, lengths, random["vendor"])
    tickers = [f"SIM{i:0{max(3, len(str(spec.names - 1)))}d}" for i in range(spec.names)]
    return SimulatedMarket(
        bars={name: _bars(planted, i, name, days, trading, bars, source) for i, name in enumerate(tickers)},
        actions=_actions(tickers, days, trading, source),
        fundamentals=_with_shares(
            spec,
            _fundamentals(tickers, days, trading, random["fundamentals"], source),
            days,
            trading,
            random["shares"],
            source,
        ),
        listed={name: _listed(i, days, trading) for i, name in enumerate(tickers)},
        industry={tickers[i]: spec.industries[code] for i, code in enumerate(returns.industry.tolist())},
        planted_errors=tuple((tickers[e.name], e.kind) for e in planted),
        oracle=_long(tickers, days, trading, "expected_return", returns.expected),
        total_return=_long(tickers, days, trading, "total_return", returns.total),
    )


def _traded(i: int, days: Days, trading: Trading) -> slice:
    last = int(trading.last[i])
    return slice(int(trading.first[i]), len(days) if last < 0 else last + 1)


def _listed(i: int, days: Days, trading: Trading) -> tuple[date, date | None]:
    span = _traded(i, days, trading)
    return _day(days, span.start), None if trading.last[i] < 0 else _day(days, span.stop - 1)


def _day(days: Days, position: int) -> date:
    return date.fromisoformat(str(days[position]))


def _bars(
    planted: tuple[PlantedError, ...],
    i: int,
    ticker: str,
    days: Days,
    trading: Trading,
    bars: Bars,
    source: str,
) -> pl.DataFrame:
    span = _traded(i, days, trading)
    frame = pl.DataFrame({"session": days[span], **{name: getattr(bars, name)[span, i] for name in _VALUES}})
    for error in planted:
        if error.name == i:
            frame = spoil(frame, error)
    return frame.select(
        pl.lit(ticker).alias("ticker"),
        pl.int_range(pl.len(), dtype=pl.Int64).alias("source_row"),
        "session",
        *_VALUES,
        pl.lit("none").alias("adjustment"),
        pl.lit(source).alias("source"),
    ).cast(bars_schema())


def _actions(tickers: list[str], days: Days, trading: Trading, source: str) -> dict[str, pl.DataFrame]:
    rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in tickers}
    for t, i, kind, value in trading.actions:
        day = _day(days, t)
        rows[tickers[i]].append((tickers[i], day, kind, value, action_known_at(kind, day), source))
    return {
        name: pl.DataFrame(found, schema=actions_schema(), orient="row").sort("ex_date", "kind")
        for name, found in rows.items()
    }


def _fundamentals(
    tickers: list[str], days: Days, trading: Trading, random: np.random.Generator, source: str
) -> dict[str, pl.DataFrame]:
    """Earnings and book value per share at each quarter's end, published 45 days later; they predict nothing."""
    ends = np.arange(_QUARTER - 1, len(days), _QUARTER)
    noise = random.normal(size=(2, len(ends), len(tickers)))
    metrics = (("earnings_per_share", 0.05 / 4, 0.4), ("book_value_per_share", 0.5, 0.2))
    frames = {}
    for i, ticker in enumerate(tickers):
        close = trading.close[ends, i]
        rows = [
            (
                ticker,
                metric,
                datetime.combine(_day(days, int(t)) + _REPORT_DELAY, time(21), tzinfo=UTC),
                round(float(close[q]) * level * float(np.exp(spread * noise[m, q, i])), 4),
                "USD",
                source,
            )
            for m, (metric, level, spread) in enumerate(metrics)
            for q, t in enumerate(ends)
            if np.isfinite(close[q])
        ]
        frames[ticker] = pl.DataFrame(rows, schema=fundamentals_schema(), orient="row")
    return frames


def _with_shares(
    spec: SimulatedSpec,
    frames: dict[str, pl.DataFrame],
    days: Days,
    trading: Trading,
    random: np.random.Generator,
    source: str,
) -> dict[str, pl.DataFrame]:
    """Add shares outstanding: stated at the listing and after each quarter; splits alone change them."""
    if spec.market_cap is None:
        return frames
    caps = spec.market_cap * np.exp(spec.market_cap_log_sd * random.normal(size=len(frames)))
    splits: dict[int, list[tuple[int, float]]] = {}
    for t, i, kind, value in trading.actions:
        if kind == "split":
            splits.setdefault(i, []).append((t, value))
    ends = np.arange(_QUARTER - 1, len(days), _QUARTER)
    found = {}
    for i, (ticker, frame) in enumerate(frames.items()):
        span = _traded(i, days, trading)
        shares = round(float(caps[i] / trading.close[span.start, i]))
        rows = [(span.start, timedelta(0))] + [(int(t), _REPORT_DELAY) for t in ends if span.start < t < span.stop]
        stated = [
            (
                ticker,
                "shares_outstanding",
                datetime.combine(_day(days, t) + delay, time(21), tzinfo=UTC),
                float(round(shares * np.prod([ratio for day, ratio in splits.get(i, []) if day <= t]))),
                "shares",
                source,
            )
            for t, delay in rows
        ]
        found[ticker] = pl.concat([frame, pl.DataFrame(stated, schema=fundamentals_schema(), orient="row")])
    return found


def _long(tickers: list[str], days: Days, trading: Trading, name: str, values: NDArray[np.float64]) -> pl.DataFrame:
    t, i = np.nonzero(np.isfinite(trading.close))
    return pl.DataFrame(
        {"session": days[t], "ticker": np.array(tickers)[i].tolist(), name: values[t, i]},
        schema={"session": pl.Date, "ticker": pl.String, name: pl.Float64},
    )
