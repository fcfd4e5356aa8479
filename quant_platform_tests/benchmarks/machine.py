"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("polars", "duckdb", "numpy", "numba", "scipy", "pyarrow")


def machine() -> dict[str, str | int | float]:
    """Processor, cores this process may use, memory and operating system."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": cores,
        "memory_gib": round(memory, 1),
        "system": _system(),
    }


def versions() -> dict[str, str]:
    """Of Python and of the libraries that do the work."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def load_average() -> list[float]:
    """Processes that wanted a core, averaged over one, five and fifteen minutes."""
    return [round(load, 2) for load in os.getloadavg()]


def resident_gib(process: int) -> float:
    """Memory that a process and those it has started hold now, in GiB; what they share counts for each.

    ``ru_maxrss`` would not do for a child: what its parent held when it was started counts as its own there.
    """
    holds: dict[int, int] = {}
    parent: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            stated = dict(line.split(":", 1) for line in status.read_text().splitlines())
            holds[int(stated["Pid"])] = int(stated.get("VmRSS", "0 kB").split()[0])
            parent[int(stated["Pid"])] = int(stated["PPid"])

    def below(one: int) -> int:
        return holds.get(one, 0) + sum(below(child) for child, started_by in parent.items() if started_by == one)

    return below(process) / 2**20


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = platform.system()
    return f"{name}, {platform.system()} {platform.release()}"
