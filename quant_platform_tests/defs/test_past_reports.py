"""The report of a past week is the one that was made in that week, whatever came later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from quant_platform.defs import runs
from quant_platform.defs.schemes import FACTORS, SWEEPS, WEEKS
from quant_platform.pipeline.equity import CANDIDATES, CLEAN, FEATURES
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sources import tickers_of
from quant_platform.pipeline.stage import run_stage
from quant_platform_tests.homes import Market, copied, edit, entered, run

WEEK, BEFORE = date(2019, 9, 16), 40
LAST = WEEK + timedelta(days=4)
DATES = {"raw.equity_bars": "session", "raw.corporate_actions": "ex_date"}
REPORT = ("weekly_cross_section", "factor_study", "sweep_study", "weekly_report")


def leaves(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value of nested JSON with its place."""
    if isinstance(value, dict | list):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, f"{where}/{name}")
    else:
        yield where, value


def make_report(home: Home, jobs: tuple[str, ...] = REPORT) -> tuple[dict[str, float], dict[str, Any]]:
    """Run the jobs of the week; the report's numbers and all of its other values, by their place."""
    with runs.instance_of(home) as instance:
        weeks = [key for key in WEEKS.keys(home, instance) if key <= WEEK.isoformat()]
        keys = {
            "weekly_cross_section": weeks[-BEFORE:],
            "factor_study": FACTORS.keys(home, instance),
            "sweep_study": SWEEPS.keys(home, instance),
            "weekly_report": [WEEK.isoformat()],
        }
        runs.register_tickers(home, instance)
        for job in jobs:
            run(home, instance, job, *keys[job])
    found = json.loads((home.settings.home / "reports" / "equity" / f"{WEEK}.json").read_text(encoding="utf-8"))
    numbers = {where: value for where, value in leaves(found) if isinstance(value, float)}
    return numbers, {where: value for where, value in leaves(found) if not isinstance(value, float)}


def end_at(home: Home, full: Home, last: date) -> None:
    """Fill a home with the raw rows of another up to a session, and make what is built on each ticker."""
    for name, column in DATES.items():
        for ticker in tickers_of(home):
            rows = full.lake.read(name, [ticker]).filter(pl.col(column) <= last)
            version = full.lake.current(name, ticker)
            assert version is not None
            home.lake.write(name, ticker, rows, version.provenance)
    members = full.lake.current("raw.securities", None)
    assert members is not None
    home.lake.write("raw.securities", None, full.lake.read("raw.securities"), members.provenance)
    for stage in (CLEAN, FEATURES, CANDIDATES):
        done = run_stage(stage, home, tickers_of(home), run_id="then")
        assert {one.state for one in done} == {"written"}


@pytest.mark.long
def test_the_report_of_a_past_week_is_the_one_that_was_made_then(market: Market, tmp_path: Path) -> None:
    (tmp_path / "then").mkdir()
    (tmp_path / "then" / "home.yaml").write_bytes((market.specs / "home.yaml").read_bytes())
    edit(tmp_path / "then" / "home.yaml", lambda spec: spec.update(last_session=LAST))
    with entered(tmp_path / "then", market.specs) as home:
        end_at(home, market.home, LAST)
        then_numbers, then = make_report(home)
    with entered(copied(market.home.settings.home, tmp_path / "now"), market.specs) as home:
        now_numbers, now = make_report(home, ("weekly_cross_section", "weekly_report"))
        later = json.loads(home.lake.read("replay.report").filter(pl.col("as_of_week") > WEEK)["json"][0])
    # Later splits scale the adjusted prices of both directions of a ratio: rounding, and nothing else, may differ.
    assert now == then
    assert now_numbers == pytest.approx(then_numbers, rel=1e-9, abs=1e-12)
    # The two homes are not compared over nothing, and what came later does change a report that may see it.
    assert len(then_numbers) > 300
    assert {where: value for where, value in leaves(later) if where in then_numbers} != now_numbers
