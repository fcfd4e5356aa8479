"""``make cluster-test``: make the environment, run the scenarios and the lake on S3 in it, or say what is missing.

``--costs`` and ``--backfills`` measure instead, and ``--only NAME`` plays one scenario.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from quant_platform_tests.cluster.environment import ROOT, Environment, NotInstalled, install
from quant_platform_tests.cluster.postgres import missing
from quant_platform_tests.lake.objects import WITH_SERVER

SCENARIOS = "quant_platform_tests.cluster.scenarios"
MEASUREMENTS = {
    "--costs": "quant_platform_tests.cluster.costs",
    "--backfills": "quant_platform_tests.cluster.backfills",
}
LAKE = ("pytest", "-q", "-p", "no:cacheprovider", "-k", "s3", str(ROOT / "quant_platform_tests" / "lake"))
LAKE_SECONDS = 300


def main() -> int:
    """Run everything; the exit code."""
    began = time.monotonic()
    problem = missing() or ("this needs Linux and its /proc" if not sys.platform.startswith("linux") else None)
    if problem is not None:
        print(f"cluster-test: NOT RUN, {problem}")
        return 0
    try:
        made = install()
    except NotInstalled as error:
        print(f"cluster-test: the environment could not be made: {error}")
        return 1
    print(f"environment {made.folder}, after {time.monotonic() - began:.0f} s", flush=True)
    options = sys.argv[1:]
    for option, module in MEASUREMENTS.items():
        if option in options:
            return _run(made, module, *(other for other in options if other != option))
    found = _run(made, SCENARIOS, *options)
    if found or "--only" in options:
        return found
    print("the tests of the lake, on an S3 server", flush=True)
    found = _run(made, *LAKE, seconds=LAKE_SECONDS)
    print(
        f"cluster-test: {'FAILED' if found else 'all of it held'}, {time.monotonic() - began:.0f} s in all", flush=True
    )
    return found


def _run(made: Environment, module: str, *options: str, seconds: float | None = None) -> int:
    """Run a module in the environment; its exit code, 1 where it takes too long."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{made.binaries}{os.pathsep}{os.environ['PATH']}",
        WITH_SERVER: "1",
    }
    command = [str(made.python), "-m", module, *options]
    try:
        return subprocess.run(command, env=environment, cwd=ROOT, check=False, timeout=seconds).returncode
    except subprocess.TimeoutExpired:
        print(f"cluster-test: {module} has not ended within {seconds} s")
        return 1


if __name__ == "__main__":
    sys.exit(main())
