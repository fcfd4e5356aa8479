from __future__ import annotations

import subprocess
import sys

ROOMS = (
    "quant_platform.sources.files",
    "quant_platform.sources.simulated",
    "quant_platform.sources.yahoo",
    "quant_platform.sources.simulated_perp",
    "quant_platform.sources.perp_files",
    "quant_platform.sources.binance",
    "quant_platform.market.cleaning",
    "quant_platform.market.universe",
    "quant_platform.market.asof",
    "quant_platform.market.perp_cleaning",
    "quant_platform.market.perp_market",
)


def _after(*modules: str) -> tuple[int, list[str]]:
    """Number of threads, and which of the heavy optional libraries are loaded, after importing some modules."""
    script = (
        f"import sys, pathlib, {', '.join(modules)}\n"
        "threads = len(list(pathlib.Path('/proc/self/task').iterdir()))\n"
        "print(threads, *(m for m in ('yfinance', 'exchange_calendars', 'pandas') if m in sys.modules))\n"
    )
    environment = {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    threads, *loaded = done.stdout.split()
    return int(threads), loaded


def test_importing_the_rooms_starts_no_thread_of_their_own_and_loads_no_network_library() -> None:
    # A fork server is forked after everything is imported: a pool that had started would be dead in the child. What
    # polars itself starts on import (its allocator's and its spill cleaner's housekeeping) is the baseline.
    baseline, _ = _after("polars")
    assert _after(*ROOMS) == (baseline, [])
