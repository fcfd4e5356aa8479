"""``python -m quant_platform_tests.benchmarks.asset_page``: how long the page of an asset of many partitions takes.

A simulated market of many names is loaded, one partition a name; ``quant up`` serves it; a headless Chromium opens the
overview of `raw.equity_bars` and the list of its partitions, each in a new page, until what was asked for is seen: the
latest checks, and how many partitions are materialised. The first visit of each also fetches the scripts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from quant_platform.defs import runs
from quant_platform_tests.app.browser import chromium
from quant_platform_tests.benchmarks.machine import load_average, machine
from quant_platform_tests.homes import SHIPPED, declare, edit, entered

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python -m quant_platform_tests.benchmarks.asset_page"
NAMES, FEW_NAMES = 5_000, 20
FIRST, LAST = date(2023, 1, 3), date(2023, 12, 29)
VISITS, FEW_VISITS = 7, 2
GOAL_SECONDS = 3.0
LONGEST_MILLISECONDS = 180_000
VIEWS = ("overview", "partitions")


def loaded(folder: Path, names: int) -> tuple[Path, Path]:
    """A home whose bars are loaded for every name, and its specs."""
    home, specs = folder / "home", folder / "specs"
    shutil.copytree(SHIPPED, specs)
    market = {"names": names, "years": 1, "start": FIRST, "industries": [], "industry_volatility_daily": 0.0}
    edit(specs / "sources" / "simulated.yaml", lambda spec: spec["simulated"].update(market))
    edit(specs / "home.yaml", lambda spec: spec.update(first_session=FIRST, last_session=LAST))
    declare(home, specs)
    with entered(home, specs) as market_home, runs.instance_of(market_home) as instance:
        runs.register_tickers(market_home, instance)
        for launch in runs.everything(market_home, instance, only=("securities", "ticker_graph")):
            some = ("raw.equity_bars", "raw.corporate_actions") if launch.job == "ticker_graph" else ()
            runs.execute(replace(launch, tables=some), instance, in_process=True)
    return home, specs


@contextmanager
def served(home: Path, specs: Path) -> Iterator[str]:
    """The address of ``quant up`` on a home."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("quant")), "up", "--port", str(port)]
    environment = os.environ | {"QUANT_HOME": str(home), "QUANT_SPECS": str(specs)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError(f"quant up ended: {process.communicate(timeout=60)[1]}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=60)


def visits(address: str, names: int, times: int, profile: Path) -> dict[str, list[float]]:
    """Seconds from asking for a page to seeing what it is asked for, by view, in the order of the visits."""
    counted = re.compile(rf"Materialized \(({names}|{names:,})\)")
    seen: dict[str, list[float]] = {view: [] for view in VIEWS}
    # A browser as a person has it: it keeps what it fetched and compiled.
    with sync_playwright() as tool:
        kept = tool.chromium.launch_persistent_context(
            str(profile), executable_path=chromium(), args=["--no-sandbox"], viewport={"width": 1400, "height": 900}
        )
        for _ in range(times):
            for view in VIEWS:
                page = kept.new_page()
                page.set_default_timeout(LONGEST_MILLISECONDS)
                began = time.perf_counter()
                page.goto(f"{address}/assets/raw/equity_bars?view={view}")
                page.get_by_text(counted if view == "partitions" else "Latest check results").first.wait_for()
                seen[view].append(time.perf_counter() - began)
                page.close()
        kept.close()
    return seen


def measure(names: int, times: int) -> dict[str, Any]:
    """Load a market, serve it, and look at it."""
    with tempfile.TemporaryDirectory(prefix="quant-asset-page-") as folder:
        home, specs = loaded(Path(folder), names)
        before = load_average()
        with served(home, specs) as address:
            return {
                "partitions": names,
                "seconds": visits(address, names, times, Path(folder) / "browser"),
                "load": before,
            }


def page(found: dict[str, Any]) -> str:
    """The page of the times, in Markdown."""
    count, seconds = found["partitions"], found["seconds"]
    lines = [
        "# How long the page of an asset takes",
        "",
        f"Made by `{found['command']}` on {found['machine']['processor']}, {found['machine']['cores']} cores; the load",
        f"of the machine was {found['load'][0]} before. `raw.equity_bars` of {count:,} partitions, served by",
        "`quant up` and opened on the same machine in a headless Chromium that keeps what it fetched: seconds until",
        "the latest checks are seen (overview) or the number of materialised partitions (partitions). Each visit is a",
        "new page.",
        "",
        "| view | visits | first | median of the others | slowest of the others | goal | |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for view, taken in seconds.items():
        first, others = taken[0], taken[1:]
        middle = statistics.median(others)
        met = "met" if max(taken) < GOAL_SECONDS else "**not met by all**"
        lines.append(
            f"| {view} | {len(taken)} | {first:.2f} | {middle:.2f} | {max(others):.2f} | {GOAL_SECONDS:g} | {met} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write ``asset_page.json`` and ``asset_page.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reduced", action="store_true", help="few partitions, to see that everything runs")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    chosen = parser.parse_args(arguments)
    found = {"command": COMMAND, "machine": machine()}
    found |= measure(*((FEW_NAMES, FEW_VISITS) if chosen.reduced else (NAMES, VISITS)))
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "asset_page.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
    (chosen.output / "asset_page.md").write_text(page(found))
    print(page(found))


if __name__ == "__main__":
    main()
