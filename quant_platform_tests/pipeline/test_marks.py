"""The running session: its bar is stored nowhere, and open setups are marked to it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from quant_platform.contracts.tables import table
from quant_platform.lake import Provenance
from quant_platform.pipeline.equity import fetch_market
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.marks import marks
from quant_platform.pipeline.sources import source_of
from quant_platform.specification.replay import ReplaySpec
from quant_platform_tests.homes import edit, entered, write_specs

# Wednesday 26 November 2025, noon in New York: half of the session has passed, at 13:00 UTC it had not begun.
NOON, BEFORE = "2025-11-26T17:00:00+00:00", "2025-11-26T13:00:00+00:00"


def stored(home: Home, ticker: str) -> pl.DataFrame:
    """Fetch a ticker as the daily run does, put it into the lake, and give the raw bars."""
    frames = fetch_market(home, ticker, refresh=False)
    for name, frame in frames.items():
        home.lake.write(name, ticker, frame, Provenance(name, "", "", {}, "a run", {}, simulated=True))
    return frames["raw.equity_bars"]


def scanned(ticker: str, close: float) -> pl.LazyFrame:
    """One long setup of Monday the 24th that neither stop nor target can end."""
    row = {
        "day": date(2025, 11, 24),
        "ticker": ticker,
        "direction": "long",
        "entry_reference": close,
        "stop": close / 2,
        "target": close * 3,
        "target_2": None,
        "rr": 4.0,
        "stop_distance_bps": 5000.0,
        "target_probability": 0.3,
        "expected_value_r": 0.5,
        "confidence": 60.0,
        "conflict": False,
        "momentum_percentile": None,
        "qualified": True,
        "refusals": [],
    }
    return pl.LazyFrame([row], schema=table("live.scan").schema.create_empty().schema)


@pytest.mark.parametrize("moment", [NOON, BEFORE])
def test_an_open_setup_is_marked_to_the_running_bar_which_is_stored_nowhere(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = write_specs(tmp_path / "specs", names=4)
    edit(specs / "home.yaml", lambda spec: spec.update(first_session=date(2024, 6, 3), last_session=None))
    market = {"start": date(2024, 6, 3), "late_listing_share": 0.0, "vendor_errors": [], "dividend_payer_share": 0.0}
    edit(specs / "sources" / "simulated.yaml", lambda spec: spec["simulated"].update(market))
    monkeypatch.setenv("QUANT_NOW", moment)
    with entered(tmp_path / "home", specs) as home:
        ticker = source_of(home).tickers()[0]
        raw = stored(home, ticker)
        assert raw["session"].max() == date(2025, 11, 25)
        closes = dict(raw.select("session", "close").iter_rows())
        reference = closes[date(2025, 11, 24)]
        (row,) = marks(home, ["2025-11-26"], scans=scanned(ticker, reference)).to_dicts()
        opened = dict(raw.select("session", "open").iter_rows())[date(2025, 11, 25)]
        running = source_of(home).bars(ticker)
        last = running["close"][-1] if moment == NOON else closes[date(2025, 11, 25)]
        assert (running["session"][-1] == date(2025, 11, 26)) is (moment == NOON)
        assert (row["day"], row["date_sig"], row["outcome"]) == (date(2025, 11, 26), date(2025, 11, 24), "pending")
        assert row["entry_price"] == pytest.approx(opened)
        assert row["last_price"] == pytest.approx(last)
        risk = reference / 2
        cost = home.load("replay/equity.yaml", ReplaySpec).cost_bps * reference / 1e4 / risk
        assert row["live_rr"] == pytest.approx((last - opened) / risk - cost)
        # What was asked for now, or the close of Tuesday: 16:00 in New York.
        closed = datetime(2025, 11, 25, 21, tzinfo=UTC)
        assert row["as_of"] == (datetime.fromisoformat(moment) if moment == NOON else closed)
        table("live.marks").schema.validate(
            pl.DataFrame([row], schema_overrides={"direction": pl.Enum(["long", "short"])}), cast=True
        )
