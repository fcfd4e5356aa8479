"""The simulated market as tables, made once per process and spec."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache

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


class _ByName(Mapping[str, pl.DataFrame]):
    """A frame for each name, made when it is asked for: most processes need a few names, or none but their list."""

    def __init__(self, names: Sequence[str], frame_of: Callable[[int], pl.DataFrame]) -> None:
        self._places, self._frame_of = {name: place for place, name in enumerate(names)}, frame_of

    def __getitem__(self, name: str) -> pl.DataFrame:
        return self._frame_of(self._places[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places


@dataclass(frozen=True, eq=False)
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
    sessions
        Every session of the market.
    """

    bars: Mapping[str, pl.DataFrame]
    actions: Mapping[str, pl.DataFrame]
    fundamentals: Mapping[str, pl.DataFrame]
    listed: Mapping[str, tuple[date, date | None]]
    industry: Mapping[str, str]
    planted_errors: tuple[tuple[str, str], ...]
    sessions: Days
    _close: NDArray[np.float64]
    _expected: NDArray[np.float64]
    _total: NDArray[np.float64]

    @cached_property
    def oracle(self) -> pl.DataFrame:
        """``session, ticker, expected_return``: the expected total return of the session given the sessions before it.

        For every bar that traded; the return after a delisting is not in it.
        """
        return self._long("expected_return", self._expected)

    @cached_property
    def total_return(self) -> pl.DataFrame:
        """``session, ticker, total_return``: what the session earned, dividends included."""
        return self._long("total_return", self._total)

    def _long(self, name: str, values: NDArray[np.float64]) -> pl.DataFrame:
        t, i = np.nonzero(np.isfinite(self._close))
        return pl.DataFrame(
            {"session": self.sessions[t], "ticker": np.array(list(self.listed))[i].tolist(), name: values[t, i]},
            schema={"session": pl.Date, "ticker": pl.String, name: pl.Float64},
        )


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
    actions = _actions(spec.names, trading)
    return SimulatedMarket(
        bars=_ByName(tickers, lambda i: _bars(planted, i, tickers[i], days, trading, bars, source)),
        actions=_ByName(tickers, lambda i: _action_rows(tickers[i], actions[i], days, source)),
        fundamentals=_ByName(tickers, _fundamentals(spec, tickers, days, trading, actions, random, source)),
        listed={name: _listed(i, days, trading) for i, name in enumerate(tickers)},
        industry={tickers[i]: spec.industries[code] for i, code in enumerate(returns.industry.tolist())},
        planted_errors=tuple((tickers[e.name], e.kind) for e in planted),
        sessions=days,
        _close=trading.close,
        _expected=returns.expected,
        _total=returns.total,
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


_Action = tuple[int, str, float]


def _actions(names: int, trading: Trading) -> list[list[_Action]]:
    """Session, kind and value of the actions of each name."""
    found: list[list[_Action]] = [[] for _ in range(names)]
    for t, i, kind, value in trading.actions:
        found[i].append((t, kind, value))
    return found


def _action_rows(ticker: str, actions: Sequence[_Action], days: Days, source: str) -> pl.DataFrame:
    on = [(_day(days, t), kind, value) for t, kind, value in actions]
    rows = [(ticker, day, kind, value, action_known_at(kind, day), source) for day, kind, value in on]
    return pl.DataFrame(rows, schema=actions_schema(), orient="row").sort("ex_date", "kind")


def _fundamentals(
    spec: SimulatedSpec,
    tickers: Sequence[str],
    days: Days,
    trading: Trading,
    actions: Sequence[Sequence[_Action]],
    random: Mapping[str, np.random.Generator],
    source: str,
) -> Callable[[int], pl.DataFrame]:
    """Earnings, book value and shares of a name by its place; what is drawn is drawn here, for all of them."""
    ends = np.arange(_QUARTER - 1, len(days), _QUARTER)
    noise = random["fundamentals"].normal(size=(2, len(ends), len(tickers)))
    caps = None
    if spec.market_cap is not None:
        caps = spec.market_cap * np.exp(spec.market_cap_log_sd * random["shares"].normal(size=len(tickers)))

    def frame_of(i: int) -> pl.DataFrame:
        rows = _per_share(tickers[i], days, ends, trading.close[ends, i], noise[:, :, i], source)
        if caps is not None:
            rows += _shares(tickers[i], days, ends, trading, i, float(caps[i]), actions[i], source)
        return pl.DataFrame(rows, schema=fundamentals_schema(), orient="row")

    return frame_of


def _per_share(
    ticker: str, days: Days, ends: NDArray[np.intp], close: NDArray[np.float64], noise: NDArray[np.float64], source: str
) -> list[tuple[object, ...]]:
    """Earnings and book value per share at each quarter's end, published 45 days later; they predict nothing."""
    metrics = (("earnings_per_share", 0.05 / 4, 0.4), ("book_value_per_share", 0.5, 0.2))
    return [
        (
            ticker,
            metric,
            datetime.combine(_day(days, int(t)) + _REPORT_DELAY, time(21), tzinfo=UTC),
            round(float(close[q]) * level * float(np.exp(spread * noise[m, q])), 4),
            "USD",
            source,
        )
        for m, (metric, level, spread) in enumerate(metrics)
        for q, t in enumerate(ends)
        if np.isfinite(close[q])
    ]


def _shares(
    ticker: str,
    days: Days,
    ends: NDArray[np.intp],
    trading: Trading,
    i: int,
    cap: float,
    actions: Sequence[_Action],
    source: str,
) -> list[tuple[object, ...]]:
    """Shares outstanding: stated at the listing and after each quarter; splits alone change them."""
    splits = [(t, value) for t, kind, value in actions if kind == "split"]
    span = _traded(i, days, trading)
    shares = round(float(cap / trading.close[span.start, i]))
    rows = [(span.start, timedelta(0))] + [(int(t), _REPORT_DELAY) for t in ends if span.start < t < span.stop]
    return [
        (
            ticker,
            "shares_outstanding",
            datetime.combine(_day(days, t) + delay, time(21), tzinfo=UTC),
            float(round(shares * np.prod([ratio for day, ratio in splits if day <= t]))),
            "shares",
            source,
        )
        for t, delay in rows
    ]
