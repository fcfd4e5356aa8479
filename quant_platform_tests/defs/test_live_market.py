"""A market that goes on, through the real schedules, sensors and daemon code by simulated time."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from quant_platform_tests.defs.simulated_time import at, daemon, each_once, open_market, weekdays, works_through

# Dagster's daemon code calls properties of its own that it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.long
def test_a_holiday_a_half_day_and_a_restart_miss_nothing(tmp_path: Path) -> None:
    with open_market(tmp_path) as home:
        began = at(date(2025, 11, 26), 20)
        with daemon(tmp_path / "dagster", began) as up:
            up.turn_on(began, "daily_pipeline", "weekly_replay")
            up.works_at(at(date(2025, 11, 27), 7))
            # On the first morning the last three sessions that are over are scanned.
            assert sorted(home.lake.partitions("live.scan")) == ["2025-11-24", "2025-11-25", "2025-11-26"]
            works_through(up, date(2025, 11, 28), date(2025, 11, 29))
            assert sorted(home.lake.partitions("replay.report")) == ["2025-11-24"]
        # The daemon is down from Saturday noon to Tuesday noon: the ticks it missed are worked off when it is back.
        with daemon(tmp_path / "dagster", at(date(2025, 12, 2), 12)) as up:
            up.works_at(at(date(2025, 12, 2), 12))
            each_once(up, home, weekdays(date(2025, 11, 24), date(2025, 12, 1)), ["2025-11-24"])
        newest = home.lake.read("raw.equity_bars")["session"].max()
        # At noon in Berlin New York has not opened.
        assert newest == date(2025, 12, 1)
