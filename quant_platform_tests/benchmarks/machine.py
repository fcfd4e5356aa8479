"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
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
