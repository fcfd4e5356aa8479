"""``python -m quant_platform_tests.evidence.operations_weeks``: 26 weeks of operations by simulated time.

Dagster's own scheduler and sensor code starts every run of a market that goes on; nobody does anything by hand. In the
middle the daemon is down for two days of trading and starts again. Held afterwards: no run failed; every session was
scanned once, sent orders once and was filled once; every week has its costs, sleeves and proposals; the account that
was written session by session is the one that the recorded orders give in one pass.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from quant_platform.market.calendar import session_array
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.operations import DAILY_TABLES, run_daily
from quant_platform_tests.defs.simulated_time import (
    Daemon,
    at,
    covered_by,
    daemon,
    failures,
    open_market,
    successes,
    works_through,
)
from quant_platform_tests.homes import edit

ROOT = Path(__file__).resolve().parents[2]
# A Monday; 26 weeks from here hold four holidays, a half day and the end of summer time on both continents.
FIRST = date(2025, 6, 2)
WEEKS = 26
WEEKLY = ("transaction_costs", "slippage_windows", "sleeve_summary", "sleeve_promotions", "config_proposals")


def run_weeks(folder: Path, weeks: int, seconds: float = math.inf) -> dict[str, Any]:
    """Run the weeks and hold what must be true.

    Parameters
    ----------
    folder
        For the home.
    weeks
        How many.
    seconds
        Processor time after which no further week is begun; what was done by then is held all the same.

    Raises
    ------
    AssertionError
        When a run failed, or a session or week was made twice or never.
    """
    started, done = time.process_time(), 0

    def another(until: int) -> Iterator[date]:
        """Mondays of the weeks to come; says of each that is over how it went."""
        nonlocal done
        while done < until and (done < 2 or time.process_time() - started < seconds):
            yield FIRST + timedelta(weeks=done)
            done += 1
            print(f"{done} of {weeks} weeks, {time.process_time() - started:.0f} CPU seconds", flush=True)

    with open_market(folder) as home:
        # Ten names have few setups under the shipped gate.
        edit(home.specs / "activation.yaml", lambda spec: spec.update(min_rr=0.8, min_momentum_percentile=None))
        began = at(FIRST - timedelta(days=1), 20)
        with daemon(folder / "dagster", began) as up:
            up.turn_on(began, "daily_pipeline", "weekly_replay")
            for monday in another(weeks // 2):
                works_through(up, monday, monday + timedelta(days=6))
            half = FIRST + timedelta(weeks=done)
            works_through(up, half, half)
        back = at(half + timedelta(days=2), 12)
        with daemon(folder / "dagster", back) as up:
            up.works_at(back)
            for monday in another(weeks):
                first = half + timedelta(days=3) if monday == half else monday
                works_through(up, first, monday + timedelta(days=6))
            return held(up, home, FIRST + timedelta(weeks=done) - timedelta(days=2))


def held(up: Daemon, home: Home, last: date) -> dict[str, Any]:
    """Hold what must be true after the last Saturday; what there was, in numbers."""
    assert [(run.job_name, dict(run.tags)) for run in failures(up.instance)] == []
    # On the first morning the last three sessions that are over are scanned.
    before = session_array("XNYS", FIRST - timedelta(days=10), FIRST - timedelta(days=1))[-3:]
    found = [str(day) for day in [*before, *session_array("XNYS", FIRST, last)]]
    for job, table in (("live_scan", "live.scan"), ("operations_daily", "ops.orders")):
        assert covered_by(successes(up.instance, job), found) == dict.fromkeys(found, 1)
        assert sorted(map(str, home.lake.partitions(table))) == found
    weeks = mondays((last - FIRST).days // 7 + 1)
    for name in WEEKLY:
        assert sorted(map(str, home.lake.partitions(f"ops.{name}"))) == weeks
    assert sorted(map(str, home.lake.partitions("ops.dashboard")))[-1] == found[-1]
    stored = {name: home.lake.read(name) for name in DAILY_TABLES}
    states = {done.state for done in run_daily(home, found, run_id="again", refresh=False, workers=1)}
    assert states == {"current"}
    by_week = stored["ops.executions"].group_by(pl.col("day").dt.truncate("1w").alias("week")).len("fills").sort("week")
    costs = home.lake.read("ops.transaction_costs", [weeks[-1]])
    return {
        "weeks": len(weeks),
        "sessions": len(found),
        "runs": dict(sorted(Counter(run.job_name for run in up.instance.get_runs()).items())),
        "rows": {name: frame.height for name, frame in stored.items()},
        "fills_by_week": [[str(week), fills] for week, fills in by_week.iter_rows()],
        "half_spread_bps": costs.filter(pl.col("measure") == "half_spread").select("n", "value", "low", "high").rows(),
        "proposals_by_week": [home.lake.read("ops.config_proposals", [week]).height for week in weeks],
        "trades_seen_by_sleeves": int(
            home.lake.read("ops.sleeve_summary", [weeks[-1]])
            .filter(pl.col("evidence").cast(pl.String) == "executed")["n"]
            .sum()
        ),
    }


def command_of(weeks: int, seconds: float) -> str:
    """What makes the page."""
    asked = "" if weeks == WEEKS else f" --weeks {weeks}"
    return f"python -m {__package__}.operations_weeks{asked}" + (
        "" if seconds == math.inf else f" --seconds {seconds:g}"
    )


def page(found: dict[str, Any]) -> str:
    """The page of the evidence."""
    runs = "\n".join(f"| `{name}` | {count} |" for name, count in found["runs"].items())
    rows = "\n".join(f"| `{name}` | {count} |" for name, count in found["rows"].items())
    proposals = dict(zip(mondays(found["weeks"]), found["proposals_by_week"], strict=True))
    fills = dict(found["fills_by_week"])
    weeks = "\n".join(
        f"| {week} | {fills.get(week, 0)} | {proposals.get(week, 'before the schedules')} |"
        for week in sorted({*proposals, *fills})
    )
    learned = "".join(
        f"Half spread as learned by the last week from {n} fills of the simulated venue: {value:.2f} bps, {low:.2f} to "
        f"{high:.2f}.\n"
        for n, value, low, high in found["half_spread_bps"]
        if value is not None and low is not None
    )
    return f"""# {found["weeks"]} weeks of operations by simulated time

Made by `{found["command"]}` in {found["cpu_seconds"]} CPU seconds.

Ten SIMULATED names on the calendar of New York from {FIRST} on, two schedules switched on, Dagster's own scheduler and
sensor code, an outage of two days of trading and a restart in the middle, no step by hand. No run failed; every one of
{found["sessions"]} sessions was scanned once and sent its orders once; every week has costs, hours, sleeves and
proposals; the recorded orders give the same account in one pass.

| table | rows |
|---|---|
{rows}

| job | runs |
|---|---|
{runs}

| week of | paper fills | proposals |
|---|---|---|
{weeks}

Closed paper trades that the sleeves of the last week look back on: {found["trades_seen_by_sleeves"]}. {learned}"""


def mondays(weeks: int) -> list[str]:
    """Weeks of the run, ISO dates."""
    return [str(FIRST + timedelta(weeks=k)) for k in range(weeks)]


def main(arguments: list[str] | None = None) -> None:
    """Run the weeks and write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m quant_platform_tests.evidence.operations_weeks", description=__doc__
    )
    parser.add_argument("--weeks", type=int, default=WEEKS, help=f"weeks, at least 2 (default {WEEKS})")
    parser.add_argument("--seconds", type=float, default=math.inf, help="processor time after which no week is begun")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "docs" / "evidence", help="folder (default docs/evidence)"
    )
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    started = time.process_time()
    with TemporaryDirectory() as folder:
        found = run_weeks(Path(folder), options.weeks, options.seconds)
    found["command"] = command_of(options.weeks, options.seconds)
    found["cpu_seconds"] = round(time.process_time() - started)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "operations_weeks.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (options.output / "operations_weeks.md").write_text(page(found), encoding="utf-8")
    print(f"written to {options.output}/operations_weeks.md")


if __name__ == "__main__":
    main()
