"""``python -m quant_platform_tests.benchmarks.sp500``: the import of S&P 500 members with all that follows, run by run.

Each run is ``quant import`` into a folder of its own: from the vendor's rows to the last table of operations. What each
job took is read from the runs that Dagster has recorded. Needs the real data beside the checkout. Writes
``docs/benchmarks/sp500.json`` and ``sp500.md``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from quant_platform.defs import runs
from quant_platform.defs.jobs import EQUITY_JOBS
from quant_platform.defs.tags import PROCESS_TAG
from quant_platform.pipeline.home import Home
from quant_platform.specification.settings import Settings
from quant_platform_tests.benchmarks.machine import machine
from quant_platform_tests.benchmarks.waiting import OWN, table, timed
from quant_platform_tests.commits import commit_of

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
COMMAND = "python -m quant_platform_tests.benchmarks.sp500"
RUNS = 5
GOAL_SECONDS = 75.0


def jobs_of(home: Path, specs: Path) -> list[dict[str, Any]]:
    """What each run of a home made, from when to when in seconds after the first one, and in which of the processes."""
    with runs.instance_of(Home(Settings(home=home, specs=specs))) as instance:
        records = sorted(instance.get_run_records(), key=lambda record: record.create_timestamp)
    began = records[0].create_timestamp.timestamp()
    processes = list(dict.fromkeys(record.dagster_run.tags[PROCESS_TAG] for record in records))
    return [
        {
            "job": record.dagster_run.job_name,
            "from": round(record.create_timestamp.timestamp() - began, 1),
            "to": round((record.end_time or 0.0) - began, 1),
            "process": processes.index(record.dagster_run.tags[PROCESS_TAG]) + 1,
        }
        for record in records
    ]


def one_run(home: Path, cores: int) -> dict[str, Any]:
    """What one import into a new home took, and its jobs."""
    specs = ROOT / "specs"
    command = ["import", "sp500_daily", str(DATA / "us_sp500_daily_2000_2015"), "--home", str(home)]
    command += ["--location", f"fundamentals={DATA / 'sp500_fundamentals_pit'}"]
    took = timed(command, {"QUANT_HOME": str(home), "QUANT_SPECS": str(specs)}, cores)
    return took | {"jobs": jobs_of(home, specs)}


def equity_seconds(run: dict[str, Any]) -> float:
    """From the begin of the first job of the equity lab to the end of its last one."""
    names = {job.name for job in EQUITY_JOBS}
    own = [job for job in run["jobs"] if job["job"] in names]
    return float(max(job["to"] for job in own) - min(job["from"] for job in own))


def page(found: dict[str, Any]) -> str:
    """The page of the runs, in Markdown."""
    walls = [run["wall_seconds"] for run in found["runs"]]
    labs = [equity_seconds(run) for run in found["runs"]]
    lines = [
        "# How long fifteen years of S&P 500 members take",
        "",
        f"Made by `{found['command']}` at {found['commit']} on {found['machine']['processor']},",
        f"{found['machine']['cores']} cores. `quant import` of 1,998,292 vendor rows and all that follows, from an",
        "empty folder. *Equity lab* is from the begin of its first job to the end of its last, with jobs of operations",
        f"between and beside them; its goal is {GOAL_SECONDS:g} s. The loop is the same work in Python on every core",
        f"at once, before and after: where it takes more than {OWN:g} times its fastest of these runs, something else",
        "on the host had a part of the cores; of an hour that is slow throughout it says nothing.",
        "",
        *table(
            found["runs"],
            {
                "wall s": [f"{wall:.1f}" for wall in walls],
                "equity lab s": [f"{lab:.1f}" for lab in labs],
                "CPU s": [f"{run['cpu_seconds']:.1f}" for run in found["runs"]],
            },
        ),
    ]
    middle = sorted(found["runs"], key=lambda run: float(run["wall_seconds"]))[len(walls) // 2]
    lines += [
        "",
        _said("The equity lab", labs) + f" Goal: {'met' if max(labs) < GOAL_SECONDS else '**not met by all**'}.",
        _said("Everything, with the start of the command,", walls),
        "",
        "## Where the time goes",
        "",
        "Of the run in the middle, in seconds after the begin of its first job; before it the source is read, and",
        "after the last the catalogue and the summary are made.",
        "",
        "| job | process | from | to | seconds |",
        "|---|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {job['job']} | {job['process']} | {job['from']:.1f} | {job['to']:.1f} | {job['to'] - job['from']:.1f} |"
        for job in middle["jobs"]
    ]
    return "\n".join(lines) + "\n"


def _said(what: str, seconds: list[float]) -> str:
    below = sum(one < GOAL_SECONDS for one in seconds)
    took = f"{what} took {statistics.median(seconds):.1f} s in the median, {max(seconds):.1f} at most"
    return f"{took}; {below} of {len(seconds)} below {GOAL_SECONDS:g}."


def main(arguments: list[str] | None = None) -> None:
    """Import some times, and write ``sp500.json`` and ``sp500.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    chosen = parser.parse_args(arguments)
    if not DATA.is_dir():
        raise SystemExit(f"there is no folder {DATA}: this benchmark needs the real data beside the checkout")
    measured = machine()
    # Removing ten thousands of files is work for the disk that the next run would wait for: all homes stay to the end.
    with tempfile.TemporaryDirectory(prefix="quant-sp500-") as folder:
        homes = [Path(folder) / str(number) for number in range(chosen.runs)]
        found = {
            "command": COMMAND,
            "commit": commit_of(ROOT),
            "machine": measured,
            "runs": [one_run(home, int(measured["cores"])) for home in homes],
        }
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "sp500.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
    (chosen.output / "sp500.md").write_text(page(found))
    print(page(found))


if __name__ == "__main__":
    main()
