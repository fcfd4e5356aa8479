"""``python -m quant_platform_tests.evidence.live_market``: eight weeks of a market that goes on, by simulated time.

Dagster's own scheduler and sensor code starts every run; the weeks hold two clock changes on different days, a holiday,
a half day, an outage of four days of trading and two restarts. What was seen is written to ``docs/evidence``.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from quant_platform_tests.defs.simulated_time import at, daemon, each_once, open_market, weekdays, works_through

ROOT = Path(__file__).resolve().parents[2]
MONDAYS = [(date(2025, 10, 20) + timedelta(weeks=k)).isoformat() for k in range(8)]


def eight_weeks(folder: Path) -> tuple[Counter[str], list[str]]:
    """Run the weeks and hold what must be true; how many runs each job had, and the sessions that were scanned.

    Raises
    ------
    AssertionError
        When a run failed, or a session or week was made twice or never.
    """
    with open_market(folder) as home:
        began = at(date(2025, 10, 19), 20)
        with daemon(folder / "dagster", began) as up:
            up.turn_on(began, "daily_pipeline", "weekly_replay")
            works_through(up, date(2025, 10, 20), date(2025, 11, 5))
        with daemon(folder / "dagster", at(date(2025, 11, 6), 6)) as up:
            works_through(up, date(2025, 11, 6), date(2025, 11, 12))
        # Down for four days of trading; the ticks that were missed are worked off as of their own times.
        with daemon(folder / "dagster", at(date(2025, 11, 18), 12)) as up:
            up.works_at(at(date(2025, 11, 18), 12))
            works_through(up, date(2025, 11, 19), date(2025, 12, 13))
            scanned = weekdays(date(2025, 10, 15), date(2025, 12, 12))
            each_once(up, home, scanned, MONDAYS)
            return Counter(run.job_name for run in up.instance.get_runs()), scanned


def main() -> None:
    """Run it and write the page."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    started = time.process_time()
    with TemporaryDirectory() as folder:
        jobs, scanned = eight_weeks(Path(folder))
    rows = "\n".join(f"| `{name}` | {count} |" for name, count in sorted(jobs.items()))
    page = ROOT / "docs" / "evidence" / "live_market.md"
    page.write_text(
        f"""# Eight weeks of a market that goes on

Made by `python -m quant_platform_tests.evidence.live_market` in {time.process_time() - started:.0f} CPU seconds:
ten simulated names on the calendar of New York, 20 October to 13 December 2025, two schedules switched on, Dagster's
scheduler and sensors driven by simulated time. In these weeks Europe leaves summer time on 26 October and America on
2 November, Thanksgiving is closed, the Friday after it closes at 13:00; the daemon is restarted once between two days
and is down once from 12 November, after the morning, to 18 November, noon.

- {len(scanned)} sessions, {scanned[0]} to {scanned[-1]}: each was scanned by exactly one run. None of them is
  Thanksgiving, 2025-11-27; the half day 2025-11-28 is among them.
- {len(MONDAYS)} weeks, {MONDAYS[0]} to {MONDAYS[-1]}: each was reported by exactly one run.
- No run failed.

| job | runs |
|---|---|
{rows}
""",
        encoding="utf-8",
    )
    print(page.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
