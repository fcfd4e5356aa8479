"""What ``make cluster-test`` and the measurement of costs write down: one JSON file, and the page made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from quant_platform_tests.benchmarks.machine import load_average, machine
from quant_platform_tests.cluster.environment import ROOT

FILE = ROOT / "docs" / "evidence" / "cluster.json"
COSTS = "<!-- costs: made from docs/evidence/cluster.json -->", "<!-- end of costs -->"
RUN = "<!-- run: made from docs/evidence/cluster.json -->", "<!-- end of run -->"
BACKFILLS = "<!-- backfills: made from docs/evidence/cluster.json -->", "<!-- end of backfills -->"
KILLED = {"step": "a worker process", "run": "the process of a run"}
PARTS = {"run": "client", "ray": "Ray", "database": "database", "store": "store"}


def made_by(command: str, load: Sequence[float], database: str, libraries: Sequence[str]) -> dict[str, Any]:
    """On what something was measured, and with what."""
    return {
        "command": command,
        "machine": machine(),
        "load_average": {"start": list(load), "end": load_average()},
        "versions": {"postgres": database, **{library: version(library) for library in libraries}},
    }


def read(path: Path) -> dict[str, Any]:
    """The evidence there is; nothing where there is no file."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def write(path: Path, part: str, found: Mapping[str, Any]) -> None:
    """Put one part of the evidence into its file, and make the page beside it anew."""
    document = read(path)
    document[part] = found
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(page(document), encoding="utf-8")


def page(document: Mapping[str, Any]) -> str:
    """The page, in Markdown, of the parts that there are."""
    lines = ["# On more than one machine", ""]
    if "test" in document:
        test = document["test"]
        lines += [
            "SIMULATED. All nodes were processes of one machine: what a network does was not tried.",
            "",
            f"`{test['command']}`: {where(test)}. It took {test['seconds']:.0f} s.",
            f"The equity graph of {test['names']} simulated names, two years; every way has to give the content hash",
            "of every partition that one process gives on files and SQLite, or it ends with an error.",
            "",
            "| what | seen |",
            "|---|---|",
        ]
        lines += [
            f"| {name} | {'; '.join(_said(*one) for one in told.items())} |" for name, told in test["shown"].items()
        ]
        lines += [""]
    if "costs" in document:
        costs = document["costs"]
        lines += ["## Costs", "", f"`{costs['command']}`: {where(costs)}.", "", *table(costs), ""]
        lines += [f"The table in seconds as measured, {costs['names']} names, {costs['partitions']} partitions:", ""]
        lines += ["| way | wall | client | Ray | database | store | runs | steps |"]
        lines += ["|---|--:|--:|--:|--:|--:|--:|--:|"]
        for row in costs["ways"]:
            figures = [row["wall_seconds"], *(row["cpu_seconds"].get(part) for part in PARTS)]
            lines.append(f"| {row['way']} | {' | '.join(map(_figure, figures))} | {row['runs']} | {row['steps']} |")
        lines += [""]
    if "backfills" in document:
        backfills = document["backfills"]
        lines += ["## A backfill: chunks of one run, or runs by range", ""]
        lines += [f"`{backfills['command']}`: {where(backfills)}.", "", *backfill_table(backfills), ""]
        lines += [f"In seconds as measured, {backfills['names']} names, {backfills['partitions']} partitions:", ""]
        lines += ["| way | killed | queued | working | over | client | database | store | runs | steps | load |"]
        lines += ["|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
        for row in filter(None, backfills["rows"]):
            second = {"way": "the second backfill after it", "killed": "", "runs": row["runs"], **row.get("second", {})}
            for one in (row, second)[: 1 + ("second" in row)]:
                figures = [one[f"{turn}_seconds"] for turn in ("queued", "working", "wall")]
                figures += [one["cpu_seconds"][part] for part in ("run", "database", "store")]
                counts = f"{one['runs']} | {one.get('steps', '')} | {one.get('load', '')}"
                lines.append(f"| {one['way']} | {one['killed']} | {' | '.join(map(_figure, figures))} | {counts} |")
        lines += [""]
    return "\n".join(lines).rstrip("\n") + "\n"


def backfill_table(found: Mapping[str, Any]) -> list[str]:
    """What the ways to share a backfill out cost for 1,000 partitions, and what a kill leaves, in Markdown."""
    scale = 1_000 / found["partitions"]
    lines = ["| 1,000 partitions, seconds | first run works after | then wall | CPU: client | database | store |"]
    lines += ["|---|--:|--:|--:|--:|--:|"]
    rows = list(filter(None, found["rows"]))
    for row in rows:
        if row["killed"] == "nothing":
            wall = row["wall_seconds"] - row["working_seconds"]
            scaled = [
                one * scale for one in (wall, *(row["cpu_seconds"][part] for part in ("run", "database", "store")))
            ]
            lines.append(f"| {row['way']} | {' | '.join(map(_figure, (row['working_seconds'], *scaled)))} |")
    lines += ["", f"| killed, of {found['partitions']} partitions | failure known after | recorded | kept "]
    lines[-1] += "| second backfill: wall | CPU: client |"
    lines += ["|---|--:|--:|--:|--:|--:|"]
    for row in rows:
        if "second" in row:
            second = row["second"]
            spent = (second["wall_seconds"] - second["working_seconds"], second["cpu_seconds"]["run"])
            counts = f"{_figure(row['known_seconds'])} | {row['recorded']:,} | {row['kept']:,}"
            lines.append(f"| {KILLED[row['killed']]} of: {row['way']} | {counts} | {' | '.join(map(_figure, spent))} |")
    return lines


def table(costs: Mapping[str, Any]) -> list[str]:
    """The costs of 1,000 partitions, a row for each way, in Markdown."""
    lines = [
        "| 1,000 partitions, seconds | wall | CPU: client | Ray | database | store |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    scale = 1_000 / costs["partitions"]
    for row in costs["ways"]:
        cpu = [row["cpu_seconds"].get(part) for part in PARTS]
        figures = [None if one is None else one * scale for one in (row["wall_seconds"], *cpu)]
        lines.append(f"| {row['way']} | {' | '.join(map(_figure, figures))} |")
    return lines


def _figure(found: float | None) -> str:
    return "" if found is None else f"{found:,.1f}"


def where(found: Mapping[str, Any]) -> str:
    """The machine, its load before and after, and the versions, in one line."""
    computer, load = found["machine"], found["load_average"]
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return (
        f"{computer['processor']}, {computer['cores']} cores, {computer['system']}; load {load['start'][0]} before and "
        f"{load['end'][0]} after; {versions}"
    )


def _said(key: str, value: Any) -> str:
    words = key.replace("_", " ")
    if isinstance(value, float):
        return f"{words} {value:,.1f}"
    if isinstance(value, list):
        return f"{words}: {'; '.join(' '.join(str(item).split()).replace('|', '/') for item in value)}"
    if isinstance(value, int):
        return f"{words} {value:,}"
    return str(value).replace("|", "/") if key == "says" else f"{words} {value}"
