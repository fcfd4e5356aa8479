"""Yahoo through yfinance, as prices that traded.

Yahoo delivers prices, volumes and dividends in shares of today: already adjusted for every split, so each split
rewrites the whole history. Here the splits are taken out again, and bars arrive as they traded:

1. ask for the window that is missing, with its actions (`Fetch`); a refusal for the rate is retried after 1, 2, 4 ...
   times the first delay, other failures of the network end the attempt;
2. ask for all actions once, because a split after the window has rescaled the window too;
3. price x later splits, volume / later splits, dividend x later splits.

A bar that was stored stays true when the share splits next year, so a fetch can resume after the last known session
(``start``) without touching what is there.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from http import HTTPStatus
from typing import Any

import numpy as np
import polars as pl
from urllib3.exceptions import MaxRetryError

from quant_platform.contracts.errors import (
    SourceMalformed,
    SourceNotFound,
    SourceRateLimited,
    SourceUnavailable,
    SpecError,
)
from quant_platform.sources.protocol import (
    action_known_at,
    actions_schema,
    bars_schema,
    fundamentals_schema,
    safe_ticker,
    securities_schema,
)
from quant_platform.sources.waiting import retries
from quant_platform.specification.sources import SourceSpec, YahooSpec

_COLUMNS = {"Open": "open", "High": "high", "Low": "low", "Close": "close", "Volume": "volume"}
_PRICES = {yahoo: ours for yahoo, ours in _COLUMNS.items() if ours != "volume"}


@dataclass(frozen=True)
class Request:
    """What one request asks for: a ticker from ``start`` to ``end``, both included."""

    ticker: str
    start: date
    end: date


Fetch = Callable[[Request], pl.DataFrame]
"""Answers a window with ``Date, Open, High, Low, Close, Volume, Dividends, Stock Splits``, or with no rows."""


class RateLimited(Exception):
    """The transport was told to slow down."""


def yfinance_history(request: Request) -> pl.DataFrame:
    """Ask Yahoo through yfinance, unadjusted for dividends, with actions.

    Raises
    ------
    RateLimited
        When Yahoo refuses for the rate of requests.
    SourceUnavailable
        When yfinance is not installed, or the network fails.
    """
    try:
        import yfinance
        from yfinance.exceptions import YFException, YFRateLimitError, YFTickerMissingError
    except ImportError as error:
        raise SourceUnavailable(
            "yfinance is not installed",
            where="source kind yahoo",
            cause="it belongs to the extra 'yahoo', which not everybody needs",
            action="pip install 'quant-platform[yahoo]'",
        ) from error
    # By default yfinance logs a failure and answers with an empty frame, which looks like a name without bars.
    hidden = yfinance.config.debug.hide_exceptions
    yfinance.config.debug.hide_exceptions = False
    try:
        with warnings.catch_warnings():
            # What yfinance calls in pandas and will have to change; nothing a caller could act on.
            warnings.simplefilter("ignore", DeprecationWarning)
            history = yfinance.Ticker(request.ticker).history(
                start=request.start.isoformat(),
                end=(request.end + timedelta(days=1)).isoformat(),
                interval="1d",
                auto_adjust=False,
                actions=True,
            )
    except YFRateLimitError as error:
        raise RateLimited(str(error)) from error
    except YFTickerMissingError:
        return pl.DataFrame()
    except (YFException, OSError) as error:
        if getattr(getattr(error, "response", None), "status_code", None) == HTTPStatus.NOT_FOUND:
            return pl.DataFrame()
        raise SourceUnavailable(
            f"Yahoo did not answer: {error}", where=f"ticker {request.ticker}", action="try again later"
        ) from error
    finally:
        yfinance.config.debug.hide_exceptions = hidden
    return from_pandas(history)


def from_pandas(history: Any) -> pl.DataFrame:
    """The history of yfinance, a pandas frame indexed by time, with the exchange's date as ``Date``."""
    if len(history) == 0:
        return pl.DataFrame()
    columns = {str(name): history[name].to_numpy() for name in history.columns}
    dates = [stamp.date() for stamp in history.index]
    return pl.DataFrame({"Date": dates, **columns})


@dataclass(frozen=True)
class YahooSource:
    """Yahoo as a source.

    Parameters
    ----------
    spec
        The source spec with its section ``yahoo``.
    fetch
        The transport; the tests answer from recordings.
    sleep
        How to wait between attempts.
    today
        The last day to ask for.
    """

    spec: SourceSpec
    fetch: Fetch = yfinance_history
    sleep: Callable[[float], None] = time.sleep
    today: Callable[[], date] = date.today
    _actions_seen: dict[str, pl.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Name of the source spec."""
        return self.spec.name

    @property
    def simulated(self) -> bool:
        """Never."""
        return False

    @property
    def _yahoo(self) -> YahooSpec:
        if self.spec.yahoo is None:
            raise SpecError("the source spec has no section 'yahoo'", where=f"source {self.spec.name!r}")
        return self.spec.yahoo

    def tickers(self) -> list[str]:
        """The tickers of the spec, in our spelling."""
        return sorted(safe_ticker(name.upper(), where=f"source {self.name!r}") for name in self._yahoo.tickers)

    def bars(self, ticker: str, start: date | None = None, end: date | None = None) -> pl.DataFrame:
        """``raw.equity_bars`` as they traded; pass the session after the last known one as ``start`` to resume.

        ``source_row`` is the number of the day since 1970-01-01, so that two fetches never give one row two numbers.
        A window without new sessions is empty.

        Raises
        ------
        SourceNotFound
            When Yahoo knows no bar of the ticker at all.
        SourceRateLimited
            When it kept refusing.
        SourceMalformed
            When the answer lacks a column.
        """
        self._known(ticker)
        last = end or self.today()
        first = start or self._yahoo.history_start
        if first > last:
            return pl.DataFrame(schema=bars_schema())
        answer = self._ask(Request(ticker, first, last))
        if answer.height == 0:
            if start is None:
                raise SourceNotFound(
                    f"Yahoo has no bars of {ticker!r}", where=f"source {self.name!r}, {first} to {last}"
                )
            return pl.DataFrame(schema=bars_schema())
        later = self._later_splits(ticker, answer["Date"].to_numpy().astype("datetime64[D]"))
        return (
            answer.with_columns(pl.Series("__later", later))
            .select(
                pl.lit(ticker).alias("ticker"),
                pl.col("Date").to_physical().cast(pl.Int64).alias("source_row"),
                pl.col("Date").alias("session"),
                *((pl.col(y).cast(pl.Float64).fill_nan(None) * pl.col("__later")).alias(o) for y, o in _PRICES.items()),
                (pl.col("Volume").cast(pl.Float64).fill_nan(None) / pl.col("__later")).alias("volume"),
                pl.lit("none").alias("adjustment"),
                pl.lit(self.name).alias("source"),
            )
            .filter(pl.col("session").is_between(first, last))
            .cast(bars_schema())
            .sort("session")
        )

    def bars_many(self, tickers: Sequence[str]) -> pl.DataFrame:
        """One ticker after the other, so that a refusal costs one ticker and not all."""
        frames = [self.bars(ticker) for ticker in tickers]
        return pl.concat(frames) if frames else pl.DataFrame(schema=bars_schema())

    def actions(self, ticker: str) -> pl.DataFrame:
        """``raw.corporate_actions`` of the whole history; dividends in cash per share as it was then."""
        self._known(ticker)
        vendor = self._all_actions(ticker)
        dates = vendor["Date"].to_numpy().astype("datetime64[D]")
        # A dividend is cash per share as held before the ex-date, so a split of the same day counts as later.
        scale = self._later_splits(ticker, (dates - np.timedelta64(1, "D")).astype("datetime64[D]"))
        rows: list[tuple[object, ...]] = []
        for (day, cash, split), factor in zip(
            vendor.select("Date", "Dividends", "Stock Splits").iter_rows(), scale, strict=True
        ):
            if split:
                rows.append((ticker, day, "split", float(split), action_known_at("split", day), self.name))
            if cash:
                value = float(cash) * float(factor)
                rows.append((ticker, day, "cash_dividend", value, action_known_at("cash_dividend", day), self.name))
        return pl.DataFrame(rows, schema=actions_schema(), orient="row").sort("ex_date", "kind")

    def fundamentals(self, ticker: str) -> pl.DataFrame:
        """Empty: Yahoo's fundamentals carry no publication time, so nothing says from when they may be used."""
        self._known(ticker)
        return pl.DataFrame(schema=fundamentals_schema())

    def securities(self) -> pl.DataFrame:
        """One open interval per ticker from the start of its history: a list of today's names, not a past index."""
        rows = [
            (ticker, self.spec.universe, self._yahoo.history_start, None, None, None, self.name)
            for ticker in self.tickers()
        ]
        return pl.DataFrame(rows, schema=securities_schema(), orient="row")

    def _known(self, ticker: str) -> None:
        if ticker not in self.tickers():
            raise SourceNotFound(
                f"the source has no ticker {ticker!r}",
                where=f"source {self.name!r}",
                action="add it to yahoo.tickers in the source spec",
            )

    def _later_splits(self, ticker: str, dates: np.ndarray[Any, np.dtype[np.datetime64]]) -> np.ndarray[Any, Any]:
        """Product of all splits after each date, up to today."""
        vendor = self._all_actions(ticker).filter(pl.col("Stock Splits") > 0).sort("Date")
        at = vendor["Date"].to_numpy().astype("datetime64[D]")
        after = np.append(np.cumprod(vendor["Stock Splits"].to_numpy()[::-1])[::-1], 1.0)
        return np.asarray(after[np.searchsorted(at, dates, side="right")], dtype=np.float64)

    def _all_actions(self, ticker: str) -> pl.DataFrame:
        if ticker not in self._actions_seen:
            answer = self._ask(Request(ticker, self._yahoo.history_start, self.today()))
            empty = {"Date": pl.Date, "Dividends": pl.Float64, "Stock Splits": pl.Float64}
            self._actions_seen[ticker] = (
                answer.select(pl.col(name).cast(dtype) for name, dtype in empty.items()).filter(
                    (pl.col("Dividends") != 0) | (pl.col("Stock Splits") != 0)
                )
                if answer.height
                else pl.DataFrame(schema=empty)
            )
        return self._actions_seen[ticker]

    def _ask(self, request: Request) -> pl.DataFrame:
        settings = self._yahoo
        waiting = retries(settings.max_attempts, settings.first_delay_seconds, settings.max_delay_seconds)
        while True:
            try:
                answer = self.fetch(request)
                break
            except RateLimited as error:
                try:
                    waiting = waiting.increment(error=error)
                except MaxRetryError:
                    raise SourceRateLimited(
                        "Yahoo kept refusing for the rate of requests",
                        where=f"ticker {request.ticker}, {request.start} to {request.end}",
                        how_many=f"{settings.max_attempts} attempts",
                        action="wait an hour and run the same command again: it resumes after the last stored session",
                    ) from error
                self.sleep(waiting.get_backoff_time())
        missing = [name for name in (*_COLUMNS, "Dividends", "Stock Splits", "Date") if name not in answer.columns]
        if answer.height and missing:
            raise SourceMalformed(
                f"the answer of Yahoo lacks {', '.join(missing)}",
                where=f"ticker {request.ticker}",
                cause="another version of yfinance names its columns differently",
            )
        return answer


def resume_from(last_known: date | None) -> date | None:
    """The ``start`` that continues after the last stored session; ``None`` where nothing is stored."""
    return None if last_known is None else last_known + timedelta(days=1)
