"""A simulated market that has not happened to its end: later times never change what an earlier one saw."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from quant_platform.contracts.errors import SourceNotFound
from quant_platform.sources.simulated import SimulatedSource
from quant_platform.specification.loading import load_spec
from quant_platform.specification.sources import SourceSpec
from quant_platform_tests.homes import SHIPPED


@pytest.fixture(scope="module")
def spec() -> SourceSpec:
    shipped = load_spec(SHIPPED / "sources" / "simulated.yaml", SourceSpec)
    assert shipped.simulated is not None
    section = shipped.simulated.model_copy(update={"names": 12, "years": 2})
    return shipped.model_copy(update={"simulated": section})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_what_was_delivered_once_stays(spec: SourceSpec) -> None:
    # After the close of Friday 2019-03-15 and ten months later.
    early = SimulatedSource(spec, at("2019-03-15T20:00:00+00:00"))
    late = SimulatedSource(spec, at("2019-12-31T12:00:00+00:00"))
    assert early.tickers()
    for ticker in early.tickers():
        bars = early.bars(ticker)
        assert bars.equals(late.bars(ticker).filter(pl.col("session") <= date(2019, 3, 15)))
        actions = early.actions(ticker)
        assert actions.equals(late.actions(ticker).filter(pl.col("known_at") <= early.until))
    newest = pl.concat(early.bars(ticker) for ticker in early.tickers())["session"].max()
    assert newest == date(2019, 3, 15)


def test_the_running_bar_lies_inside_the_final_one(spec: SourceSpec) -> None:
    # New York trades from 13:30 to 20:00 UTC on this day; the simulated session is half over at 16:45.
    half = SimulatedSource(spec, datetime(2019, 3, 15, 16, 45, tzinfo=UTC))
    whole = SimulatedSource(spec)
    ticker = half.tickers()[0]
    running = half.bars(ticker)[-1].to_dicts()[0]
    final = whole.bars(ticker).filter(pl.col("session") == date(2019, 3, 15)).to_dicts()[0]
    assert running["session"] == date(2019, 3, 15)
    assert running["open"] == final["open"]
    assert running["close"] == pytest.approx((final["open"] * final["close"]) ** 0.5)
    assert final["low"] <= running["low"] <= running["high"] <= final["high"]
    before = SimulatedSource(spec, datetime(2019, 3, 15, 13, 0, tzinfo=UTC)).bars(ticker)
    assert before["session"].max() == date(2019, 3, 14)


@pytest.mark.parametrize("moment", ["2017-12-01T00:00:00+00:00", "2020-02-01T00:00:00+00:00"])
def test_a_time_outside_the_simulated_market_is_refused(spec: SourceSpec, moment: str) -> None:
    with pytest.raises(SourceNotFound, match="the simulated market reaches from 2018-01-02 to 2019-12-31"):
        SimulatedSource(spec, at(moment)).tickers()
