"""The page of what ``make cluster-test`` has shown, from its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COSTS = {
    "cpu_seconds": "CPU s",
    "cpu_seconds_per_1000": "of the run, CPU s per 1,000 partitions",
    "server_cpu_seconds_per_1000": "database server, CPU s per 1,000 partitions",
    "bytes_per_partition": "bytes of log per partition",
}


def page(found: Mapping[str, Any]) -> str:
    """The page, in Markdown.

    Parameters
    ----------
    found
        What the scenarios have written.
    """
    computer, load, shown = found["machine"], found["load_average"], found["shown"]
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    lines = [
        "# On more than one machine",
        "",
        f"Made by `{found['command']}` on {computer['processor']}, {computer['cores']} cores, {computer['system']};",
        f"load of the machine {load['start'][0]} at the start and {load['end'][0]} at the end: look at CPU, not at",
        f"seconds. {versions}. All nodes were processes of this one machine: what a network does was not tried.",
        "",
        f"The equity graph of {found['names']} simulated names, two years; every scenario has to give the content hash",
        "of every partition that one process gives with its runs in SQLite.",
        "",
        "| scenario | seen |",
        "|---|---|",
    ]
    lines += [
        f"| {name} | {'; '.join(_said(key, value) for key, value in told.items())} |" for name, told in shown.items()
    ]
    lines += ["", "## What runs cost", "", f"| runs kept in | partitions | {' | '.join(COSTS.values())} |"]
    lines += ["|---|--:|" + "--:|" * len(COSTS)]
    for name, told in shown.items():
        if "cpu_seconds_per_1000" in told:
            figures = [f"{told[key]:,.2f}" if isinstance(told.get(key), float) else "" for key in COSTS]
            lines.append(f"| {name} | {told['partitions']:,} | {' | '.join(figures)} |")
    lines += ["", "The run computes everything and starts Python; what the two rows differ by is the storage."]
    return "\n".join(lines) + "\n"


def _said(key: str, value: Any) -> str:
    words = key.replace("_", " ")
    if isinstance(value, float):
        return f"{words} {value:,.1f}"
    if isinstance(value, list):
        return f"{words}: {'; '.join(str(item).replace('|', '/') for item in value)}"
    return f"{words} {value:,}" if isinstance(value, int) else str(value).replace("|", "/")
