"""``python -m quant_platform_tests.evidence.object_storage``: one graph, its lake on files and on S3, and the costs.

1. The equity graph of a small simulated market runs in a home whose lake is on the file system (:func:`_materialise`).
2. It runs again in a home whose lake is on an S3 server on loopback, its tickers in worker processes.
3. A third home, which shares nothing with the second but the bucket, reads every partition and compares its content
   hash with that of the first (:func:`graph`).
4. A thousand partitions are written, listed and read on both (:func:`costs`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from quant_platform.defs import runs
from quant_platform.lake import CatalogueKeeper, Lake, Provenance
from quant_platform.pipeline.home import Home
from quant_platform.specification.settings import Settings
from quant_platform_tests.homes import entered, hashes, run, write_specs
from quant_platform_tests.lake.frames import BARS, bars
from quant_platform_tests.lake.objects import declare
from quant_platform_tests.lake.server import BUCKET, environment_of, s3_on_loopback

ROOT = Path(__file__).resolve().parents[2]
NAMES, WEEKS, PARTITIONS, ROWS = 16, 4, 1_000, 250
PROVENANCE = Provenance(asset="evidence", code_version="evidence", ontology_hash="evidence", simulated=True)
Cost = dict[str, float]


def graph(folder: Path, endpoint: str, names: int = NAMES, weeks: int = WEEKS) -> dict[str, Any]:
    """Run the graph on both stores and compare every partition."""
    specs = write_specs(folder / "specs", names)
    found: dict[str, Any] = {"names": names, "weeks": weeks}
    address = f"s3://{BUCKET}/graph"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment_of(endpoint).items():
            patch.setenv(name, value)
        declare(folder / "s3", address)
        found["files"] = _materialise(folder / "files", specs, weeks, workers=1)
        found["s3"] = _materialise(folder / "s3", specs, weeks, workers=2)
        declare(folder / "reader", address)
        shutil.copyfile(folder / "s3" / "home.yaml", folder / "reader" / "home.yaml")
        here, there = (Home(Settings(home=folder / name, specs=specs)) for name in ("files", "reader"))
        expected, seen = hashes(here, *here.tables), hashes(there, *there.tables)
        there.refresh_catalogue()
    found["tables"] = len({name for name, _ in expected})
    found["partitions"] = len(expected)
    found["same_partitions"] = sorted(map(str, expected)) == sorted(map(str, seen))
    found["different"] = sorted({name for name, key in expected if seen.get((name, key)) != expected[name, key]})
    found["pages_at_the_reader"] = len(list((folder / "reader" / "reports").rglob("*.html")))
    return found


def _materialise(folder: Path, specs: Path, weeks: int, workers: int) -> float:
    """Run every job of the equity lab, tickers in worker processes where there are several; returns the seconds."""
    with entered(folder, specs) as home, runs.instance_of(home) as instance:
        runs.register_tickers(home, instance)
        started = time.perf_counter()
        for launch in runs.everything(home, instance):
            keys = launch.keys[-weeks:] if launch.job == "weekly_cross_section" else launch.keys
            run(home, instance, launch.job, *keys, in_process=None if workers > 1 else True, workers=workers)
        home.refresh_catalogue()
        return round(time.perf_counter() - started, 1)


def costs(folder: Path, endpoint: str, partitions: int = PARTITIONS) -> dict[str, dict[str, Cost]]:
    """Seconds, by step and store, for partitions of a year of daily bars."""
    frames = {f"T{i:05d}": bars(f"T{i:05d}", [float(j) for j in range(ROWS)]) for i in range(partitions)}
    found: dict[str, dict[str, Cost]] = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment_of(endpoint).items():
            patch.setenv(name, value)
        declare(folder / "costs-s3", f"s3://{BUCKET}/costs")
        declare(folder / "costs-other", f"s3://{BUCKET}/costs")
        found["files"] = _costs(folder / "costs-files", folder / "costs-files", frames)
        found["s3"] = _costs(folder / "costs-s3", folder / "costs-other", frames)
    return found


def _costs(writer: Path, reader: Path, frames: dict[str, Any]) -> dict[str, Cost]:
    lake, other = Lake(writer / "lake"), Lake(reader / "lake")
    keeper = CatalogueKeeper(other, reader / "quant.duckdb")
    steps: dict[str, Callable[[], object]] = {
        "write_many": lambda: lake.write_many(BARS, frames, PROVENANCE),
        "write_one_by_one": lambda: [lake.write(BARS, key, frame, PROVENANCE) for key, frame in frames.items()],
        "list": lambda: other.partitions(BARS),
        "read_by_another_machine": lambda: other.read(BARS),
        "read_again": lambda: other.read(BARS),
        "catalogue": lambda: keeper.refresh(force=True),
    }
    return {name: _clocked(step) for name, step in steps.items()}


def _clocked(step: Callable[[], object]) -> Cost:
    started = _now()
    step()
    return _since(started)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(started: tuple[float, float]) -> Cost:
    wall, cpu = (now - before for now, before in zip(_now(), started, strict=True))
    return {"wall_seconds": round(wall, 2), "cpu_seconds": round(cpu, 2)}


def page(document: dict[str, Any]) -> str:
    """Markdown of the document."""
    graph, costs, made = document["graph"], document["costs"], document["made"]
    seen = "the same partitions" if graph["same_partitions"] else "OTHER PARTITIONS"
    different = ", ".join(graph["different"]) or "none"
    lines = [
        "# One graph, its lake on files and on S3",
        "",
        f"SIMULATED. Made by `{made['command']}` with obstore {made['obstore']} and moto",
        f"on loopback; load of the machine {made['load']:.1f} on {made['cores']} cores.",
        "",
        f"The equity graph of {graph['names']} names, its last {graph['weeks']} weeks: {graph['partitions']}",
        f"partitions of {graph['tables']} tables. Another home that shares nothing but the bucket reads {seen};",
        f"tables with another content hash: {different}. {graph['pages_at_the_reader']} pages reached it.",
        "",
        f"On files, in one process, it took {graph['files']:.0f} s; on S3, tickers in two worker processes, "
        f"{graph['s3']:.0f} s.",
        "",
        f"| {made['partitions']} partitions | files: wall, s | CPU, s | S3: wall, s | CPU, s |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for step in costs["files"]:
        cells = [f"{costs[store][step][unit]}" for store in ("files", "s3") for unit in ("wall_seconds", "cpu_seconds")]
        lines.append(f"| {step.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", "CPU is that of the client; the server, one Python process, needs another core.", ""])


def main(arguments: list[str] | None = None) -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog=f"python -m {__name__}", description=__doc__)
    parser.add_argument("--partitions", type=int, default=PARTITIONS, help="of the costs")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "evidence", help="folder")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch, s3_on_loopback(Path(scratch) / "server.log") as endpoint:
        document = {
            "made": {
                "command": "python -m quant_platform_tests.evidence.object_storage"
                + ("" if options.partitions == PARTITIONS else f" --partitions {options.partitions}"),
                "partitions": options.partitions,
                "obstore": version("obstore"),
                "cores": os.cpu_count(),
                "load": round(os.getloadavg()[0], 1),
            },
            "costs": costs(Path(scratch), endpoint, options.partitions),
            "graph": graph(Path(scratch), endpoint),
        }
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "object_storage.json").write_text(json.dumps(document, indent=1) + "\n")
    (options.output / "object_storage.md").write_text(page(document))


if __name__ == "__main__":
    main()
