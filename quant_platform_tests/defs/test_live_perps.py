"""Perpetuals that go on: daily ingest of the running month, a cutoff at each month's end, shown over two of them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from quant_platform_tests.defs.simulated_time import daemon, failures, successes
from quant_platform_tests.homes import declare_perps, edit, entered, write_perp_specs

# Dagster's daemon code calls properties of its own that it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@pytest.mark.long
def test_two_month_ends(tmp_path: Path) -> None:
    specs = write_perp_specs(tmp_path / "specs")
    edit(specs / "perps.yaml", lambda spec: spec.update(last_month=None))
    # Few ticks, at the hours of the shipped file: the wiring is the same, and the market of months is costly.
    edit(specs / "schedules.yaml", lambda spec: spec["perp_daily"].update(cron="30 2 1,2,20 * *"))
    edit(specs / "schedules.yaml", lambda spec: spec.update(timezone="UTC"))
    with entered(declare_perps(tmp_path / "home", specs), specs) as home:
        began = datetime(2024, 1, 19, 12, tzinfo=UTC)
        with daemon(tmp_path / "dagster", began) as up:
            up.turn_on(began, "perp_daily", "monthly_discovery")
            up.works_at(datetime(2024, 1, 20, 3, tzinfo=UTC))
            bars = home.lake.read("clean.perp_bars_5m", [("SIM01USDT", "2024-01")])
            # Bars up to the tick: the newest opened five minutes before 03:00 at the latest.
            assert datetime(2024, 1, 20, 2, 25, tzinfo=UTC) <= bars["bar"].max() < datetime(2024, 1, 20, 3, tzinfo=UTC)
            assert home.lake.partitions("discovery.report") == []
            up.works_at(datetime(2024, 2, 1, 3, tzinfo=UTC))
            up.works_at(datetime(2024, 2, 2, 7, tzinfo=UTC))
            assert home.lake.partitions("discovery.report") == ["2024-01"]
        with daemon(tmp_path / "dagster", datetime(2024, 3, 1, 12, tzinfo=UTC)) as up:
            up.works_at(datetime(2024, 3, 2, 7, tzinfo=UTC))
            up.works_at(datetime(2024, 3, 3, 7, tzinfo=UTC))
            assert [(run.job_name, run.status) for run in failures(up.instance)] == []
            assert sorted(home.lake.partitions("discovery.report")) == ["2024-01", "2024-02"]
            spans = [(run.tags[START], run.tags[END]) for run in successes(up.instance, "discovery")]
            assert spans == [("2024-01", "2024-01"), ("2024-02", "2024-02")]
            studied = {key[1] for key in home.lake.partitions("events.events")}
            assert studied == {"2024-01", "2024-02"}
        whole = home.lake.read("clean.perp_bars_5m", [("SIM01USDT", "2024-02")])
        # 29 days of 288 bars of five minutes.
        assert whole.height == 29 * 288
        assert whole["bar"].max() == datetime(2024, 2, 29, 23, 55, tzinfo=UTC)
        assert whole.filter(pl.col("bar").dt.date() > date(2024, 2, 29)).is_empty()
