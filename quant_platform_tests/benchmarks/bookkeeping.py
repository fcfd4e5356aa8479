"""``python -m quant_platform_tests.benchmarks.bookkeeping``: what a run costs beside the computing.

A simulated market goes through the whole equity graph, the jobs that `quant run everything` starts, in one process with
compiled kernels on the disk. Each size runs in a process of its own and a home of its own. Processor seconds are given
to parts by `quant_platform_tests.benchmarks.attribution`; the event log is measured as files.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from quant_platform_tests.benchmarks.attribution import BOOKKEEPING, OTHER, PARTS, STARTING, watched
from quant_platform_tests.benchmarks.machine import load_average, machine, versions

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python -m quant_platform_tests.benchmarks.bookkeeping"
LAST = date(2023, 12, 29)
FEWEST_WITH_INDUSTRIES = 120
MOST_SHARE = 1 / 3
MOST_BYTES = 3_000
MOST_GROWTH = 1.3


@dataclass(frozen=True)
class Size:
    """A market: names, years, and the jobs it goes through; all of the graph when none is named."""

    names: int
    years: int
    jobs: tuple[str, ...] = ()


WEEKLY = ("securities", "ticker_graph", "weekly_cross_section")
SIZES: dict[str, list[Size]] = {
    "full": [
        Size(120, 6),
        Size(60, 6, WEEKLY),
        Size(60, 20, WEEKLY),
        Size(480, 6),
        Size(2_000, 6),
        Size(5_000, 6),
    ],
    "reduced": [Size(10, 2, ("securities", "ticker_graph"))],
}


def measure(size: Size, work: Path) -> dict[str, Any]:
    """Take one market through the graph in this process."""
    started = time.process_time()
    with watched() as attribution, tempfile.TemporaryDirectory(dir=work) as folder:
        where = Path(folder)
        specs = _specs(where / "specs", size)
        jobs = _run(where / "home", specs, size.jobs)
        log, partitions = _event_log(where / "home")
    seconds = dict(attribution.seconds)
    total = time.process_time() - started
    return {
        **asdict(size),
        "load": load_average()[0],
        "cpu_seconds": total,
        "seconds": {part: seconds.get(part, 0.0) for part in (*PARTS, OTHER)},
        "unattributed_seconds": total - sum(seconds.values()),
        "jobs_seconds": jobs,
        "partitions": partitions,
        "event_log_bytes": log,
    }


def _specs(folder: Path, size: Size) -> Path:
    shutil.copytree(ROOT / "specs", folder)
    first = date(LAST.year + 1 - size.years, 1, 2)
    # A few names cannot carry eleven industries.
    fewer = {"industries": [], "industry_volatility_daily": 0.0} if size.names < FEWEST_WITH_INDUSTRIES else {}
    _edit(folder / "sources" / "simulated.yaml", "simulated", names=size.names, years=size.years, start=first, **fewer)
    _edit(folder / "home.yaml", None, first_session=first, last_session=LAST)
    return folder


def _edit(path: Path, section: str | None, **changes: object) -> None:
    content = yaml.safe_load(path.read_text())
    (content if section is None else content[section]).update(changes)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def _run(home: Path, specs: Path, only: Sequence[str]) -> dict[str, float]:
    """Run the jobs, each with the processor seconds it took."""
    os.environ["QUANT_HOME"], os.environ["QUANT_SPECS"] = str(home), str(specs)
    from quant_platform.defs import runs
    from quant_platform.defs.jobs import EQUITY_JOBS
    from quant_platform.pipeline.home import Home

    home.mkdir(parents=True)
    (home / "home.yaml").write_bytes((specs / "home.yaml").read_bytes())
    opened, names, taken = Home.from_environment(), {job.name for job in EQUITY_JOBS}, {}
    with runs.instance_of(opened) as instance:
        runs.register_tickers(opened, instance)
        for launch in runs.everything(opened, instance):
            if launch.job in (only or names):
                before = time.process_time()
                runs.execute(launch, instance, in_process=True)
                taken[launch.job] = time.process_time() - before
    return taken


def _event_log(home: Path) -> tuple[int, int]:
    """Bytes of the event log once it is closed, and the partitions of assets that it says were made."""
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
    from sqlalchemy import text

    folder = home / "dagster" / "history" / "runs"
    storage = SqliteEventLogStorage(base_dir=str(folder))
    with storage.index_connection() as index:
        made = index.execute(text("select count(*) from event_logs where dagster_event_type = 'ASSET_MATERIALIZATION'"))
        partitions = int(made.scalar_one())
    return sum(path.stat().st_size for path in folder.iterdir()), partitions


def shares(row: dict[str, Any]) -> dict[str, float]:
    """Each part of the processor seconds, between 0 and 1; what no look saw is shared out alike."""
    total = sum(row["seconds"].values())
    return {part: seconds / total for part, seconds in row["seconds"].items()}


def per_ticker(row: dict[str, Any]) -> float:
    """Processor milliseconds of a ticker, the start of the process left out."""
    return 1_000 * row["cpu_seconds"] * (1 - shares(row)[STARTING]) / row["names"]


def weeks_of(row: dict[str, Any]) -> float:
    """Weeks of a market, which its weekly tables have partitions for."""
    return row["years"] * 365.2425 / 7


def page(found: dict[str, Any]) -> str:
    """The page of the costs, in Markdown."""
    computer, load = found["machine"], found["load_average"]
    parts = (*PARTS, OTHER)
    lines = [
        "# What a run costs beside the computing",
        "",
        f"Made by `{found['command']}` on {computer['processor']}, {computer['cores']} cores; load of the machine",
        f"{load['start'][0]} at the start and {load['end'][0]} at the end. A simulated market goes through the equity",
        "graph in one process, kernels compiled before; *load* is that of the machine when a size was through, and",
        "sizes may be measured at different times (`--again`). *Starting* is importing and declaring the assets, once",
        "a process; *lake* is validating, hashing, writing and reading partitions; *bookkeeping* is Dagster, its event",
        "log, reading specs and hashing code.",
        "",
        f"| names | years | jobs | load | CPU s | {' | '.join(parts)} | partitions | log bytes per partition |",
        f"|--:|--:|---|--:|--:|{'--:|' * len(parts)}--:|--:|",
    ]
    for row in found["sizes"]:
        cells = [f"{share:.0%}" for share in shares(row).values()]
        lines.append(
            f"| {row['names']:,} | {row['years']} | {', '.join(row['jobs']) or 'all of equities'} "
            f"| {row.get('load', '-')} | {row['cpu_seconds']:.1f} | {' | '.join(cells)} | {row['partitions']:,} "
            f"| {row['event_log_bytes'] / row['partitions']:,.0f} |"
        )
    lines += ["", "## Cost per ticker", "", "| names | years | CPU ms per ticker |", "|--:|--:|--:|"]
    graphs = [row for row in found["sizes"] if not row["jobs"]]
    lines += [f"| {row['names']:,} | {row['years']} | {per_ticker(row):.0f} |" for row in graphs]
    weekly = [row for row in found["sizes"] if "weekly_cross_section" in row["jobs"]]
    if weekly:
        lines += ["", "## Cost per week", "", "| weeks | CPU ms per week of the weekly job |", "|--:|--:|"]
        lines += [
            f"| {weeks_of(row):,.0f} | {1_000 * row['jobs_seconds']['weekly_cross_section'] / weeks_of(row):.1f} |"
            for row in weekly
        ]
    lines += ["", "## Required", "", *[f"- {sentence}" for sentence in verdicts(found)]]
    if found.get("not_run"):
        lines += ["", f"Not run: {found['not_run']}."]
    return "\n".join(lines) + "\n"


def verdicts(found: dict[str, Any]) -> list[str]:
    """What was required of the numbers, and whether it is so."""
    rows = found["sizes"]
    share = max(shares(row)[BOOKKEEPING] for row in rows)
    log = max(row["event_log_bytes"] / row["partitions"] for row in rows)
    lines = [
        f"bookkeeping below a third of the processor seconds: at most {share:.0%}, {_met(share < MOST_SHARE)}",
        f"below {MOST_BYTES:,} bytes of event log per partition: at most {log:,.0f}, {_met(log < MOST_BYTES)}",
    ]
    graphs = sorted((row for row in rows if not row["jobs"]), key=lambda row: row["names"])
    if len(graphs) > 1:
        growth = per_ticker(graphs[-1]) / per_ticker(graphs[0])
        lines.append(
            f"a ticker of {graphs[-1]['names']:,} costs at most {MOST_GROWTH} times one of {graphs[0]['names']:,}: "
            f"{growth:.2f} times, {_met(growth <= MOST_GROWTH)}"
        )
    return lines


def _met(is_so: bool) -> str:
    return "met" if is_so else "**not met**"


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write ``bookkeeping.json`` and ``bookkeeping.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reduced", action="store_true", help="a small market, to see that everything runs")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    parser.add_argument("--most-names", type=int, help="leave out larger markets; the page says so")
    parser.add_argument(
        "--again", type=int, nargs="+", default=[], help="positions of sizes to measure again; the other rows are kept"
    )
    parser.add_argument("--size", type=int, help="measure one size in this process and print it as JSON")
    chosen = parser.parse_args(arguments)
    sizes = SIZES["reduced" if chosen.reduced else "full"]
    work = ROOT / "data"
    work.mkdir(exist_ok=True)
    if chosen.size is not None:
        json.dump(measure(sizes[chosen.size], work), sys.stdout)
        return
    written = chosen.output / "bookkeeping.json"
    before: dict[str, Any] = json.loads(written.read_text()) if chosen.again else {"sizes": []}
    kept = {_size_of(row): row for row in before["sizes"]}
    found: dict[str, Any] = {
        "command": COMMAND + (" --reduced" if chosen.reduced else ""),
        "machine": machine(),
        "versions": versions(),
        "sizes": [],
        "load_average": {"start": load_average()},
    }
    chosen.output.mkdir(parents=True, exist_ok=True)
    waiting = list(sizes)
    for position, size in enumerate(sizes):
        if size in kept and position not in chosen.again:
            found["sizes"].append(kept[size])
        elif chosen.most_names is None or size.names <= chosen.most_names:
            found["sizes"].append(_in_process_of_its_own(position, reduced=chosen.reduced))
        else:
            continue
        waiting.remove(size)
        # After every size: the largest take an hour, and what was measured before it is worth keeping.
        found["not_run"] = ", ".join(f"{one.names:,} names x {one.years} years" for one in waiting)
        found["load_average"]["end"] = load_average()
        written.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
        (chosen.output / "bookkeeping.md").write_text(page(found))


def _size_of(row: dict[str, Any]) -> Size:
    return Size(row["names"], row["years"], tuple(row["jobs"]))


def _in_process_of_its_own(position: int, *, reduced: bool) -> dict[str, Any]:
    answer = subprocess.run(
        [sys.executable, "-m", f"{__package__}.bookkeeping", "--size", str(position), *(["--reduced"] * reduced)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
