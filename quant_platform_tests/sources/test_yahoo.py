"""Yahoo from recorded answers, and yfinance itself against a server on this machine that speaks the chart protocol."""

from __future__ import annotations

import builtins
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from quant_platform.contracts.errors import (
    SourceMalformed,
    SourceNotFound,
    SourceRateLimited,
    SourceUnavailable,
)
from quant_platform.contracts.schemas.raw import RawCorporateActions, RawEquityBars, StatedSecurities
from quant_platform.sources import Source, open_source
from quant_platform.sources.yahoo import RateLimited, Request, YahooSource, resume_from, yfinance_history
from quant_platform_tests.sources.builders import shipped

TODAY = date(2020, 9, 2)

# Apple around its 4:1 split, as Yahoo shows it after the split: 499.23 on the 28th is shown as 124.8075. The dividend
# of 0.82 paid in August before the split is shown as 0.205.
RECORDED = pl.DataFrame(
    [
        (date(2020, 8, 6), 110.4050, 114.4125, 109.7975, 113.9025, 202428800, 0.0, 0.0),
        (date(2020, 8, 7), 113.2050, 113.6750, 110.2925, 111.1125, 198045600, 0.205, 0.0),
        (date(2020, 8, 28), 126.0125, 126.4425, 124.5775, 124.8075, 187630000, 0.0, 0.0),
        (date(2020, 8, 31), 127.5800, 131.0000, 126.0000, 129.0400, 225702700, 0.0, 4.0),
        (date(2020, 9, 1), 132.7600, 134.8000, 130.5300, 134.1800, 152470100, 0.0, 0.0),
    ],
    schema=["Date", "Open", "High", "Low", "Close", "Volume", "Dividends", "Stock Splits"],
    orient="row",
)


class Recording:
    """Answers from the recorded frame; the first ``refusals`` requests are refused for their rate."""

    def __init__(self, refusals: int = 0, frame: pl.DataFrame = RECORDED) -> None:
        self.refusals = refusals
        self.frame = frame
        self.asked: list[Request] = []
        self.waited: list[float] = []

    def __call__(self, request: Request) -> pl.DataFrame:
        self.asked.append(request)
        if self.refusals > 0:
            self.refusals -= 1
            raise RateLimited("Too Many Requests")
        if self.frame.height == 0:
            return self.frame
        return self.frame.filter(pl.col("Date").is_between(request.start, request.end))

    def source(self) -> YahooSource:
        return YahooSource(shipped("yahoo"), fetch=self, sleep=self.waited.append, today=lambda: TODAY)


def test_bars_arrive_as_they_traded() -> None:
    source = Recording().source()
    assert isinstance(source, Source)
    assert not source.simulated
    bars = RawEquityBars.validate(source.bars("AAPL"))
    # The closes and volumes of the day, as the exchange reported them before the split.
    assert bars["close"].to_list() == pytest.approx([455.61, 444.45, 499.23, 129.04, 134.18])
    assert bars["volume"].to_list() == pytest.approx([50607200, 49511400, 46907500, 225702700, 152470100])
    assert set(bars["adjustment"]) == {"none"}


def test_dividends_are_cash_per_share_of_the_day() -> None:
    actions = RawCorporateActions.validate(Recording().source().actions("AAPL"))
    assert actions.select("ex_date", "kind").rows() == [
        (date(2020, 8, 7), "cash_dividend"),
        (date(2020, 8, 31), "split"),
    ]
    assert actions["value"].to_list() == pytest.approx([0.82, 4.0])


def test_a_stored_bar_stays_true_when_the_share_splits_later() -> None:
    before = RECORDED.filter(pl.col("Date") < date(2020, 8, 31)).with_columns(
        *(pl.col(name) * 4 for name in ("Open", "High", "Low", "Close", "Dividends")),
        (pl.col("Volume") / 4).alias("Volume"),
    )
    early = Recording(frame=before).source().bars("AAPL")
    late = Recording().source().bars("AAPL", end=date(2020, 8, 28))
    for name in ("open", "high", "low", "close", "volume"):
        assert early[name].to_list() == pytest.approx(late[name].to_list())
    assert early["source_row"].to_list() == late["source_row"].to_list()


def test_it_resumes_after_the_last_stored_session() -> None:
    recording = Recording()
    stored = recording.source().bars("AAPL", end=date(2020, 8, 28))
    start = resume_from(stored["session"].to_list()[-1])
    rest = recording.source().bars("AAPL", start=start)
    assert start == date(2020, 8, 29)
    assert rest["session"].to_list() == [date(2020, 8, 31), date(2020, 9, 1)]
    assert pl.concat([stored, rest]).equals(recording.source().bars("AAPL"))
    assert resume_from(None) is None


def test_nothing_new_is_empty_and_asks_nothing() -> None:
    recording = Recording()
    assert recording.source().bars("AAPL", start=date(2020, 9, 3)).height == 0
    assert recording.asked == []
    assert Recording().source().bars("AAPL", start=date(2020, 9, 2)).height == 0


def test_refusals_are_retried_with_growing_waits() -> None:
    recording = Recording(refusals=3)
    assert recording.source().bars("AAPL").height == 5
    assert recording.waited == [2.0, 4.0, 8.0]


def test_it_gives_up_after_the_stated_attempts() -> None:
    recording = Recording(refusals=100)
    with pytest.raises(SourceRateLimited, match=r"6 attempts[\s\S]*resumes"):
        recording.source().bars("AAPL")
    assert len(recording.asked) == 6
    assert recording.waited == [2.0, 4.0, 8.0, 16.0, 32.0]


def test_unknown_names_and_empty_answers() -> None:
    with pytest.raises(SourceNotFound, match=r"yahoo\.tickers"):
        Recording().source().bars("ZZZZ")
    with pytest.raises(SourceNotFound, match="has no bars of 'AAPL'"):
        Recording(frame=pl.DataFrame()).source().bars("AAPL")


def test_an_answer_with_other_columns_is_malformed() -> None:
    with pytest.raises(SourceMalformed, match="lacks Stock Splits"):
        Recording(frame=RECORDED.drop("Stock Splits")).source().bars("AAPL")


def test_its_universe_is_a_list_of_today() -> None:
    source = open_source(shipped("yahoo"))
    securities = StatedSecurities.validate(source.securities())
    assert securities["ticker"].to_list() == source.tickers()
    assert source.fundamentals("AAPL").height == 0


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **keywords: Any) -> Any:
        if name.startswith("yfinance"):
            raise ImportError(name)
        return real(name, *args, **keywords)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(SourceUnavailable, match=r"quant-platform\[yahoo\]"):
        yfinance_history(Request("AAPL", date(2020, 8, 1), TODAY))


class ChartServer:
    """``/v8/finance/chart/<ticker>``: refuses the first requests with 429, then serves the recorded frame."""

    def __init__(self) -> None:
        self.refusals = 0
        self.requests = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                if outer.refusals > 0:
                    outer.refusals -= 1
                    self._send(429, b"Too Many Requests")
                elif "/v8/finance/chart/AAPL" in self.path:
                    self._send(200, json.dumps(chart()).encode())
                else:
                    self._send(404, json.dumps(no_chart()).encode())

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Keep the test's output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


def chart() -> dict[str, Any]:
    stamps = [int(datetime(day.year, day.month, day.day, 13, 30, tzinfo=UTC).timestamp()) for day in RECORDED["Date"]]
    quote = {
        name: RECORDED[name.title()].cast(pl.Float64).to_list() for name in ("open", "high", "low", "close", "volume")
    }
    quote["volume"] = [int(v) for v in quote["volume"]]
    meta = {
        "currency": "USD",
        "symbol": "AAPL",
        "exchangeTimezoneName": "America/New_York",
        "timezone": "EDT",
        "gmtoffset": -14400,
        "instrumentType": "EQUITY",
        "dataGranularity": "1d",
        "range": "",
        "validRanges": ["1d", "max"],
        "priceHint": 2,
        "firstTradeDate": stamps[0],
        "regularMarketTime": stamps[-1] + 23400,
        "currentTradingPeriod": {
            part: {"timezone": "EDT", "start": stamps[-1], "end": stamps[-1] + 23400, "gmtoffset": -14400}
            for part in ("pre", "regular", "post")
        },
    }
    events = {
        "dividends": {str(stamps[1]): {"amount": 0.205, "date": stamps[1]}},
        "splits": {
            str(stamps[3]): {"date": stamps[3], "numerator": 4.0, "denominator": 1.0, "splitRatio": "4:1"},
        },
    }
    result = {
        "meta": meta,
        "timestamp": stamps,
        "events": events,
        "indicators": {"quote": [quote], "adjclose": [{"adjclose": quote["close"]}]},
    }
    return {"chart": {"result": [result], "error": None}}


def no_chart() -> dict[str, Any]:
    return {"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found"}}}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ChartServer]:
    import yfinance
    import yfinance.data

    yfinance.set_tz_cache_location(str(tmp_path / "tz"))
    # What an earlier test was answered would be given again without a request.
    yfinance.data.YfData.cache_get.cache_clear()
    chart_server = ChartServer()
    chart_server.thread.start()
    real = yfinance.data.YfData._make_request

    def redirected(self: Any, url: str, *args: Any, **keywords: Any) -> Any:
        return real(self, re.sub(r"https://query\d\.finance\.yahoo\.com", chart_server.url, url), *args, **keywords)

    monkeypatch.setattr(yfinance.data.YfData, "_make_request", redirected)
    # The crumb comes from another host; the chart needs none.
    monkeypatch.setattr(yfinance.data.YfData, "_get_cookie_and_crumb", lambda *_args, **_keywords: (None, "basic"))
    yield chart_server
    chart_server.server.shutdown()
    chart_server.server.server_close()
    chart_server.thread.join()


def test_yfinance_against_a_local_server(server: ChartServer) -> None:
    waited: list[float] = []
    source = YahooSource(shipped("yahoo"), sleep=waited.append, today=lambda: TODAY)
    bars = RawEquityBars.validate(source.bars("AAPL"))
    assert bars["session"].to_list() == RECORDED["Date"].to_list()
    assert bars["close"].to_list() == pytest.approx([455.61, 444.45, 499.23, 129.04, 134.18], rel=1e-6)
    assert source.actions("AAPL")["value"].to_list() == pytest.approx([0.82, 4.0], rel=1e-6)
    assert waited == []


def test_yfinance_is_retried_when_the_server_refuses(server: ChartServer) -> None:
    # How many requests yfinance makes for one answer depends on what it has cached: refuse until two waits have passed.
    server.refusals = 1_000
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            server.refusals = 0

    source = YahooSource(shipped("yahoo"), sleep=wait, today=lambda: TODAY)
    assert source.bars("AAPL").height == 5
    assert waited == [2.0, 4.0]


def test_yfinance_does_not_know_the_name(server: ChartServer) -> None:
    source = YahooSource(shipped("yahoo"), sleep=lambda _seconds: None, today=lambda: TODAY)
    with pytest.raises(SourceNotFound, match="no bars of 'MSFT'"):
        source.bars("MSFT")
