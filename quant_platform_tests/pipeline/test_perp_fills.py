"""Fills of perpetuals in a home that holds nothing else: imported ones, and those of what the event lab promoted."""

from __future__ import annotations

import math
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from quant_platform.contracts.errors import FillsInvalid
from quant_platform.contracts.tables import table
from quant_platform.defs.jobs import job_named
from quant_platform.defs.labs import labs_of
from quant_platform.defs.schemes import WEEKS
from quant_platform.lake.provenance import Provenance
from quant_platform.pipeline import operations_fills, operations_weekly
from quant_platform.pipeline.home import Home
from quant_platform.specification.operations import VenueSpec
from quant_platform.specification.settings import Settings
from quant_platform_tests.homes import SHIPPED, declare_perps, edit

STAMP = Provenance(asset="test", code_version="0", ontology_hash="0", simulated=True)
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
# The close of a day is 101 and 100 in turn, so that every day moves by log(1.01).
MOVE = math.log(1.01)


def closes(day: int) -> float:
    return 101.0 if day % 2 else 100.0


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """January and February of one perpetual, two bars a day of a thousand units each."""
    specs = shutil.copytree(SHIPPED, tmp_path / "specs")
    market = {"symbols": ["BTCUSDT"], "first_month": "2024-01", "last_month": "2024-02"}
    edit(specs / "perps.yaml", lambda spec: spec.update(market))
    edit(specs / "operations" / "venue.yaml", lambda spec: spec.update(noise_bps=0.0))
    home = Home(Settings(home=declare_perps(tmp_path / "home", specs), specs=specs))
    bars = [
        {"symbol": "BTCUSDT", "month": f"{at:%Y-%m}", "bar": at, "close": closes(day) if hour else 50.0, "volume": 1e3}
        for day in range(60)
        for hour in (0, 23)
        for at in (FIRST + timedelta(days=day, hours=hour),)
    ]
    for month in ("2024-01", "2024-02"):
        write(home, "clean.perp_bars_5m", ("BTCUSDT", month), [row for row in bars if row["month"] == month])
    return home


def write(home: Home, name: str, key: Any, rows: list[dict[str, Any]]) -> None:
    home.lake.write(name, key, pl.DataFrame(rows, schema=table(name).schema.create_empty().schema), STAMP)


def traded(cutoff: str, strategy: str, number: int, at: datetime, quantity: float) -> dict[str, Any]:
    return {
        "cutoff": cutoff, "strategy_id": strategy, "number": number, "bar": at, "symbol": "BTCUSDT", "reason": "entry",
        "quantity": quantity, "price": 0.0, "reference_price": 100.0, "commission": 0.0, "spread": 0.0, "impact": 0.0,
        "position": 0.0,
    }  # fmt: skip


def imported(home: Home, **changes: str) -> int:
    row = {
        "fill_id": "b1", "ticker": "btcusdt", "side": "sell", "quantity": "20", "price": "99.9", "mid": "100",
        "fees": "1", "currency": "USDT", "executed_at": "2024-02-04T03:05:00Z",
    } | changes  # fmt: skip
    file = home.settings.home / "fills.csv"
    file.write_text(f"{','.join(row)}\n{','.join(row.values())}\n", encoding="utf-8")
    return operations_fills.import_fills(home, file).new.height


def test_a_fill_of_a_perpetual_is_known_by_its_symbol_and_settled_in_its_currency(home: Home) -> None:
    assert imported(home) == 1
    with pytest.raises(FillsInvalid, match="in which the name is settled, USDT"):
        imported(home, fill_id="b2", currency="USD")
    with pytest.raises(FillsInvalid, match="a name is not in the universe"):
        imported(home, fill_id="b2", ticker="ETHUSDT")
    row = operations_fills.fills(home, []).row(0, named=True)
    assert (row["asset_class"], row["law"], row["session"]) == ("CRYPTO_PERPETUAL", "venue", date(2024, 2, 4))
    # Each day moved by the same amount. A thousand units at 50 and as many at the close, of which ten each were 100 and
    # 101, in units of the close of the day itself, the 35th from the first: 100.
    assert row["volatility_daily"] == pytest.approx(MOVE)
    assert row["volume_daily"] == pytest.approx(1e3 * (50.0 + 100.5) / 100.0)


def test_the_simulated_venue_fills_what_the_newest_cutoff_promoted(home: Home) -> None:
    at = datetime(2024, 2, 5, 7, 35, tzinfo=UTC)
    write(home, "backtest.fills", "2024-01", [traded("2024-01", "COMPOSITE", 0, at, 1.0)])
    write(home, "backtest.fills", "2024-02", [
        traded("2024-02", "COMPOSITE", 0, at, 15.0),
        traded("2024-02", "COMPOSITE", 1, at + timedelta(hours=2), -15.0),
        traded("2024-02", "REFUSED-x", 0, at, 1.0),
        traded("2024-02", "some-blueprint", 0, at, 1.0),
    ])  # fmt: skip
    found = operations_fills.fills(home, []).sort("executed_at")
    assert found["fill_id"].to_list() == [f"simulated_venue/2024-02/COMPOSITE/{k}" for k in (0, 1)]
    assert found["executed_at"].to_list() == [at, at + timedelta(hours=2)]
    # Half a spread of 5 bps and 1.2 sigma sqrt(Q / V), paid by both sides.
    paid = 5e-4 + 1.2 * MOVE * math.sqrt(15.0 / found["volume_daily"][0])
    assert found["price"].to_list() == pytest.approx([100.0 * (1 + paid), 100.0 * (1 - paid)])
    assert found["fees"].to_list() == pytest.approx([0.3, 0.3])


def test_a_fill_whose_liquidity_nobody_knows_pays_the_stated_impact(home: Home) -> None:
    """Sigma .02 and 1e4 units known; either missing, and nothing traded at all, which is no free trade either."""
    spec = home.load("operations/venue.yaml", VenueSpec).model_copy(
        update={"half_spread_bps": 5.0, "impact_coefficient": 1.0, "unknown_impact_bps": 50.0, "noise_bps": 0.0}
    )
    liquidity = {"A": (0.02, 1e4), "B": (None, 1e4), "C": (0.02, None), "D": (0.02, 0.0)}
    day = date(2024, 2, 5)
    known = pl.DataFrame(
        [
            {"ticker": name, "session": day, "volatility_daily": v, "volume_daily": q}
            for name, (v, q) in liquidity.items()
        ]
    )
    sent = pl.DataFrame(
        [
            {
                "execution_id": name, "order_id": name, "ticker": name, "day": day, "side": "buy", "quantity": 100.0,
                "mid": 10.0, "currency": "USD", "executed_at": datetime(2024, 2, 5, 15, tzinfo=UTC),
            }
            for name in (*liquidity, "E")
        ]
    )  # fmt: skip
    found = operations_fills.venue_fills(sent, known, [], spec)
    assert found["ticker"].to_list() == [*liquidity, "E"]
    # Half a spread of 5 bps; beside it .02 sqrt(100 / 1e4) = 20 bps where both are known, else 50.
    assert found["price"].to_list() == pytest.approx([10.0 * (1 + 25e-4), *[10.0 * (1 + 55e-4)] * 4], rel=1e-12)


def test_a_day_without_any_known_volume_has_none() -> None:
    bars = pl.DataFrame(
        {
            "symbol": ["A"] * 4,
            "bar": [FIRST + timedelta(hours=12 * k) for k in range(4)],
            "close": [10.0, 20.0, 30.0, 40.0],
            "volume": [math.nan, 2.0, math.nan, None],
        }
    )
    days = operations_fills.daily_perpetuals(bars.lazy()).sort("session").collect()
    assert days["close"].to_list() == [20.0, 40.0]
    assert days["dollar_volume"].to_list() == [40.0, None]


def test_weeks_of_perpetuals_have_costs_and_hours_in_utc(home: Home) -> None:
    assert imported(home) == 1
    weeks = WEEKS.keys(home, None)  # type: ignore[arg-type]
    # The first day of January 2024 is a Monday; the last of February a Thursday.
    assert (weeks[0], weeks[-1], len(weeks)) == ("2024-01-01", "2024-02-26", 9)
    fills = operations_fills.fills(home, []).lazy()
    # A fill on Sunday is of the week that it ends.
    hours = operations_weekly.windows(home, ["2024-01-22", "2024-01-29"], fills=fills)
    assert hours["week"].unique().to_list() == [date(2024, 1, 29)]
    filled = hours.filter(pl.col("n") > 0).row(0, named=True)
    assert (filled["hour"], filled["timezone"], filled["asset_class"]) == (3, "UTC", "CRYPTO_PERPETUAL")
    # Sold at 99.9 where the middle was 100.
    assert filled["mean_bps"] == pytest.approx(10.0)
    assert operations_weekly.costs(home, ["2024-01-29"], fills=fills)["group"].unique().to_list() == [
        "CRYPTO_PERPETUAL"
    ]


def test_a_home_of_perpetuals_runs_the_jobs_that_it_has_tables_for(home: Home) -> None:
    (lab,) = [lab for lab in labs_of(home) if lab.name == "operations"]
    assert {job.name: job.tables for job in lab.jobs} == {
        "operations_fills": ("ops.fills",),
        "operations_weekly": ("ops.transaction_costs", "ops.slippage_windows"),
    }
    assert job_named("operations_weekly", home).tables == ("ops.transaction_costs", "ops.slippage_windows")
